// Text generation with a KV cache.
#pragma once

#include "backend/backend.h"
#include "generate/sampler.h"
#include "model/adapter.h"
#include "model/model.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace anet::generate {

struct ProgramSizes; // generate/programs.h
struct Programs;

struct GeneratorOptions {
  int32_t context_length = 0; // tokens in the KV cache; 0: the model's
  // fp32, fp16 or bf16; none: fp32 where the device has it
  std::optional<mil::DataType> dtype = std::nullopt;
  // Prompts that generate_batch decodes at once, each with a KV cache of its own; 0: 1
  int32_t batch_size = 0;
  // Ranks of adapters, added up, that programs have room for; 0: those of the first ones.
  int32_t adapter_rank = 0;
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
  // In place of those before; from the next token on when it is called from `on_token`. Compiles
  // only for modules that were never adapted and ranks that were never as large. Throws
  // invalid_argument as room_for, busy when it would have to compile while text is written.
  void set_adapters(std::vector<model::WeightedAdapter> adapters);
  // The logits after the prompt; valid until the next call.
  std::span<const float> logits(std::span<const int32_t> prompt);
  // Any thread, also a signal handler.
  void cancel() { cancel_.store(true, std::memory_order_relaxed); }

  const model::Config& config() const { return model_->config(); }
  int64_t context_length() const;
  int32_t batch_size() const;

private:
  class Sequence;
  // Lasts as long as text is written.
  class Running {
  public:
    explicit Running(bool& running) : running_(running) { running_ = true; }
    ~Running() { running_ = false; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

  private:
    bool& running_;
  };

  void begin();
  void fill_adapters();
  bool adapters_have_changed() const;
  void check_prompt(std::span<const int32_t> prompt) const;
  std::span<const float> prefill(int64_t row, std::span<const int32_t> prompt);
  bool is_full(int64_t row) const;
  void decode_batch(std::span<const std::span<const int32_t>> prompts,
                    std::span<Sequence> sequences);

  std::shared_ptr<backend::Device> device_;
  std::shared_ptr<model::Model> model_;
  std::unique_ptr<ProgramSizes> sizes_;
  std::unique_ptr<Programs> programs_;
  int32_t adapter_rank_ = 0;
  std::vector<model::WeightedAdapter> adapters_;
  std::vector<uint64_t> adapter_revisions_; // of the weights that the programs have
  std::atomic<bool> cancel_{false};
  bool running_ = false;
};

} // namespace anet::generate
