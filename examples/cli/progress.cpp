#include "progress.h"

#include "text.h"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

namespace cli {

Progress::Progress(int64_t first_step, int64_t last_step)
    : terminal_(isatty(STDOUT_FILENO) != 0), first_step_(first_step), last_step_(last_step) {}

std::string Progress::bar(int64_t step) const {
  constexpr int64_t width = 24;
  const int64_t filled =
      std::clamp<int64_t>(step * width / std::max<int64_t>(1, last_step_), 0, width);
  return "[" + std::string(static_cast<size_t>(filled), '#') +
         std::string(static_cast<size_t>(width - filled), '.') + "]";
}

std::string Progress::status(const anet_step_result& result) const {
  const double left = smoothed_seconds_ * static_cast<double>(last_step_ - result.step);
  std::string text = "step " + std::to_string(result.step) + "/" + std::to_string(last_step_);
  if (terminal_) text += " " + bar(result.step);
  text += "  loss " + format_number(result.loss, 3);
  if (result.skipped != 0) text += " (overflow, skipped)";
  text += "  " + format_count(static_cast<uint64_t>(smoothed_tokens_ / smoothed_seconds_)) +
          " tokens/s  " + format_duration(left) + " left";
  return text;
}

void Progress::step(const anet_step_result& result) {
  // The mean over about ten steps, so that the time left does not jump.
  const bool first = smoothed_seconds_ == 0;
  const double weight = first ? 1.0 : 0.1;
  const double seconds = std::max(result.seconds, 1e-9);
  smoothed_seconds_ += weight * (seconds - smoothed_seconds_);
  smoothed_tokens_ += weight * (static_cast<double>(result.tokens) - smoothed_tokens_);
  total_seconds_ += seconds;
  total_tokens_ += static_cast<double>(result.tokens);

  const auto now = std::chrono::steady_clock::now();
  const auto interval = terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(5);
  const bool last = result.step == last_step_ || result.step == first_step_ + 1;
  if (!last && now - last_print_ < interval) return;
  last_print_ = now;
  erase();
  std::printf("%s%s", status(result).c_str(), terminal_ ? "" : "\n");
  drawn_ = terminal_;
  std::fflush(stdout);
}

void Progress::note(const std::string& text) {
  erase();
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

void Progress::finish() {
  if (drawn_) std::printf("\n");
  drawn_ = false;
  std::fflush(stdout);
}

void Progress::erase() {
  if (drawn_) std::printf("\r\033[K");
  drawn_ = false;
}

double Progress::tokens_per_second() const {
  return total_seconds_ > 0 ? total_tokens_ / total_seconds_ : 0;
}

} // namespace cli
