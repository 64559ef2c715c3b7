// matmul, linear, conv and attention.
#include "arithmetic.h"
#include "gemm.h"
#include "movement.h"
#include "op_rules.h"
#include "plan.h"

#include <algorithm>

namespace emulator {

namespace {

// The multiply-accumulate engine as the options have it.
struct Engine {
  Numerics numerics;

  // `storage` is a scratch slot of the caller's; the flushed copies take two more.
  void run(Gemm gemm, const Frame& frame, size_t storage) const {
    if (numerics.four_lane) {
      multiply_four_lane(gemm);
      return;
    }
    float* panel = frame.scratch->take(storage, panel_size);
    multiply(gemm, panel);
  }
  // An operand as the engine reads it.
  const float* read(const float* values, int64_t count, const Frame& frame, size_t storage) const {
    if (!numerics.flush_denormals) return values;
    float* copy = frame.scratch->take(storage, count);
    flush_denormals(values, copy, count);
    return copy;
  }
  void finish(float* values, int64_t count) const {
    finish_products(values, count, numerics.nan_rule, numerics.overflow_rule,
                    numerics.flush_denormals);
  }
};

enum Slot : size_t { slot_panel, slot_a, slot_b, slot_columns, slot_scores };

struct Product {
  Shape batch;
  std::vector<int64_t> a_steps; // along the batch axes
  std::vector<int64_t> b_steps;
  Gemm gemm;
};

// Batched product of dense x and y, with NumPy's rule for vectors applied by the caller.
Product make_product(const Shape& x, const Shape& y, bool transpose_x, bool transpose_y) {
  const size_t xr = x.size();
  const size_t yr = y.size();
  Product product;
  product.batch = *broadcast_shapes(Shape(x.begin(), x.end() - 2), Shape(y.begin(), y.end() - 2));
  product.a_steps = broadcast_strides(Shape(x.begin(), x.end() - 2), product.batch);
  product.b_steps = broadcast_strides(Shape(y.begin(), y.end() - 2), product.batch);
  for (int64_t& step : product.a_steps) step *= x[xr - 1] * x[xr - 2];
  for (int64_t& step : product.b_steps) step *= y[yr - 1] * y[yr - 2];
  Gemm& gemm = product.gemm;
  gemm.m = transpose_x ? x[xr - 1] : x[xr - 2];
  gemm.k = transpose_x ? x[xr - 2] : x[xr - 1];
  gemm.n = transpose_y ? y[yr - 2] : y[yr - 1];
  gemm.a_row = transpose_x ? 1 : x[xr - 1];
  gemm.a_column = transpose_x ? x[xr - 1] : 1;
  gemm.b_row = transpose_y ? 1 : y[yr - 1];
  gemm.b_column = transpose_y ? y[yr - 1] : 1;
  gemm.c_row = gemm.n;
  return product;
}

void run_product(const Product& product, const Engine& engine, const Frame& frame, const float* a,
                 const float* b, float* c) {
  const int64_t count = anet::mil::element_count(product.batch);
  for (int64_t index = 0; index < count; ++index) {
    Gemm gemm = product.gemm;
    gemm.a = a;
    gemm.b = b;
    gemm.c = c + index * gemm.m * gemm.n;
    int64_t rest = index;
    for (size_t axis = product.batch.size(); axis-- > 0;) {
      const int64_t position = rest % product.batch[axis];
      rest /= product.batch[axis];
      gemm.a += position * product.a_steps[axis];
      gemm.b += position * product.b_steps[axis];
    }
    engine.run(gemm, frame, slot_panel);
  }
}

Step matmul_step(const Call& call, const PlanOptions& options) {
  Shape x = call.shape("x");
  Shape y = call.shape("y");
  const bool row = x.size() == 1;
  const bool column = y.size() == 1;
  if (row) x.insert(x.begin(), 1);
  if (column) y.push_back(1);
  const Product product = make_product(x, y, call.boolean("transpose_x") && !row,
                                       call.boolean("transpose_y") && !column);
  const int target = call.op().outputs.front();
  return [product, engine = Engine{options.numerics}, a = call.index("x"), b = call.index("y"),
          target, a_count = call.type("x").elements(), b_count = call.type("y").elements(),
          count = call.function().value(target).type.elements()](const Frame& frame) {
    const float* left = engine.read(frame.in(a), a_count, frame, slot_a);
    const float* right = engine.read(frame.in(b), b_count, frame, slot_b);
    run_product(product, engine, frame, left, right, frame.out(target));
    engine.finish(frame.out(target), count);
  };
}

Step linear_step(const Call& call, const PlanOptions& options) {
  const Shape& weight = call.shape("weight");
  const int64_t lines = call.type("x").elements() / weight[1];
  const Product product = make_product({lines, weight[1]}, weight, false, true);
  const int bias = call.has("bias") ? call.index("bias") : -1;
  return [product, engine = Engine{options.numerics}, bias, lines, outputs = weight[0],
          a = call.index("x"), b = call.index("weight"),
          target = call.op().outputs.front()](const Frame& frame) {
    const float* left = engine.read(frame.in(a), lines * product.gemm.k, frame, slot_a);
    const float* right = engine.read(frame.in(b), outputs * product.gemm.k, frame, slot_b);
    float* out = frame.out(target);
    run_product(product, engine, frame, left, right, out);
    if (bias >= 0) {
      const float* shift = frame.in(bias);
      for (int64_t i = 0; i < lines * outputs; ++i) out[i] += shift[i % outputs];
    }
    engine.finish(out, lines * outputs);
  };
}

struct Convolution {
  int64_t batch, inputs, outputs, groups;
  int64_t height, width, out_height, out_width, kernel_height, kernel_width;
  int64_t stride_y, stride_x, dilation_y, dilation_x, top, left;
  bool pointwise; // columns are x itself

