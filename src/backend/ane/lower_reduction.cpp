// Sums, means, extremes, norms, softmax and running sums.
//
// The engine's reduce_sum adds up in fp16 (ane-facts.md 6, R), its products add up wide: sums over
// more than a few elements are products with ones. Such a product is formed at a fraction of its
// size, because products overflow at 32768 and sums at 65536; the factor is a power of two, so
// nothing is lost.
#include "backend/ane/lowering.h"

#include <algorithm>
#include <cmath>

namespace anet::backend::ane {

namespace {

// Added one after the other in fp16, so few numbers lose no more than their own rounding does.
constexpr int64_t few = 16;

struct Reduction {
  ValueId x = mil::no_value;
  std::vector<size_t> slots; // of axes of more than one element
  std::vector<int64_t> axes() const { return {slots.begin(), slots.end()}; }
};

Reduction read_reduction(Lowering& l, std::span<const size_t> axes) {
  const Shape& shape = l.shape("x");
  Shape reduced = shape;
  std::vector<size_t> own;
  for (size_t axis : axes) {
    reduced[axis] = 1;
    if (shape[axis] > 1) own.push_back(axis);
  }
  const std::vector<Shape> operands{reduced};
  // Reduced axes next to each other may be seen as one, and a high one may be split.
  const Frame frame = l.frame(shape, operands);
  Reduction reduction;
  reduction.x = l.read(l.input("x"), frame.extents(shape));
  const Shape kept = frame.extents(reduced);
  const Shape& extents = l.b.shape(reduction.x);
  for (size_t slot = 0; slot < 4; ++slot) {
    if (kept[slot] != extents[slot]) reduction.slots.push_back(slot);
  }
  return reduction;
}

Reduction read_reduction(Lowering& l) {
  return read_reduction(l, l.axes("axes", l.shape("x").size()));
}

int64_t count_of(const Lowering& l, const Reduction& r) {
  int64_t count = 1;
  for (size_t slot : r.slots) count *= l.b.shape(r.x)[slot];
  return count;
}

ValueId extreme(Lowering& l, std::string_view op, const Reduction& r) {
  return r.slots.empty() ? r.x : l.b.reduce(op, r.x, r.axes(), true);
}

void reduce_extreme(Lowering& l) { l.write(extreme(l, l.name(), read_reduction(l))); }

ValueId sum_of(Lowering& l, const Reduction& r, ValueId x) { return sum_along(l, x, r.slots); }

void reduce_sum(Lowering& l) {
  const Reduction r = read_reduction(l);
  l.write(sum_of(l, r, r.x));
}

void reduce_mean(Lowering& l) {
  const Reduction r = read_reduction(l);
  l.write(sum_along(l, r.x, r.slots, static_cast<double>(count_of(l, r))));
}

void reduce_sum_square(Lowering& l) {
  const Reduction r = read_reduction(l);
  l.write(sum_of(l, r, l.b.mul(r.x, r.x)));
}

void reduce_l1_norm(Lowering& l) {
  const Reduction r = read_reduction(l);
  l.write(sum_of(l, r, l.b.unary("abs", r.x)));
}

void reduce_log_sum(Lowering& l) {
  const Reduction r = read_reduction(l);
  l.write(l.b.add("log", {{"x", sum_of(l, r, r.x)}, {"epsilon", l.half(0)}}));
}

// largest + log(sum(exp(x - largest)))
void reduce_log_sum_exp(Lowering& l) {
  const Reduction r = read_reduction(l);
  const ValueId largest = extreme(l, "reduce_max", r);
  const ValueId sum = sum_of(l, r, l.b.unary("exp", l.b.sub(r.x, largest)));
  l.write(l.b.add(largest, l.b.add("log", {{"x", sum}, {"epsilon", l.half(0)}})));
}

// The largest magnitude times the norm of x divided by it: squares stay finite. A magnitude of 0
// is replaced by the least normal number.
ValueId scaled_norm(Lowering& l, const Reduction& r) {
  const ValueId magnitude = l.b.unary("abs", r.x);
  const ValueId largest = extreme(l, "reduce_max", {magnitude, r.slots});
  constexpr double smallest = 0x1p-14; // the least normal number of fp16
  const ValueId unit = l.b.binary("maximum", largest, l.half(smallest));
  const ValueId fraction = l.b.real_div(r.x, unit);
  const ValueId sum = sum_of(l, r, l.b.mul(fraction, fraction));
  // Also infinite where something in x is.
  return l.b.binary("maximum", l.b.mul(l.b.unary("sqrt", sum), unit), largest);
}

void reduce_l2_norm(Lowering& l) {
  const Reduction r = read_reduction(l);
  const bool as_one_op = !l.rules.narrow_l2_norm && !r.slots.empty();
  l.write(as_one_op ? l.watch(l.b.reduce("reduce_l2_norm", r.x, r.axes(), true))
                    : scaled_norm(l, r));
}

// x / sqrt(sum of squares over the last three axes + epsilon)
void l2_norm(Lowering& l) {
  const size_t rank = l.shape("x").size();
  const std::vector<size_t> axes{rank - 3, rank - 2, rank - 1};
  const Reduction r = read_reduction(l, axes);
  const ValueId sum = sum_of(l, r, l.b.mul(r.x, r.x));
  l.write(l.b.mul(r.x, reciprocal_root(l, sum, l.number("epsilon"))));
}

// gamma or beta, whose axes are the normalised ones, as an operand that broadcasts to x.
ValueId normalized_operand(Lowering& l, std::string_view argument, const Frame& frame,
                           const std::vector<size_t>& axes) {
  Shape shape(l.shape("x").size(), 1);
  for (size_t axis : axes) shape[axis] = l.shape("x")[axis];
  return l.read(l.input(argument), frame.extents(shape));
}

// (x - mean) / sqrt(variance + epsilon) * gamma + beta
void layer_norm(Lowering& l) {
  std::vector<size_t> axes = l.axes("axes", l.shape("x").size());
  std::sort(axes.begin(), axes.end());
  const Reduction r = read_reduction(l, axes);
  const auto count = static_cast<double>(count_of(l, r));
  const ValueId centered = l.b.sub(r.x, sum_along(l, r.x, r.slots, count));
  const ValueId variance = sum_along(l, l.b.mul(centered, centered), r.slots, count);
  ValueId y = l.b.mul(centered, reciprocal_root(l, variance, l.number("epsilon")));
  Shape reduced = l.shape("x");
  for (size_t axis : axes) reduced[axis] = 1;
  const std::vector<Shape> operands{reduced};
  const Frame frame = l.frame(l.shape("x"), operands);
  if (l.has("gamma")) y = l.b.mul(y, normalized_operand(l, "gamma", frame, axes));
  if (l.has("beta")) y = l.b.add(y, normalized_operand(l, "beta", frame, axes));
  l.write(y);
}

// One slot holds the axis that an op works along.
struct AxisOperand {
  ValueId x = mil::no_value;
  size_t slot = 0;
};

AxisOperand read_axis(Lowering& l) {
  const Shape& shape = l.shape("x");
  const std::vector<size_t> own{l.axis("axis", shape.size())};
  const Frame frame = l.frame(shape, {}, own);
  return {l.read(l.input("x"), frame.extents(shape)), frame.slot_of(own.front())};
}

void softmax(Lowering& l) {
  const AxisOperand operand = read_axis(l);
  l.write(l.b.softmax(operand.x, static_cast<int64_t>(operand.slot)));
}

// A product with a triangle of ones.
void cumsum(Lowering& l) {
  const AxisOperand operand = read_axis(l);
  const int64_t extent = l.b.shape(operand.x)[operand.slot];
  l.check_matrix_extent(extent);
  const bool exclusive = l.boolean("exclusive");
  const bool reverse = l.boolean("reverse");
  std::vector<double> triangle(static_cast<size_t>(extent * extent), 0);
  for (int64_t to = 0; to < extent; ++to) {
    for (int64_t from = 0; from < extent; ++from) {
      const bool counts = (reverse ? from > to : from < to) || (from == to && !exclusive);
      triangle[static_cast<size_t>(to * extent + from)] = counts ? 1 : 0;
    }
  }
  const Literal matrix = Literal::numbers({DataType::fp16, {extent, extent}, {}}, triangle);
  l.write(l.multiply_along(operand.x, operand.slot, matrix));
}

// value times ones along one slot, at 1 / scale of the sum.
ValueId product_with_ones(Lowering& l, ValueId value, size_t slot, double scale) {
  const Shape shape = l.b.shape(value);
  const int64_t extent = shape[slot];
  const auto ones = [&](Shape extents) { return l.filled(std::move(extents), 1 / scale); };
  const bool as_matmul = l.rules.constant_product == ConstantProduct::matmul;
  Shape result = shape;
  result[slot] = 1;
  if (slot == width_slot && as_matmul) {
    return l.b.matmul(value, ones({1, 1, extent, 1}), false, false);
  }
  if (slot == height_slot && as_matmul) {
    return l.b.matmul(ones({1, 1, 1, extent}), value, false, false);
  }
  // A convolution contracts channels.
  Shape image{shape[0], extent, shape[2], shape[3]};
  if (slot == width_slot) {
    value = l.swap_matrix_axes(value);
    image = {shape[0] * shape[1], extent, 1, shape[2]};
  } else if (slot == height_slot) {
    image = {shape[0] * shape[1], extent, 1, shape[3]};
  } else if (slot == 0) {
    image = {1, extent, shape[1] * shape[2], shape[3]};
  }
  const ValueId reshaped = l.reshape(value, image);
  return l.reshape(l.b.linear(reshaped, ones({1, extent, 1, 1})), result);
}

// value / divisor, which is the product of the extents and a power of two. Where fp16 cannot hold
// it, one extent at a time.
ValueId divided(Lowering& l, ValueId value, const std::vector<int64_t>& extents, double divisor) {
  if (Literal::scalar(DataType::fp16, divisor).number() == divisor) {
    return l.b.real_div(value, l.half(divisor));
  }
  double rest = divisor;
  for (size_t i = 0; i + 1 < extents.size(); ++i) {
    int exponent = 0;
    const double fraction = std::frexp(static_cast<double>(extents[i]), &exponent);
    value = l.b.real_div(value, l.half(fraction));
    rest /= fraction;
  }
  return l.b.real_div(value, l.half(rest));
}

} // namespace

ValueId sum_along(Lowering& l, ValueId value, std::span<const size_t> slots, double divisor) {
  if (slots.empty()) return value;
  if (!l.rules.narrow_reduce_sum) {
    const std::vector<int64_t> axes(slots.begin(), slots.end());
    return l.watch(l.b.reduce(divisor == 1 ? "reduce_sum" : "reduce_mean", value, axes, true));
  }
  // Sums are halved, so that products overflow where sums do. A mean is at most as large as what it
  // is taken of, so its sum may shrink by the next power of two as well.
  double scale = divisor == 1 ? 1 : std::exp2(std::ceil(std::log2(divisor)));
  double pending = scale; // not yet divided by
  bool halved = false;
  std::vector<int64_t> extents;
  for (size_t slot : slots) {
    const int64_t extent = l.b.shape(value)[slot];
    extents.push_back(extent);
    if (extent <= few && divisor == 1) {
      value = l.watch(l.b.reduce("reduce_sum", value, {static_cast<int64_t>(slot)}, true));
      continue;
    }
    const double step = std::min(pending, std::exp2(std::ceil(std::log2(extent))));
    value = l.watch(product_with_ones(l, value, slot, halved ? step : 2 * step));
    pending /= step;
    halved = true;
  }
  if (divisor != 1) return divided(l, value, extents, divisor / scale / 2);
  return halved ? l.b.mul(value, l.half(2)) : value;
}

std::span<const OpEntry> reduction_lowerings() {
  static const OpEntry entries[] = {
      {"cumsum", cumsum},
      {"l2_norm", l2_norm},
      {"layer_norm", layer_norm},
      {"reduce_l1_norm", reduce_l1_norm},
      {"reduce_l2_norm", reduce_l2_norm},
      {"reduce_log_sum", reduce_log_sum},
      {"reduce_log_sum_exp", reduce_log_sum_exp},
      {"reduce_max", reduce_extreme},
      {"reduce_mean", reduce_mean},
      {"reduce_min", reduce_extreme},
      {"reduce_sum", reduce_sum},
      {"reduce_sum_square", reduce_sum_square},
      {"softmax", softmax},
  };
  return entries;
}

} // namespace anet::backend::ane
