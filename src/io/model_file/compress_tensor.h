// Tensors of a model in few bits, and what became of them.
#pragma once

#include "base/thread_pool.h"
#include "model/parameters.h"
#include "quant/quantize.h"

#include <span>

namespace anet::io {

struct CompressedTensor {
  mil::CompressedWeight weight;
  quant::TensorReport report;
};

// Errors name the tensor.
CompressedTensor compress_tensor(ThreadPool& pool, const model::Parameter& parameter,
                                 std::span<const float> values, const quant::Scheme& scheme);

// Of a tensor that stays fp32, and of one that is compressed already, whose error is not known.
quant::TensorReport report_of(const model::Parameter& parameter);
quant::TensorReport report_of(const model::Parameter& parameter, const quant::Scheme& scheme,
                              const mil::CompressedWeight& weight);

// Throws invalid_argument for a recipe's pattern that matches no matrix of the model.
void check_recipe(const quant::Recipe& recipe, const model::Config& config);

// The scheme that `weight` has.
quant::Scheme scheme_of(const mil::CompressedWeight& weight);

} // namespace anet::io
