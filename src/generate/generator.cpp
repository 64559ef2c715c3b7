#include "generate/generator.h"

#include "backend/host_access.h"
#include "backend/tensor_copy.h"
#include "base/status.h"
#include "generate/cached_pass.h"
#include "model/transformer.h"

#include <algorithm>
#include <chrono>
#include <optional>

namespace anet::generate {

namespace {

using backend::Buffer;
using backend::Kernel;
using backend::Layout;
using backend::StagedArray;
using backend::StagedPart;
using backend::View;
using mil::DataType;

constexpr int64_t prefill_positions = 64; // prompt tokens that one pass takes

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Tied to the head, the embedding is staged once, in the layout that the head's product likes.
std::optional<Layout> embedding_layout(const Kernel& head, const model::Config& config) {
  if (!config.tie_embeddings) return std::nullopt;
  return backend::as_matrix(backend::find_port(head.inputs(), "head_weight").layout);
}

} // namespace

struct Generator::State {
  State(backend::Device& device, model::Model& model, int64_t context, DataType dtype)
      : workspace(device.make_workspace()), head(compile_head(device, model, dtype)),
        prefill(device, model.config(), dtype, std::min(prefill_positions, context), context,
                {embedding_layout(*head, model.config()), std::nullopt}, workspace),
        decode(device, model.config(), dtype, 1, context,
               {embedding_layout(*head, model.config()), prefill.cache_layout()}, workspace),
        weights(device, model.weights(), weight_parts(model.parameters())),
        cache(device, model.config(), prefill.cache_layout()) {
    workspace->reserve();
    prefill.bind(weights, model.parameters(), cache);
    decode.bind(weights, model.parameters(), cache);
    bind_head(device, model);
  }

  // The logits of one column of a pass's hidden states.
  std::span<const float> logits_of(CachedPass& pass, int64_t column) {
    copy_column(pass.hidden(), column);
    head->run(head_inputs, {&head_output, 1});
    backend::read_floats(*logits, host_logits);
    return host_logits;
  }

  std::unique_ptr<Kernel> compile_head(backend::Device& device, const model::Model& model,
                                       DataType dtype) const {
    backend::CompileOptions options;
    options.workspace = workspace;
    options.label = "logits";
    options.role = backend::Role::loss;
    return device.compile(model::logits_function(model.config(), dtype, 1), options);
  }

  StagedPart head_part(const model::Parameter& parameter, const char* port) const {
    return {parameter.offset, backend::find_port(head->inputs(), port).layout};
  }

  std::vector<StagedPart> weight_parts(const model::ParameterTable& parameters) const {
    std::vector<StagedPart> parts = prefill.weight_parts(parameters);
    for (const StagedPart& part : decode.weight_parts(parameters)) parts.push_back(part);
    parts.push_back(head_part(parameters.final_norm(), "final_norm_weight"));
    parts.push_back(head_part(parameters.head(), "head_weight"));
    return parts;
  }

  void bind_head(backend::Device& device, const model::Model& model) {
    const model::ParameterTable& parameters = model.parameters();
    last_hidden = device.allocate(backend::find_port(head->inputs(), "hidden").layout);
    logits = device.allocate(head->outputs().front().layout);
    head_inputs = {View(*last_hidden),
                   weights.view(head_part(parameters.final_norm(), "final_norm_weight")),
                   weights.view(head_part(parameters.head(), "head_weight"))};
    head_output = View(*logits);
    host_logits.resize(static_cast<size_t>(model.config().vocab_size));
  }

  void copy_column(Buffer& hidden, int64_t column) const {
    backend::Layout from = hidden.layout();
    from.shape.back() = 1;
    const backend::Mapping source(hidden, false);
    const backend::Mapping target(*last_hidden, true);
    backend::TensorCopy(from, last_hidden->layout())
        .run(source.data() + column * from.strides.back(), target.data(), nullptr);
  }

