// What `data check` found, for people and for programs.
#pragma once

#include "json.h"

#include <cstdint>
#include <string>
#include <vector>

namespace cli {

struct CheckedPart {
  std::string name; // "train"
  Json report;      // anet_examples_get_report
  Json layout;      // anet_dataset_get_report
  Json samples;     // an array of anet_examples_describe's
};

struct CheckedData {
  std::string tokenizer;
  std::string chat_template; // "" when there is none
  std::string chat_problem;  // why the model's cannot be used
  std::string layout;
  int32_t sequence_length = 0;
  std::vector<CheckedPart> parts;
};

// What is likely to go wrong, one sentence each.
std::vector<std::string> advice(const CheckedData& data);

Json checked_json(const CheckedData& data);
// Supervised text is green on a terminal, and elsewhere between [[ and ]].
void print_checked(const CheckedData& data);

} // namespace cli
