// Reductions over a list of axes, and argmax and argmin over one.
#include "mil/interpreter/context.h"

#include <cmath>
#include <numeric>

namespace anet::mil::interpreter {

namespace {

// Calls f(values of one reduction) for every output element. `keep_dims` does not matter: the
// output's elements are in the same order with and without the axes of extent 1.
template <typename F>
void reduce(Context& c, F&& f) {
  const Tensor& x = c.tensor("x");
  const Shape& shape = x.type.shape;
  const std::vector<int64_t> axes = c.axes("axes", static_cast<int64_t>(shape.size()));
  Shape kept = shape;
  for (int64_t axis : axes) kept[static_cast<size_t>(axis)] = 1;
  std::vector<int64_t> strides = contiguous_strides(kept);
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (kept[axis] != shape[axis]) strides[axis] = 0;
  }
  Tensor& output = c.output();
  std::vector<std::vector<double>> groups(output.values.size());
  size_t next = 0;
  for_each_index(shape, [&](const Shape& index) {
    groups[static_cast<size_t>(offset_of(index, strides))].push_back(x.values[next++]);
  });
  const DataType dtype = output.type.dtype;
  for (size_t i = 0; i < groups.size(); ++i) {
    const double value = f(groups[i]);
    output.values[i] =
        is_floating(dtype) ? value : wrap_integer(static_cast<int64_t>(value), dtype);
  }
}

using Values = std::vector<double>;

template <typename F>
double sum_of(const Values& values, F&& f) {
  double sum = 0;
  for (double value : values) sum += f(value);
  return sum;
}

double sum(const Values& values) {
  return sum_of(values, [](double x) { return x; });
}

double product(const Values& values) {
  double result = 1;
  for (double value : values) result *= value;
  return result;
}

double greatest(const Values& values) {
  return std::accumulate(values.begin(), values.end(), values.front(), greater_of);
}

double least(const Values& values) {
  return std::accumulate(values.begin(), values.end(), values.front(), lesser_of);
}

// Shifted by the largest value, so that no exponential overflows.
double log_sum_exp(const Values& values) {
  const double largest = greatest(values);
  if (std::isinf(largest)) return largest;
  return largest + std::log(sum_of(values, [&](double x) { return std::exp(x - largest); }));
}

void reduce_sum(Context& c) { reduce(c, sum); }
void reduce_mean(Context& c) {
  reduce(c, [](const Values& v) { return sum(v) / static_cast<double>(v.size()); });
}
void reduce_max(Context& c) { reduce(c, greatest); }
void reduce_min(Context& c) { reduce(c, least); }
void reduce_prod(Context& c) { reduce(c, product); }
void reduce_sum_square(Context& c) {
  reduce(c, [](const Values& v) { return sum_of(v, [](double x) { return x * x; }); });
}
void reduce_l1_norm(Context& c) {
  reduce(c, [](const Values& v) { return sum_of(v, [](double x) { return std::fabs(x); }); });
}
void reduce_l2_norm(Context& c) {
  reduce(c, [](const Values& v) { return std::sqrt(sum_of(v, [](double x) { return x * x; })); });
}
void reduce_log_sum(Context& c) {
  reduce(c, [](const Values& v) { return std::log(sum(v)); });
}
void reduce_log_sum_exp(Context& c) { reduce(c, log_sum_exp); }

// The first position of the extreme value.
template <typename Better>
void reduce_argument(Context& c, Better&& better) {
  const Tensor& x = c.tensor("x");
  const Shape& shape = x.type.shape;
  const AxisView view = view_axis(shape, c.axis("axis", static_cast<int64_t>(shape.size()), -1));
  Tensor& output = c.output();
  for (int64_t outer = 0; outer < view.outer; ++outer) {
    for (int64_t inner = 0; inner < view.inner; ++inner) {
      int64_t best = 0;
      for (int64_t i = 1; i < view.extent; ++i) {
        if (better(x.values[view.at(outer, i, inner)], x.values[view.at(outer, best, inner)])) {
          best = i;
        }
      }
      output.values[static_cast<size_t>(outer * view.inner + inner)] = static_cast<double>(best);
    }
  }
}

void reduce_argmax(Context& c) {
  reduce_argument(c, [](double a, double b) { return a > b; });
}
void reduce_argmin(Context& c) {
  reduce_argument(c, [](double a, double b) { return a < b; });
}

} // namespace

std::span<const OpEntry> reduction_ops() {
  static const OpEntry entries[] = {
      {"reduce_argmax", reduce_argmax},   {"reduce_argmin", reduce_argmin},
      {"reduce_l1_norm", reduce_l1_norm}, {"reduce_l2_norm", reduce_l2_norm},
      {"reduce_log_sum", reduce_log_sum}, {"reduce_log_sum_exp", reduce_log_sum_exp},
      {"reduce_max", reduce_max},         {"reduce_mean", reduce_mean},
      {"reduce_min", reduce_min},         {"reduce_prod", reduce_prod},
      {"reduce_sum", reduce_sum},         {"reduce_sum_square", reduce_sum_square},
  };
  return entries;
}

} // namespace anet::mil::interpreter
