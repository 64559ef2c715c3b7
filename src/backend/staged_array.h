// A flat fp32 host array as kernels see it: in place where the device reads host memory in fp32,
// else copies in the layouts and precision of the kernels' ports, renewed when the values change.
#pragma once

#include "backend/backend.h"
#include "backend/host_access.h"
#include "backend/tensor_copy.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace anet::backend {

// Elements from `offset` (in elements) on, in the layout that a port has.
struct StagedPart {
  int64_t offset = 0;
  Layout layout;
  bool transposed = false; // the array holds the first two axes of the layout in the other order
  // Where its copy goes, when that is a part of somebody else's buffer, which outlives the array.
  Buffer* target = nullptr;
  size_t target_offset = 0; // bytes
};

// Thread class: one thread at a time, but different copies may be renewed on different threads.
class StagedArray {
  struct Copy {
    StagedPart part;
    std::unique_ptr<Buffer> own; // null: the part has a target
    TensorCopy conversion;       // from the flat values
    Buffer& buffer() const { return own ? *own : *part.target; }
  };

public:
  // `values` outlives this object and is 64-byte aligned. Parts that are the same bytes share a
  // copy; copies are in the order in which their first parts come.
  StagedArray(Device& device, std::span<float> values, std::span<const StagedPart> parts);

  // Goes on with other values, as many; copies are of the old ones until they are renewed. Returns
  // what views of parts in place refer to, and have to refer to in_place() from now on instead.
  // When it throws nothing has changed.
  std::unique_ptr<Buffer> exchange(Device& device, std::span<float> values);
  Buffer* in_place() { return in_place_.get(); } // null where the device does not read the host's

  // Throws internal for a part that the constructor was not given.
  View view(const StagedPart& part) const;
  // One more than the index of the copy that a part is in, 0 for a part in place: how many copies
  // must have been renewed for the part to be.
  size_t copies_needed(const StagedPart& part) const;

  // The whole array in bf16, where that is the only copy; else empty. Who changes the values may
  // write it, too, instead of renewing.
  std::span<uint16_t> mirror() const;

  size_t copy_count() const { return copies_.size(); }
  // Bytes written. A null pool: on this thread.
  uint64_t renew(size_t copy, ThreadPool* pool);
  uint64_t renew_all(ThreadPool& pool);

  // What a copy is of.
  const StagedPart& part(size_t copy) const { return copies_.at(copy).part; }
  // For a copy that is renewed piece by piece: see TensorCopy::run_pieces. Holds its buffer.
  class Pieces {
  public:
    Pieces(StagedArray& array, size_t copy);
    void renew(int64_t begin, int64_t end) const { // any thread
      copy_.conversion.run_pieces(source_, mapping_.data() + copy_.part.target_offset, begin, end);
    }
    uint64_t bytes() const { return copy_.conversion.bytes(); } // of all pieces

  private:
    const Copy& copy_;
    const std::byte* source_;
    Mapping mapping_;
  };
  // Elements of a piece, and how many pieces there are.
  int64_t piece_size(size_t copy) const { return copies_.at(copy).conversion.piece_size(); }
  int64_t pieces(size_t copy) const { return copies_.at(copy).conversion.pieces(); }

  // What the copies of these parts of an array of `size` elements would take, beside targets.
  static uint64_t copy_bytes(const Device& device, size_t size, std::span<const StagedPart> parts);

private:
  const Copy* find(const StagedPart& part) const;

  std::span<float> values_;
  bool host_memory_;
  std::unique_ptr<Buffer> in_place_; // the whole array; null where nothing is in place
  std::vector<Copy> copies_;
  bool mirrored_ = false; // the first copy is that of all
};

} // namespace anet::backend
