// The weights of a step: how each reaches the kernels that read it, and which of them are trained.
#pragma once

#include "backend/backend.h"
#include "mil/compressed_weight.h"
#include "model/adapter.h"
#include "model/model.h"
#include "model/transformer.h"
#include "train/trained_tensors.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace anet::train {

// The flat arrays that ports read.
enum class WeightArray : uint8_t {
  trained, // of the adapter, or of the model as far as it is trained
  frozen,  // of the model, what is neither trained nor a constant
  norms,   // 1 / ||row|| of the modules with DoRA
};
inline constexpr size_t weight_array_count = 3;

// A port of a kernel, and the weights that it reads.
struct WeightPort {
  std::string port;
  WeightArray array = WeightArray::trained;
  int64_t offset = 0;    // in that array
  int64_t gradient = -1; // offset in the gradients; -1: it has none
};

using Constants = std::map<std::string, mil::ConstantValue>; // by port

// Frozen weights that are compressed are constants of the programs, and all frozen weights where
// the device prefers that. The others are ports, which read the model's flat array.
class StepWeights {
public:
  // Trains the parameters of a model that the patterns choose. Without a model there are shapes
  // alone, to plan with, and no constants.
  StepWeights(const backend::Device& device, const model::Config& config,
              std::shared_ptr<const model::Model> model, const std::vector<std::string>& trainable);
  // Trains an adapter.
  StepWeights(const backend::Device& device, std::shared_ptr<const model::Adapter> adapter);

  const model::Config& config() const { return config_; }
  const model::ParameterTable& parameters() const { return *parameters_; }
  const std::shared_ptr<const model::Model>& model() const { return model_; }
  const std::shared_ptr<const model::Adapter>& adapter() const { return adapter_; }
  const TrainedTensors& trained() const { return trained_; }

  // Layers are 0 .. layer_count - 1; these two are the rest.
  static constexpr int32_t embedding = -1;
  int32_t head() const { return config_.layer_count; }

  model::AdapterShape shape(int32_t layer) const;
  std::vector<WeightPort> ports(int32_t layer) const; // constants are not among them
  std::vector<std::string> trained_ports(int32_t layer) const;
  // Rows of the ports or constants that the head's matrix is in, one after the other; empty: one.
  std::vector<int64_t> head_rows() const;
  bool has_constants(int32_t layer) const;
  // The norms of a layer whose weights can be elsewhere, in fp16: in the constants behind them,
  // where norm and matrices are constants that are not compressed and fp16 holds the products; or
  // in RoPE's tables, where those of the heads are constants.
  model::FoldedNorms folded_norms(int32_t layer, mil::DataType dtype) const;
  // In the type that programs compute in; codes and fp32 weights are not copied.
  Constants constants(int32_t layer, mil::DataType dtype,
                      const model::FoldedNorms& folded = {}) const;
  // Constant matrices of a layer that an adapter's can be joined to: not compressed, and of a
  // device that likes it.
  std::vector<std::string> joinable_ports(int32_t layer) const;
  // What constants take beside what the model holds, at most: no program may need a folded norm's.
  uint64_t constant_copy_bytes(mil::DataType dtype) const;
  // The lowest of embedding, layers and head with anything to train: where backward ends.
  int32_t lowest_trained() const;

  // True when constants that the device only prefers can become ports.
  bool can_avoid_constants() const;
  void avoid_constants() { prefers_constants_ = false; }

  // The modules with DoRA, and where their norms are.
  struct Norms {
    const model::LoraModule* module = nullptr;
    int64_t offset = 0;
  };
  const std::vector<Norms>& norms() const { return norms_; }
  int64_t norms_size() const { return norms_size_; }

private:
  struct Entry {
    std::string port;
    const model::Parameter* parameter;
  };
  std::vector<Entry> entries(int32_t layer) const;
  bool is_constant(const model::Parameter& parameter) const;
  struct NormMatrices {
    const model::Parameter* weight = nullptr;
    std::vector<const model::Parameter*> matrices;
  };
  // nullptr when the layer has no parameter of that port.
  const model::Parameter* find_parameter(int32_t layer, std::string_view port) const;
  NormMatrices matrices_behind(int32_t layer, const model::BlockNorm& norm) const;
  std::optional<double> fold_factor(const NormMatrices& norm) const;
  void add_folded(Constants& constants, const NormMatrices& norm, double factor) const;
  void add_ports(std::vector<WeightPort>& ports, const Entry& entry, bool is_head) const;
  void add_constants(Constants& constants, const Entry& entry, bool is_head,
                     mil::DataType dtype) const;
  mil::Bytes constant_bytes(const model::Parameter& parameter, mil::DataType dtype) const;

  model::Config config_;
  std::shared_ptr<const model::Model> model_;
  std::shared_ptr<const model::Adapter> adapter_;
  std::shared_ptr<const model::ParameterTable> parameters_;
  TrainedTensors trained_;
  bool prefers_constants_;
  bool divides_head_; // where the device has no product with all of its rows that is as fast
  bool stacks_adapters_ = false;
  bool joins_adapters_ = false;
  std::vector<Norms> norms_;
  int64_t norms_size_ = 0;
  // The embedding in the programs' type, which a tied head shares.
  mutable mil::Bytes narrow_embedding_;
};

} // namespace anet::train
