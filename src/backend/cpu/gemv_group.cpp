// Finds products of several matrices with the same few vectors, such as the projections of a new
// token: the threads share them out as one.
#include "backend/cpu/fusion.h"
#include "backend/cpu/lowering.h"

#include <map>

namespace anet::backend::cpu {

std::vector<Group> find_gemv_groups(const mil::Function& function, const std::vector<bool>& taken) {
  std::map<mil::ValueId, Group> by_vectors;
  for (size_t i = 0; i < function.ops.size(); ++i) {
    const mil::Operation& op = function.ops[i];
    if (taken[i] || !is_plain_product(function, op)) continue;
    const Shape& shape = function.type(op.outputs.front()).shape;
    const int64_t columns = mil::element_count(shape) / shape[1];
    if (columns <= max_gemv_columns)
      by_vectors[op.input("x")].ops.push_back(static_cast<int32_t>(i));
  }
  std::vector<Group> groups;
  for (auto& [vectors, group] : by_vectors) {
    if (group.ops.size() < 2) continue;
    std::vector<mil::ValueId> products;
    for (const int32_t op : group.ops)
      products.push_back(function.ops[static_cast<size_t>(op)].outputs.front());
    group.lower = [products](Lowering& l) { lower_products(l, products); };
    groups.push_back(std::move(group));
  }
  return groups;
}

} // namespace anet::backend::cpu
