// Finds groups of element-wise ops and reductions: edges of the graph are contracted as long as
// both ends share a space and no value would leave a group and come back; then readers of one
// tensor are brought together.
#include "backend/cpu/fused.h"
#include "backend/cpu/fusion.h"
#include "backend/cpu/pointwise_group.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <set>

namespace anet::backend::cpu {

namespace {

constexpr size_t max_ops = 48;

// `other` seen as a space within `space`, and what both make together.
std::optional<FusedSpace> absorbed(const FusedSpace& space, const FusedSpace& other) {
  const bool plain = !other.reduced_axis && other.parts == 1;
  if (plain && space.reduced_axis && other.shape == space.reduced()) return space;
  if (plain && space.parts > 1 && other.shape == space.whole()) return space;
  if (space.shape != other.shape) return std::nullopt;
  FusedSpace both = space;
  if (other.reduced_axis) {
    if (both.reduced_axis && both.reduced_axis != other.reduced_axis) return std::nullopt;
    both.reduced_axis = other.reduced_axis;
  }
  if (other.parts > 1) {
    const bool same = both.parts == other.parts && both.parts_axis == other.parts_axis;
    if (both.parts > 1 && !same) return std::nullopt;
    both.parts = other.parts;
    both.parts_axis = other.parts_axis;
  }
  if (both.reduced_axis && both.parts > 1) return std::nullopt;
  return both;
}

class Finder {
public:
  Finder(const mil::Function& function, const std::vector<bool>& taken)
      : function_(function), ops_(function.ops.size()), units_(function.ops.size()),
        unit_of_(function.ops.size()), readers_(function.ops.size()) {
    std::vector<bool> constant(function.ops.size(), true);
    for (size_t i = 0; i < function.ops.size(); ++i) {
      const mil::Operation& op = function.ops[i];
      unit_of_[i] = i;
      units_[i] = {i};
      for (const mil::Argument& argument : op.arguments)
        for (const mil::ValueId id : argument.values) {
          const int32_t producer = function.value(id).producer;
          if (producer >= 0) readers_[static_cast<size_t>(producer)].push_back(i);
          constant[i] = constant[i] && producer >= 0 && constant[static_cast<size_t>(producer)];
        }
      // What depends on constants alone is computed when the kernel is compiled.
      if (!taken[i] && !constant[i]) ops_[i] = fused_op(function, op);
    }
    spaces_.resize(function.ops.size());
    for (size_t i = 0; i < ops_.size(); ++i)
      if (ops_[i]) spaces_[i] = ops_[i]->space;
  }

  std::vector<Group> find() {
    // Reductions before ops that move parts: a space has one or the other.
    contract([](const FusedOp& from, const FusedOp& to) {
      return from.space.parts == 1 && to.space.parts == 1;
    });
    contract([](const FusedOp&, const FusedOp&) { return true; });
    join_readers();
    std::vector<Group> groups;
    for (size_t unit = 0; unit < units_.size(); ++unit)
      if (is_worthwhile(unit)) groups.push_back(group_of(unit));
    return groups;
  }

private:
  template <typename Filter>
  void contract(Filter&& filter) {
    for (size_t to = 0; to < ops_.size(); ++to) {
      if (!ops_[to]) continue;
      for (const mil::Argument& argument : function_.ops[to].arguments)
        for (const mil::ValueId id : argument.values) {
          const int32_t producer = function_.value(id).producer;
          if (producer < 0) continue;
          const auto from = static_cast<size_t>(producer);
          if (ops_[from] && filter(*ops_[from], *ops_[to])) merge(unit_of_[from], unit_of_[to]);
        }
    }
  }

  // Units over one space that read the same tensor of its size read it once.
  void join_readers() {
    std::map<mil::ValueId, size_t> first_reader;
    for (size_t op = 0; op < ops_.size(); ++op) {
      if (!ops_[op] || ops_[op]->kind != FusedOp::Kind::call) continue;
      for (const std::string_view name : data_arguments(op)) {
        const mil::ValueId id = function_.ops[op].input(name);
        if (function_.type(id).shape != ops_[op]->space.shape) continue;
        const size_t first = first_reader.try_emplace(id, op).first->second;
        if (spaces_[unit_of_[first]] == spaces_[unit_of_[op]]) merge(unit_of_[first], unit_of_[op]);
      }
    }
  }

