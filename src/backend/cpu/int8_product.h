// Products of int8 activations with constant int8 weights, rescaled in one pass.
#pragma once

#include "backend/cpu/int8_kernels.h"
#include "backend/cpu/step.h"

#include <memory>
#include <string>

namespace anet::backend::cpu {

// y[rows, outputs] = x[rows, depth] weights[outputs, depth]^T; the rows of x are `leading` codes
// apart.
struct Int8ProductShape {
  int64_t outputs = 0, depth = 0, leading = 0;
  std::vector<int64_t> shares; // rows of each, one after the other

  static Int8ProductShape of(const Operand& x, int64_t outputs, int threads);
};

// The weights, ready to be multiplied. Each share may run on a thread of its own.
class Int8Product {
public:
  virtual ~Int8Product() = default;
  virtual int64_t scratch_bytes() const = 0; // of a share
  virtual int64_t weight_bytes() const = 0;
  virtual void run(size_t share, const int8_t* x, std::byte* y, std::byte* scratch) const = 0;
};

// By the library where that is exact and fast, else by our kernels. Scale and bias have an entry
// for each output.
std::unique_ptr<Int8Product> make_int8_product(const Int8ProductShape& shape, const int8_t* weights,
                                               const Int8Epilogue& epilogue);

// Null where the library has no such product. It is exact where the processor multiplies int8
// (VNNI, AMX); elsewhere sums of two products saturate at 16 bits, so that only tests use it.
enum class Int8Exactness : uint8_t { required, waived };
std::unique_ptr<Int8Product> make_library_int8_product(const Int8ProductShape& shape,
                                                       const int8_t* weights,
                                                       const Int8Epilogue& epilogue,
                                                       Int8Exactness exactness);

// Why make_int8_product has our kernels at work; empty where the library's are.
std::string why_no_int8_products();

// x int8 [rows, depth] with contiguous rows; y int8 or fp32 [rows, outputs], dense and row-major;
// scratch [shares, scratch_bytes].
std::unique_ptr<Step> make_int8_product_step(const Int8ProductShape& shape,
                                             std::unique_ptr<Int8Product> product, const Operand& x,
                                             const Operand& y, const Operand& scratch);

} // namespace anet::backend::cpu
