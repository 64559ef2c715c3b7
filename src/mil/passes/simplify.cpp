// Algebraic rewrites: each rule looks at one op and the ops right behind it.
#include "mil/passes/rewriter.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace anet::mil {

namespace {

// One op under rewriting: its arguments are values of the rewriter's result.
class Site {
public:
  Site(Rewriter& rewriter, Operation& op) : rewriter_(rewriter), op_(op) {}

  std::string_view name() const { return op_.name(); }
  Operation& op() { return op_; }
  const Function& function() const { return rewriter_.result(); }
  ValueId input(std::string_view argument) const { return op_.input(argument); }
  const Type& input_type(std::string_view argument) const {
    return function().type(input(argument));
  }
  const Type& output_type() const { return rewriter_.source().type(op_.outputs.front()); }
  std::vector<int64_t> integers(const Operation& op, std::string_view argument) const {
    const Literal* literal = function().constant(op, argument);
    return literal == nullptr ? std::vector<int64_t>{} : literal->integers();
  }
  // The op behind an argument when it is of this kind, else nullptr.
  const Operation* behind(std::string_view argument, std::string_view op_name) const {
    const ValueId id = input(argument);
    const Operation* op = id == no_value ? nullptr : producer_of(function(), id);
    return op != nullptr && op_name == op->name() ? op : nullptr;
  }
  void set(std::string_view argument, ValueId value) {
    for (Argument& entry : op_.arguments) {
      if (entry.name == argument) entry.values = {value};
    }
    rewriter_.mark_changed();
  }
  void set(std::string_view argument, Literal literal) {
    set(argument, rewriter_.constant(std::move(literal)));
  }
  Rewriter& rewriter() { return rewriter_; }

private:
  Rewriter& rewriter_;
  Operation& op_;
};

// A rule returns the value that stands for the op's result, or nothing; it may change the op.
using Result = std::optional<ValueId>;

Result when_same_type(Site& site, ValueId value) {
  if (value == no_value || site.function().type(value) != site.output_type()) return {};
  return value;
}

Result remove_identity(Site& site) {
  if (site.name() != "identity") return {};
  return when_same_type(site, site.input("x"));
}

// A widening conversion loses nothing, so that going back is the identity.
bool widens(DataType from, DataType to) {
  return (from == DataType::fp16 || from == DataType::bf16) && to == DataType::fp32;
}

Result remove_cast(Site& site) {
  if (site.name() != "cast") return {};
  if (Result same = when_same_type(site, site.input("x"))) return same;
  const Operation* inner = site.behind("x", "cast");
  if (inner == nullptr) return {};
  const ValueId source = inner->input("x");
  if (!widens(site.function().type(source).dtype, site.input_type("x").dtype)) return {};
  return when_same_type(site, source);
}

// x + 0, x - 0, x * 1, x / 1, x ^ 1, and 0 + x and 1 * x.
Result remove_neutral_operand(Site& site) {
  struct Neutral {
    std::string_view op;
    double value;
    bool commutes;
  };
  constexpr std::array<Neutral, 5> neutrals{{{"add", 0, true},
                                             {"mul", 1, true},
                                             {"sub", 0, false},
                                             {"real_div", 1, false},
                                             {"pow", 1, false}}};
  for (const Neutral& neutral : neutrals) {
    if (site.name() != neutral.op) continue;
    if (uniform_constant(site.function(), site.input("y")) == neutral.value) {
      return when_same_type(site, site.input("x"));
    }
    if (neutral.commutes && uniform_constant(site.function(), site.input("x")) == neutral.value) {
      return when_same_type(site, site.input("y"));
    }
  }
  return {};
}

bool is_view(std::string_view op) {
  return op == "reshape" || op == "expand_dims" || op == "squeeze";
}

// A chain of views is one reshape of what it starts from, or nothing at all.
Result merge_views(Site& site) {
  if (!is_view(site.name())) return {};
  if (Result same = when_same_type(site, site.input("x"))) return same;
  const Operation* inner = producer_of(site.function(), site.input("x"));
  if (inner == nullptr || !is_view(inner->name()) || site.output_type().is_scalar()) return {};
  const ValueId source = inner->input("x");
  if (Result same = when_same_type(site, source)) return same;
  Operation& op = site.op();
  op.schema = find_op("reshape");
  op.arguments = {
      {"x", {source}, false},
      {"shape", {site.rewriter().constant(Literal::int32s(site.output_type().shape))}, false}};
  site.rewriter().mark_changed();
  return {};
}

bool is_identity_permutation(const std::vector<int64_t>& perm) {
  for (size_t i = 0; i < perm.size(); ++i) {
    if (perm[i] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

std::vector<int64_t> positive_permutation(std::vector<int64_t> perm) {
  for (int64_t& axis : perm) {
    if (axis < 0) axis += std::ssize(perm);
  }
  return perm;
}

Result merge_transposes(Site& site) {
  if (site.name() != "transpose") return {};
  std::vector<int64_t> perm = positive_permutation(site.integers(site.op(), "perm"));
  if (is_identity_permutation(perm)) return when_same_type(site, site.input("x"));
  const Operation* inner = site.behind("x", "transpose");
  if (inner == nullptr) return {};
  const std::vector<int64_t> first = positive_permutation(site.integers(*inner, "perm"));
  for (int64_t& axis : perm) axis = first[static_cast<size_t>(axis)];
  const ValueId source = inner->input("x");
  if (is_identity_permutation(perm)) return when_same_type(site, source);
  site.set("x", source);
  site.set("perm", Literal::int32s(perm));
  return {};
}

bool swaps_last_two(const std::vector<int64_t>& perm) {
  if (perm.size() < 2) return false;
  std::vector<int64_t> swapped = perm;
  std::swap(swapped[perm.size() - 1], swapped[perm.size() - 2]);
  return is_identity_permutation(swapped);
}

// matmul(transpose(x), y) is a flag.
Result absorb_transposes(Site& site) {
  if (site.name() != "matmul") return {};
  for (const auto& [operand, flag] :
       {std::pair{"x", "transpose_x"}, std::pair{"y", "transpose_y"}}) {
    const Operation* transpose = site.behind(operand, "transpose");
    const Literal* transposed = site.function().constant(site.op(), flag);
    if (transpose == nullptr || transposed == nullptr || site.op().argument(flag) == nullptr ||
        !swaps_last_two(positive_permutation(site.integers(*transpose, "perm")))) {
      continue;
    }
    const bool value = !transposed->boolean();
    site.set(operand, transpose->input("x"));
    site.set(flag, Literal::boolean(value));
  }
  return {};
}

bool broadcasts(std::string_view op) {
  constexpr std::array<std::string_view, 6> ops{"add",      "sub",     "mul",
                                                "real_div", "maximum", "minimum"};
  return std::find(ops.begin(), ops.end(), op) != ops.end();
}

// The other operand of a broadcasting op brings the shape, so that repeating this one is idle.
Result absorb_tiles(Site& site) {
  if (!broadcasts(site.name())) return {};
  for (const auto& [operand, other] : {std::pair{"x", "y"}, std::pair{"y", "x"}}) {
    const Operation* tile = site.behind(operand, "tile");
    if (tile == nullptr) continue;
    const ValueId source = tile->input("x");
    const Shape& shape = site.function().type(source).shape;
    const std::vector<int64_t> reps = site.integers(*tile, "reps");
    bool repeats_ones = true;
    for (size_t i = 0; i < reps.size(); ++i) repeats_ones &= reps[i] == 1 || shape[i] == 1;
    const std::optional<Shape> joined = broadcast(shape, site.input_type(other).shape);
    if (repeats_ones && joined == site.output_type().shape) site.set(operand, source);
  }
  return {};
}

bool all_equal(const std::vector<int64_t>& values, int64_t expected) {
  return std::all_of(values.begin(), values.end(), [=](int64_t v) { return v == expected; });
}

// Ops that copy their whole operand: tile once, pad by nothing, slice everything, concat of one.
Result remove_copies(Site& site) {
  const std::string_view name = site.name();
  if (name == "concat") {
    const std::vector<ValueId>& values = site.op().argument("values")->values;
    return values.size() == 1 ? when_same_type(site, values.front()) : Result{};
  }
  const bool copies =
      (name == "tile" && all_equal(site.integers(site.op(), "reps"), 1)) ||
      (name == "pad" && all_equal(site.integers(site.op(), "pad"), 0)) || name == "slice_by_size" ||
      (name == "slice_by_index" && all_equal(site.integers(site.op(), "stride"), 1));
  return copies ? when_same_type(site, site.input("x")) : Result{};
}

using Rule = Result (*)(Site&);
constexpr std::array<Rule, 8> rules{remove_identity, remove_cast,      remove_neutral_operand,
                                    merge_views,     merge_transposes, absorb_transposes,
                                    absorb_tiles,    remove_copies};

Result apply_rules(Site& site) {
  if (site.op().arguments.empty() || site.op().outputs.size() != 1) return {};
  for (Rule rule : rules) {
    if (Result value = rule(site)) return value;
  }
  return {};
}

} // namespace

Rewritten rewrite_simplified(const Function& function) {
  Rewriter rewriter(function);
  for (const Operation& source_op : function.ops) {
    Operation op = rewriter.with_mapped_arguments(source_op);
    Site site(rewriter, op);
    const ValueId output = op.outputs.front();
    const Result value = apply_rules(site);
    // An output that is an input, a constant or another output keeps the op that names it.
    const bool needs_op =
        value && is_output(function, output) &&
        (producer_of(rewriter.result(), *value) == nullptr ||
         rewriter.result().constant(*value) != nullptr ||
         is_output(function, function.find(rewriter.result().value(*value).name)));
    if (value && !(needs_op && site.name() == "identity")) {
      rewriter.replace(output, *value);
    } else {
      rewriter.keep(std::move(op));
    }
  }
  return std::move(rewriter).finish();
}

} // namespace anet::mil
