// Rewrites a function op by op: ops are kept, changed or replaced by values that exist already.
// Internal to the passes and to differentiation.
#pragma once

#include "mil/op_table.h"
#include "mil/program.h"

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace anet::mil {

// A rewritten function, and what became of each value of the source (no_value when it is gone).
struct Rewritten {
  Function function;
  std::vector<ValueId> values;
  bool changed = false;
};

class Rewriter {
public:
  // Starts with the source's signature: every input, no op.
  explicit Rewriter(const Function& source);

  const Function& source() const { return source_; }
  const Function& result() const { return result_; }
  // The value of the result that stands for a value of the source.
  ValueId mapped(ValueId source_value) const { return values_[static_cast<size_t>(source_value)]; }
  // A copy whose arguments are values of the result; its outputs are still the source's.
  Operation with_mapped_arguments(const Operation& source_op) const;
  // Appends an op from with_mapped_arguments. Its outputs get the names and types they had.
  void keep(Operation op);
  // From here on `result_value` stands for `source_value`, which is not computed.
  void replace(ValueId source_value, ValueId result_value);
  void drop() { changed_ = true; } // an op of the source was left out
  void mark_changed() { changed_ = true; }
  // A new constant.
  ValueId constant(Literal literal);
  // A new op with one output, inferred here.
  ValueId add(std::string_view op, std::vector<Argument> arguments);

  // Gives every output its name back: a port is one name of one op's result.
  Rewritten finish() &&;

private:
  ValueId add_value(std::string name, Type type, int32_t producer);
  std::string unique_name(const std::string& base);
  void set_name(ValueId id, const std::string& name);
  void finish_output(ValueId source_output);

  const Function& source_;
  Function result_;
  std::vector<ValueId> values_;
  std::unordered_map<std::string, int64_t> names_; // taken, with the next suffix to try
  bool changed_ = false;
};

// The op that computes a value, or nullptr for an input.
const Operation* producer_of(const Function& function, ValueId id);
bool is_output(const Function& function, ValueId id);
// Swaps the first two axes of what it reads.
bool is_matrix_transpose(const Function& function, const Operation& op);
// The number that every element of a small constant is, or nullopt.
std::optional<double> uniform_constant(const Function& function, ValueId id);

// The passes with the fate of each value.
Rewritten rewrite_dead_code(const Function& function);
Rewritten rewrite_common_subexpressions(const Function& function);
Rewritten rewrite_constants(const Function& function, int64_t limit);
Rewritten rewrite_simplified(const Function& function);
Rewritten rewrite_optimized(const Function& function);

} // namespace anet::mil
