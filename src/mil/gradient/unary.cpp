// Gradients of element-wise ops of one tensor. At a kink the gradient is the one that PyTorch
// gives: zero at the bounds of relu, relu6 and leaky_relu's zero takes the slope, clip keeps it.
#include "mil/gradient/context.h"
#include "mil/passes/rewriter.h"
#include "mil/rms_norm.h"

#include <cmath>
#include <numbers>

namespace anet::mil::gradient {

namespace {

// Most rules multiply dy by something. Where dy is a product with another value of the function, as
// behind a gate, these two are multiplied first: what no gradient takes part in can be tapped.
void scale(Context& c, ValueId factor) {
  const Operation* product = producer_of(c.b.function(), c.dy());
  if (product != nullptr && std::string_view(product->name()) == "mul") {
    const ValueId gradient = product->input("x"), gate = product->input("y");
    if (c.is_given(gate) && !c.is_given(gradient) && c.b.shape(gate) == c.b.shape(factor))
      return c.add("x", c.b.mul(gradient, c.b.mul(gate, factor)));
  }
  c.add("x", c.b.mul(c.dy(), factor));
}

ValueId compare(Context& c, std::string_view op, ValueId x, double bound) {
  return c.b.binary(op, x, c.b.scalar(c.b.type(x).dtype, bound));
}

// a - x.
ValueId from(Builder& b, double a, ValueId x) { return b.sub(b.scalar(b.type(x).dtype, a), x); }

void abs(Context& c) { scale(c, c.b.unary("sign", c.input("x"))); }

void atan(Context& c) {
  const ValueId square = c.b.unary("square", c.input("x"));
  c.add("x", c.b.real_div(c.dy(), c.b.add(square, 1.0)));
}

void clip(Context& c) {
  const ValueId x = c.input("x");
  const ValueId above = compare(c, "greater_equal", x, c.number("alpha"));
  const ValueId below = compare(c, "less_equal", x, c.number("beta"));
  c.add("x", where(c.b, c.b.binary("logical_and", above, below), c.dy()));
}

void cos(Context& c) { scale(c, negate(c.b, c.b.unary("sin", c.input("x")))); }

// y' = y + alpha below zero.
void elu(Context& c) {
  const ValueId slope = c.b.add(c.output(), c.number("alpha"));
  const ValueId below = c.b.mul(c.dy(), slope);
  const ValueId positive = compare(c, "greater", c.input("x"), 0);
  c.add("x", c.b.add("select", {{"cond", positive}, {"a", c.dy()}, {"b", below}}));
}

ValueId exp_of_minus_square(Context& c, ValueId x, double factor) {
  return c.b.unary("exp", c.b.mul(c.b.unary("square", x), -factor));
}

void erf(Context& c) {
  const ValueId density = exp_of_minus_square(c, c.input("x"), 1);
  scale(c, c.b.mul(density, 2 * std::numbers::inv_sqrtpi));
}

void exp(Context& c) { scale(c, c.output()); }
void exp2(Context& c) { scale(c, c.b.mul(c.output(), std::numbers::ln2)); }

// Phi(x) + x phi(x).
ValueId gelu_exact_slope(Context& c, ValueId x) {
  const ValueId erf = c.b.unary("erf", c.b.mul(x, 1 / std::numbers::sqrt2));
  const ValueId phi =
      c.b.mul(exp_of_minus_square(c, x, 0.5), std::numbers::inv_sqrtpi / std::numbers::sqrt2);
  const ValueId cumulative = c.b.mul(c.b.add(erf, 1.0), 0.5);
  return c.b.add(cumulative, c.b.mul(x, phi));
}

// y = x/2 (1 + t), t = tanh(u), u = k (x + a x^3): y' = (1 + t)/2 + x/2 (1 - t^2) u'.
ValueId gelu_tanh_slope(Context& c, ValueId x) {
  const double k = std::sqrt(2 / std::numbers::pi);
  const double a = 0.044715;
  const ValueId square = c.b.unary("square", x);
  const ValueId u = c.b.mul(c.b.mul(x, c.b.add(c.b.mul(square, a), 1.0)), k);
  const ValueId t = c.b.unary("tanh", u);
  const ValueId slope_u = c.b.mul(c.b.add(c.b.mul(square, 3 * a), 1.0), 0.5 * k);
  const ValueId slope_t = from(c.b, 1, c.b.unary("square", t));
  const ValueId second = c.b.mul(c.b.mul(x, slope_t), slope_u);
  return c.b.add(c.b.mul(c.b.add(t, 1.0), 0.5), second);
}

// y = x s(kx): y' = s (1 + k x (1 - s)) = s (1 + k (x - y)), which is one pass over memory less.
ValueId swish_slope(Context& c, ValueId x, double k) {
  const ValueId rest = c.b.sub(x, c.output());
  const ValueId s = c.b.unary("sigmoid", k == 1 ? x : c.b.mul(x, k));
  return c.b.mul(s, c.b.add(k == 1 ? rest : c.b.mul(rest, k), 1.0));
}

void gelu(Context& c) {
  const ValueId x = c.input("x");
  const std::string mode = c.string("mode", "EXACT");
  if (mode == "TANH_APPROXIMATION") return scale(c, gelu_tanh_slope(c, x));
  if (mode == "SIGMOID_APPROXIMATION") return scale(c, swish_slope(c, x, 1.702));
  scale(c, gelu_exact_slope(c, x));
}

void identity(Context& c) { c.add("x", c.dy()); }
void tensor_buffer(Context& c) { c.add("input", c.dy()); }

// -y^2, one factor after the other: in fp16 y^2 alone overflows from y = 256 on.
void inverse(Context& c) {
  c.add("x", negate(c.b, c.b.mul(c.b.mul(c.dy(), c.output()), c.output())));
}

void leaky_relu(Context& c) {
  const ValueId below = c.b.mul(c.dy(), c.number("alpha"));
  const ValueId positive = compare(c, "greater", c.input("x"), 0);
  c.add("x", c.b.add("select", {{"cond", positive}, {"a", c.dy()}, {"b", below}}));
}

void log(Context& c) {
  const double epsilon = c.number("epsilon");
  const ValueId x = c.input("x");
  c.add("x", c.b.real_div(c.dy(), epsilon == 0 ? x : c.b.add(x, epsilon)));
}

void relu(Context& c) { c.add("x", where(c.b, compare(c, "greater", c.output(), 0), c.dy())); }

void relu6(Context& c) {
  const ValueId x = c.input("x");
  const ValueId above = compare(c, "greater", x, 0);
  const ValueId below = compare(c, "less", x, 6);
  c.add("x", where(c.b, c.b.binary("logical_and", above, below), c.dy()));
}

// y = rsqrt(mean(x^2) + epsilon), the heart of an RMS norm: straight to x, -dy y (x y) y / n. The
// way over the mean passes y^3, which leaves fp16's range for any x below 0.025.
void rsqrt_of_mean_square(Context& c, ValueId x) {
  const ValueId y = c.output();
  const double count = static_cast<double>(element_count(c.b.shape(x))) /
                       static_cast<double>(element_count(c.b.shape(y)));
  const ValueId factor = c.b.mul(c.b.mul(c.dy(), y), -1 / count);
  c.add(x, c.b.mul(c.b.mul(c.b.mul(x, y), factor), y));
}

// -y^3/2, one factor after the other: in fp16 y^3 alone overflows from y = 40 on.
void rsqrt(Context& c) {
  const ValueId x = squared_operand_of_mean(c.b.function(), c.input("x"));
  if (x != no_value) return rsqrt_of_mean_square(c, x);
  const ValueId y = c.output();
  c.add("x", c.b.mul(c.b.mul(c.b.mul(c.b.mul(c.dy(), y), y), y), -0.5));
}

void sigmoid(Context& c) { scale(c, c.b.mul(c.output(), from(c.b, 1, c.output()))); }

void sigmoid_hard(Context& c) {
  const ValueId y = c.output();
  const ValueId above = compare(c, "greater", y, 0);
  const ValueId below = compare(c, "less", y, 1);
  const ValueId inside = c.b.binary("logical_and", above, below);
  c.add("x", where(c.b, inside, c.b.mul(c.dy(), c.number("alpha"))));
}

void silu(Context& c) { scale(c, swish_slope(c, c.input("x"), 1)); }
void sin(Context& c) { scale(c, c.b.unary("cos", c.input("x"))); }
void softplus(Context& c) { scale(c, c.b.unary("sigmoid", c.input("x"))); }

void softsign(Context& c) {
  const ValueId denominator = c.b.add(c.b.unary("abs", c.input("x")), 1.0);
  c.add("x", c.b.real_div(c.dy(), c.b.unary("square", denominator)));
}

void sqrt(Context& c) { c.add("x", c.b.mul(c.b.real_div(c.dy(), c.output()), 0.5)); }
void square(Context& c) { scale(c, c.b.mul(c.input("x"), 2.0)); }
void tan(Context& c) { scale(c, c.b.add(c.b.unary("square", c.output()), 1.0)); }
void tanh(Context& c) { scale(c, from(c.b, 1, c.b.unary("square", c.output()))); }

void threshold(Context& c) {
  c.add("x", where(c.b, compare(c, "greater", c.input("x"), c.number("alpha")), c.dy()));
}

// Gradients::add converts back to the operand's type.
void cast(Context& c) { c.add("x", c.dy()); }

} // namespace

std::span<const RuleEntry> unary_rules() {
  static const RuleEntry entries[] = {
      {"abs", abs},
      {"atan", atan},
      {"cast", cast},
      {"ceil", nullptr},
      {"clip", clip},
      {"cos", cos},
      {"elu", elu},
      {"erf", erf},
      {"exp", exp},
      {"exp2", exp2},
      {"floor", nullptr},
      {"gelu", gelu},
      {"identity", identity},
      {"inverse", inverse},
      {"leaky_relu", leaky_relu},
      {"log", log},
      {"logical_not", nullptr},
      {"relu", relu},
      {"relu6", relu6},
      {"round", nullptr},
      {"rsqrt", rsqrt},
      {"sigmoid", sigmoid},
      {"sigmoid_hard", sigmoid_hard},
      {"sign", nullptr},
      {"silu", silu},
      {"sin", sin},
      {"softplus", softplus},
      {"softsign", softsign},
      {"sqrt", sqrt},
      {"square", square},
      {"tan", tan},
      {"tanh", tanh},
      {"tensor_buffer_to_tensor", tensor_buffer},
      {"tensor_to_tensor_buffer", tensor_buffer},
      {"threshold", threshold},
  };
  return entries;
}

} // namespace anet::mil::gradient
