// Gradients of element-wise ops of two tensors, and of select.
#include "mil/gradient/context.h"
#include "mil/rms_norm.h"

namespace anet::mil::gradient {

namespace {

void add(Context& c) {
  c.add_broadcast("x", c.dy());
  c.add_broadcast("y", c.dy());
}

// The sign goes with the gradient, so that a difference later on costs no pass.
void sub(Context& c) {
  c.add_broadcast("x", c.dy());
  if (c.wanted("y")) c.add_broadcast("y", c.dy(), Sign::minus);
}

// An RMS norm, y = x r with r = f / sqrt(mean(x^2) + epsilon): straight to x,
// r (dy - y mean(dy y) / f^2). It reads y, so that x need not be kept, and y is in the middle of
// fp16's range where x may not be. Not for an f whose square fp16 does not hold.
bool rms_norm(Context& c, std::string_view normed, std::string_view root) {
  const ValueId x = c.input(normed);
  const ValueId r = c.input(root);
  const std::optional<InverseRms> inverse = find_inverse_rms(c.b.function(), r);
  if (!inverse || inverse->x != x) return false;
  const double square = inverse->factor * inverse->factor;
  if (square < 0x1p-14 || square > 0x1p14) return false;
  if (c.shape(root).size() != c.shape(normed).size()) return false; // the number's axes
  std::vector<int64_t> axes;
  for (size_t axis = 0; axis < c.shape(normed).size(); ++axis)
    if (c.shape(root)[axis] != c.shape(normed)[axis]) axes.push_back(static_cast<int64_t>(axis));
  if (axes.empty()) return false;
  Builder& b = c.b;
  ValueId mean = b.reduce("reduce_mean", b.mul(c.dy(), c.output()), axes, true);
  if (square != 1) mean = b.mul(mean, 1 / square);
  c.add(normed, b.mul(b.sub(c.dy(), b.mul(c.output(), mean)), r));
  return true;
}

// A factor that is no norm's takes the gradient's sign along.
void mul(Context& c) {
  if (rms_norm(c, "x", "y") || rms_norm(c, "y", "x")) return;
  const auto [dy, sign] = c.signed_dy();
  if (c.wanted("x")) c.add_broadcast("x", c.b.mul(dy, c.input("y")), sign);
  if (c.wanted("y")) c.add_broadcast("y", c.b.mul(dy, c.input("x")), sign);
}

void real_div(Context& c) {
  const ValueId over_y = c.b.real_div(c.dy(), c.input("y"));
  c.add_broadcast("x", over_y);
  if (c.wanted("y")) c.add_broadcast("y", negate(c.b, c.b.mul(over_y, c.output())));
}

// dx = y x^(y-1), dy = x^y log x, and 0 where x is not positive.
void pow(Context& c) {
  const ValueId x = c.input("x");
  const ValueId y = c.input("y");
  if (c.wanted("x")) {
    const ValueId power = c.b.binary("pow", x, c.b.add(y, -1.0));
    c.add_broadcast("x", c.b.mul(c.dy(), c.b.mul(y, power)));
  }
  if (!c.wanted("y")) return;
  const DataType dtype = c.type("x").dtype;
  const ValueId positive = c.b.binary("greater", x, c.b.scalar(dtype, 0));
  const ValueId safe =
      c.b.add("select", {{"cond", positive}, {"a", x}, {"b", c.b.scalar(dtype, 1)}});
  const ValueId log = c.b.add("log", {{"x", safe}, {"epsilon", c.b.scalar(dtype, 0)}});
  c.add_broadcast("y", c.b.mul(c.dy(), c.b.mul(c.output(), log)));
}

// Equal operands get half of the gradient each, as in PyTorch.
void extremum(Context& c, std::string_view better) {
  const ValueId x = c.input("x");
  const ValueId y = c.input("y");
  const ValueId half = c.b.mul(c.dy(), 0.5);
  const ValueId tie = c.b.binary("equal", x, y);
  const auto share = [&](ValueId mine, ValueId other) {
    const ValueId alone = where(c.b, c.b.binary(better, mine, other), c.dy());
    return c.b.add("select", {{"cond", tie}, {"a", half}, {"b", alone}});
  };
  if (c.wanted("x")) c.add_broadcast("x", share(x, y));
  if (c.wanted("y")) c.add_broadcast("y", share(y, x));
}

void maximum(Context& c) { extremum(c, "greater"); }
void minimum(Context& c) { extremum(c, "less"); }

// x - floor(x / y) y, where the floor is constant almost everywhere.
void mod(Context& c) {
  c.add_broadcast("x", c.dy());
  if (!c.wanted("y")) return;
  const ValueId quotient = c.b.binary("floor_div", c.input("x"), c.input("y"));
  c.add_broadcast("y", negate(c.b, c.b.mul(c.dy(), quotient)));
}

void select(Context& c) {
  const ValueId condition = c.input("cond");
  if (c.wanted("a")) c.add_broadcast("a", where(c.b, condition, c.dy()));
  if (!c.wanted("b")) return;
  const ValueId zero = c.b.scalar(c.output_type().dtype, 0);
  c.add_broadcast("b", c.b.add("select", {{"cond", condition}, {"a", zero}, {"b", c.dy()}}));
}

} // namespace

std::span<const RuleEntry> binary_rules() {
  static const RuleEntry entries[] = {
      {"add", add},
      {"equal", nullptr},
      {"floor_div", nullptr},
      {"greater", nullptr},
      {"greater_equal", nullptr},
      {"less", nullptr},
      {"less_equal", nullptr},
      {"logical_and", nullptr},
      {"logical_or", nullptr},
      {"logical_xor", nullptr},
      {"maximum", maximum},
      {"minimum", minimum},
      {"mod", mod},
      {"mul", mul},
      {"not_equal", nullptr},
      {"pow", pow},
      {"real_div", real_div},
      {"select", select},
      {"sub", sub},
  };
  return entries;
}

} // namespace anet::mil::gradient
