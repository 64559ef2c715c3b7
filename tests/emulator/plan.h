// A function made ready to run: one step an operation, over float arrays in one arena.
#pragma once

#include "checked.h"
#include "options.h"

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

namespace emulator {

// Arrays that a step needs while it runs. They grow and are kept.
class Scratch {
public:
  float* take(size_t slot, int64_t count);

private:
  std::vector<std::vector<float>> slots_;
};

// Where each value of the function is during one run.
struct Frame {
  std::vector<float*> values;
  Scratch* scratch;

  const float* in(int value) const { return values[static_cast<size_t>(value)]; }
  float* out(int value) const { return values[static_cast<size_t>(value)]; }
};

using Step = std::function<void(const Frame&)>;

struct PlanOptions {
  Numerics numerics;
  Rules rules;
};

// Builds the step of one operation. A family returns an empty step for what it does not know.
Step unary_step(const Call& call, const PlanOptions& options);
Step binary_step(const Call& call, const PlanOptions& options);
Step matrix_step(const Call& call, const PlanOptions& options);
Step reduction_step(const Call& call, const PlanOptions& options);
Step movement_step(const Call& call, const PlanOptions& options);
Step quantization_step(const Call& call, const PlanOptions& options);
Step fallback_step(const Call& call);

// Operations whose result is their operand under another type.
bool is_view(const Call& call);

class Plan {
public:
  // `function` must outlive the plan.
  Plan(const CheckedFunction& function, const PlanOptions& options);

  // Inputs are written and outputs read through pointers(); rows are dense here.
  struct Run {
    std::vector<float> arena;
    Scratch scratch;
    Frame frame;
  };
  void prepare(Run& run) const;
  void execute(const Run& run) const;

private:
  struct Place {
    int root = -1; // the value whose array this one shares, itself when it has its own
    int64_t offset = -1;
    int last_use = -1;
  };
  void place_values();
  void share_views();

  const CheckedFunction* function_;
  std::vector<Step> steps_; // empty for a view
  std::vector<Place> places_;
  int64_t arena_size_ = 0;
};

} // namespace emulator
