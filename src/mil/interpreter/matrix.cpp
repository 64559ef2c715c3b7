// matmul, linear and scaled dot-product attention.
#include "mil/interpreter/context.h"

#include <algorithm>
#include <cmath>

namespace anet::mil::interpreter {

namespace {

// A matmul operand: its leading axes, broadcast to the output's, and its last two.
struct Matrices {
  const Tensor* tensor = nullptr;
  Shape shape; // rank >= 2
  std::vector<int64_t> batch_strides;
  int64_t row_stride = 0;
  int64_t column_stride = 0;

  double at(int64_t base, int64_t row, int64_t column) const {
    return tensor->values[static_cast<size_t>(base + row * row_stride + column * column_stride)];
  }
};

Matrices make_matrices(const Tensor& tensor, Shape shape, bool transpose, size_t batch_rank) {
  Matrices matrices;
  matrices.tensor = &tensor;
  const std::vector<int64_t> strides = contiguous_strides(shape);
  const size_t rank = shape.size();
  matrices.row_stride = strides[transpose ? rank - 1 : rank - 2];
  matrices.column_stride = strides[transpose ? rank - 2 : rank - 1];
  matrices.batch_strides.assign(batch_rank, 0);
  for (size_t axis = 0; axis + 2 < rank; ++axis) {
    if (shape[axis] != 1) matrices.batch_strides[batch_rank - (rank - 2) + axis] = strides[axis];
  }
  if (transpose) std::swap(shape[rank - 1], shape[rank - 2]);
  matrices.shape = std::move(shape);
  return matrices;
}

double dot(const Matrices& x, int64_t x_base, int64_t row, const Matrices& y, int64_t y_base,
           int64_t column, int64_t inner, bool exact) {
  if (exact) {
    uint64_t sum = 0; // integers wrap modulo 2^64, then into their type
    for (int64_t k = 0; k < inner; ++k) {
      sum += static_cast<uint64_t>(static_cast<int64_t>(x.at(x_base, row, k))) *
             static_cast<uint64_t>(static_cast<int64_t>(y.at(y_base, k, column)));
    }
    return wrap_integer(static_cast<int64_t>(sum), x.tensor->type.dtype);
  }
  double sum = 0;
  for (int64_t k = 0; k < inner; ++k) sum += x.at(x_base, row, k) * y.at(y_base, k, column);
  return sum;
}

// Rank-1 operands are a row on the left and a column on the right.
void matmul(Context& c) {
  const Tensor& x = c.tensor("x");
  const Tensor& y = c.tensor("y");
  Shape x_shape = x.type.shape;
  Shape y_shape = y.type.shape;
  const bool transpose_x = x_shape.size() > 1 && c.boolean_or("transpose_x", false);
  const bool transpose_y = y_shape.size() > 1 && c.boolean_or("transpose_y", false);
  if (x_shape.size() == 1) x_shape.insert(x_shape.begin(), 1);
  if (y_shape.size() == 1) y_shape.push_back(1);

  const size_t batch_rank = std::max(x_shape.size(), y_shape.size()) - 2;
  const Matrices left = make_matrices(x, x_shape, transpose_x, batch_rank);
  const Matrices right = make_matrices(y, y_shape, transpose_y, batch_rank);
  const std::optional<Shape> batch = broadcast(Shape(x_shape.begin(), x_shape.end() - 2),
                                               Shape(y_shape.begin(), y_shape.end() - 2));
  const int64_t rows = left.shape[left.shape.size() - 2];
  const int64_t inner = left.shape.back();
  const int64_t columns = right.shape.back();

  Tensor& output = c.output();
  const bool exact = is_integer(output.type.dtype);
  size_t next = 0;
  for_each_index(*batch, [&](const Shape& index) {
    const int64_t x_base = offset_of(index, left.batch_strides);
    const int64_t y_base = offset_of(index, right.batch_strides);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < columns; ++column) {
        output.values[next++] = dot(left, x_base, row, right, y_base, column, inner, exact);
      }
    }
  });
  if (c.f16()) overflow_products(output);
}

// x [..., in], weight [out, in], bias [out].
void linear(Context& c) {
  const Tensor& x = c.tensor("x");
  const Tensor& weight = c.tensor("weight");
  const std::vector<double> bias = c.has("bias") ? c.tensor("bias").values : std::vector<double>{};
  const int64_t in = weight.type.shape[1];
  const int64_t out = weight.type.shape[0];
  const int64_t rows = x.type.elements() / in;
  Tensor& output = c.output();
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < out; ++column) {
      double sum = bias.empty() ? 0 : bias[static_cast<size_t>(column) % bias.size()];
      for (int64_t k = 0; k < in; ++k) {
        sum += x.values[static_cast<size_t>(row * in + k)] *
               weight.values[static_cast<size_t>(column * in + k)];
      }
      output.values[static_cast<size_t>(row * out + column)] = sum;
    }
  }
  if (c.f16()) overflow_products(output);
}

// Turns scores into probabilities.
void softmax_in_place(std::vector<double>& scores) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - largest);
  for (double& score : scores) score /= sum;
}

// query [..., L, E], key [..., S, E], value [..., S, V]; attn_mask broadcasts to [..., L, S]: a
// false element does not take part, a number is added to the score.
void scaled_dot_product_attention(Context& c) {
  const Tensor& query = c.tensor("query");
  const Tensor& key = c.tensor("key");
  const Tensor& value = c.tensor("value");
  const Shape& q_shape = query.type.shape;
  const int64_t width = q_shape.back();
  const int64_t targets = q_shape[q_shape.size() - 2];
  const int64_t sources = key.type.shape[q_shape.size() - 2];
  const int64_t value_width = value.type.shape.back();
  const double scale = 1 / std::sqrt(static_cast<double>(width));
  Shape score_shape = q_shape;
  score_shape.back() = sources;
  std::vector<double> mask;
  bool boolean_mask = false;
  if (c.has("attn_mask")) {
    mask = broadcast_values(c.tensor("attn_mask"), score_shape);
    boolean_mask = c.tensor("attn_mask").type.dtype == DataType::boolean;
  }

  Tensor& output = c.output();
  const int64_t rows = query.type.elements() / width; // over every batch axis and target
  std::vector<double> scores(static_cast<size_t>(sources));
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t batch = row / targets;
    for (int64_t s = 0; s < sources; ++s) {
      double sum = 0;
      for (int64_t e = 0; e < width; ++e) {
        sum += query.values[static_cast<size_t>(row * width + e)] *
               key.values[static_cast<size_t>((batch * sources + s) * width + e)];
      }
      double score = sum * scale;
      if (!mask.empty()) {
        const double entry = mask[static_cast<size_t>(row * sources + s)];
        score = !boolean_mask ? score + entry : entry != 0 ? score : -INFINITY;
      }
      scores[static_cast<size_t>(s)] = score;
    }
    softmax_in_place(scores);
    for (int64_t v = 0; v < value_width; ++v) {
      double sum = 0;
      for (int64_t s = 0; s < sources; ++s) {
        sum += scores[static_cast<size_t>(s)] *
               value.values[static_cast<size_t>((batch * sources + s) * value_width + v)];
      }
      output.values[static_cast<size_t>(row * value_width + v)] = sum;
    }
  }
}

} // namespace

std::span<const OpEntry> matrix_ops() {
  static const OpEntry entries[] = {
      {"linear", linear},
      {"matmul", matmul},
      {"scaled_dot_product_attention", scaled_dot_product_attention},
  };
  return entries;
}

} // namespace anet::mil::interpreter
