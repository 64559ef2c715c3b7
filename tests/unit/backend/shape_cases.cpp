// Cases of ops that move elements, and of quantisation.
#include "op_cases.h"

#include <algorithm>
#include <numeric>

namespace anet::backend::testing {

namespace {

using mil::Builder;
using mil::Literal;
using mil::ValueId;
using Input = Builder::Input;

const std::vector<DataType> movables = {DataType::fp32, DataType::fp16, DataType::int32,
                                        DataType::int8, DataType::boolean};
const std::vector<DataType> basics = {DataType::fp32, DataType::fp16, DataType::int32,
                                      DataType::boolean};
const std::vector<DataType> numbers = {DataType::fp32, DataType::fp16, DataType::int32};

using Build = std::function<ValueId(Builder&, Random&, ValueId x, const Shape& shape)>;

Shape random_shape(Random& random) { return random.shape(random.integer(1, 5)); }

ValueId int32s(Builder& b, const std::vector<int64_t>& values) {
  return b.constant(Literal::int32s(values));
}
ValueId flags(Builder& b, const std::vector<double>& values) {
  return b.constant(Literal::numbers({DataType::boolean, {std::ssize(values)}, {}}, values));
}
ValueId integer(Builder& b, int64_t value) {
  return b.constant(Literal::int32(static_cast<int32_t>(value)));
}
ValueId text(Builder& b, const char* value) { return b.constant(Literal::string(value)); }

std::vector<int64_t> random_permutation(Random& random, size_t rank) {
  std::vector<int64_t> perm(rank);
  std::iota(perm.begin(), perm.end(), int64_t{0});
  for (size_t d = rank; d > 1; --d) {
    std::swap(perm[d - 1],
              perm[static_cast<size_t>(random.integer(0, static_cast<int64_t>(d) - 1))]);
  }
  return perm;
}

int64_t random_axis(Random& random, const Shape& shape) {
  return random.integer(-std::ssize(shape), std::ssize(shape) - 1);
}

size_t positive(int64_t axis, const Shape& shape) {
  return static_cast<size_t>(axis < 0 ? axis + std::ssize(shape) : axis);
}

// One op on an input that is sometimes transposed first, and sometimes transposed after.
void add(std::vector<OpCase>& cases, const char* op, std::vector<DataType> dtypes, Build build) {
  OpCase result;
  result.name = result.covers = op;
  result.exact = true;
  result.dtypes = std::move(dtypes);
  result.build = [build](Random& random, DataType dtype) {
    Builder b;
    ValueId x = b.input("x", {dtype, random_shape(random), {}});
    if (random.coin()) x = b.transpose(x, random_permutation(random, b.shape(x).size()));
    const Shape shape = b.shape(x);
    ValueId y = build(b, random, x, shape);
    if (random.integer(0, 3) == 0)
      y = b.transpose(y, random_permutation(random, b.shape(y).size()));
    b.output(y, "out");
    return std::move(b).finish();
  };
  cases.push_back(std::move(result));
}

ValueId random_reshape(Builder& b, Random& random, ValueId x, const Shape& shape) {
  // Splits and merges: every factor of the element count may become an extent.
  int64_t rest = mil::element_count(shape);
  Shape target;
  while (rest > 1 && target.size() < 4) {
    std::vector<int64_t> divisors;
    for (int64_t n = 2; n <= rest; ++n) {
      if (rest % n == 0) divisors.push_back(n);
    }
    target.push_back(divisors[static_cast<size_t>(random.integer(0, std::ssize(divisors) - 1))]);
    rest /= target.back();
  }
  target.push_back(rest);
  return b.reshape(x, target);
}

struct Slice {
  std::vector<int64_t> begin, end, stride;
  std::vector<double> begin_mask, end_mask, squeeze_mask;
};

Slice random_slice(Random& random, const Shape& shape) {
  Slice s;
  for (const int64_t extent : shape) {
    const bool backward = random.integer(0, 3) == 0;
    const int64_t low = random.integer(0, extent - 1), high = random.integer(low, extent - 1);
    s.begin.push_back(backward ? high : random.coin() ? low : low - extent);
    // Before the first element there is only the mask.
    s.end.push_back(backward ? low - 1 : high + 1);
    s.stride.push_back(backward ? -random.integer(1, 2) : random.integer(1, 3));
    s.begin_mask.push_back(random.integer(0, 3) == 0 ? 1 : 0);
    s.end_mask.push_back(random.integer(0, 3) == 0 || (backward && low == 0) ? 1 : 0);
    const bool squeeze = random.integer(0, 5) == 0;
    s.squeeze_mask.push_back(squeeze ? 1 : 0);
    if (squeeze) s.begin_mask.back() = 0;
  }
  return s;
}

void add_slice(Builder& b, const Slice& s, std::vector<Input>& inputs) {
  inputs.push_back({"begin", int32s(b, s.begin)});
  inputs.push_back({"end", int32s(b, s.end)});
  inputs.push_back({"stride", int32s(b, s.stride)});
  inputs.push_back({"begin_mask", flags(b, s.begin_mask)});
  inputs.push_back({"end_mask", flags(b, s.end_mask)});
  inputs.push_back({"squeeze_mask", flags(b, s.squeeze_mask)});
}

void add_views(std::vector<OpCase>& cases) {
  add(cases, "reshape", movables, random_reshape);
  add(cases, "transpose", movables, [](Builder& b, Random& random, ValueId x, const Shape& shape) {
    return b.transpose(x, random_permutation(random, shape.size()));
  });
  // Large enough for several tiles and both threads.
  cases.push_back({.name = "transpose of a large matrix",
                   .covers = "transpose",
                   .build =
                       [](Random& random, DataType dtype) {
                         Builder b;
                         const Shape shape = {random.integer(1, 2), random.integer(120, 140),
                                              random.integer(1, 2), random.integer(120, 140)};
                         const ValueId x = b.input("x", {dtype, shape, {}});
                         b.output(b.transpose(x, {0, 3, 2, 1}), "out");
                         return std::move(b).finish();
                       },
                   .dtypes = movables,
                   .ranges = {},
                   .exact = true});
  add(cases, "expand_dims", movables,
      [](Builder& b, Random& random, ValueId x, const Shape& shape) {
        // Rank 6 at most.
        return b.add("expand_dims",
                     {{"x", x}, {"axes", int32s(b, {random.integer(0, std::ssize(shape))})}});
      });
  add(cases, "squeeze", movables, [](Builder& b, Random& random, ValueId x, Shape shape) {
    const auto at = random.integer(0, std::ssize(shape));
    shape.insert(shape.begin() + at, 1);
    const ValueId expanded = b.reshape(x, shape);
    return b.add("squeeze", {{"x", expanded}, {"axes", int32s(b, {at})}});
  });
  add(cases, "reverse", movables, [](Builder& b, Random& random, ValueId x, const Shape& shape) {
    std::vector<int64_t> axes = {random_axis(random, shape)};
    return b.add("reverse", {{"x", x}, {"axes", int32s(b, axes)}});
  });
  add(cases, "slice_by_size", movables,
      [](Builder& b, Random& random, ValueId x, const Shape& shape) {
        std::vector<int64_t> begin, size;
        for (const int64_t extent : shape) {
          begin.push_back(random.integer(0, extent - 1));
          size.push_back(random.integer(1, extent - begin.back()));
          if (random.integer(0, 3) == 0) begin.back() -= extent;
        }
        return b.slice_by_size(x, begin, size);
      });
  add(cases, "slice_by_index", movables,
      [](Builder& b, Random& random, ValueId x, const Shape& shape) {
        std::vector<Input> inputs = {{"x", x}};
        add_slice(b, random_slice(random, shape), inputs);
        return b.add("slice_by_index", inputs);
      });
  add(cases, "slice_update", movables,
      [](Builder& b, Random& random, ValueId x, const Shape& shape) {
        const Slice slice = random_slice(random, shape);
        std::vector<Input> probe = {{"x", x}};
        add_slice(b, slice, probe);
        const ValueId box = b.add("slice_by_index", probe);
        if (b.shape(box).empty()) return x; // an update has at least one dimension
        // A view of x, or an input of its own.
        const ValueId update = random.integer(0, 2) == 0
                                   ? b.add("reverse", {{"x", box}, {"axes", int32s(b, {0})}})
                                   : b.input("update", {b.type(x).dtype, b.shape(box), {}});
        std::vector<Input> inputs = {{"x", x}, {"update", update}};
        add_slice(b, slice, inputs);
        return b.add("slice_update", inputs);
      });
  add(cases, "split", basics, [](Builder& b, Random& random, ValueId x, const Shape& shape) {
    const int64_t axis = random_axis(random, shape);
    const int64_t extent = shape[positive(axis, shape)];
    if (extent == 1) return x;
    const int64_t first = random.integer(1, extent - 1);
    const std::vector<Input> inputs = {
        {"x", x}, {"split_sizes", int32s(b, {first, extent - first})}, {"axis", integer(b, axis)}};
    const std::vector<ValueId> parts = b.add_multiple("split", inputs);
    b.output(parts[1], "second");
    return parts[0];
  });
}

// A port whose type fixes padded rows, read and written as plain tensors.
Function build_buffers(Random& random, DataType dtype) {
  Builder b;
  const int64_t rows = random.integer(1, 9), columns = random.integer(1, 40);
  const int64_t stride = (columns + 31) / 32 * 32;
  const std::vector<int64_t> strides = {stride, 1};
  const std::vector<int64_t> ones = {1, 1};
  const ValueId x = b.input("x", {dtype, {rows, columns}, mil::BufferLayout{strides, ones}});
  const ValueId tensor = b.add("tensor_buffer_to_tensor", {{"input", x}});
  const ValueId sum = b.add(tensor, tensor);
  const auto list = [&](DataType type, const std::vector<int64_t>& values) {
    const std::vector<double> doubles(values.begin(), values.end());
    return b.constant(Literal::numbers({type, {2}, {}}, doubles));
  };
  b.output(b.add("tensor_to_tensor_buffer", {{"input", sum},
                                             {"interleave_factors", list(DataType::uint8, ones)},
                                             {"strides", list(DataType::int64, strides)}}),
           "out");
  return std::move(b).finish();
}

void add_copies(std::vector<OpCase>& cases) {
  for (const char* op : {"tensor_buffer_to_tensor", "tensor_to_tensor_buffer"}) {
    cases.push_back(
        {.name = op, .covers = op, .build = build_buffers, .ranges = {}, .exact = true});
  }
  add(cases, "concat", movables, [](Builder& b, Random& random, ValueId x, const Shape& shape) {
    const int64_t axis = random_axis(random, shape);
    Shape other = shape;
    const bool interleave = random.integer(0, 3) == 0;
    if (!interleave) other[positive(axis, shape)] = random.extent();
    const ValueId y = b.input("y", {b.type(x).dtype, other, {}});
    return b.add("concat", {{"values", std::vector<ValueId>{x, y, x}},
                            {"axis", integer(b, axis)},
                            {"interleave", b.constant(Literal::boolean(interleave))}});
  });
  add(cases, "stack", movables, [](Builder& b, Random& random, ValueId x, const Shape& shape) {
    const ValueId y = b.input("y", {b.type(x).dtype, shape, {}});
    return b.add("stack", {{"values", std::vector<ValueId>{x, y}},
                           {"axis", integer(b, random.integer(0, std::ssize(shape)))}});
  });
  add(cases, "tile", basics, [](Builder& b, Random& random, ValueId x, const Shape& shape) {
    std::vector<int64_t> reps;
    for (size_t d = 0; d < shape.size(); ++d) reps.push_back(random.integer(1, 3));
    return b.add("tile", {{"x", x}, {"reps", int32s(b, reps)}});
  });
  for (const char* mode : {"constant", "reflect", "replicate"}) {
    add(cases, "pad", {DataType::fp32, DataType::fp16},
        [mode](Builder& b, Random& random, ValueId x, const Shape& shape) {
          std::vector<int64_t> pad;
          // Reflection pads at most the last two axes in coremltools.
          const int64_t axes = random.integer(1, std::min<int64_t>(2, std::ssize(shape)));
          for (int64_t i = std::ssize(shape) - axes; i < std::ssize(shape); ++i) {
            const int64_t most = std::min<int64_t>(
                3, std::string(mode) == "reflect" ? shape[static_cast<size_t>(i)] - 1 : 3);
            pad.push_back(random.integer(0, most));
            pad.push_back(random.integer(0, most));
          }
          return b.add("pad", {{"x", x},
                               {"pad", int32s(b, pad)},
                               {"mode", text(b, mode)},
                               {"constant_val", b.scalar(b.type(x).dtype, 1.5)}});
        });
  }
}

// Indices of an axis, negative ones too, as a constant.
ValueId random_indices(Builder& b, Random& random, const Shape& shape, int64_t extent) {
  Tensor indices = random_tensor(random, {DataType::int32, shape, {}},
                                 {static_cast<double>(-extent), static_cast<double>(extent - 1)});
  return b.constant(Literal::numbers(indices.type, indices.values));
}

void add_gathers(std::vector<OpCase>& cases) {
  const std::vector<DataType> gatherable = {DataType::fp32, DataType::fp16, DataType::int32,
                                            DataType::int8};
  add(cases, "gather", gatherable, [](Builder& b, Random& random, ValueId x, const Shape& shape) {
    const int64_t axis = random_axis(random, shape);
    const size_t at = positive(axis, shape);
    const int64_t batch_dims = random.integer(0, std::min<int64_t>(1, static_cast<int64_t>(at)));
    Shape index_shape(shape.begin(), shape.begin() + batch_dims);
    index_shape.push_back(random.integer(1, 5));
    const ValueId indices = random_indices(b, random, index_shape, shape[at]);
    return b.add("gather", {{"x", x},
                            {"indices", indices},
                            {"axis", integer(b, axis)},
                            {"batch_dims", integer(b, batch_dims)}});
  });
  add(cases, "gather_along_axis", gatherable,
      [](Builder& b, Random& random, ValueId x, Shape shape) {
        const int64_t axis = random_axis(random, shape);
        int64_t& along = shape[positive(axis, shape)];
        const int64_t extent = along;
        along = random.integer(1, 5);
        return b.gather_along_axis(x, random_indices(b, random, shape, extent), axis);
      });
  for (const char* mode : {"add", "sub", "mul", "max", "min", "update"}) {
    add(cases, "scatter", numbers,
        [mode](Builder& b, Random& random, ValueId x, const Shape& shape) {
          const int64_t axis = random_axis(random, shape);
          const size_t at = positive(axis, shape);
          const int64_t count = random.integer(1, 3);
          Shape updates = shape;
          updates[at] = count;
          // Distinct rows: fp16 sums of repeated ones round after each addition.
          std::vector<int64_t> rows(static_cast<size_t>(shape[at]));
          std::iota(rows.begin(), rows.end(), int64_t{0});
          std::reverse(rows.begin(), rows.end());
          if (std::ssize(rows) < count) return x;
          rows.resize(static_cast<size_t>(count));
          return b.add("scatter", {{"data", x},
                                   {"indices", int32s(b, rows)},
                                   {"updates", b.input("updates", {b.type(x).dtype, updates, {}})},
                                   {"axis", integer(b, axis)},
                                   {"mode", text(b, mode)}});
        });
    add(cases, "scatter_along_axis", numbers,
        [mode](Builder& b, Random& random, ValueId x, const Shape& shape) {
          const int64_t axis = random_axis(random, shape);
          Shape updates = shape;
          updates[positive(axis, shape)] = 1;
          const ValueId indices = random_indices(b, random, updates, shape[positive(axis, shape)]);
          return b.add("scatter_along_axis",
                       {{"data", x},
                        {"indices", indices},
                        {"updates", b.input("updates", {b.type(x).dtype, updates, {}})},
                        {"axis", integer(b, axis)},
                        {"mode", text(b, mode)}});
        });
  }
  OpCase one_hot;
  one_hot.name = one_hot.covers = "one_hot";
  one_hot.dtypes = {DataType::fp32, DataType::fp16, DataType::int32, DataType::boolean};
  one_hot.exact = true;
  one_hot.ranges = {{"indices", {-1, 6}}};
  one_hot.build = [](Random& random, DataType dtype) {
    Builder b;
    const Shape shape = random.shape(random.integer(1, 4), 300);
    const ValueId indices = b.input("indices", {DataType::int32, shape, {}});
    const bool truth = dtype == DataType::boolean;
    b.output(b.add("one_hot", {{"indices", indices},
                               {"one_hot_vector_size", integer(b, 5)},
                               {"axis", integer(b, random.integer(-1, std::ssize(shape)))},
                               {"on_value", b.scalar(dtype, truth ? 1 : 3)},
                               {"off_value", b.scalar(dtype, truth ? 0 : -1)}}),
             "out");
    return std::move(b).finish();
  };
  cases.push_back(std::move(one_hot));
}

void add_quantization(std::vector<OpCase>& cases) {
  const auto add_case = [&](const char* op, std::vector<DataType> dtypes,
                            std::function<Function(Random&, DataType)> build) {
    OpCase result;
    result.name = result.covers = op;
    result.exact = true;
    result.dtypes = std::move(dtypes);
    result.build = std::move(build);
    result.ranges = {{"x", {-40, 40}}, {"q", {-100, 100}}};
    cases.push_back(std::move(result));
  };
  const std::vector<DataType> floats = {DataType::fp32, DataType::fp16};
  // Powers of two, so that quotients are the same in any precision.
  const auto scales = [](Builder& b, DataType dtype, int64_t count) {
    std::vector<double> values;
    for (int64_t i = 0; i < count; ++i) values.push_back(i % 2 == 0 ? 0.25 : 0.5);
    return b.constant(Literal::numbers({dtype, {count}, {}}, values));
  };
  const auto zeros = [](Builder& b, Random& random, int64_t count) {
    const Tensor zero = random_tensor(random, {DataType::int8, {count}, {}}, {-5, 5});
    return b.constant(Literal::numbers(zero.type, zero.values));
  };
  add_case("quantize", floats, [=](Random& random, DataType dtype) {
    Builder b;
    const Shape shape = random_shape(random);
    const int64_t axis = random_axis(random, shape);
    const int64_t count = shape[positive(axis, shape)];
    b.output(b.add("quantize", {{"input", b.input("x", {dtype, shape, {}})},
                                {"zero_point", zeros(b, random, count)},
                                {"scale", scales(b, dtype, count)},
                                {"axis", integer(b, axis)},
                                {"output_dtype", text(b, "int8")}}),
             "out");
    return std::move(b).finish();
  });
  add_case("dequantize", floats, [=](Random& random, DataType dtype) {
    Builder b;
    const Shape shape = random_shape(random);
    const int64_t axis = random_axis(random, shape);
    const int64_t count = shape[positive(axis, shape)];
    b.output(b.add("dequantize", {{"input", b.input("q", {DataType::int8, shape, {}})},
                                  {"zero_point", zeros(b, random, count)},
                                  {"scale", scales(b, dtype, count)},
                                  {"axis", integer(b, axis)}}),
             "out");
    return std::move(b).finish();
  });
  // Compressed constants meet an input, so that neither a pass nor the port folds them away.
  const auto with_input = [](Builder& b, ValueId constant) {
    b.output(b.add(b.input("x", b.type(constant)), constant), "out");
    return std::move(b).finish();
  };
  const auto literal = [](Builder& b, Random& random, DataType dtype, const Shape& shape,
                          Range range) {
    const Tensor tensor = random_tensor(random, {dtype, shape, {}}, range);
    return b.constant(Literal::numbers(tensor.type, tensor.values));
  };
  add_case("constexpr_affine_dequantize", floats, [=](Random& random, DataType dtype) {
    Builder b;
    return with_input(
        b, b.add("constexpr_affine_dequantize",
                 {{"quantized_data", literal(b, random, DataType::int8, {70, 80}, {-100, 100})},
                  {"zero_point", zeros(b, random, 70)},
                  {"scale", scales(b, dtype, 70)},
                  {"axis", integer(b, 0)}}));
  });
  add_case("constexpr_blockwise_shift_scale", floats, [=](Random& random, DataType dtype) {
    Builder b;
    const DataType stored = random.coin() ? DataType::int4 : DataType::int8;
    std::vector<double> values;
    for (int i = 0; i < 12; ++i) values.push_back(i % 2 == 0 ? 0.25 : 0.5);
    const ValueId scale = b.constant(Literal::numbers({dtype, {4, 3}, {}}, values));
    return with_input(b, b.add("constexpr_blockwise_shift_scale",
                               {{"data", literal(b, random, stored, {64, 96}, {-8, 7})},
                                {"scale", scale},
                                {"offset", literal(b, random, stored, {4, 3}, {-3, 3})}}));
  });
  add_case("constexpr_lut_to_dense", floats, [=](Random& random, DataType dtype) {
    Builder b;
    return with_input(b, b.add("constexpr_lut_to_dense",
                               {{"indices", literal(b, random, DataType::uint4, {32, 64}, {0, 15})},
                                {"lut", literal(b, random, dtype, {2, 4, 16, 3}, {-2, 2})},
                                {"vector_axis", integer(b, random.integer(0, 1))}}));
  });
  add_case("constexpr_sparse_to_dense", floats, [=](Random& random, DataType dtype) {
    Builder b;
    const Tensor mask = random_tensor(random, {DataType::uint1, {65, 70}, {}}, {0, 1});
    const auto set = static_cast<int64_t>(std::count(mask.values.begin(), mask.values.end(), 1.0));
    return with_input(b, b.add("constexpr_sparse_to_dense",
                               {{"nonzero_data", literal(b, random, dtype, {set}, {-2, 2})},
                                {"mask", b.constant(Literal::numbers(mask.type, mask.values))}}));
  });
  add_case("constexpr_cast", {DataType::fp32}, [=](Random& random, DataType) {
    Builder b;
    return with_input(b,
                      b.add("constexpr_cast",
                            {{"source_val", literal(b, random, DataType::fp16, {70, 70}, {-2, 2})},
                             {"output_dtype", text(b, "fp32")}}));
  });
  add_case("const", floats, [=](Random& random, DataType dtype) {
    Builder b;
    return with_input(b, literal(b, random, dtype, {70, 70}, {-2, 2}));
  });
}

} // namespace

void add_shape_cases(std::vector<OpCase>& cases) {
  add_views(cases);
  add_copies(cases);
}

void add_index_cases(std::vector<OpCase>& cases) {
  add_gathers(cases);
  add_quantization(cases);
}

} // namespace anet::backend::testing
