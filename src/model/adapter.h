// Low-rank adapters (Hu et al. 2021) over a model: W x becomes W x + scale * B (A x), with scale =
// alpha / rank, or alpha / sqrt(rank) for rsLoRA (Kalajdzievski 2023). With DoRA (Liu et al. 2024)
// it becomes m * (W + scale * B A) x / ||W + scale * B A||, the norm of each row, which gradients
// treat as a constant.
#pragma once

#include "base/flat_array.h"
#include "base/pending_write.h"
#include "model/model.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::model {

// What is common to a whole adapter.
struct LoraOptions {
  int32_t rank = 0;   // 0: 8
  double alpha = 0;   // 0: 2 * rank
  double dropout = 0; // of the adapter's input, in training
  bool rslora = false;
  bool dora = false;
  // Patterns of modules (base/name_pattern.h): "q_proj", "self_attn.*", "layers.3.mlp.*",
  // "embed_tokens", "lm_head". Empty: the seven projections.
  std::vector<std::string> targets = {};
  // Layers that have any: those from `first_layer` on, `layer_count` of them (0: to the last).
  // Negative counts from the end: -8 is the last eight. The embedding and the head are not layers.
  int32_t first_layer = 0;
  int32_t layer_count = 0;
  struct Override {
    std::string pattern;
    int32_t rank = 0; // 0: as it would be without
    double alpha = 0;
  };
  std::vector<Override> overrides = {}; // the last that matches decides
};

// One adapted matrix, with its settings resolved.
struct LoraTarget {
  std::string module; // "model.layers.0.self_attn.q_proj"
  int32_t rank = 0;
  double alpha = 0;
};

struct LoraModule {
  LoraTarget target;
  std::string port;   // "q_proj", "embed_tokens", "lm_head": what ports of programs begin with
  int32_t layer = -1; // -1: embedding or head
  double scale = 0;
  const Parameter* base = nullptr; // in the model's table, which the adapter keeps alive
  // Indices into the adapter's parameters; -1 without DoRA. lora_a is [rank, in] and lora_b [out,
  // rank], but for the embedding, which is a matrix [vocab, hidden] that maps ids: [rank, vocab]
  // and [hidden, rank].
  int32_t lora_a = -1;
  int32_t lora_b = -1;
  int32_t magnitude = -1; // [out]
};

// The adapted modules that a program contains, by what its ports begin with.
struct AdapterShape {
  struct Module {
    std::string port;
    int32_t rank = 0;
    double scale = 0;
    bool dora = false;
    bool operator==(const Module&) const = default;
  };
  std::vector<Module> modules;
  bool dropout = false;
  bool stacked = false; // matrices A of the same input are multiplied with it as one
  const Module* find(std::string_view port) const; // nullptr: not adapted
  bool operator==(const AdapterShape&) const = default;
};

class Adapter {
public:
  // Resolves the patterns against the model. A has the initialisation of PEFT, uniform within 1 /
  // sqrt(in), B is zero, magnitudes are the row norms of the model's matrices. Throws
  // invalid_argument for a pattern that matches nothing, unsupported_option for DoRA of the
  // embedding or the head.
  Adapter(const std::shared_ptr<const Model>& model, const LoraOptions& options, uint64_t seed);
  // For readers of files: zeros of the given shapes.
  Adapter(std::shared_ptr<const Model> model, const LoraOptions& common,
          std::vector<LoraTarget> targets);

  const std::shared_ptr<const Model>& model() const { return model_; }
  const Config& config() const { return model_->config(); }
  // dropout, rslora, dora, and what the targets have in common.
  const LoraOptions& options() const { return options_; }
  std::span<const LoraModule> modules() const { return modules_; }
  // nullptr when it is not adapted.
  const LoraModule* find(std::string_view module) const;
  // Of a layer, or of -1; in the order of the model's parameters.
  AdapterShape shape(int32_t layer) const;

  // Names as in PEFT files without the prefix: "model.layers.0.self_attn.q_proj.lora_A.weight";
  // ports are "q_proj_lora_a", "q_proj_lora_b", "q_proj_magnitude". Offsets into weights().
  std::span<const Parameter> parameters() const { return parameters_; }
  int64_t weight_count() const;
  // Waits as Model::weights does.
  std::span<float> weights() {
    pending_.wait();
    return weights_.values();
  }
  std::span<const float> weights() const {
    pending_.wait();
    return weights_.values();
  }
  std::span<float> values(const Parameter& parameter);
  std::span<const float> values(const Parameter& parameter) const;

  // As of Model.
  uint64_t revision() const { return revision_.load(std::memory_order_acquire); }
  void touch() { revision_.fetch_add(1, std::memory_order_acq_rel); }
  PendingWrite& pending_write() { return pending_; }
  void begin_training();
  void end_training() { training_.store(false, std::memory_order_release); }

private:
  void append(const LoraTarget& target, const Parameter& base);

  std::shared_ptr<const Model> model_;
  LoraOptions options_;
  std::vector<LoraModule> modules_;
  std::vector<Parameter> parameters_;
  int64_t flat_size_ = 0;
  FlatArray weights_;
  std::atomic<uint64_t> revision_{0};
  std::atomic<bool> training_{false};
  PendingWrite pending_;
};

// One of several adapters whose shares are added: weight times scale * B (A x).
struct WeightedAdapter {
  std::shared_ptr<const Adapter> adapter;
  double weight = 1;
};

// The modules that can be adapted: the parameters that are matrices, without ".weight".
std::string module_name(const Parameter& parameter);

} // namespace anet::model
