#include "mil/gradient/partition.h"

#include "mil/gradient/minimum_cut.h"
#include "mil/op_table.h"
#include "mil/passes/rewriter.h"

#include <algorithm>
#include <string_view>

namespace anet::mil::gradient {

namespace {

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Ops that backward never runs a second time. All others are pointwise, or move elements.
bool is_expensive(const Operation& op) {
  const std::string_view name = op.name();
  return name == "matmul" || name == "linear" || name == "conv" || name == "conv_transpose" ||
         name == "scaled_dot_product_attention" || name == "softmax" || name == "layer_norm" ||
         name == "l2_norm" || name == "cumsum" || starts_with(name, "reduce_");
}

// Constants, compressed ones too, are cloned wherever they are read.
bool is_constant_op(const Operation& op) {
  return op.schema == const_schema() || starts_with(op.name(), "constexpr_");
}

class Partitioner {
public:
  explicit Partitioner(const Joint& joint)
      : joint_(joint), needs_seed_(joint.is_seed), forward_can_(joint.is_forward) {
    for (ValueId id : joint.function.inputs) forward_can_[at(id)] = true;
    for (const Operation& op : joint.function.ops) {
      bool needs = false, can = !is_expensive(op);
      for_each_operand(op, [&](ValueId id) {
        needs |= needs_seed_[at(id)];
        can = can && forward_can_[at(id)];
      });
      for (ValueId id : op.outputs) {
        needs_seed_[at(id)] = needs;
        forward_can_[at(id)] = forward_can_[at(id)] || (can && !needs);
      }
    }
  }

  // Marks every value that backward computes or reads when it receives `taps`.
  std::vector<bool> reach(const std::vector<bool>& taps) const {
    std::vector<bool> reached(joint_.function.values.size(), false);
    for (ValueId id : joint_.gradients) reached[at(id)] = true;
    for (size_t i = joint_.function.ops.size(); i-- > 0;) {
      const Operation& op = joint_.function.ops[i];
      const bool computed = std::any_of(op.outputs.begin(), op.outputs.end(), [&](ValueId id) {
        return reached[at(id)] && !taps[at(id)];
      });
      if (computed) for_each_operand(op, [&](ValueId id) { reached[at(id)] = true; });
    }
    return reached;
  }

  std::vector<bool> candidates() const {
    std::vector<bool> result(joint_.function.values.size(), false);
    for (size_t i = 0; i < result.size(); ++i) {
      result[i] = joint_.is_forward[i] && is_candidate(static_cast<ValueId>(i));
    }
    return result;
  }

  // The candidates, and what gradients are made of without depending on one, of the least total
  // cost from which everything that backward reads follows by
  // cheap ops. Each value is two nodes, joined by an edge as wide as the value is large. The
  // source feeds the results of expensive ops, the sink takes what backward reads, and an op that
  // can run again carries from its operands to its result. A tap is a cut edge. The result of an op
  // that runs again is behind the cut with both nodes, so an edge from the source to the first,
  // as wide as the op is costly, is cut as well.
  std::vector<bool> cheapest_taps(const TapCosts& costs) const {
    const Function& function = joint_.function;
    const size_t count = function.values.size();
    const size_t source = 2 * count;
    const size_t sink = source + 1;
    FlowNetwork network(sink + 1);
    for (size_t i = 0; i < count; ++i) {
      const auto id = static_cast<ValueId>(i);
      const Operation* producer = producer_of(function, id);
      if (needs_seed_[i] || producer == nullptr || is_constant_op(*producer)) continue;
      network.add_edge(in(id), out(id),
                       is_candidate(id) ? cost_of(id, costs) : FlowNetwork::unlimited);
      if (is_candidate(id) && is_expensive(*producer)) {
        network.add_edge(source, in(id), FlowNetwork::unlimited);
      } else {
        for_each_operand(*producer, [&](ValueId operand) {
          network.add_edge(out(operand), in(id), FlowNetwork::unlimited);
        });
        const int64_t again = is_candidate(id) ? costs.recomputed * traffic(*producer, id) : 0;
        if (again > 0) network.add_edge(source, in(id), again);
      }
    }
    add_sink_edges(network, sink);
    const std::vector<bool> late = network.sink_side(source, sink);
    std::vector<bool> taps(count, false);
    for (size_t i = 0; i < count; ++i) {
      const auto id = static_cast<ValueId>(i);
      taps[i] = is_candidate(id) && !late[in(id)] && late[out(id)];
    }
    return taps;
  }

private:
  static size_t at(ValueId id) { return static_cast<size_t>(id); }
  static size_t in(ValueId id) { return 2 * at(id); }
  static size_t out(ValueId id) { return 2 * at(id) + 1; }

