// What the Neural Engine device is asked to do. Field names and meanings are those of
// anet_ane_options in include/ane_train.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace anet::backend {

// Where the parts of training run.
enum class PlacementPolicy : int32_t {
  measured = 0, // each program is timed on both sides as it is compiled; the faster side keeps it
  engine = 1,   // the engine wherever it can
  host = 2,
};

// Parts that are placed on their own.
enum class Part : uint8_t { other, forward, loss, input_gradient, weight_gradient };
inline constexpr size_t part_count = 5;

// What happens when an audit finds a difference above the tolerance, a value that is not finite,
// or zeros where the host has none.
enum class AuditAction : int32_t {
  fallback = 0, // the host's result is used, and the program stays on the host
  error = 1,    // the run fails with Status::numeric
};

struct AneOptions {
  std::string framework_path;  // empty: Apple's
  std::string cache_directory; // of probe results; empty: the user's cache directory
  int32_t compile_budget = 0;  // programs compiled in this process; 0: 110 (ane-facts.md 5.2, R)
  int32_t qos = 0;             // 0: 21, the default class (ane-facts.md 1.7)
  std::array<PlacementPolicy, part_count> placement{};
  int32_t audit_every = 0; // runs of a program; 0: never
  AuditAction audit_action = AuditAction::fallback;
  double audit_tolerance = 0; // relative to the largest value of the tensor; 0: 0.05
  std::string audit_kernels;  // labels separated by commas; empty: all
  bool operator==(const AneOptions&) const = default;
};

} // namespace anet::backend
