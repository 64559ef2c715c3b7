// Operations of two or three operands that broadcast.
#include "arithmetic.h"
#include "movement.h"
#include "plan.h"

#include <algorithm>
#include <array>
#include <map>

namespace emulator {

namespace {

enum class Binary {
  add,
  sub,
  mul,
  real_div,
  floor_div,
  maximum,
  minimum,
  pow,
  equal,
  not_equal,
  greater,
  greater_equal,
  less,
  less_equal
};

const std::map<std::string_view, Binary>& binary_names() {
  static const std::map<std::string_view, Binary> names = {{"add", Binary::add},
                                                           {"sub", Binary::sub},
                                                           {"mul", Binary::mul},
                                                           {"real_div", Binary::real_div},
                                                           {"floor_div", Binary::floor_div},
                                                           {"maximum", Binary::maximum},
                                                           {"minimum", Binary::minimum},
                                                           {"pow", Binary::pow},
                                                           {"equal", Binary::equal},
                                                           {"not_equal", Binary::not_equal},
                                                           {"greater", Binary::greater},
                                                           {"greater_equal", Binary::greater_equal},
                                                           {"less", Binary::less},
                                                           {"less_equal", Binary::less_equal}};
  return names;
}

// One line of the result. A step of 0 repeats an operand.
struct Line {
  float* out;
  const float* a;
  int64_t a_step;
  const float* b;
  int64_t b_step;
  int64_t count;
};

template <typename Function>
[[gnu::always_inline]] inline void each(const Line& line, Function function) {
  float* out = line.out;
  const float* a = line.a;
  const float* b = line.b;
  if (line.a_step == 1 && line.b_step == 1) {
    for (int64_t i = 0; i < line.count; ++i) out[i] = function(a[i], b[i]);
  } else if (line.b_step == 0 && line.a_step == 1) {
    const float right = *b;
    for (int64_t i = 0; i < line.count; ++i) out[i] = function(a[i], right);
  } else if (line.a_step == 0 && line.b_step == 1) {
    const float left = *a;
    for (int64_t i = 0; i < line.count; ++i) out[i] = function(left, b[i]);
  } else {
    for (int64_t i = 0; i < line.count; ++i)
      out[i] = function(a[i * line.a_step], b[i * line.b_step]);
  }
}

// Two fp16 values: the float result rounds to the same fp16 as the exact one (24 >= 2 * 11 + 2
// bits). What would be NaN is +0 (ane-facts.md 6, R).
[[gnu::always_inline]] inline float settled(float value, bool nan_rule) {
  value = round_half(value);
  return nan_rule && value != value ? 0.0f : value;
}

EMULATOR_CLONES void run_line(Binary op, const Line& line, bool nan_rule) {
  switch (op) {
  case Binary::add:
    return each(line, [=](float a, float b) { return settled(a + b, nan_rule); });
  case Binary::sub:
    return each(line, [=](float a, float b) { return settled(a - b, nan_rule); });
  case Binary::mul:
    return each(line, [=](float a, float b) { return settled(a * b, nan_rule); });
  // 1 / -0 is +Inf: adding 0 makes a zero positive.
  case Binary::real_div:
    return each(line, [=](float a, float b) { return settled(a / (b + 0.0f), nan_rule); });
  case Binary::floor_div:
    return each(line,
                [=](float a, float b) { return settled(std::floor(a / (b + 0.0f)), nan_rule); });
  case Binary::maximum:
    return each(line, [](float a, float b) { return a > b ? a : b; });
  case Binary::minimum:
    return each(line, [](float a, float b) { return a < b ? a : b; });
  case Binary::pow:
    return each(line, [=](float a, float b) {
      const double power = std::pow(static_cast<double>(a), static_cast<double>(b));
      return std::isnan(power) && nan_rule ? 0.0f : round_half_once(power);
    });
  case Binary::equal:
    return each(line, [](float a, float b) { return a == b ? 1.0f : 0.0f; });
  case Binary::not_equal:
    return each(line, [](float a, float b) { return a != b ? 1.0f : 0.0f; });
  case Binary::greater:
    return each(line, [](float a, float b) { return a > b ? 1.0f : 0.0f; });
  case Binary::greater_equal:
    return each(line, [](float a, float b) { return a >= b ? 1.0f : 0.0f; });
  case Binary::less:
    return each(line, [](float a, float b) { return a < b ? 1.0f : 0.0f; });
  case Binary::less_equal:
    return each(line, [](float a, float b) { return a <= b ? 1.0f : 0.0f; });
  }
}

// Nested loops over the result with the steps of each operand. Neighbouring axes that every operand
// walks through evenly are one loop.
struct Broadcast {
  Shape extents;
  std::vector<std::vector<int64_t>> steps; // an operand each

