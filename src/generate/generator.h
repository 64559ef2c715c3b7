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
  // The logits after the prompt; valid until the next call.
  std::span<const float> logits(std::span<const int32_t> prompt);
  // Any thread, also a signal handler.
  void cancel() { cancel_.store(true, std::memory_order_relaxed); }

  const model::Config& config() const { return model_->config(); }
  int64_t context_length() const;

private:
  struct State;

  void begin(std::span<const int32_t> prompt);
  void prefill(std::span<const int32_t> prompt);

  std::shared_ptr<backend::Device> device_;
  std::shared_ptr<model::Model> model_;
  std::unique_ptr<State> state_;
  std::atomic<bool> cancel_{false};
};

} // namespace anet::generate
