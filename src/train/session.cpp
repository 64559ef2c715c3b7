#include "train/session.h"

#include "backend/host_access.h"
#include "backend/run_totals.h"
#include "base/status.h"
#include "train/schedule.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace anet::train {

namespace {

class Stopwatch {
public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

MemoryPlan complete_plan(const StepPlan& step_plan, const SessionOptions& options) {
  MemoryPlan plan = step_plan.memory();
  const auto elements = static_cast<uint64_t>(step_plan.weights().trained().flat_size());
  plan.optimizer = elements * Optimizer::state_bytes(options);
  return plan;
}

void check_memory(const MemoryPlan& plan, uint64_t limit) {
  if (limit == 0 || plan.total() <= limit) return;
  fail(Status::memory_limit, "expected a plan of at most ", limit, " bytes (max_memory), seen ",
       plan.total(), ": weights ", plan.weights, ", gradients ", plan.gradients, ", optimizer ",
       plan.optimizer, ", staged ", plan.staged, ", activations ", plan.activations, ", workspace ",
       plan.workspace, "; a smaller batch or sequence, or activation_checkpointing, needs less");
}

void check_ids(std::span<const int32_t> ids, int32_t vocab_size, bool ignorable, const char* what) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    if (ignorable && ids[i] == io::ignored_target) continue;
    fail(Status::out_of_range, "expected ", what, " below the vocabulary's size ", vocab_size,
         ", seen ", ids[i], " at position ", i);
  }
}

void add_timing(StepResult& total, const PassResult& pass) {
  total.forward_seconds += pass.seconds[static_cast<size_t>(Phase::forward)];
  total.loss_seconds += pass.seconds[static_cast<size_t>(Phase::loss)];
  total.backward_seconds += pass.seconds[static_cast<size_t>(Phase::backward)];
  total.staging_seconds += pass.staging_seconds;
  total.bytes_staged += pass.bytes_staged;
  backend::add_totals(total.work, pass.work);
}

// Throws unsupported_option also for what the device cannot honour.
SessionOptions resolve_for(const backend::Device& device, const SessionOptions& options,
                           const model::Config& config, const model::Adapter* adapter) {
  if (adapter != nullptr && !options.trainable.empty())
    fail(Status::unsupported_option, "expected no trainable patterns with an adapter, which is ",
         "trained alone, seen ", options.trainable.size());
  const SessionOptions resolved = resolve(
      options, config, backend::computes_fp32(device) ? PrecisionMode::f32 : PrecisionMode::f16);
  backend::check_precision(device, StepPlan::dtype_of(resolved));
  return resolved;
}

// The embedding that is trained, and whether the head shares it: then it matters where the device
// returns the head's gradient in fp16.
Optimizer optimizer_of(const backend::Device& device, const StepWeights& weights,
                       const SessionOptions& options) {
  const model::ParameterTable& parameters = weights.parameters();
  const bool shared = &parameters.embedding() == &parameters.head();
  const bool is_table = !weights.adapter() && (!shared || device.capabilities().narrow_gradients);
  return {options, weights.trained(), is_table ? &parameters.embedding() : nullptr, shared};
}

// Rows that count nothing, to fill a last micro-batch.
void add_empty_rows(io::Batch& batch, int64_t rows) {
  const auto used = static_cast<size_t>(batch.count * batch.sequence_length);
  const int64_t part = batch.sequence_length / batch.parts;
  batch.resize(rows, batch.sequence_length);
  for (size_t i = used; i < batch.inputs.size(); ++i) {
    batch.inputs[i] = 0;
    batch.targets[i] = io::ignored_target;
    batch.positions[i] = static_cast<int32_t>(static_cast<int64_t>(i) % part);
  }
}

