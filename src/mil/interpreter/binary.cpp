// Element-wise ops of two tensors, with broadcasting, and select.
#include "mil/interpreter/context.h"

#include <algorithm>
#include <cmath>

namespace anet::mil::interpreter {

namespace {

template <typename F>
void zip(Context& context, F&& f) {
  Tensor& output = context.output();
  const std::vector<double> x = broadcast_values(context.tensor("x"), output.type.shape);
  const std::vector<double> y = broadcast_values(context.tensor("y"), output.type.shape);
  for (size_t i = 0; i < x.size(); ++i) output.values[i] = f(x[i], y[i]);
}

// Floating tensors use `real`; integers use `exact`, and the result wraps around.
template <typename Real, typename Exact>
void arithmetic(Context& context, Real&& real, Exact&& exact) {
  const DataType dtype = context.output().type.dtype;
  if (is_floating(dtype)) return zip(context, real);
  zip(context, [&](double x, double y) {
    return wrap_integer(exact(static_cast<int64_t>(x), static_cast<int64_t>(y)), dtype);
  });
}

// Integer division by zero gives 0, as NumPy's does.
int64_t floor_divide(int64_t x, int64_t y) {
  if (y == 0) return 0;
  const int64_t quotient = x / y;
  return x % y != 0 && (x < 0) != (y < 0) ? quotient - 1 : quotient;
}

// Multiplication modulo 2^64.
int64_t multiply(int64_t x, int64_t y) {
  return static_cast<int64_t>(static_cast<uint64_t>(x) * static_cast<uint64_t>(y));
}

int64_t power(int64_t base, int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  int64_t result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result = multiply(result, base);
    base = multiply(base, base);
  }
  return result;
}

void add(Context& c) {
  arithmetic(
      c, [](double x, double y) { return x + y; }, [](int64_t x, int64_t y) { return x + y; });
}
void sub(Context& c) {
  arithmetic(
      c, [](double x, double y) { return x - y; }, [](int64_t x, int64_t y) { return x - y; });
}
void mul(Context& c) {
  arithmetic(
      c, [](double x, double y) { return x * y; }, multiply);
}

void real_div(Context& c) {
  const bool ane = c.f16();
  arithmetic(
      c,
      [ane](double x, double y) {
        // The ANE drops the sign of a zero divisor: 1/-0 is +Inf (ane-facts.md 6, R).
        return ane && y == 0 ? x / 0.0 : x / y;
      },
      [](int64_t x, int64_t y) { return y == 0 ? 0 : x / y; });
}

void floor_div(Context& c) {
  arithmetic(
      c, [](double x, double y) { return std::floor(x / y); }, floor_divide);
}

// The result has the divisor's sign, as Python's.
void mod(Context& c) {
  arithmetic(
      c, [](double x, double y) { return x - std::floor(x / y) * y; },
      [](int64_t x, int64_t y) { return y == 0 ? 0 : x - floor_divide(x, y) * y; });
}

void pow(Context& c) {
  arithmetic(
      c, [](double x, double y) { return std::pow(x, y); }, power);
}
void maximum(Context& c) { zip(c, greater_of); }
void minimum(Context& c) { zip(c, lesser_of); }
void equal(Context& c) {
  zip(c, [](double x, double y) { return x == y ? 1.0 : 0.0; });
}
void not_equal(Context& c) {
  zip(c, [](double x, double y) { return x != y ? 1.0 : 0.0; });
}
void greater(Context& c) {
  zip(c, [](double x, double y) { return x > y ? 1.0 : 0.0; });
}
void greater_equal(Context& c) {
  zip(c, [](double x, double y) { return x >= y ? 1.0 : 0.0; });
}
void less(Context& c) {
  zip(c, [](double x, double y) { return x < y ? 1.0 : 0.0; });
}
void less_equal(Context& c) {
  zip(c, [](double x, double y) { return x <= y ? 1.0 : 0.0; });
}
void logical_and(Context& c) {
  zip(c, [](double x, double y) { return x != 0 && y != 0 ? 1.0 : 0.0; });
}
void logical_or(Context& c) {
  zip(c, [](double x, double y) { return x != 0 || y != 0 ? 1.0 : 0.0; });
}
void logical_xor(Context& c) {
  zip(c, [](double x, double y) { return (x != 0) != (y != 0) ? 1.0 : 0.0; });
}

void select(Context& c) {
  Tensor& output = c.output();
  const std::vector<double> condition = broadcast_values(c.tensor("cond"), output.type.shape);
  const std::vector<double> a = broadcast_values(c.tensor("a"), output.type.shape);
  const std::vector<double> b = broadcast_values(c.tensor("b"), output.type.shape);
  for (size_t i = 0; i < a.size(); ++i) output.values[i] = condition[i] != 0 ? a[i] : b[i];
}

} // namespace

std::span<const OpEntry> binary_ops() {
  static const OpEntry entries[] = {
      {"add", add},
      {"equal", equal},
      {"floor_div", floor_div},
      {"greater", greater},
      {"greater_equal", greater_equal},
      {"less", less},
      {"less_equal", less_equal},
      {"logical_and", logical_and},
      {"logical_or", logical_or},
      {"logical_xor", logical_xor},
      {"maximum", maximum},
      {"minimum", minimum},
      {"mod", mod},
      {"mul", mul},
      {"not_equal", not_equal},
      {"pow", pow},
      {"real_div", real_div},
      {"select", select},
      {"sub", sub},
  };
  return entries;
}

} // namespace anet::mil::interpreter
