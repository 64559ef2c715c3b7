#include "mil/passes.h"
#include "mil/passes/extract.h"
#include "mil/passes/rewriter.h"
#include "mil/verify.h"

#include <algorithm>
#include <numeric>
#include <string_view>
#include <vector>

namespace anet::mil {

namespace {

// Swaps the first two axes of `input`.
bool is_matrix_transpose(const Function& function, const Operation& op, ValueId input) {
  if (std::string_view(op.name()) != "transpose" || op.input("x") != input) return false;
  std::vector<int64_t> swapped(function.type(input).shape.size());
  if (swapped.size() < 2) return false;
  std::iota(swapped.begin(), swapped.end(), int64_t{0});
  std::swap(swapped[0], swapped[1]);
  std::vector<int64_t> perm = function.constant(op, "perm")->integers();
  for (int64_t& axis : perm) axis += axis < 0 ? std::ssize(perm) : 0;
  return perm == swapped;
}

bool reads(const Operation& op, ValueId value) {
  return std::any_of(op.arguments.begin(), op.arguments.end(), [&](const Argument& argument) {
    return std::find(argument.values.begin(), argument.values.end(), value) !=
           argument.values.end();
  });
}

} // namespace

Function transposed_inputs(const Function& function, std::span<const std::string> names,
                           const std::string& suffix) {
  std::vector<NamedValue> inputs, outputs;
  const Function source = eliminate_common_subexpressions(function);
  for (const ValueId id : source.inputs) {
    const std::string& name = source.value(id).name;
    const bool named = std::find(names.begin(), names.end(), name) != names.end();
    ValueId transposed = no_value;
    bool read = is_output(source, id);
    for (const Operation& op : source.ops) {
      if (named && transposed == no_value && is_matrix_transpose(source, op, id))
        transposed = op.outputs.front();
      else
        read = read || reads(op, id);
    }
    if (read || transposed == no_value) inputs.push_back({id, name});
    if (transposed != no_value) inputs.push_back({transposed, name + suffix});
  }
  for (const ValueId id : source.outputs) outputs.push_back({id, source.value(id).name});
  Function result = extract(source, inputs, outputs);
  verify(result);
  return result;
}

} // namespace anet::mil
