// The parameters of a model: names as in Hugging Face files, shapes, places in one flat array, and
// the input ports of the programs that they feed.
#pragma once

#include "mil/type.h"
#include "model/config.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::model {

enum class Initialization : uint8_t { normal, residual_projection, ones, zeros };

struct Parameter {
  std::string name;   // "model.layers.0.self_attn.q_proj.weight"
  std::string port;   // "q_proj_weight": the same for every layer, which share one program
  int32_t layer = -1; // -1: embedding, final norm, head
  mil::Shape shape;   // [out, in] for matrices, [size] for vectors
  int64_t offset = 0; // elements in the flat array; -1: compressed
  int64_t elements = 0;
  bool decay = false; // weight decay applies to matrices and embeddings alone
  bool is_compressed() const { return offset < 0; }
  Initialization initialization = Initialization::normal;
};

class ParameterTable {
public:
  explicit ParameterTable(const Config& config);
  // Matrices that `compressed` says are compressed have no place in the flat array.
  ParameterTable(const Config& config, const std::function<bool(const Parameter&)>& compressed);

  std::span<const Parameter> all() const { return parameters_; }
  std::span<const Parameter> layer(int32_t index) const;
  const Parameter& embedding() const { return parameters_.front(); }
  const Parameter& final_norm() const;
  const Parameter& head() const; // the embedding when they are tied
  // nullptr when there is none of that name.
  const Parameter* find(std::string_view name) const;
  // Length of the flat array: each parameter starts at a multiple of 16 elements (64 bytes).
  int64_t flat_size() const { return flat_size_; }
  int64_t weight_count() const { return weight_count_; } // without the padding

private:
  void append(Parameter parameter);

  std::vector<Parameter> parameters_;
  int32_t per_layer_ = 0;
  int32_t layer_count_ = 0;
  int64_t flat_size_ = 0;
  int64_t weight_count_ = 0;
};

// normal(0, 0.02); residual projections divided by sqrt(2 * layer_count), as in GPT-2 (Radford et
// al. 2019, 2.3); ones and zeros as the table says. Each parameter has its own random stream, so a
// tensor's values do not depend on the others.
void initialize(const ParameterTable& table, const Config& config, uint64_t seed,
                std::span<float> weights);

} // namespace anet::model
