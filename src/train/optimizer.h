// AdamW (Loshchilov & Hutter 2019) and SGD with momentum over the trained tensors.
#pragma once

#include "base/thread_pool.h"
#include "train/optimizer_kernels.h"
#include "train/options.h"
#include "train/seen_rows.h"
#include "train/state_array.h"
#include "train/trained_tensors.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace anet::train {

// What one update needs to know beyond the options.
struct Update {
  double learning_rate = 0;
  double gradient_factor = 1; // multiplies the accumulated gradient: mean, unscale and clip in one
};

// Gradients in fp16, by part of the trained tensors, read in place of those in the flat array,
// which are zeros; null for the other parts. None at all may be empty.
using Float16Gradients = std::span<const uint16_t* const>;

// What one update reads and writes; each but the last is one flat array.
struct UpdateArrays {
  std::span<float> weights;
  std::span<float> gradients; // laid out like the trained tensors
  // The new weights in bfloat16, rounded to nearest even, laid out like the weights; may be empty.
  std::span<uint16_t> bfloat16_weights = {};
  Float16Gradients float16_gradients = {};
};

// What an optimizer remembers. The arrays are laid out like the gradients.
struct OptimizerState {
  std::vector<StateArray> arrays;
  int64_t updates = 0; // made so far
};

class Optimizer {
public:
  // Names of the state arrays: {"exp_avg", "exp_avg_sq"}, {"momentum_buffer"} or none.
  static std::vector<std::string> state_names(const SessionOptions& options);
  static mil::DataType state_type(const SessionOptions& options);
  // Bytes of them for each trained element.
  static uint64_t state_bytes(const SessionOptions& options);

  // The tensors' parameters outlive this object. Of `table`, unless it is null, programs look up
  // the rows of a batch's tokens. Where they read nothing else of it, gradient and state are zeros
  // unless a row was ever seen, and the update leaves them out, with the same result. Where it is
  // `shared`, as the matrix of the head too, only rows that were seen have gradients in the flat
  // array beside those in fp16.
  Optimizer(const SessionOptions& options, const TrainedTensors& tensors,
            const model::Parameter* table = nullptr, bool shared = false);

  // Zeros, once; a later call does nothing. Throws out_of_memory.
  void allocate();
  bool is_allocated() const { return state_.arrays.size() == names_.size(); }

  // L2 norm, accumulated in double over fixed segments: the same bits for any number of threads.
  // With gradients in fp16 first adds those of a shared table to the rows that were seen, once, and
  // leaves out what sum_squares has done; then forgets it.
  double gradient_norm(ThreadPool& pool, std::span<float> gradients,
                       Float16Gradients float16_gradients = {});
  // Does what a part adds to the norm ahead, when its gradients in fp16 are complete. Rows of a
  // shared table that were seen are not before the pass ends: they are left to gradient_norm.
  // Thread class: a thread for each part, not beside see_rows.
  void sum_squares(ThreadPool& pool, size_t part, Float16Gradients gradients);
  void forget_squares();
  // Counts the update, and leaves the gradients of the flat array zero. Cannot fail: a session's
  // step is atomic because this is its last act.
  void update(ThreadPool& pool, const Update& update, const UpdateArrays& arrays);
  // The same piece by piece: counts it, and decides all that update_part computes with. Rows that
  // are seen from here on belong to the next one. Cannot fail.
  void begin_update(const Update& update, const UpdateArrays& arrays);
  // Elements of a part, each once for an update, or once in either sweep, in any order, which
  // changes no bit: whole rows of a table. Thread class: any thread, also beside see_rows.
  void update_part(size_t part, int64_t begin, int64_t end, UpdateSweep sweep = UpdateSweep::whole);

  const std::vector<std::string>& names() const { return names_; }
  StateArray& state(size_t index) { return state_.arrays[index]; }
  const StateArray& state(size_t index) const { return state_.arrays[index]; }
  int64_t updates() const { return state_.updates; }
  void set_updates(int64_t updates) { state_.updates = updates; }
  OptimizerState fresh_state() const; // throws out_of_memory
  // Goes on from another state, and returns the one so far.
  OptimizerState exchange(OptimizerState state) noexcept;

  // Rows of the table whose gradients may have become, or may become, other than zero.
  void see_rows(std::span<const int32_t> rows) { seen_.add(rows); }
  // The gradients are zeros, whatever rows were seen since the last update.
  void forget_shared_rows() {
    if (shared_) seen_.clear();
  }
  void see_all_rows() { seen_.add_all(); }
  void see_rows_of_state(); // after the state has been read from a file

private:
  struct Segment {
    int64_t begin = 0; // in the gradients and the state
    int64_t end = 0;
    int64_t weights = 0; // in the weights
    size_t part = 0;
    int64_t within = 0; // the first element's place in its part
    bool decay = false;
    int64_t row_size = 0; // of a table's rows, whole ones; 0: any other tensor
    int64_t first_row = 0;
  };

  // What an update that was begun computes with.
  struct Begun {
    UpdateArrays arrays;
    float decayed = 1; // what is left of weights
    float kept = 1;
    uint32_t noise = 0; // of the state's rounding
    AdamWFactors adamw;
    SgdFactors sgd;
  };

  static Segment segment_of(const Segment& part, int64_t begin, int64_t end);
  void add_part(const TrainedTensor& tensor, const GradientPart& part, int64_t row_size);
  // Where the gradients of elements are; none: they and the state are zeros.
  enum class Source : uint8_t { none, sums, halves };
  // Calls visit(begin, end, source) for parts of the segment, in elements of the gradients.
  template <typename Visitor>
  void for_each_run(const SeenRows& seen, const Segment& segment, bool narrow,
                    Visitor&& visit) const;
  double sum_of_squares(const Segment& segment, Source of, std::span<const float> gradients,
                        const uint16_t* halves) const;
  // Where those of a segment begin, or null.
  static const uint16_t* find(Float16Gradients gradients, const Segment& segment);
  void add_to_shared_rows(const Segment& segment, std::span<float> gradients,
                          const uint16_t* halves) const;
  void update_segment(const Segment& segment, UpdateSweep sweep);
  void update_range(const UpdateRange& range, float keep) const;

  SessionOptions options_;
  std::vector<std::string> names_;
  OptimizerState state_;
  int64_t flat_size_;
  SeenRows seen_;
  bool shared_;                   // the table that they are of
  std::vector<Segment> parts_;    // whole ones
  std::vector<Segment> segments_; // of them
  Begun begun_;
  SeenRows updated_rows_; // as they were seen when the update began
  // So that a step allocates nothing.
  std::vector<double> segment_sums_;
  std::vector<uint8_t> summed_; // by segment: done ahead
};

} // namespace anet::train
