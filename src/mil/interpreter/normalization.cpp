// softmax, layer_norm, l2_norm and cumsum.
#include "mil/interpreter/context.h"

#include <algorithm>
#include <cmath>

namespace anet::mil::interpreter {

namespace {

void softmax(Context& c) {
  const Tensor& x = c.tensor("x");
  const Shape& shape = x.type.shape;
  const AxisView view = view_axis(shape, c.axis("axis", static_cast<int64_t>(shape.size()), -1));
  std::vector<double>& y = c.output().values;
  for (int64_t outer = 0; outer < view.outer; ++outer) {
    for (int64_t inner = 0; inner < view.inner; ++inner) {
      double largest = -INFINITY;
      for (int64_t i = 0; i < view.extent; ++i) {
        largest = std::max(largest, x.values[view.at(outer, i, inner)]);
      }
      double sum = 0;
      for (int64_t i = 0; i < view.extent; ++i) {
        sum += y[view.at(outer, i, inner)] = std::exp(x.values[view.at(outer, i, inner)] - largest);
      }
      for (int64_t i = 0; i < view.extent; ++i) y[view.at(outer, i, inner)] /= sum;
    }
  }
}

// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta over `axes`; gamma and beta have the
// extents of those axes.
void layer_norm(Context& c) {
  const Tensor& x = c.tensor("x");
  const Shape& shape = x.type.shape;
  const std::vector<int64_t> axes = c.axes("axes", static_cast<int64_t>(shape.size()));
  const double epsilon = c.number_or("epsilon", 1e-5);
  std::vector<bool> normalized(shape.size(), false);
  for (int64_t axis : axes) normalized[static_cast<size_t>(axis)] = true;
  Shape group_shape = shape;
  Shape inside_shape = shape;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    (normalized[axis] ? group_shape : inside_shape)[axis] = 1;
  }
  const std::vector<int64_t> strides = contiguous_strides(shape);
  std::vector<double>& y = c.output().values;
  const double count = static_cast<double>(element_count(inside_shape));
  for_each_index(group_shape, [&](const Shape& group) {
    const int64_t base = offset_of(group, strides);
    const auto at = [&](const Shape& inside) {
      return static_cast<size_t>(base + offset_of(inside, strides));
    };
    double mean = 0;
    for_each_index(inside_shape, [&](const Shape& i) { mean += x.values[at(i)] / count; });
    double variance = 0;
    for_each_index(inside_shape, [&](const Shape& i) {
      variance += (x.values[at(i)] - mean) * (x.values[at(i)] - mean) / count;
    });
    size_t next = 0;
    for_each_index(inside_shape, [&](const Shape& i) {
      double value = (x.values[at(i)] - mean) / std::sqrt(variance + epsilon);
      if (c.has("gamma")) value *= c.tensor("gamma").values[next];
      if (c.has("beta")) value += c.tensor("beta").values[next];
      y[at(i)] = value;
      ++next;
    });
  });
}

// x / sqrt(sum of squares over the last three axes + epsilon).
void l2_norm(Context& c) {
  const Tensor& x = c.tensor("x");
  const Shape& shape = x.type.shape;
  const double epsilon = c.number_or("epsilon", 1e-6);
  const int64_t size = element_count(Shape(shape.end() - 3, shape.end()));
  std::vector<double>& y = c.output().values;
  for (size_t start = 0; start < x.values.size(); start += static_cast<size_t>(size)) {
    double sum = 0;
    for (size_t i = start; i < start + static_cast<size_t>(size); ++i) {
      sum += x.values[i] * x.values[i];
    }
    for (size_t i = start; i < start + static_cast<size_t>(size); ++i) {
      y[i] = x.values[i] / std::sqrt(sum + epsilon);
    }
  }
}

void cumsum(Context& c) {
  const Tensor& x = c.tensor("x");
  const Shape& shape = x.type.shape;
  const AxisView view = view_axis(shape, c.axis("axis", static_cast<int64_t>(shape.size()), 0));
  const bool exclusive = c.boolean_or("exclusive", false);
  const bool reverse = c.boolean_or("reverse", false);
  Tensor& output = c.output();
  for (int64_t outer = 0; outer < view.outer; ++outer) {
    for (int64_t inner = 0; inner < view.inner; ++inner) {
      double sum = 0;
      for (int64_t step = 0; step < view.extent; ++step) {
        const size_t at = view.at(outer, reverse ? view.extent - 1 - step : step, inner);
        const double before = sum;
        sum += x.values[at];
        output.values[at] = exclusive ? before : sum;
      }
    }
  }
  if (is_floating(output.type.dtype)) return;
  for (double& value : output.values) {
    value = wrap_integer(static_cast<int64_t>(value), output.type.dtype);
  }
}

} // namespace

std::span<const OpEntry> normalization_ops() {
  static const OpEntry entries[] = {
      {"cumsum", cumsum},
      {"l2_norm", l2_norm},
      {"layer_norm", layer_norm},
      {"softmax", softmax},
  };
  return entries;
}

} // namespace anet::mil::interpreter
