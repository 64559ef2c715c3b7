#pragma once

#include "capi/handle.h"
#include "io/tokenizer/tokenizer.h"

#include <memory>
#include <string>

struct anet_tokenizer : anet::capi::Handle<anet::capi::HandleKind::tokenizer> {
  explicit anet_tokenizer(std::unique_ptr<const anet::io::Tokenizer> made)
      : tokenizer(std::move(made)), fingerprint(tokenizer->fingerprint()) {}

  std::unique_ptr<const anet::io::Tokenizer> tokenizer;
  std::string fingerprint;
};
