#include "backend/ane/fewer_passes.h"

#include "backend/ane/lowering.h"
#include "mil/passes.h"
#include "mil/passes/rewriter.h"

#include <algorithm>
#include <cmath>

namespace anet::backend::ane {

namespace {

using mil::Operation;
using mil::Rewriter;

// Heads have no more channels; the matrix of a swap has as many rows and columns.
constexpr int64_t most_swapped_channels = 1024;

// What a matrix with one 1 or -1 in each row and column makes of x: sign[i] * x[from[i]].
struct Swap {
  std::vector<size_t> from;
  std::vector<double> sign;

  size_t size() const { return from.size(); }
};

// swap(table * x), or table * swap(x)
struct Crossed {
  ValueId table;
  Swap swap;
  bool swaps_last;
};

// straight * x + crossed
struct Rotation {
  ValueId x, straight;
  Crossed crossed;
};

struct Factors {
  ValueId one, other;
};

class Source {
public:
  explicit Source(const mil::Function& function)
      : function_(function), uses_(function.count_uses()) {}

  std::optional<Rotation> rotation(const Operation& sum) const {
    for (const auto& [first, second] : factors(sum)) {
      const Operation* straight = only_for_one(first, "mul");
      if (straight == nullptr) continue;
      for (const auto& [x, table] : factors(*straight)) {
        if (!is_table(table, x)) continue;
        std::optional<Crossed> crossed = swapped_last(x, second);
        if (!crossed) crossed = swapped_first(x, second);
        if (crossed) return Rotation{x, table, *std::move(crossed)};
      }
    }
    return std::nullopt;
  }

  // What `mean`, taken over channels of (d w) n, is a product of: w, and the d n that an op before
  // it has made.
  std::optional<Factors> weighted_mean(const Operation& mean) const {
    const Operation* product = only_for_one(mean.input("x"), "mul");
    if (product == nullptr || !is_over_channels(mean)) return std::nullopt;
    for (const auto& [weighted, n] : factors(*product)) {
      const Operation* inner = mil::producer_of(function_, weighted);
      if (inner == nullptr || std::string_view(inner->name()) != "mul") continue;
      for (const auto& [d, weight] : factors(*inner)) {
        if (!is_channel_weight(weight, d) || function_.type(n) != function_.type(d)) continue;
        const ValueId made = product_before(mean, d, n);
        if (made != mil::no_value) return Factors{weight, made};
      }
    }
    return std::nullopt;
  }

private:
  const Shape& shape(ValueId id) const { return function_.type(id).shape; }

  static std::array<Factors, 2> factors(const Operation& op) {
    const ValueId x = op.input("x"), y = op.input("y");
    return {Factors{x, y}, Factors{y, x}};
  }

  // The op behind a value that nothing but one argument reads.
  const Operation* only_for_one(ValueId id, std::string_view name) const {
    const Operation* op = mil::producer_of(function_, id);
    const bool found = op != nullptr && name == op->name();
    return found && uses_[static_cast<size_t>(id)] == 1 ? op : nullptr;
  }

  // Rows of one element would take a transpose each.
  bool is_image(ValueId x) const {
    const mil::Type& type = function_.type(x);
    return type.dtype == DataType::fp16 && type.shape.size() == 4 && type.shape[height_slot] == 1 &&
           type.shape[width_slot] > 1;
  }

  // No constant, because an op of constants alone has no place in a program.
  bool is_table(ValueId table, ValueId x) const {
    if (!is_image(x) || shape(x)[channel_slot] > most_swapped_channels) return false;
    Shape expected = shape(x);
    expected[0] = 1;
    return function_.type(table).dtype == DataType::fp16 && shape(table) == expected &&
           !is_constant(function_, table);
  }

  std::optional<Crossed> swapped_last(ValueId x, ValueId addend) const {
    const Operation* conv = only_for_one(addend, "conv");
    const Operation* product = conv == nullptr ? nullptr : only_for_one(conv->input("x"), "mul");
    if (product == nullptr) return std::nullopt;
    for (const auto& [operand, table] : factors(*product)) {
      if (operand != x || !is_table(table, x)) continue;
      if (std::optional<Swap> found = swap(*conv)) return Crossed{table, *std::move(found), true};
    }
    return std::nullopt;
  }