  Broadcast(const Shape& result, const std::vector<Shape>& operands) {
    std::vector<std::vector<int64_t>> full;
    for (const Shape& shape : operands) full.push_back(broadcast_strides(shape, result));
    steps.resize(operands.size());
    for (size_t axis = 0; axis < result.size(); ++axis) {
      if (result[axis] == 1) continue;
      bool joins = !extents.empty();
      for (size_t i = 0; i < full.size(); ++i) {
        joins = joins && steps[i].back() == full[i][axis] * result[axis];
      }
      if (joins)
        extents.back() *= result[axis];
      else
        extents.push_back(result[axis]);
      for (size_t i = 0; i < full.size(); ++i) {
        if (joins)
          steps[i].back() = full[i][axis];
        else
          steps[i].push_back(full[i][axis]);
      }
    }
    if (extents.empty()) {
      extents.push_back(1);
      for (auto& list : steps) list.push_back(0);
    }
  }

  // line(offsets of the operands, offset of the result) for each innermost line.
  template <typename Function>
  void lines(Function line) const {
    const size_t outer = extents.size() - 1;
    std::vector<int64_t> position(outer, 0);
    std::vector<int64_t> offsets(steps.size(), 0);
    int64_t out = 0;
    while (true) {
      line(offsets, out);
      out += extents.back();
      size_t axis = outer;
      while (true) {
        if (axis == 0) return;
        --axis;
        for (size_t i = 0; i < steps.size(); ++i) offsets[i] += steps[i][axis];
        if (++position[axis] < extents[axis]) break;
        for (size_t i = 0; i < steps.size(); ++i) offsets[i] -= steps[i][axis] * extents[axis];
        position[axis] = 0;
      }
    }
  }
};

Step select_step(const Call& call) {
  const int target = call.op().outputs.front();
  const Broadcast broadcast(call.function().value(target).type.shape,
                            {call.shape("cond"), call.shape("a"), call.shape("b")});
  return [broadcast, target, cond = call.index("cond"), a = call.index("a"),
          b = call.index("b")](const Frame& frame) {
    const float* c = frame.in(cond);
    const float* x = frame.in(a);
    const float* y = frame.in(b);
    float* to = frame.out(target);
    const int64_t count = broadcast.extents.back();
    const auto step = [&](size_t operand) { return broadcast.steps[operand].back(); };
    broadcast.lines([&](const std::vector<int64_t>& at, int64_t out) {
      for (int64_t i = 0; i < count; ++i) {
        to[out + i] = c[at[0] + i * step(0)] != 0 ? x[at[1] + i * step(1)] : y[at[2] + i * step(2)];
      }
    });
  };
}

Step not_step(const Call& call) {
  return [source = call.index("x"), target = call.op().outputs.front(),
          count = call.type("x").elements()](const Frame& frame) {
    const float* x = frame.in(source);
    std::transform(x, x + count, frame.out(target),
                   [](float value) { return value == 0 ? 1.0f : 0.0f; });
  };
}

} // namespace

Step binary_step(const Call& call, const PlanOptions& options) {
  const std::string& name = call.op().name;
  if (name == "select") return select_step(call);
  if (name == "logical_not") return not_step(call);
  const auto found = binary_names().find(name);
  if (found == binary_names().end()) return nullptr;
  // int32 is not on the fp16 data path.
  if (call.type("x").dtype == DataType::int32 && found->second < Binary::equal) return nullptr;
  const int target = call.op().outputs.front();
  const Broadcast broadcast(call.function().value(target).type.shape,
                            {call.shape("x"), call.shape("y")});
  return [op = found->second, broadcast, target, x = call.index("x"), y = call.index("y"),
          nan_rule = options.numerics.nan_rule](const Frame& frame) {
    const float* a = frame.in(x);
    const float* b = frame.in(y);
    float* to = frame.out(target);
    broadcast.lines([&](const std::vector<int64_t>& at, int64_t out) {
      run_line(op,
               {to + out, a + at[0], broadcast.steps[0].back(), b + at[1],
                broadcast.steps[1].back(), broadcast.extents.back()},
               nan_rule);
    });
  };
}

} // namespace emulator