  template <typename F>
  static void for_each_operand(const Operation& op, F&& f) {
    for (const Argument& argument : op.arguments) {
      for (ValueId id : argument.values) f(id);
    }
  }

  bool is_candidate(ValueId id) const {
    const Operation* producer = producer_of(joint_.function, id);
    return forward_can_[at(id)] && producer != nullptr && !is_constant_op(*producer);
  }

  // Forward values win a tie: devices know the patterns around them.
  int64_t cost_of(ValueId id, const TapCosts& costs) const {
    return costs.tap * size_of(id) + (joint_.is_forward[at(id)] ? 0 : 1);
  }

  // An output of the function is there anyway.
  int64_t size_of(ValueId id) const {
    const bool is_free =
        std::find(joint_.outputs.begin(), joint_.outputs.end(), id) != joint_.outputs.end();
    return is_free ? 0 : joint_.function.type(id).bytes();
  }

  // Bytes that an op reads and writes for one of its results: none for a view; what takes a part of
  // its operand reads that part.
  int64_t traffic(const Operation& op, ValueId result) const {
    const std::string_view name = op.name();
    if (name == "reshape" || name == "expand_dims" || name == "squeeze") return 0;
    const int64_t written = joint_.function.type(result).bytes();
    if (starts_with(name, "slice_by_") || name == "split") return 2 * written;
    int64_t read = 0;
    for_each_operand(op, [&](ValueId id) {
      const Operation* producer = producer_of(joint_.function, id);
      const bool is_constant = producer != nullptr && is_constant_op(*producer);
      if (!is_constant) read += joint_.function.type(id).bytes();
    });
    return read + written;
  }

  void add_sink_edges(FlowNetwork& network, size_t sink) const {
    std::vector<bool> read(joint_.function.values.size(), false);
    for (ValueId id : joint_.gradients) read[at(id)] = true;
    for (const Operation& op : joint_.function.ops) {
      if (!needs_seed_[at(op.outputs.front())]) continue;
      for_each_operand(op, [&](ValueId id) { read[at(id)] = true; });
    }
    for (size_t i = 0; i < read.size(); ++i) {
      if (read[i] && !needs_seed_[i]) {
        network.add_edge(out(static_cast<ValueId>(i)), sink, FlowNetwork::unlimited);
      }
    }
  }

  const Joint& joint_;
  std::vector<bool> needs_seed_; // by value: depends on a seed
  // By value: the function computes it, or could do so cheaply where only its gradients need it.
  std::vector<bool> forward_can_;
};

} // namespace

std::vector<ValueId> choose_taps(const Joint& joint, Taps taps, const std::vector<bool>& listed,
                                 const TapCosts& costs) {
  const Partitioner partitioner(joint);
  std::vector<bool> allowed(joint.function.values.size(), false);
  if (taps == Taps::all) allowed = partitioner.candidates();
  if (taps == Taps::automatic) allowed = partitioner.cheapest_taps(costs);
  if (taps == Taps::listed) {
    allowed = partitioner.candidates();
    for (size_t i = 0; i < allowed.size(); ++i) allowed[i] = allowed[i] && listed[i];
  }
  const std::vector<bool> reached = partitioner.reach(allowed);
  std::vector<ValueId> chosen;
  for (size_t i = 0; i < allowed.size(); ++i) {
    if (allowed[i] && reached[i]) chosen.push_back(static_cast<ValueId>(i));
  }
  return chosen;
}

std::vector<ValueId> inputs_read(const Joint& joint, const std::vector<ValueId>& taps) {
  std::vector<bool> tapped(joint.function.values.size(), false);
  for (ValueId id : taps) tapped[static_cast<size_t>(id)] = true;
  const std::vector<bool> reached = Partitioner(joint).reach(tapped);
  std::vector<ValueId> inputs;
  for (ValueId id : joint.function.inputs) {
    const auto index = static_cast<size_t>(id);
    if (reached[index] && !joint.is_seed[index]) inputs.push_back(id);
  }
  return inputs;
}

} // namespace anet::mil::gradient