// The documents of one row, with the losses of its tokens.
void append_documents(const Batch& batch, int64_t row, std::span<const float> losses,
                      int64_t dataset_row, std::vector<DocumentLoss>& documents) {
  const int64_t part = batch.length / batch.parts;
  DocumentLoss next{.row = dataset_row};
  const auto close = [&] {
    if (next.tokens > 0) documents.push_back(next);
  };
  for (int64_t column = 0; column < batch.length; ++column) {
    const auto at = static_cast<size_t>(row * batch.length + column);
    if (column > 0 && (column % part == 0 || batch.positions[at] == 0)) {
      close();
      next = {.row = dataset_row, .document = next.document + 1, .begin = column};
    }
    if (batch.targets[at] == io::ignored_target) continue;
    next.loss_sum += losses[at];
    next.tokens += 1;
  }
  close();
}

// For planning, which outlives nothing.
template <typename T>
std::shared_ptr<const T> borrowed(const T& object) {
  return {std::shared_ptr<void>(), &object};
}

StepWeights weights_of(const backend::Device& device, const std::shared_ptr<model::Model>& model,
                       const std::shared_ptr<model::Adapter>& adapter,
                       const SessionOptions& options) {
  if (adapter) return {device, adapter};
  return {device, model->config(), model, options.trainable};
}

} // namespace

MemoryPlan Session::plan_memory(backend::Device& device, const model::Config& config,
                                const SessionOptions& options) {
  const model::Config resolved_config = model::resolve(config);
  const bool has_constants = device.capabilities().prefers_constants && !options.trainable.empty();
  if (has_constants) return plan_memory(device, model::Model(resolved_config), nullptr, options);
  const SessionOptions resolved = resolve_for(device, options, resolved_config, nullptr);
  StepWeights weights(device, resolved_config, nullptr, resolved.trainable);
  return complete_plan(StepPlan(device, std::move(weights), resolved), resolved);
}

MemoryPlan Session::plan_memory(backend::Device& device, const model::Model& model,
                                const model::Adapter* adapter, const SessionOptions& options) {
  const SessionOptions resolved = resolve_for(device, options, model.config(), adapter);
  StepWeights weights =
      adapter != nullptr ? StepWeights(device, borrowed(*adapter))
                         : StepWeights(device, model.config(), borrowed(model), resolved.trainable);
  return complete_plan(StepPlan(device, std::move(weights), resolved), resolved);
}

Session::Session(std::shared_ptr<backend::Device> device, std::shared_ptr<model::Model> model,
                 const SessionOptions& options, Logger logger)
    : Session(std::move(device), std::move(model), nullptr, options, logger) {}

// Handles of models have one type; the session writes to the adapter alone.
Session::Session(std::shared_ptr<backend::Device> device,
                 const std::shared_ptr<model::Adapter>& adapter, const SessionOptions& options,
                 Logger logger)
    : Session(std::move(device), std::const_pointer_cast<model::Model>(adapter->model()), adapter,
              options, logger) {}

Session::Session(std::shared_ptr<backend::Device> device, std::shared_ptr<model::Model> model,
                 std::shared_ptr<model::Adapter> adapter, const SessionOptions& options,
                 Logger logger)
    : device_(std::move(device)), model_(std::move(model)), adapter_(std::move(adapter)),
      claim_(adapter_ ? std::make_unique<TrainingClaim>(adapter_)
                      : std::make_unique<TrainingClaim>(model_)),
      options_(resolve_for(*device_, options, model_->config(), adapter_.get())), logger_(logger),
      plan_(*device_, weights_of(*device_, model_, adapter_, options_), options_),
      memory_plan_(complete_plan(plan_, options_)),
      state_(optimizer_of(*device_, plan_.weights(), options_), plan_) {
  check_memory(memory_plan_, options_.max_memory);
  plan_.bind(weights());
  if (options_.precision == PrecisionMode::f16)
    loss_scale_ = {options_.initial_loss_scale, 0, options_.loss_scale_growth_steps};
  logger_.write(LogLevel::info, "session", "created on ", device_->capabilities().name, ", ",
                trained().weight_count(), " weights to train, ", memory_plan_.total(),
                " bytes planned");
  for (size_t i = 0; options_.precision == PrecisionMode::bf16 && i < plan_.kernels().count();
       ++i) {
    const std::string reason = kernel_report(i).placement.reason;
    if (reason.empty()) continue;
    logger_.write(LogLevel::warning, "session", reason);
    break;
  }
}

