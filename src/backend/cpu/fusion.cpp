// Which ops of a function are computed together.
#include "backend/cpu/fusion.h"

#include "backend/cpu/group.h"

namespace anet::backend::cpu {

namespace {

// From the most special to the most general: an op belongs to the first that takes it.
const std::vector<GroupFinder>& finders() {
  static const std::vector<GroupFinder> all = {
      find_attention_groups,     find_cached_attention_groups,
      find_cross_entropy_groups, find_product_sum_groups,
      find_gemv_groups,          find_pointwise_groups};
  return all;
}

} // namespace

std::vector<Group> find_groups(const mil::Function& function) {
  std::vector<Group> groups;
  std::vector<bool> taken(function.ops.size(), false);
  for (const GroupFinder find : finders()) {
    for (Group& group : find(function, taken)) {
      for (const int32_t op : group.ops) taken[static_cast<size_t>(op)] = true;
      groups.push_back(std::move(group));
    }
  }
  return groups;
}

} // namespace anet::backend::cpu
