// Gradients of conv and conv_transpose.
//
// The two ops are each other's input gradient, with one weight layout: conv's [out, in / groups]
// is conv_transpose's [in, out / groups]. `wide` is the side that conv reads, `narrow` the side
// that it writes: wide position = narrow position * stride + tap * dilation - pad.
#include "mil/gradient/context.h"

#include <algorithm>

namespace anet::mil::gradient {

namespace {

struct Geometry {
  Shape wide, narrow, kernel; // spatial extents
  std::vector<int64_t> strides, dilations;
  std::vector<int64_t> before, after; // padding of the wide side; `after` may be negative
  int64_t groups = 1;
  size_t rank() const { return wide.size(); }
};

Shape spatial(const Shape& shape) { return Shape(shape.begin() + 2, shape.end()); }

int64_t floor_half(int64_t value) { return value >= 0 ? value / 2 : -((1 - value) / 2); }

Geometry read_geometry(Context& c, const Shape& wide, const Shape& narrow) {
  Geometry g;
  g.wide = spatial(wide);
  g.narrow = spatial(narrow);
  g.kernel = spatial(c.shape("weight"));
  g.strides = c.integers("strides", std::vector<int64_t>(g.rank(), 1));
  g.dilations = c.integers("dilations", std::vector<int64_t>(g.rank(), 1));
  g.groups = c.integer("groups", 1);
  const std::string pad_type = c.string("pad_type", "valid");
  const std::vector<int64_t> pad = c.integers("pad", std::vector<int64_t>(2 * g.rank(), 0));
  for (size_t axis = 0; axis < g.rank(); ++axis) {
    const int64_t reach =
        (g.narrow[axis] - 1) * g.strides[axis] + (g.kernel[axis] - 1) * g.dilations[axis] + 1;
    const int64_t total = reach - g.wide[axis];
    int64_t before = pad_type == "custom" ? pad[2 * axis] : 0;
    if (pad_type == "same" && total > 0) before = floor_half(total);
    if (pad_type == "same_lower" && total > 0) before = total - floor_half(total);
    g.before.push_back(before);
    g.after.push_back(total - before);
  }
  return g;
}

bool is_pointwise(const Geometry& g) {
  const auto all = [](const std::vector<int64_t>& values, int64_t expected) {
    return std::all_of(values.begin(), values.end(), [=](int64_t v) { return v == expected; });
  };
  return g.groups == 1 && all(g.kernel, 1) && all(g.strides, 1) && all(g.before, 0) &&
         all(g.after, 0);
}

std::vector<Builder::Input> window_arguments(Builder& b, const Geometry& g,
                                             const std::vector<int64_t>& pad) {
  return {{"strides", integers(b, g.strides)},
          {"pad_type", b.constant(Literal::string("custom"))},
          {"pad", integers(b, pad)},
          {"dilations", integers(b, g.dilations)},
          {"groups", b.scalar(DataType::int32, static_cast<double>(g.groups))}};
}

// The narrow side's gradient spread over the wide side.
ValueId spread(Builder& b, const Geometry& g, ValueId narrow, ValueId weight, const Shape& wide) {
  if (is_pointwise(g)) {
    std::vector<int64_t> perm{1, 0};
    for (size_t axis = 0; axis < g.rank(); ++axis) perm.push_back(static_cast<int64_t>(axis) + 2);
    return b.linear(narrow, b.transpose(weight, perm));
  }
  std::vector<int64_t> pad;
  for (size_t axis = 0; axis < g.rank(); ++axis) {
    pad.push_back(g.before[axis]);
    pad.push_back(std::max<int64_t>(g.after[axis], 0));
  }
  std::vector<Builder::Input> arguments = window_arguments(b, g, pad);
  arguments.emplace_back("x", narrow);
  arguments.emplace_back("weight", weight);
  arguments.emplace_back("output_shape", integers(b, wide));
  return b.add("conv_transpose", arguments);
}

// The wide side's gradient read by conv; elements that no window reads are cut off first.
ValueId collect(Builder& b, const Geometry& g, ValueId wide, ValueId weight) {
  std::vector<int64_t> keep(2, 0);
  std::vector<int64_t> cut(2, 0);
  std::vector<int64_t> pad;
  for (size_t axis = 0; axis < g.rank(); ++axis) {
    keep.push_back(0);
    cut.push_back(std::min<int64_t>(g.after[axis], 0));
    pad.push_back(g.before[axis]);
    pad.push_back(std::max<int64_t>(g.after[axis], 0));
  }
  std::vector<Builder::Input> arguments = window_arguments(b, g, pad);
  arguments.emplace_back("x", pad_or_crop(b, wide, keep, cut));
  arguments.emplace_back("weight", weight);
  return b.add("conv", arguments);
}

// [n, channels, spatial...] as [n, groups, channels / groups, positions]; without groups as
// [n, channels, positions].
ValueId as_matrices(Builder& b, ValueId x, int64_t groups) {
  const Shape shape = b.shape(x);
  const int64_t positions = element_count(spatial(shape));
  if (groups == 1) return reshape(b, x, {shape[0], shape[1], positions});
  return reshape(b, x, {shape[0], groups, shape[1] / groups, positions});
}

// Sum over the batch of narrow [.., n_channels, positions] x wide [.., w_channels, positions]'.
ValueId correlate(Builder& b, ValueId narrow, ValueId wide) {
  const ValueId product = b.matmul(narrow, wide, false, true);
  return b.shape(product)[0] == 1 ? product : b.reduce("reduce_sum", product, {0}, true);
}

// The positions of the padded wide side that one tap of the kernel reads.
ValueId tap_slice(Builder& b, const Geometry& g, ValueId padded, const Shape& tap) {
  std::vector<int64_t> begin(2, 0);
  std::vector<int64_t> end(b.shape(padded).begin(), b.shape(padded).begin() + 2);
  std::vector<int64_t> stride(2, 1);
  for (size_t axis = 0; axis < g.rank(); ++axis) {
    begin.push_back(tap[axis] * g.dilations[axis]);
    end.push_back(begin.back() + (g.narrow[axis] - 1) * g.strides[axis] + 1);
    stride.push_back(g.strides[axis]);
  }
  return b.add("slice_by_index", {{"x", padded},
                                  {"begin", integers(b, begin)},
                                  {"end", integers(b, end)},
                                  {"stride", integers(b, stride)}});
}

// One matmul for each tap: weight[n, w, tap] = sum over positions of narrow[n, p] wide[w, p + tap].
// For a 1x1 kernel that is one matmul and reshapes, which a device turns into one gemm.
ValueId weight_gradient(Context& c, const Geometry& g, ValueId wide, ValueId narrow) {
  Builder& b = c.b;
  const Shape& weight = c.shape("weight");
  const ValueId narrow_matrices = as_matrices(b, narrow, g.groups);
  if (is_pointwise(g)) {
    return reshape(b, correlate(b, narrow_matrices, as_matrices(b, wide, 1)), weight);
  }
  std::vector<int64_t> before(2, 0);
  std::vector<int64_t> after(2, 0);
  before.insert(before.end(), g.before.begin(), g.before.end());
  after.insert(after.end(), g.after.begin(), g.after.end());
  const ValueId padded = pad_or_crop(b, wide, before, after);

  const Shape plain{weight[0], weight[1], 1};
  std::vector<ValueId> taps;
  Shape tap(g.rank(), 0);
  const int64_t count = element_count(g.kernel);
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i;
    for (size_t axis = g.rank(); axis-- > 0; rest /= g.kernel[axis]) {
      tap[axis] = rest % g.kernel[axis];
    }
    const ValueId positions = as_matrices(b, tap_slice(b, g, padded, tap), g.groups);
    taps.push_back(reshape(b, correlate(b, narrow_matrices, positions), plain));
  }
  return reshape(b, taps.size() == 1 ? taps.front() : b.concat(taps, 2), weight);
}

void add_bias_gradient(Context& c) {
  if (!c.wanted("bias")) return;
  std::vector<int64_t> axes{0};
  for (size_t axis = 2; axis < c.output_type().shape.size(); ++axis) {
    axes.push_back(static_cast<int64_t>(axis));
  }
  c.add("bias", c.b.reduce("reduce_sum", c.dy(), axes, false));
}

void conv(Context& c) {
  const Geometry g = read_geometry(c, c.shape("x"), c.output_type().shape);
  if (c.wanted("x")) c.add("x", spread(c.b, g, c.dy(), c.input("weight"), c.shape("x")));
  if (c.wanted("weight")) c.add("weight", weight_gradient(c, g, c.input("x"), c.dy()));
  add_bias_gradient(c);
}

void conv_transpose(Context& c) {
  const Geometry g = read_geometry(c, c.output_type().shape, c.shape("x"));
  if (c.wanted("x")) c.add("x", collect(c.b, g, c.dy(), c.input("weight")));
  if (c.wanted("weight")) c.add("weight", weight_gradient(c, g, c.dy(), c.input("x")));
  add_bias_gradient(c);
}

} // namespace

std::span<const RuleEntry> convolution_rules() {
  static const RuleEntry entries[] = {
      {"conv", conv},
      {"conv_transpose", conv_transpose},
  };
  return entries;
}

} // namespace anet::mil::gradient
