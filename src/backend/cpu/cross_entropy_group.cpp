// Finds the gradient of cross-entropy with respect to logits, as mil::differentiate writes it:
// softmax, times the weight of its position, less that weight where the target is.
#include "backend/cpu/fusion.h"
#include "backend/cpu/indexing.h"
#include "backend/cpu/lowering.h"
#include "backend/cpu/op_graph.h"

#include <algorithm>

namespace anet::backend::cpu {

namespace {

using mil::no_value;
using mil::ValueId;

// scatter_along_axis(0, targets, updates) + exp(logits - log_sum_exp) * weight
struct Pattern {
  ValueId logits = no_value, log_sum_exp = no_value, weight = no_value;
  ValueId targets = no_value, updates = no_value;
  ValueId result = no_value;
  size_t axis = 0;
};

class Matcher : OpGraph {
public:
  using OpGraph::OpGraph;

  // The group around a scatter, or nothing.
  std::optional<Group> match(int32_t scatter, const std::vector<bool>& taken) {
    Pattern p;
    ops_ = {scatter};
    if (!match_targets(scatter, p) || !match_sum(scatter, p) || !fits(p)) return std::nullopt;
    std::sort(ops_.begin(), ops_.end());
    const bool free = std::none_of(ops_.begin(), ops_.end(),
                                   [&](int32_t i) { return taken[static_cast<size_t>(i)]; });
    Group group{ops_, [p](Lowering& l) { lower(l, p); }};
    if (!free || leaving(function(), group) != std::vector{p.result}) return std::nullopt;
    return group;
  }

private:
  const mil::Type& type(ValueId id) const { return function().type(id); }
  int32_t take(int32_t index) {
    if (index != no_op) ops_.push_back(index);
    return index;
  }

  // The two arguments, of which the first is made by such an op; no values where none is.
  std::pair<ValueId, ValueId> arguments(int32_t index, std::string_view name) const {
    const ValueId x = op(index).input("x"), y = op(index).input("y");
    if (producer(x, name) != no_op) return {x, y};
    if (producer(y, name) != no_op) return {y, x};
    return {no_value, no_value};
  }

  bool match_targets(int32_t scatter, Pattern& p) {
    if (std::string_view(op(scatter).name()) != "scatter_along_axis" ||
        !adds_to_zeros(function(), op(scatter)))
      return false;
    const ValueId zeros = op(scatter).input("data");
    if (const int32_t tile = producer(zeros, "tile"); readers(zeros).size() == 1) take(tile);
    p.targets = op(scatter).input("indices");
    p.updates = op(scatter).input("updates");
    p.axis =
        normalize_axis(literal_argument(function(), op(scatter), "axis").integer(), rank(scatter));
    return true;
  }

  bool match_sum(int32_t scatter, Pattern& p) {
    const int32_t add = take(reader(result(scatter), "add"));
    if (add == no_op) return false;
    const ValueId product = op(add).input(op(add).input("x") == result(scatter) ? "y" : "x");
    const int32_t mul = take(producer(product, "mul"));
    if (mul == no_op) return false;
    const auto [probabilities, weight] = arguments(mul, "exp");
    const int32_t exp = take(producer(probabilities, "exp"));
    const int32_t sub = exp == no_op ? no_op : take(producer(op(exp).input("x"), "sub"));
    if (sub == no_op) return false;
    p.weight = weight;
    p.logits = op(sub).input("x");
    p.log_sum_exp = op(sub).input("y");
    p.result = result(add);
    if (readers(p.result).size() != 1) return true;
    // What only bf16 products read is rounded as it is stored.
    const int32_t cast = reader(p.result, "cast");
    if (cast != no_op && type(result(cast)).dtype == DataType::bf16) p.result = result(take(cast));
    return true;
  }

  // Logits [1.., vocabulary, 1.., positions] in fp32, and one value a position of the others. One
  // position alone is left to the general groups.
  bool fits(const Pattern& p) const {
    const Shape& shape = type(p.logits).shape;
    if (type(p.logits).dtype != DataType::fp32 || type(p.result).shape != shape ||
        p.axis + 1 >= shape.size() || shape.back() < 2)
      return false;
    if (mil::element_count(shape) != shape[p.axis] * shape.back()) return false;
    Shape one = shape;
    one[p.axis] = 1;
    return type(p.targets).shape == one && type(p.updates).shape == one &&
           type(p.log_sum_exp).shape == one && type(p.weight).shape == one;
  }

  int64_t rank(int32_t index) const { return std::ssize(function().type(result(index)).shape); }

  // Targets have the sum rounded once, as every other logit: their values are computed by
  // themselves before the logits are overwritten.
  static void lower(Lowering& l, const Pattern& p) {
    const Operand given = l.operand_of(p.logits);
    const Operand logits = given.strides.back() == 1 ? given : l.dense(given);
    const auto of_positions = [&](ValueId id) { return l.dense(l.operand_of(id)); };
    const Operand log_sum_exp = of_positions(p.log_sum_exp), weight = of_positions(p.weight);
    const Operand targets = of_positions(p.targets);
    const Operand at_targets = l.temporary(DataType::fp32, targets.shape);
    l.emit(make_gather_along_axis_step(logits, targets, at_targets, p.axis),
           {&logits, &targets, &at_targets});
    l.pointwise("sub", {at_targets, log_sum_exp}, at_targets);
    l.pointwise("exp", {at_targets}, at_targets);
    l.pointwise("mul", {at_targets, weight}, at_targets);
    l.pointwise("add", {at_targets, l.operand_of(p.updates)}, at_targets);

    const Operand output = place(l, p, logits);
    const bool direct = output.strides.back() == 1;
    const Operand gradient = direct ? output : l.temporary(output.dtype, output.shape);
    l.emit(make_weighted_softmax_step(logits, broadcast_view(log_sum_exp, logits.shape),
                                      broadcast_view(weight, logits.shape), gradient),
           {&logits, &log_sum_exp, &weight, &gradient});
    Operand values = at_targets;
    if (gradient.dtype != DataType::fp32) {
      values = l.temporary(gradient.dtype, targets.shape);
      l.cast(at_targets, values);
    }
    l.emit(make_scatter_along_axis_step(gradient, targets, values, p.axis, ScatterMode::update),
           {&gradient, &targets, &values});
    l.bind_value(p.result, gradient);
  }

  // Over the logits where nothing reads them any more.
  static Operand place(Lowering& l, const Pattern& p, const Operand& logits) {
    const DataType dtype = l.function().type(p.result).dtype;
    if (dtype == DataType::fp32) return l.result_in_place_of(p.result, std::span(&logits, 1));
    if (const auto narrow = l.narrowed_in_place(logits, dtype)) return *narrow;
    return l.result_of(p.result);
  }

  std::vector<int32_t> ops_;
};

} // namespace

std::vector<Group> find_cross_entropy_groups(const mil::Function& function,
                                             const std::vector<bool>& taken) {
  std::vector<Group> groups;
  Matcher matcher(function);
  for (size_t i = 0; i < function.ops.size(); ++i)
    if (auto group = matcher.match(static_cast<int32_t>(i), taken))
      groups.push_back(*std::move(group));
  return groups;
}

} // namespace anet::backend::cpu
