#include "mil/partition.h"

#include "base/status.h"
#include "mil/gradient/minimum_cut.h"
#include "mil/op_table.h"
#include "mil/passes/extract.h"
#include "mil/verify.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>

namespace anet::mil {

namespace {

using gradient::FlowNetwork;

// What moving one more tensor between the sides costs beside its bytes, in bytes.
constexpr int64_t crossing_overhead = 4096;

size_t at(ValueId id) { return static_cast<size_t>(id); }

// Constants, compressed ones too, are copied wherever they are read.
bool is_constant_op(const Operation& op) {
  return op.schema == const_schema() || std::string_view(op.name()).starts_with("constexpr_");
}

template <typename F>
void for_each_operand(const Operation& op, F&& f) {
  for (const Argument& argument : op.arguments) {
    for (ValueId id : argument.values) f(id);
  }
}

// The ops that the given values depend on.
std::vector<bool> ops_needed_for(const Function& function, const std::vector<ValueId>& values) {
  std::vector<bool> wanted(function.values.size(), false);
  for (ValueId id : values) wanted[at(id)] = true;
  std::vector<bool> needed(function.ops.size(), false);
  for (size_t i = function.ops.size(); i-- > 0;) {
    const Operation& op = function.ops[i];
    needed[i] = std::any_of(op.outputs.begin(), op.outputs.end(),
                            [&](ValueId id) { return wanted[at(id)]; });
    if (needed[i]) for_each_operand(op, [&](ValueId id) { wanted[at(id)] = true; });
  }
  return needed;
}

// A function as placement sees it: the ops that are placed, and who reads what.
class Graph {
public:
  explicit Graph(const Function& source)
      : function(source), placed_(ops_needed_for(source, source.outputs)),
        readers_(source.values.size()), is_output_(source.values.size(), false) {
    for (ValueId id : source.outputs) is_output_[at(id)] = true;
    for (size_t i = 0; i < source.ops.size(); ++i) {
      if (is_constant_op(source.ops[i])) placed_[i] = false;
      if (!placed_[i]) continue;
      for_each_operand(source.ops[i], [&](ValueId id) {
        std::vector<size_t>& readers = readers_[at(id)];
        if (readers.empty() || readers.back() != i) readers.push_back(i);
      });
    }
  }

  const Function& function;

  // False for constants and for ops that no output depends on.
  bool placed(size_t op) const { return placed_[op]; }
  const std::vector<size_t>& readers(ValueId id) const { return readers_[at(id)]; }
  bool is_output(ValueId id) const { return is_output_[at(id)]; }
  // The placed op that computes a value, or nullopt for inputs and constants.
  std::optional<size_t> producer(ValueId id) const {
    const int32_t op = function.value(id).producer;
    if (op < 0 || !placed_[static_cast<size_t>(op)]) return std::nullopt;
    return static_cast<size_t>(op);
  }

private:
  std::vector<bool> placed_;
  std::vector<std::vector<size_t>> readers_;
  std::vector<bool> is_output_;
};

// Ops that may run on either side and cost little: the traffic between the sides decides. An op
// that cannot run on the engine stays on the host, one that multiplies matrices on the engine. A
// minimum cut finds the cheapest choice for all others; the engine wins a tie.
std::vector<Side> choose_sides(const Graph& graph, const std::vector<Side>& wanted) {
  const Function& function = graph.function;
  const size_t ops = function.ops.size();
  const size_t values = function.values.size();
  const size_t host = ops + 2 * values;
  const size_t engine = host + 1;
  FlowNetwork network(engine + 1);
  for (size_t i = 0; i < ops; ++i) {
    if (!graph.placed(i)) continue;
    if (wanted[i] == Side::host) {
      network.add_edge(host, i, FlowNetwork::unlimited);
    } else {
      const bool heavy = count_flops(function, function.ops[i]) > 0;
      network.add_edge(i, engine, heavy ? FlowNetwork::unlimited : 1);
    }
  }
  for (size_t v = 0; v < values; ++v) {
    const auto id = static_cast<ValueId>(v);
    const std::optional<size_t> producer = graph.producer(id);
    if (!producer || graph.readers(id).empty()) continue;
    // A value crosses once, however many ops read it there. Booleans do not cross: no port of an
    // engine holds them.
    const Type& type = function.type(id);
    const int64_t cost =
        type.dtype == DataType::boolean ? FlowNetwork::unlimited : type.bytes() + crossing_overhead;
    const size_t to_engine = ops + 2 * v;
    const size_t to_host = to_engine + 1;
    network.add_edge(*producer, to_engine, cost);
    network.add_edge(to_host, *producer, cost);
    for (size_t reader : graph.readers(id)) {
      network.add_edge(to_engine, reader, FlowNetwork::unlimited);
      network.add_edge(reader, to_host, FlowNetwork::unlimited);
    }
  }
  const std::vector<bool> on_engine = network.sink_side(host, engine);
  std::vector<Side> sides(ops, Side::host);
  for (size_t i = 0; i < ops; ++i) sides[i] = on_engine[i] ? Side::engine : Side::host;
  return sides;
}

// Gives every placed op a level; an op runs after the ops of lower levels and beside those of its
// own. Even levels are the host's, odd ones the engine's.
class Schedule {
public:
  Schedule(const Graph& graph, const std::vector<Side>& sides)
      : graph_(graph), sides_(sides), levels_(sides.size(), 0) {
    for (size_t i = 0; i < levels_.size(); ++i) {
      if (!graph.placed(i)) continue;
      levels_[i] = earliest(i);
      last_ = std::max(last_, levels_[i]);
    }
    delay_first_level();
    reduce_traffic();
  }

