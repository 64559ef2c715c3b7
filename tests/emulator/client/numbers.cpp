// Operations and the engine's arithmetic (ane-facts.md 4.2, 6). Expected values are double loops
// and closed forms, rounded to fp16 where the engine does.
#include "../ane_emulator.h"
#include "client.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>

using namespace client;

namespace {

std::string tensor(std::initializer_list<int64_t> shape, const std::string& dtype = "fp16") {
  std::string text = "tensor<" + dtype + ", [";
  for (const int64_t extent : shape)
    text += (text.back() == '[' ? "" : ", ") + std::to_string(extent);
  return text + "]>";
}

// The value of a rounding that may fall to either side of a tie by one unit of fp16.
void check_close(const std::vector<double>& got, const std::vector<double>& expected,
                 double units) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    const double unit = std::max(std::fabs(expected[i]), 0x1p-14) * 0x1p-10;
    CHECK(std::fabs(got[i] - expected[i]) <= units * unit);
  }
}

std::vector<double> run_unary(const std::string& op, const std::string& extra,
                              const std::vector<double>& x) {
  const auto count = static_cast<int64_t>(x.size());
  const std::string type = tensor({1, 1, 1, count});
  Model model(program(type + " x", type + " y = " + op + "(x = x" + extra + ");\n", "y"));
  model.ready();
  return model.run({{"x", x}}).at("y");
}

std::vector<double> run_binary(const std::string& op, const std::vector<double>& x,
                               const std::vector<double>& y) {
  const auto count = static_cast<int64_t>(x.size());
  const std::string type = tensor({1, 1, 1, count});
  Model model(program(type + " x, " + type + " y", type + " z = " + op + "(x = x, y = y);\n", "z"));
  model.ready();
  return model.run({{"x", x}, {"y", y}}).at("z");
}

} // namespace

TEST_CASE("matmul in all four orientations, batched and broadcast") {
  const Pool pool;
  const Reset reset;
  const int64_t m = 7;
  const int64_t k = 37;
  const int64_t n = 29;
  for (const bool tx : {false, true}) {
    for (const bool ty : {false, true}) {
      CAPTURE(tx);
      CAPTURE(ty);
      const std::string xt = tx ? tensor({2, 3, k, m}) : tensor({2, 3, m, k});
      const std::string yt = ty ? tensor({1, 3, n, k}) : tensor({1, 3, k, n});
      const auto flag = [](bool value) {
        return std::string("bool(") + (value ? "true" : "false") + ")";
      };
      Model model(program(xt + " x, " + yt + " y",
                          tensor({2, 3, m, n}) + " z = matmul(x = x, y = y, transpose_x = " +
                              flag(tx) + ", transpose_y = " + flag(ty) + ");\n",
                          "z"));
      model.ready();
      const std::vector<double> x = sequence(6 * m * k, 1);
      const std::vector<double> y = sequence(3 * k * n, 2);
      std::vector<double> expected;
      for (int64_t b = 0; b < 6; ++b) {
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t j = 0; j < n; ++j) {
            double sum = 0;
            for (int64_t l = 0; l < k; ++l) {
              const double left = x[static_cast<size_t>(b * m * k + (tx ? l * m + i : i * k + l))];
              const double right =
                  y[static_cast<size_t>(b % 3 * k * n + (ty ? j * k + l : l * n + j))];
              sum += left * right;
            }
            expected.push_back(as_half(sum));
          }
        }
      }
      check_close(model.run({{"x", x}, {"y", y}}).at("z"), expected, 1);
    }
  }
}

