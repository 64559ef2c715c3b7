// Gradients of softmax, layer_norm, l2_norm and cumsum.
#include "mil/gradient/context.h"

#include <algorithm>
#include <numeric>

namespace anet::mil::gradient {

namespace {

bool flag(const Context& c, const Operation& op, std::string_view name) {
  const Literal* literal = c.b.function().constant(op, name);
  return literal != nullptr && literal->boolean();
}

// sum(dy y) over the last axis of probabilities that only one product with values reads: that of
// the product's result and its gradient, which is smaller where there are more probabilities in a
// row than values (Dao et al. 2022). With o = y v: dy = do v', so sum_k dy_k y_k = sum_d do_d o_d.
// no_value where it is another shape of attention.
ValueId sum_behind_product(Context& c) {
  const ValueId y = c.output();
  const Operation* product = c.only_reader(y);
  if (product == nullptr || std::string_view(product->name()) != "matmul") return no_value;
  const bool is_left = product->input("x") == y;
  if (flag(c, *product, is_left ? "transpose_x" : "transpose_y") == is_left) return no_value;
  const ValueId result = product->outputs.front();
  Shape rows = c.b.shape(result);
  const Shape& probabilities = c.b.shape(y);
  const size_t rank = rows.size();
  if (rank < 2 || rank != probabilities.size()) return no_value;
  if (!is_left) std::swap(rows[rank - 2], rows[rank - 1]);
  if (!std::equal(rows.begin(), rows.end() - 1, probabilities.begin()) ||
      rows.back() >= probabilities.back()) {
    return no_value;
  }
  const int64_t axis = std::ssize(rows) - (is_left ? 1 : 2);
  const ValueId sum =
      c.b.reduce("reduce_sum", c.b.mul(c.gradient_of(result), result), {axis}, true);
  if (is_left) return sum;
  std::vector<int64_t> order(rank);
  std::iota(order.begin(), order.end(), int64_t{0});
  std::swap(order[rank - 2], order[rank - 1]);
  return c.b.transpose(sum, order);
}

// y (dy - sum(dy y)).
void softmax(Context& c) {
  const int64_t rank = std::ssize(c.shape("x"));
  const int64_t axis = c.axis("axis", rank, -1);
  const ValueId y = c.output();
  ValueId sum = axis == rank - 1 ? sum_behind_product(c) : no_value;
  if (sum == no_value) sum = c.b.reduce("reduce_sum", c.b.mul(c.dy(), y), {axis}, true);
  c.add("x", c.b.mul(y, c.b.sub(c.dy(), sum)));
}

// gamma or beta, whose shape is that of the normalized axes, against x.
Shape parameter_shape(const Shape& x, const std::vector<int64_t>& axes) {
  Shape shape(x.size(), 1);
  for (int64_t axis : axes) shape[static_cast<size_t>(axis)] = x[static_cast<size_t>(axis)];
  return shape;
}

// n = (x - mean) r, y = n gamma + beta; with g = dy gamma: dx = r (g - mean(g) - n mean(g n)).
void layer_norm(Context& c) {
  Builder& b = c.b;
  const Shape x_shape = c.shape("x");
  const std::vector<int64_t> axes = c.axes("axes", std::ssize(x_shape));
  const Shape parameter = parameter_shape(x_shape, axes);
  const auto mean = [&](ValueId value) { return b.reduce("reduce_mean", value, axes, true); };

  const ValueId centered = b.sub(c.input("x"), mean(c.input("x")));
  const ValueId r = b.rsqrt(mean(b.unary("square", centered)), c.number("epsilon"));
  const ValueId n = b.mul(centered, r);
  const auto add_parameter = [&](std::string_view argument, ValueId gradient) {
    c.add(argument, reshape(b, sum_to(b, gradient, parameter), c.shape(argument)));
  };
  if (c.wanted("gamma")) add_parameter("gamma", b.mul(c.dy(), n));
  if (c.wanted("beta")) add_parameter("beta", c.dy());
  if (!c.wanted("x")) return;

  ValueId g = c.dy();
  if (c.input("gamma") != no_value) g = b.mul(g, reshape(b, c.input("gamma"), parameter));
  const ValueId along = b.mul(n, mean(b.mul(g, n)));
  c.add("x", b.mul(b.sub(b.sub(g, mean(g)), along), r));
}

// y = x r, r = rsqrt(sum x^2 + epsilon): dx = r (dy - y sum(dy y)).
void l2_norm(Context& c) {
  Builder& b = c.b;
  const ValueId y = c.output();
  const std::vector<int64_t> axes{-3, -2, -1};
  const ValueId squares = b.reduce("reduce_sum_square", c.input("x"), axes, true);
  const ValueId r = b.rsqrt(squares, c.number("epsilon"));
  const ValueId along = b.reduce("reduce_sum", b.mul(c.dy(), y), axes, true);
  c.add("x", b.mul(b.sub(c.dy(), b.mul(y, along)), r));
}

// The sum runs the other way.
void cumsum(Context& c) {
  std::vector<Builder::Input> arguments = c.other_arguments({"x", "reverse"});
  arguments.emplace_back("x", c.dy());
  arguments.emplace_back("reverse", c.b.constant(Literal::boolean(!c.boolean("reverse"))));
  c.add("x", c.b.add("cumsum", arguments));
}

} // namespace

std::span<const RuleEntry> normalization_rules() {
  static const RuleEntry entries[] = {
      {"cumsum", cumsum},
      {"l2_norm", l2_norm},
      {"layer_norm", layer_norm},
      {"softmax", softmax},
  };
  return entries;
}

} // namespace anet::mil::gradient