  int level(size_t op) const { return levels_[op]; }
  int last() const { return last_; }

private:
  int first_level(size_t op) const { return sides_[op] == Side::engine ? 1 : 0; }
  int step(size_t from, size_t to) const { return sides_[from] == sides_[to] ? 0 : 1; }

  int earliest(size_t op) const {
    int level = first_level(op);
    for_each_operand(graph_.function.ops[op], [&](ValueId id) {
      if (const auto producer = graph_.producer(id)) {
        level = std::max(level, levels_[*producer] + step(*producer, op));
      }
    });
    return level;
  }

  int latest(size_t op) const {
    int level = last_ - (last_ - first_level(op)) % 2;
    for (ValueId id : graph_.function.ops[op].outputs) {
      for (size_t reader : graph_.readers(id)) {
        level = std::min(level, levels_[reader] - step(op, reader));
      }
    }
    return level;
  }

  bool is_empty(int level) const {
    for (size_t i = 0; i < levels_.size(); ++i) {
      if (graph_.placed(i) && levels_[i] == level) return false;
    }
    return true;
  }

  bool reads_level(size_t op, int level) const {
    bool reads = false;
    for_each_operand(graph_.function.ops[op], [&](ValueId id) {
      const auto producer = graph_.producer(id);
      reads |= producer && levels_[*producer] == level;
    });
    return reads;
  }

  // What the host could do first, but the engine does not wait for, is done with the host's next
  // work. Every later level is read by the one behind it.
  void delay_first_level() {
    if (last_ < 2) return;
    for (size_t i = 0; i < levels_.size(); ++i) {
      if (graph_.placed(i) && levels_[i] == 1 && reads_level(i, 0)) return;
    }
    for (size_t i = 0; i < levels_.size(); ++i) {
      if (graph_.placed(i) && levels_[i] == 0) levels_[i] = 2;
    }
  }

  // What the segments write for others, and what these read.
  int64_t traffic_of(ValueId id) const {
    const std::optional<size_t> producer = graph_.producer(id);
    if (!producer) return 0;
    std::set<int> other_levels;
    for (size_t reader : graph_.readers(id)) {
      if (levels_[reader] != levels_[*producer]) other_levels.insert(levels_[reader]);
    }
    if (other_levels.empty()) return 0;
    const auto copies = static_cast<int64_t>(other_levels.size()) + (graph_.is_output(id) ? 0 : 1);
    return copies * (graph_.function.type(id).bytes() + crossing_overhead);
  }

  int64_t traffic_around(size_t op) const {
    int64_t sum = 0;
    for_each_operand(graph_.function.ops[op], [&](ValueId id) { sum += traffic_of(id); });
    for (ValueId id : graph_.function.ops[op].outputs) sum += traffic_of(id);
    return sum;
  }

