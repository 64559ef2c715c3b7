// What the host can see of an engine's result without computing it again, and how far it is from
// the host's when it did.
#pragma once

#include "backend/backend.h"
#include "backend/cpu/operand.h"

#include <string>

namespace anet {
class ThreadPool;
}

namespace anet::backend::ane {

struct Contents {
  bool all_zero = true;
  bool finite = true;
};

// For numeric types. Planned once, a run allocates nothing.
class Inspection {
public:
  explicit Inspection(const Layout& layout);
  // Reads every element once.
  Contents run(const std::byte* data, ThreadPool& pool) const;
  // Reads up to the first element that is not zero.
  bool all_zero(const std::byte* data) const;

private:
  DataType dtype_;
  cpu::LoopNest<1> nest_; // strides in bytes
};

// The engine's tensor against the host's, of equal layouts.
struct Comparison {
  double error = 0;  // the largest difference, relative to the host's largest magnitude
  std::string fault; // "" or what is wrong whatever the tolerance: not finite, or all zero
};

// Magnitudes below the smallest normal fp16 number count as that: differences there are rounding.
Comparison compare(const std::byte* engine, const std::byte* host, const Layout& layout);

} // namespace anet::backend::ane
