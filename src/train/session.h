// A training session: a model or an adapter on one, its gradients, its optimizer and the plan of a
// step.
#pragma once

#include "backend/backend.h"
#include "base/json.h"
#include "base/log.h"
#include "io/checkpoint.h"
#include "io/dataset/dataset.h"
#include "model/adapter.h"
#include "model/model.h"
#include "train/loss_scale.h"
#include "train/optimizer.h"
#include "train/options.h"
#include "train/step_plan.h"
#include "train/updated_state.h"

#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace anet::train {

// See anet_step_result.
struct StepResult {
  bool skipped = false;
  int64_t step = 0;
  double loss = 0;
  uint64_t tokens = 0;
  uint64_t tokens_seen = 0; // counted targets of all updates, of the runs resumed from too
  double grad_norm = 0;
  double learning_rate = 0;
  double loss_scale = 1;
  double seconds = 0;
  double forward_seconds = 0;
  double backward_seconds = 0;
  double loss_seconds = 0;
  double optimizer_seconds = 0;
  double staging_seconds = 0;
  uint64_t bytes_staged = 0;
  backend::RunTotals work; // of the kernels
};

struct EvalResult {
  double loss = 0;
  uint64_t tokens = 0;
  double seconds = 0;

  // exp(loss); infinity where a double cannot hold it.
  double perplexity() const { return std::exp(loss); }
};

// What a document in a dataset's row costs. A document begins where the positions are 0, and with
// each part of the row.
struct DocumentLoss {
  int64_t row = 0;      // of the dataset, whatever order it is read in
  int64_t document = 0; // in the row, from 0 on; those without a counted target are left out
  int64_t begin = 0;    // the document's first column in the row
  double loss_sum = 0;  // nats
  uint64_t tokens = 0;  // counted targets

  double loss() const { return loss_sum / static_cast<double>(tokens); }
};

struct FitEvent {
  enum class Kind : int32_t { step = 1, eval = 2, save = 3, sample = 4 };
  Kind kind = Kind::step;
  StepResult step;
  EvalResult eval;
  bool improved = false; // of an evaluation: the best of the run
  std::string checkpoint;
};

// Counts are of steps from the session's first on, so that a resumed run keeps the rhythm.
struct FitOptions {
  int64_t steps = 0;
  int64_t eval_every = 0;
  uint64_t eval_windows = 0;
  bool eval_at_end = false; // after the last step too, whatever eval_every
  int64_t save_every = 0;
  std::string checkpoint_root;
  int64_t keep_last = 0;
  int64_t sample_every = 0; // events of kind sample, whose callback generates
  // Stops after so many evaluations in a row that were not better than the best one by more than
  // min_delta. 0: never. A resumed run goes on counting.
  int64_t patience = 0;
  double min_delta = 0;
  // 0 goes on, above stops, below fails with Status::callback.
  std::function<int32_t(const FitEvent&)> callback;
};

enum class FitEnd : int32_t { steps = 1, callback = 2, no_improvement = 3 };

struct FitResult {
  FitEnd end = FitEnd::steps;
  StepResult step;                      // the last one
  std::optional<EvalResult> evaluation; // the last one of this call
  std::optional<double> best_loss;      // of the run's evaluations
  int64_t best_step = 0;                // the step before it
};

// Marks what a session trains as being trained, and the base of an adapter as frozen. Throws busy.
class TrainingClaim {
public:
  explicit TrainingClaim(std::shared_ptr<model::Model> model);
  explicit TrainingClaim(std::shared_ptr<model::Adapter> adapter);
  ~TrainingClaim();
  TrainingClaim(const TrainingClaim&) = delete;
  TrainingClaim& operator=(const TrainingClaim&) = delete;

private:
  std::shared_ptr<model::Model> model_;
  std::shared_ptr<model::Adapter> adapter_;
  std::optional<model::FrozenModel> base_;
};

// Thread class: one thread at a time, except cancel.
class Session {
public:
  // Of steps, updates and rows: what a run adds to so many fits 64 bits.
  static constexpr int64_t max_count = int64_t{1} << 62;

  // What a session would use; allocates none of it. Everything is allocated when the session is
  // made, but for the gradients, the optimizer's state and what backward keeps: those by the first
  // call that trains.
  static MemoryPlan plan_memory(backend::Device& device, const model::Config& config,
                                const SessionOptions& options);
  // The same for weights as this model holds them, and for an adapter on it, unless that is null.
  static MemoryPlan plan_memory(backend::Device& device, const model::Model& model,
                                const model::Adapter* adapter, const SessionOptions& options);

