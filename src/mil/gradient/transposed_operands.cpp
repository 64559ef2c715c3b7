#include "mil/gradient/transposed_operands.h"

#include "mil/op_table.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

namespace anet::mil::gradient {

namespace {

bool is_matrix(const Shape& shape) {
  return shape.size() > 1 && element_count(shape) == shape[shape.size() - 2] * shape.back();
}

class TransposeWriter {
public:
  TransposeWriter(const Function& joint, const std::vector<ValueId>& seeds,
                  const TransposedOperands& which)
      : joint_(joint), which_(which), needs_seed_(joint.values.size(), false), rewriter_(joint) {
    for (ValueId seed : seeds) needs_seed_[static_cast<size_t>(seed)] = true;
    for (const Operation& op : joint.ops) {
      bool needs = false;
      for (const Argument& argument : op.arguments)
        for (ValueId id : argument.values) needs |= needs_seed_[static_cast<size_t>(id)];
      for (ValueId id : op.outputs) needs_seed_[static_cast<size_t>(id)] = needs;
    }
  }

  Rewritten run() && {
    for (const Operation& source : joint_.ops) {
      Operation op = rewriter_.with_mapped_arguments(source);
      if (const auto operand = transposed_operand(source)) {
        const auto& [name, flag] = *operand;
        set(op, name, transpose_of(source.input(name)));
        set(op, flag, rewriter_.constant(Literal::boolean(false)));
      }
      rewriter_.keep(std::move(op));
    }
    return std::move(rewriter_).finish();
  }

private:
  using Operand = std::pair<const char*, const char*>; // and its flag

  std::optional<Operand> transposed_operand(const Operation& op) const {
    if (std::string_view(op.name()) != "matmul" || !has_extents(op)) return std::nullopt;
    constexpr std::array<Operand, 2> operands = {Operand{"x", "transpose_x"},
                                                 Operand{"y", "transpose_y"}};
    for (size_t i = 0; i < operands.size(); ++i) {
      const auto& [name, flag] = operands[i];
      const bool gradient = needs_seed_[static_cast<size_t>(op.input(operands[1 - i].first))];
      if (gradient && is_transposed(op, flag) && is_given(op.input(name))) return operands[i];
    }
    return std::nullopt;
  }

  bool is_transposed(const Operation& op, const char* flag) const {
    const Literal* literal = joint_.constant(op, flag);
    return op.argument(flag) != nullptr && literal != nullptr && literal->boolean();
  }

  // Computed without a seed. Who wants inputs or constants transposed can give them so.
  bool is_given(ValueId id) const {
    const Operation* producer = producer_of(joint_, id);
    return producer != nullptr && producer->schema != const_schema() &&
           !needs_seed_[static_cast<size_t>(id)];
  }

  bool has_extents(const Operation& op) const {
    const Shape& x = joint_.type(op.input("x")).shape;
    const Shape& y = joint_.type(op.input("y")).shape;
    const Shape& result = joint_.type(op.outputs.front()).shape;
    if (!is_matrix(x) || !is_matrix(y) || !is_matrix(result)) return false;
    const int64_t contracted = x[x.size() - (is_transposed(op, "transpose_x") ? 2 : 1)];
    const auto [less, more] = std::minmax(result[result.size() - 2], result.back());
    return less >= which_.least && std::max(more, contracted) <= which_.most;
  }

  static void set(Operation& op, std::string_view argument, ValueId value) {
    for (Argument& candidate : op.arguments)
      if (candidate.name == argument) candidate.values = {value};
  }

  ValueId transpose_of(ValueId matrix) {
    const auto [known, is_first] = transposes_.try_emplace(matrix, no_value);
    if (is_first) {
      std::vector<int64_t> perm(joint_.type(matrix).shape.size());
      std::iota(perm.begin(), perm.end(), int64_t{0});
      std::swap(perm[perm.size() - 2], perm.back());
      const ValueId order = rewriter_.constant(Literal::int32s(perm));
      known->second = rewriter_.add(
          "transpose", {{"x", {rewriter_.mapped(matrix)}, false}, {"perm", {order}, false}});
    }
    return known->second;
  }

  const Function& joint_;
  const TransposedOperands& which_;
  std::vector<bool> needs_seed_; // by value
  Rewriter rewriter_;
  std::map<ValueId, ValueId> transposes_; // by value of the source
};

} // namespace

Rewritten rewrite_transposed_operands(const Function& joint, const std::vector<ValueId>& seeds,
                                      const TransposedOperands& which) {
  return TransposeWriter(joint, seeds, which).run();
}

} // namespace anet::mil::gradient
