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
constexpr int32_t max_batch_size = 4096;

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
  State(backend::Device& device, model::Model& model, int64_t context, int64_t rows, DataType dtype)
      : workspace(device.make_workspace()), heads(make_heads(device, model, dtype, rows)),
        prefill(device, model.config(), dtype, 1, std::min(prefill_positions, context), context,
                {embedding_layout(*heads.front().kernel, model.config()), std::nullopt}, workspace),
        decode(device, model.config(), dtype, 1, 1, context, shared_layouts(model, 1), workspace) {
    if (rows > 1)
      batch.emplace(device, model.config(), dtype, rows, 1, context, shared_layouts(model, rows),
                    workspace);
    weights.emplace(device, model.weights(), weight_parts(model.parameters()));
    cache.emplace(device, model.config(), prefill.cache_layout(), rows);
    workspace->reserve();
    for (int64_t row = 0; row < rows; ++row)
      prefill.bind(*weights, model.parameters(), *cache, row);
    decode.bind(*weights, model.parameters(), *cache, 0);
    if (batch) batch->bind(*weights, model.parameters(), *cache, 0);
    for (Head& head : heads) bind_head(head, device, model);
  }

  // The last norm and the product with the vocabulary, for a number of columns.
  struct Head {
    int64_t columns = 1;
    std::unique_ptr<Kernel> kernel = nullptr;
    std::unique_ptr<Buffer> hidden = nullptr;
    std::unique_ptr<Buffer> logits = nullptr;
    std::vector<View> inputs = {};
    View output = {};
    std::vector<float> values = {}; // [vocabulary, columns]
  };

  // The logits of columns of a pass's hidden states, `column` and those after it.
  std::span<const float> logits_of(Head& head, CachedPass& pass, int64_t column) const {
    Buffer& hidden = pass.hidden();
    {
      backend::Layout from = hidden.layout();
      from.shape.back() = head.columns;
      const backend::Mapping source(hidden, false);
      const backend::Mapping target(*head.hidden, true);
      backend::TensorCopy(from, head.hidden->layout())
          .run(source.data() + column * from.strides.back(), target.data(), nullptr);
    }
    head.kernel->run(head.inputs, {&head.output, 1});
    backend::read_floats(*head.logits, head.values);
    return head.values;
  }

  // One column, and all rows of a batch.
  std::vector<Head> make_heads(backend::Device& device, const model::Model& model, DataType dtype,
                               int64_t rows) const {
    std::vector<Head> made;
    for (const int64_t columns : {int64_t{1}, rows}) {
      if (columns == 1 && !made.empty()) continue;
      backend::CompileOptions options;
      options.workspace = workspace;
      options.label = "logits";
      options.role = backend::Role::loss;
      made.push_back({.columns = columns,
                      .kernel = device.compile(
                          model::logits_function(model.config(), dtype, columns), options)});
    }
    return made;
  }

  SharedLayouts shared_layouts(const model::Model& model, int64_t rows) const {
    return {embedding_layout(*heads.front().kernel, model.config()),
            layout_of_rows(prefill.cache_layout(), rows)};
  }

  static StagedPart head_part(const Head& head, const model::Parameter& parameter,
                              const char* port) {
    return {parameter.offset, backend::find_port(head.kernel->inputs(), port).layout};
  }

  std::vector<StagedPart> weight_parts(const model::ParameterTable& parameters) const {
    std::vector<StagedPart> parts = prefill.weight_parts(parameters);
    const auto add = [&](const CachedPass& pass) {
      for (const StagedPart& part : pass.weight_parts(parameters)) parts.push_back(part);
    };
    add(decode);
    if (batch) add(*batch);
    for (const Head& head : heads) {
      parts.push_back(head_part(head, parameters.final_norm(), "final_norm_weight"));
      parts.push_back(head_part(head, parameters.head(), "head_weight"));
    }
    return parts;
  }

  void bind_head(Head& head, backend::Device& device, const model::Model& model) const {
    const model::ParameterTable& parameters = model.parameters();
    head.hidden = device.allocate(backend::find_port(head.kernel->inputs(), "hidden").layout);
    head.logits = device.allocate(head.kernel->outputs().front().layout);
    head.inputs = {View(*head.hidden),
                   weights->view(head_part(head, parameters.final_norm(), "final_norm_weight")),
                   weights->view(head_part(head, parameters.head(), "head_weight"))};
    head.output = View(*head.logits);
    head.values.resize(static_cast<size_t>(model.config().vocab_size * head.columns));
  }

  std::shared_ptr<backend::Workspace> workspace;
  std::vector<Head> heads;
  CachedPass prefill;
  CachedPass decode;
  std::optional<CachedPass> batch;
  std::optional<StagedArray> weights;
  std::optional<KeyValueCache> cache;
};

