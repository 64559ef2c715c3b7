#include "backend/ane/probe_trial.h"

#include "backend/cpu/convert.h"
#include "backend/cpu/operand.h"
#include "base/float16.h"
#include "base/status.h"
#include "mil/blob.h"
#include "mil/op_table.h"
#include "mil/passes.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

namespace anet::backend::ane {

namespace {

constexpr int64_t blob_bytes = 64;
constexpr double long_enough = 0.1; // seconds of evaluations, to measure one

void move_affine_parameters(mil::Function& function) {
  for (mil::Operation& op : function.ops) {
    if (std::string_view(op.name()) != "constexpr_affine_dequantize") continue;
    for (const mil::Argument& argument : op.arguments)
      op.attributes.push_back({argument.name, *function.constant(argument.values.front())});
    op.arguments.clear();
  }
}

// Calls visit(index of the first element, its byte offset, elements) for each row of a port.
template <typename Visit>
void for_each_port_row(const EnginePort& port, Visit&& visit) {
  const int64_t width = port.shape[3];
  const int64_t rows = port.shape[0] * port.shape[1] * port.shape[2];
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t height = row % port.shape[2];
    const int64_t channel = row / port.shape[2] % port.shape[1];
    const int64_t batch = row / port.shape[2] / port.shape[1];
    visit(row * width,
          batch * port.strides[0] + channel * port.strides[1] + height * port.strides[2], width);
  }
}

void check_elements(const EnginePort& port, size_t values) {
  const bool fits = port.shape.size() == 4 && port.strides.size() == 4 &&
                    mil::element_count(port.shape) == static_cast<int64_t>(values);
  if (!fits)
    fail(Status::device, "expected port ", port.name, " to have ", values, " elements, seen ",
         mil::shape_to_string(port.shape));
}

void write_port(const Surface& surface, const EnginePort& port, const std::vector<double>& values) {
  check_elements(port, values.size());
  const SurfaceLock lock(surface, true);
  const int64_t size = cpu::element_size(port.dtype);
  const bool half = port.dtype == mil::DataType::fp16;
  for_each_port_row(port, [&](int64_t first, int64_t offset, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const double value = values[static_cast<size_t>(first + i)];
      const uint64_t bits = half ? double_to_half(value) : mil::encode_number(port.dtype, value);
      std::memcpy(surface.data() + offset + i * size, &bits, static_cast<size_t>(size));
    }
  });
}

// Infinities are seen as such, and so is a NaN.
mil::Tensor read_port(const Surface& surface, const EnginePort& port) {
  mil::Tensor tensor = mil::make_tensor({port.dtype, port.shape, {}});
  check_elements(port, tensor.values.size());
  const SurfaceLock lock(surface, false);
  const cpu::LoadDouble load = cpu::load_double(port.dtype);
  for_each_port_row(port, [&](int64_t first, int64_t offset, int64_t n) {
    load(surface.data() + offset, 1, tensor.values.data() + first, n);
  });
  return tensor;
}

} // namespace

mil::Tensor trial_values(const mil::Type& type, uint64_t seed) {
  mil::Tensor tensor = mil::make_tensor(type);
  const bool integer = mil::is_integer(type.dtype);
  // A linear congruential generator (Knuth's constants): half a million numbers in no time.
  uint64_t state = seed * 0x9e3779b97f4a7c15u;
  for (double& value : tensor.values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto step = static_cast<double>(state >> 56) - 128;
    value = integer ? std::floor(step / 16) : step / 128;
  }
  return tensor;
}

mil::TensorMap trial_inputs(const mil::Function& function) {
  mil::TensorMap inputs;
  uint64_t seed = 1;
  for (const mil::ValueId id : function.inputs) {
    const mil::Value& port = function.value(id);
    inputs[port.name] = trial_values(port.type, seed++);
  }
  return inputs;
}

mil::Program trial_program(mil::Function function) {
  move_affine_parameters(function);
  mil::Program program = mil::Builder(mil::eliminate_dead_code(function)).finish_program();
  mil::store_in_blobs(program, blob_bytes, "@model_path/weights/weight.bin");
  return program;
}

Trial::Trial(Engine& engine, const mil::Program& program) : program_(engine.compile(program)) {
  for (const EnginePort& port : procedure().inputs)
    inputs_.push_back(engine.make_surface(port.size_bytes));
  for (const EnginePort& port : procedure().outputs)
    outputs_.push_back(engine.make_surface(port.size_bytes));
  request_ = program_->bind(0, inputs_, outputs_);
}

mil::TensorMap Trial::run(const mil::TensorMap& inputs) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const EnginePort& port = procedure().inputs[i];
    const auto found = inputs.find(port.name);
    if (found == inputs.end())
      fail(Status::device, "expected no port ", port.name, " in the compiled program");
    write_port(*inputs_[i], port, found->second.values);
  }
  program_->evaluate(*request_);
  mil::TensorMap outputs;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const EnginePort& port = procedure().outputs[i];
    outputs[port.name] = read_port(*outputs_[i], port);
  }
  return outputs;
}

double Trial::fastest(int evaluations) {
  double best = 1e9, total = 0;
  for (int i = 0; i < evaluations && total < long_enough; ++i) {
    const auto start = std::chrono::steady_clock::now();
    program_->evaluate(*request_);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    best = std::min(best, time.count());
    total += time.count();
  }
  return best;
}

std::string difference(const mil::TensorMap& seen, const mil::TensorMap& expected,
                       double tolerance) {
  for (const auto& [name, want] : expected) {
    const auto found = seen.find(name);
    if (found == seen.end()) return concat("expected an output ", name, ", seen none");
    const std::vector<double>& got = found->second.values;
    double largest = 0;
    for (const double value : want.values) largest = std::max(largest, std::fabs(value));
    for (size_t i = 0; i < want.values.size(); ++i) {
      const bool close = std::fabs(got[i] - want.values[i]) <= tolerance * largest;
      if (close || got[i] == want.values[i]) continue;
      return concat("wrong value: expected ", want.values[i], " at ", i, " of ", name, ", seen ",
                    got[i]);
    }
  }
  return {};
}

} // namespace anet::backend::ane
