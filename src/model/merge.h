// Adapters made part of the weights: W + the sum of weight * scale * B A; with DoRA, rows of
// that direction and the adapter's magnitude.
#pragma once

#include "model/adapter.h"

#include <memory>
#include <span>
#include <vector>

namespace anet::model {

// A new model in fp32, also of a compressed base. Tied embeddings are untied when the embedding is
// adapted: the head stays as it was. Throws invalid_argument for adapters of another configuration,
// unsupported for a sum of which a DoRA adapter is a part, or one with another weight than 1.
std::shared_ptr<Model> merged_model(const Model& base, std::span<const WeightedAdapter> adapters);

// Merges into the model itself and takes that back, bit for bit: the replaced values are kept.
class Merge {
public:
  // Throws as merged_model; unsupported for compressed matrices and for tied embeddings that are
  // adapted, busy while a session trains the model. The model is then as before.
  Merge(std::shared_ptr<Model> model, std::span<const WeightedAdapter> adapters);

  // Restores the matrices. Throws invalid_state when that has been done, busy while a session
  // trains the model. Without it the model stays merged.
  void unmerge();
  bool is_merged() const { return merged_; }

private:
  struct Replaced {
    const Parameter* parameter;
    std::vector<float> values;
  };

  std::shared_ptr<Model> model_;
  std::vector<Replaced> replaced_;
  bool merged_ = false;
};

} // namespace anet::model
