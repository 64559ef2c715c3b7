#pragma once

#include "capi/handle.h"
#include "io/dataset/chat_template.h"

#include <memory>

struct anet_chat_template : anet::capi::Handle<anet::capi::HandleKind::chat_template> {
  explicit anet_chat_template(anet::io::ChatTemplate made)
      : chat_template(std::make_shared<anet::io::ChatTemplate>(std::move(made))) {}

  std::shared_ptr<anet::io::ChatTemplate> chat_template;
};
