// Shows how far the loading of a model or the reading of data has come.
#pragma once

#include <ane_train.h>

#include <chrono>
#include <string>

namespace cli {

// On a terminal a line of the standard error that redraws itself and vanishes at the end; elsewhere
// a line every five seconds, so that what is quick stays silent.
class Loading {
public:
  enum class Unit { bytes, weights };
  Loading(std::string what, Unit unit);
  ~Loading();
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;

  // For the options of calls that take a callback; `this` is its user data.
  static int32_t on_progress(const anet_progress* progress, void* user_data);

private:
  void show(const anet_progress& progress);

  std::string what_;
  Unit unit_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_;
};

} // namespace cli
