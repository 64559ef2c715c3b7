// Finds what mil::differentiate makes of scaled_dot_product_attention
// (src/mil/gradient/matrix.cpp).
#include "backend/cpu/attention_gradient.h"
#include "backend/cpu/fusion.h"
#include "backend/cpu/lower_attention.h"
#include "backend/cpu/matmul_geometry.h"
#include "backend/cpu/op_graph.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace anet::backend::cpu {

namespace {

using mil::no_value;
using mil::ValueId;

// Names of the rule. The optimiser turns a transpose of an operand into a flag of its products, so
// that k, v and dy may be known by what they are transposes of.
struct Pattern {
  ValueId q = no_value, k = no_value, v = no_value, mask = no_value, dy = no_value;
  ValueId dq = no_value, dk = no_value, dv = no_value;
  bool k_swapped = false, v_swapped = false, dy_swapped = false;
  bool dq_swapped = false, dk_swapped = false, dv_swapped = false; // what reads them swaps them
  double scale = 1;
};

Operand swapped_if(const Operand& x, bool swapped) { return swapped ? swap_last_two(x) : x; }

// What has the shape, the columns of its matrices side by side.
Operand column_major(const Shape& shape) {
  Operand x;
  x.shape = shape;
  std::swap(x.shape[shape.size() - 1], x.shape[shape.size() - 2]);
  x.strides.assign(shape.size(), 1);
  for (size_t d = shape.size(); --d > 0;) x.strides[d - 1] = x.strides[d] * x.shape[d];
  return swap_last_two(x);
}

class Matcher : OpGraph {
public:
  Matcher(const mil::Function& function, const std::vector<bool>& taken)
      : OpGraph(function), taken_(taken) {}

  // The group around a softmax, or nothing.
  std::optional<Group> match(int32_t softmax) {
    ops_ = {softmax};
    Pattern p;
    const ValueId probabilities = result(softmax);
    if (!is_last_axis(op(softmax), "axis") || !match_scores(softmax, p) ||
        !match_gradients(probabilities, p))
      return std::nullopt;
    p.dq_swapped = is_read_swapped(p.dq);
    p.dk_swapped = is_read_swapped(p.dk);
    p.dv_swapped = is_read_swapped(p.dv);
    std::sort(ops_.begin(), ops_.end());
    const bool free = std::none_of(ops_.begin(), ops_.end(),
                                   [&](int32_t i) { return taken_[static_cast<size_t>(i)]; });
    Group group{ops_, [p](Lowering& l) { lower(l, p); }};
    std::vector<ValueId> results = leaving(function(), group), expected = {p.dq, p.dk, p.dv};
    std::sort(results.begin(), results.end());
    std::sort(expected.begin(), expected.end());
    if (!free || results != expected) return std::nullopt;
    return group;
  }

private:
  int32_t take(int32_t index) {
    if (index != no_op) ops_.push_back(index);
    return index;
  }
  bool flag(const mil::Operation& matmul, std::string_view name) const {
    const mil::Literal* literal = function().constant(matmul, name);
    return literal != nullptr && literal->boolean();
  }
  bool is_matmul(int32_t index, bool transpose_x, bool transpose_y) const {
    return index != no_op && std::string_view(op(index).name()) == "matmul" &&
           flag(op(index), "transpose_x") == transpose_x &&
           flag(op(index), "transpose_y") == transpose_y;
  }
  bool is_last_axis(const mil::Operation& operation, std::string_view argument) const {
    const mil::Literal* axis = function().constant(operation, argument);
    const auto rank = std::ssize(function().type(operation.input("x")).shape);
    return axis != nullptr && axis->integers().size() == 1 &&
           (axis->integers()[0] == -1 || axis->integers()[0] == rank - 1);
  }
  // By nothing but transposes of the last two dimensions.
  bool is_read_swapped(ValueId id) const {
    return !readers(id).empty() &&
           std::all_of(readers(id).begin(), readers(id).end(), [&](int32_t index) {
             if (std::string_view(op(index).name()) != "transpose") return false;
             std::vector<int64_t> perm = literal_argument(function(), op(index), "perm").integers();
             if (perm.size() < 2) return false;
             std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
             return std::is_sorted(perm.begin(), perm.end());
           });
  }
  // x of x * constant.
  ValueId factor(int32_t mul, double& constant) const {
    for (const auto& [x, y] : {std::pair("x", "y"), std::pair("y", "x")}) {
      const ValueId other = op(mul).input(y);
      const mil::Literal* literal = function().constant(other);
      if (literal == nullptr || mil::element_count(literal->type.shape) != 1) continue;
      constant = literal->number();
      return op(mul).input(x);
    }
    return no_value;
  }

  // softmax(matmul(q * scale, k^T) + mask)
  bool match_scores(int32_t softmax, Pattern& p) {
    ValueId scores = op(softmax).input("x");
    if (const int32_t add = producer(scores, "add"); add != no_op) {
      take(add);
      const bool first = producer(op(add).input("x"), "matmul") != no_op;
      scores = op(add).input(first ? "x" : "y");
      p.mask = op(add).input(first ? "y" : "x");
    }
    const int32_t product = take(producer(scores, "matmul"));
    if (product == no_op || flag(op(product), "transpose_x")) return false;
    p.k = op(product).input("y");
    p.k_swapped = !flag(op(product), "transpose_y");
    scaled_ = op(product).input("x");
    const int32_t mul = take(producer(scaled_, "mul"));
    if (mul == no_op) return false;
    p.q = factor(mul, p.scale);
    return p.q != no_value;
  }

