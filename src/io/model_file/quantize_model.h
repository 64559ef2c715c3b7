// Models in few bits, made from models in memory.
#pragma once

#include "base/thread_pool.h"
#include "io/model_file/model_source.h"
#include "quant/quantize.h"

#include <memory>
#include <vector>

namespace anet::io {

struct QuantizedModel {
  std::shared_ptr<model::Model> model;
  std::vector<quant::TensorReport> tensors; // one a parameter, in the order of the table
};

// Another model; matrices that are compressed as the recipe says are shared with `model`, others
// that are compressed are expanded first. Throws as quant::quantize, naming the tensor.
QuantizedModel quantize_model(const model::Model& model, const quant::Recipe& recipe,
                              ThreadPool& pool, const TensorCallback& progress = {});

} // namespace anet::io