  // Throws invalid_argument, unsupported_option, memory_limit with the plan, busy.
  Session(std::shared_ptr<backend::Device> device, std::shared_ptr<model::Model> model,
          const SessionOptions& options, Logger logger = {});
  // Trains the adapter; its model stays frozen for as long as the session lives.
  Session(std::shared_ptr<backend::Device> device, const std::shared_ptr<model::Adapter>& adapter,
          const SessionOptions& options, Logger logger = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Atomic: a failure leaves weights and optimizer as before and discards the gradients. On a
  // device that leaves the CPU free the update goes on after the call, beside the next pass:
  // everything is decided before, and whoever sees what it writes waits for it.
  StepResult step(std::span<const Batch> batches);
  StepResult forward_backward(const Batch& batch) { return forward_backward(batch, false); }
  StepResult optimizer_step();
  void zero_gradients();

  EvalResult eval(const Batch& batch);
  // The mean over the counted targets of the dataset's first `max_windows` rows (0: of all).
  EvalResult evaluate(const io::Dataset& dataset, uint64_t max_windows);
  // The same rows, document by document, in the order of the dataset's rows.
  std::vector<DocumentLoss> score(const io::Dataset& dataset, uint64_t max_windows);
  // Trains from the cursor on. Throws invalid_data when the session was resumed and `train` is not
  // what its checkpoint was trained on, unless the cursor has been set since.
  FitResult fit(const io::Dataset& train, const io::Dataset* validation, const FitOptions& options);
  // Any thread, also a signal handler.
  void cancel() { cancel_.store(true, std::memory_order_relaxed); }

  const SessionOptions& options() const { return options_; }
  const MemoryPlan& memory_plan() const { return memory_plan_; }
  // Since the session began, evaluations included.
  size_t kernel_count() const { return plan_.kernels().count(); }
  KernelReport kernel_report(size_t index) const { return plan_.kernels().report(index); }
  const std::shared_ptr<model::Model>& model() const { return model_; } // the base of an adapter
  const std::shared_ptr<model::Adapter>& adapter() const { return adapter_; } // or null
  // What is trained, and where its gradients are in gradients().
  const TrainedTensors& trained() const { return plan_.weights().trained(); }
  // Goes on with another adapter of the same shapes on the same model; compiles nothing. The
  // optimizer's state of each adapter is kept for as long as the session lives, and so is the
  // adapter. Throws shape_mismatch naming the module, invalid_argument, invalid_state when
  // gradients are accumulated or a model is trained, busy; then the session is as before.
  void swap_adapter(std::shared_ptr<model::Adapter> adapter);
  const std::shared_ptr<backend::Device>& device() const { return device_; }
  int64_t steps_done() const { return steps_done_; }
  uint64_t cursor() const { return cursor_; }
  void set_cursor(uint64_t cursor) {
    cursor_ = cursor;
    restored_fingerprint_.clear();
  }
  uint64_t tokens_seen() const { return tokens_seen_; }
  void set_learning_rate(double rate);
  // Of the adapter, or of the whole model. A step may go on writing them when it has returned: ask
  // again after each, or keep what share_weights returns.
  std::span<float> weights() { return adapter_ ? adapter_->weights() : model_->weights(); }
  std::span<float> share_weights() {
    weights_shared_ = true;
    return weights();
  }
  // Of what is trained; zeros before the first call that trains. May be kept.
  std::span<float> gradients();
  uint64_t accumulated_tokens() const { return accumulated_.tokens; }
  void set_accumulated_tokens(uint64_t tokens);
  void weights_changed() { adapter_ ? adapter_->touch() : model_->touch(); }

  void set_property(const std::string& key, const std::string& value);
  void remove_property(const std::string& key) { properties_.erase(key); }
  const std::string* property(const std::string& key) const; // nullptr: none

  // Saves `<root>/step-<step>`; `loss` competes for the best.
  io::CheckpointEntry save(const std::string& root, int64_t keep_last, std::optional<double> loss);

private:
  // Lasts as long as a call that runs kernels. Only the outermost one forgets an earlier
  // cancellation: one that comes between the steps of a fit, or in its callback, is not lost.
  class Running {
  public:
    explicit Running(Session& session) : session_(session) {
      if (session_.running_++ == 0) session_.cancel_.store(false, std::memory_order_relaxed);
    }
    ~Running() { --session_.running_; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

  private:
    Session& session_;
  };

  // Training state of a checkpoint; session_checkpoint.cpp.
  friend std::unique_ptr<Session> resume(std::shared_ptr<backend::Device> device,
                                         const std::string& path, const SessionOptions* options,
                                         Logger logger);
  friend std::unique_ptr<Session> resume_adapter(std::shared_ptr<backend::Device> device,
                                                 std::shared_ptr<const model::Model> base,
                                                 const std::string& path,
                                                 const SessionOptions* options, Logger logger);
  Json checkpoint_sections();
  void restore(const io::CheckpointReader& reader);
  void restore_data(const JsonView& data);
  void restore_evaluations(const JsonView& evaluations);

  Session(std::shared_ptr<backend::Device> device, std::shared_ptr<model::Model> model,
          std::shared_ptr<model::Adapter> adapter, const SessionOptions& options, Logger logger);
  uint64_t trained_revision() const;
  void prepare_training();
  void check_swap(const model::Adapter* adapter) const;
  void check_batch(const Batch& batch) const;
  void check_positions(const Batch& batch) const;
  // `alone`: there is no other micro-batch in its step.
  StepResult forward_backward(const Batch& batch, bool alone);
  void accumulate(const Batch& batch, bool alone, StepResult& result);
  StepResult update();
  void update_weights(const Update& update, std::optional<NarrowGradients::Access> narrow);
  PassResult evaluate_pass(const Batch& batch);
  void check_dataset(const io::Dataset& dataset) const;
  void check_resumed_data(const std::string& fingerprint) const;
  // Calls visit(pass, batch, first, rows) after each micro-batch: `rows` items from `first` on.
  template <typename Visitor>
  void for_each_pass(const io::Dataset& dataset, uint64_t max_windows, Visitor&& visit);
  bool after_step(const io::Dataset* validation, const FitOptions& options, bool at_end,
                  FitEvent& event, FitResult& result);
  bool note_evaluation(double loss, double min_delta);
  // Runs a pass, which renews the copies of weights that have changed.
  template <typename Pass>
  PassResult with_current_weights(Pass&& pass);

  std::shared_ptr<backend::Device> device_;
  std::shared_ptr<model::Model> model_;
  std::shared_ptr<model::Adapter> adapter_; // null: the model is trained
  std::unique_ptr<TrainingClaim> claim_;
  SessionOptions options_;
  Logger logger_;
  StepPlan plan_;
  MemoryPlan memory_plan_;
  UpdatedState state_;
  bool gradients_shared_ = false; // with the caller, who may have written to them
  bool weights_shared_ = false;
  // Of other adapters that this session has trained.
  std::map<std::shared_ptr<model::Adapter>, OptimizerState> resting_;
  // Of the weights that the plan has copies of.
  std::optional<uint64_t> staged_trained_;
  std::optional<uint64_t> staged_frozen_;
  std::optional<uint64_t> mirrored_trained_; // of those that the last update wrote in bf16, too
  std::optional<Json> base_;                 // fingerprint, once it is needed

  // Since the last update.
  struct Accumulated {
    int64_t micro_batches = 0;
    uint64_t tokens = 0;
    double loss_sum = 0;
    bool overflowed = false; // in fp16
    bool narrow = false;     // in the plan's narrow gradients, as far as it has them
    StepResult timing;
  };
  Accumulated accumulated_;

  LossScale loss_scale_;
  int64_t steps_done_ = 0;
  uint64_t cursor_ = 0;
  uint64_t tokens_seen_ = 0;
  std::string data_fingerprint_;     // of what fit last trained on
  std::string restored_fingerprint_; // the same at the checkpoint, until the cursor is set

  // Evaluations of the run.
  struct Progress {
    std::optional<double> best_loss;
    int64_t best_step = 0;
    int64_t without_improvement = 0;
  };
  Progress progress_;
  std::map<std::string, std::string> properties_;
  std::atomic<bool> cancel_{false};
  int32_t running_ = 0; // nested calls that run kernels
};

// A model in any format that io::open_model knows, or the file of save_model.
std::shared_ptr<model::Model> load_model(const std::string& path);
// Weights alone: fp32 safetensors with the configuration in the metadata.
void save_model(const model::Model& model, const std::string& path);
// `path` is a checkpoint, or a root: then its latest loadable one. Null options: the checkpoint's.
std::unique_ptr<Session> resume(std::shared_ptr<backend::Device> device, const std::string& path,
                                const SessionOptions* options, Logger logger = {});
// The same for a checkpoint of an adapter, which holds no model: throws invalid_argument, naming
// what differs, for another base than the one that it was trained on.
std::unique_ptr<Session> resume_adapter(std::shared_ptr<backend::Device> device,
                                        std::shared_ptr<const model::Model> base,
                                        const std::string& path, const SessionOptions* options,
                                        Logger logger = {});

} // namespace anet::train
