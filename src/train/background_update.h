// The copies of the trained weights, brought up to date on a thread of its own in the order in
// which a pass needs them; after a step the weights themselves first, with a copy of the same
// weights piece by piece, while they are in the cache. What a forward pass does not wait for can
// come later: the state of weights whose next gradients are among the last of a pass.
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
  // read without a copy. `late_state` are offsets of gradients whose state may be updated behind
  // the copies, in this order. The thread, made when it is first needed, shares the pool with
  // others.
  BackgroundUpdate(backend::StagedArray& array, std::span<const backend::StagedPart> in_place,
                   std::span<const int64_t> late_state, const TrainedTensors& tensors,
                   ThreadPool& pool);

  // Makes the thread, so that `update` cannot fail.
  void prepare() { worker_.prepare(); }
  // Begins to renew all copies; waits for what was begun before, and forgets its errors.
  void renew();
  // Begins an update: that of `optimizer`, which has begun it, and the copies. Each part of the
  // `gradients` is let go of when it has been read, `pending` ends when everything is done. What
  // goes wrong with a copy is reported by `wait` and `finish`; the weights are updated all the
  // same.
  void update(Optimizer& optimizer, std::optional<NarrowGradients::Access> gradients,
              PendingWrite& pending) noexcept;
  // Returns when what is read in place and the first `copies` are new; what is late counts on
  // behind the last copy. Rethrows what went wrong.
  void wait(size_t copies) { worker_.wait(copies + 1); }
  // For how many to wait before gradients of this range are written again.
  size_t copies_until_read(int64_t begin, int64_t end) const;
  // Waits for all; returns the bytes written to copies since they were begun. Rethrows as well;
  // afterwards all is quiet in any case.
  uint64_t finish();
  // Waits for all; errors are kept for `wait` or `finish`.
  void settle() noexcept { worker_.settle(); }

private:
  struct PartUpdate {
    size_t part = 0;            // of the gradients
    std::optional<size_t> copy; // of the same weights, of which each piece is renewed at once
    UpdateSweep sweep = UpdateSweep::whole;
  };
  // The first has no copy, then each the next one; those behind the last copy have late state.
  struct Job {
    std::vector<PartUpdate> updates; // before the copy is renewed
    bool renewed_by_update = false;  // its copy, by an update here or in an earlier job
  };

  void assign_parts(std::span<const backend::StagedPart> in_place);
  void assign_late_state(std::span<const int64_t> gradients);
  std::optional<size_t> copy_of_all(size_t part) const;
  void run(size_t job);
  void renew_copy(size_t copy);
  void update_part(const PartUpdate& update);

  backend::StagedArray& array_;
  const TrainedTensors& tensors_;
  ThreadPool& pool_;
  std::vector<Job> jobs_; // none where there is no copy
  // Of the worker's thread while it works.
  Optimizer* optimizer_ = nullptr; // null: there is nothing to update
  std::vector<std::optional<NarrowGradients::Access>> gradients_; // by part, until it is read
  PendingWrite* pending_ = nullptr;
  uint64_t bytes_ = 0;
  bool failed_ = false; // a copy: the others are left, too
  BackgroundWorker worker_;
};

} // namespace anet::train
