#include "generate/generator.h"

#include "backend/host_access.h"
#include "base/status.h"
#include "generate/programs.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace anet::generate {

namespace {

constexpr int32_t max_batch_size = 4096;
constexpr int32_t max_adapter_rank = 1 << 16;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

} // namespace

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
  if (options.adapter_rank < 0 || options.adapter_rank > max_adapter_rank)
    fail(Status::out_of_range, "expected adapter_rank up to ", max_adapter_rank, ", seen ",
         options.adapter_rank);
  const mil::DataType dtype = options.dtype.value_or(
      backend::computes_fp32(*device_) ? mil::DataType::fp32 : mil::DataType::fp16);
  backend::check_precision(*device_, dtype);
  sizes_ =
      std::make_unique<ProgramSizes>(ProgramSizes{context, std::max(options.batch_size, 1), dtype});
  adapter_rank_ = options.adapter_rank;
  programs_ = std::make_unique<Programs>(*device_, *model_, *sizes_, AdapterRoom{});
}

Generator::~Generator() = default;

void Generator::set_adapters(std::vector<model::WeightedAdapter> adapters) {
  AdapterRoom needed = room_for(*model_, adapters);
  if (!needed.modules.empty()) needed.rank = std::max(needed.rank, adapter_rank_);
  const AdapterRoom room = programs_->weights.room() | needed;
  if (room != programs_->weights.room()) {
    if (running_)
      fail(Status::busy, "expected adapters of at most rank ", programs_->weights.room().rank,
           " and of the matrices that were adapted before, because programs cannot be compiled "
           "while text is written; attach the largest ones first, or set adapter_rank");
    programs_ = std::make_unique<Programs>(*device_, *model_, *sizes_, room);
  }
  adapters_ = std::move(adapters);
  fill_adapters();
}

void Generator::fill_adapters() {
  adapter_revisions_.clear(); // what fails is tried again
  std::vector<uint64_t> revisions;
  for (const model::WeightedAdapter& added : adapters_)
    revisions.push_back(added.adapter->revision());
  programs_->weights.set_adapters(adapters_);
  adapter_revisions_ = std::move(revisions);
}

bool Generator::adapters_have_changed() const {
  if (adapter_revisions_.size() != adapters_.size()) return true;
  for (size_t i = 0; i < adapters_.size(); ++i)
    if (adapters_[i].adapter->revision() != adapter_revisions_[i]) return true;
  return false;
}

int64_t Generator::context_length() const { return programs_->cache->capacity; }

int32_t Generator::batch_size() const {
  return static_cast<int32_t>(programs_->cache->lengths.size());
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
  // A session may have moved the weights since the last call. What DoRA has room for depends on the
  // model's, too.
  const bool renewed = programs_->weights.renew();
  if (renewed || adapters_have_changed()) fill_adapters();
}

bool Generator::is_full(int64_t row) const {
  return programs_->cache->lengths[static_cast<size_t>(row)] == programs_->cache->capacity;
}

// The logits after the prompt.
std::span<const float> Generator::prefill(int64_t row, std::span<const int32_t> prompt) {
  Programs& s = *programs_;
  s.cache->lengths[static_cast<size_t>(row)] = 0;
  const auto step = static_cast<size_t>(s.prefill.positions());
  for (size_t at = 0; at < prompt.size(); at += step)
    s.prefill.run(row, prompt.subspan(at, std::min(step, prompt.size() - at)), cancel_);
  const auto last = static_cast<int64_t>((prompt.size() - 1) % step);
  return s.heads.front().run(s.prefill.hidden(), last);
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
  const Running running(running_);
  begin();
  std::span<const float> scores = prefill(0, prompt);
  sequence.begin_decoding(seconds_since(start));
  Programs& s = *programs_;
  while (sequence.advance(scores, is_full(0))) {
    const int32_t token = sequence.token();
    s.decode.run(0, {&token, 1}, cancel_);
    scores = s.heads.front().run(s.decode.hidden(), 0);
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
  const Running running(running_);
  begin();
  decode_batch(prompts, sequences);
  std::vector<GenerationResult> results;
  for (const Sequence& sequence : sequences) results.push_back(sequence.result());
  return results;
}

void Generator::decode_batch(std::span<const std::span<const int32_t>> prompts,
                             std::span<Sequence> sequences) {
  Programs& s = *programs_;
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
    const auto scores = s.batch_head().run((s.batch ? *s.batch : s.decode).hidden(), 0);
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
