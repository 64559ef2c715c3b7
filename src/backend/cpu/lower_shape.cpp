// Ops that move elements by position. Most are views; the rest are copies into views.
#include "backend/cpu/lowering.h"

#include <algorithm>
#include <numeric>

namespace anet::backend::cpu {

namespace {

void identity(Lowering& l) { l.bind(l.stored_operand("x")); }

void buffer_cast(Lowering& l) { l.bind(l.operand("input")); }

// reshape, expand_dims, squeeze
void reshape(Lowering& l) {
  const Shape& shape = l.result_type().shape;
  if (const auto view = reshape_view(l.stored_operand("x"), shape)) return l.bind(*view);
  const Operand x = l.operand("x");
  // Copying straight into the result saves a second copy where the result has a place of its own.
  const Operand output = l.result();
  if (const auto place = reshape_view(output, x.shape)) return l.copy(x, *place);
  l.copy(*reshape_view(l.dense(x), shape), output);
}

void transpose(Lowering& l) { l.bind(transpose_view(l.stored_operand("x"), l.integers("perm"))); }

void reverse(Lowering& l) {
  Operand x = l.operand("x");
  for (const int64_t axis : l.integers("axes")) {
    const size_t d = normalize_axis(axis, x.rank());
    x = slice_view(x, d, x.shape[d] - 1, x.shape[d], -1);
  }
  l.bind(x);
}

void slice_by_size(Lowering& l) {
  Operand x = l.operand("x");
  const std::vector<int64_t> begin = l.integers("begin");
  const Shape& size = l.result_type().shape;
  for (size_t d = 0; d < begin.size(); ++d) {
    x = slice_view(x, d, begin[d] < 0 ? begin[d] + x.shape[d] : begin[d], size[d]);
  }
  l.bind(x);
}

std::vector<int64_t> mask(Lowering& l, std::string_view argument, size_t rank) {
  return l.has(argument) ? l.integers(argument) : std::vector<int64_t>(rank, 0);
}

// The box that slice_by_index reads and slice_update writes; `sliced` is its shape without the
// squeezed axes.
Operand box_view(Lowering& l, const Operand& x, const Shape& sliced) {
  const size_t rank = x.shape.size();
  const std::vector<int64_t> begins = l.integers("begin");
  const std::vector<int64_t> strides = l.integers("stride");
  const std::vector<int64_t> begin_mask = mask(l, "begin_mask", rank);
  const std::vector<int64_t> squeeze_mask = mask(l, "squeeze_mask", rank);
  Operand box = x;
  size_t next = 0;
  for (size_t d = 0; d < rank; ++d) {
    const bool squeezed = squeeze_mask[d] != 0;
    const bool open = begin_mask[d] != 0 && !squeezed;
    int64_t begin = open ? (strides[d] > 0 ? 0 : x.shape[d] - 1) : begins[d];
    if (begin < 0) begin += x.shape[d];
    begin = std::clamp<int64_t>(begin, 0, x.shape[d] - 1);
    box = slice_view(box, d, begin, squeezed ? 1 : sliced[next++], squeezed ? 1 : strides[d]);
  }
  for (size_t d = rank; d-- > 0;) {
    if (squeeze_mask[d] == 0) continue;
    box.shape.erase(box.shape.begin() + static_cast<std::ptrdiff_t>(d));
    box.strides.erase(box.strides.begin() + static_cast<std::ptrdiff_t>(d));
  }
  return box;
}

void slice_by_index(Lowering& l) { l.bind(box_view(l, l.operand("x"), l.result_type().shape)); }

void slice_update(Lowering& l) {
  const Operand x = l.operand("x");
  const Operand update = l.operand("update");
  // An update that is a view of x must be read before x changes.
  const bool apart = update.storage != x.storage;
  const Operand output = apart ? l.result_in_place(std::span(&x, 1)) : l.result();
  if (output.storage != x.storage) l.copy(x, output);
  l.copy(update, box_view(l, output, update.shape));
}

void concat(Lowering& l) {
  const std::vector<Operand> values = l.operands("values");
  const Operand output = l.result();
  const size_t axis = normalize_axis(l.integer("axis"), output.rank());
  const bool interleave = l.boolean("interleave");
  const auto count = static_cast<int64_t>(values.size());
  int64_t start = 0;
  for (const Operand& x : values) {
    const int64_t step = interleave ? count : 1;
    l.copy(x, slice_view(output, axis, start, x.shape[axis], step));
    start += interleave ? 1 : x.shape[axis];
  }
}

void stack(Lowering& l) {
  const Operand output = l.result();
  const size_t axis = normalize_axis(l.integer("axis"), output.rank());
  int64_t i = 0;
  for (const Operand& x : l.operands("values")) {
    l.copy(expand_view(x, axis), slice_view(output, axis, i++, 1));
  }
}

void split(Lowering& l) {
  const Operand x = l.operand("x");
  const size_t axis = normalize_axis(l.integer("axis"), x.rank());
  int64_t start = 0;
  for (size_t i = 0; i < l.op().outputs.size(); ++i) {
    const int64_t size = l.result_type(i).shape[axis];
    l.bind(slice_view(x, axis, start, size), i);
    start += size;
  }
}

// The output, with each axis seen as [repetitions, extent], is x repeated along the former. Axes of
// extent 1 repeat in a view.
void tile(Lowering& l) {
  const Operand x = l.operand("x");
  const std::vector<int64_t> reps = l.integers("reps");
  bool is_view = true;
  for (size_t d = 0; d < x.shape.size(); ++d) is_view &= reps[d] == 1 || x.shape[d] == 1;
  if (is_view) return l.bind(broadcast_view(x, l.result_type().shape));
  const Operand output = l.result();
  Operand source = x, target = output;
  source.shape.clear();
  source.strides.clear();
  target.shape.clear();
  target.strides.clear();
  for (size_t d = 0; d < x.shape.size(); ++d) {
    for (const int64_t extent : {reps[d], x.shape[d]}) {
      source.shape.push_back(extent);
      target.shape.push_back(extent);
    }
    source.strides.insert(source.strides.end(), {0, x.strides[d]});
    target.strides.insert(target.strides.end(),
                          {output.strides[d] * x.shape[d], output.strides[d]});
  }
  l.copy(source, target);
}

// Fills the borders of one axis from its centre: mirrored without the edge, or the edge repeated.
void pad_axis(Lowering& l, const Operand& x, size_t axis, int64_t before, int64_t after,
              bool reflect) {
  const int64_t last = x.shape[axis] - after - 1;
  const auto border = [&](int64_t begin, int64_t size, int64_t edge, int64_t mirrored) {
    if (size == 0) return;
    Operand source = slice_view(x, axis, reflect ? mirrored : edge, size, reflect ? -1 : 1);
    if (!reflect) source.strides[axis] = 0;
    l.copy(source, slice_view(x, axis, begin, size));
  };
  border(0, before, before, 2 * before);
  border(last + 1, after, last, last - 1);
}

void pad(Lowering& l) {
  const Operand x = l.operand("x");
  const std::vector<int64_t> amounts = l.integers("pad");
  const std::string mode = l.string("mode");
  const Operand output = l.result();
  const size_t skipped = x.shape.size() - amounts.size() / 2;
  if (mode == "constant") l.fill(output, l.parameter("constant_val", x.dtype));
  Operand centre = output;
  for (size_t d = skipped; d < x.shape.size(); ++d) {
    centre = slice_view(centre, d, amounts[2 * (d - skipped)], x.shape[d]);
  }
  l.copy(x, centre);
  if (mode == "constant") return;
  for (size_t d = skipped; d < x.shape.size(); ++d) {
    // Axes before d are complete; those after it still hold only their centre.
    Operand filled = output;
    for (size_t later = d + 1; later < x.shape.size(); ++later) {
      filled = slice_view(filled, later, amounts[2 * (later - skipped)], x.shape[later]);
    }
    pad_axis(l, filled, d, amounts[2 * (d - skipped)], amounts[2 * (d - skipped) + 1],
             mode == "reflect");
  }
}

} // namespace

LoweringRule shape_rule(std::string_view op) {
  static const std::map<std::string_view, LoweringRule> rules = {
      {"concat", concat},
      {"expand_dims", reshape},
      {"identity", identity},
      {"pad", pad},
      {"reshape", reshape},
      {"reverse", reverse},
      {"slice_by_index", slice_by_index},
      {"slice_by_size", slice_by_size},
      {"slice_update", slice_update},
      {"split", split},
      {"squeeze", reshape},
      {"stack", stack},
      {"tensor_buffer_to_tensor", buffer_cast},
      {"tensor_to_tensor_buffer", buffer_cast},
      {"tile", tile},
      {"transpose", transpose},
  };
  const auto found = rules.find(op);
  return found == rules.end() ? nullptr : found->second;
}

} // namespace anet::backend::cpu
