// conv and conv_transpose over one to three spatial axes.
#include "mil/interpreter/context.h"

#include <cmath>

namespace anet::mil::interpreter {

namespace {

// The geometry that both ops share. `wide` is the side that conv reads and conv_transpose writes,
// `narrow` the other: wide position = narrow position * stride + tap * dilation - pad.
struct Geometry {
  Shape wide; // spatial extents
  Shape narrow;
  Shape kernel;
  std::vector<int64_t> strides;
  std::vector<int64_t> dilations;
  std::vector<int64_t> pad_before;
  int64_t groups = 1;
};

Shape spatial(const Shape& shape) { return Shape(shape.begin() + 2, shape.end()); }

// How far the windows reach past the input in all.
int64_t total_padding(const Geometry& g, size_t axis) {
  const int64_t reach =
      (g.narrow[axis] - 1) * g.strides[axis] + (g.kernel[axis] - 1) * g.dilations[axis] + 1;
  return reach - g.wide[axis];
}

// Rounds toward minus infinity, so that a negative total leaves its odd element at the end.
int64_t floor_half(int64_t value) { return value >= 0 ? value / 2 : -((1 - value) / 2); }

Geometry read_geometry(Context& c, const Tensor& wide, const Tensor& narrow) {
  Geometry g;
  g.wide = spatial(wide.type.shape);
  g.narrow = spatial(narrow.type.shape);
  g.kernel = spatial(c.tensor("weight").type.shape);
  const size_t rank = g.wide.size();
  g.strides = c.integers_or("strides", std::vector<int64_t>(rank, 1));
  g.dilations = c.integers_or("dilations", std::vector<int64_t>(rank, 1));
  g.groups = c.integer_or("groups", 1);
  g.pad_before.assign(rank, 0);
  const std::string pad_type = c.string_or("pad_type", "valid");
  const std::vector<int64_t> pad = c.integers_or("pad", std::vector<int64_t>(2 * rank, 0));
  for (size_t axis = 0; axis < rank; ++axis) {
    if (pad_type == "custom") g.pad_before[axis] = pad[2 * axis];
    const int64_t total = total_padding(g, axis);
    if (pad_type == "same" && total > 0) g.pad_before[axis] = floor_half(total);
    if (pad_type == "same_lower" && total > 0) g.pad_before[axis] = total - floor_half(total);
  }
  return g;
}

// Calls f(offset in the wide plane, offset in the narrow plane, offset in the kernel) for every
// pair of positions that a tap joins.
template <typename F>
void for_each_tap(const Geometry& g, F&& f) {
  const std::vector<int64_t> wide_strides = contiguous_strides(g.wide);
  int64_t narrow_offset = 0;
  for_each_index(g.narrow, [&](const Shape& position) {
    int64_t kernel_offset = 0;
    for_each_index(g.kernel, [&](const Shape& tap) {
      int64_t wide_offset = 0;
      bool inside = true;
      for (size_t axis = 0; axis < position.size(); ++axis) {
        const int64_t at =
            position[axis] * g.strides[axis] + tap[axis] * g.dilations[axis] - g.pad_before[axis];
        inside = inside && at >= 0 && at < g.wide[axis];
        wide_offset += at * wide_strides[axis];
      }
      if (inside) f(wide_offset, narrow_offset, kernel_offset);
      ++kernel_offset;
    });
    ++narrow_offset;
  });
}

void add_bias(Context& c, Tensor& output) {
  if (!c.has("bias")) return;
  const Tensor& bias = c.tensor("bias");
  const AxisView view = view_axis(output.type.shape, 1);
  for (int64_t n = 0; n < view.outer; ++n) {
    for (int64_t channel = 0; channel < view.extent; ++channel) {
      const double value = bias.values[static_cast<size_t>(channel) % bias.values.size()];
      for (int64_t i = 0; i < view.inner; ++i) output.values[view.at(n, channel, i)] += value;
    }
  }
}

// x [N, C_in, ...], weight [C_out, C_in / groups, ...].
void conv(Context& c) {
  const Tensor& x = c.tensor("x");
  const Tensor& weight = c.tensor("weight");
  Tensor& output = c.output();
  const Geometry g = read_geometry(c, x, output);
  const AxisView in = view_axis(x.type.shape, 1);
  const AxisView out = view_axis(output.type.shape, 1);
  const int64_t group_in = in.extent / g.groups;
  const int64_t group_out = out.extent / g.groups;
  const int64_t taps = element_count(g.kernel);
  for (int64_t n = 0; n < out.outer; ++n) {
    for (int64_t o = 0; o < out.extent; ++o) {
      for (int64_t i = 0; i < group_in; ++i) {
        const double* source = &x.values[in.at(n, o / group_out * group_in + i, 0)];
        const double* kernel = &weight.values[static_cast<size_t>((o * group_in + i) * taps)];
        double* target = &output.values[out.at(n, o, 0)];
        for_each_tap(g, [&](int64_t wide, int64_t narrow, int64_t tap) {
          target[narrow] += source[wide] * kernel[tap];
        });
      }
    }
  }
  add_bias(c, output);
  if (c.f16()) overflow_products(output);
}

// x [N, C_in, ...], weight [C_in, C_out / groups, ...].
void conv_transpose(Context& c) {
  const Tensor& x = c.tensor("x");
  const Tensor& weight = c.tensor("weight");
  Tensor& output = c.output();
  const Geometry g = read_geometry(c, output, x);
  const AxisView in = view_axis(x.type.shape, 1);
  const AxisView out = view_axis(output.type.shape, 1);
  const int64_t group_in = in.extent / g.groups;
  const int64_t group_out = out.extent / g.groups;
  const int64_t taps = element_count(g.kernel);
  for (int64_t n = 0; n < in.outer; ++n) {
    for (int64_t i = 0; i < in.extent; ++i) {
      for (int64_t o = 0; o < group_out; ++o) {
        const double* source = &x.values[in.at(n, i, 0)];
        const double* kernel = &weight.values[static_cast<size_t>((i * group_out + o) * taps)];
        double* target = &output.values[out.at(n, i / group_in * group_out + o, 0)];
        for_each_tap(g, [&](int64_t wide, int64_t narrow, int64_t tap) {
          target[wide] += source[narrow] * kernel[tap];
        });
      }
    }
  }
  add_bias(c, output);
  if (c.f16()) overflow_products(output);
}

} // namespace

std::span<const OpEntry> convolution_ops() {
  static const OpEntry entries[] = {
      {"conv", conv},
      {"conv_transpose", conv_transpose},
  };
  return entries;
}

} // namespace anet::mil::interpreter
