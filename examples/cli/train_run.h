// One run of `ane-train train` or `finetune`: what it holds, how it begins, what it leaves behind.
#pragma once

#include "config.h"
#include "corpus.h"
#include "handles.h"
#include "monitor.h"
#include "text_source.h"

#include <optional>
#include <string>

namespace cli {

struct TrainRun {
  TrainConfig config;
  Device device;
  TextSource text;
  Session session;
  Model model;
  Adapter adapter; // null: the model is trained
  CorpusPair data;
  Generator generator;
  Layout layout = Layout::windows;
  anet_session_options options{};
  int64_t first_step = 0;
};

// A run that is ready to train, new or resumed. Throws Failure and UsageError.
TrainRun prepare_training(TrainConfig config);

// Why a run ended.
struct TrainEnd {
  int64_t step = 0;
  double seconds = 0;
  bool interrupted = false;
  bool early = false; // there was no improvement any more
  std::optional<double> best_loss;
  int64_t best_step = 0;
  std::string best_checkpoint; // "" when there is none

  std::string reason(const TrainConfig& config) const; // one line
};

// Throws Failure for a place that cannot be written, which else would show when the run is over.
void check_outputs(const TrainConfig& config);
// Writes the best adapter of the run for other tools.
void write_adapter(const TrainRun& run, const TrainEnd& end);
Sampler sampler_of(const TrainRun& run);
History history_of(const TrainRun& run);
void write_summary(const TrainRun& run, const Monitor& monitor, const TrainEnd& end);
void write_report(const TrainRun& run, const Monitor& monitor, const TrainEnd& end);
void print_end(const TrainRun& run, const Monitor& monitor, const TrainEnd& end);

} // namespace cli
