#include "mil/rms_norm.h"

#include "mil/passes/rewriter.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace anet::mil {

namespace {

const Operation* producer_named(const Function& function, ValueId id, std::string_view name) {
  const Operation* op = producer_of(function, id);
  return op != nullptr && op->name() == name ? op : nullptr;
}

// A constant operand of one element.
std::optional<double> number(const Function& function, const Operation& op,
                             std::string_view argument) {
  const Literal* literal = function.constant(op, argument);
  if (literal == nullptr || literal->type.elements() != 1) return std::nullopt;
  return literal->number();
}

bool keeps_rank(const Function& function, const Operation& reduction) {
  return function.type(reduction.outputs.front()).shape.size() ==
         function.type(reduction.input("x")).shape.size();
}

// factor * rsqrt(mean(x^2) + epsilon)
ValueId by_mean(Builder& b, ValueId x, int64_t axis, double epsilon, double factor) {
  const ValueId mean_square = b.reduce("reduce_mean", b.mul(x, x), {axis}, true);
  const ValueId inverse = b.rsqrt(mean_square, epsilon);
  return factor == 1 ? inverse : b.mul(inverse, factor);
}

std::optional<InverseRms> found_by_mean(const Function& function, ValueId id) {
  InverseRms found;
  if (const Operation* scaled = producer_named(function, id, "mul")) {
    const std::optional<double> factor = number(function, *scaled, "y");
    if (!factor) return std::nullopt;
    found.factor = *factor;
    id = scaled->input("x");
  }
  const Operation* root = producer_named(function, id, "rsqrt");
  if (root == nullptr) return std::nullopt;
  found.x = squared_operand_of_mean(function, root->input("x"));
  return found.x == no_value ? std::nullopt : std::optional(found);
}

// With the norm |x| = sqrt(sum(x^2)), n elements and e = sqrt(n epsilon):
// factor sqrt(n) rsqrt((e / |x|)^2 + 1) / |x|. A norm so small that the square would be infinite is
// replaced by a larger one, next to nothing beside e still.
ValueId by_norm(Builder& b, ValueId x, int64_t axis, double epsilon, double factor) {
  constexpr double largest_ratio = 128, least_normal_half = 0x1p-14;
  const DataType dtype = b.type(x).dtype;
  const auto count = static_cast<double>(b.shape(x)[static_cast<size_t>(axis)]);
  const double e = std::sqrt(count * epsilon);
  const double least = std::max(e / largest_ratio, least_normal_half);
  const ValueId norm =
      b.binary("maximum", b.reduce("reduce_l2_norm", x, {axis}, true), b.scalar(dtype, least));
  const ValueId ratio = b.real_div(b.scalar(dtype, e), norm);
  const ValueId root = b.rsqrt(b.mul(ratio, ratio), 1);
  return b.real_div(b.mul(root, factor * std::sqrt(count)), norm);
}

std::optional<InverseRms> found_by_norm(const Function& function, ValueId id) {
  const Operation* quotient = producer_named(function, id, "real_div");
  if (quotient == nullptr) return std::nullopt;
  const Operation* scaled = producer_named(function, quotient->input("x"), "mul");
  const Operation* norm = producer_named(function, quotient->input("y"), "maximum");
  if (scaled == nullptr || norm == nullptr || !number(function, *norm, "y")) return std::nullopt;
  const std::optional<double> factor = number(function, *scaled, "y");
  const Operation* root = producer_named(function, scaled->input("x"), "rsqrt");
  const Operation* sum = producer_named(function, norm->input("x"), "reduce_l2_norm");
  if (!factor || root == nullptr || sum == nullptr || !keeps_rank(function, *sum))
    return std::nullopt;
  const Operation* square = producer_named(function, root->input("x"), "mul");
  if (square == nullptr || number(function, *root, "epsilon") != 1) return std::nullopt;
  const Operation* ratio = producer_named(function, square->input("x"), "real_div");
  const bool is_square = square->input("x") == square->input("y");
  if (!is_square || ratio == nullptr || !number(function, *ratio, "x")) return std::nullopt;
  if (ratio->input("y") != quotient->input("y")) return std::nullopt;
  const ValueId x = sum->input("x");
  const double count = static_cast<double>(function.type(x).elements()) /
                       static_cast<double>(function.type(sum->outputs.front()).elements());
  return InverseRms{x, *factor / std::sqrt(count)};
}

} // namespace

ValueId inverse_rms(Builder& b, ValueId x, int64_t axis, double epsilon, double factor) {
  return b.type(x).dtype == DataType::fp16 ? by_norm(b, x, axis, epsilon, factor)
                                           : by_mean(b, x, axis, epsilon, factor);
}

std::optional<InverseRms> find_inverse_rms(const Function& function, ValueId id) {
  const std::optional<InverseRms> found = found_by_mean(function, id);
  return found ? found : found_by_norm(function, id);
}

ValueId squared_operand_of_mean(const Function& function, ValueId id) {
  const Operation* mean = producer_named(function, id, "reduce_mean");
  if (mean == nullptr || !keeps_rank(function, *mean)) return no_value;
  const Operation* square = producer_of(function, mean->input("x"));
  if (square == nullptr) return no_value;
  const std::string_view name = square->name();
  const ValueId x = square->input("x");
  return name == "square" || (name == "mul" && x == square->input("y")) ? x : no_value;
}

} // namespace anet::mil