  int64_t taps() const { return inputs / groups * kernel_height * kernel_width; }
  int64_t positions() const { return out_height * out_width; }
};

// 1-D convolutions are 2-D ones of height 1; 3-D ones are left to the interpreter.
Convolution describe(const Call& call) {
  const auto pair = [](std::vector<int64_t> list, int64_t first) {
    if (list.size() == 1) list.insert(list.begin(), first);
    return list;
  };
  const Shape& x = call.shape("x");
  const Shape& w = call.shape("weight");
  const Shape& out = call.function().value(call.op().outputs.front()).type.shape;
  const bool flat = x.size() == 3;
  const std::vector<int64_t> strides = pair(call.integers("strides"), 1);
  const std::vector<int64_t> dilations = pair(call.integers("dilations"), 1);
  std::vector<int64_t> padding = conv_padding(call);
  if (flat) padding.insert(padding.begin(), 2, 0);
  Convolution c{.batch = x[0],
                .inputs = x[1],
                .outputs = w[0],
                .groups = call.integer("groups"),
                .height = flat ? 1 : x[2],
                .width = x.back(),
                .out_height = flat ? 1 : out[2],
                .out_width = out.back(),
                .kernel_height = flat ? 1 : w[2],
                .kernel_width = w.back(),
                .stride_y = strides[0],
                .stride_x = strides[1],
                .dilation_y = dilations[0],
                .dilation_x = dilations[1],
                .top = padding[0],
                .left = padding[2],
                .pointwise = false};
  c.pointwise = c.kernel_height == 1 && c.kernel_width == 1 && c.stride_y == 1 && c.stride_x == 1 &&
                c.positions() == c.height * c.width;
  return c;
}

// columns[tap][position] of one group of one image.
void unfold(const Convolution& c, const float* image, float* columns) {
  for (int64_t channel = 0; channel < c.inputs / c.groups; ++channel) {
    const float* plane = image + channel * c.height * c.width;
    for (int64_t ky = 0; ky < c.kernel_height; ++ky) {
      for (int64_t kx = 0; kx < c.kernel_width; ++kx) {
        for (int64_t oy = 0; oy < c.out_height; ++oy) {
          const int64_t y = oy * c.stride_y + ky * c.dilation_y - c.top;
          for (int64_t ox = 0; ox < c.out_width; ++ox) {
            const int64_t x = ox * c.stride_x + kx * c.dilation_x - c.left;
            const bool inside = y >= 0 && y < c.height && x >= 0 && x < c.width;
            *columns++ = inside ? plane[y * c.width + x] : 0;
          }
        }
      }
    }
  }
}

void convolve(const Convolution& c, const Engine& engine, const Frame& frame, const float* x,
              const float* weight, float* out) {
  const int64_t group_outputs = c.outputs / c.groups;
  for (int64_t image = 0; image < c.batch; ++image) {
    for (int64_t group = 0; group < c.groups; ++group) {
      const float* planes =
          x + (image * c.inputs + group * (c.inputs / c.groups)) * c.height * c.width;
      if (!c.pointwise) {
        float* columns = frame.scratch->take(slot_columns, c.taps() * c.positions());
        unfold(c, planes, columns);
        planes = columns;
      }
      engine.run({.m = group_outputs,
                  .n = c.positions(),
                  .k = c.taps(),
                  .a = weight + group * group_outputs * c.taps(),
                  .a_row = c.taps(),
                  .a_column = 1,
                  .b = planes,
                  .b_row = c.positions(),
                  .b_column = 1,
                  .c = out + (image * c.outputs + group * group_outputs) * c.positions(),
                  .c_row = c.positions()},
                 frame, slot_panel);
    }
  }
}

Step conv_step(const Call& call, const PlanOptions& options) {
  if (call.shape("x").size() > 4) return nullptr;
  const Convolution c = describe(call);
  const int bias = call.has("bias") ? call.index("bias") : -1;
  // One report has the runtime weight compiled and then ignored (ane-facts.md 3.5).
  const bool ignored = options.rules.weight_param_ignored && !call.value("weight").constant;
  return [c, bias, ignored, engine = Engine{options.numerics}, x = call.index("x"),
          w = call.index("weight"), target = call.op().outputs.front()](const Frame& frame) {
    const int64_t count = c.batch * c.outputs * c.positions();
    float* out = frame.out(target);
    if (ignored) {
      std::fill_n(out, count, 0.0f);
      return;
    }
    const float* image =
        engine.read(frame.in(x), c.batch * c.inputs * c.height * c.width, frame, slot_a);
    const float* weight = engine.read(frame.in(w), c.outputs * c.taps(), frame, slot_b);
    convolve(c, engine, frame, image, weight, out);
    if (bias >= 0) {
      const float* shift = frame.in(bias);
      for (int64_t i = 0; i < count; ++i) out[i] += shift[i / c.positions() % c.outputs];
    }
    engine.finish(out, count);
  };
}

void softmax_rows(float* scores, int64_t rows, int64_t length) {
  for (int64_t row = 0; row < rows; ++row, scores += length) {
    const float highest = *std::max_element(scores, scores + length);
    double sum = 0;
    for (int64_t i = 0; i < length; ++i) {
      scores[i] = std::exp(scores[i] - highest);
      sum += scores[i];
    }
    for (int64_t i = 0; i < length; ++i)
      scores[i] = round_half(static_cast<float>(scores[i] / sum));
  }
}

// The mask as a number that is added to the scores.
float mask_value(const Type& mask, float value) {
  if (mask.dtype != DataType::boolean) return value;
  return value != 0 ? 0 : -INFINITY;
}

Step attention_step(const Call& call, const PlanOptions& options) {
  const Shape& query = call.shape("query");
  const Product scores = make_product(query, call.shape("key"), false, true);
  Shape score_shape = scores.batch;
  score_shape.insert(score_shape.end(), {scores.gemm.m, scores.gemm.n});
  const Product values = make_product(score_shape, call.shape("value"), false, false);
  // The in-memory path reads no mask (ane-facts.md 4.4, R).
  const bool masked = call.has("attn_mask") && options.rules.sdpa_mask;
  StridedCopy spread;
  if (masked) {
    spread = {.extents = score_shape,
              .from = broadcast_strides(call.shape("attn_mask"), score_shape),
              .to = dense_strides(score_shape)};
    spread.simplify();
  }
  const float scale = 1 / std::sqrt(static_cast<float>(query.back()));
  const int mask = masked ? call.index("attn_mask") : -1;
  const Type mask_type = masked ? call.type("attn_mask") : Type{};
  const int target = call.op().outputs.front();
  return [=, engine = Engine{options.numerics}, q = call.index("query"), k = call.index("key"),
          v = call.index("value"),
          count = call.function().value(target).type.elements()](const Frame& frame) {
    const int64_t score_count = anet::mil::element_count(score_shape);
    float* weights = frame.scratch->take(slot_scores, score_count);
    run_product(scores, engine, frame, frame.in(q), frame.in(k), weights);
    for (int64_t i = 0; i < score_count; ++i) weights[i] *= scale;
    if (mask >= 0) {
      float* shift = frame.scratch->take(slot_columns, score_count);
      spread.run(frame.in(mask), shift);
      for (int64_t i = 0; i < score_count; ++i) weights[i] += mask_value(mask_type, shift[i]);
    }
    softmax_rows(weights, score_count / score_shape.back(), score_shape.back());
    run_product(values, engine, frame, weights, frame.in(v), frame.out(target));
    engine.finish(frame.out(target), count);
  };
}

} // namespace

Step matrix_step(const Call& call, const PlanOptions& options) {
  const std::string& name = call.op().name;
  if (name == "matmul") return matmul_step(call, options);
  if (name == "linear") return linear_step(call, options);
  if (name == "conv") return conv_step(call, options);
  if (name == "scaled_dot_product_attention") return attention_step(call, options);
  return nullptr;
}

} // namespace emulator