TEST_CASE("convolution: 1x1, kernels, strides, padding, dilation, groups") {
  const Pool pool;
  const Reset reset;
  struct Case {
    int64_t batch, inputs, height, width, outputs, kh, kw, stride, pad, dilation, groups;
  };
  for (const Case& c :
       {Case{1, 24, 1, 30, 40, 1, 1, 1, 0, 1, 1}, Case{2, 6, 7, 9, 4, 3, 3, 1, 1, 1, 1},
        Case{1, 4, 8, 11, 6, 3, 2, 2, 1, 1, 2}, Case{1, 5, 1, 40, 5, 1, 5, 1, 2, 2, 5}}) {
    CAPTURE(c.kw);
    const int64_t oh = (c.height + 2 * c.pad - (c.kh - 1) * c.dilation - 1) / c.stride + 1;
    const int64_t ow = (c.width + 2 * c.pad - (c.kw - 1) * c.dilation - 1) / c.stride + 1;
    const int64_t depth = c.inputs / c.groups;
    const std::vector<double> weight = sequence(c.outputs * depth * c.kh * c.kw, 5);
    BlobFile blob;
    const uint64_t offset = blob.add(1, halves(weight));
    const std::string pair = [](int64_t v) {
      return "tensor<int32, [2]>([" + std::to_string(v) + ", " + std::to_string(v) + "])";
    }(c.stride);
    const auto twice = [](int64_t v) {
      return "tensor<int32, [2]>([" + std::to_string(v) + ", " + std::to_string(v) + "])";
    };
    const std::string pads = std::to_string(c.pad);
    const std::string wt = tensor({c.outputs, depth, c.kh, c.kw});
    Model model(
        program(tensor({c.batch, c.inputs, c.height, c.width}) + " x",
                wt + " w = const()[name = string(\"w\"), val = " + wt +
                    "(BLOBFILE(path = string(\"@model_path/weights/w.bin\"), offset = uint64(" +
                    std::to_string(offset) + ")))];\n" + tensor({c.batch, c.outputs, oh, ow}) +
                    " y = conv(x = x, weight = w, strides = " + pair +
                    ", pad_type = string(\"custom\"), pad = "
                    "tensor<int32, [4]>([" +
                    pads + ", " + pads + ", " + pads + ", " + pads + "]), dilations = " +
                    twice(c.dilation) + ", groups = int32(" + std::to_string(c.groups) + "));\n",
                "y"),
        {{"w.bin", blob.bytes}});
    model.ready();
    const std::vector<double> x = sequence(c.batch * c.inputs * c.height * c.width, 6);
    std::vector<double> expected;
    for (int64_t b = 0; b < c.batch; ++b) {
      for (int64_t o = 0; o < c.outputs; ++o) {
        for (int64_t i = 0; i < oh; ++i) {
          for (int64_t j = 0; j < ow; ++j) {
            double sum = 0;
            for (int64_t d = 0; d < depth; ++d) {
              const int64_t channel = o / (c.outputs / c.groups) * depth + d;
              for (int64_t r = 0; r < c.kh; ++r) {
                for (int64_t s = 0; s < c.kw; ++s) {
                  const int64_t h = i * c.stride + r * c.dilation - c.pad;
                  const int64_t w = j * c.stride + s * c.dilation - c.pad;
                  if (h < 0 || h >= c.height || w < 0 || w >= c.width) continue;
                  sum += x[static_cast<size_t>(((b * c.inputs + channel) * c.height + h) * c.width +
                                               w)] *
                         weight[static_cast<size_t>(((o * depth + d) * c.kh + r) * c.kw + s)];
                }
              }
            }
            expected.push_back(as_half(sum));
          }
        }
      }
    }
    check_close(model.run({{"x", x}}).at("y"), expected, 1);
  }
}

TEST_CASE("elementwise operations round once") {
  const Pool pool;
  const Reset reset;
  const std::vector<double> x = sequence(500, 1);
  std::vector<double> y = sequence(500, 2);
  for (double& value : y) value = as_half(value * 40);
  const std::map<std::string, std::function<double(double, double)>> binary = {
      {"add", [](double a, double b) { return a + b; }},
      {"sub", [](double a, double b) { return a - b; }},
      {"mul", [](double a, double b) { return a * b; }},
      {"real_div", [](double a, double b) { return a / b; }},
      {"maximum", [](double a, double b) { return std::max(a, b); }},
      {"minimum", [](double a, double b) { return std::min(a, b); }}};
  for (const auto& [name, function] : binary) {
    CAPTURE(name);
    const std::vector<double> got = run_binary(name, x, y);
    for (size_t i = 0; i < x.size(); ++i) CHECK(got[i] == as_half(function(x[i], y[i])));
  }
  const std::map<std::string, std::function<double(double)>> unary = {
      {"exp", [](double v) { return std::exp(v); }},
      {"sigmoid", [](double v) { return 1 / (1 + std::exp(-v)); }},
      {"tanh", [](double v) { return std::tanh(v); }},
      {"silu", [](double v) { return v / (1 + std::exp(-v)); }},
      {"relu", [](double v) { return std::max(v, 0.0); }},
      {"square", [](double v) { return v * v; }},
      {"erf", [](double v) { return std::erf(v); }},
      {"abs", [](double v) { return std::fabs(v); }}};
  for (const auto& [name, function] : unary) {
    CAPTURE(name);
    const std::vector<double> got = run_unary(name, "", y);
    for (size_t i = 0; i < y.size(); ++i) CHECK(got[i] == as_half(function(y[i])));
  }
}

