#include "train/background_update.h"

#include <algorithm>
#include <utility>

namespace anet::train {

namespace {

constexpr int64_t part_elements = 1 << 16; // of each array: fits the second-level cache
constexpr int64_t tile = 64;               // pieces of a transposed copy that share cache lines

// Of whole units.
int64_t part_size(int64_t unit) { return std::max<int64_t>(1, part_elements / unit) * unit; }

// Where a part of the gradients has its weights, and a row of them.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t row = 1;
};

Range range_of(const TrainedTensors& tensors, size_t index) {
  const GradientPart& part = tensors.parts()[index];
  const model::Parameter& parameter = *tensors.all()[part.tensor].parameter;
  return {parameter.offset + part.begin, parameter.offset + part.end,
          parameter.shape.size() < 2 ? 1 : parameter.shape.back()};
}

bool contains(const backend::StagedPart& part, const Range& range) {
  return part.offset <= range.begin &&
         range.end <= part.offset + mil::element_count(part.layout.shape);
}

} // namespace

BackgroundUpdate::BackgroundUpdate(backend::StagedArray& array,
                                   std::span<const backend::StagedPart> in_place,
                                   const TrainedTensors& tensors, ThreadPool& pool)
    : array_(array), tensors_(tensors), pool_(pool),
      jobs_(array.copy_count() == 0 ? 0 : array.copy_count() + 1),
      worker_([this](size_t job) { run(job); }) {
  if (!jobs_.empty()) assign_parts(in_place);
}

// Each to the first copy that it is in, unless it is read in place. What is in none is nobody's
// before the end.
void BackgroundUpdate::assign_parts(std::span<const backend::StagedPart> in_place) {
  std::vector<size_t> left;
  for (size_t index = 0; index < tensors_.parts().size(); ++index) {
    const Range range = range_of(tensors_, index);
    size_t job = 0;
    if (std::none_of(in_place.begin(), in_place.end(),
                     [&](const backend::StagedPart& part) { return contains(part, range); }))
      do ++job;
      while (job < jobs_.size() && !contains(array_.part(job - 1), range));
    if (job == jobs_.size()) {
      left.push_back(index);
      continue;
    }
    jobs_[job].parts.push_back(index);
    copies_until_updated_ = std::max(copies_until_updated_, job);
  }
  std::vector<size_t>& last = jobs_[copies_until_updated_].parts;
  last.insert(last.end(), left.begin(), left.end());
  for (size_t copy = 0; copy < array_.copy_count(); ++copy)
    jobs_[copy + 1].together = fits_together(copy);
}

bool BackgroundUpdate::fits_together(size_t copy) const {
  const backend::StagedPart& part = array_.part(copy);
  const std::vector<size_t>& updated = jobs_[copy + 1].parts;
  if (updated.size() != 1 || part.transposed) return false;
  const Range range = range_of(tensors_, updated.front());
  return range.begin == part.offset &&
         range.end - range.begin == mil::element_count(part.layout.shape) &&
         range.row % array_.piece_size(copy) == 0;
}

void BackgroundUpdate::renew() {
  worker_.settle();
  optimizer_ = nullptr;
  bytes_ = 0;
  failed_ = false;
  worker_.start(jobs_.size());
}

void BackgroundUpdate::update(Optimizer& optimizer,
                              std::optional<NarrowGradients::Access> gradients,
                              PendingWrite& pending) noexcept {
  worker_.settle();
  optimizer_ = &optimizer;
  if (gradients) gradients_.emplace(std::move(*gradients));
  pending_ = &pending;
  pending.begin();
  bytes_ = 0;
  failed_ = false;
  worker_.start(jobs_.size());
}

uint64_t BackgroundUpdate::finish() {
  worker_.finish();
  return std::exchange(bytes_, 0);
}

void BackgroundUpdate::run(size_t job) {
  const bool updates = optimizer_ != nullptr;
  std::exception_ptr error;
  try {
    if (job == 0 && updates)
      for (const size_t part : jobs_.front().parts) update_part(part, 0, nullptr);
    if (job > 0) updates ? update_and_renew(job - 1) : renew_copy(job - 1);
  } catch (...) {
    error = std::current_exception();
    failed_ = true;
  }
  if (updates && job == copies_until_updated_) gradients_.reset();
  if (updates && job + 1 == jobs_.size()) {
    optimizer_ = nullptr;
    pending_->end();
  }
  if (error) std::rethrow_exception(error);
}

void BackgroundUpdate::renew_copy(size_t copy) {
  if (failed_) return;
  const backend::StagedArray::Pieces pieces(array_, copy);
  const int64_t count = array_.pieces(copy);
  int64_t part = part_size(array_.piece_size(copy)) / array_.piece_size(copy);
  if (array_.part(copy).transposed) part = (part + tile - 1) / tile * tile;
  for_each_task_between(pool_, (count + part - 1) / part, [&](int64_t task) {
    pieces.renew(task * part, std::min(count, (task + 1) * part));
  });
  bytes_ += pieces.bytes();
}

// Whatever happens to the copy.
void BackgroundUpdate::update_and_renew(size_t copy) {
  const Job& job = jobs_[copy + 1];
  std::optional<backend::StagedArray::Pieces> pieces;
  std::exception_ptr error;
  try {
    if (job.together && !failed_) pieces.emplace(array_, copy);
  } catch (...) {
    error = std::current_exception();
  }
  for (const size_t part : job.parts) update_part(part, copy, pieces ? &*pieces : nullptr);
  if (error) std::rethrow_exception(error);
  if (pieces)
    bytes_ += pieces->bytes();
  else
    renew_copy(copy);
}

// With `pieces`, those of the copy that is this part's.
void BackgroundUpdate::update_part(size_t part, size_t copy,
                                   const backend::StagedArray::Pieces* pieces) {
  const Range range = range_of(tensors_, part);
  const int64_t elements = range.end - range.begin;
  const int64_t size = part_size(range.row);
  const int64_t piece = array_.piece_size(copy);
  for_each_task_between(pool_, (elements + size - 1) / size, [&](int64_t task) {
    const int64_t begin = task * size, end = std::min(elements, begin + size);
    optimizer_->update_part(part, begin, end);
    if (pieces != nullptr) pieces->renew(begin / piece, end / piece);
  });
}

} // namespace anet::train
