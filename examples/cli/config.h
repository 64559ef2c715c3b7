// What `ane-train train` and `finetune` are told: defaults, then the configuration file, then the
// flags.
#pragma once

#include "adapter_flags.h"
#include "args.h"
#include "data_flags.h"
#include "device_flags.h"
#include "export_flags.h"
#include "quantize_flags.h"
#include "text_source.h"

#include <ane_train.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace cli {

// Of `finetune`: what is trained instead of a whole model.
struct FinetuneFlags {
  bool on = false;
  bool full = false;     // the model's own weights
  std::string trainable; // patterns; empty: all
  AdapterFlags adapter;
  QuantizeFlags quantize;
  std::string output; // the adapter's folder
};

struct TrainConfig {
  // The keys of the options that were given, whatever their values: what a resumed run does not
  // take from its checkpoint.
  std::set<std::string> given;
  bool is_given(const std::string& key) const { return given.count(key) != 0; }

  std::string model = "tiny"; // a built-in name, a JSON object, or the path of a model
  std::string data;
  std::string validation;
  std::optional<double> split; // unset: a tenth, when there is no validation part; 0: none
  TextFlags text;
  DataFlags rows;
  int64_t steps = 0; // 0: those of the checkpoint, else 1000

  // Keys of anet_session_options with their JSON values; the library's own table checks them.
  std::map<std::string, std::string> session;

  DeviceFlags device;

  std::string checkpoint_root;
  bool resume = false;
  bool restart_data = false;
  int64_t save_every = 0;
  int32_t keep_last = 0;
  ExportFlags export_to;

  int64_t patience = 0;
  double min_delta = 0;

  std::optional<int64_t> eval_every; // unset: ten times in a run; 0: before and after it alone
  uint64_t eval_windows = 64;
  std::string sample;                  // prompt; empty: no samples
  std::optional<int64_t> sample_every; // unset: with each evaluation; 0: first and last alone
  int32_t sample_tokens = 120;

  std::string log;
  std::string report;
  std::string summary;
  std::string config;

  FinetuneFlags finetune;
  const char* command() const { return finetune.on ? "finetune" : "train"; }
  bool trains_adapter() const { return finetune.on && !finetune.full; }
  bool describes_adapter() const; // an option of adapter_options was given
};

// The flags, bound to `config`.
CommandLine train_command_line(TrainConfig& config);

// Throws UsageError. `help` as in parse_arguments.
TrainConfig parse_train_config(const std::vector<std::string>& arguments, bool finetune,
                               bool& help);

// The defaults of `finetune` for what was not given. Not for a run that is resumed.
void set_finetune_defaults(TrainConfig& config);

// Throws UsageError for early stopping without what it goes by. A resumed run learns its patience
// from the checkpoint.
void check_evaluations(const TrainConfig& config);

// Reads the session's keys on top of `options`; throws UsageError naming the key.
void apply_session_options(const TrainConfig& config, anet_session_options& options);

// "fp32" and the like as anet_precision; throws UsageError.
anet_precision parse_precision(const std::string& text);

} // namespace cli