TEST_CASE("what would be NaN is 0, NaN reads as Inf, and products stop at 32768") {
  const Pool pool;
  const Reset reset;
  const double inf = INFINITY;
  CHECK(run_binary("sub", {inf, NAN, 65504}, {inf, 1, -32}) == std::vector<double>{0, inf, inf});
  CHECK(run_binary("mul", {0, 300, -300}, {inf, 300, 300}) == std::vector<double>{0, inf, -inf});
  CHECK(run_binary("real_div", {1, -1, 0, 1}, {-0.0, 0, 0, inf}) ==
        std::vector<double>{inf, -inf, 0, 0});
  CHECK(run_unary("sqrt", "", {-1, 4}) == std::vector<double>{0, 2});
  CHECK(run_unary("rsqrt", ", epsilon = fp16(0)", {-1, 4, 0}) == std::vector<double>{0, 0.5, inf});
  CHECK(run_unary("log", ", epsilon = fp16(0)", {-1, 1, 0}) == std::vector<double>{0, 0, -45440});
  CHECK(run_unary("softplus", "", {inf}) == std::vector<double>{0});
  CHECK(run_unary("softsign", "", {inf, 1}) == std::vector<double>{0, 0.5});
  CHECK(run_unary("exp", "", {11, 12}) == std::vector<double>{as_half(std::exp(11.0)), inf});

  const std::string row = tensor({1, 1, 1, 4});
  const std::string column = tensor({1, 1, 4, 2});
  Model model(program(row + " x, " + column + " y",
                      tensor({1, 1, 1, 2}) +
                          " z = matmul(x = x, y = y, transpose_x = bool(false), transpose_y = "
                          "bool(false));\n",
                      "z"));
  model.ready();
  const Values given = {{"x", {128, 128, 0, 0}}, {"y", {128, 128, 127.875, 128, 0, 0, 0, 0}}};
  CHECK(model.run(given).at("z") == std::vector<double>{as_half(128 * 128 + 128 * 127.875), inf});
  REQUIRE(model.unload());
  REQUIRE(ane_emulator_set("overflow_rule", "0") == 1);
  REQUIRE(model.load());
  CHECK(model.run(given).at("z") == std::vector<double>{as_half(128 * 128 + 128 * 127.875), 32768});
}

