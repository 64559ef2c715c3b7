// Copies a tensor from one layout into another, converting its elements on the way: between host
// arrays and the padded rows of a device's ports.
#pragma once

#include "backend/backend.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace anet::backend {

// Planned once, run often; a run allocates nothing.
class TensorCopy {
public:
  // The shapes agree but for axes of one element. Types are equal, or one is fp32 and the other
  // fp16 or bf16. A NaN that is converted to or from fp16 becomes +infinity, as the ANE reads it
  // (ane-facts.md 6, R): never a number.
  // Throws shape_mismatch or type_mismatch.
  TensorCopy(const Layout& from, const Layout& to);

  // The two may not overlap. Bytes between rows are not touched. A null pool: on this thread.
  void run(const std::byte* source, std::byte* target, ThreadPool* pool) const;
  // The same for some of its pieces, which lie one after another in the target; different ones on
  // different threads. A piece is a row of `piece_size` elements, or an element where all is one
  // row.
  int64_t pieces() const { return rows_ == 1 ? inner_.extent : rows_; }
  int64_t piece_size() const { return rows_ == 1 ? 1 : inner_.extent; }
  void run_pieces(const std::byte* source, std::byte* target, int64_t begin, int64_t end) const;
  // Written by a run.
  uint64_t bytes() const { return bytes_; }

private:
  struct Axis {
    int64_t extent = 1;
    int64_t from = 0; // bytes
    int64_t to = 0;
  };
  using CopyRow = void (*)(const std::byte* source, int64_t from, std::byte* target, int64_t to,
                           int64_t n);

  static std::vector<Axis> merge_axes(const Layout& from, const Layout& to);
  void copy_rows(const std::byte* source, std::byte* target, int64_t begin, int64_t end) const;
  bool is_transpose() const;
  void copy_tiles(const std::byte* source, std::byte* target, int64_t begin, int64_t end) const;

  std::vector<Axis> outer_;
  Axis inner_;
  int64_t rows_ = 1;
  CopyRow copy_row_ = nullptr;
  int64_t from_bytes_ = 0; // of an element
  int64_t to_bytes_ = 0;
  uint64_t bytes_ = 0;
};

// True when the elements of both lie at the same places, whatever axes of one element they have.
bool same_bytes(const Layout& a, const Layout& b);

} // namespace anet::backend
