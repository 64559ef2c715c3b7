// Element-wise ops in double: integers, booleans, and the rare floating ops whose accuracy is
// worth more than their speed.

#include "backend/cpu/pointwise_kernels.h"

#include <cmath>
#include <unordered_map>

namespace anet::backend::cpu {

namespace {

using Parameters = const PointwiseParameters&;

template <auto formula>
void unary(const double* const* in, double* out, int64_t n, Parameters p) {
  for (int64_t i = 0; i < n; ++i) out[i] = formula(in[0][i], p);
}

template <auto formula>
void binary(const double* const* in, double* out, int64_t n, Parameters) {
  for (int64_t i = 0; i < n; ++i) out[i] = formula(in[0][i], in[1][i]);
}

template <auto formula>
void ternary(const double* const* in, double* out, int64_t n, Parameters p) {
  for (int64_t i = 0; i < n; ++i) out[i] = formula(in[0][i], in[1][i], in[2][i], p);
}

// Applies an exact function of 64-bit integers, whose results wrap when they are stored.
template <auto formula>
double exactly(double x, double y) {
  return static_cast<double>(formula(static_cast<int64_t>(x), static_cast<int64_t>(y)));
}

// Products of 32-bit integers need more than the 53 bits of a double, so they wrap here; every
// stored type is at most 32 bits wide.
int64_t multiply(int64_t x, int64_t y) {
  return static_cast<int32_t>(static_cast<uint64_t>(x) * static_cast<uint64_t>(y));
}

int64_t divide(int64_t x, int64_t y) { return y == 0 ? 0 : x / y; }

// Integer division by zero gives 0, as NumPy's does.
int64_t floor_divide(int64_t x, int64_t y) {
  if (y == 0) return 0;
  const int64_t quotient = x / y;
  return x % y != 0 && (x < 0) != (y < 0) ? quotient - 1 : quotient;
}

int64_t modulo(int64_t x, int64_t y) { return y == 0 ? 0 : x - floor_divide(x, y) * y; }

int64_t power(int64_t base, int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  int64_t result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result = multiply(result, base);
    base = multiply(base, base);
  }
  return result;
}

double truth(bool value) { return value ? 1.0 : 0.0; }

// Saturates a result of quantize into [p0, p1]; NaN becomes 0.
double saturate(double value, Parameters p) {
  if (std::isnan(value)) return 0;
  return std::fmin(std::fmax(value, p[0]), p[1]);
}

} // namespace

PointwiseDouble pointwise_double(std::string_view op) {
  static const std::unordered_map<std::string_view, PointwiseDouble> table = {
      {"identity", unary<[](double x, Parameters) { return x; }>},
      {"abs", unary<[](double x, Parameters) { return std::fabs(x); }>},
      {"atan", unary<[](double x, Parameters) { return std::atan(x); }>},
      {"cos", unary<[](double x, Parameters) { return std::cos(x); }>},
      {"exp2", unary<[](double x, Parameters) { return std::exp2(x); }>},
      {"sin", unary<[](double x, Parameters) { return std::sin(x); }>},
      {"tan", unary<[](double x, Parameters) { return std::tan(x); }>},
      {"square", unary<[](double x, Parameters) { return exactly<multiply>(x, x); }>},
      {"sign", unary<[](double x, Parameters) { return (x > 0) ? 1.0
                                                       : x < 0 ? -1.0
                                                               : x; }>},
      {"logical_not", unary<[](double x, Parameters) { return truth(x == 0); }>},
      {"threshold", unary<[](double x, Parameters p) { return std::fmax(x, p[0]); }>},
      // Floating to integer truncates and saturates; p: least and greatest value.
      {"truncate", unary<[](double x, Parameters p) { return saturate(std::trunc(x), p); }>},
      {"add", binary<[](double x, double y) { return x + y; }>},
      {"sub", binary<[](double x, double y) { return x - y; }>},
      {"mul", binary<exactly<multiply>>},
      {"real_div", binary<exactly<divide>>},
      {"floor_div", binary<[](double x, double y) { return std::floor(x / y); }>},
      {"mod", binary<[](double x, double y) { return x - std::floor(x / y) * y; }>},
      {"pow", binary<[](double x, double y) { return std::pow(x, y); }>},
      {"integer_floor_div", binary<exactly<floor_divide>>},
      {"integer_mod", binary<exactly<modulo>>},
      {"integer_pow", binary<exactly<power>>},
      {"maximum", binary<[](double x, double y) { return (x > y) ? x : y; }>},
      {"minimum", binary<[](double x, double y) { return x < y ? x : y; }>},
      {"equal", binary<[](double x, double y) { return truth(x == y); }>},
      {"not_equal", binary<[](double x, double y) { return truth(x != y); }>},
      {"greater", binary<[](double x, double y) { return truth(x > y); }>},
      {"greater_equal", binary<[](double x, double y) { return truth(x >= y); }>},
      {"less", binary<[](double x, double y) { return truth(x < y); }>},
      {"less_equal", binary<[](double x, double y) { return truth(x <= y); }>},
      {"logical_and", binary<[](double x, double y) { return truth(x != 0 && y != 0); }>},
      {"logical_or", binary<[](double x, double y) { return truth(x != 0 || y != 0); }>},
      {"logical_xor", binary<[](double x, double y) { return truth((x != 0) != (y != 0)); }>},
      {"select", ternary<[](double c, double x, double y, Parameters) { return c != 0 ? x : y; }>},
      // x, scale, zero point; p: least and greatest value.
      {"quantize", ternary<[](double x, double scale, double zero, Parameters p) {
         return saturate(std::nearbyint(x / scale) + zero, p);
       }>},
      {"dequantize",
       ternary<[](double x, double scale, double zero, Parameters) { return (x - zero) * scale; }>},
  };
  const auto found = table.find(op);
  return found == table.end() ? nullptr : found->second;
}

} // namespace anet::backend::cpu
