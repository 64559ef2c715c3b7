// Text generation with a KV cache.
#pragma once

#include "backend/backend.h"
#include "backend/staged_array.h"
#include "generate/sampler.h"
#include "model/model.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace anet::generate {

struct GeneratorOptions {
  int32_t context_length = 0; // tokens in the KV cache; 0: the model's
  // fp32 or fp16; none: fp32 where the device has it
  std::optional<mil::DataType> dtype = std::nullopt;
  // Prompts that generate_batch decodes at once, each with a KV cache of its own; 0: 1
  int32_t batch_size = 0;
};

enum class FinishReason : int32_t { length = 1, stop = 2, context = 3, callback = 4 };

struct GenerationResult {
  FinishReason finish_reason = FinishReason::length;
  uint64_t prompt_tokens = 0;
  uint64_t generated_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

struct GenerationOptions {
  int64_t max_tokens = 0; // 0: until the context is full
  SamplingOptions sampling = {};
  std::vector<int32_t> stop_ids = {};
};

struct BatchOptions {
  GenerationOptions each = {};
  // One a prompt; empty: every prompt has each.sampling.seed.
  std::vector<uint64_t> seeds = {};
};

// Thread class: one thread at a time, except cancel.
class Generator {
public:
  Generator(std::shared_ptr<backend::Device> device, std::shared_ptr<model::Model> model,
            const GeneratorOptions& options);
  ~Generator();

  // `on_token` returns true to go on. Throws invalid_data for an empty or too long prompt,
  // out_of_range for a bad id, numeric when the logits are not finite, cancelled.
  GenerationResult generate(std::span<const int32_t> prompt, const GenerationOptions& options,
                            const std::function<bool(int32_t)>& on_token);
  // The same for several prompts, batch_size of them at a time: when one has finished, the next
  // takes its place. `on_token` gets the prompt's index; false ends that prompt alone. Each
  // prompt's tokens are those that `generate` would make, but for rounding: sums over a batch may
  // be added in another order. An error ends all. Results are in the order of the prompts; their
  // seconds of decoding are shared with those beside them.
  std::vector<GenerationResult>
  generate_batch(std::span<const std::span<const int32_t>> prompts, const BatchOptions& options,
                 const std::function<bool(size_t, int32_t)>& on_token);
  // The logits after the prompt; valid until the next call.
  std::span<const float> logits(std::span<const int32_t> prompt);
  // Any thread, also a signal handler.
  void cancel() { cancel_.store(true, std::memory_order_relaxed); }

  const model::Config& config() const { return model_->config(); }
  int64_t context_length() const;
  int32_t batch_size() const;

private:
  struct State;
  class Sequence;

  void begin();
  void check_prompt(std::span<const int32_t> prompt) const;
  std::span<const float> prefill(int64_t row, std::span<const int32_t> prompt);
  bool is_full(int64_t row) const;
  void decode_batch(std::span<const std::span<const int32_t>> prompts,
                    std::span<Sequence> sequences);

  std::shared_ptr<backend::Device> device_;
  std::shared_ptr<model::Model> model_;
  std::unique_ptr<State> state_;
  std::atomic<bool> cancel_{false};
};

} // namespace anet::generate