// What has become of one prompt.
class Generator::Sequence {
public:
  Sequence(std::span<const int32_t> prompt, const GenerationOptions& options,
           std::function<bool(int32_t)> on_token)
      : options_(options), on_token_(std::move(on_token)), sampler_(options.sampling) {
    if (options.max_tokens < 0)
      fail(Status::out_of_range, "expected max_tokens of at least 0, seen ", options.max_tokens);
    sampler_.observe(prompt);
    result_.prompt_tokens = prompt.size();
  }

  void begin_decoding(double prefill_seconds) {
    result_.prefill_seconds = prefill_seconds;
    start_ = std::chrono::steady_clock::now();
  }

  // Chooses the next token. False when it was the last one; `full`: the cache holds no more.
  bool advance(std::span<const float> logits, bool full) {
    token_ = sampler_.sample(logits);
    const auto& stops = options_.stop_ids;
    if (std::find(stops.begin(), stops.end(), token_) != stops.end())
      return finish(FinishReason::stop);
    sampler_.observe({&token_, 1});
    result_.generated_tokens += 1;
    if (on_token_ && !on_token_(token_)) return finish(FinishReason::callback);
    if (static_cast<int64_t>(result_.generated_tokens) == options_.max_tokens)
      return finish(FinishReason::length);
    return full ? finish(FinishReason::context) : true;
  }

  int32_t token() const { return token_; }
  const GenerationResult& result() const { return result_; }

private:
  bool finish(FinishReason reason) {
    result_.finish_reason = reason;
    result_.decode_seconds = seconds_since(start_);
    return false;
  }

  const GenerationOptions& options_;
  std::function<bool(int32_t)> on_token_;
  Sampler sampler_;
  GenerationResult result_;
  std::chrono::steady_clock::time_point start_;
  int32_t token_ = 0;
};

Generator::Generator(std::shared_ptr<backend::Device> device, std::shared_ptr<model::Model> model,
                     const GeneratorOptions& options)
    : device_(std::move(device)), model_(std::move(model)) {
  const int64_t limit = model_->config().context_length;
  const int64_t context = options.context_length == 0 ? limit : options.context_length;
  if (context < 1 || context > limit)
    fail(Status::out_of_range, "expected context_length between 1 and the model's ", limit,
         ", seen ", context);
  if (options.batch_size < 0 || options.batch_size > max_batch_size)
    fail(Status::out_of_range, "expected batch_size up to ", max_batch_size, ", seen ",
         options.batch_size);
  const mil::DataType dtype = options.dtype.value_or(
      backend::computes_fp32(*device_) ? mil::DataType::fp32 : mil::DataType::fp16);
  backend::check_precision(*device_, dtype);
  state_ =
      std::make_unique<State>(*device_, *model_, context, std::max(options.batch_size, 1), dtype);
}

Generator::~Generator() = default;

int64_t Generator::context_length() const { return state_->cache->capacity; }

int32_t Generator::batch_size() const {
  return static_cast<int32_t>(state_->cache->lengths.size());
}

void Generator::check_prompt(std::span<const int32_t> prompt) const {
  if (prompt.empty()) fail(Status::invalid_data, "expected at least one prompt token, seen none");
  if (static_cast<int64_t>(prompt.size()) > context_length())
    fail(Status::invalid_data, "expected a prompt of at most ", context_length(),
         " tokens, the context's length, seen ", prompt.size());
  const int32_t vocab_size = config().vocab_size;
  for (size_t i = 0; i < prompt.size(); ++i)
    if (prompt[i] < 0 || prompt[i] >= vocab_size)
      fail(Status::out_of_range, "expected a token id below the vocabulary's size ", vocab_size,
           ", seen ", prompt[i], " at position ", i);
}

void Generator::begin() {
  cancel_.store(false, std::memory_order_relaxed);
  // The session may have moved the weights since the last call.
  state_->weights->renew_all(device_->thread_pool());
}

bool Generator::is_full(int64_t row) const {
  return state_->cache->lengths[static_cast<size_t>(row)] == state_->cache->capacity;
}

