// Products that the library makes ready once, for one shape: of bf16, which it multiplies faster
// than fp32 where the processor can, and of fp32, by the same code.
#pragma once

#include "backend/cpu/matmul_geometry.h"
#include "backend/cpu/step.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace anet::backend::cpu {

// c[rows, columns] = op(a)[rows, depth] * op(b)[depth, columns], summed in fp32. A layout tells
// op(x): x^T when it is transposed.
struct LibraryProductShape {
  DataType operands = DataType::bf16; // or fp32
  DataType result = DataType::fp32;   // or that of the operands
  int64_t rows = 0, columns = 0, depth = 0;
  MatrixLayout a, b;
  int64_t leading_c = 0;
  bool accumulate = false; // c += instead
};

// Thread class: one thread at a time. A run allocates nothing itself; oneDNN keeps the addresses of
// a call in a small map of its own.
class LibraryProduct {
public:
  virtual ~LibraryProduct() = default;
  virtual int64_t scratch_bytes() const = 0;
  virtual void run(const std::byte* a, const std::byte* b, std::byte* c,
                   std::byte* scratch) const = 0;
};

// Null where the library has none, or none but plain loops.
std::unique_ptr<LibraryProduct> make_library_product(const LibraryProductShape& shape);

// Its name, for reports.
const char* product_library();

// Why products of bf16 operands run in fp32 here; empty where the library multiplies bf16.
std::string why_no_bf16_products();

// A matmul step of such products, shared out among `threads`.
class LibraryMatmul {
public:
  // As make_matmul_step with alpha 1, the operands both bf16 or both fp32, c fp32 or of their type;
  // `accumulate` adds to c. None where the library has none.
  static std::optional<LibraryMatmul> make(const Operand& a, const Operand& b, const Operand& c,
                                           bool accumulate, int threads);

  int64_t slots() const { return std::ssize(slots_); }
  int64_t scratch_bytes() const; // of a slot
  void run(const RunContext& context, const Operand& scratch) const;

private:
  // What one thread multiplies with: a piece, and the last piece where that is smaller.
  struct Slot {
    std::unique_ptr<LibraryProduct> piece, rest;
  };

  explicit LibraryMatmul(MatmulGeometry geometry) : geometry_(std::move(geometry)) {}
  bool add_slots(const LibraryProductShape& shape, int64_t count);
  void run_piece(const Slot& slot, const RunContext& context, int64_t unit,
                 std::byte* scratch) const;

  MatmulGeometry geometry_;
  int64_t pieces_ = 1; // along the longer side
  int64_t piece_ = 0;
  std::vector<Slot> slots_;
};

// `scratch`: int8 [slots, scratch_bytes].
std::unique_ptr<Step> make_library_matmul_step(LibraryMatmul matmul, const Operand& scratch);

} // namespace anet::backend::cpu