  std::shared_ptr<backend::Workspace> workspace;
  std::unique_ptr<Kernel> head;
  CachedPass prefill;
  CachedPass decode;
  StagedArray weights;
  KeyValueCache cache;
  std::unique_ptr<Buffer> last_hidden;
  std::unique_ptr<Buffer> logits;
  std::vector<View> head_inputs;
  View head_output;
  std::vector<float> host_logits;
};

Generator::Generator(std::shared_ptr<backend::Device> device, std::shared_ptr<model::Model> model,
                     const GeneratorOptions& options)
    : device_(std::move(device)), model_(std::move(model)) {
  const int64_t limit = model_->config().context_length;
  const int64_t context = options.context_length == 0 ? limit : options.context_length;
  if (context < 1 || context > limit)
    fail(Status::out_of_range, "expected context_length between 1 and the model's ", limit,
         ", seen ", context);
  const mil::DataType dtype = options.dtype.value_or(
      backend::computes_fp32(*device_) ? mil::DataType::fp32 : mil::DataType::fp16);
  backend::check_precision(*device_, dtype);
  state_ = std::make_unique<State>(*device_, *model_, context, dtype);
}

Generator::~Generator() = default;

int64_t Generator::context_length() const { return state_->cache.capacity; }

void Generator::begin(std::span<const int32_t> prompt) {
  cancel_.store(false, std::memory_order_relaxed);
  if (prompt.empty()) fail(Status::invalid_data, "expected at least one prompt token, seen none");
  if (static_cast<int64_t>(prompt.size()) > state_->cache.capacity)
    fail(Status::invalid_data, "expected a prompt of at most ", state_->cache.capacity,
         " tokens, the context's length, seen ", prompt.size());
  const int32_t vocab_size = config().vocab_size;
  for (size_t i = 0; i < prompt.size(); ++i)
    if (prompt[i] < 0 || prompt[i] >= vocab_size)
      fail(Status::out_of_range, "expected a token id below the vocabulary's size ", vocab_size,
           ", seen ", prompt[i], " at position ", i);
  // The session may have moved the weights since the last call.
  state_->weights.renew_all(device_->thread_pool());
  state_->cache.length = 0;
}

void Generator::prefill(std::span<const int32_t> prompt) {
  State& s = *state_;
  const auto step = static_cast<size_t>(s.prefill.positions());
  for (size_t at = 0; at < prompt.size(); at += step) {
    const auto part = prompt.subspan(at, std::min(step, prompt.size() - at));
    s.prefill.run(part, cancel_);
  }
}

std::span<const float> Generator::logits(std::span<const int32_t> prompt) {
  begin(prompt);
  prefill(prompt);
  State& s = *state_;
  return s.logits_of(s.prefill, (s.cache.length - 1) % s.prefill.positions());
}

GenerationResult Generator::generate(std::span<const int32_t> prompt,
                                     const GenerationOptions& options,
                                     const std::function<bool(int32_t)>& on_token) {
  Sampler sampler(options.sampling);
  if (options.max_tokens < 0)
    fail(Status::out_of_range, "expected max_tokens of at least 0, seen ", options.max_tokens);
  GenerationResult result;
  result.prompt_tokens = prompt.size();
  const auto start = std::chrono::steady_clock::now();
  std::span<const float> scores = logits(prompt);
  result.prefill_seconds = seconds_since(start);

  State& s = *state_;
  const auto decode_start = std::chrono::steady_clock::now();
  while (true) {
    const int32_t id = sampler.sample(scores);
    const auto& stops = options.stop_ids;
    if (std::find(stops.begin(), stops.end(), id) != stops.end()) {
      result.finish_reason = FinishReason::stop;
      break;
    }
    result.generated_tokens += 1;
    if (on_token && !on_token(id)) {
      result.finish_reason = FinishReason::callback;
      break;
    }
    if (static_cast<int64_t>(result.generated_tokens) == options.max_tokens) {
      result.finish_reason = FinishReason::length;
      break;
    }
    if (s.cache.length == s.cache.capacity) {
      result.finish_reason = FinishReason::context;
      break;
    }
    s.decode.run({&id, 1}, cancel_);
    scores = s.logits_of(s.decode, 0);
  }
  result.decode_seconds = seconds_since(decode_start);
  return result;
}

} // namespace anet::generate
