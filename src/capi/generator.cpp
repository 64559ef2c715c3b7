#include "capi/generator.h"

#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/structs.h"

#include <algorithm>
#include <optional>

namespace anet::capi {

namespace {

using generate::FinishReason;

static_assert(static_cast<anet_finish_reason>(FinishReason::length) == ANET_FINISH_LENGTH);
static_assert(static_cast<anet_finish_reason>(FinishReason::stop) == ANET_FINISH_STOP);
static_assert(static_cast<anet_finish_reason>(FinishReason::context) == ANET_FINISH_CONTEXT);
static_assert(static_cast<anet_finish_reason>(FinishReason::callback) == ANET_FINISH_CALLBACK);

std::unique_ptr<anet_generator> create(anet_device& device, anet_model& model,
                                       const anet_tokenizer* tokenizer,
                                       const anet_generator_options& options) {
  const int32_t precision = check_enumerator(options.precision, ANET_PRECISION_DEFAULT, 4,
                                             Status::unsupported_option, "options.precision");
  auto handle = std::make_unique<anet_generator>();
  handle->device = Ref(device);
  handle->model = Ref(model);
  if (tokenizer != nullptr) handle->tokenizer = Ref(check_handle(tokenizer, "tokenizer"));
  const auto call = enter_model(model, Access::shared);
  std::optional<mil::DataType> dtype;
  if (precision == ANET_PRECISION_F32) dtype = mil::DataType::fp32;
  if (precision == ANET_PRECISION_F16) dtype = mil::DataType::fp16;
  if (precision == ANET_PRECISION_BF16) dtype = mil::DataType::bf16;
  handle->generator = std::make_unique<generate::Generator>(
      device.device, model.model,
      generate::GeneratorOptions{.context_length = options.context_length,
                                 .dtype = dtype,
                                 .batch_size = options.batch_size,
                                 .adapter_rank = options.adapter_rank});
  return handle;
}

// A call that reads the generator's model and adapters.
class ReadingCall {
public:
  explicit ReadingCall(const anet_generator& handle)
      : generator_(enter_call(handle, "generator")),
        model_(enter_model(*handle.model, Access::shared)) {
    for (const auto& adapter : handle.adapters)
      adapters_.push_back(enter_adapter(*adapter, Access::shared));
  }

private:
  CallScope<const anet_generator> generator_;
  CallScope<const anet_model> model_;
  std::vector<CallScope<const anet_adapter>> adapters_;
};

void set_adapters(anet_generator& handle, std::span<const anet_weighted_adapter> adapters) {
  // Allowed in the token callback of a call on the same generator.
  const CallScope<anet_generator> call(handle, Access::exclusive, Nesting::allowed, "generator");
  const auto model = enter_model(*handle.model, Access::shared);
  const WeightedAdapters attached(adapters.data(), adapters.size());
  std::vector<Ref<const anet_adapter>> kept;
  for (const anet_weighted_adapter& added : adapters) kept.emplace_back(*added.adapter);
  handle.generator->set_adapters(attached.values());
  handle.adapters = std::move(kept);
}

generate::GenerationOptions options_of(const anet_sampling_options& options, int32_t vocab_size) {
  generate::GenerationOptions result;
  result.max_tokens = options.max_tokens;
  result.sampling = {.temperature = options.temperature,
                     .top_k = options.top_k,
                     .top_p = options.top_p,
                     .min_p = options.min_p,
                     .repetition_penalty = options.repetition_penalty,
                     .seed = options.seed};
  const auto stop_ids = read_array(options.stop_ids, options.stop_count, "options.stop_ids");
  for (const int32_t id : stop_ids)
    if (id < 0 || id >= vocab_size)
      fail(Status::out_of_range, "expected stop ids below the vocabulary's size ", vocab_size,
           ", seen ", id);
  result.stop_ids.assign(stop_ids.begin(), stop_ids.end());
  return result;
}

// The text of a sequence's new tokens.
class TokenText {
public:
  // `tokenizer` may be nullptr: then there is no text.
  TokenText(const anet_tokenizer* tokenizer, std::span<const int32_t> prompt) {
    if (tokenizer == nullptr) return;
    tokenizer_ = tokenizer->tokenizer.get();
    decoder_.emplace(*tokenizer_);
    for (const int32_t id : prompt)
      if (has_text(id)) decoder_->prime({&id, 1});
  }

