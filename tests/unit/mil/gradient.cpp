// Every gradient rule against finite differences.
#include "gradient_check.h"

#include "base/status.h"
#include "mil/op_table.h"

#include <doctest/doctest.h>

#include <set>

namespace {

using namespace anet::mil;
using namespace anet::mil::test;
using Inputs = std::vector<Builder::Input>;

struct Case {
  std::string op;
  std::string note;
  std::function<void(Builder&)> build;
  double low = -1.5;
  double high = 1.5;
  TensorMap given = {}; // integer and boolean inputs
};

ValueId list(Builder& b, std::vector<int64_t> values) {
  return b.constant(Literal::int32s(values));
}
ValueId number(Builder& b, double value) { return b.scalar(DataType::fp32, value); }
ValueId integer(Builder& b, double value) { return b.scalar(DataType::int32, value); }
ValueId flag(Builder& b, bool value) { return b.constant(Literal::boolean(value)); }
ValueId text(Builder& b, const char* value) { return b.constant(Literal::string(value)); }
ValueId flags(Builder& b, std::vector<double> values) {
  return b.constant(
      Literal::numbers({DataType::boolean, {static_cast<int64_t>(values.size())}, {}}, values));
}

Tensor int32_tensor(Shape shape, std::vector<double> values) {
  return {{DataType::int32, std::move(shape), {}}, std::move(values)};
}

void add_unary_cases(std::vector<Case>& cases) {
  const auto add = [&](const std::string& op, double low, double high) {
    cases.push_back({op, "plain",
                     [op](Builder& b) {
                       const ValueId x = b.input("x", fp32({2, 5}));
                       b.output(b.unary(op, x), "y");
                     },
                     low, high});
  };
  for (const char* op : {"atan", "cos", "erf", "exp", "exp2", "gelu", "identity", "sigmoid", "silu",
                         "sin", "softplus", "square", "tan", "tanh"}) {
    add(op, -1.3, 1.3);
  }
  for (const char* op : {"abs", "relu", "relu6", "softsign", "sqrt"}) {
    add(op, 0.2, 1.5);
    if (std::string(op) != "sqrt") add(op, -1.5, -0.2);
  }
  add("relu6", 6.2, 7);
  for (const char* op : {"inverse", "log", "rsqrt"}) {
    const std::string name = op;
    cases.push_back({name, "epsilon",
                     [name](Builder& b) {
                       const ValueId x = b.input("x", fp32({2, 5}));
                       b.output(b.add(name, {{"x", x}, {"epsilon", number(b, 0.25)}}), "y");
                     },
                     0.5, 2});
  }
  for (const char* op : {"elu", "leaky_relu"}) {
    for (const double side : {-1.0, 1.0}) {
      const std::string name = op;
      cases.push_back({name, "one side of zero",
                       [name](Builder& b) {
                         const ValueId x = b.input("x", fp32({7}));
                         b.output(b.add(name, {{"x", x}, {"alpha", number(b, 0.3)}}), "y");
                       },
                       side - 0.8, side + 0.8});
    }
  }
  for (const char* mode : {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"}) {
    cases.push_back({"gelu", mode, [mode](Builder& b) {
                       const ValueId x = b.input("x", fp32({9}));
                       b.output(b.add("gelu", {{"x", x}, {"mode", text(b, mode)}}), "y");
                     }});
  }
  for (const double center : {-2.0, 0.0, 2.0}) {
    const auto two_bounds = [&](const char* op, double alpha, double beta) {
      const std::string name = op;
      cases.push_back(
          {name, "around " + std::to_string(center),
           [=](Builder& b) {
             const ValueId x = b.input("x", fp32({6}));
             b.output(
                 b.add(name, {{"x", x}, {"alpha", number(b, alpha)}, {"beta", number(b, beta)}}),
                 "y");
           },
           center - 0.9, center + 0.9});
    };
    two_bounds("clip", -1, 1);
    two_bounds("sigmoid_hard", 0.5, 0.5);
  }
  for (const double center : {-1.0, 1.0}) {
    cases.push_back({"threshold", "one side",
                     [](Builder& b) {
                       const ValueId x = b.input("x", fp32({6}));
                       b.output(b.add("threshold", {{"x", x}, {"alpha", number(b, 0)}}), "y");
                     },
                     center - 0.9, center + 0.9});
  }
  cases.push_back({"cast", "fp32 to fp16 and back", [](Builder& b) {
                     const ValueId x = b.input("x", fp32({6}));
                     b.output(b.unary("tanh", b.cast(b.cast(x, DataType::fp16), DataType::fp32)),
                              "y");
                   }});
}

void add_binary_cases(std::vector<Case>& cases) {
  const std::vector<std::pair<Shape, Shape>> shapes{
      {{2, 3}, {2, 3}}, {{2, 3}, {3}}, {{2, 1, 3}, {4, 1}}, {{2, 2}, {}}, {{1}, {3, 2}}};
  const auto add = [&](const std::string& op, double low, double high) {
    for (const auto& [x_shape, y_shape] : shapes) {
      cases.push_back({op, shape_to_string(x_shape) + " and " + shape_to_string(y_shape),
                       [op, x = x_shape, y = y_shape](Builder& b) {
                         const ValueId left = b.input("x", fp32(x));
                         const ValueId right = b.input("y", fp32(y));
                         b.output(b.binary(op, left, right), "z");
                       },
                       low, high});
    }
  };
  for (const char* op : {"add", "sub", "mul", "maximum", "minimum"}) add(op, -1.5, 1.5);
  for (const char* op : {"real_div", "pow", "mod"}) add(op, 0.6, 2);
  cases.push_back({"mul", "with itself", [](Builder& b) {
                     const ValueId x = b.input("x", fp32({3}));
                     b.output(b.mul(x, x), "y");
                   }});
  cases.push_back({"pow", "constant exponent, negative base",
                   [](Builder& b) {
                     const ValueId x = b.input("x", fp32({4}));
                     b.output(b.binary("pow", x, number(b, 3)), "y");
                   },
                   -1.5, -0.5});
  cases.push_back({"select",
                   "broadcast operands",
                   [](Builder& b) {
                     const ValueId condition = b.input("c", {DataType::boolean, {2, 3}, {}});
                     const ValueId a = b.input("a", fp32({3}));
                     const ValueId other = b.input("b", fp32({2, 1}));
                     b.output(b.add("select", {{"cond", condition}, {"a", a}, {"b", other}}), "y");
                   },
                   -1,
                   1,
                   {{"c", {{DataType::boolean, {2, 3}, {}}, {1, 0, 1, 0, 0, 1}}}}});
}

void add_matrix_cases(std::vector<Case>& cases) {
  struct Shapes {
    Shape x, y; // before the transposes
  };
  for (const Shapes& s : {Shapes{{2, 3}, {3, 4}}, Shapes{{2, 2, 3}, {2, 3, 4}},
                          Shapes{{2, 2, 3}, {3, 4}}, Shapes{{2, 3}, {2, 3, 2}},
                          Shapes{{2, 1, 2, 3}, {3, 3, 2}}, Shapes{{1, 2, 2, 3}, {1, 1, 3, 2}}}) {
    for (int transposes = 0; transposes < 4; ++transposes) {
      const bool tx = transposes & 1;
      const bool ty = transposes & 2;
      Shape x = s.x;
      Shape y = s.y;
      if (tx) std::swap(x[x.size() - 1], x[x.size() - 2]);
      if (ty) std::swap(y[y.size() - 1], y[y.size() - 2]);
      cases.push_back({"matmul", shape_to_string(x) + " " + shape_to_string(y), [=](Builder& b) {
                         const ValueId left = b.input("x", fp32(x));
                         const ValueId right = b.input("y", fp32(y));
                         b.output(b.matmul(left, right, tx, ty), "z");
                       }});
    }
  }
  for (const bool ty : {false, true}) {
    cases.push_back(
        {"matmul", "vector x", [ty](Builder& b) {
           const ValueId left = b.input("x", fp32({3}));
           const ValueId right = b.input("y", fp32(ty ? Shape{2, 2, 3} : Shape{2, 3, 2}));
           b.output(b.matmul(left, right, false, ty), "z");
         }});
  }
  cases.push_back(
      {"linear", "constant weight and bias", [](Builder& b) {
         const ValueId x = b.input("x", fp32({2, 2, 3}));
         const std::vector<double> weight{1, -2, 3, 0.5, 4, -1};
         b.output(b.add("linear", {{"x", x},
                                   {"weight", b.constant(Literal::numbers(fp32({2, 3}), weight))},
                                   {"bias", b.constant(Literal::fill(fp32({2}), 3))}}),
                  "y");
       }});
  for (const int mask : {0, 1, 2, 3}) {
    cases.push_back(
        {"scaled_dot_product_attention", "mask kind " + std::to_string(mask),
         [mask](Builder& b) {
           Inputs inputs{{"query", b.input("q", fp32({2, 2, 3, 4}))},
                         {"key", b.input("k", fp32({2, 2, 5, 4}))},
                         {"value", b.input("v", fp32({2, 2, 5, 3}))}};
           if (mask == 1) inputs.emplace_back("attn_mask", b.input("m", fp32({3, 5})));
           if (mask == 2) inputs.emplace_back("attn_mask", b.input("m", fp32({2, 1, 3, 5})));
           if (mask == 3) {
             inputs.emplace_back("attn_mask", b.input("m", {DataType::boolean, {3, 5}, {}}));
           }
           b.output(b.add("scaled_dot_product_attention", inputs), "y");
         },
         -1, 1,
         mask == 3 ? TensorMap{{"m",
                                {{DataType::boolean, {3, 5}, {}},
                                 {1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1}}}}
                   : TensorMap{}});
  }
}

struct Window {
  Shape x, weight;
  std::vector<int64_t> strides, dilations, pad;
  const char* pad_type;
  int64_t groups;
  bool bias;
  Shape output_shape = {}; // conv_transpose only
};

Case window_case(const char* op, const Window& w) {
  const std::string name = op;
  return {name, shape_to_string(w.x) + " " + shape_to_string(w.weight) + " " + w.pad_type,
          [name, w](Builder& b) {
            Inputs inputs{{"x", b.input("x", fp32(w.x))},
                          {"weight", b.input("weight", fp32(w.weight))},
                          {"strides", list(b, w.strides)},
                          {"pad_type", text(b, w.pad_type)},
                          {"pad", list(b, w.pad)},
                          {"dilations", list(b, w.dilations)},
                          {"groups", integer(b, static_cast<double>(w.groups))}};
            const int64_t channels = name == "conv" ? w.weight[0] : w.weight[1] * w.groups;
            if (w.bias) inputs.emplace_back("bias", b.input("bias", fp32({channels})));
            if (!w.output_shape.empty()) {
              inputs.emplace_back("output_shape", list(b, w.output_shape));
            }
            b.output(b.add(name, inputs), "y");
          }};
}

void add_convolution_cases(std::vector<Case>& cases) {
  const std::vector<Window> windows{
      {{1, 3, 1, 4}, {2, 3, 1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, "valid", 1, false},
      {{2, 3, 2, 2}, {2, 3, 1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, "valid", 1, true},
      {{1, 2, 4, 5}, {3, 2, 2, 3}, {1, 1}, {1, 1}, {0, 0, 0, 0}, "valid", 1, true},
      {{2, 2, 5, 5}, {3, 2, 3, 2}, {2, 3}, {1, 2}, {1, 0, 2, 1}, "custom", 1, false},
      {{1, 2, 5, 4}, {2, 2, 3, 2}, {2, 1}, {1, 1}, {0, 0, 0, 0}, "same", 1, false},
      {{1, 2, 5, 4}, {2, 2, 2, 2}, {2, 1}, {1, 1}, {0, 0, 0, 0}, "same_lower", 1, false},
      {{1, 4, 5}, {6, 2, 3}, {1}, {2}, {1, 2}, "custom", 2, true},
      {{2, 3, 6}, {3, 1, 4}, {1}, {1}, {3, 0}, "custom", 3, false},
      {{1, 2, 3, 3, 2},
       {2, 2, 2, 2, 1},
       {1, 2, 1},
       {1, 1, 1},
       {0, 1, 1, 0, 0, 0},
       "custom",
       1,
       false},
      {{1, 1, 7}, {1, 1, 2}, {3}, {1}, {0, 0}, "valid", 1, false},
  };
  for (const Window& w : windows) cases.push_back(window_case("conv", w));
  const std::vector<Window> transposed{
      {{1, 3, 1, 4}, {3, 2, 1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, "valid", 1, true},
      {{2, 2, 3, 3}, {2, 3, 2, 3}, {2, 1}, {1, 2}, {0, 0, 0, 0}, "valid", 1, true},
      {{1, 2, 3, 3}, {2, 2, 3, 2}, {2, 2}, {1, 1}, {1, 0, 1, 1}, "custom", 1, false},
      {{1, 4, 3}, {4, 3, 3}, {2}, {1}, {1, 1}, "custom", 2, true},
      {{1, 2, 3}, {2, 2, 3}, {2}, {1}, {0, 0}, "same", 1, false},
      {{1, 2, 3}, {2, 2, 2}, {3}, {1}, {0, 0}, "same", 1, false},
      {{1, 2, 3}, {2, 2, 3}, {2}, {1}, {1, 1}, "custom", 1, false, {1, 2, 6}},
  };
  for (const Window& w : transposed) cases.push_back(window_case("conv_transpose", w));
}

void add_reduction_cases(std::vector<Case>& cases) {
  for (const char* op :
       {"reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "reduce_prod", "reduce_sum_square",
        "reduce_l1_norm", "reduce_l2_norm", "reduce_log_sum", "reduce_log_sum_exp"}) {
    const std::string name = op;
    for (const std::vector<int64_t>& axes :
         {std::vector<int64_t>{1}, std::vector<int64_t>{-1, 0}, std::vector<int64_t>{0, 1, 2}}) {
      for (const bool keep : {false, true}) {
        cases.push_back({name, shape_to_string(axes) + (keep ? " kept" : ""),
                         [=](Builder& b) {
                           const ValueId x = b.input("x", fp32({2, 3, 2}));
                           b.output(b.reduce(name, x, axes, keep), "y");
                         },
                         0.4, 1.6});
      }
    }
    if (name != "reduce_log_sum") {
      cases.push_back({name, "negative",
                       [=](Builder& b) {
                         const ValueId x = b.input("x", fp32({2, 3}));
                         b.output(b.reduce(name, x, {1}, false), "y");
                       },
                       -1.6, -0.4});
    }
  }
  for (const int64_t axis : {0, 1, -1}) {
    cases.push_back({"softmax", "axis " + std::to_string(axis), [axis](Builder& b) {
                       b.output(b.softmax(b.input("x", fp32({2, 3, 4})), axis), "y");
                     }});
    // Their product with values may stand for the sum in the gradient.
    for (const bool is_left : {true, false}) {
      for (const int64_t values : {2, 5}) {
        cases.push_back(
            {"softmax",
             anet::concat("axis ", axis, is_left ? " times " : " on the right of ", values),
             [=](Builder& b) {
               const ValueId p = b.softmax(b.input("x", fp32({2, 3, 4})), axis);
               const ValueId v =
                   b.input("v", fp32(is_left ? Shape{2, 4, values} : Shape{1, values, 4}));
               b.output(is_left ? b.matmul(p, v, false, false) : b.matmul(v, p, false, true), "y");
             }});
      }
    }
    for (const int kind : {0, 1, 2, 3}) {
      cases.push_back({"cumsum", "axis " + std::to_string(axis), [=](Builder& b) {
                         b.output(b.add("cumsum", {{"x", b.input("x", fp32({2, 3, 2}))},
                                                   {"axis", integer(b, static_cast<double>(axis))},
                                                   {"exclusive", flag(b, kind & 1)},
                                                   {"reverse", flag(b, kind & 2)}}),
                                  "y");
                       }});
    }
  }
  for (const std::vector<int64_t>& axes :
       {std::vector<int64_t>{-1}, std::vector<int64_t>{1}, std::vector<int64_t>{1, 2}}) {
    for (const bool affine : {false, true}) {
      cases.push_back({"layer_norm", shape_to_string(axes), [=](Builder& b) {
                         Inputs inputs{{"x", b.input("x", fp32({2, 3, 4}))},
                                       {"axes", list(b, axes)},
                                       {"epsilon", number(b, 0.01)}};
                         Shape shape;
                         for (int64_t axis : axes) {
                           shape.push_back(Shape{2, 3, 4}[static_cast<size_t>((axis + 3) % 3)]);
                         }
                         if (affine) {
                           std::vector<double> gamma;
                           for (int64_t i = 0; i < element_count(shape); ++i) {
                             gamma.push_back(0.5 + static_cast<double>(i));
                           }
                           inputs.emplace_back("gamma",
                                               b.constant(Literal::numbers(fp32(shape), gamma)));
                           inputs.emplace_back("beta", b.constant(Literal::fill(fp32(shape), 2)));
                         }
                         b.output(b.add("layer_norm", inputs), "y");
                       }});
    }
  }
  for (const int form : {0, 1, 2, 3, 4, 5, 6, 7}) {
    const bool is_root_left = form % 2 == 0, is_root_read = form / 2 % 2 == 0;
    const bool has_factor = form >= 4;
    const std::string note = std::string("RMS norm") + (is_root_read ? ", root read" : "") +
                             (has_factor ? ", times a number" : "");
    cases.push_back({"rsqrt", note, [=](Builder& b) {
                       const ValueId x = b.input("x", fp32({2, 3, 4}));
                       const ValueId root =
                           b.rsqrt(b.reduce("reduce_mean", b.mul(x, x), {1}, true), 0.1);
                       const ValueId r = has_factor ? b.mul(root, 4) : root;
                       const ValueId y = is_root_left ? b.mul(r, x) : b.mul(x, r);
                       b.output(b.mul(y, b.input("gain", fp32({1, 3, 1}))), "y");
                       if (is_root_read) b.output(b.unary("sin", r), "root");
                     }});
  }
  cases.push_back({"rsqrt", "RMS norm, times a number of more axes", [](Builder& b) {
                     const ValueId x = b.input("x", fp32({2, 3}));
                     const ValueId root =
                         b.rsqrt(b.reduce("reduce_mean", b.mul(x, x), {1}, true), 0.1);
                     const ValueId two = b.constant(Literal::fill(fp32({1, 1, 1}), 2));
                     b.output(b.unary("sin", b.mul(x, b.mul(root, two))), "y");
                   }});
  for (const Shape& shape : {Shape{2, 3, 2}, Shape{2, 2, 1, 3}}) {
    cases.push_back({"l2_norm", shape_to_string(shape), [shape](Builder& b) {
                       b.output(b.add("l2_norm", {{"x", b.input("x", fp32(shape))},
                                                  {"epsilon", number(b, 0.1)}}),
                                "y");
                     }});
  }
}

void add_shape_cases(std::vector<Case>& cases) {
  // The square makes the gradient depend on the position.
  const auto finish = [](Builder& b, ValueId y) { b.output(b.unary("square", y), "y"); };
  const auto add = [&](const char* op, const std::string& note, Shape shape,
                       std::function<ValueId(Builder&, ValueId)> build) {
    cases.push_back({op, note, [=](Builder& b) {
                       const ValueId x = b.input("x", fp32(shape));
                       finish(b, build(b, x));
                     }});
  };
  add("reshape", "", {2, 3}, [](Builder& b, ValueId x) { return b.reshape(x, {3, 1, 2}); });
  add("transpose", "", {2, 3, 4}, [](Builder& b, ValueId x) { return b.transpose(x, {2, 0, 1}); });
  add("transpose", "negative axes", {2, 3, 4}, [](Builder& b, ValueId x) {
    return b.transpose(x, {-1, 0, -2});
  });
  add("expand_dims", "", {2, 3}, [](Builder& b, ValueId x) {
    return b.add("expand_dims", {{"x", x}, {"axes", list(b, {0, 2})}});
  });
  add("squeeze", "", {2, 1, 3, 1}, [](Builder& b, ValueId x) {
    return b.add("squeeze", {{"x", x}, {"axes", list(b, {1, -1})}});
  });
  add("squeeze", "to a scalar", {1, 1}, [](Builder& b, ValueId x) {
    return b.add("squeeze", {{"x", x}});
  });
  add("slice_by_size", "", {4, 5}, [](Builder& b, ValueId x) {
    return b.slice_by_size(x, {1, 0}, {2, 3});
  });
  add("slice_by_size", "to the end", {4, 5}, [](Builder& b, ValueId x) {
    return b.slice_by_size(x, {1, 2}, {-1, -1});
  });
  const auto slice = [](Builder& b, ValueId x, std::vector<int64_t> begin, std::vector<int64_t> end,
                        std::vector<int64_t> stride, std::vector<double> begin_mask,
                        std::vector<double> end_mask, std::vector<double> squeeze_mask) {
    return b.add("slice_by_index", {{"x", x},
                                    {"begin", list(b, begin)},
                                    {"end", list(b, end)},
                                    {"stride", list(b, stride)},
                                    {"begin_mask", flags(b, begin_mask)},
                                    {"end_mask", flags(b, end_mask)},
                                    {"squeeze_mask", flags(b, squeeze_mask)}});
  };
  add("slice_by_index", "unit strides", {4, 5}, [=](Builder& b, ValueId x) {
    return slice(b, x, {1, -4}, {3, 5}, {1, 1}, {0, 0}, {0, 0}, {0, 0});
  });
  add("slice_by_index", "strides", {4, 7}, [=](Builder& b, ValueId x) {
    return slice(b, x, {0, 1}, {4, 7}, {2, 3}, {0, 0}, {0, 0}, {0, 0});
  });
  add("slice_by_index", "negative stride", {3, 5}, [=](Builder& b, ValueId x) {
    return slice(b, x, {0, 4}, {3, 0}, {1, -2}, {0, 0}, {0, 0}, {0, 0});
  });
  add("slice_by_index", "masks", {3, 5}, [=](Builder& b, ValueId x) {
    return slice(b, x, {2, 2}, {1, 1}, {1, 1}, {1, 0}, {0, 1}, {0, 0});
  });
  add("slice_by_index", "squeeze", {3, 5, 2}, [=](Builder& b, ValueId x) {
    return slice(b, x, {0, -2, 0}, {0, 0, 0}, {1, 1, 1}, {1, 0, 1}, {1, 0, 1}, {0, 1, 0});
  });
  add("slice_by_index", "squeeze and strides", {3, 6, 2}, [=](Builder& b, ValueId x) {
    return slice(b, x, {2, 0, 0}, {3, 6, 2}, {1, 2, 1}, {0, 0, 0}, {0, 0, 0}, {1, 0, 0});
  });
  for (const int64_t stride : {1, 2}) {
    cases.push_back({"slice_update", "stride " + std::to_string(stride), [=](Builder& b) {
                       const ValueId x = b.input("x", fp32({3, 5}));
                       const ValueId update = b.input("u", fp32({2, stride == 1 ? 4 : 2}));
                       finish(b, b.add("slice_update", {{"x", x},
                                                        {"update", update},
                                                        {"begin", list(b, {1, 1})},
                                                        {"end", list(b, {3, 5})},
                                                        {"stride", list(b, {1, stride})}}));
                     }});
  }
  for (const bool interleave : {false, true}) {
    cases.push_back({"concat", interleave ? "interleaved" : "", [=](Builder& b) {
                       const ValueId x = b.input("x", fp32({2, 3, 2}));
                       const ValueId y = b.input("w", fp32({2, interleave ? 3 : 1, 2}));
                       const std::vector<ValueId> values{x, y, x};
                       finish(b, b.add("concat", {{"values", values},
                                                  {"axis", integer(b, -2)},
                                                  {"interleave", flag(b, interleave)}}));
                     }});
  }
  for (const double axis : {0.0, 1.0, -1.0}) {
    cases.push_back({"stack", "", [=](Builder& b) {
                       const std::vector<ValueId> values{b.input("x", fp32({2, 3})),
                                                         b.input("w", fp32({2, 3}))};
                       finish(b, b.add("stack", {{"values", values}, {"axis", integer(b, axis)}}));
                     }});
  }
  for (const bool every_part : {true, false}) {
    cases.push_back({"split", every_part ? "" : "one part unused", [=](Builder& b) {
                       const ValueId x = b.input("x", fp32({2, 6}));
                       const Inputs inputs{
                           {"x", x}, {"split_sizes", list(b, {1, 2, 3})}, {"axis", integer(b, 1)}};
                       const std::vector<ValueId> parts = b.add_multiple("split", inputs);
                       b.output(b.unary("square", parts[0]), "a");
                       if (every_part) b.output(b.unary("exp", parts[1]), "b");
                       b.output(b.unary("sin", parts[2]), "c");
                     }});
  }
  add("tile", "", {2, 1, 3}, [](Builder& b, ValueId x) {
    return b.add("tile", {{"x", x}, {"reps", list(b, {3, 2, 2})}});
  });
  add("reverse", "", {2, 3, 4}, [](Builder& b, ValueId x) {
    const ValueId reversed = b.add("reverse", {{"x", x}, {"axes", list(b, {0, -1})}});
    return b.mul(reversed, b.unary("sin", x));
  });
  for (const char* mode : {"constant", "reflect", "replicate"}) {
    add("pad", mode, {2, 3, 4}, [mode](Builder& b, ValueId x) {
      return b.add("pad", {{"x", x},
                           {"pad", list(b, {2, 1, 0, 3})},
                           {"mode", text(b, mode)},
                           {"constant_val", number(b, 0.5)}});
    });
  }
}

void add_gather_cases(std::vector<Case>& cases) {
  const auto gather = [&](const std::string& note, Shape x, Tensor indices, double axis,
                          double batch_dims) {
    cases.push_back({"gather",
                     note,
                     [=](Builder& b) {
                       const ValueId values = b.input("x", fp32(x));
                       const ValueId index = b.input("i", indices.type);
                       const ValueId y = b.add("gather", {{"x", values},
                                                          {"indices", index},
                                                          {"axis", integer(b, axis)},
                                                          {"batch_dims", integer(b, batch_dims)}});
                       b.output(b.unary("square", y), "y");
                     },
                     -1,
                     1,
                     {{"i", indices}}});
  };
  gather("rows", {4, 3}, int32_tensor({5}, {0, 2, 2, -1, 3}), 0, 0);
  gather("columns, table of indices", {2, 4, 2}, int32_tensor({2, 2}, {3, 1, 0, 1}), 1, 0);
  gather("scalar index", {2, 4}, int32_tensor({}, {2}), 1, 0);
  gather("batched", {2, 3, 2}, int32_tensor({2, 4}, {0, 2, 2, -1, 1, 1, 0, 2}), 1, 1);
  gather("batched, axis behind", {2, 2, 3, 2}, int32_tensor({2, 2}, {2, -3, 1, 1}), 2, 1);
  gather("two batch axes", {2, 2, 3}, int32_tensor({2, 2, 1}, {0, 1, 2, -1}), -1, 2);

  const auto scatter_inputs = [](Builder& b, const char* mode, double axis) {
    return Inputs{{"axis", integer(b, axis)}, {"mode", text(b, mode)}};
  };
  for (const double axis : {0.0, 1.0}) {
    const Tensor indices = axis == 0 ? int32_tensor({2, 3}, {2, 0, 1, 2, 1, -1})
                                     : int32_tensor({3, 2}, {1, 1, 0, 2, 2, 0});
    cases.push_back(
        {"gather_along_axis",
         "",
         [=](Builder& b) {
           const ValueId x = b.input("x", fp32({3, 3}));
           const ValueId i = b.input("i", indices.type);
           b.output(b.unary("square", b.gather_along_axis(x, i, static_cast<int64_t>(axis))), "y");
         },
         -1,
         1,
         {{"i", indices}}});
    for (const char* mode : {"add", "sub", "mul", "div", "max", "min"}) {
      cases.push_back({"scatter_along_axis",
                       mode,
                       [=](Builder& b) {
                         Inputs inputs = scatter_inputs(b, mode, axis);
                         inputs.emplace_back("data", b.input("x", fp32({3, 3})));
                         inputs.emplace_back("indices", b.input("i", indices.type));
                         inputs.emplace_back("updates", b.input("u", fp32(indices.type.shape)));
                         b.output(b.unary("square", b.add("scatter_along_axis", inputs)), "y");
                       },
                       0.5,
                       2,
                       {{"i", indices}}});
    }
  }
  for (const char* mode : {"add", "sub", "mul", "div", "max", "min", "update"}) {
    // Equal indices have no order, so that "update" has a gradient without them only.
    const bool unique = std::string(mode) == "update";
    const Tensor indices = int32_tensor({3}, {3, 0, unique ? 1.0 : 3.0});
    cases.push_back({"scatter",
                     mode,
                     [=](Builder& b) {
                       Inputs inputs = scatter_inputs(b, mode, 1);
                       inputs.emplace_back("data", b.input("x", fp32({2, 4, 2})));
                       inputs.emplace_back("indices", b.input("i", indices.type));
                       inputs.emplace_back("updates", b.input("u", fp32({2, 3, 2})));
                       b.output(b.unary("square", b.add("scatter", inputs)), "y");
                     },
                     0.5,
                     2,
                     {{"i", indices}}});
  }
  cases.push_back({"scatter_along_axis",
                   "update",
                   [=](Builder& b) {
                     Inputs inputs = scatter_inputs(b, "update", 1);
                     inputs.emplace_back("data", b.input("x", fp32({2, 4})));
                     inputs.emplace_back("indices", b.input("i", {DataType::int32, {2, 2}, {}}));
                     inputs.emplace_back("updates", b.input("u", fp32({2, 2})));
                     b.output(b.unary("square", b.add("scatter_along_axis", inputs)), "y");
                   },
                   -1,
                   1,
                   {{"i", int32_tensor({2, 2}, {0, 3, 2, 1})}}});
}

void add_buffer_cases(std::vector<Case>& cases) {
  for (const char* op : {"tensor_buffer_to_tensor", "tensor_to_tensor_buffer"}) {
    cases.push_back(
        {op, "", [](Builder& b) {
           const ValueId x = b.input("x", fp32({1, 2, 1, 16}));
           const std::vector<double> strides{32, 16, 16, 1};
           const std::vector<double> factors(4, 1);
           const ValueId buffer = b.add(
               "tensor_to_tensor_buffer",
               {{"input", b.unary("sin", x)},
                {"interleave_factors",
                 b.constant(Literal::numbers({DataType::uint8, {4}, {}}, factors))},
                {"strides", b.constant(Literal::numbers({DataType::int64, {4}, {}}, strides))}});
           const ValueId back = b.add("tensor_buffer_to_tensor", {{"input", buffer}});
           b.output(b.unary("square", back), "y");
         }});
  }
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  add_unary_cases(cases);
  add_binary_cases(cases);
  add_matrix_cases(cases);
  add_convolution_cases(cases);
  add_reduction_cases(cases);
  add_shape_cases(cases);
  add_gather_cases(cases);
  add_buffer_cases(cases);
  return cases;
}

// Ops whose result is constant almost everywhere, integral or boolean, or known at compile time.
const std::set<std::string>& constant_ops() {
  static const std::set<std::string> ops{"ceil",
                                         "floor",
                                         "round",
                                         "sign",
                                         "floor_div",
                                         "equal",
                                         "not_equal",
                                         "greater",
                                         "greater_equal",
                                         "less",
                                         "less_equal",
                                         "logical_and",
                                         "logical_not",
                                         "logical_or",
                                         "logical_xor",
                                         "reduce_argmax",
                                         "reduce_argmin",
                                         "one_hot",
                                         "const",
                                         "dequantize",
                                         "constexpr_affine_dequantize",
                                         "constexpr_blockwise_shift_scale",
                                         "constexpr_cast",
                                         "constexpr_lut_to_dense",
                                         "constexpr_sparse_to_dense"};
  return ops;
}

Function build(const Case& entry) {
  Builder builder;
  entry.build(builder);
  return std::move(builder).finish();
}

} // namespace

TEST_CASE("every gradient rule agrees with finite differences") {
  uint64_t seed = 1;
  for (const Case& entry : all_cases()) {
    CAPTURE(entry.op);
    CAPTURE(entry.note);
    const Function function = build(entry);
    Random random(seed++);
    const TensorMap inputs = random_inputs(function, random, entry.low, entry.high, entry.given);
    const TensorMap seeds = random_seeds(function, random);
    Derivative derivative;
    REQUIRE_NOTHROW(derivative = differentiate(function, {}));
    const TensorMap gradients = run_backward(derivative, inputs, seeds, Precision::f64);
    CHECK(worst_gradient_error(function, inputs, gradients, seeds) <= 1e-6);
  }
}

TEST_CASE("every op has a gradient case or is listed as constant") {
  std::set<std::string> covered = constant_ops();
  covered.insert("quantize"); // the one op without a gradient
  for (const Case& entry : all_cases()) {
    CHECK(find_op(entry.op) != nullptr);
    covered.insert(entry.op);
  }
  for (const OpSchema& schema : op_table()) {
    CAPTURE(schema.name);
    CHECK(covered.count(schema.name) == 1);
    CHECK(has_gradient(schema) == (std::string(schema.name) != "quantize"));
  }
}

TEST_CASE("steps have a zero gradient") {
  for (const char* op : {"ceil", "floor", "round", "sign"}) {
    Builder b;
    const ValueId x = b.input("x", fp32({3}));
    b.output(b.unary(op, x), "y");
    const Derivative derivative = differentiate(std::move(b).finish(), {});
    const TensorMap gradients = run_backward(derivative, {{"x", {fp32({3}), {0.4, -1.2, 2.7}}}},
                                             {{"d_y", make_tensor(fp32({3}), 1)}}, Precision::f64);
    CHECK(gradients.at("d_x").values == std::vector<double>{0, 0, 0});
  }
}

TEST_CASE("equal operands of maximum and equal extremes of reduce_max share the gradient") {
  Builder b;
  const ValueId x = b.input("x", fp32({4}));
  const ValueId y = b.input("y", fp32({4}));
  b.output(b.binary("maximum", x, y), "largest");
  b.output(b.reduce("reduce_max", x, {0}, false), "peak");
  const Derivative derivative = differentiate(std::move(b).finish(), {});
  const TensorMap gradients = run_backward(
      derivative, {{"x", {fp32({4}), {3, 1, 3, 0}}}, {"y", {fp32({4}), {3, 2, 1, 0}}}},
      {{"d_largest", make_tensor(fp32({4}), 1)}, {"d_peak", {fp32({}), {10}}}}, Precision::f64);
  CHECK(gradients.at("d_x").values == std::vector<double>{5.5, 0, 6, 0.5});
  CHECK(gradients.at("d_y").values == std::vector<double>{0.5, 1, 0, 0.5});
}

TEST_CASE("reduce_prod has gradients at zeros") {
  Builder b;
  const ValueId x = b.input("x", fp32({3, 3}));
  b.output(b.reduce("reduce_prod", x, {1}, false), "y");
  const Derivative derivative = differentiate(std::move(b).finish(), {});
  const TensorMap gradients =
      run_backward(derivative, {{"x", {fp32({3, 3}), {2, 3, 4, 2, 0, 4, 0, 0, 4}}}},
                   {{"d_y", make_tensor(fp32({3}), 1)}}, Precision::f64);
  CHECK(gradients.at("d_x").values == std::vector<double>{12, 8, 6, 0, 8, 0, 0, 0, 0});
}

TEST_CASE("quantize has no gradient") {
  Builder b;
  const ValueId x = b.input("x", fp32({3}));
  const ValueId q = b.add(
      "quantize", {{"input", x}, {"scale", number(b, 0.1)}, {"output_dtype", text(b, "int8")}});
  b.output(b.add("dequantize", {{"input", q}, {"scale", number(b, 0.1)}}), "y");
  try {
    differentiate(std::move(b).finish(), {});
    FAIL("differentiated quantize");
  } catch (const anet::Error& error) {
    CHECK(error.status() == anet::Status::unsupported);
    CHECK(error.message().find("quantize") != std::string::npos);
  }
}
