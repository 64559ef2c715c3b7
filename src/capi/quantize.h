#pragma once

#include "quant/quantize.h"

#include <ane_train.h>

#include <memory>

namespace anet::capi {

// `options` was read by read_struct. Throws unsupported_option, invalid_argument.
quant::Recipe recipe_of(const anet_quantize_options& options);

// The threads that the options name, or some of its own.
std::shared_ptr<ThreadPool> threads_of(const anet_quantize_options& options);

} // namespace anet::capi
