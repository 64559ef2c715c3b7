#include "mil/passes.h"
#include "mil/passes/extract.h"
#include "mil/passes/rewriter.h"
#include "mil/verify.h"

#include <algorithm>
#include <vector>

namespace anet::mil {

namespace {

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
      if (named && transposed == no_value && reads(op, id) && is_matrix_transpose(source, op))
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
