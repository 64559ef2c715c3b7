// A function as those see it who look for groups: who makes a value and who reads it.
#pragma once

#include "mil/program.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace anet::backend::cpu {

inline constexpr int32_t no_op = -1;

class OpGraph {
public:
  explicit OpGraph(const mil::Function& function) : f_(function), readers_(function.values.size()) {
    for (size_t op = 0; op < f_.ops.size(); ++op)
      for (const mil::Argument& argument : f_.ops[op].arguments)
        for (const mil::ValueId id : argument.values)
          readers_[static_cast<size_t>(id)].push_back(static_cast<int32_t>(op));
  }

  const mil::Function& function() const { return f_; }
  const mil::Operation& op(int32_t index) const { return f_.ops[static_cast<size_t>(index)]; }
  mil::ValueId result(int32_t index) const { return op(index).outputs.front(); }
  const std::vector<int32_t>& readers(mil::ValueId id) const {
    return readers_[static_cast<size_t>(id)];
  }
  // The op of that name that makes the value, or no_op.
  int32_t producer(mil::ValueId id, std::string_view name) const {
    const int32_t index = id == mil::no_value ? no_op : f_.value(id).producer;
    return index >= 0 && std::string_view(op(index).name()) == name ? index : no_op;
  }
  // The first op of that name that reads the value, or no_op.
  int32_t reader(mil::ValueId id, std::string_view name) const {
    for (const int32_t index : readers(id))
      if (std::string_view(op(index).name()) == name) return index;
    return no_op;
  }

private:
  const mil::Function& f_;
  std::vector<std::vector<int32_t>> readers_;
};

} // namespace anet::backend::cpu
