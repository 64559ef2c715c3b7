#include "backend/cpu/group.h"

#include <algorithm>
#include <queue>

namespace anet::backend::cpu {

namespace {

constexpr int32_t no_group = -1;

std::vector<int32_t> groups_of_ops(const mil::Function& function,
                                   const std::vector<Group>& groups) {
  std::vector<int32_t> group_of(function.ops.size(), no_group);
  for (size_t g = 0; g < groups.size(); ++g)
    for (const int32_t op : groups[g].ops)
      group_of[static_cast<size_t>(op)] = static_cast<int32_t>(g);
  return group_of;
}

// Kahn's algorithm over units, which are groups and single ops; of those that are ready the one
// whose last op came first. A group waits for whatever any of its ops reads.
class Sorter {
public:
  Sorter(const mil::Function& function, const std::vector<Group>& groups)
      : function_(function), unit_of_(function.ops.size()) {
    const std::vector<int32_t> group_of = groups_of_ops(function, groups);
    for (const Group& group : groups) units_.push_back(group.ops);
    for (size_t op = 0; op < group_of.size(); ++op) {
      if (group_of[op] == no_group) units_.push_back({static_cast<int32_t>(op)});
      unit_of_[op] =
          group_of[op] == no_group ? units_.size() - 1 : static_cast<size_t>(group_of[op]);
    }
    connect();
  }

  // Op indices in the new order; those that wait for each other are missing.
  std::vector<int32_t> order() {
    const auto later = [&](size_t a, size_t b) { return units_[a].back() > units_[b].back(); };
    std::priority_queue<size_t, std::vector<size_t>, decltype(later)> ready(later);
    for (size_t unit = 0; unit < units_.size(); ++unit)
      if (waits_[unit] == 0) ready.push(unit);
    std::vector<int32_t> order;
    while (!ready.empty()) {
      const size_t unit = ready.top();
      ready.pop();
      order.insert(order.end(), units_[unit].begin(), units_[unit].end());
      for (const size_t reader : readers_[unit])
        if (--waits_[reader] == 0) ready.push(reader);
    }
    return order;
  }

private:
  void connect() {
    waits_.assign(units_.size(), 0);
    readers_.resize(units_.size());
    for (size_t op = 0; op < function_.ops.size(); ++op)
      for (const mil::Argument& argument : function_.ops[op].arguments)
        for (const mil::ValueId id : argument.values) connect(function_.value(id).producer, op);
  }

  void connect(int32_t producer, size_t reader) {
    if (producer < 0) return;
    const size_t from = unit_of_[static_cast<size_t>(producer)], to = unit_of_[reader];
    if (from == to) return;
    readers_[from].push_back(to);
    ++waits_[to];
  }

  const mil::Function& function_;
  std::vector<std::vector<int32_t>> units_;
  std::vector<size_t> unit_of_; // by op
  std::vector<size_t> waits_;   // by unit: reads of results that are not there yet
  std::vector<std::vector<size_t>> readers_;
};

mil::Function reordered(const mil::Function& function, const std::vector<int32_t>& order) {
  mil::Function result = function;
  for (size_t i = 0; i < order.size(); ++i) {
    result.ops[i] = function.ops[static_cast<size_t>(order[i])];
    for (const mil::ValueId id : result.ops[i].outputs)
      result.values[static_cast<size_t>(id)].producer = static_cast<int32_t>(i);
  }
  return result;
}

} // namespace

std::vector<mil::ValueId> leaving(const mil::Function& function, const Group& group) {
  const auto inside = [&](size_t op) {
    return std::binary_search(group.ops.begin(), group.ops.end(), static_cast<int32_t>(op));
  };
  std::vector<bool> read(function.values.size(), false);
  for (const mil::ValueId id : function.outputs) read[static_cast<size_t>(id)] = true;
  for (size_t op = 0; op < function.ops.size(); ++op) {
    if (inside(op)) continue;
    for (const mil::Argument& argument : function.ops[op].arguments)
      for (const mil::ValueId id : argument.values) read[static_cast<size_t>(id)] = true;
  }
  std::vector<mil::ValueId> result;
  for (const int32_t op : group.ops)
    for (const mil::ValueId id : function.ops[static_cast<size_t>(op)].outputs)
      if (read[static_cast<size_t>(id)]) result.push_back(id);
  return result;
}

// All together; when they do not fit, one after another, so that one costs no other.
Schedule schedule_groups(const mil::Function& function, std::vector<Group> groups) {
  std::vector<int32_t> order = Sorter(function, groups).order();
  if (order.size() < function.ops.size()) {
    std::vector<Group> all = std::move(groups);
    groups.clear();
    for (Group& group : all) {
      groups.push_back(std::move(group));
      if (Sorter(function, groups).order().size() < function.ops.size()) groups.pop_back();
    }
    order = Sorter(function, groups).order();
  }
  std::vector<int32_t> place(order.size());
  for (size_t i = 0; i < order.size(); ++i)
    place[static_cast<size_t>(order[i])] = static_cast<int32_t>(i);
  for (Group& group : groups) {
    for (int32_t& op : group.ops) op = place[static_cast<size_t>(op)];
    std::sort(group.ops.begin(), group.ops.end());
  }
  return {reordered(function, order), std::move(groups)};
}

} // namespace anet::backend::cpu
