#include "loading.h"

#include "text.h"

#include <cstdio>
#include <unistd.h>
#include <utility>

namespace cli {

Loading::Loading(std::string what, Unit unit)
    : what_(std::move(what)), unit_(unit), terminal_(isatty(STDERR_FILENO) != 0),
      last_(std::chrono::steady_clock::now()) {}

Loading::~Loading() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
}

int32_t Loading::on_progress(const anet_progress* progress, void* user_data) {
  static_cast<Loading*>(user_data)->show(*progress);
  return 0;
}

void Loading::show(const anet_progress& progress) {
  const auto now = std::chrono::steady_clock::now();
  const auto interval = terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(5);
  if (now - last_ < interval) return;
  last_ = now;
  const auto format = unit_ == Unit::bytes ? format_bytes : format_count;
  const double share = progress.total == 0 ? 1.0
                                           : static_cast<double>(progress.done) /
                                                 static_cast<double>(progress.total);
  std::fprintf(stderr, "%s%s: %s of %s, %s %%%s", terminal_ ? "\r\033[K" : "", what_.c_str(),
               format(progress.done).c_str(), format(progress.total).c_str(),
               format_number(100 * share, 0).c_str(), terminal_ ? "" : "\n");
  drawn_ = terminal_;
  std::fflush(stderr);
}

} // namespace cli
