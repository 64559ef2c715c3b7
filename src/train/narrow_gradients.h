// Gradients of tensors, or of parts of them, as fp16 programs return them, for an update that reads
// them where they are: in place of sums in fp32, when there is nothing to add to.
#pragma once

#include "backend/backend.h"
#include "train/optimizer.h"
#include "train/trained_tensors.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace anet::train {

class NarrowGradients {
public:
  // Of the parts whose gradients have these offsets.
  NarrowGradients(backend::Device& device, const TrainedTensors& tensors,
                  const std::set<int64_t>& offsets);

  // What a kernel with this port writes: of the part with this index.
  backend::View view(size_t part, const backend::Layout& layout) const;
  // Of the part whose gradients have this offset.
  size_t index(int64_t offset) const;
  size_t count() const { return buffers_.size(); } // of parts
  static uint64_t bytes(const TrainedTensors& tensors, const std::set<int64_t>& offsets);

  // The host's, for as long as this object lives.
  class Access {
  public:
    explicit Access(NarrowGradients& gradients) : Access(gradients, 0, gradients.count()) {}
    // Of one part alone: several threads may have different ones.
    Access(NarrowGradients& gradients, size_t part) : Access(gradients, part, part + 1) {}
    ~Access() { release(); }
    Access(Access&& other) noexcept
        : gradients_(other.gradients_), begin_(other.begin_),
          end_(std::exchange(other.end_, other.begin_)) {}
    Access& operator=(Access&&) = delete;
    Float16Gradients values() const { return gradients_.values_; }
    // The last of these parts, which this object lets go of; there is one.
    Access take_last() noexcept { return {gradients_, --end_, Held()}; }

  private:
    struct Held {};
    Access(NarrowGradients& gradients, size_t begin, size_t end);
    Access(NarrowGradients& gradients, size_t part, Held /*by this object from now on*/)
        : gradients_(gradients), begin_(part), end_(part + 1) {}
    void release() noexcept;

    NarrowGradients& gradients_;
    size_t begin_;
    size_t end_; // of the parts that are mapped
  };

private:
  std::vector<std::unique_ptr<backend::Buffer>> buffers_; // by part, null without one
  std::vector<const uint16_t*> values_;                   // the same, while they are the host's
  std::vector<int64_t> offsets_;                          // by part
};

} // namespace anet::train
