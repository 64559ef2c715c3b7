// Gradients of reductions. reduce_max and reduce_min split the gradient evenly between equal
// extremes, as PyTorch's amax and amin do.
#include "mil/gradient/context.h"

namespace anet::mil::gradient {

namespace {

struct Reduction {
  std::vector<int64_t> axes;
  Shape kept; // x's shape with the reduced axes of extent 1
};

Reduction read_reduction(Context& c) {
  Reduction r;
  r.kept = c.shape("x");
  r.axes = c.axes("axes", std::ssize(r.kept));
  for (int64_t axis : r.axes) r.kept[static_cast<size_t>(axis)] = 1;
  return r;
}

// dy and y with the reduced axes back, so that they broadcast against x.
ValueId kept_dy(Context& c, const Reduction& r) { return reshape(c.b, c.dy(), r.kept); }
ValueId kept_y(Context& c, const Reduction& r) { return reshape(c.b, c.output(), r.kept); }

void add_repeated(Context& c, ValueId kept) { c.add("x", repeat_to(c.b, kept, c.shape("x"))); }

void reduce_sum(Context& c) { add_repeated(c, kept_dy(c, read_reduction(c))); }

void reduce_mean(Context& c) {
  const Reduction r = read_reduction(c);
  const double count =
      static_cast<double>(element_count(c.shape("x"))) / static_cast<double>(element_count(r.kept));
  add_repeated(c, c.b.mul(kept_dy(c, r), 1 / count));
}

void reduce_extremum(Context& c) {
  const Reduction r = read_reduction(c);
  const ValueId is_extreme = c.b.binary("equal", c.input("x"), kept_y(c, r));
  const ValueId mask = c.b.cast(is_extreme, c.type("x").dtype);
  const ValueId count = c.b.reduce("reduce_sum", mask, r.axes, true);
  c.add("x", c.b.mul(mask, c.b.real_div(kept_dy(c, r), count)));
}

// Each element's gradient is the product of the others: p / x, where p is the product of the
// non-zero elements, unless another element is zero.
void reduce_prod(Context& c) {
  const Reduction r = read_reduction(c);
  const DataType dtype = c.type("x").dtype;
  const ValueId x = c.input("x");
  const ValueId is_zero = c.b.binary("equal", x, c.b.scalar(dtype, 0));
  const ValueId safe =
      c.b.add("select", {{"cond", is_zero}, {"a", c.b.scalar(dtype, 1)}, {"b", x}});
  const ValueId product = c.b.reduce("reduce_prod", safe, r.axes, true);
  const ValueId zero = c.b.cast(is_zero, dtype);
  const ValueId zero_count = c.b.reduce("reduce_sum", zero, r.axes, true);
  const ValueId no_other_zero = c.b.binary("equal", zero, zero_count);
  const ValueId others = c.b.real_div(c.b.mul(kept_dy(c, r), product), safe);
  c.add("x", where(c.b, no_other_zero, others));
}

void reduce_sum_square(Context& c) {
  const ValueId twice = c.b.mul(kept_dy(c, read_reduction(c)), 2.0);
  c.add("x", c.b.mul(c.input("x"), twice));
}

void reduce_l1_norm(Context& c) {
  const ValueId sign = c.b.unary("sign", c.input("x"));
  c.add("x", c.b.mul(sign, kept_dy(c, read_reduction(c))));
}

// x / |x|, and 0 for the zero vector.
void reduce_l2_norm(Context& c) {
  const Reduction r = read_reduction(c);
  const ValueId y = kept_y(c, r);
  const DataType dtype = c.type("x").dtype;
  const ValueId is_zero = c.b.binary("equal", y, c.b.scalar(dtype, 0));
  const ValueId safe =
      c.b.add("select", {{"cond", is_zero}, {"a", c.b.scalar(dtype, 1)}, {"b", y}});
  c.add("x", c.b.mul(c.input("x"), c.b.real_div(kept_dy(c, r), safe)));
}

// 1 / sum, which is exp(-y).
void reduce_log_sum(Context& c) {
  const Reduction r = read_reduction(c);
  const ValueId inverse = c.b.unary("exp", negate(c.b, kept_y(c, r)));
  add_repeated(c, c.b.mul(kept_dy(c, r), inverse));
}

void reduce_log_sum_exp(Context& c) {
  const Reduction r = read_reduction(c);
  const ValueId share = c.b.unary("exp", c.b.sub(c.input("x"), kept_y(c, r)));
  c.add("x", c.b.mul(share, kept_dy(c, r)));
}

} // namespace

std::span<const RuleEntry> reduction_rules() {
  static const RuleEntry entries[] = {
      {"reduce_argmax", nullptr},         {"reduce_argmin", nullptr},
      {"reduce_l1_norm", reduce_l1_norm}, {"reduce_l2_norm", reduce_l2_norm},
      {"reduce_log_sum", reduce_log_sum}, {"reduce_log_sum_exp", reduce_log_sum_exp},
      {"reduce_max", reduce_extremum},    {"reduce_mean", reduce_mean},
      {"reduce_min", reduce_extremum},    {"reduce_prod", reduce_prod},
      {"reduce_sum", reduce_sum},         {"reduce_sum_square", reduce_sum_square},
  };
  return entries;
}

} // namespace anet::mil::gradient
