// The copies of the trained weights, brought up to date on a thread of its own in the order in
// which a pass needs them; after a step the weights themselves first, with a copy of the same
// weights piece by piece, while they are in the cache.
#pragma once

#include "backend/staged_array.h"
#include "base/background_worker.h"
#include "base/pending_write.h"
#include "base/thread_pool.h"
#include "train/narrow_gradients.h"
#include "train/optimizer.h"
#include "train/trained_tensors.h"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <vector>

namespace anet::train {

// Thread class: one thread at a time. The array's values belong to it from `renew` or `update` to
// the end of `settle` or `finish`.
class BackgroundUpdate {
public:
  // Array, tensors and pool outlive this object. `in_place` are parts of the array that programs
  // read without a copy. The thread, made when it is first needed, shares the pool with others.
  BackgroundUpdate(backend::StagedArray& array, std::span<const backend::StagedPart> in_place,
                   const TrainedTensors& tensors, ThreadPool& pool);

  // Makes the thread, so that `update` cannot fail.
  void prepare() { worker_.prepare(); }
  // Begins to renew all copies; waits for what was begun before, and forgets its errors.
  void renew();
  // Begins an update: that of `optimizer`, which has begun it, and the copies. `gradients` are let
  // go of when they have been read, `pending` ends when everything is done. What goes wrong with
  // a copy is reported by `wait` and `finish`; the weights are updated all the same.
  void update(Optimizer& optimizer, std::optional<NarrowGradients::Access> gradients,
              PendingWrite& pending) noexcept;
  // Returns when what is read in place and the first `copies` are new. Rethrows what went wrong.
  void wait(size_t copies) { worker_.wait(copies + 1); }
  // When so many copies are new, all weights are, and the gradients are free again.
  size_t copies_until_updated() const { return copies_until_updated_; }
  // Waits for all; returns the bytes written to copies since they were begun. Rethrows as well;
  // afterwards all is quiet in any case.
  uint64_t finish();
  // Waits for all; errors are kept for `wait` or `finish`.
  void settle() noexcept { worker_.settle(); }

private:
  struct PartUpdate {
    size_t part = 0;            // of the gradients
    std::optional<size_t> copy; // of the same weights, of which each piece is renewed at once
  };
  // The first has no copy, each of the others the next one.
  struct Job {
    std::vector<PartUpdate> updates; // before the copy is renewed
    bool renewed_by_update = false;  // its copy, by an update here or in an earlier job
  };

  void assign_parts(std::span<const backend::StagedPart> in_place);
  std::optional<size_t> copy_of_all(size_t part) const;
  void run(size_t job);
  void renew_copy(size_t copy);
  void update_part(const PartUpdate& update);

  backend::StagedArray& array_;
  const TrainedTensors& tensors_;
  ThreadPool& pool_;
  std::vector<Job> jobs_; // none where there is no copy
  size_t copies_until_updated_ = 0;
  // Of the worker's thread while it works.
  Optimizer* optimizer_ = nullptr; // null: there is nothing to update
  std::optional<NarrowGradients::Access> gradients_;
  PendingWrite* pending_ = nullptr;
  uint64_t bytes_ = 0;
  bool failed_ = false; // a copy: the others are left, too
  BackgroundWorker worker_;
};

} // namespace anet::train
