// What is wrong with a file's tensors, all in one error.
#pragma once

#include "base/status.h"

#include <string>
#include <string_view>

namespace anet::io {

class ProblemList {
public:
  template <typename... Parts>
  void add(const Parts&... parts) {
    if (++count_ > listed) return;
    if (!text_.empty()) text_ += "; ";
    text_ += concat(parts...);
  }
  // Throws invalid_data if there is any problem.
  void check(std::string_view source) const {
    if (count_ == 0) return;
    fail(Status::invalid_data, source, ": ", text_,
         count_ > listed ? concat("; and ", count_ - listed, " more problems") : std::string());
  }

private:
  static constexpr int64_t listed = 40; // a wrong config.json would make thousands of lines
  int64_t count_ = 0;
  std::string text_;
};

} // namespace anet::io