Session::~Session() { plan_.settle(); }

// What only training needs.
void Session::prepare_training() {
  if (plan_.can_train()) return;
  // Only by name: "all" would be vectors in truth.
  if (!adapter_ && model_->is_compressed() && options_.trainable.empty())
    fail(Status::unsupported, "expected fp32 weights to train, seen a compressed model; train an ",
         "adapter on it, or choose some of its vectors with trainable");
  state_.allocate(trained().flat_size());
  plan_.bind_gradients(state_.gradients(), state_.optimizer());
}

std::span<float> Session::gradients() {
  prepare_training();
  // From now on the caller may write any of them.
  state_.optimizer().see_all_rows();
  gradients_shared_ = true;
  return state_.gradients();
}

void Session::set_learning_rate(double rate) {
  if (!(std::isfinite(rate) && rate >= options_.min_learning_rate && rate > 0))
    fail(Status::invalid_argument, "expected a learning rate above 0 and at least ",
         "min_learning_rate ", options_.min_learning_rate, ", seen ", rate);
  options_.learning_rate = rate;
}

void Session::set_accumulated_tokens(uint64_t tokens) {
  if (accumulated_.micro_batches == 0)
    fail(Status::invalid_state, "expected an accumulated gradient, seen none");
  if (tokens == 0) fail(Status::invalid_argument, "expected at least one token, seen 0");
  accumulated_.tokens = tokens;
}

void Session::set_property(const std::string& key, const std::string& value) {
  if (key.empty()) fail(Status::invalid_argument, "expected a property key, seen an empty one");
  properties_[key] = value;
}

const std::string* Session::property(const std::string& key) const {
  const auto found = properties_.find(key);
  return found == properties_.end() ? nullptr : &found->second;
}

void Session::check_positions(const Batch& batch) const {
  const auto columns = static_cast<size_t>(batch.sequences * batch.length);
  const auto row = static_cast<size_t>(batch.length);
  const auto part = row / static_cast<size_t>(batch.parts);
  const int32_t limit = model_->config().context_length;
  if (batch.positions.size() != columns)
    fail(Status::shape_mismatch, "expected ", columns, " positions, seen ", batch.positions.size());
  for (size_t i = 0; i < columns; ++i) {
    const int32_t position = batch.positions[i];
    if (position < 0 || position >= limit)
      fail(Status::out_of_range, "expected positions below the model's context_length ", limit,
           ", seen ", position, " in row ", i / row, ", column ", i % row);
    if (i % row == 0) continue; // a document may go on from an earlier row
    const int32_t next = batch.positions[i - 1] + 1;
    const bool boundary = i % part == 0;
    if (position == 0 && (boundary || options_.documents)) continue;
    if (position == next && !boundary) continue;
    if (boundary)
      fail(Status::invalid_data, "expected position 0 where a part begins, seen ", position,
           " in row ", i / row, ", column ", i % row, " of a batch of ", batch.parts, " parts");
    if (position == 0)
      fail(Status::invalid_data, "expected one document a sequence, seen position 0 in row ",
           i / row, ", column ", i % row, "; the session option documents lets rows hold several");
    fail(Status::invalid_data, "expected position ", next, options_.documents ? " or 0" : "",
         ", seen ", position, " in row ", i / row, ", column ", i % row);
  }
}

