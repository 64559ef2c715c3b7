// Gradients of matmul, linear and scaled dot-product attention. A transpose is always a flag.
#include "mil/gradient/context.h"

#include <cmath>

namespace anet::mil::gradient {

namespace {

// x and y as matrices: a vector x is a row.
struct MatmulOperands {
  ValueId x, y, dy;
  bool transpose_x, transpose_y;
};

MatmulOperands read_operands(Context& c) {
  MatmulOperands m{c.input("x"), c.input("y"), c.dy(), c.boolean("transpose_x"),
                   c.boolean("transpose_y")};
  if (c.shape("x").size() > 1) return m;
  Shape row = c.shape("x");
  row.insert(row.begin(), 1);
  m.x = reshape(c.b, m.x, row);
  Shape rows = c.output_type().shape;
  rows.insert(rows.end() - 1, 1);
  m.dy = reshape(c.b, m.dy, rows);
  return m;
}

ValueId gradient_of_x(Builder& b, const MatmulOperands& m) {
  return m.transpose_x ? b.matmul(m.y, m.dy, m.transpose_y, true)
                       : b.matmul(m.dy, m.y, false, !m.transpose_y);
}

ValueId gradient_of_y(Builder& b, const MatmulOperands& m) {
  return m.transpose_y ? b.matmul(m.dy, m.x, true, m.transpose_x)
                       : b.matmul(m.x, m.dy, !m.transpose_x, false);
}

// [a, b, rows, columns] as [a * b * rows, columns].
ValueId flatten_rows(Builder& b, ValueId x) {
  const Shape& shape = b.shape(x);
  return reshape(b, x, {element_count(shape) / shape.back(), shape.back()});
}

// A y that every leading axis of x shares: its gradient sums over them all, which one matmul over
// the flattened rows does, without the batch of partial results.
bool is_shared(Context& c, const MatmulOperands& m) {
  const Shape& x = c.b.shape(m.x);
  const Shape& y = c.b.shape(m.y);
  const int64_t matrix = y[y.size() - 1] * y[y.size() - 2];
  return !m.transpose_x && x.size() > 2 && element_count(y) == matrix &&
         element_count(x) > x[x.size() - 1] * x[x.size() - 2] && y.size() <= x.size();
}

void matmul(Context& c) {
  MatmulOperands m = read_operands(c);
  if (c.wanted("x")) {
    const ValueId dx = sum_to(c.b, gradient_of_x(c.b, m), c.b.shape(m.x));
    c.add("x", reshape(c.b, dx, c.shape("x")));
  }
  if (!c.wanted("y")) return;
  if (is_shared(c, m)) {
    m.x = flatten_rows(c.b, m.x);
    m.dy = flatten_rows(c.b, m.dy);
    c.add("y", reshape(c.b, gradient_of_y(c.b, m), c.shape("y")));
  } else {
    c.add_broadcast("y", gradient_of_y(c.b, m));
  }
}

// x [..., in], weight [out, in], bias [out].
void linear(Context& c) {
  const ValueId dy = flatten_rows(c.b, c.dy());
  if (c.wanted("x")) {
    c.add("x", reshape(c.b, c.b.matmul(dy, c.input("weight"), false, false), c.shape("x")));
  }
  if (c.wanted("weight")) {
    c.add("weight", c.b.matmul(dy, flatten_rows(c.b, c.input("x")), true, false));
  }
  if (c.wanted("bias")) c.add("bias", c.b.reduce("reduce_sum", dy, {0}, false));
}

// Scores before the softmax, masked. A masked score underflows to a probability of 0.
ValueId attention_scores(Context& c, double scale) {
  const ValueId scaled = c.b.mul(c.input("query"), scale);
  ValueId scores = c.b.matmul(scaled, c.input("key"), false, true);
  const ValueId mask = c.input("attn_mask");
  if (mask == no_value) return scores;
  const DataType dtype = c.type("query").dtype;
  if (c.b.type(mask).dtype != DataType::boolean) {
    return c.b.add(scores, c.b.cast(mask, dtype));
  }
  const ValueId hidden = c.b.scalar(dtype, dtype == DataType::fp16 ? -3e4 : -1e30);
  return c.b.add("select", {{"cond", mask}, {"a", scores}, {"b", hidden}});
}

// p = softmax(q k' s + m), y = p v. The probabilities are computed again.
void scaled_dot_product_attention(Context& c) {
  const double scale = 1 / std::sqrt(static_cast<double>(c.shape("query").back()));
  const ValueId p = c.b.softmax(attention_scores(c, scale), -1);
  if (c.wanted("value")) c.add("value", c.b.matmul(p, c.dy(), true, false));
  if (!c.wanted("query") && !c.wanted("key") && !c.wanted("attn_mask")) return;

  const ValueId dp = c.b.matmul(c.dy(), c.input("value"), false, true);
  const ValueId mean = c.b.reduce("reduce_sum", c.b.mul(dp, p), {-1}, true);
  const ValueId ds = c.b.mul(p, c.b.sub(dp, mean));
  c.add_broadcast("attn_mask", ds);
  if (c.wanted("query")) {
    c.add("query", c.b.mul(c.b.matmul(ds, c.input("key"), false, false), scale));
  }
  if (c.wanted("key")) {
    c.add("key", c.b.matmul(ds, c.b.mul(c.input("query"), scale), true, false));
  }
}

} // namespace

std::span<const RuleEntry> matrix_rules() {
  static const RuleEntry entries[] = {
      {"linear", linear},
      {"matmul", matmul},
      {"scaled_dot_product_attention", scaled_dot_product_attention},
  };
  return entries;
}

} // namespace anet::mil::gradient
