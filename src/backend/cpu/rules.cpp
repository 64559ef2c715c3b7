// Which rule lowers an op, and why an op has none.
#include "backend/cpu/lowering.h"

#include "base/status.h"

namespace anet::backend::cpu {

LoweringRule find_rule(std::string_view op) {
  for (const auto family : {elementwise_rule, shape_rule, matrix_rule, reduction_rule,
                            indexing_rule, quantization_rule}) {
    if (const LoweringRule rule = family(op)) return rule;
  }
  return nullptr;
}

namespace {

bool is_packed(DataType dtype) {
  return dtype != DataType::boolean && dtype != DataType::string && mil::data_type_bits(dtype) < 8;
}

std::string name_of(const mil::Function& function, const mil::Operation& op) {
  std::string name = op.name();
  if (!op.outputs.empty()) name += " '" + function.value(op.outputs.front()).name + "'";
  return name;
}

} // namespace

std::string why_unsupported(const mil::Function& function, const mil::Operation& op) {
  if (op.schema == mil::const_schema()) return {};
  if (find_rule(op.name()) == nullptr) {
    return concat(name_of(function, op), ": the cpu device has no kernel for it");
  }
  for (const mil::ValueId id : op.outputs) {
    const mil::Type& type = function.type(id);
    if (type.dtype == DataType::string || is_packed(type.dtype)) {
      return concat(name_of(function, op), ": the cpu device cannot compute ",
                    mil::type_to_string(type));
    }
    // Blockwise scales and tiles double the number of loops.
    if (type.shape.size() * 2 > max_loop_rank) {
      return concat(name_of(function, op), ": the cpu device runs tensors of up to ",
                    max_loop_rank / 2, " dimensions, got ", type.shape.size());
    }
  }
  return {};
}

} // namespace anet::backend::cpu