  std::string push(int32_t id) { return has_text(id) ? decoder_->push(id) : std::string(); }

private:
  // A model's vocabulary may be padded: such ids have no text.
  bool has_text(int32_t id) const {
    return tokenizer_ != nullptr && id >= 0 && id < tokenizer_->vocab_size();
  }

  const io::Tokenizer* tokenizer_ = nullptr;
  std::optional<io::StreamingDecoder> decoder_;
};

// Hands each token on to the caller.
class TokenReceiver {
public:
  TokenReceiver(const anet_generator& generator, std::span<const int32_t> prompt,
                anet_token_callback callback, void* user_data, size_t capacity)
      : text_(generator.tokenizer.get(), prompt), callback_(callback), user_data_(user_data),
        capacity_(capacity) {}

  // True to go on.
  bool receive(int32_t id) {
    if (ids_.size() < capacity_) ids_.push_back(id);
    if (callback_ == nullptr) return true;
    const std::string text = text_.push(id);
    return callback_(id, text.data(), text.size(), user_data_) == 0;
  }

  const std::vector<int32_t>& ids() const { return ids_; }

private:
  TokenText text_;
  anet_token_callback callback_;
  void* user_data_;
  size_t capacity_;
  std::vector<int32_t> ids_;
};

anet_generation_result struct_of(const generate::GenerationResult& result) {
  anet_generation_result copy{};
  copy.finish_reason = static_cast<anet_finish_reason>(result.finish_reason);
  copy.prompt_tokens = result.prompt_tokens;
  copy.generated_tokens = result.generated_tokens;
  copy.prefill_seconds = result.prefill_seconds;
  copy.decode_seconds = result.decode_seconds;
  return copy;
}

anet_generation_result generate_tokens(const anet_generator& handle,
                                       std::span<const int32_t> prompt,
                                       const anet_sampling_options& options,
                                       TokenReceiver& receiver) {
  const ReadingCall call(handle);
  generate::Generator& generator = *handle.generator;
  return struct_of(generator.generate(prompt, options_of(options, generator.config().vocab_size),
                                      [&](int32_t id) { return receiver.receive(id); }));
}

// The prompts of a batch as the generator takes them.
struct BatchPrompts {
  BatchPrompts(const anet_generator& generator, std::span<const anet_prompt> prompts) {
    for (const anet_prompt& prompt : prompts) {
      ids.push_back(read_array(prompt.ids, prompt.count, "prompts.ids"));
      seeds.push_back(prompt.seed);
      texts.emplace_back(generator.tokenizer.get(), ids.back());
    }
  }

