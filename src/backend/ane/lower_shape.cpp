// Ops that move elements. Views cost nothing: a value keeps its elements' order.
#include "backend/ane/lowering.h"

#include <algorithm>

namespace anet::backend::ane {

namespace {

void view(Lowering& l) { l.write(l.read(l.input("x"))); }

// Axes that move together.
using Groups = std::vector<std::vector<size_t>>;

// The axes of more than one element in the order of the result; neighbours in both orders join
// until four are left, from the left, so that the width stays what it is if it can.
Groups moving_groups(const Shape& shape, const std::vector<size_t>& perm) {
  Groups groups;
  std::vector<size_t> kept; // in the order of the operand
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] > 1) kept.push_back(axis);
  }
  for (size_t axis : perm) {
    if (shape[axis] > 1) groups.push_back({axis});
  }
  const auto follows = [&](size_t left, size_t right) {
    const auto found = std::find(kept.begin(), kept.end(), left);
    return found + 1 != kept.end() && found[1] == right;
  };
  for (size_t i = 0; groups.size() > 4 && i + 1 < groups.size();) {
    if (!follows(groups[i].back(), groups[i + 1].front())) {
      ++i;
      continue;
    }
    groups[i].insert(groups[i].end(), groups[i + 1].begin(), groups[i + 1].end());
    groups.erase(groups.begin() + static_cast<ptrdiff_t>(i) + 1);
  }
  return groups;
}

void transpose(Lowering& l) {
  const Shape& shape = l.shape("x");
  const Groups groups = moving_groups(shape, l.axes("perm", shape.size()));
  if (groups.size() > 4) {
    l.refuse("expected axes that move as four or fewer, seen ", groups.size(),
             " (ane-facts.md 4.5)");
  }
  // The groups in the operand's order, and where each goes.
  Groups order = groups;
  std::sort(order.begin(), order.end());
  if (order == groups) return view(l);
  const size_t missing = 4 - groups.size();
  Shape extents(4, 1);
  std::vector<int64_t> perm;
  for (size_t i = 0; i < missing; ++i) perm.push_back(static_cast<int64_t>(i));
  for (size_t i = 0; i < groups.size(); ++i) {
    for (size_t axis : order[i]) extents[missing + i] *= shape[axis];
    const auto from = std::find(order.begin(), order.end(), groups[i]) - order.begin();
    perm.push_back(from + static_cast<int64_t>(missing));
  }
  l.write(l.b.transpose(l.read(l.input("x"), extents), perm));
}

// x with constants before and after it along one slot.
ValueId surround(Lowering& l, ValueId x, size_t slot, int64_t before, int64_t after,
                 double filling) {
  std::vector<ValueId> parts{x};
  Shape shape = l.b.shape(x);
  const auto part = [&](int64_t extent) {
    shape[slot] = extent;
    return l.filled(shape, filling);
  };
  if (before > 0) parts.insert(parts.begin(), part(before));
  if (after > 0) parts.push_back(part(after));
  return join(l, parts, slot);
}

// The op itself, for engines that do not concatenate.
ValueId pad_slots(Lowering& l, ValueId x, const std::vector<int64_t>& amounts, double filling) {
  return l.b.add("pad", {{"x", x},
                         {"pad", l.b.constant(Literal::int32s(amounts))},
                         {"mode", l.b.constant(Literal::string("constant"))},
                         {"constant_val", l.half(filling)}});
}

void pad(Lowering& l) {
  const std::string mode = l.text("mode");
  if (mode != "constant") l.refuse("expected padding by a constant, seen mode ", mode);
  const Shape& shape = l.shape("x");
  const std::vector<int64_t> given = l.integers("pad");
  const size_t first = shape.size() - given.size() / 2;
  std::vector<size_t> own;
  for (size_t i = 0; i < given.size() / 2; ++i) {
    if (given[2 * i] != 0 || given[2 * i + 1] != 0) own.push_back(first + i);
  }
  const std::vector<Shape> operands{shape};
  const Frame frame = l.frame(l.output_shape(), operands, own);
  ValueId x = l.read(l.input("x"), frame.extents(shape));
  const double filling = l.number("constant_val");
  std::vector<int64_t> amounts(8, 0);
  for (size_t axis : own) {
    const size_t slot = frame.slot_of(axis);
    const int64_t before = given[2 * (axis - first)];
    const int64_t after = given[2 * (axis - first) + 1];
    if (l.rules.has_concat) x = surround(l, x, slot, before, after, filling);
    amounts[2 * slot] = before;
    amounts[2 * slot + 1] = after;
  }
  l.write(l.rules.has_concat ? x : pad_slots(l, x, amounts, filling));
}