TEST_CASE("options of the arithmetic: four lanes, narrow sums, tables, crops, denormals") {
  const Pool pool;
  const Reset reset;
  SUBCASE("four_lane: 4096 and 1024 ones") {
    const int64_t k = 1025;
    const std::string x = tensor({1, 1, 1, k});
    const std::string y = tensor({1, 1, k, 1});
    const std::string text =
        program(x + " x, " + y + " y",
                tensor({1, 1, 1, 1}) + " z = matmul(x = x, y = y, transpose_x = bool(false), "
                                       "transpose_y = bool(false));\n",
                "z");
    Values given = {{"x", std::vector<double>(k, 1)}, {"y", std::vector<double>(k, 1)}};
    given["x"][0] = 4096;
    Model model(text);
    model.ready();
    CHECK(model.run(given).at("z") == std::vector<double>{5120});
    REQUIRE(model.unload());
    REQUIRE(ane_emulator_set("four_lane", "1") == 1);
    REQUIRE(model.load());
    CHECK(model.run(given).at("z") == std::vector<double>{5116});
  }
  SUBCASE("narrow_sum: integers are exact to 2048") {
    const std::string text = program(
        tensor({1, 1, 1, 3000}) + " x",
        tensor({1, 1, 1, 1}) +
            " y = reduce_sum(x = x, axes = tensor<int32, [1]>([3]), keep_dims = bool(true));\n",
        "y");
    Model model(text);
    model.ready();
    const Values given = {{"x", std::vector<double>(3000, 1)}};
    CHECK(model.run(given).at("y") == std::vector<double>{3000});
    REQUIRE(model.unload());
    REQUIRE(ane_emulator_set("narrow_sum", "1") == 1);
    REQUIRE(model.load());
    CHECK(model.run(given).at("y") == std::vector<double>{2048});
  }
  SUBCASE("narrow_squares: a norm whose squares are infinite") {
    const std::string text =
        program(tensor({1, 64, 1, 1}) + " x",
                tensor({1, 1, 1, 1}) + " y = reduce_l2_norm(x = x, axes = tensor<int32, "
                                       "[1]>([1]), keep_dims = bool(true));\n",
                "y");
    Model model(text);
    model.ready();
    const Values given = {{"x", std::vector<double>(64, 300)}};
    CHECK(model.run(given).at("y") == std::vector<double>{2400});
    REQUIRE(model.unload());
    REQUIRE(ane_emulator_set("narrow_squares", "1") == 1);
    REQUIRE(model.load());
    CHECK(std::isinf(model.run(given).at("y").front()));
  }
  SUBCASE("lut: the errors that were measured") {
    REQUIRE(ane_emulator_set("lut", "1") == 1);
    std::vector<double> x;
    for (int i = -4000; i <= 4000; ++i) x.push_back(as_half(i * 0.001));
    const auto worst = [&](const std::string& op, const std::string& extra,
                           double (*function)(double)) {
      double error = 0;
      const std::vector<double> y = run_unary(op, extra, x);
      for (size_t i = 0; i < x.size(); ++i)
        error = std::max(error, std::fabs(y[i] - function(x[i])));
      return error;
    };
    const double sigmoid = worst("sigmoid", "", [](double v) { return 1 / (1 + std::exp(-v)); });
    const double tanh = worst("tanh", "", [](double v) { return std::tanh(v); });
    CHECK(sigmoid > 2e-3);
    CHECK(sigmoid < 5e-3);
    CHECK(tanh > 1e-3);
    CHECK(tanh < 3e-3);
  }
  SUBCASE("slice_clamp: on M1, a crop along the width that does not begin at 0") {
    const std::string text =
        program(tensor({1, 1, 1, 8}) + " x",
                tensor({1, 1, 1, 4}) +
                    " y = slice_by_size(x = x, begin = tensor<int32, [4]>([0, 0, 0, 4]), size = "
                    "tensor<int32, [4]>([1, 1, 1, 4]));\n" +
                    tensor({1, 1, 1, 4}) +
                    " z = slice_by_size(x = x, begin = tensor<int32, [4]>([0, 0, 0, 0]), size = "
                    "tensor<int32, [4]>([1, 1, 1, 4]));\n",
                "y, z");
    const std::vector<double> half = {4092, 4100, -5000, 3};
    std::vector<double> x = half;
    x.insert(x.end(), half.begin(), half.end());
    for (const bool clamps : {true, false}) {
      CAPTURE(clamps);
      ane_emulator_reset();
      REQUIRE(ane_emulator_set("profile", clamps ? "m1" : "m4") == 1);
      Model model(text);
      model.ready();
      const Values results = model.run({{"x", x}});
      CHECK(results.at("y") == (clamps ? std::vector<double>{4092, INFINITY, -INFINITY, 3} : half));
      CHECK(results.at("z") == half);
    }
  }
  SUBCASE("flush_denormals: on M1, in products only") {
    REQUIRE(ane_emulator_set("profile", "m1") == 1);
    const std::string text =
        program(tensor({1, 1, 1, 1}) + " x, " + tensor({1, 1, 1, 1}) + " y",
                tensor({1, 1, 1, 1}) +
                    " z = matmul(x = x, y = y, transpose_x = bool(false), transpose_y "
                    "= bool(false));\n" +
                    tensor({1, 1, 1, 1}) + " s = add(x = x, y = x);\n",
                "z, s");
    Model model(text);
    model.ready();
    const Values results = model.run({{"x", {0x1p-15}}, {"y", {1024}}});
    CHECK(results.at("z") == std::vector<double>{0});
    CHECK(results.at("s") == std::vector<double>{0x1p-14});
  }
}

