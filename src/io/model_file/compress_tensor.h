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

// Of the memory that the codes of a model's matrices share: writing a token reads them all, and
// each is too small for huge pages.
inline constexpr int64_t code_piece_bytes = int64_t{32} << 20;

// Errors name the tensor.
CompressedTensor compress_tensor(ThreadPool& pool, const model::Parameter& parameter,
                                 std::span<const float> values, const quant::Scheme& scheme,
                                 PartAllocator& memory);

// Of a tensor that stays fp32, and of one that is compressed already, whose error is not known.
quant::TensorReport report_of(const model::Parameter& parameter);
quant::TensorReport report_of(const model::Parameter& parameter, const quant::Scheme& scheme,
                              const mil::CompressedWeight& weight);

// Throws invalid_argument for a recipe's pattern that matches no matrix of the model.
void check_recipe(const quant::Recipe& recipe, const model::Config& config);

// The scheme that `weight` has.
quant::Scheme scheme_of(const mil::CompressedWeight& weight);

} // namespace anet::io
