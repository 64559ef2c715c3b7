// `data check`: what training would see, before it costs anything.
#include "data_check.h"
#include "args.h"
#include "commands.h"
#include "corpus.h"
#include "data.h"
#include "device_flags.h"
#include "json.h"
#include "text.h"

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace cli {
namespace {

struct CheckConfig {
  std::string model;
  std::string data;
  TextFlags text;
  DataFlags rows;
  DeviceFlags device;
  int64_t sequence_length = 1024;
  int64_t batch_size = 1;
  int64_t samples = 3;
  bool json = false;
  bool strict = false;
};

CommandLine check_command_line(CheckConfig& config) {
  return {
      "data",
      "Reads data as `train` would and tells what is in it: counts, what is learned, what is cut "
      "off,\nrows that cannot be used, and the first examples with what is learned of them "
      "marked.\nExit code 1 with --strict when a row cannot be used.",
      "check",
      {{"Options",
        {{"data", "PATH", "a file, or a folder with train.*, valid.*, test.* (required)",
          store(config.data)},
         {"model", "PATH", "whose tokenizer and chat template are used", store(config.model)},
         {"sequence_length", "N", "tokens in a row (1024)",
          store_integer("sequence_length", config.sequence_length)},
         {"batch_size", "N", "of bucketed rows (1)",
          store_integer("batch_size", config.batch_size)},
         {"samples", "N", "examples to show (3)", store_integer("samples", config.samples)},
         {"json", "", "print one JSON object", store_switch(config.json)}}},
       {"Text", text_options(config.text)},
       {"Rows", config.rows.options()},
       {"Device", device_options(config.device)}}};
}

CheckedPart check_part(const std::string& part, const CheckConfig& config,
                       const CorpusOptions& options) {
  CheckedPart checked;
  checked.name = part;
  const Examples examples = open_examples(config.data, part, options);
  checked.report = json_parse(call_text(anet_examples_get_report, examples.get()), "report");
  const Dataset rows = make_rows(examples, config.data, options);
  checked.layout = json_parse(call_text(anet_dataset_get_report, rows.get()), "report");
  checked.samples = json_array();
  const uint64_t count = anet_examples_count(examples.get());
  for (uint64_t i = 0; i < count && i < static_cast<uint64_t>(config.samples); ++i)
    json_append(checked.samples, json_parse(call_text(anet_examples_describe, examples.get(), i,
                                                      options.text->require_tokenizer().get()),
                                            "example"));
  return checked;
}

CheckedData check_data(const CheckConfig& config) {
  if (!std::filesystem::exists(config.data))
    throw Failure(ANET_E_FILE_NOT_FOUND, "there is no '" + config.data + "'");
  TextFacts facts;
  if (!config.model.empty())
    facts = facts_of_path(resolve_checkpoint(config.model, ANET_CHECKPOINT_LATEST));
  const Device device = open_device(config.device);
  const TextSource text = open_text(config.text, facts);
  CorpusOptions options;
  options.flags = &config.rows;
  options.text = &text;
  options.device = &device;
  options.layout = config.rows.layout(config.data);
  // Windows cut through everything; the examples are the same in packed rows.
  if (options.layout == Layout::windows) options.layout = Layout::packed;
  options.sequence_length = static_cast<int32_t>(config.sequence_length);
  options.batch_size = static_cast<int32_t>(config.batch_size);
  options.sequential = true;
  options.round_trips = 1000;
  CheckedData checked;
  checked.tokenizer = text.tokenizer_path;
  checked.chat_template =
      text.chat ? (text.chat_name.empty() ? "the model's" : text.chat_name) : "";
  checked.chat_problem = text.chat_problem;
  checked.layout = layout_name(options.layout);
  checked.sequence_length = options.sequence_length;
  static constexpr std::array<const char*, 3> parts = {"train", "valid", "test"};
  for (const char* const part : parts)
    if (part == parts.front() || has_part(config.data, part))
      checked.parts.push_back(check_part(part, config, options));
  return checked;
}

} // namespace

int run_data(const Arguments& arguments) {
  CheckConfig config;
  const CommandLine line = check_command_line(config);
  bool help = false;
  const Arguments operands = parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return exit_ok;
  }
  if (operands.size() != 1 || operands[0] != "check")
    throw UsageError("data expects `check`: ane-train data check --model PATH --data PATH");
  if (config.data.empty()) throw UsageError("--data is required");
  if (config.model.empty() && config.text.tokenizer.empty())
    throw UsageError("--model or --tokenizer is required");
  // All unusable rows are listed, not only the first.
  config.strict = config.rows.is_on("strict");
  config.rows.set("strict", "");
  const CheckedData checked = check_data(config);
  if (config.json) {
    std::printf("%s\n", json_lines(checked_json(checked).get()).c_str());
  } else {
    print_checked(checked);
  }
  uint64_t unusable = 0;
  for (const CheckedPart& part : checked.parts)
    unusable += json_count(part.report.get(), "unusable_rows");
  return config.strict && unusable > 0 ? exit_failure : exit_ok;
}

} // namespace cli