TEST_CASE("attention ignores its mask, unless told otherwise") {
  const Pool pool;
  const Reset reset;
  const int64_t s = 5;
  const int64_t e = 8;
  const std::string qkv = tensor({1, 2, s, e});
  const std::string text = program(
      qkv + " q, " + qkv + " k, " + qkv + " v, " + tensor({1, 1, s, s}) + " m",
      qkv + " y = scaled_dot_product_attention(query = q, key = k, value = v, attn_mask = m);\n",
      "y");
  Values given = {
      {"q", sequence(2 * s * e, 1)}, {"k", sequence(2 * s * e, 2)}, {"v", sequence(2 * s * e, 3)}};
  std::vector<double> mask(static_cast<size_t>(s * s), 0);
  for (int64_t i = 0; i < s; ++i) {
    for (int64_t j = i + 1; j < s; ++j) mask[static_cast<size_t>(i * s + j)] = -1000;
  }
  given["m"] = mask;
  for (const bool honoured : {false, true}) {
    CAPTURE(honoured);
    ane_emulator_reset();
    REQUIRE(ane_emulator_set("sdpa_mask", honoured ? "1" : "0") == 1);
    Model model(text);
    model.ready();
    std::vector<double> expected;
    for (int64_t h = 0; h < 2; ++h) {
      for (int64_t i = 0; i < s; ++i) {
        std::vector<double> weights;
        double sum = 0;
        for (int64_t j = 0; j < s; ++j) {
          double score = 0;
          for (int64_t d = 0; d < e; ++d) {
            score += given["q"][static_cast<size_t>((h * s + i) * e + d)] *
                     given["k"][static_cast<size_t>((h * s + j) * e + d)];
          }
          score = score / std::sqrt(static_cast<double>(e)) +
                  (honoured ? mask[static_cast<size_t>(i * s + j)] : 0);
          weights.push_back(std::exp(score));
          sum += weights.back();
        }
        for (int64_t d = 0; d < e; ++d) {
          double value = 0;
          for (int64_t j = 0; j < s; ++j)
            value += weights[static_cast<size_t>(j)] / sum *
                     given["v"][static_cast<size_t>((h * s + j) * e + d)];
          expected.push_back(value);
        }
      }
    }
    const std::vector<double> got = model.run(given).at("y");
    for (size_t i = 0; i < got.size(); ++i) CHECK(std::fabs(got[i] - expected[i]) < 2e-3);
  }
}

TEST_CASE("shapes: transpose, slices, concat, split, tile, pad, gather") {
  const Pool pool;
  const Reset reset;
  const std::string text = program(
      tensor({1, 3, 4, 5}) + " x",
      tensor({4, 1, 5, 3}) + " t = transpose(x = x, perm = tensor<int32, [4]>([2, 0, 3, 1]));\n" +
          tensor({1, 2, 2, 3}) +
          " s = slice_by_index(x = x, begin = tensor<int32, [4]>([0, 1, 0, 4]), end = "
          "tensor<int32, [4]>([1, 3, 4, -6]), stride = "
          "tensor<int32, [4]>([1, 1, 2, -2]), begin_mask = tensor<bool, [4]>([false, false, false, "
          "false]), end_mask = "
          "tensor<bool, [4]>([false, false, false, true]), squeeze_mask = tensor<bool, "
          "[4]>([false, false, false, false]));\n" +
          tensor({1, 6, 4, 5}) +
          " c = concat(values = (x, x), axis = int32(1), interleave = bool(false));\n" +
          tensor({1, 3, 1, 5}) + " p0, " + tensor({1, 3, 3, 5}) +
          " p1 = split(x = x, split_sizes = tensor<int32, [2]>([1, 3]), axis = int32(2));\n" +
          tensor({1, 3, 6, 5}) +
          " d = pad(x = x, pad = tensor<int32, [4]>([1, 1, 0, 0]), mode = string(\"constant\"), "
          "constant_val = fp16(7));\n" +
          tensor({1, 2, 4, 5}) +
          " g = gather(x = x, indices = tensor<int32, [2]>([2, 0]), axis = int32(1), batch_dims = "
          "int32(0), validate_indices = "
          "bool(false));\n",
      "t, s, c, p0, p1, d, g");
  Model model(text);
  model.ready();
  std::vector<double> x;
  for (int i = 0; i < 60; ++i) x.push_back(i);
  const Values got = model.run({{"x", x}});
  const auto at = [](int c, int h, int w) { return static_cast<double>((c * 4 + h) * 5 + w); };
  size_t index = 0;
  for (int h = 0; h < 4; ++h) {
    for (int w = 0; w < 5; ++w) {
      for (int c = 0; c < 3; ++c) CHECK(got.at("t")[index++] == at(c, h, w));
    }
  }
  index = 0;
  for (int c = 1; c < 3; ++c) {
    for (int h = 0; h < 4; h += 2) {
      for (int w = 4; w >= 0; w -= 2) CHECK(got.at("s")[index++] == at(c, h, w));
    }
  }
  for (size_t i = 0; i < 120; ++i) CHECK(got.at("c")[i] == x[i % 60]);
  for (int c = 0; c < 3; ++c) {
    for (int w = 0; w < 5; ++w) {
      CHECK(got.at("p0")[static_cast<size_t>(c * 5 + w)] == at(c, 0, w));
      CHECK(got.at("p1")[static_cast<size_t>(c * 15 + 10 + w)] == at(c, 3, w));
      CHECK(got.at("d")[static_cast<size_t>(c * 30 + w)] == 7);
      CHECK(got.at("d")[static_cast<size_t>(c * 30 + 5 + w)] == at(c, 0, w));
    }
  }
  for (size_t i = 0; i < 20; ++i) {
    CHECK(got.at("g")[i] == x[40 + i]);
    CHECK(got.at("g")[20 + i] == x[i]);
  }
}

