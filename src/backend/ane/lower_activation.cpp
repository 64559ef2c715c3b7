// Activations. The engine has them as piecewise linear tables of 33 knots (ane-facts.md 6, R);
// where a table is too coarse they are written with exp, in forms that stay finite: exp overflows
// above 11.09, so it only ever sees numbers up to 0.
#include "backend/ane/lowering.h"

#include <cmath>
#include <numbers>

namespace anet::backend::ane {

namespace {

// exp(min(x, 0))
ValueId capped_exp(Lowering& l, ValueId x) {
  return l.b.unary("exp", l.b.binary("minimum", x, l.half(0)));
}

// exp(-|x|)
ValueId decay(Lowering& l, ValueId x) {
  return l.b.unary("exp", l.b.mul(l.b.unary("abs", x), -1.0));
}

// (exp(min(2x, 0)) - exp(-max(2x, 0))) / (1 + exp(-|2x|))
ValueId exact_tanh(Lowering& l, ValueId x) {
  const ValueId twice = l.b.mul(x, 2.0);
  const ValueId grown = capped_exp(l, twice);
  const ValueId difference = l.b.sub(grown, capped_exp(l, l.b.mul(twice, -1.0)));
  return l.b.real_div(difference, l.b.add(decay(l, twice), 1.0));
}

// x * Phi(x) with the rational approximation of the error function of Abramowitz and Stegun
// (7.1.26), which is good to 1.5e-7: relu(x) - |x| * tail, tail = poly(t) * exp(-x^2 / 2) / 2.
ValueId exact_gelu(Lowering& l, ValueId x) {
  constexpr double scale = 0.3275911 / std::numbers::sqrt2;
  constexpr double factors[] = {1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592};
  const ValueId magnitude = l.b.unary("abs", x);
  const ValueId one = l.half(1);
  const ValueId t = l.b.real_div(one, l.b.add(l.b.mul(magnitude, scale), 1.0));
  ValueId polynomial = l.b.mul(t, factors[0] / 2);
  for (int i = 1; i < 5; ++i) polynomial = l.b.mul(l.b.add(polynomial, factors[i] / 2), t);
  // (x/2)^2 * -2 keeps squares finite for twice as long; past that exp(-Inf) is 0 all the same.
  const ValueId halved = l.b.mul(x, 0.5);
  const ValueId bell = l.b.unary("exp", l.b.mul(l.b.mul(halved, halved), -2.0));
  const ValueId tail = l.b.mul(polynomial, bell);
  const ValueId positive = l.b.unary("relu", x);
  return l.b.sub(positive, l.b.mul(magnitude, tail));
}

// x * sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)), which is what the tanh form comes to.
ValueId tanh_gelu(Lowering& l, ValueId x) {
  const double slope = 2 * std::sqrt(2 / std::numbers::pi);
  const ValueId cubic = l.b.add(l.b.mul(l.b.mul(x, x), 0.044715 * slope), slope);
  return l.b.mul(x, exact_sigmoid(l, l.b.mul(x, cubic)));
}

void sigmoid(Lowering& l) {
  const ValueId x = l.read(l.input("x"));
  l.write(l.rules.table_activations ? exact_sigmoid(l, x) : l.b.unary("sigmoid", x));
}

void silu(Lowering& l) {
  const ValueId x = l.read(l.input("x"));
  l.write(l.rules.table_activations ? l.b.mul(x, exact_sigmoid(l, x)) : l.b.unary("silu", x));
}

void tanh(Lowering& l) {
  const ValueId x = l.read(l.input("x"));
  l.write(l.rules.table_activations ? exact_tanh(l, x) : l.b.unary("tanh", x));
}

void gelu(Lowering& l) {
  const ValueId x = l.read(l.input("x"));
  const std::string mode = l.text("mode");
  if (!l.rules.table_activations) {
    l.write(l.b.add("gelu", {{"x", x}, {"mode", l.b.constant(Literal::string(mode))}}));
  } else if (mode == "EXACT") {
    l.write(exact_gelu(l, x));
  } else if (mode == "TANH_APPROXIMATION") {
    l.write(tanh_gelu(l, x));
  } else {
    l.write(l.b.mul(x, exact_sigmoid(l, l.b.mul(x, 1.702))));
  }
}

// max(x, 0) + log(1 + exp(-|x|))
void softplus(Lowering& l) {
  const ValueId x = l.read(l.input("x"));
  if (!l.rules.table_activations) return l.write(l.b.unary("softplus", x));
  const ValueId tail = l.b.add("log", {{"x", l.b.add(decay(l, x), 1.0)}, {"epsilon", l.half(0)}});
  l.write(l.b.add(l.b.unary("relu", x), tail));
}

void softsign(Lowering& l) {
  const ValueId x = l.read(l.input("x"));
  l.write(l.b.real_div(x, l.b.add(l.b.unary("abs", x), 1.0)));
}

// max(x, 0) + alpha * (exp(min(x, 0)) - 1)
void elu(Lowering& l) {
  const ValueId x = l.read(l.input("x"));
  const ValueId negative = l.b.mul(l.b.add(capped_exp(l, x), -1.0), l.number("alpha"));
  l.write(l.b.add(l.b.unary("relu", x), negative));
}

} // namespace

// exp(min(x, 0)) / (1 + exp(-|x|)): 0 and 1 in the limits.
ValueId exact_sigmoid(Lowering& l, ValueId x) {
  const ValueId capped = capped_exp(l, x);
  return l.b.real_div(capped, l.b.add(decay(l, x), 1.0));
}

std::span<const OpEntry> activation_lowerings() {
  static const OpEntry entries[] = {
      {"elu", elu},           {"gelu", gelu},         {"sigmoid", sigmoid}, {"silu", silu},
      {"softplus", softplus}, {"softsign", softsign}, {"tanh", tanh},
  };
  return entries;
}

} // namespace anet::backend::ane
