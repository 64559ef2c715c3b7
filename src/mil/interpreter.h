// The reference interpreter: plain loops, no cleverness, the oracle that devices are checked
// against. It computes in double and rounds after every op.
//
// Integer arithmetic wraps around; a conversion from floating to integer truncates toward zero and
// saturates, `quantize` saturates, integer division by zero gives 0. Indices may be negative and
// count from the end then; one outside its axis is Error(out_of_range). An attention row whose
// boolean mask hides everything is NaN.
#pragma once

#include "mil/program.h"

#include <map>
#include <string>
#include <vector>

namespace anet::mil {

enum class Precision : uint8_t {
  f64, // floating results stay double, whatever their declared type
  f32, // fp32 results round to float, fp16 and bf16 results to their type
  f16, // every floating result rounds to fp16 as on the ANE (ane-facts.md 6, R): matmul and conv
       // results that round to a magnitude of 32768 or more become infinite, a NaN input reads as
       // +Inf, and what would be NaN (Inf - Inf, 0 * Inf, sqrt, rsqrt and log of a negative number)
       // is +0
};

// A dense row-major tensor; integers and booleans are held exactly as doubles.
struct Tensor {
  Type type;
  std::vector<double> values;
};

Tensor make_tensor(Type type, double value = 0);

using TensorMap = std::map<std::string, Tensor>;

// Runs one function. Throws Error(shape_mismatch, type_mismatch, not_found) for inputs that do not
// fit its ports, Error(unsupported) naming an op it cannot run. Returns the outputs by name.
TensorMap interpret(const Function& function, const TensorMap& inputs,
                    Precision precision = Precision::f32);

// Runs one op on already computed inputs; constants are read from the function.
std::vector<Tensor> interpret_op(const Function& function, const Operation& op,
                                 const std::vector<const Tensor*>& values_by_id,
                                 Precision precision);

} // namespace anet::mil
