// A frozen matrix and an adapter's side by side in one buffer, which programs read as one matrix.
#pragma once

#include "backend/backend.h"
#include "backend/staged_array.h"
#include "mil/literal.h"
#include "mil/passes.h"
#include "train/step_weights.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace anet::train {

class JoinedWeight {
public:
  // Writes `matrix`, which does not change. `layout` is the port's.
  JoinedWeight(backend::Device& device, mil::JoinedInput input, const mil::Literal& matrix,
               backend::Layout layout);

  const std::string& port() const { return input_.name; }
  backend::View view() const { return {*buffer_}; }
  // What the buffer takes beyond the constant that it is instead of.
  uint64_t extra_bytes() const { return buffer_->size_bytes() - matrix_bytes_; }
  // Where a trained weight has its copy in the buffer; nullopt: nowhere.
  std::optional<backend::StagedPart> part_of(const WeightPort& weight) const;

private:
  mil::JoinedInput input_;
  uint64_t matrix_bytes_ = 0;
  std::unique_ptr<backend::Buffer> buffer_;
};

} // namespace anet::train
