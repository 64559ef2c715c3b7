// Finds cross-entropy: its gradient with respect to logits, as mil::differentiate writes it, which
// is softmax, times the weight of its position, less that weight where the target is; and logits in
// fp16, which are widened as they are read.
#include "backend/cpu/fusion.h"
#include "backend/cpu/indexing.h"
#include "backend/cpu/lowering.h"
#include "backend/cpu/op_graph.h"
#include "mil/passes/rewriter.h"

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

// x at the targets, in fp32 whatever x is stored in.
void gather(Lowering& l, const Operand& x, const Operand& targets, const Operand& output,
            size_t axis) {
  const bool same = x.dtype == output.dtype;
  const Operand picked = same ? output : l.temporary(x.dtype, output.shape);
  l.emit(make_gather_along_axis_step(x, targets, picked, axis), {&x, &targets, &picked});
  if (!same) l.cast(picked, output);
}

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
    // What only narrow products read is rounded as it is stored.
    const int32_t cast = reader(p.result, "cast");
    if (cast == no_op) return true;
    const DataType dtype = type(result(cast)).dtype;
    if (dtype == DataType::bf16 || dtype == DataType::fp16) p.result = result(take(cast));
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
    gather(l, logits, targets, at_targets, p.axis);
    l.pointwise("sub", {at_targets, log_sum_exp}, at_targets);
    l.pointwise("exp", {at_targets}, at_targets);
    l.pointwise("mul", {at_targets, weight}, at_targets);
    l.pointwise("add", {at_targets, l.operand_of(p.updates)}, at_targets);

    const Operand output = place(l, p, logits);
    const bool direct = output.strides.back() == 1;
    const Operand gradient = direct ? output : l.temporary(output.dtype, output.shape);
    l.emit(make_weighted_softmax_step({.x = logits,
                                       .log_sum_exp = log_sum_exp,
                                       .weight = weight,
                                       .targets = targets,
                                       .output = gradient,
                                       .axis = p.axis}),
           {&logits, &log_sum_exp, &weight, &targets, &gradient});
    Operand values = at_targets;
    if (gradient.dtype != DataType::fp32) {
      values = l.temporary(gradient.dtype, targets.shape);
      l.pointwise("nan_to_infinity", {at_targets}, values);
    }
    l.emit(make_scatter_along_axis_step(gradient, targets, values, p.axis, ScatterMode::update),
           {&gradient, &targets, &values});
    l.bind_value(p.result, gradient);
  }

  // Over the logits where nothing reads them any more.
  static Operand place(Lowering& l, const Pattern& p, const Operand& logits) {
    const DataType dtype = l.function().type(p.result).dtype;
    if (dtype == logits.dtype) return l.result_in_place_of(p.result, std::span(&logits, 1));
    if (const auto narrow = l.narrowed_in_place(logits, dtype)) return *narrow;
    return l.result_of(p.result);
  }

  std::vector<int32_t> ops_;
};

// Logits in fp16 whose cast to fp32 only these read: log-sum-exp, what picks the targets, and
// groups of gradients.
struct NarrowLogits {
  ValueId narrow = no_value, wide = no_value;
  struct Reader {
    ValueId result = no_value;
    ValueId targets = no_value; // none: log-sum-exp
    size_t axis = 0;            // of the targets
  };
  std::vector<Reader> readers;
};

void lower_narrow_logits(Lowering& l, const NarrowLogits& p) {
  const Operand stored = l.operand_of(p.narrow);
  std::vector<Operand> results;
  bool as_stored = stored.dtype == DataType::fp16 && stored.strides.back() == 1;
  for (const auto& reader : p.readers) {
    results.push_back(l.result_of(reader.result));
    as_stored = as_stored && (reader.targets != no_value ||
                              reduces_as_stored(Reduction::log_sum_exp, stored, results.back()));
  }
  Operand logits = stored;
  if (!as_stored) {
    logits = l.temporary(DataType::fp32, stored.shape, &stored);
    l.cast(stored, logits);
  }
  l.bind_value(p.wide, logits);
  for (size_t i = 0; i < results.size(); ++i) {
    const auto& [result, targets, axis] = p.readers[i];
    if (targets == no_value)
      l.reduce(Reduction::log_sum_exp, logits, results[i]);
    else
      gather(l, logits, l.operand_of(targets), results[i], axis);
  }
}

class NarrowMatcher : OpGraph {
public:
  using OpGraph::OpGraph;

  // `gradients`: the ops of groups that read logits as they are stored.
  std::optional<Group> match(int32_t cast, const std::vector<bool>& taken,
                             const std::vector<bool>& gradients) const {
    if (taken[static_cast<size_t>(cast)] || std::string_view(op(cast).name()) != "cast")
      return std::nullopt;
    NarrowLogits p{.narrow = op(cast).input("x"), .wide = result(cast), .readers = {}};
    const auto dtype = [&](ValueId id) { return function().type(id).dtype; };
    if (dtype(p.narrow) != DataType::fp16 || dtype(p.wide) != DataType::fp32 ||
        mil::is_output(function(), p.wide) || function().type(p.wide).shape.empty())
      return std::nullopt;
    std::vector<int32_t> ops = {cast};
    bool sums = false;
    for (const int32_t reader : readers(p.wide)) {
      if (gradients[static_cast<size_t>(reader)]) continue;
      const auto found = reader_of(reader, p.wide);
      if (!found || taken[static_cast<size_t>(reader)]) return std::nullopt;
      sums = sums || found->targets == no_value;
      p.readers.push_back(*found);
      ops.push_back(reader);
    }
    if (!sums) return std::nullopt;
    std::sort(ops.begin(), ops.end());
    return Group{std::move(ops), [p](Lowering& l) { lower_narrow_logits(l, p); }};
  }

private:
  std::optional<NarrowLogits::Reader> reader_of(int32_t index, ValueId logits) const {
    const mil::Operation& reader = op(index);
    const Shape& shape = function().type(logits).shape;
    const Shape& kept = function().type(result(index)).shape;
    if (std::string_view(reader.name()) == "reduce_log_sum_exp" && kept.size() == shape.size())
      return NarrowLogits::Reader{.result = result(index), .targets = no_value, .axis = 0};
    if (std::string_view(reader.name()) != "gather_along_axis" || reader.input("indices") == logits)
      return std::nullopt;
    return NarrowLogits::Reader{
        .result = result(index),
        .targets = reader.input("indices"),
        .axis = normalize_axis(literal_argument(function(), reader, "axis").integer(),
                               std::ssize(shape))};
  }
};

} // namespace

std::vector<Group> find_cross_entropy_groups(const mil::Function& function,
                                             const std::vector<bool>& taken) {
  std::vector<Group> groups;
  std::vector<bool> gradients(function.ops.size(), false);
  Matcher matcher(function);
  for (size_t i = 0; i < function.ops.size(); ++i)
    if (auto group = matcher.match(static_cast<int32_t>(i), taken)) {
      for (const int32_t op : group->ops) gradients[static_cast<size_t>(op)] = true;
      groups.push_back(*std::move(group));
    }
  const NarrowMatcher narrow(function);
  for (size_t i = 0; i < function.ops.size(); ++i)
    if (auto group = narrow.match(static_cast<int32_t>(i), taken, gradients))
      groups.push_back(*std::move(group));
  return groups;
}

} // namespace anet::backend::cpu
