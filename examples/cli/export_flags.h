// Writing a model for other tools.
#pragma once

#include "args.h"
#include "handles.h"

#include <string>
#include <vector>

namespace cli {

struct ExportFlags {
  std::string path;
  std::string format = "hugging-face";
  std::string type = "fp32";
  std::string companion; // empty: the folder that the model came from
  uint64_t max_shard = 0;
};

// For a command that exports besides: --export PATH, --export-format, ...
std::vector<Option> export_options(ExportFlags& flags);
// For the command itself: --output PATH, --format, ...
std::vector<Option> export_command_options(ExportFlags& flags);

// Throws UsageError for a type that the format does not have.
void check_export(const ExportFlags& flags);
// Throws Failure for what the format cannot hold of this model or its tokenizer; the path stays
// as it is. `companion` as in export_model.
void check_exportable(const Model& model, const ExportFlags& flags, const std::string& companion);
// `companion` is used where the flags name none; it may be empty.
void export_model(const Model& model, const ExportFlags& flags, const std::string& companion);

} // namespace cli