TEST_CASE("softmax, layer_norm and reductions along channels") {
  const Pool pool;
  const Reset reset;
  const int64_t c = 9;
  const int64_t w = 33;
  const std::string type = tensor({1, c, 1, w});
  const std::string one = tensor({1, 1, 1, w});
  Model model(program(
      type + " x",
      type + " s = softmax(x = x, axis = int32(1));\n" + type +
          " n = layer_norm(x = x, axes = tensor<int32, [1]>([1]), epsilon = fp16(0x1p-10));\n" +
          one +
          " m = reduce_mean(x = x, axes = tensor<int32, [1]>([1]), keep_dims = bool(true));\n" +
          one +
          " a = reduce_max(x = x, axes = tensor<int32, [1]>([-3]), keep_dims = bool(true));\n",
      "s, n, m, a"));
  model.ready();
  const std::vector<double> x = sequence(c * w, 9);
  const Values got = model.run({{"x", x}});
  for (int64_t j = 0; j < w; ++j) {
    double sum = 0;
    double squares = 0;
    double exponentials = 0;
    double highest = -2;
    for (int64_t i = 0; i < c; ++i) {
      const double v = x[static_cast<size_t>(i * w + j)];
      sum += v;
      squares += v * v;
      exponentials += std::exp(v);
      highest = std::max(highest, v);
    }
    const double mean = sum / static_cast<double>(c);
    const double variance = squares / static_cast<double>(c) - mean * mean;
    CHECK(got.at("m")[static_cast<size_t>(j)] == as_half(mean));
    CHECK(got.at("a")[static_cast<size_t>(j)] == highest);
    for (int64_t i = 0; i < c; ++i) {
      const auto at = static_cast<size_t>(i * w + j);
      CHECK(std::fabs(got.at("s")[at] - std::exp(x[at]) / exponentials) < 1e-3);
      CHECK(std::fabs(got.at("n")[at] - (x[at] - mean) / std::sqrt(variance + 0x1p-10)) < 2e-3);
    }
  }
}

TEST_CASE("operations that the interpreter runs for the emulator") {
  const Pool pool;
  const Reset reset;
  Model model(program(
      tensor({1, 1, 1, 6}) + " x",
      tensor({1, 1, 1, 6}) +
          " y = cumsum(x = x, axis = int32(3), exclusive = bool(false), reverse = bool(true));\n",
      "y"));
  model.ready();
  CHECK(model.run({{"x", {1, 2, 3, 4, 5, 6}}}).at("y") ==
        std::vector<double>{21, 20, 18, 15, 11, 6});
}