void Session::check_batch(const Batch& batch) const {
  if (batch.sequences != options_.batch_size || batch.length != options_.sequence_length)
    fail(Status::shape_mismatch, "expected a batch of ", options_.batch_size, " sequences of ",
         options_.sequence_length, " tokens, seen ", batch.sequences, " of ", batch.length);
  const auto columns = static_cast<size_t>(batch.sequences * batch.length);
  if (batch.tokens.size() != columns || batch.targets.size() != columns)
    fail(Status::shape_mismatch, "expected ", columns, " tokens and targets, seen ",
         batch.tokens.size(), " and ", batch.targets.size());
  const int64_t most = int64_t{1} << options_.length_buckets;
  if (batch.parts < 1 || batch.parts > most || most % batch.parts != 0)
    fail(Status::invalid_argument, "expected a batch whose parts are a power of 2 up to ", most,
         ", as the session option length_buckets = ", options_.length_buckets,
         " has them, seen parts = ", batch.parts);
  if (!batch.positions.empty()) check_positions(batch);
  check_ids(batch.tokens, model_->config().vocab_size, false, "a token id");
  check_ids(batch.targets, model_->config().vocab_size, true, "a target id");
}

uint64_t Session::trained_revision() const {
  return adapter_ ? adapter_->revision() : model_->revision();
}

template <typename Pass>
PassResult Session::with_current_weights(Pass&& pass) {
  const uint64_t trained = trained_revision(), frozen = model_->revision();
  const Renewal renewal{.trained = staged_trained_ != trained,
                        .frozen = staged_frozen_ != frozen,
                        .mirrored = mirrored_trained_ == trained};
  mirrored_trained_.reset();
  staged_trained_.reset(); // a pass that fails may leave some copies old
  staged_frozen_.reset();
  PassResult result = pass(renewal);
  staged_trained_ = trained;
  staged_frozen_ = frozen;
  return result;
}

void Session::accumulate(const Batch& batch, bool alone, StepResult& result) {
  prepare_training();
  const DropoutMoment moment{options_.seed, steps_done_, accumulated_.micro_batches};
  state_.see_rows(batch.tokens);
  accumulated_.narrow = alone && !gradients_shared_ && plan_.narrow_gradients() != nullptr;
  const PassResult pass = with_current_weights([&](const Renewal& renewal) {
    return plan_.forward_backward(batch, loss_scale_.scale, moment, renewal, accumulated_.narrow,
                                  cancel_);
  });
  add_timing(result, pass);
  if (options_.precision != PrecisionMode::f16 && !std::isfinite(pass.loss_sum))
    fail(Status::numeric, "expected a finite loss, seen ", pass.loss_sum,
         "; a lower learning rate or clip_norm may help");
  accumulated_.micro_batches += 1;
  accumulated_.tokens += pass.tokens;
  accumulated_.loss_sum += pass.loss_sum;
  accumulated_.overflowed |= pass.overflowed;
}

StepResult Session::forward_backward(const Batch& batch, bool alone) {
  const Stopwatch watch;
  const Running running(*this);
  StepResult result;
  try {
    check_batch(batch);
    accumulate(batch, alone, result);
  } catch (...) {
    zero_gradients();
    throw;
  }
  result.step = steps_done_;
  result.tokens = accumulated_.tokens;
  result.tokens_seen = tokens_seen_;
  result.loss = accumulated_.tokens == 0
                    ? 0
                    : accumulated_.loss_sum / static_cast<double>(accumulated_.tokens);
  result.loss_scale = loss_scale_.scale;
  result.seconds = watch.seconds();
  StepResult& timing = accumulated_.timing;
  timing.forward_seconds += result.forward_seconds;
  timing.backward_seconds += result.backward_seconds;
  timing.loss_seconds += result.loss_seconds;
  timing.staging_seconds += result.staging_seconds;
  timing.bytes_staged += result.bytes_staged;
  backend::add_totals(timing.work, result.work);
  timing.seconds += result.seconds;
  return result;
}

