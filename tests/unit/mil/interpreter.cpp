// The interpreter against values worked out by hand or with NumPy.
#include "base/status.h"
#include "interpreter_case.h"
#include "mil/op_table.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

using namespace anet::mil;
using namespace anet::mil::test;

namespace {

void add_unary_cases(std::vector<Case>& cases) {
  const Values x{-2, -0.5, 0, 0.25, 3};
  const auto add = [&](const char* op, Values expected) {
    cases.push_back({op, {{fp32({5}), x}}, unary_arguments(), std::move(expected)});
  };
  add("abs", {2, 0.5, 0, 0.25, 3});
  add("atan",
      {-1.1071487177940904, -0.4636476090008061, 0, 0.24497866312686414, 1.2490457723982544});
  add("ceil", {-2, 0, 0, 1, 3});
  add("cos", {-0.4161468365471424, 0.8775825618903728, 1, 0.9689124217106447, -0.9899924966004454});
  add("erf", {-0.9953222650189527, -0.5204998778130465, 0, 0.2763263901682369, 0.9999779095030014});
  add("exp", {0.1353352832366127, 0.6065306597126334, 1, 1.2840254166877414, 20.085536923187668});
  add("exp2", {0.25, 0.7071067811865476, 1, 1.189207115002721, 8});
  add("floor", {-2, -1, 0, 0, 3});
  add("identity", x);
  add("relu", {0, 0, 0, 0.25, 3});
  add("relu6", {0, 0, 0, 0.25, 3});
  add("round", {-2, 0, 0, 0, 3});
  add("sigmoid",
      {0.11920292202211755, 0.3775406687981454, 0.5, 0.5621765008857981, 0.9525741268224334});
  add("sign", {-1, -1, 0, 1, 1});
  add("silu",
      {-0.2384058440442351, -0.1887703343990727, 0, 0.14054412522144952, 2.8577223804672998});
  add("sin", {-0.9092974268256817, -0.479425538604203, 0, 0.24740395925452294, 0.1411200080598672});
  add("softplus", {0.1269280110429725, 0.4740769841801067, 0.6931471805599453, 0.8259394198788436,
                   3.048587351573742});
  add("softsign", {-2.0 / 3, -1.0 / 3, 0, 0.2, 0.75});
  add("square", {4, 0.25, 0, 0.0625, 9});
  add("tan", {2.185039863261519, -0.5463024898437905, 0, 0.25534192122103627, -0.1425465430742778});
  add("tanh",
      {-0.9640275800758169, -0.46211715726000974, 0, 0.24491866240370913, 0.9950547536867305});
  cases.push_back({"sqrt", {{fp32({3}), {0, 2.25, 16}}}, unary_arguments(), {0, 1.5, 4}});
  cases.push_back(
      {"round", {{fp32({4}), {0.5, 1.5, 2.5, -2.5}}}, unary_arguments(), {0, 2, 2, -2}});
  cases.push_back({"logical_not", {{boolean({2}), {1, 0}}}, unary_arguments(), {0, 1}});
  const auto with = [&](const char* op, std::vector<std::pair<const char*, double>> parameters,
                        Values input, Values expected) {
    const auto count = static_cast<int64_t>(input.size());
    cases.push_back({op,
                     {{fp32({count}), std::move(input)}},
                     [=](Builder& b, const std::vector<ValueId>& in) {
                       std::vector<Builder::Input> arguments{{"x", in[0]}};
                       for (const auto& [name, value] : parameters) {
                         arguments.emplace_back(name, number(b, value));
                       }
                       return arguments;
                     },
                     std::move(expected)});
  };
  with("clip", {{"alpha", -1}, {"beta", 2}}, x, {-1, -0.5, 0, 0.25, 2});
  with("elu", {{"alpha", 0.5}}, x, {-0.43233235838169365, -0.1967346701436833, 0, 0.25, 3});
  with("leaky_relu", {{"alpha", 0.5}}, x, {-1, -0.25, 0, 0.25, 3});
  with("sigmoid_hard", {{"alpha", 0.25}, {"beta", 0.5}}, x, {0, 0.375, 0.5, 0.5625, 1});
  with("threshold", {{"alpha", 0.125}}, x, {0.125, 0.125, 0.125, 0.25, 3});
  with("inverse", {{"epsilon", 0.5}}, {1.5, -1}, {0.5, -2});
  with("log", {{"epsilon", 0.5}}, {0.5, 1.5}, {0, 0.6931471805599453});
  with("rsqrt", {{"epsilon", 0.25}}, {3.75, 0}, {0.5, 2});
  const auto gelu = [&](const char* mode, Values expected) {
    cases.push_back({"gelu",
                     {{fp32({5}), x}},
                     [=](Builder& b, const std::vector<ValueId>& in) {
                       return std::vector<Builder::Input>{{"x", in[0]}, {"mode", text(b, mode)}};
                     },
                     std::move(expected)});
  };
  gelu("EXACT",
       {-0.04550026389635842, -0.15426876936299344, 0, 0.14967658142073093, 2.99595030590511});
  gelu("TANH_APPROXIMATION",
       {-0.04540230591222494, -0.15428599017485606, 0, 0.149675350701685, 2.996362607918227});
  gelu("SIGMOID_APPROXIMATION",
       {-0.06434137685579186, -0.1496115633936199, 0, 0.1511996499001942, 2.981928690292214});
  const auto cast = [&](Type from, const char* to, Values input, Values expected) {
    cases.push_back({"cast",
                     {{std::move(from), std::move(input)}},
                     [=](Builder& b, const std::vector<ValueId>& in) {
                       return std::vector<Builder::Input>{{"x", in[0]}, {"dtype", text(b, to)}};
                     },
                     std::move(expected)});
  };
  cast(fp32({5}), "int32", {1.9, -1.9, 3e10, -3e10, NAN}, {1, -1, 2147483647, -2147483648.0, 0});
  cast(fp32({3}), "uint8", {-1.5, 255.9, 300}, {0, 255, 255});
  cast(int32({3}), "int8", {130, -129, 256}, {-126, 127, 0});
  cast(fp32({3}), "bool", {0, -0.25, 7}, {0, 1, 1});
}

void add_binary_cases(std::vector<Case>& cases) {
  const auto add = [&](const char* op, Tensor x, Tensor y, Values expected) {
    cases.push_back({op, {std::move(x), std::move(y)}, binary_arguments(), std::move(expected)});
  };
  const Tensor column{fp32({2, 1}), {1, -6}};
  const Tensor row{fp32({3}), {2, -4, 0.5}};
  add("add", column, row, {3, -3, 1.5, -4, -10, -5.5});
  add("sub", column, row, {-1, 5, 0.5, -8, -2, -6.5});
  add("mul", column, row, {2, -4, 0.5, -12, 24, -3});
  add("real_div", column, row, {0.5, -0.25, 2, -3, 1.5, -12});
  add("floor_div", column, row, {0, -1, 2, -3, 1, -12});
  add("mod", column, row, {1, -3, 0, 0, -2, 0});
  add("maximum", column, row, {2, 1, 1, 2, -4, 0.5});
  add("minimum", column, row, {1, -4, 0.5, -6, -6, -6});
  add("pow", {fp32({3}), {2, 9, -2}}, {fp32({3}), {3, 0.5, 2}}, {8, 3, 4});
  const Tensor a{fp32({3}), {1, 2, 3}};
  const Tensor two{fp32({}), {2}};
  add("equal", a, two, {0, 1, 0});
  add("not_equal", a, two, {1, 0, 1});
  add("greater", a, two, {0, 0, 1});
  add("greater_equal", a, two, {0, 1, 1});
  add("less", a, two, {1, 0, 0});
  add("less_equal", a, two, {1, 1, 0});
  const Tensor p{boolean({4}), {0, 0, 1, 1}};
  const Tensor q{boolean({4}), {0, 1, 0, 1}};
  add("logical_and", p, q, {0, 0, 0, 1});
  add("logical_or", p, q, {0, 1, 1, 1});
  add("logical_xor", p, q, {0, 1, 1, 0});
  // Integers are exact, wrap around and divide toward minus infinity.
  const auto integers = [](Values values) {
    const auto count = static_cast<int64_t>(values.size());
    return Tensor{int32({count}), std::move(values)};
  };
  add("add", integers({2147483647}), integers({1}), {-2147483648.0});
  add("mul", integers({2147483647, 65536}), integers({2147483647, 65536}), {1, 0});
  add("floor_div", integers({7, -7, 7, 5}), integers({2, 2, -2, 0}), {3, -4, -4, 0});
  add("mod", integers({7, -7, 7}), integers({3, 3, -3}), {1, 2, -2});
  add("pow", integers({3, -2}), integers({4, 3}), {81, -8});
  cases.push_back(
      {"select",
       {{boolean({2, 1}), {1, 0}}, {fp32({3}), {1, 2, 3}}, {fp32({}), {9}}},
       [](Builder&, const std::vector<ValueId>& in) {
         return std::vector<Builder::Input>{{"cond", in[0]}, {"a", in[1]}, {"b", in[2]}};
       },
       {1, 2, 3, 9, 9, 9}});
}

void add_matrix_cases(std::vector<Case>& cases) {
  const auto matmul = [&](Tensor x, Tensor y, bool tx, bool ty, Values expected) {
    cases.push_back({"matmul",
                     {std::move(x), std::move(y)},
                     [=](Builder& b, const std::vector<ValueId>& in) {
                       return std::vector<Builder::Input>{{"x", in[0]},
                                                          {"y", in[1]},
                                                          {"transpose_x", flag(b, tx)},
                                                          {"transpose_y", flag(b, ty)}};
                     },
                     std::move(expected)});
  };
  const Values a{1, 2, 3, 4, 5, 6};
  const Values identity_and_shift{1, 0, 0, 1, 2, 3};
  matmul({fp32({2, 3}), a}, {fp32({3, 2}), identity_and_shift}, false, false, {7, 11, 16, 23});
  matmul({fp32({3, 2}), a}, {fp32({3, 2}), identity_and_shift}, true, false, {11, 18, 14, 22});
  matmul({fp32({2, 3}), a}, {fp32({2, 3}), identity_and_shift}, false, true, {1, 14, 4, 32});
  matmul({fp32({3, 2}), a}, {fp32({2, 3}), identity_and_shift}, true, true, {1, 22, 2, 28});
  matmul({fp32({2, 1, 2}), {1, 2, 3, 4}}, {fp32({2, 1}), {10, 1}}, false, false, {12, 34});
  matmul({fp32({2}), {1, 2}}, {fp32({2, 2, 1}), {1, 2, 3, 4}}, false, false, {5, 11});
  matmul({int32({1, 2}), {65536, 1}}, {int32({2, 1}), {65536, 7}}, false, false, {7});
  cases.push_back({"linear",
                   {{fp32({2, 2}), {1, 2, 3, 4}}},
                   [](Builder& b, const std::vector<ValueId>& in) {
                     return std::vector<Builder::Input>{
                         {"x", in[0]},
                         {"weight", literal(b, fp32({1, 2}), {10, 1})},
                         {"bias", literal(b, fp32({1}), {0.5})}};
                   },
                   {12.5, 34.5}});
  const auto attention = [&](std::optional<Tensor> mask, Values expected) {
    std::vector<Tensor> inputs{{fp32({1, 2, 2}), {1, 0, 0.5, -1}},
                               {fp32({1, 3, 2}), {1, 2, 0, 1, -1, 0.5}},
                               {fp32({1, 3, 1}), {1, 2, 4}}};
    if (mask) inputs.push_back(*mask);
    cases.push_back({"scaled_dot_product_attention", std::move(inputs),
                     [](Builder&, const std::vector<ValueId>& in) {
                       std::vector<Builder::Input> arguments{
                           {"query", in[0]}, {"key", in[1]}, {"value", in[2]}};
                       if (in.size() == 4) arguments.emplace_back("attn_mask", in[3]);
                       return arguments;
                     },
                     std::move(expected)});
  };
  attention({}, {1.7040831448713942, 2.4802816302550017});
  attention(Tensor{boolean({2, 3}), {1, 0, 1, 0, 1, 1}}, {1.5867109524791294, 3});
  attention(Tensor{fp32({1, 2, 3}), {0, 1, -1, 2, 0, 0}}, {1.6620520666980587, 1.5564435290414123});
}

void add_convolution_cases(std::vector<Case>& cases) {
  Values x;
  Values w;
  for (int i = 0; i < 18; ++i) x.push_back(i - 8);
  for (int i = 0; i < 16; ++i) w.push_back((i - 7) / 2.0);
  const auto conv = [&](Shape weight, Values values, std::vector<int64_t> strides,
                        std::vector<int64_t> dilations, const char* pad_type,
                        std::vector<int64_t> pad, double groups, Values expected) {
    cases.push_back({"conv",
                     {{fp32({1, 2, 3, 3}), x}, {fp32(weight), values}},
                     [=](Builder& b, const std::vector<ValueId>& in) {
                       return std::vector<Builder::Input>{{"x", in[0]},
                                                          {"weight", in[1]},
                                                          {"strides", list(b, strides)},
                                                          {"pad_type", text(b, pad_type)},
                                                          {"pad", list(b, pad)},
                                                          {"dilations", list(b, dilations)},
                                                          {"groups", integer(b, groups)}};
                     },
                     std::move(expected)});
  };
  const Shape full{2, 2, 2, 2};
  conv(full, w, {1, 1}, {1, 1}, "valid", {0, 0, 0, 0}, 1, {64, 50, 22, 8, 16, 34, 70, 88});
  conv(full, w, {2, 1}, {1, 2}, "custom", {1, 0, 0, 1}, 1, {31.5, 16.5, 16, 5, -8.5, -3.5, 80, 37});
  conv(full, w, {2, 2}, {1, 1}, "same", {0, 0, 0, 0}, 1, {64, 21, -8.5, -13.5, 16, 21, 39.5, 22.5});
  conv(full, w, {2, 2}, {1, 1}, "same_lower", {0, 0, 0, 0}, 1,
       {16, 28.5, 15, 8, -12, -3.5, 31, 88});
  const Values depthwise{w[0], w[1], w[2], w[3], w[8], w[9], w[10], w[11]};
  conv({2, 1, 2, 2}, depthwise, {1, 1}, {1, 1}, "valid", {0, 0, 0, 0}, 2,
       {69.5, 58.5, 36.5, 25.5, 18.5, 23.5, 33.5, 38.5});
  cases.push_back({"conv_transpose",
                   {{fp32({1, 2, 2}), {1, 2, 3, -1}}, {fp32({2, 1, 3}), {1, 2, 3, -1, 0, 4}}},
                   [](Builder& b, const std::vector<ValueId>& in) {
                     return std::vector<Builder::Input>{{"x", in[0]},
                                                        {"weight", in[1]},
                                                        {"strides", list(b, {2})},
                                                        {"bias", literal(b, fp32({1}), {100})}};
                   },
                   {98, 102, 118, 104, 102}});
}

void add_reduction_cases(std::vector<Case>& cases) {
  const Tensor x{fp32({2, 3}), {1, 2, 4, 0, -1, 3}};
  const auto reduce = [&](const char* op, std::vector<int64_t> axes, Values expected) {
    cases.push_back({op,
                     {x},
                     [=](Builder& b, const std::vector<ValueId>& in) {
                       return std::vector<Builder::Input>{{"x", in[0]}, {"axes", list(b, axes)}};
                     },
                     std::move(expected)});
  };
  reduce("reduce_sum", {0}, {1, 1, 7});
  reduce("reduce_mean", {-1}, {7.0 / 3, 2.0 / 3});
  reduce("reduce_max", {1}, {4, 3});
  reduce("reduce_min", {0}, {0, -1, 3});
  reduce("reduce_prod", {0}, {0, -2, 12});
  reduce("reduce_sum_square", {0, 1}, {31});
  reduce("reduce_l1_norm", {1}, {7, 4});
  reduce("reduce_l2_norm", {0}, {1, std::sqrt(5.0), 5});
  reduce("reduce_log_sum", {1}, {std::log(7.0), std::log(2.0)});
  reduce("reduce_log_sum_exp", {1}, {4.169846019556285, 3.0658839037574293});
  const auto one_axis = [&](const char* op, double axis, Values expected) {
    cases.push_back({op,
                     {x},
                     [=](Builder& b, const std::vector<ValueId>& in) {
                       return std::vector<Builder::Input>{{"x", in[0]}, {"axis", integer(b, axis)}};
                     },
                     std::move(expected)});
  };
  one_axis("reduce_argmax", 1, {2, 2});
  one_axis("reduce_argmin", 0, {1, 1, 1});
  one_axis("softmax", -1,
           {0.04201006613406605, 0.11419519938459449, 0.8437947344813395, 0.0466126225779739,
            0.01714782554552039, 0.9362395518765058});
  one_axis("cumsum", 1, {1, 3, 7, 0, -1, 2});
  cases.push_back({"cumsum",
                   {x},
                   [](Builder& b, const std::vector<ValueId>& in) {
                     return std::vector<Builder::Input>{{"x", in[0]},
                                                        {"axis", integer(b, 1)},
                                                        {"exclusive", flag(b, true)},
                                                        {"reverse", flag(b, true)}};
                   },
                   {6, 4, 0, 2, 3, 0}});
  cases.push_back({"layer_norm",
                   {x},
                   [](Builder& b, const std::vector<ValueId>& in) {
                     return std::vector<Builder::Input>{{"x", in[0]},
                                                        {"axes", list(b, {-1})},
                                                        {"gamma", literal(b, fp32({3}), {1, 2, 3})},
                                                        {"beta", literal(b, fp32({3}), {0, 1, -1})},
                                                        {"epsilon", number(b, 0.5)}};
                   },
                   {-0.9299811099505544, 0.5350094450247227, 2.4874291623145783,
                    -0.36214298417007407, -0.8107149208503703, 2.802501333785778}});
  cases.push_back({"l2_norm",
                   {{fp32({1, 2, 3}), x.values}},
                   [](Builder& b, const std::vector<ValueId>& in) {
                     return std::vector<Builder::Input>{{"x", in[0]}, {"epsilon", number(b, 1)}};
                   },
                   {0.17677669529663687, 0.35355339059327373, 0.7071067811865475, 0,
                    -0.17677669529663687, 0.5303300858899106}});
}

void add_shape_cases(std::vector<Case>& cases) {
  const Values six{0, 1, 2, 3, 4, 5};
  const Tensor x{fp32({2, 3}), six};
  const auto add = [&](const char* op, std::vector<Tensor> inputs, Arguments arguments,
                       Values expected) {
    cases.push_back({op, std::move(inputs), std::move(arguments), std::move(expected)});
  };
  const auto with_list = [&](const char* op, Tensor input, const char* argument,
                             std::vector<int64_t> values, Values expected) {
    add(
        op, {std::move(input)},
        [=](Builder& b, const std::vector<ValueId>& in) {
          return std::vector<Builder::Input>{{"x", in[0]}, {argument, list(b, values)}};
        },
        std::move(expected));
  };
  with_list("reshape", x, "shape", {3, -1}, six);
  with_list("transpose", x, "perm", {1, 0}, {0, 3, 1, 4, 2, 5});
  with_list("expand_dims", x, "axes", {1}, six);
  with_list("squeeze", {fp32({1, 6}), six}, "axes", {0}, six);
  with_list("tile", x, "reps", {1, 2}, {0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5});
  with_list("reverse", x, "axes", {-1}, {2, 1, 0, 5, 4, 3});
  add("slice_by_size", {x},
      [](Builder& b, const std::vector<ValueId>& in) {
        return std::vector<Builder::Input>{
            {"x", in[0]}, {"begin", list(b, {1, 1})}, {"size", list(b, {1, -1})}};
      },
      {4, 5});
  const auto slice = [&](std::vector<int64_t> begin, std::vector<int64_t> end,
                         std::vector<int64_t> stride, Values begin_mask, Values end_mask,
                         Values squeeze_mask, Values expected) {
    add(
        "slice_by_index", {x},
        [=](Builder& b, const std::vector<ValueId>& in) {
          return std::vector<Builder::Input>{{"x", in[0]},
                                             {"begin", list(b, begin)},
                                             {"end", list(b, end)},
                                             {"stride", list(b, stride)},
                                             {"begin_mask", flags(b, begin_mask)},
                                             {"end_mask", flags(b, end_mask)},
                                             {"squeeze_mask", flags(b, squeeze_mask)}};
        },
        std::move(expected));
  };
  slice({0, -2}, {1, 3}, {1, 1}, {0, 0}, {0, 0}, {0, 0}, {1, 2});
  slice({0, 0}, {0, 3}, {1, 2}, {1, 0}, {1, 0}, {0, 0}, {0, 2, 3, 5});
  slice({0, 2}, {2, 0}, {1, -1}, {0, 0}, {0, 0}, {0, 0}, {2, 1, 5, 4});
  slice({0, 0}, {0, 0}, {1, -2}, {1, 1}, {1, 1}, {0, 0}, {2, 0, 5, 3});
  slice({-1, 0}, {0, 0}, {1, 1}, {0, 1}, {0, 1}, {1, 0}, {3, 4, 5});
  add("slice_update", {x, {fp32({2, 1}), {8, 9}}},
      [](Builder& b, const std::vector<ValueId>& in) {
        return std::vector<Builder::Input>{
            {"x", in[0]}, {"update", in[1]}, {"begin", list(b, {0, 1})}, {"end", list(b, {2, 2})}};
      },
      {0, 8, 2, 3, 9, 5});
  const Tensor y{fp32({2, 3}), {10, 11, 12, 13, 14, 15}};
  for (const bool interleave : {false, true}) {
    add(
        "concat", {x, y},
        [=](Builder& b, const std::vector<ValueId>& in) {
          return std::vector<Builder::Input>{
              {"values", in}, {"axis", integer(b, 1)}, {"interleave", flag(b, interleave)}};
        },
        interleave ? Values{0, 10, 1, 11, 2, 12, 3, 13, 4, 14, 5, 15}
                   : Values{0, 1, 2, 10, 11, 12, 3, 4, 5, 13, 14, 15});
  }
  add("stack", {x, y},
      [](Builder& b, const std::vector<ValueId>& in) {
        return std::vector<Builder::Input>{{"values", in}, {"axis", integer(b, 2)}};
      },
      {0, 10, 1, 11, 2, 12, 3, 13, 4, 14, 5, 15});
  add("split", {x},
      [](Builder& b, const std::vector<ValueId>& in) {
        return std::vector<Builder::Input>{
            {"x", in[0]}, {"split_sizes", list(b, {1, 2})}, {"axis", integer(b, 1)}};
      },
      {0, 3, 1, 2, 4, 5});
  const auto pad = [&](const char* mode, Values expected) {
    add(
        "pad", {x},
        [=](Builder& b, const std::vector<ValueId>& in) {
          return std::vector<Builder::Input>{{"x", in[0]},
                                             {"pad", list(b, {2, 1})},
                                             {"mode", text(b, mode)},
                                             {"constant_val", number(b, 7)}};
        },
        std::move(expected));
  };
  pad("constant", {7, 7, 0, 1, 2, 7, 7, 7, 3, 4, 5, 7});
  pad("reflect", {2, 1, 0, 1, 2, 1, 5, 4, 3, 4, 5, 4});
  pad("replicate", {0, 0, 0, 1, 2, 2, 3, 3, 3, 4, 5, 5});
  const auto to_buffer = [](Builder& b, ValueId x_value) {
    return std::vector<Builder::Input>{
        {"input", x_value},
        {"interleave_factors", literal(b, type_of(DataType::uint8, {2}), {1, 1})},
        {"strides", literal(b, type_of(DataType::int64, {2}), {32, 1})}};
  };
  add(
      "tensor_to_tensor_buffer", {x},
      [=](Builder& b, const std::vector<ValueId>& in) { return to_buffer(b, in[0]); }, six);
  add(
      "tensor_buffer_to_tensor", {x},
      [=](Builder& b, const std::vector<ValueId>& in) {
        const ValueId buffer = b.add("tensor_to_tensor_buffer", to_buffer(b, in[0]));
        return std::vector<Builder::Input>{{"input", buffer}};
      },
      six);
}

void add_index_cases(std::vector<Case>& cases) {
  const Tensor x{fp32({2, 3}), {0, 1, 2, 3, 4, 5}};
  const auto gather = [&](const char* op, Tensor indices, double axis, Values expected) {
    cases.push_back({op,
                     {x, std::move(indices)},
                     [=](Builder& b, const std::vector<ValueId>& in) {
                       return std::vector<Builder::Input>{
                           {"x", in[0]}, {"indices", in[1]}, {"axis", integer(b, axis)}};
                     },
                     std::move(expected)});
  };
  gather("gather", {int32({2}), {-1, 0}}, 1, {2, 0, 5, 3});
  gather("gather", {int32({}), {1}}, 0, {3, 4, 5});
  gather("gather_along_axis", {int32({2, 2}), {2, 0, 1, -1}}, 1, {2, 0, 4, 5});
  cases.push_back({"gather",
                   {x, {int32({2, 1}), {2, 1}}},
                   [](Builder& b, const std::vector<ValueId>& in) {
                     return std::vector<Builder::Input>{{"x", in[0]},
                                                        {"indices", in[1]},
                                                        {"axis", integer(b, 1)},
                                                        {"batch_dims", integer(b, 1)}};
                   },
                   {2, 4}});
  const auto scatter = [&](const char* op, Tensor indices, Tensor updates, const char* mode,
                           Values expected) {
    cases.push_back({op,
                     {x, std::move(indices), std::move(updates)},
                     [=](Builder& b, const std::vector<ValueId>& in) {
                       return std::vector<Builder::Input>{{"data", in[0]},
                                                          {"indices", in[1]},
                                                          {"updates", in[2]},
                                                          {"axis", integer(b, 1)},
                                                          {"mode", text(b, mode)}};
                     },
                     std::move(expected)});
  };
  const Tensor twice{int32({2}), {2, -1}};
  const Tensor updates{fp32({2, 2}), {10, 2, 4, 8}};
  scatter("scatter", twice, updates, "add", {0, 1, 14, 3, 4, 17});
  scatter("scatter", twice, updates, "sub", {0, 1, -10, 3, 4, -7});
  scatter("scatter", twice, updates, "mul", {0, 1, 40, 3, 4, 160});
  scatter("scatter", twice, updates, "div", {0, 1, 0.1, 3, 4, 0.15625});
  scatter("scatter", twice, updates, "max", {0, 1, 10, 3, 4, 8});
  scatter("scatter", twice, updates, "min", {0, 1, 2, 3, 4, 4});
  scatter("scatter", twice, updates, "update", {0, 1, 2, 3, 4, 8});
  scatter("scatter_along_axis", {int32({2, 2}), {0, 0, 2, 1}}, updates, "add",
          {12, 1, 2, 3, 12, 9});
  cases.push_back({"one_hot",
                   {{int32({3}), {1, 0, 5}}},
                   [](Builder& b, const std::vector<ValueId>& in) {
                     return std::vector<Builder::Input>{{"indices", in[0]},
                                                        {"one_hot_vector_size", integer(b, 2)},
                                                        {"axis", integer(b, 0)},
                                                        {"on_value", number(b, 5)},
                                                        {"off_value", number(b, -1)}};
                   },
                   {-1, 5, -1, 5, -1, -1}});
}

void add_quantization_cases(std::vector<Case>& cases) {
  const Type int8 = type_of(DataType::int8, {2, 2});
  cases.push_back({"quantize",
                   {{fp32({2, 2}), {0.25, 100, -100, 3}}},
                   [](Builder& b, const std::vector<ValueId>& in) {
                     return std::vector<Builder::Input>{
                         {"input", in[0]},
                         {"scale", literal(b, fp32({2}), {0.5, 2})},
                         {"zero_point", literal(b, type_of(DataType::int8, {2}), {0, 1})},
                         {"axis", integer(b, 0)},
                         {"output_dtype", text(b, "int8")}};
                   },
                   {0, 127, -49, 3}});
  cases.push_back({"dequantize",
                   {{int8, {1, -2, 3, -128}}},
                   [](Builder& b, const std::vector<ValueId>& in) {
                     return std::vector<Builder::Input>{
                         {"input", in[0]},
                         {"scale", literal(b, fp32({2}), {0.5, 2})},
                         {"zero_point", literal(b, type_of(DataType::int8, {2}), {0, 1})},
                         {"axis", integer(b, 1)}};
                   },
                   {0.5, -6, 1.5, -258}});
  const auto constant = [&](const char* op, Arguments arguments, Values expected) {
    cases.push_back({op, {}, std::move(arguments), std::move(expected)});
  };
  constant("constexpr_affine_dequantize",
           [=](Builder& b, const std::vector<ValueId>&) {
             return std::vector<Builder::Input>{
                 {"quantized_data", literal(b, int8, {1, -2, 3, 4})},
                 {"zero_point", literal(b, type_of(DataType::int8, {}), {1})},
                 {"scale", literal(b, fp32({2}), {0.5, 2})},
                 {"axis", integer(b, 0)}};
           },
           {0, -1.5, 4, 6});
  constant("constexpr_blockwise_shift_scale",
           [](Builder& b, const std::vector<ValueId>&) {
             return std::vector<Builder::Input>{
                 {"data", literal(b, type_of(DataType::int4, {1, 4}), {1, -2, 3, -8})},
                 {"scale", literal(b, fp32({1, 2}), {0.5, 2})},
                 {"offset", literal(b, type_of(DataType::int4, {1, 2}), {0, 1})}};
           },
           {0.5, -1, 4, -18});
  // The example of two tables: rows 0-2 read the first, rows 3-5 the second.
  constant("constexpr_lut_to_dense",
           [](Builder& b, const std::vector<ValueId>&) {
             return std::vector<Builder::Input>{
                 {"indices", literal(b, type_of(DataType::uint2, {6, 2}),
                                     {2, 3, 3, 0, 1, 0, 3, 0, 2, 1, 0, 3})},
                 {"lut", literal(b, fp32({2, 1, 4, 1}), {1, 5, 9, 13, 2, 10, 18, 26})}};
           },
           {9, 13, 13, 1, 5, 1, 26, 2, 18, 10, 2, 26});
  // Vectors of three along axis 1.
  constant("constexpr_lut_to_dense",
           [](Builder& b, const std::vector<ValueId>&) {
             return std::vector<Builder::Input>{
                 {"indices", literal(b, type_of(DataType::uint1, {1, 2, 2}), {0, 0, 1, 0})},
                 {"lut", literal(b, fp32({1, 1, 1, 2, 3}), {1, 2, 3, 10, 20, 30})},
                 {"vector_axis", integer(b, 1)}};
           },
           {1, 1, 2, 2, 3, 3, 10, 1, 20, 2, 30, 3});
  constant("constexpr_sparse_to_dense",
           [](Builder& b, const std::vector<ValueId>&) {
             return std::vector<Builder::Input>{
                 {"nonzero_data", literal(b, fp32({2}), {5, 6})},
                 {"mask", literal(b, type_of(DataType::uint1, {4}), {0, 1, 0, 1})}};
           },
           {0, 5, 0, 6});
  constant("constexpr_cast",
           [](Builder& b, const std::vector<ValueId>&) {
             return std::vector<Builder::Input>{
                 {"source_val", literal(b, type_of(DataType::fp16, {2}), {0.5, -2})},
                 {"output_dtype", text(b, "fp32")}};
           },
           {0.5, -2});
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_unary_cases(cases);
  add_binary_cases(cases);
  add_matrix_cases(cases);
  add_convolution_cases(cases);
  add_reduction_cases(cases);
  add_shape_cases(cases);
  add_index_cases(cases);
  add_quantization_cases(cases);
  return cases;
}

anet::Status status_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const anet::Error& error) {
    return error.status();
  }
  return anet::Status::ok;
}

} // namespace

