// Asks the engine what it accepts and how it counts, with small programs whose results are known;
// sources disagree on all of it (ane-facts.md 8). What cannot be asked gets the safe answer.
#pragma once

#include "backend/ane/engine.h"
#include "backend/ane/rules.h"

#include <memory>
#include <string>
#include <vector>

namespace anet::backend::ane {

struct ProbeAnswer {
  std::string question; // "concat"
  bool answer = false;
  std::string detail; // what was seen: a reason, an error, a speed
  // False when the question could not be asked (the framework failed, not the program).
  bool conclusive = true;
  bool operator==(const ProbeAnswer&) const = default;
};

struct Probed {
  Rules rules;
  std::vector<ProbeAnswer> answers;
  bool from_cache = false;
  std::string warning; // what went wrong with the cache, or why nothing was asked
};

// The compilations that probe() may need: 28, and some again that were rejected.
inline constexpr int64_t probe_compilations = 36;

// Compiles at most `probe_compilations` programs. Never throws for what the engine does.
Probed probe(Engine& engine);

} // namespace anet::backend::ane
