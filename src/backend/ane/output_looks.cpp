#include "backend/ane/output_looks.h"

#include "mil/passes/rewriter.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

namespace anet::backend::ane {

namespace {

using mil::ValueId;

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_bounded(const mil::Operation* op) {
  return op != nullptr && is_one_of(op->name(), {"softmax", "sigmoid", "tanh", "sin", "cos"});
}

bool is_move(std::string_view op) {
  return is_one_of(op, {"reshape", "transpose", "expand_dims", "squeeze"});
}

// What a value has all elements of.
ValueId unmoved(const mil::Function& function, ValueId value) {
  const mil::Operation* op = mil::producer_of(function, value);
  while (op != nullptr && is_move(op->name())) {
    value = op->input("x");
    op = mil::producer_of(function, value);
  }
  return value;
}

// A product with a weight that reads every position once.
bool is_whole_product(const mil::Function& function, const mil::Operation& op) {
  if (!is_one_of(op.name(), {"conv", "linear"})) return false;
  const mil::Shape& weight = function.type(op.input("weight")).shape;
  const mil::Shape& x = function.type(op.input("x")).shape;
  const mil::Shape& result = function.type(op.outputs.front()).shape;
  const size_t channels = op.name() == std::string_view("conv") ? 1 : x.size() - 1;
  return mil::element_count(weight) == weight[0] * weight[1] &&
         mil::element_count(x) / x[channels] == mil::element_count(result) / result[channels];
}

// By value: what an infinity in `root` comes out of, but for what only moves it.
std::vector<bool> outlets_of(const mil::Function& function, ValueId root) {
  std::vector<bool> carries(function.values.size(), false), moves = carries;
  const auto at = [](std::vector<bool>& values, ValueId id) {
    return values[static_cast<size_t>(id)];
  };
  at(carries, root) = at(moves, root) = true;
  for (const mil::Operation& op : function.ops) {
    int64_t count = 0;
    for (const mil::Argument& argument : op.arguments)
      count += std::count_if(argument.values.begin(), argument.values.end(),
                             [&](ValueId id) { return at(carries, id); });
    const std::string_view name = op.name();
    const bool is_product = is_whole_product(function, op) && at(carries, op.input("x"));
    const bool goes_on = is_move(name) || is_product || is_one_of(name, {"add", "sub"});
    if (count != 1 || !goes_on) continue;
    at(carries, op.outputs.front()) = true;
    at(moves, op.outputs.front()) = is_move(name) && at(moves, op.input("x"));
  }
  for (size_t i = 0; i < carries.size(); ++i) carries[i] = carries[i] && !moves[i];
  return carries;
}

} // namespace

std::vector<bool> outputs_to_look_at(const mil::Function& function) {
  std::vector<bool> result;
  std::vector<ValueId> roots;
  for (ValueId output : function.outputs) {
    const ValueId root = unmoved(function, output);
    const std::vector<bool> outlets = outlets_of(function, root);
    const bool comes_out =
        std::find(roots.begin(), roots.end(), root) != roots.end() ||
        std::any_of(function.outputs.begin(), function.outputs.end(),
                    [&](ValueId other) { return outlets[static_cast<size_t>(other)]; });
    result.push_back(!comes_out && !is_bounded(mil::producer_of(function, root)));
    roots.push_back(root);
  }
  return result;
}

} // namespace anet::backend::ane
