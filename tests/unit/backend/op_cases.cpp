#include "op_cases.h"

#include <numeric>

namespace anet::backend::testing {

namespace {

using mil::Builder;
using mil::Literal;
using mil::ValueId;
using Input = Builder::Input;

const std::vector<DataType> floats = {DataType::fp32, DataType::fp16, DataType::bf16};
const std::vector<DataType> f32_f16 = {DataType::fp32, DataType::fp16};
const std::vector<DataType> numbers = {DataType::fp32, DataType::fp16, DataType::int32};
const std::vector<DataType> booleans = {DataType::boolean};
const std::vector<DataType> movables = {DataType::fp32, DataType::fp16, DataType::int32,
                                        DataType::int8, DataType::boolean};

Function finish(Builder& b, ValueId output) {
  b.output(output, "out");
  return std::move(b).finish();
}

ValueId scalar(Builder& b, DataType dtype, double value) { return b.scalar(dtype, value); }
ValueId int32s(Builder& b, const std::vector<int64_t>& values) {
  return b.constant(Literal::int32s(values));
}
ValueId flag(Builder& b, bool value) { return b.constant(Literal::boolean(value)); }
ValueId text(Builder& b, const char* value) { return b.constant(Literal::string(value)); }
ValueId integer(Builder& b, int64_t value) {
  return b.constant(Literal::int32(static_cast<int32_t>(value)));
}

// An input behind a random view, so that ops see strides: transposed, sliced or plain. `shape` is
// what the op sees.
ValueId viewed_input(Builder& b, Random& random, const std::string& name, DataType dtype,
                     const Shape& shape) {
  const auto rank = static_cast<int64_t>(shape.size());
  switch (rank == 0 ? 0 : random.integer(0, 3)) {
  case 1: {
    std::vector<int64_t> perm(shape.size());
    std::iota(perm.begin(), perm.end(), int64_t{0});
    for (size_t d = perm.size(); d > 1; --d) {
      std::swap(perm[d - 1],
                perm[static_cast<size_t>(random.integer(0, static_cast<int64_t>(d) - 1))]);
    }
    Shape source(shape.size());
    for (size_t d = 0; d < shape.size(); ++d) source[static_cast<size_t>(perm[d])] = shape[d];
    return b.transpose(b.input(name, {dtype, source, {}}), perm);
  }
  case 2: {
    Shape source = shape;
    std::vector<int64_t> begin(shape.size(), 0);
    const auto d = static_cast<size_t>(random.integer(0, rank - 1));
    source[d] += 3;
    begin[d] = random.integer(0, 3);
    return b.slice_by_size(b.input(name, {dtype, source, {}}), begin, shape);
  }
  default:
    return b.input(name, {dtype, shape, {}});
  }
}

Shape random_shape(Random& random) { return random.shape(random.integer(1, 5)); }

// A shape that broadcasts with `shape`: extents of 1, leading dimensions dropped.
Shape narrowed(Random& random, const Shape& shape) {
  Shape result = shape;
  for (int64_t& extent : result) {
    if (random.integer(0, 3) == 0) extent = 1;
  }
  if (random.integer(0, 3) == 0) {
    result.erase(result.begin(), result.begin() + random.integer(0, std::ssize(result)));
  }
  return result;
}

int64_t random_axis(Random& random, const Shape& shape) {
  const int64_t rank = std::ssize(shape);
  return random.integer(-rank, rank - 1);
}

std::vector<int64_t> random_axes(Random& random, const Shape& shape) {
  std::vector<int64_t> axes;
  for (int64_t d = 0; d < std::ssize(shape); ++d) {
    if (random.coin()) axes.push_back(random.coin() ? d : d - std::ssize(shape));
  }
  if (axes.empty()) axes.push_back(random_axis(random, shape));
  return axes;
}

using Extra = std::function<std::vector<Input>(Builder&, Random&, DataType)>;

OpCase unary(const char* op, std::vector<DataType> dtypes, Range range = {}, bool exact = false,
             Extra extra = {}) {
  OpCase result;
  result.name = result.covers = op;
  result.dtypes = std::move(dtypes);
  result.exact = exact;
  result.ranges = {{"x", range}};
  result.build = [op, extra](Random& random, DataType dtype) {
    Builder b;
    const ValueId x = viewed_input(b, random, "x", dtype, random_shape(random));
    std::vector<Input> inputs = {{"x", x}};
    if (extra) {
      for (Input& input : extra(b, random, dtype)) inputs.push_back(std::move(input));
    }
    return finish(b, b.add(op, inputs));
  };
  return result;
}

OpCase binary(const char* op, std::vector<DataType> dtypes, Range x_range = {}, Range y_range = {},
              bool exact = true) {
  OpCase result;
  result.name = result.covers = op;
  result.dtypes = std::move(dtypes);
  result.exact = exact;
  result.ranges = {{"x", x_range}, {"y", y_range}};
  result.build = [op](Random& random, DataType dtype) {
    Builder b;
    const Shape shape = random_shape(random);
    const bool first = random.coin();
    const ValueId x = viewed_input(b, random, "x", dtype, first ? shape : narrowed(random, shape));
    const ValueId y = viewed_input(b, random, "y", dtype, first ? narrowed(random, shape) : shape);
    return finish(b, b.binary(op, x, y));
  };
  return result;
}

OpCase special(const char* op, std::function<Function(Random&, DataType)> build,
               std::vector<DataType> dtypes, bool exact, std::map<std::string, Range> ranges = {}) {
  OpCase result;
  result.name = result.covers = op;
  result.build = std::move(build);
  result.dtypes = std::move(dtypes);
  result.exact = exact;
  result.ranges = std::move(ranges);
  return result;
}

Extra parameter(const char* name, double value) {
  return [=](Builder& b, Random&, DataType dtype) {
    return std::vector<Input>{{name, scalar(b, dtype, value)}};
  };
}

void add_unary(std::vector<OpCase>& cases) {
  const auto two = [](double alpha, double beta) -> Extra {
    return [=](Builder& b, Random&, DataType dtype) {
      return std::vector<Input>{{"alpha", scalar(b, dtype, alpha)},
                                {"beta", scalar(b, dtype, beta)}};
    };
  };
  const Range wide{-12, 12}, positive{0.01, 20};
  for (const char* op : {"abs", "sign"}) cases.push_back(unary(op, numbers, wide, true));
  cases.push_back(unary("square", numbers, wide, true));
  cases.push_back(unary("exp2", numbers, {-6, 6}));
  cases.push_back(unary("exp2", {DataType::fp32}, {-126, 127}));
  for (const char* op : {"ceil", "floor", "round", "relu", "relu6"}) {
    cases.push_back(unary(op, floats, wide, true));
  }
  for (const char* op : {"atan", "erf", "exp", "sigmoid", "silu", "softplus", "softsign", "tanh"}) {
    cases.push_back(unary(op, floats, wide));
  }
  for (const char* op : {"cos", "sin"}) cases.push_back(unary(op, floats, wide));
  cases.push_back(unary("tan", floats, {-1.2, 1.2}));
  cases.push_back(unary("sqrt", floats, positive));
  cases.push_back(unary("rsqrt", floats, positive, false, parameter("epsilon", 1e-5)));
  cases.push_back(unary("inverse", floats, positive, false, parameter("epsilon", 1e-3)));
  cases.push_back(unary("log", floats, positive, false, parameter("epsilon", 1e-3)));
  cases.push_back(unary("elu", floats, wide, false, parameter("alpha", 0.75)));
  cases.push_back(unary("leaky_relu", f32_f16, wide, true, parameter("alpha", 0.25)));
  cases.push_back(unary("threshold", f32_f16, wide, true, parameter("alpha", 0.5)));
  cases.push_back(unary("threshold", {DataType::int32}, wide, true, parameter("alpha", 2)));
  cases.push_back(unary("clip", f32_f16, wide, true, two(-1.5, 3)));
  cases.push_back(unary("sigmoid_hard", f32_f16, wide, false, two(0.25, 0.5)));
  cases.push_back(unary("identity", movables, wide, true));
  cases.push_back(unary("logical_not", booleans, {}, true));
  for (const char* mode : {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"}) {
    cases.push_back(unary("gelu", floats, {-6, 6}, false, [mode](Builder& b, Random&, DataType) {
      return std::vector<Input>{{"mode", text(b, mode)}};
    }));
    // The lower tail: 1 + erf would cancel there.
    cases.back().name += mode;
  }
  for (const char* to : {"fp32", "fp16", "int32", "int8", "uint8", "int16", "uint16", "bool"}) {
    cases.push_back(unary("cast", movables, {-300, 300}, true, [to](Builder& b, Random&, DataType) {
      return std::vector<Input>{{"dtype", text(b, to)}};
    }));
    cases.back().name += to;
    cases.back().dtypes = {DataType::fp32, DataType::fp16, DataType::int32, DataType::boolean};
  }
  cases.push_back(
      unary("cast", {DataType::int8}, {-128, 127}, true, [](Builder& b, Random&, DataType) {
        return std::vector<Input>{{"dtype", text(b, "fp16")}};
      }));
}

void add_binary(std::vector<OpCase>& cases) {
  const Range wide{-9, 9}, away{0.5, 9};
  for (const char* op : {"add", "sub", "mul", "maximum", "minimum"}) {
    cases.push_back(binary(op, numbers, wide, wide));
  }
  cases.push_back(binary("real_div", f32_f16, wide, away));
  cases.push_back(binary("real_div", {DataType::int32}, {-99, 99}, wide));
  cases.push_back(binary("pow", f32_f16, away, {-2, 2}, false));
  cases.push_back(binary("pow", {DataType::int32}, wide, {-2, 9}));
  for (const double exponent : {2.0, 0.5, -0.5, 3.0}) {
    cases.push_back(special("pow",
                            [exponent](Random& random, DataType dtype) {
                              Builder b;
                              const ValueId x =
                                  viewed_input(b, random, "x", dtype, random_shape(random));
                              return finish(b, b.binary("pow", x, b.scalar(dtype, exponent)));
                            },
                            floats, false, {{"x", {0.01, 20}}}));
    cases.back().name += " " + std::to_string(exponent);
  }
  for (const char* op : {"floor_div", "mod"}) {
    cases.push_back(binary(op, f32_f16, wide, away, false));
    cases.push_back(binary(op, {DataType::int32}, {-99, 99}, wide));
  }
  for (const char* op : {"equal", "not_equal", "greater", "greater_equal", "less", "less_equal"}) {
    cases.push_back(binary(op, numbers, wide, wide));
  }
  for (const char* op : {"logical_and", "logical_or", "logical_xor"}) {
    cases.push_back(binary(op, booleans));
  }
  cases.push_back(special(
      "select",
      [](Random& random, DataType dtype) {
        Builder b;
        const Shape shape = random_shape(random);
        const ValueId cond =
            viewed_input(b, random, "cond", DataType::boolean, narrowed(random, shape));
        const ValueId x = viewed_input(b, random, "x", dtype, shape);
        const ValueId y = viewed_input(b, random, "y", dtype, narrowed(random, shape));
        return finish(b, b.add("select", {{"cond", cond}, {"a", x}, {"b", y}}));
      },
      {DataType::fp32, DataType::fp16, DataType::int32, DataType::boolean}, true));
}

Function build_matmul(Random& random, DataType dtype) {
  Builder b;
  const int64_t m = random.extent(), n = random.extent(), k = random.extent();
  const bool transpose_x = random.coin(), transpose_y = random.coin();
  const Shape batch = random.shape(random.integer(0, 3), 12);
  Shape x = random.coin() ? batch : narrowed(random, batch);
  Shape y = random.coin() ? batch : narrowed(random, batch);
  for (const int64_t extent : transpose_x ? Shape{k, m} : Shape{m, k}) x.push_back(extent);
  for (const int64_t extent : transpose_y ? Shape{n, k} : Shape{k, n}) y.push_back(extent);
  const ValueId left = viewed_input(b, random, "x", dtype, x);
  const ValueId right = viewed_input(b, random, "y", dtype, y);
  ValueId out = b.matmul(left, right, transpose_x, transpose_y);
  if (random.integer(0, 2) == 0) {
    // A view between the product and its port.
    std::vector<int64_t> perm(b.shape(out).size());
    std::iota(perm.rbegin(), perm.rend(), int64_t{0});
    out = b.transpose(out, perm);
  }
  return finish(b, out);
}

Literal random_literal(Random& random, DataType dtype, const Shape& shape, Range range = {}) {
  const Tensor tensor = random_tensor(random, {dtype, shape, {}}, range);
  return Literal::numbers(tensor.type, tensor.values);
}

Function build_linear(Random& random, DataType dtype) {
  Builder b;
  const int64_t in = random.extent(), out = random.extent();
  Shape x = random.shape(random.integer(0, 3), 60);
  x.push_back(in);
  std::vector<Input> inputs = {{"x", viewed_input(b, random, "x", dtype, x)},
                               {"weight", b.constant(random_literal(random, dtype, {out, in}))}};
  if (random.coin()) inputs.push_back({"bias", b.constant(random_literal(random, dtype, {out}))});
  return finish(b, b.add("linear", inputs));
}

// Shared by conv and conv_transpose, whose weights differ in order.
Function build_conv(Random& random, DataType dtype, bool transposed) {
  Builder b;
  const int64_t rank = random.integer(1, 2);
  const bool pointwise = random.integer(0, 3) == 0;
  const int64_t groups = pointwise ? 1 : random.integer(1, 3);
  const int64_t in = groups * random.integer(1, 5), out = groups * random.integer(1, 5);
  Shape x = {random.integer(1, 3), in};
  Shape weight = transposed ? Shape{in, out / groups} : Shape{out, in / groups};
  std::vector<int64_t> strides, dilations, pad;
  static constexpr const char* types[] = {"valid", "custom", "same", "same_lower"};
  const std::string type = pointwise ? "valid" : types[random.integer(0, transposed ? 2 : 3)];
  for (int64_t d = 0; d < rank; ++d) {
    x.push_back(random.integer(5, 11));
    weight.push_back(pointwise ? 1 : random.integer(1, 3));
    strides.push_back(pointwise ? 1 : random.integer(1, 2));
    dilations.push_back(pointwise ? 1 : random.integer(1, 2));
    for (int side = 0; side < 2; ++side) pad.push_back(random.integer(0, 1));
  }
  std::vector<Input> inputs = {{"x", viewed_input(b, random, "x", dtype, x)},
                               {"weight", viewed_input(b, random, "weight", dtype, weight)}};
  if (random.coin()) inputs.push_back({"bias", b.input("bias", {dtype, {out}, {}})});
  inputs.push_back({"strides", int32s(b, strides)});
  inputs.push_back({"pad_type", text(b, type.c_str())});
  inputs.push_back({"pad", int32s(b, pad)});
  inputs.push_back({"dilations", int32s(b, dilations)});
  inputs.push_back({"groups", integer(b, groups)});
  return finish(b, b.add(transposed ? "conv_transpose" : "conv", inputs));
}

Function build_attention(Random& random, DataType dtype) {
  Builder b;
  const Shape batch = random.shape(random.integer(1, 2), 6);
  const int64_t targets = random.extent(), sources = random.extent(), width = random.extent();
  const auto shape = [&](int64_t rows, int64_t columns) {
    Shape result = batch;
    result.insert(result.end(), {rows, columns});
    return result;
  };
  std::vector<Input> inputs = {
      {"query", viewed_input(b, random, "query", dtype, shape(targets, width))},
      {"key", viewed_input(b, random, "key", dtype, shape(sources, width))},
      {"value", viewed_input(b, random, "value", dtype, shape(sources, random.extent()))}};
  if (random.coin()) {
    inputs.push_back({"attn_mask", b.input("attn_mask", {dtype, {targets, sources}, {}})});
  }
  return finish(b, b.add("scaled_dot_product_attention", inputs));
}

void add_matrix(std::vector<OpCase>& cases) {
  const auto add = [&](const char* op, std::function<Function(Random&, DataType)> build) {
    cases.push_back(special(op, std::move(build), f32_f16, false));
    cases.back().absolute = 1e-5;
    cases.back().half_absolute = 1e-3;
  };
  add("matmul", build_matmul);
  cases.push_back(special("matmul", build_matmul, {DataType::int32}, true));
  add("linear", build_linear);
  add("conv", [](Random& r, DataType dtype) { return build_conv(r, dtype, false); });
  add("conv_transpose", [](Random& r, DataType dtype) { return build_conv(r, dtype, true); });
  add("scaled_dot_product_attention", build_attention);
  // A boolean mask, of which every row keeps its first element.
  add("scaled_dot_product_attention", [](Random& random, DataType dtype) {
    Builder b;
    const ValueId q = b.input("query", {dtype, {2, 17, 8}, {}});
    const ValueId k = b.input("key", {dtype, {2, 15, 8}, {}});
    Tensor mask = random_tensor(random, {DataType::boolean, {17, 15}, {}});
    for (size_t row = 0; row < 17; ++row) mask.values[row * 15] = 1;
    const ValueId m = b.constant(Literal::numbers(mask.type, mask.values));
    return finish(b, b.add("scaled_dot_product_attention",
                           {{"query", q}, {"key", k}, {"value", k}, {"attn_mask", m}}));
  });
}

void add_reductions(std::vector<OpCase>& cases) {
  const auto reduce = [&](const char* op, std::vector<DataType> dtypes, Range range) {
    cases.push_back(special(op,
                            [op](Random& random, DataType dtype) {
                              Builder b;
                              const Shape shape = random_shape(random);
                              const ValueId x = viewed_input(b, random, "x", dtype, shape);
                              return finish(
                                  b, b.reduce(op, x, random_axes(random, shape), random.coin()));
                            },
                            std::move(dtypes), false, {{"x", range}}));
    cases.back().absolute = 1e-4;
    cases.back().half_absolute = 1e-3;
  };
  for (const char* op : {"reduce_sum", "reduce_mean", "reduce_max", "reduce_min",
                         "reduce_sum_square", "reduce_l1_norm", "reduce_l2_norm"}) {
    reduce(op, numbers, {-5, 5});
  }
  reduce("reduce_prod", f32_f16, {0.9, 1.1});
  reduce("reduce_prod", {DataType::int32}, {-3, 3});
  reduce("reduce_log_sum", f32_f16, {0.1, 5});
  reduce("reduce_log_sum_exp", f32_f16, {-9, 9});
  for (const char* op : {"reduce_argmax", "reduce_argmin"}) {
    for (const char* output : {"int32", "uint16"}) {
      cases.push_back(special(
          op,
          [op, output](Random& random, DataType dtype) {
            Builder b("main", "ios18");
            const Shape shape = random_shape(random);
            const ValueId x = viewed_input(b, random, "x", dtype, shape);
            return finish(b, b.add(op, {{"x", x},
                                        {"axis", integer(b, random_axis(random, shape))},
                                        {"keep_dims", flag(b, random.coin())},
                                        {"output_dtype", text(b, output)}}));
          },
          numbers, true));
    }
  }
  const auto along_axis = [&](const char* op, std::vector<DataType> dtypes, auto arguments) {
    cases.push_back(special(
        op,
        [op, arguments](Random& random, DataType dtype) {
          Builder b;
          const Shape shape = random_shape(random);
          std::vector<Input> inputs = {{"x", viewed_input(b, random, "x", dtype, shape)},
                                       {"axis", integer(b, random_axis(random, shape))}};
          arguments(b, random, inputs);
          return finish(b, b.add(op, inputs));
        },
        std::move(dtypes), false));
    cases.back().absolute = 1e-5;
  };
  along_axis("softmax", floats, [](Builder&, Random&, std::vector<Input>&) {});
  along_axis("cumsum", numbers, [](Builder& b, Random& random, std::vector<Input>& inputs) {
    inputs.push_back({"exclusive", flag(b, random.coin())});
    inputs.push_back({"reverse", flag(b, random.coin())});
  });
  cases.push_back(special(
      "layer_norm",
      [](Random& random, DataType dtype) {
        Builder b;
        const Shape shape = random_shape(random);
        std::vector<int64_t> axes = random_axes(random, shape);
        Shape normalized;
        std::vector<int64_t> sorted;
        for (int64_t axis : axes) sorted.push_back(axis < 0 ? axis + std::ssize(shape) : axis);
        for (int64_t axis : sorted) normalized.push_back(shape[static_cast<size_t>(axis)]);
        std::vector<Input> inputs = {{"x", viewed_input(b, random, "x", dtype, shape)},
                                     {"axes", int32s(b, axes)}};
        for (const char* name : {"gamma", "beta"}) {
          if (!random.coin()) continue;
          inputs.push_back({name, b.constant(random_literal(random, dtype, normalized))});
        }
        inputs.push_back({"epsilon", scalar(b, dtype, 1e-2)});
        return finish(b, b.add("layer_norm", inputs));
      },
      f32_f16, false));
  cases.back().absolute = 1e-5;
  cases.back().half_absolute = 1e-5;
  cases.push_back(special(
      "l2_norm",
      [](Random& random, DataType dtype) {
        Builder b;
        const ValueId x = viewed_input(b, random, "x", dtype, random.shape(random.integer(3, 5)));
        return finish(b, b.add("l2_norm", {{"x", x}, {"epsilon", scalar(b, dtype, 1e-2)}}));
      },
      f32_f16, false));
}

} // namespace

void add_shape_cases(std::vector<OpCase>& cases);
void add_index_cases(std::vector<OpCase>& cases);

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> all;
    add_unary(all);
    add_binary(all);
    add_matrix(all);
    add_reductions(all);
    add_shape_cases(all);
    add_index_cases(all);
    return all;
  }();
  return cases;
}

} // namespace anet::backend::testing