  std::optional<Crossed> swapped_first(ValueId x, ValueId addend) const {
    const Operation* product = only_for_one(addend, "mul");
    if (product == nullptr) return std::nullopt;
    for (const auto& [operand, table] : factors(*product)) {
      const Operation* conv = only_for_one(operand, "conv");
      if (conv == nullptr || conv->input("x") != x || !is_table(table, x)) continue;
      if (std::optional<Swap> found = swap(*conv)) return Crossed{table, *std::move(found), false};
    }
    return std::nullopt;
  }

  // What a convolution does that only swaps channels.
  std::optional<Swap> swap(const Operation& conv) const {
    const int64_t channels = shape(conv.input("x"))[channel_slot];
    const Literal* strides = function_.constant(conv, "strides");
    const std::vector<int64_t> steps =
        strides == nullptr ? std::vector<int64_t>{} : strides->integers();
    const bool is_plain = std::all_of(steps.begin(), steps.end(), [](int64_t s) { return s == 1; });
    ValueId weight = conv.input("weight");
    if (!is_plain || conv.argument("bias") != nullptr ||
        shape(conv.outputs.front()) != shape(conv.input("x")) ||
        shape(weight) != Shape{channels, channels, 1, 1})
      return std::nullopt;
    const Operation* op = mil::producer_of(function_, weight);
    const bool transposed = op != nullptr && std::string_view(op->name()) == "transpose";
    if (transposed) {
      if (function_.constant(*op, "perm")->integers() != std::vector<int64_t>{1, 0, 2, 3})
        return std::nullopt;
      weight = op->input("x");
    }
    const Literal* literal = function_.constant(weight);
    if (literal == nullptr) return std::nullopt;
    return swap_of(literal->numbers(), static_cast<size_t>(channels), transposed);
  }

  static std::optional<Swap> swap_of(const std::vector<double>& matrix, size_t channels,
                                     bool transposed) {
    Swap result;
    std::vector<bool> taken(channels, false);
    for (size_t row = 0; row < channels; ++row) {
      for (size_t column = 0; column < channels; ++column) {
        const double entry = matrix[transposed ? column * channels + row : row * channels + column];
        if (entry == 0) continue;
        if (std::fabs(entry) != 1 || result.size() > row || taken[column]) return std::nullopt;
        taken[column] = true;
        result.from.push_back(column);
        result.sign.push_back(entry);
      }
      if (result.size() != row + 1) return std::nullopt;
    }
    return result;
  }

  bool is_over_channels(const Operation& mean) const {
    const ValueId x = mean.input("x");
    const Literal* axes = function_.constant(mean, "axes");
    return is_image(x) && axes != nullptr && axes->integers() == std::vector<int64_t>{1} &&
           shape(mean.outputs.front()).size() == 4;
  }

  bool is_channel_weight(ValueId weight, ValueId x) const {
    return function_.type(weight).dtype == DataType::fp16 && is_image(x) &&
           shape(weight) == Shape{1, shape(x)[channel_slot], 1, 1} &&
           !is_constant(function_, weight);
  }

  ValueId product_before(const Operation& end, ValueId x, ValueId y) const {
    for (const Operation& op : function_.ops) {
      if (&op == &end) break;
      if (std::string_view(op.name()) != "mul") continue;
      const ValueId a = op.input("x"), b = op.input("y");
      if ((a == x && b == y) || (a == y && b == x)) return op.outputs.front();
    }
    return mil::no_value;
  }

  const mil::Function& function_;
  std::vector<int32_t> uses_; // by value
};

class Writer {
public:
  explicit Writer(Rewriter& rewriter) : r_(rewriter) {}

