// Watches a run: shows progress, records history, writes the log and takes samples.
#pragma once

#include "config.h"
#include "handles.h"
#include "history.h"
#include "progress.h"

#include <optional>
#include <string>
#include <vector>

namespace cli {

// Writes the samples; borrows the generator.
struct Sampler {
  anet_generator* generator = nullptr; // null: no samples are taken
  std::vector<int32_t> prompt;
  std::vector<int32_t> stop_ids;
  std::string shown; // before the text: the prompt
};

class Monitor {
public:
  // Borrows configuration and session.
  Monitor(const TrainConfig& config, const Session& session, int64_t first_step, int64_t last_step,
          History history, Sampler sampler);

  void start();
  // What anet_session_fit calls between steps.
  void on_event(const anet_fit_event& event);
  void evaluation(int64_t step, const anet_eval_result& result, bool best = false);
  void saved(int64_t step, const std::string& path);
  void take_sample(int64_t step); // once a step; does nothing without a generator
  void finish(int64_t step, bool interrupted, const std::string& reason);

  const History& history() const { return history_; }
  const Progress& progress() const { return progress_; }
  int64_t saved_step() const { return saved_step_; } // -1: none yet
  int64_t evaluated_step() const;                    // -1: none yet

private:
  void log_places(int64_t step); // when they are others than before

  const TrainConfig& config_;
  const Session& session_;
  int64_t first_step_;
  History history_;
  Log log_;
  Progress progress_;
  Sampler sampler_;
  int64_t saved_step_ = -1;
  int64_t sampled_step_ = -1;
};

} // namespace cli
