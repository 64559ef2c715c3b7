// What a session trains: tensors of one flat array. Their gradients and their optimizer state lie
// in arrays of their own, which hold nothing else.
#pragma once

#include "model/parameters.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace anet::train {

struct TrainedTensor {
  const model::Parameter* parameter = nullptr; // whose offset is that of its weights
  int64_t offset = 0;                          // of its gradient and its state
};

// A trained tensor, or one of the parts that a program returns its gradient in.
struct GradientPart {
  size_t tensor = 0; // index
  int64_t begin = 0; // in the tensor
  int64_t end = 0;
};

class TrainedTensors {
public:
  // Those of `parameters`, which outlive this object, whose names match one of the patterns
  // (base/name_pattern.h), with or without ".weight"; without patterns all that are not compressed.
  // Offsets are the parameters' own when all are trained. Throws invalid_argument for a pattern
  // that matches nothing, unsupported for one that matches a compressed parameter.
  TrainedTensors(std::span<const model::Parameter> parameters,
                 const std::vector<std::string>& patterns);

  std::span<const TrainedTensor> all() const { return tensors_; }
  // In their order; those that are not divided are one part.
  std::span<const GradientPart> parts() const { return parts_; }
  // Into parts of so many elements, and what is left; nothing happens to a frozen one.
  void divide(const model::Parameter& parameter, int64_t elements);
  // nullptr: it is frozen.
  const TrainedTensor* find(const model::Parameter& parameter) const;
  int64_t flat_size() const { return flat_size_; }
  int64_t weight_count() const; // without the padding

private:
  std::vector<TrainedTensor> tensors_;
  std::vector<GradientPart> parts_;
  int64_t flat_size_ = 0;
};

} // namespace anet::train