  ValueId write(const Rotation& rotation) {
    const ValueId x = r_.mapped(rotation.x), straight = r_.mapped(rotation.straight);
    const Swap& swap = rotation.crossed.swap;
    ValueId crossed = r_.mapped(rotation.crossed.table);
    const Shape shape = r_.result().type(x).shape;
    const auto channels = static_cast<int64_t>(swap.size());
    const int64_t width = shape[width_slot];
    if (!rotation.crossed.swaps_last) crossed = convolved(crossed, returned(swap), channels);
    const ValueId axis = r_.constant(Literal::int32(channel_slot));
    const ValueId tables =
        r_.add("concat", {{"values", {straight, crossed}, true}, {"axis", {axis}}});
    const ValueId products = product(reshaped(x, {shape[0], 1, channels, width}),
                                     reshaped(tables, {1, 2, channels, width}));
    return convolved(reshaped(products, {shape[0], 2 * channels, 1, width}),
                     swapped_and_added(swap), channels);
  }

  // A power of two near the root of the divisor goes into the weight, the rest comes after the sum:
  // so fp16 holds the sum of most means that it holds, and the weight.
  ValueId write_mean(const Factors& factors) {
    const ValueId weight = r_.mapped(factors.one), value = r_.mapped(factors.other);
    const Shape shape = r_.result().type(value).shape;
    const auto channels = static_cast<double>(shape[channel_slot]);
    const double part = std::exp2(std::ceil(std::log2(channels) / 2));
    const ValueId row = reshaped(weight, {1, 1, 1, shape[channel_slot]});
    const ValueId sum =
        r_.add("matmul",
               {{"x", {product(row, number(1 / part))}},
                {"y", {reshaped(value, {shape[0], 1, shape[channel_slot], shape[width_slot]})}}});
    return r_.add("real_div", {{"x", {sum}}, {"y", {number(channels / part)}}});
  }

private:
  ValueId number(double value) { return r_.constant(Literal::scalar(DataType::fp16, value)); }

  ValueId reshaped(ValueId x, const Shape& shape) {
    const ValueId extents = r_.constant(Literal::int32s(shape));
    return r_.add("reshape", {{"x", {x}}, {"shape", {extents}}});
  }

  ValueId product(ValueId x, ValueId y) { return r_.add("mul", {{"x", {x}}, {"y", {y}}}); }

  // matrix [channels, inputs] times x
  ValueId convolved(ValueId x, const std::vector<double>& matrix, int64_t channels) {
    const int64_t inputs = std::ssize(matrix) / channels;
    const ValueId weight =
        r_.constant(Literal::numbers({DataType::fp16, {channels, inputs, 1, 1}, {}}, matrix));
    return r_.add("conv", {{"x", {x}}, {"weight", {weight}}});
  }

  // [I | P]
  static std::vector<double> swapped_and_added(const Swap& swap) {
    std::vector<double> matrix(2 * swap.size() * swap.size(), 0);
    for (size_t row = 0; row < swap.size(); ++row) {
      double* entries = &matrix[row * 2 * swap.size()];
      entries[row] = 1;
      entries[swap.size() + swap.from[row]] = swap.sign[row];
    }
    return matrix;
  }

  // Back to where the swap takes each channel from, without signs.
  static std::vector<double> returned(const Swap& swap) {
    std::vector<double> matrix(swap.size() * swap.size(), 0);
    for (size_t row = 0; row < swap.size(); ++row) matrix[swap.from[row] * swap.size() + row] = 1;
    return matrix;
  }

  Rewriter& r_;
};

} // namespace

mil::Function with_fewer_passes(const mil::Function& function, const Rules& rules) {
  const Source source(function);
  Rewriter rewriter(function);
  Writer writer(rewriter);
  for (const Operation& op : function.ops) {
    const std::string_view name = op.name();
    ValueId written = mil::no_value;
    if (name == "add" && rules.broadcasts_both) {
      if (const std::optional<Rotation> rotation = source.rotation(op))
        written = writer.write(*rotation);
    } else if (name == "reduce_mean") {
      if (const std::optional<Factors> mean = source.weighted_mean(op))
        written = writer.write_mean(*mean);
    }
    if (written == mil::no_value)
      rewriter.keep(rewriter.with_mapped_arguments(op));
    else
      rewriter.replace(op.outputs.front(), written);
  }
  return std::move(rewriter).finish().function;
}

} // namespace anet::backend::ane
