// Progress of a run: a line that redraws itself on a terminal, plain lines elsewhere.
#pragma once

#include <ane_train.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace cli {

class Progress {
public:
  Progress(int64_t first_step, int64_t last_step);

  void step(const anet_step_result& result);
  void note(const std::string& text); // a line of its own, above the bar
  void finish();

  double tokens_per_second() const; // over the whole run

private:
  std::string bar(int64_t step) const;
  std::string status(const anet_step_result& result) const;
  void erase();

  bool terminal_;
  bool drawn_ = false;
  int64_t first_step_;
  int64_t last_step_;
  double smoothed_seconds_ = 0; // of one step
  double smoothed_tokens_ = 0;
  double total_seconds_ = 0;
  double total_tokens_ = 0;
  std::chrono::steady_clock::time_point last_print_{};
};

} // namespace cli
