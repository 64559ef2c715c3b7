#include "train/background_update.h"

#include <algorithm>
#include <utility>

namespace anet::train {

namespace {

constexpr int64_t part_elements = 1 << 16; // of each array: fits the second-level cache
constexpr int64_t tile = 64;               // pieces of a transposed copy that share cache lines

// Of whole units.
int64_t part_size(int64_t unit) { return std::max<int64_t>(1, part_elements / unit) * unit; }

int64_t row_of(const model::Parameter& parameter) {
  return parameter.shape.size() < 2 ? 1 : parameter.shape.back();
}

} // namespace

BackgroundUpdate::BackgroundUpdate(backend::StagedArray& array, const TrainedTensors& tensors,
                                   ThreadPool& pool)
    : array_(array), tensors_(tensors), pool_(pool), jobs_(array.copy_count()),
      worker_([this](size_t copy) { run(copy); }) {
  if (!jobs_.empty()) assign_tensors();
}

// Each to the first copy that it is in. What is in none is nobody's before the end.
void BackgroundUpdate::assign_tensors() {
  std::vector<size_t> left;
  for (size_t index = 0; index < tensors_.all().size(); ++index) {
    const model::Parameter& parameter = *tensors_.all()[index].parameter;
    size_t copy = 0;
    for (; copy < jobs_.size(); ++copy) {
      const backend::StagedPart& part = array_.part(copy);
      const int64_t end = part.offset + mil::element_count(part.layout.shape);
      if (part.offset <= parameter.offset && parameter.offset + parameter.elements <= end) break;
    }
    if (copy == jobs_.size()) {
      left.push_back(index);
      continue;
    }
    jobs_[copy].tensors.push_back(index);
    copies_until_updated_ = std::max(copies_until_updated_, copy + 1);
  }
  copies_until_updated_ = std::max<size_t>(copies_until_updated_, 1);
  std::vector<size_t>& last = jobs_[copies_until_updated_ - 1].tensors;
  last.insert(last.end(), left.begin(), left.end());
  for (size_t copy = 0; copy < jobs_.size(); ++copy) jobs_[copy].together = fits_together(copy);
}

bool BackgroundUpdate::fits_together(size_t copy) const {
  const backend::StagedPart& part = array_.part(copy);
  if (jobs_[copy].tensors.size() != 1 || part.transposed) return false;
  const model::Parameter& parameter = *tensors_.all()[jobs_[copy].tensors.front()].parameter;
  return parameter.offset == part.offset &&
         parameter.elements == mil::element_count(part.layout.shape) &&
         row_of(parameter) % array_.piece_size(copy) == 0;
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

void BackgroundUpdate::run(size_t copy) {
  const bool updates = optimizer_ != nullptr;
  std::exception_ptr error;
  try {
    updates ? update_and_renew(copy) : renew_copy(copy);
  } catch (...) {
    error = std::current_exception();
    failed_ = true;
  }
  if (updates && copy + 1 == copies_until_updated_) gradients_.reset();
  if (updates && copy + 1 == jobs_.size()) {
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
  const Job& job = jobs_[copy];
  std::optional<backend::StagedArray::Pieces> pieces;
  std::exception_ptr error;
  try {
    if (job.together && !failed_) pieces.emplace(array_, copy);
  } catch (...) {
    error = std::current_exception();
  }
  for (const size_t tensor : job.tensors) update_tensor(tensor, copy, pieces ? &*pieces : nullptr);
  if (error) std::rethrow_exception(error);
  if (pieces)
    bytes_ += pieces->bytes();
  else
    renew_copy(copy);
}

// With `pieces`, those of the copy that is this tensor's.
void BackgroundUpdate::update_tensor(size_t tensor, size_t copy,
                                     const backend::StagedArray::Pieces* pieces) {
  const model::Parameter& parameter = *tensors_.all()[tensor].parameter;
  const int64_t elements = parameter.elements;
  const int64_t part = part_size(row_of(parameter));
  const int64_t piece = array_.piece_size(copy);
  for_each_task_between(pool_, (elements + part - 1) / part, [&](int64_t task) {
    const int64_t begin = task * part, end = std::min(elements, begin + part);
    optimizer_->update_part(tensor, begin, end);
    if (pieces != nullptr) pieces->renew(begin / piece, end / piece);
  });
}

} // namespace anet::train
