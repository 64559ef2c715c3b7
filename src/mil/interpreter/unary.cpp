// Element-wise ops of one tensor.
#include "mil/interpreter/context.h"

#include <cmath>
#include <numbers>

namespace anet::mil::interpreter {

namespace {

template <typename F>
void map(Context& context, F&& f) {
  const std::vector<double>& x = context.first().values;
  std::vector<double>& y = context.output().values;
  for (size_t i = 0; i < x.size(); ++i) y[i] = f(x[i]);
}

// As `map`, and the result of an integer tensor wraps around.
template <typename F>
void map_wrapping(Context& context, F&& f) {
  map(context, f);
  Tensor& output = context.output();
  if (!is_integer(output.type.dtype)) return;
  for (double& value : output.values) {
    value = wrap_integer(static_cast<int64_t>(value), output.type.dtype);
  }
}

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

void abs(Context& c) {
  map_wrapping(c, [](double x) { return std::fabs(x); });
}
void atan(Context& c) {
  map(c, [](double x) { return std::atan(x); });
}
void ceil(Context& c) {
  map(c, [](double x) { return std::ceil(x); });
}
void cos(Context& c) {
  map(c, [](double x) { return std::cos(x); });
}
void erf(Context& c) {
  map(c, [](double x) { return std::erf(x); });
}
void exp(Context& c) {
  map(c, [](double x) { return std::exp(x); });
}
void exp2(Context& c) {
  map_wrapping(c, [](double x) { return std::exp2(x); });
}
void floor(Context& c) {
  map(c, [](double x) { return std::floor(x); });
}
void identity(Context& c) {
  map(c, [](double x) { return x; });
}
void logical_not(Context& c) {
  map(c, [](double x) { return x == 0 ? 1.0 : 0.0; });
}
void relu(Context& c) {
  map(c, [](double x) { return greater_of(x, 0); });
}
void relu6(Context& c) {
  map(c, [](double x) { return lesser_of(greater_of(x, 0), 6); });
}
void round(Context& c) {
  map(c, [](double x) { return std::nearbyint(x); }); // halves go to the even neighbour
}
void sigmoid(Context& c) { map(c, sigmoid_of); }
void sign(Context& c) {
  map(c, [](double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : x; });
}
void silu(Context& c) {
  map(c, [](double x) { return x == -INFINITY ? 0.0 : x * sigmoid_of(x); });
}
void sin(Context& c) {
  map(c, [](double x) { return std::sin(x); });
}
void sqrt(Context& c) {
  map(c, [](double x) { return std::sqrt(x); });
}
void square(Context& c) {
  map_wrapping(c, [](double x) { return x * x; });
}
void tan(Context& c) {
  map(c, [](double x) { return std::tan(x); });
}
void tanh(Context& c) {
  map(c, [](double x) { return std::tanh(x); });
}

void softplus(Context& c) {
  const bool ane = c.f16();
  map(c, [ane](double x) {
    if (ane && x == INFINITY) return 0.0; // ane-facts.md 6, R
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  });
}

void softsign(Context& c) {
  // Infinite on the ANE: Inf / Inf is NaN, which rounds to +0 (ane-facts.md 6, R).
  const bool ane = c.f16();
  map(c, [ane](double x) {
    if (std::isinf(x) && !ane) return x > 0 ? 1.0 : -1.0;
    return x / (1 + std::fabs(x));
  });
}

void log(Context& c) {
  const double epsilon = c.number_or("epsilon", 0);
  const bool ane = c.f16();
  map(c, [=](double x) {
    const double shifted = x + epsilon;
    if (ane && shifted == 0) return -45440.0; // ane-facts.md 6, R
    return std::log(shifted);
  });
}

void rsqrt(Context& c) {
  const double epsilon = c.number_or("epsilon", 0);
  map(c, [=](double x) { return 1 / std::sqrt(x + epsilon); });
}

void inverse(Context& c) {
  const double epsilon = c.number_or("epsilon", 0);
  const bool ane = c.f16();
  map(c, [=](double x) {
    const double shifted = x + epsilon;
    if (ane && shifted == 0) return static_cast<double>(INFINITY); // also 1/-0 (6, R)
    return 1 / shifted;
  });
}

void clip(Context& c) {
  const double alpha = c.number("alpha");
  const double beta = c.number("beta");
  map(c, [=](double x) { return lesser_of(greater_of(x, alpha), beta); });
}

void threshold(Context& c) {
  const double alpha = c.number("alpha");
  map(c, [=](double x) { return greater_of(x, alpha); });
}

void elu(Context& c) {
  const double alpha = c.number("alpha");
  map(c, [=](double x) { return x > 0 ? x : alpha * std::expm1(x); });
}

void leaky_relu(Context& c) {
  const double alpha = c.number("alpha");
  map(c, [=](double x) { return x >= 0 ? x : alpha * x; });
}

void sigmoid_hard(Context& c) {
  const double alpha = c.number("alpha");
  const double beta = c.number("beta");
  map(c, [=](double x) { return lesser_of(greater_of(alpha * x + beta, 0), 1); });
}

void gelu(Context& c) {
  const std::string mode = c.string_or("mode", "EXACT");
  if (mode == "TANH_APPROXIMATION") {
    const double scale = std::sqrt(2 / std::numbers::pi);
    map(c, [=](double x) { return 0.5 * x * (1 + std::tanh(scale * (x + 0.044715 * x * x * x))); });
  } else if (mode == "SIGMOID_APPROXIMATION") {
    map(c, [](double x) { return x * sigmoid_of(1.702 * x); });
  } else {
    map(c, [](double x) { return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2)); });
  }
}

// Floating to integer truncates toward zero and saturates; integer to integer wraps around.
void cast(Context& c) {
  const DataType from = c.first().type.dtype;
  const DataType to = c.output().type.dtype;
  map(c, [=](double x) {
    if (to == DataType::boolean) return x != 0 ? 1.0 : 0.0;
    if (is_floating(to)) return x;
    if (is_floating(from)) return saturate_integer(std::trunc(x), to);
    return wrap_integer(static_cast<int64_t>(x), to);
  });
}

} // namespace

std::span<const OpEntry> unary_ops() {
  static const OpEntry entries[] = {
      {"abs", abs},
      {"atan", atan},
      {"cast", cast},
      {"ceil", ceil},
      {"clip", clip},
      {"cos", cos},
      {"elu", elu},
      {"erf", erf},
      {"exp", exp},
      {"exp2", exp2},
      {"floor", floor},
      {"gelu", gelu},
      {"identity", identity},
      {"inverse", inverse},
      {"leaky_relu", leaky_relu},
      {"log", log},
      {"logical_not", logical_not},
      {"relu", relu},
      {"relu6", relu6},
      {"round", round},
      {"rsqrt", rsqrt},
      {"sigmoid", sigmoid},
      {"sigmoid_hard", sigmoid_hard},
      {"sign", sign},
      {"silu", silu},
      {"sin", sin},
      {"softplus", softplus},
      {"softsign", softsign},
      {"sqrt", sqrt},
      {"square", square},
      {"tan", tan},
      {"tanh", tanh},
      {"tensor_buffer_to_tensor", identity},
      {"tensor_to_tensor_buffer", identity},
      {"threshold", threshold},
  };
  return entries;
}

} // namespace anet::mil::interpreter
