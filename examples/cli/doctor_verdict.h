// What `ane-train doctor` found, what it means and what to do about it.
#pragma once

#include "doctor_smoke.h"

#include <optional>
#include <string>
#include <vector>

namespace cli {

struct Examination {
  std::string requested;   // the device asked for
  bool available = false;  // it could be opened
  std::string reason;      // why not
  std::string description; // of the device
  std::string report;      // its JSON about itself; "" when it has none
  SmokeSetup setup;
  // The CPU's run is the first. The device's own is the second, when it could be opened.
  std::vector<SmokeRun> runs;
};

// Losses of the device may differ so much from the CPU's, relative to them.
inline constexpr double loss_tolerance = 0.01;

struct Verdict {
  int exit_code = 0;
  std::string state; // "engine works"; docs/neural-engine.md lists the others
  std::string text;  // one line
  std::string advice;
};
Verdict judge(const Examination& examination);

Json examination_json(const Examination& examination, const Verdict& verdict);
void print_examination(const Examination& examination, const Verdict& verdict);

} // namespace cli