void concat(Lowering& l) {
  if (l.boolean("interleave")) l.refuse("expected interleave to be false");
  const Shape& shape = l.output_shape();
  const std::vector<size_t> own{l.axis("axis", shape.size())};
  const Frame frame = l.frame(shape, {}, own);
  std::vector<ValueId> parts;
  for (ValueId value : l.op().argument("values")->values) {
    parts.push_back(l.read(value, frame.extents(l.source.type(value).shape)));
  }
  l.write(join(l, parts, frame.slot_of(own.front())));
}

// A concatenation along a new axis.
void stack(Lowering& l) {
  const Shape& shape = l.output_shape();
  const std::vector<size_t> own{l.axis("axis", shape.size())};
  const Frame frame = l.frame(shape, {}, own);
  Shape one = shape;
  one[own.front()] = 1;
  std::vector<ValueId> parts;
  for (ValueId value : l.op().argument("values")->values) {
    parts.push_back(l.read(value, frame.extents(one)));
  }
  l.write(join(l, parts, frame.slot_of(own.front())));
}

// Repeats by adding zeros that broadcast: after a tile op every later evaluation failed on M3 Max
// (ane-facts.md 4.4, R). [.., n, ..] is [before, 1, n * after] plus zeros [1, times, 1].
void tile(Lowering& l) {
  Shape shape = l.shape("x");
  const DataType dtype = l.source.type(l.input("x")).dtype;
  if (dtype != DataType::fp16)
    l.refuse("expected fp16 to repeat, seen ", mil::data_type_name(dtype));
  const std::vector<int64_t> times = l.integers("reps");
  ValueId x = l.read(l.input("x"));
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (times[axis] == 1) continue;
    int64_t before = 1;
    int64_t after = 1;
    for (size_t i = 0; i < axis; ++i) before *= shape[i];
    for (size_t i = axis; i < shape.size(); ++i) after *= shape[i];
    if (shape[axis] == 1 && shape.size() <= 4) {
      // Broadcasting where the axes are already.
      const std::vector<size_t> own{axis};
      Shape wide = shape;
      wide[axis] = times[axis];
      const Frame frame = l.frame(wide, {}, own);
      Shape zeros(4, 1);
      zeros[frame.slot_of(axis)] = times[axis];
      x = l.reshape(x, frame.extents(shape));
      x = l.b.add(x, l.filled(zeros, 0));
    } else {
      x = l.reshape(x, {1, before, 1, after});
      x = l.b.add(x, l.filled({1, 1, times[axis], 1}, 0));
    }
    shape[axis] *= times[axis];
  }
  l.write(x);
}

void reverse(Lowering& l) {
  const Shape& shape = l.shape("x");
  std::vector<size_t> own;
  for (size_t axis : l.axes("axes", shape.size())) {
    if (shape[axis] > 1) own.push_back(axis);
  }
  if (own.empty()) return view(l);
  const Frame frame = l.frame(shape, {}, own);
  std::vector<int64_t> slots;
  for (size_t axis : own) slots.push_back(static_cast<int64_t>(frame.slot_of(axis)));
  std::sort(slots.begin(), slots.end());
  l.write(l.b.add("reverse", {{"x", l.read(l.input("x"), frame.extents(shape))},
                              {"axes", l.b.constant(Literal::int32s(slots))}}));
}

} // namespace

ValueId join(Lowering& l, const std::vector<ValueId>& parts, size_t slot) {
  if (parts.size() == 1) return parts.front();
  if (l.rules.has_concat && slot == width_slot && !l.rules.concats_width) {
    std::vector<ValueId> columns;
    for (ValueId part : parts) columns.push_back(l.swap_matrix_axes(part));
    return l.swap_matrix_axes(join(l, columns, height_slot));
  }
  if (l.rules.has_concat) return l.b.concat(parts, static_cast<int64_t>(slot));
  int64_t total = 0;
  for (ValueId part : parts) total += l.b.shape(part)[slot];
  ValueId sum = mil::no_value;
  int64_t before = 0;
  for (ValueId part : parts) {
    const int64_t extent = l.b.shape(part)[slot];
    std::vector<int64_t> amounts(8, 0);
    amounts[2 * slot] = before;
    amounts[2 * slot + 1] = total - before - extent;
    const ValueId padded = pad_slots(l, part, amounts, 0);
    sum = sum == mil::no_value ? padded : l.b.add(sum, padded);
    before += extent;
  }
  return sum;
}

std::span<const OpEntry> shape_lowerings() {
  static const OpEntry entries[] = {
      {"concat", concat}, {"expand_dims", view}, {"pad", pad},
      {"reshape", view},  {"reverse", reverse},  {"squeeze", view},
      {"stack", stack},   {"tile", tile},        {"transpose", transpose},
  };
  return entries;
}

} // namespace anet::backend::ane
