// Reductions, softmax and normalizations, along one run of neighbouring axes.
#include "arithmetic.h"
#include "movement.h"
#include "plan.h"

#include <algorithm>
#include <map>

namespace emulator {

namespace {

enum class Kind { sum, mean, max, min, sum_square, l1, l2, log_sum, log_sum_exp };

const std::map<std::string_view, Kind>& reductions() {
  static const std::map<std::string_view, Kind> names = {{"reduce_sum", Kind::sum},
                                                         {"reduce_mean", Kind::mean},
                                                         {"reduce_max", Kind::max},
                                                         {"reduce_min", Kind::min},
                                                         {"reduce_sum_square", Kind::sum_square},
                                                         {"reduce_l1_norm", Kind::l1},
                                                         {"reduce_l2_norm", Kind::l2},
                                                         {"reduce_log_sum", Kind::log_sum},
                                                         {"reduce_log_sum_exp", Kind::log_sum_exp}};
  return names;
}

// [outer, length, inner] as lines of `length`: the source itself, or a transposed copy.
const float* as_lines(const float* source, const AxisRange& range, const Frame& frame) {
  if (range.inner == 1) return source;
  float* copy = frame.scratch->take(0, range.outer * range.length * range.inner);
  StridedCopy transpose{.extents = {range.outer, range.inner, range.length},
                        .from = {range.length * range.inner, 1, range.inner},
                        .to = {range.inner * range.length, range.length, 1}};
  transpose.simplify();
  transpose.run(source, copy);
  return copy;
}

// Lines back into [outer, length, inner].
void from_lines(const float* lines, float* target, const AxisRange& range) {
  StridedCopy transpose{.extents = {range.outer, range.length, range.inner},
                        .from = {range.inner * range.length, 1, range.length},
                        .to = {range.length * range.inner, range.inner, 1}};
  transpose.simplify();
  transpose.run(lines, target);
}

template <typename Map>
double total(const float* line, int64_t length, Map map) {
  double sum = 0;
  for (int64_t i = 0; i < length; ++i) sum += map(static_cast<double>(line[i]));
  return sum;
}

// The options narrow_sum and narrow_squares: integers stay exact only to 2048 (ane-facts.md 6, R).
template <typename Map>
double narrow_total(const float* line, int64_t length, Map map) {
  float sum = 0;
  for (int64_t i = 0; i < length; ++i) sum = round_half(sum + round_half(map(line[i])));
  return sum;
}

double reduce_line(Kind kind, const float* line, int64_t length, const Numerics& numerics) {
  const auto same = [](auto v) { return v; };
  const auto square = [](auto v) { return v * v; };
  switch (kind) {
  case Kind::sum:
    return numerics.narrow_sum ? narrow_total(line, length, same) : total(line, length, same);
  case Kind::mean:
    return total(line, length, same) / static_cast<double>(length);
  case Kind::max:
    return *std::max_element(line, line + length);
  case Kind::min:
    return *std::min_element(line, line + length);
  case Kind::sum_square:
    return total(line, length, square);
  case Kind::l1:
    return total(line, length, [](double v) { return std::fabs(v); });
  case Kind::l2:
    return std::sqrt(numerics.narrow_squares ? narrow_total(line, length, square)
                                             : total(line, length, square));
  case Kind::log_sum:
    return std::log(total(line, length, same));
  case Kind::log_sum_exp: {
    const double highest = *std::max_element(line, line + length);
    if (!std::isfinite(highest)) return highest;
    return highest + std::log(total(line, length, [=](double v) { return std::exp(v - highest); }));
  }
  }
  return 0;
}

float stored(double value, bool nan_rule) {
  return std::isnan(value) && nan_rule ? 0.0f : round_half_once(value);
}

Step reduce_step(const Call& call, Kind kind, const PlanOptions& options) {
  const Shape& x = call.shape("x");
  const auto range = axis_range(x, call.axes("axes", x.size()));
  if (!range) return nullptr;
  const Numerics numerics = options.numerics;
  return [kind, numerics, range = *range, source = call.index("x"),
          target = call.op().outputs.front()](const Frame& frame) {
    const float* lines = as_lines(frame.in(source), range, frame);
    float* out = frame.out(target);
    for (int64_t i = 0; i < range.outer * range.inner; ++i) {
      out[i] = stored(reduce_line(kind, lines + i * range.length, range.length, numerics),
                      numerics.nan_rule);
    }
  };
}

// Runs `line(in, out)` for each line of the range and puts the results back.
template <typename Line>
void map_lines(const Frame& frame, const AxisRange& range, int source, int target, Line line) {
  const float* lines = as_lines(frame.in(source), range, frame);
  const int64_t count = range.outer * range.inner;
  float* results =
      range.inner == 1 ? frame.out(target) : frame.scratch->take(1, count * range.length);
  for (int64_t i = 0; i < count; ++i) line(lines + i * range.length, results + i * range.length);
  if (range.inner != 1) from_lines(results, frame.out(target), range);
}

// The largest value is subtracted first (6, R).
void softmax_line(const float* in, float* out, int64_t length, bool nan_rule) {
  const float highest = *std::max_element(in, in + length);
  double sum = 0;
  for (int64_t i = 0; i < length; ++i) {
    out[i] = std::exp(in[i] - highest);
    if (nan_rule && out[i] != out[i]) out[i] = 0; // Inf - Inf
    sum += out[i];
  }
  const auto factor = static_cast<float>(1 / sum);
  for (int64_t i = 0; i < length; ++i) {
    const float value = round_half(out[i] * factor);
    out[i] = nan_rule && value != value ? 0 : value;
  }
}

Step softmax_step(const Call& call, const PlanOptions& options) {
  const Shape& x = call.shape("x");
  const AxisRange range = *axis_range(x, {call.axis(call.integer("axis"), x.size())});
  return [range, nan_rule = options.numerics.nan_rule, source = call.index("x"),
          target = call.op().outputs.front()](const Frame& frame) {
    map_lines(frame, range, source, target,
              [&](const float* in, float* out) { softmax_line(in, out, range.length, nan_rule); });
  };
}

Step layer_norm_step(const Call& call, const PlanOptions& options) {
  const Shape& x = call.shape("x");
  const auto range = axis_range(x, call.axes("axes", x.size()));
  if (!range) return nullptr;
  const int gamma = call.has("gamma") ? call.index("gamma") : -1;
  const int beta = call.has("beta") ? call.index("beta") : -1;
  return [range = *range, gamma, beta, epsilon = call.number("epsilon"),
          nan_rule = options.numerics.nan_rule, source = call.index("x"),
          target = call.op().outputs.front()](const Frame& frame) {
    const float* scale = gamma < 0 ? nullptr : frame.in(gamma);
    const float* shift = beta < 0 ? nullptr : frame.in(beta);
    map_lines(frame, range, source, target, [&](const float* in, float* out) {
      const int64_t length = range.length;
      const double mean =
          total(in, length, [](double v) { return v; }) / static_cast<double>(length);
      const double variance = total(in, length, [=](double v) { return (v - mean) * (v - mean); }) /
                              static_cast<double>(length);
      const double factor = 1 / std::sqrt(variance + epsilon);
      for (int64_t i = 0; i < length; ++i) {
        const double unit = (in[i] - mean) * factor;
        out[i] = stored(
            unit * (scale == nullptr ? 1 : scale[i]) + (shift == nullptr ? 0 : shift[i]), nan_rule);
      }
    });
  };
}

} // namespace

Step reduction_step(const Call& call, const PlanOptions& options) {
  const std::string& name = call.op().name;
  const auto found = reductions().find(name);
  if (found != reductions().end()) return reduce_step(call, found->second, options);
  if (name == "softmax") return softmax_step(call, options);
  if (name == "layer_norm") return layer_norm_step(call, options);
  return nullptr;
}

} // namespace emulator