void Session::zero_gradients() {
  const auto values = state_.gradients();
  std::fill(values.begin(), values.end(), 0.0f);
  state_.optimizer().forget_shared_rows();
  accumulated_ = {};
}

// Everything that can fail happens before the first weight changes.
StepResult Session::update() {
  if (accumulated_.micro_batches == 0)
    fail(Status::invalid_state, "expected an accumulated gradient, seen none");
  if (accumulated_.tokens == 0)
    fail(Status::invalid_data, "expected at least one counted target, seen none");
  const Stopwatch watch;
  const auto tokens = static_cast<double>(accumulated_.tokens);
  StepResult result = accumulated_.timing;
  result.tokens = accumulated_.tokens;
  result.loss = accumulated_.loss_sum / tokens;
  result.learning_rate = scheduled_learning_rate(options_, steps_done_);
  result.loss_scale = loss_scale_.scale;

  const double to_mean = 1 / (tokens * loss_scale_.scale);
  ThreadPool& pool = device_->thread_pool();
  std::optional<NarrowGradients::Access> access;
  if (accumulated_.narrow) access.emplace(*plan_.narrow_gradients());
  const Float16Gradients narrow = access ? access->values() : Float16Gradients();
  result.grad_norm = state_.optimizer().gradient_norm(pool, state_.gradients(), narrow) * to_mean;
  result.skipped = accumulated_.overflowed || !std::isfinite(result.grad_norm);
  if (result.skipped && options_.precision != PrecisionMode::f16)
    fail(Status::numeric, "expected a finite gradient, seen a norm of ", result.grad_norm);

  if (result.skipped) {
    if (!loss_scale_.can_shrink())
      fail(Status::numeric,
           "expected gradients within fp16's range, seen an overflow at loss scale ",
           loss_scale_.scale, "; precision f32 or a lower learning rate may help");
    loss_scale_.overflowed();
    zero_gradients();
    logger_.write(LogLevel::warning, "session", "gradients overflowed, loss scale is now ",
                  loss_scale_.scale);
  } else {
    double factor = to_mean;
    if (options_.clip_norm > 0 && result.grad_norm > options_.clip_norm)
      factor *= options_.clip_norm / result.grad_norm;
    update_weights({result.learning_rate, factor}, std::move(access));
    result.bytes_staged += plan_.trained_mirror().size_bytes();
  }
  accumulated_ = {};
  result.step = steps_done_;
  result.tokens_seen = tokens_seen_;
  result.optimizer_seconds = watch.seconds();
  result.seconds += result.optimizer_seconds;
  return result;
}

// Counts the step as well.
void Session::update_weights(const Update& update, std::optional<NarrowGradients::Access> narrow) {
  const bool in_background =
      plan_.can_update_in_background() && !weights_shared_ && !gradients_shared_;
  if (in_background) plan_.prepare_update();
  // Skipped steps do not count: Adam's bias correction follows the updates made.
  steps_done_ += 1;
  tokens_seen_ += accumulated_.tokens;
  loss_scale_.succeeded();
  const std::span<uint16_t> mirror = plan_.trained_mirror();
  // The update writes what it changes; the rest must be there.
  const bool complete = !mirror.empty() && staged_trained_ == trained_revision();
  const bool frozen_staged = staged_frozen_ == model_->revision();
  weights_changed(); // holders of copies, such as generators, see them trained
  if (frozen_staged) staged_frozen_ = model_->revision();
  staged_trained_.reset();
  const UpdateArrays arrays{weights(), state_.gradients(), mirror,
                            narrow ? narrow->values() : Float16Gradients()};
  if (in_background) {
    state_.optimizer().begin_update(update, arrays);
    plan_.begin_update(state_.optimizer(), std::move(narrow),
                       adapter_ ? adapter_->pending_write() : model_->pending_write());
  } else {
    state_.optimizer().update(device_->thread_pool(), update, arrays);
  }
  if (complete) mirrored_trained_ = trained_revision();
  if (in_background) staged_trained_ = trained_revision();
}

