// Products of a matrix with up to max_gemv_columns vectors: decoding one token, or one of each text
// of a batch. What they cost is reading the matrix, which therefore stays as it is stored, in few
// bits at times, and is read once.
#pragma once

#include "backend/cpu/compressed.h"
#include "backend/cpu/gemv_kernels.h"
#include "backend/cpu/step.h"

#include <memory>
#include <optional>
#include <vector>

namespace anet::backend::cpu {

// c[..., rows, columns] = matrix[..., rows, depth] * x[..., depth, columns], or added to c.
class Gemv {
public:
  // None for a product of other kinds: the matrix is fp32 or bf16 with rows or columns that are
  // contiguous, or compressed and not transposed; x is fp32 or bf16, c is fp32, or bf16 that
  // nothing is added to. Strides of x and c are any, leading dimensions broadcast to those of c.
  static std::optional<Gemv> make(const Operand& matrix,
                                  const std::optional<CompressedMatrix>& compressed,
                                  const Operand& x, const Operand& c, bool accumulate);

  int64_t scratch() const; // floats of each thread
  int64_t work() const;    // multiply-adds
  // It is cut into units of about the same work, which any thread may take.
  int64_t units() const;
  // `is_packed`: the last run with this scratch was of this product.
  void run(const RunContext& context, int64_t begin, int64_t end, float* scratch,
           bool is_packed) const;

private:
  // Rows that are computed together.
  struct Strip {
    const std::byte* matrix; // of its batch
    const float* x;
    int64_t first, rows;
    float* expanded; // scratch for rows of a compressed matrix
  };

  Gemv(const Operand& matrix, const std::optional<CompressedMatrix>& compressed, const Operand& x,
       const Operand& c, bool accumulate);
  bool merge_batch_into_columns();
  bool choose_kernel();
  int64_t strip_rows() const;
  int64_t strips() const;
  bool packs_x() const;
  const float* pack(const std::byte* x, float* packed) const;
  void multiply(const Strip& strip, float* products) const;
  void multiply_expanded(const Strip& strip, float* products) const;
  void store(const Strip& strip, float* products, std::byte* c) const;

  Operand matrix_, x_, c_; // in the end [rows, depth], [depth, columns] and [rows, columns]
  std::optional<CompressedMatrix> compressed_;
  bool accumulate_;
  int64_t rows_ = 0, columns_ = 0, depth_ = 0;
  GemvKernel kernel_ = nullptr;
  GemvMatrix layout_; // without addresses, but for those of a compressed matrix
  bool transposed_ = false;
  bool expands_ = false; // rows of a compressed matrix, before they are multiplied
  LoopNest<3> batch_;    // of c, matrix, x
};

// Independent products that the threads share out as one, so that they meet once. `scratch` is
// [threads, the largest scratch()] of fp32.
std::unique_ptr<Step> make_gemv_step(std::vector<Gemv> gemvs, const Operand& scratch);

} // namespace anet::backend::cpu