  void merge(size_t a, size_t b) {
    if (a == b) return;
    auto space = absorbed(spaces_[a], spaces_[b]);
    if (!space) space = absorbed(spaces_[b], spaces_[a]);
    if (!space || !fits(*space, a, b) || waits_for_itself(a, b)) return;
    for (const size_t op : units_[b]) unit_of_[op] = a;
    units_[a].insert(units_[a].end(), units_[b].begin(), units_[b].end());
    std::sort(units_[a].begin(), units_[a].end());
    units_[b].clear();
    spaces_[a] = *space;
  }

  bool is_member(mil::ValueId id, size_t a, size_t b) const {
    const int32_t producer = function_.value(id).producer;
    if (producer < 0) return false;
    const size_t unit = unit_of_[static_cast<size_t>(producer)];
    return unit == a || unit == b;
  }

  // Whether a step can hold all operands and folds.
  bool fits(const FusedSpace& space, size_t a, size_t b) const {
    const auto parts = static_cast<size_t>(space.parts);
    std::set<mil::ValueId> operands;
    size_t ops = 0, folds = 0, constants = 0;
    for (const size_t unit : {a, b})
      for (const size_t op : units_[unit]) {
        ops += 1;
        if (ops_[op]->kind == FusedOp::Kind::reduce) ++folds;
        if (ops_[op]->kind == FusedOp::Kind::pad) ++constants;
        for (const std::string_view name : data_arguments(op))
          for (const mil::ValueId id : function_.ops[op].argument(name)->values)
            if (!is_member(id, a, b)) operands.insert(id);
        const mil::ValueId result = function_.ops[op].outputs.front();
        if (leaves(op, a, b)) operands.insert(result);
      }
    // One operand decides the order of the loops. A pad has parts - 1 times its constant.
    return ops * parts <= max_ops && folds <= max_fused_folds &&
           (operands.size() + constants) * parts + 1 <= max_fused_operands;
  }

  std::vector<std::string_view> data_arguments(size_t op) const {
    switch (ops_[op]->kind) {
    case FusedOp::Kind::call:
      return ops_[op]->call.inputs;
    case FusedOp::Kind::concat:
      return {"values"};
    default:
      return {"x"};
    }
  }

  bool leaves(size_t op, size_t a, size_t b) const {
    const mil::ValueId result = function_.ops[op].outputs.front();
    if (std::count(function_.outputs.begin(), function_.outputs.end(), result) != 0) return true;
    return std::any_of(readers_[op].begin(), readers_[op].end(), [&](size_t reader) {
      return unit_of_[reader] != a && unit_of_[reader] != b;
    });
  }

  // Whether a path leads from one of the units through others back to one of them.
  bool waits_for_itself(size_t a, size_t b) const {
    std::vector<bool> seen(units_.size(), false);
    std::vector<size_t> open;
    const auto visit = [&](size_t unit) {
      for (const size_t op : units_[unit])
        for (const size_t reader : readers_[op]) {
          const size_t next = unit_of_[reader];
          if (seen[next]) continue;
          seen[next] = true;
          open.push_back(next);
        }
    };
    seen[a] = seen[b] = true;
    visit(a);
    visit(b);
    seen[a] = seen[b] = false;
    while (!open.empty()) {
      const size_t unit = open.back();
      open.pop_back();
      if (unit == a || unit == b) return true;
      visit(unit);
    }
    return false;
  }

  // A slice alone is a view.
  bool is_worthwhile(size_t unit) const {
    return std::count_if(units_[unit].begin(), units_[unit].end(), [&](size_t op) {
             return ops_[op] && ops_[op]->kind != FusedOp::Kind::slice;
           }) >= 2;
  }

  Group group_of(size_t unit) const {
    Group group;
    std::vector<mil::ValueId> results;
    for (const size_t op : units_[unit]) {
      group.ops.push_back(static_cast<int32_t>(op));
      results.push_back(function_.ops[op].outputs.front());
    }
    const std::vector<mil::ValueId> left = leaving(function_, group);
    group.lower = [space = spaces_[unit], results, left](Lowering& l) {
      lower_pointwise_group(l, space, results, left);
    };
    return group;
  }

  const mil::Function& function_;
  std::vector<std::optional<FusedOp>> ops_;
  std::vector<std::vector<size_t>> units_; // ascending ops
  std::vector<size_t> unit_of_;            // by op
  std::vector<FusedSpace> spaces_;         // by unit
  std::vector<std::vector<size_t>> readers_;
};

} // namespace

std::vector<Group> find_pointwise_groups(const mil::Function& function,
                                         const std::vector<bool>& taken) {
  return Finder(function, taken).find();
}

} // namespace anet::backend::cpu