StepResult Session::optimizer_step() {
  try {
    return update();
  } catch (...) {
    zero_gradients();
    throw;
  }
}

StepResult Session::step(std::span<const Batch> batches) {
  if (accumulated_.micro_batches != 0)
    fail(Status::invalid_state, "expected no accumulated gradient, seen ",
         accumulated_.micro_batches, " micro-batches; call the optimizer step or zero them first");
  if (batches.empty()) fail(Status::invalid_data, "expected at least one batch, seen none");
  const Running running(*this);
  for (const Batch& batch : batches) forward_backward(batch, batches.size() == 1);
  return optimizer_step();
}

PassResult Session::evaluate_pass(const Batch& batch) {
  const PassResult pass = with_current_weights(
      [&](const Renewal& renewal) { return plan_.forward(batch, renewal, cancel_); });
  if (!std::isfinite(pass.loss_sum))
    fail(Status::numeric, "expected a finite loss, seen ", pass.loss_sum);
  return pass;
}

EvalResult Session::eval(const Batch& batch) {
  const Stopwatch watch;
  const Running running(*this);
  check_batch(batch);
  const PassResult pass = evaluate_pass(batch);
  if (pass.tokens == 0)
    fail(Status::invalid_data, "expected at least one counted target, seen none");
  return {pass.loss_sum / static_cast<double>(pass.tokens), pass.tokens, watch.seconds()};
}

void Session::check_dataset(const io::Dataset& dataset) const {
  if (dataset.sequence_length() != options_.sequence_length)
    fail(Status::shape_mismatch, "expected a dataset of rows of ", options_.sequence_length,
         " tokens, seen ", dataset.sequence_length());
}

template <typename Visitor>
void Session::for_each_pass(const io::Dataset& dataset, uint64_t max_windows, Visitor&& visit) {
  check_dataset(dataset);
  const auto all = static_cast<uint64_t>(dataset.count());
  const auto windows = static_cast<int64_t>(max_windows == 0 ? all : std::min(max_windows, all));
  const int64_t rows = options_.batch_size;
  io::Batch data;
  for (int64_t first = 0; first < windows; first += rows) {
    const int64_t used = std::min(rows, windows - first);
    dataset.read(first, used, data);
    if (used < rows) add_empty_rows(data, rows);
    const Batch batch = batch_of(data);
    check_batch(batch);
    visit(evaluate_pass(batch), batch, first, used);
  }
}

EvalResult Session::evaluate(const io::Dataset& dataset, uint64_t max_windows) {
  const Stopwatch watch;
  const Running running(*this);
  double loss_sum = 0;
  uint64_t tokens = 0;
  for_each_pass(
      dataset, max_windows,
      [&](const PassResult& pass, const Batch& /*batch*/, int64_t /*first*/, int64_t /*rows*/) {
        loss_sum += pass.loss_sum;
        tokens += pass.tokens;
      });
  if (tokens == 0) fail(Status::invalid_data, "expected at least one counted target, seen none");
  return {loss_sum / static_cast<double>(tokens), tokens, watch.seconds()};
}

std::vector<DocumentLoss> Session::score(const io::Dataset& dataset, uint64_t max_windows) {
  const Running running(*this);
  std::vector<DocumentLoss> documents;
  for_each_pass(dataset, max_windows,
                [&](const PassResult& /*pass*/, const Batch& batch, int64_t first, int64_t rows) {
                  for (int64_t row = 0; row < rows; ++row)
                    append_documents(batch, row, plan_.token_losses(),
                                     dataset.example_index(first + row), documents);
                });
  std::stable_sort(documents.begin(), documents.end(),
                   [](const DocumentLoss& a, const DocumentLoss& b) { return a.row < b.row; });
  return documents;
}

} // namespace anet::train
