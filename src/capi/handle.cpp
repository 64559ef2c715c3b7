#include "capi/handle.h"

namespace anet::capi {

const char* handle_kind_name(HandleKind kind) {
  switch (kind) {
  case HandleKind::dead:
    return "a released handle";
  case HandleKind::device:
    return "anet_device";
  case HandleKind::buffer:
    return "anet_buffer";
  case HandleKind::program:
    return "anet_program";
  case HandleKind::kernel:
    return "anet_kernel";
  case HandleKind::model:
    return "anet_model";
  case HandleKind::tokenizer:
    return "anet_tokenizer";
  case HandleKind::dataset:
    return "anet_dataset";
  case HandleKind::session:
    return "anet_session";
  case HandleKind::generator:
    return "anet_generator";
  case HandleKind::text_decoder:
    return "anet_text_decoder";
  case HandleKind::chat_template:
    return "anet_chat_template";
  case HandleKind::examples:
    return "anet_examples";
  case HandleKind::adapter:
    return "anet_adapter";
  }
  return "no handle, or a released one";
}

void fail_handle(const char* argument, HandleKind expected, HandleKind seen) {
  fail(Status::invalid_handle, "expected ", handle_kind_name(expected), " in '", argument,
       "', seen ", handle_kind_name(seen));
}

} // namespace anet::capi