TEST_CASE("every op gives the values worked out for it") {
  for (const Case& entry : all_cases()) {
    CAPTURE(entry.op);
    Values values;
    REQUIRE_NOTHROW(values = run(entry));
    REQUIRE(values.size() == entry.expected.size());
    for (size_t i = 0; i < values.size(); ++i) {
      CAPTURE(i);
      CHECK(values[i] == doctest::Approx(entry.expected[i]).epsilon(1e-9));
    }
  }
}

TEST_CASE("every op of the table has a case") {
  std::set<std::string> covered{"const"}; // read by every case
  for (const Case& entry : all_cases()) covered.insert(entry.op);
  for (const OpSchema& schema : op_table()) {
    CAPTURE(schema.name);
    CHECK(covered.count(schema.name) == 1);
  }
}

TEST_CASE("indices outside their axis are refused") {
  const auto gather = [](double index) {
    return status_of([=] {
      run({"gather",
           {{fp32({2, 1}), {1, 2}}, {int32({1}), {index}}},
           [](Builder&, const std::vector<ValueId>& in) {
             return std::vector<Builder::Input>{{"x", in[0]}, {"indices", in[1]}};
           },
           {}});
    });
  };
  CHECK(gather(-2) == anet::Status::ok);
  CHECK(gather(2) == anet::Status::out_of_range);
  CHECK(gather(-3) == anet::Status::out_of_range);
}

TEST_CASE("inputs must fit their ports") {
  Builder b;
  b.output(b.unary("exp", b.input("x", fp32({2}))), "y");
  const Function function = std::move(b).finish();
  const auto status = [&](const TensorMap& inputs) {
    return status_of([&] { interpret(function, inputs); });
  };
  CHECK(status({}) == anet::Status::not_found);
  CHECK(status({{"x", make_tensor(fp32({3}))}}) == anet::Status::shape_mismatch);
  CHECK(status({{"x", {fp32({2}), {1}}}}) == anet::Status::shape_mismatch);
  CHECK(status({{"x", make_tensor(int32({2}))}}) == anet::Status::type_mismatch);
  CHECK(status({{"x", make_tensor(fp32({2}))}}) == anet::Status::ok);
}
