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

// Where it has itself.
int64_t gradient_of(const TrainedTensors& tensors, const GradientPart& part) {
  return tensors.all()[part.tensor].offset + part.begin;
}

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
                                   std::span<const int64_t> late_state,
                                   const TrainedTensors& tensors, ThreadPool& pool)
    : array_(array), tensors_(tensors), pool_(pool),
      jobs_(array.copy_count() == 0 ? 0 : array.copy_count() + 1),
      gradients_(tensors.parts().size()), worker_([this](size_t job) { run(job); }) {
  if (jobs_.empty()) return;
  assign_parts(in_place);
  assign_late_state(late_state);
}

// Each to the first copy that it is in, unless it is read in place. What is in none is nobody's
// before the end.
void BackgroundUpdate::assign_parts(std::span<const backend::StagedPart> in_place) {
  std::vector<size_t> left;
  size_t last = 0;
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
    const std::optional<size_t> copy = copy_of_all(index);
    jobs_[job].updates.push_back({index, copy});
    if (copy) jobs_[*copy + 1].renewed_by_update = true;
    last = std::max(last, job);
  }
  for (const size_t index : left) jobs_[last].updates.push_back({index, {}});
}

// A job each.
void BackgroundUpdate::assign_late_state(std::span<const int64_t> gradients) {
  std::vector<PartUpdate*> updates(gradients_.size()); // by part
  for (Job& job : jobs_)
    for (PartUpdate& update : job.updates) updates[update.part] = &update;
  std::vector<Job> late;
  for (const int64_t gradient : gradients)
    for (size_t part = 0; part < updates.size(); ++part) {
      if (gradient_of(tensors_, tensors_.parts()[part]) != gradient) continue;
      updates[part]->sweep = UpdateSweep::weights;
      late.push_back({{{part, {}, UpdateSweep::state}}});
    }
  jobs_.insert(jobs_.end(), late.begin(), late.end());
}

size_t BackgroundUpdate::copies_until_read(int64_t begin, int64_t end) const {
  size_t last = 0;
  for (size_t job = 1; job < jobs_.size(); ++job)
    for (const PartUpdate& update : jobs_[job].updates) {
      const GradientPart& part = tensors_.parts()[update.part];
      const int64_t at = gradient_of(tensors_, part);
      if (at < end && begin < at + part.end - part.begin) last = job;
    }
  return last;
}

// None comes before the job of the part, which is that of the first copy that the part is in.
std::optional<size_t> BackgroundUpdate::copy_of_all(size_t part) const {
  const Range range = range_of(tensors_, part);
  for (size_t copy = 0; copy < array_.copy_count(); ++copy) {
    const backend::StagedPart& staged = array_.part(copy);
    if (!staged.transposed && range.begin == staged.offset &&
        range.end - range.begin == mil::element_count(staged.layout.shape) &&
        range.row % array_.piece_size(copy) == 0)
      return copy;
  }
  return std::nullopt;
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
  if (gradients)
    for (size_t part = gradients_.size(); part-- > 0;)
      gradients_[part].emplace(gradients->take_last());
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
  const auto attempt = [&](const auto& work) {
    try {
      work();
    } catch (...) {
      if (!error) error = std::current_exception();
      failed_ = true;
    }
  };
  if (updates)
    for (const PartUpdate& update : jobs_[job].updates) attempt([&] { update_part(update); });
  if (job > 0 && job <= array_.copy_count() && !(updates && jobs_[job].renewed_by_update))
    attempt([&] { renew_copy(job - 1); });
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
void BackgroundUpdate::update_part(const PartUpdate& update) {
  std::optional<backend::StagedArray::Pieces> pieces;
  std::exception_ptr error;
  try {
    if (update.copy && !failed_) pieces.emplace(array_, *update.copy);
  } catch (...) {
    error = std::current_exception();
  }
  const Range range = range_of(tensors_, update.part);
  const int64_t elements = range.end - range.begin;
  const int64_t size = part_size(range.row);
  const int64_t piece = update.copy ? array_.piece_size(*update.copy) : 1;
  for_each_task_between(pool_, (elements + size - 1) / size, [&](int64_t task) {
    const int64_t begin = task * size, end = std::min(elements, begin + size);
    optimizer_->update_part(update.part, begin, end, update.sweep);
    if (pieces) pieces->renew(begin / piece, end / piece);
  });
  if (update.sweep != UpdateSweep::weights) gradients_[update.part].reset();
  if (error) std::rethrow_exception(error);
  if (pieces) bytes_ += pieces->bytes();
}

} // namespace anet::train
