// Finds sums of products, such as what an adapter adds to a product with a frozen weight, or the
// gradient of what several projections read: they are added up in one memory, in fp32.
#include "backend/cpu/fusion.h"
#include "backend/cpu/lowering.h"
#include "backend/cpu/op_graph.h"

#include <algorithm>
#include <string_view>

namespace anet::backend::cpu {

namespace {

using mil::ValueId;

class Finder {
public:
  Finder(const mil::Function& function, const std::vector<bool>& taken)
      : graph_(function), taken_(taken) {}

  // From the last op up, so that a sum is found before its parts.
  std::vector<Group> find() {
    std::vector<Group> groups;
    for (auto op = std::ssize(taken_) - 1; op >= 0; --op) {
      if (taken_[static_cast<size_t>(op)]) continue;
      products_.clear();
      adds_.clear();
      if (is_sum(static_cast<int32_t>(op))) groups.push_back(group());
    }
    return groups;
  }

private:
  const mil::Function& function() const { return graph_.function(); }

  // An add of products and of such sums; notes all of them.
  bool is_sum(int32_t index) {
    const mil::Operation& op = graph_.op(index);
    if (std::string_view(op.name()) != "add") return false;
    adds_.push_back(index);
    return is_term(op.input("x"), index) && is_term(op.input("y"), index);
  }

  bool is_term(ValueId id, int32_t add) {
    const int32_t index = function().value(id).producer;
    const bool alone =
        graph_.readers(id).size() == 1 && std::ranges::count(function().outputs, id) == 0;
    if (index < 0 || taken_[static_cast<size_t>(index)] || !alone ||
        function().type(id) != function().type(graph_.result(add)))
      return false;
    if (!is_plain_product(function(), graph_.op(index))) return is_sum(index);
    products_.push_back(index);
    return true;
  }

  Group group() {
    std::vector<const mil::Operation*> products;
    std::sort(products_.begin(), products_.end());
    Group group{products_, {}};
    group.ops.insert(group.ops.end(), adds_.begin(), adds_.end());
    std::sort(group.ops.begin(), group.ops.end());
    for (const int32_t op : group.ops) taken_[static_cast<size_t>(op)] = true;
    std::vector<ValueId> terms;
    for (const int32_t product : products_) terms.push_back(graph_.result(product));
    group.lower = [terms, sum = graph_.result(adds_.front())](Lowering& l) {
      lower_product_sum(l, terms, sum);
    };
    return group;
  }

  OpGraph graph_;
  std::vector<bool> taken_;
  std::vector<int32_t> products_, adds_;
};

} // namespace

std::vector<Group> find_product_sum_groups(const mil::Function& function,
                                           const std::vector<bool>& taken) {
  return Finder(function, taken).find();
}

} // namespace anet::backend::cpu