  std::vector<std::span<const int32_t>> ids;
  std::vector<uint64_t> seeds;
  std::vector<TokenText> texts;
};

void generate_batch(const anet_generator& handle, std::span<const anet_prompt> prompts,
                    const anet_sampling_options& options, anet_batch_token_callback callback,
                    void* user_data,
                    std::span<const OutputStruct<anet_generation_result>> outputs) {
  BatchPrompts batch(handle, prompts);
  const ReadingCall call(handle);
  generate::Generator& generator = *handle.generator;
  const auto receive = [&](size_t index, int32_t id) {
    if (callback == nullptr) return true;
    const std::string text = batch.texts[index].push(id);
    return callback(index, id, text.data(), text.size(), user_data) == 0;
  };
  const auto results = generator.generate_batch(
      batch.ids, {options_of(options, generator.config().vocab_size), batch.seeds}, receive);
  for (size_t i = 0; i < outputs.size(); ++i) outputs[i].write(struct_of(results[i]));
}

// The caller's structs may be larger than ours: the first one's size is the distance between them.
std::vector<OutputStruct<anet_generation_result>> read_results(anet_generation_result* results,
                                                               size_t count) {
  std::vector<OutputStruct<anet_generation_result>> outputs;
  if (results == nullptr || count == 0) return outputs;
  const size_t stride = results->struct_size;
  auto* bytes = reinterpret_cast<std::byte*>(results);
  for (size_t i = 0; i < count; ++i) {
    auto* result = reinterpret_cast<anet_generation_result*>(bytes + i * stride);
    outputs.emplace_back(result, "results");
    if (result->struct_size != stride)
      fail(Status::invalid_struct_size, "expected results of one struct_size, seen ", stride,
           " and ", result->struct_size);
  }
  return outputs;
}

void compute_logits(const anet_generator& handle, std::span<const int32_t> prompt,
                    std::span<float> logits) {
  const auto vocab_size = static_cast<size_t>(handle.generator->config().vocab_size);
  if (logits.size() != vocab_size)
    fail(Status::shape_mismatch, "expected room for ", vocab_size, " logits, seen ", logits.size());
  const ReadingCall call(handle);
  const std::span<const float> result = handle.generator->logits(prompt);
  std::copy(result.begin(), result.end(), logits.begin());
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_generator_create(anet_device* device, anet_model* model,
                                  const anet_tokenizer* tokenizer,
                                  const anet_generator_options* options, anet_generator** generator,
                                  anet_error** error) {
  return guard_create(generator, "generator", error, [&] {
    return create(check_handle(device, "device"), check_handle(model, "model"), tokenizer,
                  read_optional_struct(options, "options"));
  });
}

anet_status anet_generator_generate(anet_generator* generator, const int32_t* prompt,
                                    size_t prompt_count, const anet_sampling_options* options,
                                    anet_token_callback callback, void* user_data, int32_t* ids,
                                    size_t capacity, anet_generation_result* result,
                                    anet_error** error) {
  return guard(error, [&] {
    const anet_generator& handle = check_handle(generator, "generator");
    const auto output = OutputStruct<anet_generation_result>::optional(result, "result");
    const auto sampling = read_optional_struct(options, "options");
    const auto given = read_array(prompt, prompt_count, "prompt");
    TokenReceiver receiver(handle, given, callback, user_data, ids == nullptr ? 0 : capacity);
    output.write(generate_tokens(handle, given, sampling, receiver));
    std::copy(receiver.ids().begin(), receiver.ids().end(), ids);
  });
}

anet_status anet_generator_generate_batch(anet_generator* generator, const anet_prompt* prompts,
                                          size_t prompt_count, const anet_sampling_options* options,
                                          anet_batch_token_callback callback, void* user_data,
                                          anet_generation_result* results, anet_error** error) {
  return guard(error, [&] {
    const anet_generator& handle = check_handle(generator, "generator");
    const auto sampling = read_optional_struct(options, "options");
    generate_batch(handle, read_array(prompts, prompt_count, "prompts"), sampling, callback,
                   user_data, read_results(results, prompt_count));
  });
}

anet_status anet_generator_logits(anet_generator* generator, const int32_t* prompt,
                                  size_t prompt_count, float* logits, size_t count,
                                  anet_error** error) {
  return guard(error, [&] {
    const anet_generator& handle = check_handle(generator, "generator");
    compute_logits(handle, read_array(prompt, prompt_count, "prompt"),
                   read_array(logits, count, "logits"));
  });
}

anet_status anet_generator_set_adapters(anet_generator* generator,
                                        const anet_weighted_adapter* adapters, size_t count,
                                        anet_error** error) {
  return guard(error, [&] {
    set_adapters(check_handle(generator, "generator"), read_array(adapters, count, "adapters"));
  });
}

// No lock and nothing that allocates: a signal handler may be here.
void anet_generator_cancel(anet_generator* generator) {
  if (is_valid(generator)) generator->generator->cancel();
}

void anet_generator_retain(anet_generator* generator) { retain_handle(generator); }

void anet_generator_release(anet_generator* generator) { release_handle(generator); }
