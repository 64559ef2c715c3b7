// The structs of training and their counterparts in src/train.
#pragma once

#include "train/session.h"

#include <ane_train.h>

namespace anet::capi {

// `options` was read by read_struct. Throws unsupported_option naming the field.
train::SessionOptions options_of(const anet_session_options& options);
anet_session_options struct_of(const train::SessionOptions& options);

anet_memory_plan struct_of(const train::MemoryPlan& plan);
anet_step_result struct_of(const train::StepResult& result);
anet_eval_result struct_of(const train::EvalResult& result);
anet_fit_event struct_of(const train::FitEvent& event);
anet_document_loss struct_of(const train::DocumentLoss& loss);
anet_fit_result struct_of(const train::FitResult& result);

} // namespace anet::capi
