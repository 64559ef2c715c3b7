// Operations of one value: as both sides are fp16, each is a table of 65536 results, exact.
#include "arithmetic.h"
#include "plan.h"

#include <array>
#include <map>
#include <mutex>
#include <tuple>

namespace emulator {

namespace {

struct Parameters {
  double alpha = 0;
  double beta = 0;
  std::string mode;
  auto operator<=>(const Parameters&) const = default;
};

using Function = double (*)(double x, const Parameters& p);

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double gelu(double x, const Parameters& p) {
  if (p.mode == "TANH_APPROXIMATION") {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }
  if (p.mode == "SIGMOID_APPROXIMATION") return x * sigmoid(1.702 * x);
  return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
}

// The engine's answer to log(+0) (ane-facts.md 6, R).
double engine_log(double x) { return x == 0 ? -45440 : std::log(x); }

const std::map<std::string_view, Function>& functions() {
  using P = const Parameters&;
  static const std::map<std::string_view, Function> table = {
      {"abs", [](double x, P) { return std::fabs(x); }},
      {"ceil", [](double x, P) { return std::ceil(x); }},
      {"floor", [](double x, P) { return std::floor(x); }},
      {"round", [](double x, P) { return std::nearbyint(x); }},
      {"sign", [](double x, P) { return x > 0   ? 1.0
                                        : x < 0 ? -1.0
                                                : 0.0; }},
      {"square", [](double x, P) { return x * x; }},
      {"sqrt", [](double x, P) { return std::sqrt(x); }},
      {"exp", [](double x, P) { return std::exp(x); }},
      {"exp2", [](double x, P) { return std::exp2(x); }},
      {"erf", [](double x, P) { return std::erf(x); }},
      {"atan", [](double x, P) { return std::atan(x); }},
      {"sin", [](double x, P) { return std::sin(x); }},
      {"cos", [](double x, P) { return std::cos(x); }},
      {"relu", [](double x, P) { return x > 0 ? x : 0; }},
      {"relu6", [](double x, P) { return std::fmin(x > 0 ? x : 0, 6); }},
      {"sigmoid", [](double x, P) { return sigmoid(x); }},
      {"silu", [](double x, P) { return x * sigmoid(x); }},
      // Both are 0 at +Inf on the engine (6, R).
      {"softplus",
       [](double x, P) { return x == INFINITY ? 0
                                : x > 30      ? x
                                              : std::log1p(std::exp(x)); }},
      {"softsign", [](double x, P) { return x / (1 + std::fabs(x)); }},
      {"tanh", [](double x, P) { return std::tanh(x); }},
      {"log", [](double x, P p) { return engine_log(x + p.alpha); }},
      {"rsqrt", [](double x, P p) { return 1 / std::sqrt(x + p.alpha + 0.0); }},
      {"inverse", [](double x, P p) { return 1 / (x + p.alpha); }},
      {"gelu", gelu},
      {"elu", [](double x, P p) { return x > 0 ? x : p.alpha * std::expm1(x); }},
      {"leaky_relu", [](double x, P p) { return x >= 0 ? x : p.alpha * x; }},
      {"threshold", [](double x, P p) { return std::fmax(x, p.alpha); }},
      {"thresholded_relu", [](double x, P p) { return x >= p.alpha ? x : 0; }},
      {"clip", [](double x, P p) { return std::fmin(std::fmax(x, p.alpha), p.beta); }},
      {"clamped_relu", [](double x, P p) { return std::fmin(x >= 0 ? x : p.alpha * x, p.beta); }},
      {"linear_activation", [](double x, P p) { return p.alpha * x + p.beta; }},
      {"scaled_tanh", [](double x, P p) { return p.alpha * std::tanh(p.beta * x); }},
      {"sigmoid_hard",
       [](double x, P p) { return std::fmin(std::fmax(p.alpha * x + p.beta, 0.0), 1.0); }},
  };
  return table;
}

// The engine's 33-knot tables (6, R): knots evenly spaced, exact at the knots, straight between.
// The ranges give the published errors: sigmoid 3.4e-3, tanh 1.7e-3, gelu 5.9e-3.
struct Knots {
  double low;
  double high;
};

std::optional<Knots> knots(std::string_view name) {
  if (name == "sigmoid") return Knots{-9.938, 8.320};
  if (name == "tanh") return Knots{0, 4.2}; // of |x|
  if (name == "gelu") return Knots{-3.9, 3.9};
  if (name == "silu") return Knots{-9.938, 8.320};
  return std::nullopt;
}

double interpolate(double x, const Knots& range, Function function, const Parameters& parameters) {
  constexpr int segments = 32;
  const double width = (range.high - range.low) / segments;
  const double position = std::floor((x - range.low) / width);
  const double left = range.low + std::fmin(std::fmax(position, 0.0), segments - 1) * width;
  const double a = function(left, parameters);
  const double b = function(left + width, parameters);
  return a + (b - a) * (x - left) / width;
}

double by_table(std::string_view name, double x, const Knots& range, Function function,
                const Parameters& parameters) {
  if (name == "tanh" && x < 0) return -by_table(name, -x, range, function, parameters);
  const bool linear_tail = name == "gelu" || name == "silu";
  if (x > range.high) return linear_tail ? x : function(range.high, parameters);
  if (x < range.low) return linear_tail ? 0 : function(range.low, parameters);
  return interpolate(x, range, function, parameters);
}

using Table = std::shared_ptr<const std::vector<float>>;

Table make_table(const std::string& name, const Parameters& parameters, const Numerics& numerics) {
  const Function function = functions().at(name);
  const std::optional<Knots> range = numerics.lut ? knots(name) : std::nullopt;
  auto table = std::make_shared<std::vector<float>>(65536);
  for (uint32_t half = 0; half < 65536; ++half) {
    const double x = half_value(static_cast<uint16_t>(half));
    const double y = range && std::isfinite(x) ? by_table(name, x, *range, function, parameters)
                                               : function(x, parameters);
    (*table)[half] = std::isnan(y) && numerics.nan_rule ? 0 : round_half_once(y);
  }
  return table;
}

// Tables are shared by all programs: there are few, and a program with many layers repeats them.
Table find_table(const std::string& name, const Parameters& parameters, const Numerics& numerics) {
  using Key = std::tuple<std::string, Parameters, bool, bool>;
  static std::mutex mutex;
  static std::map<Key, Table> tables;
  const std::lock_guard lock(mutex);
  Table& table = tables[{name, parameters, numerics.lut, numerics.nan_rule}];
  if (!table) table = make_table(name, parameters, numerics);
  return table;
}

EMULATOR_CLONES void look_up(const float* table, const float* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = table[half_bits(x[i])];
}

} // namespace

Step unary_step(const Call& call, const PlanOptions& options) {
  const std::string& name = call.op().name;
  if (!functions().contains(name) || !anet::mil::is_floating(call.type("x").dtype)) return nullptr;
  Parameters parameters;
  if (call.has("epsilon")) parameters.alpha = call.number("epsilon");
  if (call.has("alpha")) parameters.alpha = call.number("alpha");
  if (call.has("beta")) parameters.beta = call.number("beta");
  if (call.has("mode")) parameters.mode = call.text("mode");
  const Table table = find_table(name, parameters, options.numerics);
  return [table, source = call.index("x"), target = call.op().outputs.front(),
          count = call.type("x").elements()](const Frame& frame) {
    look_up(table->data(), frame.in(source), frame.out(target), count);
  };
}

} // namespace emulator