  // Cheap ops move to the level where less has to be written and read again. Readers go first, so
  // that whole chains can follow.
  void reduce_traffic() {
    std::vector<bool> empty;
    for (int level = 0; level <= last_; ++level) empty.push_back(is_empty(level));
    for (size_t i = levels_.size(); i-- > 0;) {
      if (!graph_.placed(i) || count_flops(graph_.function, graph_.function.ops[i]) > 0) continue;
      int best = levels_[i];
      int64_t least = traffic_around(i);
      const int end = latest(i);
      for (int level = earliest(i); level <= end; level += 2) {
        if (empty[static_cast<size_t>(level)]) continue;
        levels_[i] = level;
        const int64_t traffic = traffic_around(i);
        if (traffic < least) {
          least = traffic;
          best = level;
        }
      }
      levels_[i] = best;
    }
  }

  const Graph& graph_;
  const std::vector<Side>& sides_;
  std::vector<int> levels_; // by op
  int last_ = 0;
};

// Cuts the function into the segments of a schedule.
class Cutter {
public:
  Cutter(const Graph& graph, const std::vector<Side>& sides, const Schedule& schedule)
      : graph_(graph), function_(graph.function), sides_(sides), schedule_(schedule) {}

  std::vector<Segment> run() {
    std::map<int, std::vector<size_t>> levels;
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      if (graph_.placed(i)) levels[schedule_.level(i)].push_back(i);
    }
    add_loose_outputs(levels);
    std::vector<Segment> segments;
    for (const auto& [level, ops] : levels) {
      Segment segment;
      segment.side = level % 2 == 0 ? Side::host : Side::engine;
      segment.function = cut(level, ops);
      segments.push_back(std::move(segment));
    }
    return segments;
  }

private:
  // Outputs that are inputs or constants: the last host segment returns them.
  void add_loose_outputs(std::map<int, std::vector<size_t>>& levels) {
    for (ValueId id : function_.outputs) {
      if (!graph_.producer(id)) loose_.push_back(id);
    }
    if (loose_.empty()) return;
    const auto last_host = std::find_if(levels.rbegin(), levels.rend(),
                                        [](const auto& entry) { return entry.first % 2 == 0; });
    loose_level_ =
        last_host != levels.rend() ? last_host->first : (levels.empty() ? 0 : schedule_.last() + 1);
    loose_level_ += loose_level_ % 2;
    levels.try_emplace(loose_level_);
  }

  // Booleans are computed again by whoever reads them, if one of the two is the engine.
  bool crosses(ValueId id, size_t producer, int level) const {
    if (function_.type(id).dtype != DataType::boolean) return true;
    return level % 2 == 0 && sides_[producer] == Side::host;
  }

  void find_inputs(const Operation& op, int level, std::set<ValueId>& inputs) const {
    for_each_operand(op, [&](ValueId id) {
      const std::optional<size_t> producer = graph_.producer(id);
      if (!producer) {
        if (function_.value(id).producer < 0) inputs.insert(id);
      } else if (schedule_.level(*producer) != level) {
        if (crosses(id, *producer, level)) {
          inputs.insert(id);
        } else {
          find_inputs(function_.ops[*producer], level, inputs);
        }
      }
    });
  }

  bool is_read_elsewhere(ValueId id, size_t producer) const {
    const std::vector<size_t>& readers = graph_.readers(id);
    return std::any_of(readers.begin(), readers.end(), [&](size_t reader) {
      const int level = schedule_.level(reader);
      return level != schedule_.level(producer) && crosses(id, producer, level);
    });
  }

  Function cut(int level, const std::vector<size_t>& ops) const {
    std::set<ValueId> read;
    std::set<ValueId> written;
    for (size_t i : ops) {
      find_inputs(function_.ops[i], level, read);
      for (ValueId id : function_.ops[i].outputs) {
        if (graph_.is_output(id) || is_read_elsewhere(id, i)) written.insert(id);
      }
    }
    if (!loose_.empty() && level == loose_level_) {
      for (ValueId id : loose_) {
        written.insert(id);
        if (function_.value(id).producer < 0) read.insert(id);
      }
    }
    Function segment =
        extract(function_, ports(function_.inputs, read), ports(function_.outputs, written));
    verify(segment);
    return segment;
  }

