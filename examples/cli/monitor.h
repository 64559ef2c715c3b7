// Watches a run: shows progress, records history, writes the log and takes samples.
#pragma once

#include "config.h"
#include "handles.h"
#include "history.h"
#include "progress.h"

#include <optional>
#include <string>

namespace cli {

class Monitor {
public:
  // `generator` is nullable: then no samples are taken.
  Monitor(const TrainConfig& config, int64_t first_step, int64_t last_step, History history,
          anet_generator* generator, const anet_tokenizer* tokenizer);

  void start();
  // What anet_session_fit calls between steps.
  void on_event(const anet_fit_event& event);
  void evaluation(int64_t step, const anet_eval_result& result);
  void saved(int64_t step, const std::string& path);
  void take_sample(int64_t step); // does nothing without a generator
  void finish(int64_t step, bool interrupted, std::vector<KernelPlace> kernels);

  const History& history() const { return history_; }
  const Progress& progress() const { return progress_; }
  int64_t saved_step() const { return saved_step_; } // -1: none yet
  int64_t evaluated_step() const;                    // -1: none yet

private:
  const TrainConfig& config_;
  History history_;
  Log log_;
  Progress progress_;
  anet_generator* generator_;
  const anet_tokenizer* tokenizer_;
  int64_t saved_step_ = -1;
};

} // namespace cli
