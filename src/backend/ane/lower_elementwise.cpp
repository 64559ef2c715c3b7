// Ops that work element by element, but for the activations.
#include "backend/ane/lowering.h"

#include <algorithm>
#include <cmath>

namespace anet::backend::ane {

namespace {

// An operand of an op whose result has `frame`; one number stays one number.
ValueId operand(Lowering& l, const Frame& frame, std::string_view argument) {
  const ValueId value = l.input(argument);
  if (l.is_number(value)) {
    return l.b.constant(Literal::scalar(
        l.source.type(value).dtype == DataType::boolean ? DataType::boolean : DataType::fp16,
        l.is_trial() ? 0 : l.constant(value).number()));
  }
  return l.read(value, frame.extents(l.shape(argument)));
}

void unary(Lowering& l) { l.write(l.b.unary(l.name(), l.read(l.input("x")))); }

void identity(Lowering& l) { l.write(l.read(l.input("x"))); }

void with_epsilon(Lowering& l) {
  l.write(
      l.b.add(l.name(), {{"x", l.read(l.input("x"))}, {"epsilon", l.half(l.number("epsilon"))}}));
}

void rsqrt(Lowering& l) { l.write(reciprocal_root(l, l.read(l.input("x")), l.number("epsilon"))); }

void square(Lowering& l) {
  const ValueId x = l.read(l.input("x"));
  l.write(l.b.mul(x, x));
}

// min(max(x, low), high)
ValueId between(Lowering& l, ValueId x, double low, double high) {
  if (!std::isinf(low)) x = l.b.binary("maximum", x, l.half(low));
  return std::isinf(high) ? x : l.b.binary("minimum", x, l.half(high));
}

void clip(Lowering& l) {
  l.write(between(l, l.read(l.input("x")), l.number("alpha"), l.number("beta")));
}

void relu6(Lowering& l) {
  const ValueId positive = l.b.unary("relu", l.read(l.input("x")));
  l.write(l.b.binary("minimum", positive, l.half(6)));
}

void sigmoid_hard(Lowering& l) {
  const ValueId line = l.b.add(l.b.mul(l.read(l.input("x")), l.number("alpha")), l.number("beta"));
  l.write(between(l, line, 0, 1));
}

void threshold(Lowering& l) {
  const ValueId x = l.read(l.input("x"));
  l.write(l.b.binary("maximum", x, l.half(l.number("alpha"))));
}

void leaky_relu(Lowering& l) {
  const ValueId x = l.read(l.input("x"));
  const ValueId negative = l.b.binary("minimum", x, l.half(0));
  const ValueId positive = l.b.unary("relu", x);
  l.write(l.b.add(positive, l.b.mul(negative, l.number("alpha"))));
}

std::vector<Shape> operand_shapes(const Lowering& l) { return {l.shape("x"), l.shape("y")}; }

// A value that pads one axis with zeros, on one side.
struct OneSidedPad {
  ValueId value = mil::no_value;
  size_t axis = 0;
  int64_t before = 0;
  int64_t after = 0;
};

std::optional<OneSidedPad> one_sided_pad(const Lowering& l, ValueId value) {
  const mil::Operation* op = l.producer(value);
  if (op == nullptr || std::string_view(op->name()) != "pad") return std::nullopt;
  const Literal* mode = l.source.constant(*op, "mode");
  const Literal* filling = l.source.constant(*op, "constant_val");
  if (mode == nullptr || mode->string() != "constant") return std::nullopt;
  if (filling == nullptr || filling->number() != 0) return std::nullopt;
  const std::vector<int64_t> amounts = l.source.constant(*op, "pad")->integers();
  const size_t first = l.source.type(value).shape.size() - amounts.size() / 2;
  OneSidedPad pad;
  int count = 0;
  for (size_t i = 0; i < amounts.size(); ++i) {
    if (amounts[i] == 0) continue;
    ++count;
    pad = {op->input("x"), first + i / 2, i % 2 == 0 ? amounts[i] : 0, i % 2 == 1 ? amounts[i] : 0};
  }
  return count == 1 ? std::optional(pad) : std::nullopt;
}

// pad(a, 0 after) + pad(b, 0 before), which is how the gradient of two slices that meet is written,
// is their concatenation.
bool add_as_concat(Lowering& l) {
  if (!l.rules.has_concat || l.shape("x") != l.shape("y")) return false;
  std::optional<OneSidedPad> first = one_sided_pad(l, l.input("x"));
  std::optional<OneSidedPad> second = one_sided_pad(l, l.input("y"));
  if (!first || !second || first->axis != second->axis) return false;
  if (first->before > 0) std::swap(first, second);
  const Shape& shape = l.output_shape();
  if (first->before > 0 || second->after > 0) return false;
  if (first->after + second->before != shape[first->axis]) return false;
  const std::vector<size_t> own{first->axis};
  const Frame frame = l.frame(shape, {}, own);
  const auto part = [&](ValueId value) {
    return l.read(value, frame.extents(l.source.type(value).shape));
  };
  l.write(join(l, {part(first->value), part(second->value)}, frame.slot_of(first->axis)));
  return true;
}

void binary(Lowering& l) {
  const Frame frame = l.frame(l.output_shape(), operand_shapes(l));
  const ValueId x = operand(l, frame, "x");
  const ValueId y = operand(l, frame, "y");
  l.write(l.b.binary(l.name(), x, y));
}

void add(Lowering& l) {
  if (!add_as_concat(l)) binary(l);
}

// A number minus a tensor has no evidence of running; the negated tensor plus the number has.
void sub(Lowering& l) {
  if (!l.is_number(l.input("x"))) return binary(l);
  const Frame frame = l.frame(l.output_shape(), operand_shapes(l));
  const ValueId negated = l.b.mul(operand(l, frame, "y"), -1.0);
  l.write(l.b.add(negated, operand(l, frame, "x")));
}

void select(Lowering& l) {
  const std::vector<Shape> shapes{l.shape("cond"), l.shape("a"), l.shape("b")};
  const Frame frame = l.frame(l.output_shape(), shapes);
  l.write(l.b.add("select", {{"cond", operand(l, frame, "cond")},
                             {"a", operand(l, frame, "a")},
                             {"b", operand(l, frame, "b")}}));
}

// Booleans become 0 and 1 by a selection; fp32 only ever enters or leaves.
void cast(Lowering& l) {
  const ValueId x = l.input("x");
  const DataType from = l.source.type(x).dtype;
  const DataType to = l.source.type(l.output()).dtype;
  const bool crosses = (from == DataType::fp32 && to == DataType::fp16) ||
                       (from == DataType::fp16 && to == DataType::fp32);
  if (from == to && to == DataType::fp16) {
    l.write(l.read(x));
  } else if (from == DataType::boolean && to == DataType::fp16) {
    l.write(l.b.add("select", {{"cond", l.read(x)}, {"a", l.half(1)}, {"b", l.half(0)}}));
  } else if (from == DataType::fp16 && to == DataType::boolean) {
    const ValueId value = l.read(x);
    l.write(l.b.binary("not_equal", value, l.half(0)));
  } else if (crosses && l.rules.fp32_ports) {
    l.write(l.b.cast(l.read(x), to));
  } else {
    l.refuse("the engine does not convert ", mil::data_type_name(from), " to ",
             mil::data_type_name(to), " (ane-facts.md 4.4)");
  }
}

// ane-facts.md 6, R: a table of 33 knots, wrong by up to 0.12.
void coarse(Lowering& l) { l.refuse("the engine's table is too coarse (ane-facts.md 6)"); }

} // namespace

ValueId reciprocal_root(Lowering& l, ValueId x, double epsilon) {
  if (l.rules.has_rsqrt) return l.b.rsqrt(x, epsilon);
  const ValueId shifted = epsilon == 0 ? x : l.b.add(x, epsilon);
  return l.b.binary("pow", shifted, l.half(-0.5));
}

std::span<const OpEntry> elementwise_lowerings() {
  static const OpEntry entries[] = {
      {"abs", unary},
      {"add", add},
      {"atan", unary},
      {"cast", cast},
      {"ceil", unary},
      {"clip", clip},
      {"cos", coarse},
      {"equal", binary},
      {"erf", unary},
      {"exp", unary},
      {"exp2", unary},
      {"floor", unary},
      {"greater", binary},
      {"greater_equal", binary},
      {"identity", identity},
      {"inverse", with_epsilon},
      {"leaky_relu", leaky_relu},
      {"less", binary},
      {"less_equal", binary},
      {"log", with_epsilon},
      {"logical_not", unary},
      {"maximum", binary},
      {"minimum", binary},
      {"mul", binary},
      {"not_equal", binary},
      {"pow", binary},
      {"real_div", binary},
      {"relu", unary},
      {"relu6", relu6},
      {"round", unary},
      {"rsqrt", rsqrt},
      {"select", select},
      {"sigmoid_hard", sigmoid_hard},
      {"sign", unary},
      {"sin", coarse},
      {"sqrt", unary},
      {"square", square},
      {"sub", sub},
      {"threshold", threshold},
  };
  return entries;
}

} // namespace anet::backend::ane