  bool match_gradients(ValueId probabilities, Pattern& p) {
    const int32_t dv = take(reader(probabilities, "matmul"));
    if (dv == no_op || !flag(op(dv), "transpose_x") || op(dv).input("x") != probabilities)
      return false;
    p.dv = result(dv);
    p.dy = op(dv).input("y");
    p.dy_swapped = flag(op(dv), "transpose_y");
    for (const int32_t index : readers(probabilities)) {
      if (std::string_view(op(index).name()) != "mul") continue;
      const ValueId x = op(index).input("x");
      const ValueId other = x == probabilities ? op(index).input("y") : x;
      if (const int32_t sub = producer(other, "sub"); sub != no_op)
        return match_difference(probabilities, take(index), take(sub), p);
    }
    return false;
  }

  // ds = p * (dp - sum(dp * p)), dq = scale * ds k, dk = ds^T (q * scale)
  bool match_difference(ValueId probabilities, int32_t ds, int32_t sub, Pattern& p) {
    const ValueId dp = op(sub).input("x");
    const int32_t product = take(producer(dp, "matmul"));
    const int32_t sum = take(producer(op(sub).input("y"), "reduce_sum"));
    if (product == no_op || op(product).input("x") != p.dy ||
        flag(op(product), "transpose_x") != p.dy_swapped || sum == no_op ||
        !is_last_axis(op(sum), "axes"))
      return false;
    p.v = op(product).input("y");
    p.v_swapped = !flag(op(product), "transpose_y");
    const int32_t weighted = take(producer(op(sum).input("x"), "mul"));
    if (weighted == no_op) return false;
    const ValueId x = op(weighted).input("x"), y = op(weighted).input("y");
    if (!(x == dp && y == probabilities) && !(y == dp && x == probabilities)) return false;
    for (const int32_t index : readers(result(ds))) {
      if (op(index).input("x") != result(ds)) return false;
      if (is_matmul(index, false, p.k_swapped) && op(index).input("y") == p.k) {
        const int32_t mul = reader(result(take(index)), "mul");
        double scale = 0;
        if (mul == no_op || factor(take(mul), scale) != result(index) || scale != p.scale)
          return false;
        p.dq = result(mul);
      } else if (is_matmul(index, true, false) && op(index).input("y") == scaled_) {
        p.dk = result(take(index));
      }
    }
    return p.dq != no_value && p.dk != no_value;
  }

  static void lower(Lowering& l, const Pattern& p) {
    const Operand given = l.operand_of(p.q);
    const Operand d_output = swapped_if(l.operand_of(p.dy), p.dy_swapped);
    AttentionSource source{swapped_if(l.operand_of(p.k), p.k_swapped),
                           swapped_if(l.operand_of(p.v), p.v_swapped), std::nullopt};
    if (p.mask != no_value) source.mask = l.operand_of(p.mask);
    const DataType type = attention_type({&given, &source.key, &source.value, &d_output});
    const Operand query = attention_matrix(l, given, type);
    const AttentionKeys keys = attention_keys(l, query, source);
    const auto place = [&](ValueId id, bool swapped, const Operand& operand) {
      const Operand like = swapped ? column_major(operand.shape) : operand;
      const Operand result = l.result_of(id, &like);
      const bool direct = result.dtype == DataType::fp32 && is_matrix(result);
      return std::pair(result,
                       direct ? result : l.temporary(DataType::fp32, result.shape, &result));
    };
    const std::array results = {place(p.dq, p.dq_swapped, query),
                                place(p.dk, p.dk_swapped, keys.key),
                                place(p.dv, p.dv_swapped, keys.value)};
    const AttentionGradients gradients{attention_matrix(l, d_output, type), results[0].second,
                                       results[1].second, results[2].second};
    const Operand scratch = l.thread_scratch(attention_gradient_scratch(query, keys));
    std::vector<int32_t> touched = {query.storage,           keys.key.storage,
                                    keys.value.storage,      gradients.output.storage,
                                    gradients.query.storage, gradients.key.storage,
                                    gradients.value.storage, scratch.storage};
    if (keys.mask)
      touched.insert(touched.end(), {keys.mask->added.storage, keys.mask->visible.storage});
    const int64_t pairs =
        query.elements() / query.shape.back() * keys.key.shape[keys.key.shape.size() - 2];
    l.count_flops(2 * pairs * (3 * query.shape.back() + 2 * keys.value.shape.back()));
    l.emit(
        make_attention_gradient_step(query, keys, static_cast<float>(p.scale), gradients, scratch),
        std::move(touched));
    for (const auto& [result, product] : results)
      if (product.storage != result.storage) l.cast(product, result);
  }

  const std::vector<bool>& taken_;
  std::vector<int32_t> ops_;
  ValueId scaled_ = no_value;
};

} // namespace

// fp16 programs round after each op, as the ANE does.
std::vector<Group> find_attention_groups(const mil::Function& function,
                                         const std::vector<bool>& taken) {
  std::vector<Group> groups;
  Matcher matcher(function, taken);
  for (size_t i = 0; i < function.ops.size(); ++i) {
    const mil::Operation& op = function.ops[i];
    if (std::string_view(op.name()) != "softmax" ||
        function.type(op.outputs.front()).dtype == DataType::fp16)
      continue;
    if (auto group = matcher.match(static_cast<int32_t>(i))) groups.push_back(*std::move(group));
  }
  return groups;
}

} // namespace anet::backend::cpu
