#include "movement.h"

#include "arithmetic.h"
#include "op_rules.h"
#include "plan.h"

#include <algorithm>
#include <cstring>

namespace emulator {

std::vector<int64_t> dense_strides(const Shape& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

std::vector<int64_t> broadcast_strides(const Shape& shape, const Shape& result) {
  const std::vector<int64_t> dense = dense_strides(shape);
  std::vector<int64_t> strides(result.size(), 0);
  const size_t missing = result.size() - shape.size();
  for (size_t i = 0; i < shape.size(); ++i) strides[missing + i] = shape[i] == 1 ? 0 : dense[i];
  return strides;
}

std::optional<AxisRange> axis_range(const Shape& shape, const std::vector<size_t>& axes) {
  AxisRange range;
  size_t state = 0; // before, inside, after
  for (size_t i = 0; i < shape.size(); ++i) {
    const bool named = std::ranges::find(axes, i) != axes.end();
    if (shape[i] == 1) continue;
    if (named && state == 0) state = 1;
    if (!named && state == 1) state = 2;
    if (named && state == 2) return std::nullopt;
    (state == 0 ? range.outer : state == 1 ? range.length : range.inner) *= shape[i];
  }
  return range;
}

void StridedCopy::simplify() {
  std::vector<int64_t> new_extents;
  std::vector<int64_t> new_from;
  std::vector<int64_t> new_to;
  for (size_t i = 0; i < extents.size(); ++i) {
    if (extents[i] == 1) continue;
    const bool joins = !new_extents.empty() && new_from.back() == from[i] * extents[i] &&
                       new_to.back() == to[i] * extents[i];
    if (joins) {
      new_extents.back() *= extents[i];
      new_from.back() = from[i];
      new_to.back() = to[i];
    } else {
      new_extents.push_back(extents[i]);
      new_from.push_back(from[i]);
      new_to.push_back(to[i]);
    }
  }
  extents = std::move(new_extents);
  from = std::move(new_from);
  to = std::move(new_to);
}

namespace {

// Two axes, in tiles that stay in the cache when one side is transposed.
void copy_plane(const float* source, float* target, const int64_t* extents, const int64_t* from,
                const int64_t* to) {
  constexpr int64_t tile = 16;
  if (from[1] == 1 && to[1] == 1) {
    for (int64_t i = 0; i < extents[0]; ++i) {
      std::memcpy(target + i * to[0], source + i * from[0],
                  static_cast<size_t>(extents[1]) * sizeof(float));
    }
    return;
  }
  for (int64_t i0 = 0; i0 < extents[0]; i0 += tile) {
    for (int64_t j0 = 0; j0 < extents[1]; j0 += tile) {
      const int64_t i1 = std::min(i0 + tile, extents[0]);
      const int64_t j1 = std::min(j0 + tile, extents[1]);
      for (int64_t i = i0; i < i1; ++i) {
        for (int64_t j = j0; j < j1; ++j)
          target[i * to[0] + j * to[1]] = source[i * from[0] + j * from[1]];
      }
    }
  }
}

void copy_axes(const float* source, float* target, size_t rank, const int64_t* extents,
               const int64_t* from, const int64_t* to) {
  if (rank == 2) return copy_plane(source, target, extents, from, to);
  for (int64_t i = 0; i < extents[0]; ++i) {
    copy_axes(source + i * from[0], target + i * to[0], rank - 1, extents + 1, from + 1, to + 1);
  }
}

} // namespace

void StridedCopy::run(const float* source, float* target) const {
  source += from_offset;
  target += to_offset;
  if (extents.empty()) {
    *target = *source;
  } else if (extents.size() == 1 && from[0] == 1 && to[0] == 1) {
    std::memcpy(target, source, static_cast<size_t>(extents[0]) * sizeof(float));
  } else if (extents.size() == 1) {
    for (int64_t i = 0; i < extents[0]; ++i) target[i * to[0]] = source[i * from[0]];
  } else {
    copy_axes(source, target, extents.size(), extents.data(), from.data(), to.data());
  }
}

namespace {

Step copy_step(StridedCopy copy, int source, int target) {
  copy.simplify();
  return
      [copy, source, target](const Frame& frame) { copy.run(frame.in(source), frame.out(target)); };
}

Step transpose_step(const Call& call) {
  const Shape& x = call.shape("x");
  const std::vector<int64_t> strides = dense_strides(x);
  StridedCopy copy;
  for (const int64_t entry : call.integers("perm")) {
    const size_t axis = call.axis(entry, x.size());
    copy.extents.push_back(x[axis]);
    copy.from.push_back(strides[axis]);
  }
  copy.to = dense_strides(copy.extents);
  return copy_step(std::move(copy), call.index("x"), call.op().outputs.front());
}

// M1 and M2 crop along the width in fixed point: beyond 4094 it overflows (ane-facts.md 6, R).
void clamp_crop(float* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (std::fabs(values[i]) > 4094) values[i] = std::copysign(INFINITY, values[i]);
  }
}

Step with_clamp(Step copy, bool clamps, const Call& call, int target) {
  if (!clamps) return copy;
  const int64_t count = call.function().value(target).type.elements();
  return [copy = std::move(copy), target, count](const Frame& frame) {
    copy(frame);
    clamp_crop(frame.out(target), count);
  };
}

Step slice_step(const Call& call, const std::vector<SliceRange>& ranges,
                const PlanOptions& options) {
  const std::vector<int64_t> strides = dense_strides(call.shape("x"));
  StridedCopy copy;
  for (size_t i = 0; i < ranges.size(); ++i) {
    copy.extents.push_back(ranges[i].extent);
    copy.from.push_back(strides[i] * ranges[i].step);
    copy.from_offset += strides[i] * ranges[i].begin;
  }
  copy.to = dense_strides(copy.extents);
  const int target = call.op().outputs.front();
  const bool clamps = options.numerics.slice_clamp && ranges.back().begin != 0;
  return with_clamp(copy_step(std::move(copy), call.index("x"), target), clamps, call, target);
}

std::vector<SliceRange> sized_ranges(const Call& call) {
  const Shape& result = call.function().value(call.op().outputs.front()).type.shape;
  const std::vector<int64_t> begin = call.integers("begin");
  std::vector<SliceRange> ranges;
  for (size_t i = 0; i < begin.size(); ++i) ranges.push_back({begin[i], result[i], 1, false});
  return ranges;
}

Step update_step(const Call& call) {
  const Shape& x = call.shape("x");
  const std::vector<int64_t> strides = dense_strides(x);
  StridedCopy copy;
  const std::vector<SliceRange> ranges = slice_ranges(call, x);
  for (size_t i = 0; i < ranges.size(); ++i) {
    copy.extents.push_back(ranges[i].extent);
    copy.to.push_back(strides[i] * ranges[i].step);
    copy.to_offset += strides[i] * ranges[i].begin;
  }
  copy.from = dense_strides(copy.extents);
  copy.simplify();
  const int64_t count = anet::mil::element_count(x);
  return [copy, count, source = call.index("x"), update = call.index("update"),
          target = call.op().outputs.front()](const Frame& frame) {
    std::memcpy(frame.out(target), frame.in(source), static_cast<size_t>(count) * sizeof(float));
    copy.run(frame.in(update), frame.out(target));
  };
}

// A part of the whole at `position` along `axis`: joined from it or cut out of it.
StridedCopy part_copy(const Shape& whole, const Shape& part, size_t axis, int64_t position,
                      bool joins) {
  StridedCopy copy{.extents = part, .from = dense_strides(whole), .to = dense_strides(part)};
  copy.from_offset = copy.from[axis] * position;
  if (joins) {
    std::swap(copy.from, copy.to);
    std::swap(copy.from_offset, copy.to_offset);
  }
  copy.simplify();
  return copy;
}

Step join_step(const Call& call, bool stacks) {
  const int target = call.op().outputs.front();
  const Shape& whole = call.function().value(target).type.shape;
  const size_t axis = call.axis(call.integer("axis"), whole.size());
  std::vector<std::pair<int, StridedCopy>> parts;
  int64_t position = 0;
  for (const int value : call.op().operand("values")->values) {
    Shape part = call.function().value(value).type.shape;
    if (stacks) part.insert(part.begin() + static_cast<std::ptrdiff_t>(axis), 1);
    parts.emplace_back(value, part_copy(whole, part, axis, position, true));
    position += part[axis];
  }
  return [parts, target](const Frame& frame) {
    for (const auto& [value, copy] : parts) copy.run(frame.in(value), frame.out(target));
  };
}

Step split_step(const Call& call, const PlanOptions& options) {
  const Shape& whole = call.shape("x");
  const size_t axis = call.axis(call.integer("axis"), whole.size());
  std::vector<Step> parts;
  int64_t position = 0;
  for (const int value : call.op().outputs) {
    const Shape& part = call.function().value(value).type.shape;
    const bool clamps = options.numerics.slice_clamp && axis + 1 == whole.size() && position != 0;
    parts.push_back(
        with_clamp(copy_step(part_copy(whole, part, axis, position, false), call.index("x"), value),
                   clamps, call, value));
    position += part[axis];
  }
  return [parts](const Frame& frame) {
    for (const Step& part : parts) part(frame);
  };
}

Step tile_step(const Call& call) {
  const Shape& x = call.shape("x");
  const std::vector<int64_t> reps = call.integers("reps");
  const std::vector<int64_t> strides = dense_strides(x);
  StridedCopy copy;
  for (size_t i = 0; i < x.size(); ++i) {
    copy.extents.insert(copy.extents.end(), {reps[i], x[i]});
    copy.from.insert(copy.from.end(), {0, strides[i]});
  }
  copy.to = dense_strides(copy.extents);
  return copy_step(std::move(copy), call.index("x"), call.op().outputs.front());
}

Step reverse_step(const Call& call) {
  const Shape& x = call.shape("x");
  StridedCopy copy{.extents = x, .from = dense_strides(x), .to = dense_strides(x)};
  for (const size_t axis : call.axes("axes", x.size())) {
    copy.from_offset += copy.from[axis] * (x[axis] - 1);
    copy.from[axis] = -copy.from[axis];
  }
  return copy_step(std::move(copy), call.index("x"), call.op().outputs.front());
}

Step pad_step(const Call& call) {
  if (call.text("mode") != "constant") return nullptr;
  const Shape& x = call.shape("x");
  const int target = call.op().outputs.front();
  const Type& result = call.function().value(target).type;
  const std::vector<int64_t> amounts = call.integers("pad");
  StridedCopy copy{.extents = x, .from = dense_strides(x), .to = dense_strides(result.shape)};
  const size_t first = x.size() - amounts.size() / 2;
  for (size_t i = first; i < x.size(); ++i) copy.to_offset += copy.to[i] * amounts[2 * (i - first)];
  copy.simplify();
  const float value = round_half(static_cast<float>(call.number("constant_val")));
  return [copy, value, target, count = result.elements(),
          source = call.index("x")](const Frame& frame) {
    std::fill_n(frame.out(target), count, value);
    copy.run(frame.in(source), frame.out(target));
  };
}

// An index outside the axis reads 0; negative ones count from its end.
int64_t wrapped(float index, int64_t extent) {
  const auto value = static_cast<int64_t>(index);
  const int64_t at = value < 0 ? value + extent : value;
  return at < 0 || at >= extent ? -1 : at;
}

Step gather_step(const Call& call) {
  const Shape& x = call.shape("x");
  const size_t axis = call.axis(call.integer("axis"), x.size());
  int64_t inner = 1;
  for (size_t i = axis + 1; i < x.size(); ++i) inner *= x[i];
  const int64_t outer = anet::mil::element_count(x) / inner / x[axis];
  return [inner, outer, extent = x[axis], count = call.type("indices").elements(),
          source = call.index("x"), indices = call.index("indices"),
          target = call.op().outputs.front()](const Frame& frame) {
    const float* from = frame.in(source);
    const float* index = frame.in(indices);
    float* to = frame.out(target);
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < count; ++i, to += inner) {
        const int64_t at = wrapped(index[i], extent);
        if (at < 0)
          std::fill_n(to, inner, 0.0f);
        else
          std::memcpy(to, from + (o * extent + at) * inner,
                      static_cast<size_t>(inner) * sizeof(float));
      }
    }
  };
}