// The logits after the prompt.
std::span<const float> Generator::prefill(int64_t row, std::span<const int32_t> prompt) {
  State& s = *state_;
  s.cache->lengths[static_cast<size_t>(row)] = 0;
  const auto step = static_cast<size_t>(s.prefill.positions());
  for (size_t at = 0; at < prompt.size(); at += step)
    s.prefill.run(row, prompt.subspan(at, std::min(step, prompt.size() - at)), cancel_);
  const auto last = static_cast<int64_t>((prompt.size() - 1) % step);
  return s.logits_of(s.heads.front(), s.prefill, last);
}

std::span<const float> Generator::logits(std::span<const int32_t> prompt) {
  check_prompt(prompt);
  begin();
  return prefill(0, prompt);
}

GenerationResult Generator::generate(std::span<const int32_t> prompt,
                                     const GenerationOptions& options,
                                     const std::function<bool(int32_t)>& on_token) {
  check_prompt(prompt);
  Sequence sequence(prompt, options, on_token);
  const auto start = std::chrono::steady_clock::now();
  begin();
  std::span<const float> scores = prefill(0, prompt);
  sequence.begin_decoding(seconds_since(start));
  State& s = *state_;
  while (sequence.advance(scores, is_full(0))) {
    const int32_t token = sequence.token();
    s.decode.run(0, {&token, 1}, cancel_);
    scores = s.logits_of(s.heads.front(), s.decode, 0);
  }
  return sequence.result();
}

std::vector<GenerationResult>
Generator::generate_batch(std::span<const std::span<const int32_t>> prompts,
                          const BatchOptions& options,
                          const std::function<bool(size_t, int32_t)>& on_token) {
  if (!options.seeds.empty() && options.seeds.size() != prompts.size())
    fail(Status::invalid_argument, "expected a seed for each of ", prompts.size(),
         " prompts, seen ", options.seeds.size());
  std::vector<GenerationOptions> each(prompts.size(), options.each);
  std::vector<Sequence> sequences;
  sequences.reserve(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    try {
      check_prompt(prompts[i]);
    } catch (const Error& error) {
      fail(error.status(), error.message(), ", in prompt ", i);
    }
    if (!options.seeds.empty()) each[i].sampling.seed = options.seeds[i];
    std::function<bool(int32_t)> receive;
    if (on_token) receive = [&on_token, i](int32_t id) { return on_token(i, id); };
    sequences.emplace_back(prompts[i], each[i], std::move(receive));
  }
  begin();
  decode_batch(prompts, sequences);
  std::vector<GenerationResult> results;
  for (const Sequence& sequence : sequences) results.push_back(sequence.result());
  return results;
}

void Generator::decode_batch(std::span<const std::span<const int32_t>> prompts,
                             std::span<Sequence> sequences) {
  State& s = *state_;
  const auto rows = static_cast<size_t>(batch_size());
  std::vector<bool> live(rows, false);
  std::vector<size_t> prompt_of(rows, 0);
  std::vector<int32_t> tokens(rows, 0);
  std::vector<float> column(static_cast<size_t>(config().vocab_size));
  size_t next = 0;
  // The next prompts take the row until one of them needs a second token.
  const auto fill = [&](size_t row) {
    while (!live[row] && next < sequences.size()) {
      Sequence& sequence = sequences[next];
      const auto start = std::chrono::steady_clock::now();
      const auto scores = prefill(static_cast<int64_t>(row), prompts[next]);
      sequence.begin_decoding(seconds_since(start));
      live[row] = sequence.advance(scores, is_full(static_cast<int64_t>(row)));
      tokens[row] = sequence.token();
      prompt_of[row] = next++;
    }
  };
  while (true) {
    for (size_t row = 0; row < rows; ++row) fill(row);
    if (std::find(live.begin(), live.end(), true) == live.end()) return;
    if (s.batch)
      s.batch->run_rows(tokens, live, cancel_);
    else
      s.decode.run(0, tokens, cancel_);
    const auto scores = s.logits_of(s.heads.back(), s.batch ? *s.batch : s.decode, 0);
    for (size_t row = 0; row < rows; ++row) {
      if (!live[row]) continue;
      for (size_t token = 0; token < column.size(); ++token)
        column[token] = scores[token * rows + row];
      Sequence& sequence = sequences[prompt_of[row]];
      live[row] = sequence.advance(column, is_full(static_cast<int64_t>(row)));
      tokens[row] = sequence.token();
    }
  }
}

} // namespace anet::generate