  // Those of the whole in their order, then the others in the order of the function.
  std::vector<NamedValue> ports(const std::vector<ValueId>& first, std::set<ValueId> ids) const {
    std::vector<NamedValue> named;
    const auto add = [&](ValueId id) { named.push_back({id, function_.value(id).name}); };
    for (ValueId id : first) {
      if (ids.erase(id) > 0) add(id);
    }
    std::for_each(ids.begin(), ids.end(), add);
    return named;
  }

  const Graph& graph_;
  const Function& function_;
  const std::vector<Side>& sides_;
  const Schedule& schedule_;
  std::vector<ValueId> loose_;
  int loose_level_ = 0;
};

// Moves the ops of engine segments that are not worth it to the host; false when there are none.
bool drop_small_segments(const Graph& graph, const Schedule& schedule, int64_t min_flops,
                         std::vector<Side>& wanted) {
  std::map<int, int64_t> flops;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (graph.placed(i) && schedule.level(i) % 2 == 1) {
      flops[schedule.level(i)] += count_flops(graph.function, graph.function.ops[i]);
    }
  }
  bool dropped = false;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!graph.placed(i) || schedule.level(i) % 2 == 0) continue;
    if (flops[schedule.level(i)] >= min_flops) continue;
    wanted[i] = Side::host;
    dropped = true;
  }
  return dropped;
}

} // namespace

std::vector<Segment> partition(const Function& function,
                               const std::function<Side(const Operation&)>& side_of,
                               const PartitionOptions& options) {
  const Graph graph(function);
  std::vector<Side> wanted(function.ops.size(), Side::host);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (graph.placed(i)) wanted[i] = side_of(function.ops[i]);
  }
  while (true) {
    const std::vector<Side> sides = choose_sides(graph, wanted);
    const Schedule schedule(graph, sides);
    if (!drop_small_segments(graph, schedule, options.min_engine_flops, wanted)) {
      return Cutter(graph, sides, schedule).run();
    }
  }
}

std::vector<bool> ops_only_for(const Function& function, const std::vector<std::string>& outputs) {
  std::vector<ValueId> these;
  for (const std::string& name : outputs) {
    these.push_back(function.output(name));
    if (these.back() == no_value) fail(Status::not_found, "expected an output named ", name);
  }
  std::vector<ValueId> others;
  for (ValueId id : function.outputs) {
    if (std::find(these.begin(), these.end(), id) == these.end()) others.push_back(id);
  }
  std::vector<bool> only = ops_needed_for(function, these);
  const std::vector<bool> shared = ops_needed_for(function, others);
  for (size_t i = 0; i < only.size(); ++i) only[i] = only[i] && !shared[i];
  return only;
}

int64_t count_flops(const Function& function, const Operation& op) {
  const std::string_view name = op.name();
  const auto shape = [&](std::string_view argument) -> const Shape& {
    return function.type(op.input(argument)).shape;
  };
  const auto results = [&] { return function.type(op.outputs.front()).elements(); };
  if (name == "matmul") {
    const Shape& x = shape("x");
    const Literal* transposed = function.constant(op, "transpose_x");
    const bool from_rows = x.size() > 1 && transposed != nullptr && transposed->boolean();
    return 2 * results() * (from_rows ? x[x.size() - 2] : x.back());
  }
  if (name == "linear") return 2 * results() * shape("x").back();
  if (name == "conv" || name == "conv_transpose") {
    // Each result of conv, each input of conv_transpose meets one weight of every tap and channel.
    const Shape& weight = shape("weight");
    const int64_t products = element_count(weight) / weight.front();
    return 2 * products * (name == "conv" ? results() : element_count(shape("x")));
  }
  if (name == "scaled_dot_product_attention") {
    const Shape& query = shape("query");
    const int64_t keys = shape("key")[query.size() - 2];
    return 2 * keys * (element_count(query) + results());
  }
  return 0;
}

int64_t count_flops(const Function& function) {
  int64_t sum = 0;
  for (const Operation& op : function.ops) sum += count_flops(function, op);
  return sum;
}

} // namespace anet::mil