Step gather_along_step(const Call& call) {
  const Shape& x = call.shape("x");
  const size_t axis = call.axis(call.integer("axis"), x.size());
  int64_t inner = 1;
  for (size_t i = axis + 1; i < x.size(); ++i) inner *= x[i];
  const int64_t length = call.shape("indices")[axis];
  const int64_t outer = anet::mil::element_count(x) / inner / x[axis];
  return [inner, outer, length, extent = x[axis], source = call.index("x"),
          indices = call.index("indices"), target = call.op().outputs.front()](const Frame& frame) {
    const float* from = frame.in(source);
    const float* index = frame.in(indices);
    float* to = frame.out(target);
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < length * inner; ++i, ++to, ++index) {
        const int64_t at = wrapped(*index, extent);
        *to = at < 0 ? 0 : from[(o * extent + at) * inner + i % inner];
      }
    }
  };
}

Step fill_step(const Call& call) {
  const int target = call.op().outputs.front();
  const float value = round_half(static_cast<float>(call.number("value")));
  return [value, target, count = call.function().value(target).type.elements()](
             const Frame& frame) { std::fill_n(frame.out(target), count, value); };
}

} // namespace

Step movement_step(const Call& call, const PlanOptions& options) {
  const std::string& name = call.op().name;
  if (name == "transpose") return transpose_step(call);
  if (name == "slice_by_index")
    return slice_step(call, slice_ranges(call, call.shape("x")), options);
  if (name == "slice_by_size") return slice_step(call, sized_ranges(call), options);
  if (name == "slice_update") return update_step(call);
  if (name == "concat") return join_step(call, false);
  if (name == "stack") return join_step(call, true);
  if (name == "split") return split_step(call, options);
  if (name == "tile") return tile_step(call);
  if (name == "reverse") return reverse_step(call);
  if (name == "pad") return pad_step(call);
  if (name == "gather") return gather_step(call);
  if (name == "gather_along_axis") return gather_along_step(call);
  if (name == "fill" || name == "fill_like") return fill_step(call);
  return nullptr;
}

} // namespace emulator
