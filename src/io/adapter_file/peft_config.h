// adapter_config.json of PEFT: which modules are adapted, and how.
#pragma once

#include "base/json.h"
#include "io/tokenizer/regex.h"
#include "model/adapter.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace anet::io {

// A list of names, of which one must be a module's or its end from a dot on, or an expression that
// must match all of it.
class PeftModules {
public:
  PeftModules() = default; // matches nothing
  explicit PeftModules(const JsonView& view);

  bool is_list() const { return !expression_; }
  // The whole name is in the list.
  bool names(std::string_view module) const;
  bool matches(std::string_view module) const;

private:
  std::vector<std::string> names_;
  std::optional<tokenization::Regex> expression_;
};

class PeftConfig {
public:
  // Throws invalid_data, unsupported naming a setting that changes what the adapter does and that
  // we do not have.
  explicit PeftConfig(const JsonView& view);

  const model::LoraOptions& options() const { return options_; }
  // nullopt: not adapted.
  std::optional<model::LoraTarget> target(std::string_view module) const;

private:
  struct Pattern {
    tokenization::Regex expression;
    double value;
  };
  void read_layers(const JsonView& view);
  bool is_adapted(std::string_view module) const;
  bool in_layers(std::string_view module) const;

  model::LoraOptions options_;
  bool all_linear_ = false;
  PeftModules targets_;
  PeftModules excluded_;
  std::optional<std::vector<int64_t>> layers_;
  std::vector<tokenization::Regex> layer_patterns_;
  std::vector<Pattern> ranks_;
  std::vector<Pattern> alphas_;
};

Json write_peft_config(const model::Adapter& adapter, const std::string& base_name);

} // namespace anet::io
