// Products of matrices: matmul, linear, conv, conv_transpose, attention.
//
// Weights that change are operands of matmul, [1, 1, out, in] times [1, 1, in, positions]; a
// transposed weight is a flag. Where the rules say so, those that are not transposed are kernels of
// convolutions, and so are the rows of one operand of a product of computed matrices, x y' or x y,
// and the columns of what a transposed weight multiplies.
// Constant weights are convolutions or matmul, as the rules say.
#include "backend/ane/lower.h"
#include "backend/ane/lowering.h"

#include "mil/op_table.h"

#include <algorithm>
#include <cmath>

namespace anet::backend::ane {

namespace {

// mad's classifier with 32000 input channels was rejected (ane-facts.md 4.4, R).
constexpr int64_t max_conv_channels = 16384;

bool all_are(const std::vector<int64_t>& values, int64_t expected) {
  return std::all_of(values.begin(), values.end(), [=](int64_t v) { return v == expected; });
}

bool is_single(const Matrix& m) { return m.batch[0] == 1 && m.batch[1] == 1; }

int64_t result_rows(const Matrix& m) { return m.transposed ? m.columns : m.rows; }
int64_t result_columns(const Matrix& m) { return m.transposed ? m.rows : m.columns; }

ValueId read_matrix(Lowering& l, const Matrix& m) {
  return l.read(m.value, {m.batch[0], m.batch[1], m.rows, m.columns});
}

// Rows are split when they are above the height limit; 1 when there is no way, and then the limit
// refuses the result.
int64_t row_parts(const Lowering& l, const Matrix& m) {
  return is_single(m) ? parts_within(m.rows, l.rules.max_height) : 1;
}

ValueId read_parts(Lowering& l, const Matrix& m, int64_t parts) {
  return l.read(m.value, {1, parts, m.rows / parts, m.columns});
}

// Part of a weight [out, in] as the kernel of a 1x1 convolution.
struct Block {
  int64_t row = 0;
  int64_t rows = 0;
  int64_t column = 0;
  int64_t columns = 0;
};

ValueId kernel(Lowering& l, const Matrix& m, const Block& block) {
  const mil::Type type{DataType::fp16, {block.rows, block.columns, 1, 1}, {}};
  if (l.is_trial()) {
    Literal unread;
    unread.type.dtype = type.dtype;
    unread.type.shape = type.shape;
    return l.b.constant(std::move(unread));
  }
  const Literal literal = l.constant(m.value);
  const bool whole = block.rows == result_rows(m) && block.columns == result_columns(m);
  if (whole && !m.transposed) return l.b.constant(Literal::bytes(type, literal.data));
  const std::span<const std::byte> from = literal.data.view();
  std::vector<std::byte> bytes(static_cast<size_t>(2 * block.rows * block.columns));
  size_t next = 0;
  for (int64_t i = block.row; i < block.row + block.rows; ++i) {
    for (int64_t j = block.column; j < block.column + block.columns; ++j) {
      const auto at =
          static_cast<size_t>(2 * (m.transposed ? j * m.columns + i : i * m.columns + j));
      bytes[next++] = from[at];
      bytes[next++] = from[at + 1];
    }
  }
  return l.b.constant(Literal::bytes(type, mil::Bytes(std::move(bytes))));
}

// x's rows on the channels: [n, rows, 1, columns]. More than an engine has lie on channels and
// height, [1, parts, rows / parts, columns].
ValueId image_of(Lowering& l, const Matrix& x) {
  const int64_t rows = result_rows(x);
  if (rows > l.rules.max_channels && is_single(x) && !x.transposed) {
    const int64_t parts = parts_within(rows, l.rules.max_height);
    return l.read(x.value, {1, parts, rows / parts, x.columns});
  }
  ValueId image = read_matrix(l, x);
  if (x.transposed) image = l.swap_matrix_axes(image);
  return l.reshape(image, {x.batch[0] * x.batch[1], rows, 1, result_columns(x)});
}

// weight[block] times x, an image of so many rows: parts of the contraction are added up.
ValueId convolve_rows(Lowering& l, const Matrix& weight, ValueId x, int64_t row, int64_t rows) {
  const Shape shape = l.b.shape(x);
  const int64_t in = result_columns(weight);
  const size_t slot = shape[channel_slot] == in ? channel_slot : height_slot;
  const int64_t step = shape[slot] / parts_within(shape[slot], max_conv_channels);
  ValueId sum = mil::no_value;
  for (int64_t column = 0; column < in; column += step) {
    Shape begin(4, 0);
    Shape part = shape;
    begin[slot] = column % shape[slot];
    part[slot] = step;
    if (slot == height_slot) {
      begin[channel_slot] = column / shape[slot];
      part[channel_slot] = 1;
    }
    ValueId channels = step == in ? x : l.b.slice_by_size(x, begin, part);
    if (slot == height_slot) channels = l.reshape(channels, {1, step, 1, shape[width_slot]});
    const ValueId product =
        l.watch(l.b.linear(channels, kernel(l, weight, {row, rows, column, step})));
    sum = sum == mil::no_value ? product : l.watch(l.b.add(sum, product));
  }
  return sum;
}

bool fits_convolution(const Lowering& l, const Matrix& weight) {
  return l.rules.constant_product == ConstantProduct::convolution && is_single(weight);
}

// weight times x [n, in, height, width] as [n, out, height, width]. More outputs than an engine has
// channels lie on channels and height: [1, parts, out / parts, width].
ValueId convolve_image(Lowering& l, const Matrix& weight, ValueId x) {
  const int64_t out = result_rows(weight);
  if (out <= l.rules.max_channels) return convolve_rows(l, weight, x, 0, out);
  const Shape shape = l.b.shape(x);
  const int64_t rows = out / parts_within(out, l.rules.max_height);
  if (rows == out || shape[0] > 1 || shape[height_slot] > 1) {
    l.refuse("expected at most ", l.rules.max_channels, " channels, seen ", out,
             " (ane-facts.md 4.5)");
  }
  std::vector<ValueId> parts;
  for (int64_t row = 0; row < out; row += rows) {
    parts.push_back(
        l.reshape(convolve_rows(l, weight, x, row, rows), {1, 1, rows, shape[width_slot]}));
  }
  return join(l, parts, channel_slot);
}

// weight times x, as a convolution over x's rows.
ValueId convolve(Lowering& l, const Matrix& weight, const Matrix& x) {
  const ValueId product = convolve_image(l, weight, image_of(l, x));
  const bool split = result_rows(weight) > l.rules.max_channels;
  if (split || (l.is_image() && is_single(x))) return product;
  return l.reshape(product, {x.batch[0], x.batch[1], result_rows(weight), result_columns(x)});
}

Matrix transposed(Matrix m) {
  m.transposed = !m.transposed;
  return m;
}

// A product of so many rows or columns is not worth the transpose that a convolution takes.
constexpr int64_t least_computed_kernels = 256;

// x y' or x y, as of all gradients of weights: every row of x can be a kernel over y's columns.
bool has_computed_kernels(const Lowering& l, const Matrix& x, const Matrix& y) {
  const int64_t columns = result_columns(y);
  return l.rules.computed_convolution && is_single(x) && is_single(y) && !x.transposed &&
         std::min(x.rows, columns) >= least_computed_kernels && x.rows <= l.rules.max_channels &&
         x.columns <= max_conv_channels && columns <= l.rules.max_width;
}

ValueId convolve_columns(Lowering& l, const Matrix& x, const Matrix& y) {
  const int64_t parts = row_parts(l, x);
  const ValueId kernels = l.b.reshape(read_parts(l, x, parts), {x.rows, x.columns, 1, 1});
  ValueId image = read_matrix(l, y);
  if (y.transposed) image = l.swap_matrix_axes(image);
  image = l.reshape(image, {1, x.columns, 1, result_columns(y)});
  const ValueId product = l.watch(l.b.linear(image, kernels));
  return l.reshape(product, {1, parts, x.rows / parts, result_columns(y)});
}

// x' y, as of weights that are read transposed: the columns of y can be kernels over x as it is.
bool has_turned_kernels(const Lowering& l, const Matrix& x, const Matrix& y) {
  return l.rules.computed_convolution && is_single(x) && is_single(y) && x.transposed &&
         !y.transposed && std::min({x.rows, x.columns, y.columns}) >= least_computed_kernels &&
         y.columns <= l.rules.max_channels && x.rows <= max_conv_channels &&
         x.columns <= l.rules.max_width;
}

// (y' x)': only y and the result are transposed, not the weight.
ValueId convolve_turned(Lowering& l, const Matrix& x, const Matrix& y) {
  const ValueId kernels =
      l.b.reshape(l.swap_matrix_axes(read_matrix(l, y)), {y.columns, y.rows, 1, 1});
  const ValueId image = l.reshape(read_matrix(l, x), {1, x.rows, 1, x.columns});
  const ValueId product = l.watch(l.b.linear(image, kernels));
  return l.swap_matrix_axes(l.reshape(product, {1, 1, y.columns, x.columns}));
}

} // namespace

mil::TransposedOperands transposed_operands(const Rules& rules) {
  if (!rules.computed_convolution) return {};
  const int64_t most =
      std::min({max_conv_channels, rules.max_channels, rules.max_height, rules.max_width});
  return {.least = least_computed_kernels, .most = most};
}

Matrix matrix_behind(const Lowering& l, ValueId value) {
  Matrix m;
  m.value = value;
  const Shape& shape = l.source.type(value).shape;
  m.rows = shape[0];
  m.columns = shape[1];
  const mil::Operation* op = l.producer(value);
  if (op == nullptr || std::string_view(op->name()) != "transpose") return m;
  std::vector<int64_t> perm = l.source.constant(*op, "perm")->integers();
  for (int64_t& axis : perm) {
    if (axis < 0) axis += std::ssize(perm);
  }
  if (perm[0] != 1 || perm[1] != 0) return m;
  m.value = op->input("x");
  m.transposed = true;
  std::swap(m.rows, m.columns);
  return m;
}

ValueId multiply(Lowering& l, const Matrix& x, const Matrix& y) {
  if (l.is_constant(x.value) && fits_convolution(l, x)) return convolve(l, x, y);
  if (l.is_constant(y.value) && fits_convolution(l, transposed(y))) {
    const ValueId flipped = convolve(l, transposed(y), transposed(x));
    const Shape shape{x.batch[0], x.batch[1], result_columns(y), result_rows(x)};
    return l.swap_matrix_axes(l.reshape(flipped, shape));
  }
  if (y.transposed && has_computed_kernels(l, x, y)) return convolve_columns(l, x, y);
  if (has_turned_kernels(l, x, y)) return convolve_turned(l, x, y);
  const auto product = [&](ValueId left, ValueId right) {
    return l.watch(l.b.matmul(left, right, x.transposed, y.transposed));
  };
  const int64_t parts = is_single(y) ? row_parts(l, x) : 1;
  if (parts == 1 || !x.transposed) {
    const ValueId left = parts == 1 ? read_matrix(l, x) : read_parts(l, x, parts);
    return product(left, read_matrix(l, y));
  }
  if (y.transposed) {
    l.refuse("expected a contracted axis of at most ", l.rules.max_height, " elements, seen ",
             x.rows, " (ane-facts.md 4.5)");
  }
  // The rows are contracted: parts of the sum, then their sum.
  const ValueId left = read_parts(l, x, parts);
  const ValueId sums = product(left, read_parts(l, y, parts));
  return l.watch(l.b.reduce("reduce_sum", sums, {1}, true));
}

namespace {

// The batch axes of both operands on two axes, whatever their rank.
std::array<int64_t, 2> batch_extents(const Frame& frame, const Shape& shape) {
  const Shape extents = frame.extents(shape);
  return {extents[0], extents[channel_slot]};
}

// Frames a product's batch axes: a shape whose last two axes stay the last two.
Frame matrix_frame(const Lowering& l, const Shape& x, const Shape& y, const Shape& result) {
  if (result.size() <= 4) {
    Frame frame;
    frame.rank = result.size();
    for (size_t axis = 0; axis < result.size(); ++axis) {
      frame.slots[axis + 4 - result.size()] = {axis};
    }
    return frame;
  }
  const std::vector<Shape> operands{x, y};
  const std::vector<size_t> own{result.size() - 2};
  return l.frame(result, operands, own);
}

void matmul(Lowering& l) {
  Shape x = l.shape("x");
  Shape y = l.shape("y");
  Matrix left;
  Matrix right;
  left.value = l.input("x");
  right.value = l.input("y");
  left.transposed = x.size() > 1 && l.boolean("transpose_x");
  right.transposed = y.size() > 1 && l.boolean("transpose_y");
  if (x.size() == 1) x.insert(x.begin(), 1);
  if (y.size() == 1) y.push_back(1);
  left.rows = x[x.size() - 2];
  left.columns = x.back();
  right.rows = y[y.size() - 2];
  right.columns = y.back();
  // Batch axes broadcast; the matrices themselves do not matter to them.
  for (Shape* shape : {&x, &y}) (*shape)[shape->size() - 2] = shape->back() = 1;
  const std::optional<Shape> batch = mil::broadcast(x, y);
  if (!batch) fail(Status::internal, "the operands of a matmul do not broadcast");
  const Frame frame = matrix_frame(l, x, y, *batch);
  left.batch = batch_extents(frame, x);
  right.batch = batch_extents(frame, y);
  const bool is_computed = !l.is_constant(left.value) && !l.is_constant(right.value);
  const bool by_rows = is_computed && has_computed_kernels(l, left, right);
  l.write(by_rows ? convolve_columns(l, left, right) : multiply(l, left, right));
}

// [n, channels, spatial...] as matrices [1, n, channels, positions].
Matrix as_columns(const Lowering& l, ValueId value) {
  const Shape& shape = l.source.type(value).shape;
  Matrix m;
  m.value = value;
  m.batch = {1, shape[0]};
  m.rows = shape[1];
  m.columns = mil::element_count(shape) / (shape[0] * shape[1]);
  return m;
}

// Adds a bias [channels] along an axis of the product.
void write_with_bias(Lowering& l, ValueId product, size_t slot) {
  if (!l.has("bias")) return l.write(product);
  const ValueId bias = l.input("bias");
  const Shape& shape = l.b.shape(product);
  Shape extents(4, 1);
  extents[slot] = shape[slot];
  if (slot == height_slot) extents[channel_slot] = l.elements(bias) / shape[slot];
  if (l.is_constant(bias) && !l.is_trial()) {
    const std::vector<double> values = l.constant(bias).numbers();
    if (std::all_of(values.begin(), values.end(), [](double v) { return v == 0; })) {
      return l.write(product);
    }
  }
  l.write(l.b.add(product, l.read(bias, extents)));
}

// x [..., in], weight [out, in], bias [out].
void linear(Lowering& l) {
  const Shape& shape = l.shape("x");
  Matrix x;
  x.value = l.input("x");
  x.columns = shape.back();
  x.rows = l.elements(x.value) / x.columns;
  const ValueId product = multiply(l, x, transposed(matrix_behind(l, l.input("weight"))));
  const int64_t rows = x.rows;
  const int64_t columns = l.output_shape().back();
  write_with_bias(l, l.reshape(product, {1, 1, rows, columns}), width_slot);
}

bool is_pointwise(Lowering& l) {
  const Shape& weight = l.shape("weight");
  const std::string pad_type = l.text("pad_type");
  const bool padded = pad_type == "custom" && !all_are(l.integers("pad"), 0);
  return l.integer("groups") == 1 && mil::element_count(weight) == weight[0] * weight[1] &&
         all_are(l.integers("strides"), 1) && !padded;
}

// Arguments of one spatial axis get a height axis of one before it.
std::vector<int64_t> spatial(const std::vector<int64_t>& values, size_t count, int64_t fill) {
  std::vector<int64_t> both(count > values.size() ? count - values.size() : 0, fill);
  both.insert(both.end(), values.begin(), values.end());
  return both;
}

Shape as_image(Shape shape) {
  if (shape.size() == 3) shape.insert(shape.begin() + 2, 1);
  return shape;
}

// A convolution with a window, or with a compressed weight, as it is.
void windowed(Lowering& l) {
  const Shape& x = l.shape("x");
  if (x.size() > 4) l.refuse("expected at most two spatial axes, seen ", x.size() - 2);
  const ValueId weight = l.input("weight");
  if (!l.is_constant(weight)) {
    // Ignored without a word on M3 Max, a crash of the compiler on M1 (ane-facts.md 3.5, R).
    l.refuse("a window needs a constant weight (ane-facts.md 3.5)");
  }
  ValueId taps = compressed_weight(l, weight);
  if (taps == mil::no_value) taps = l.read(weight, as_image(l.shape("weight")));
  const auto integers = [&](std::string_view argument, size_t count, int64_t fill) {
    return l.b.constant(Literal::int32s(spatial(l.integers(argument), count, fill)));
  };
  std::vector<mil::Builder::Input> arguments{
      {"x", l.read(l.input("x"), as_image(x))},
      {"weight", taps},
      {"strides", integers("strides", 2, 1)},
      {"pad_type", l.b.constant(Literal::string(l.text("pad_type")))},
      {"pad", integers("pad", 4, 0)},
      {"dilations", integers("dilations", 2, 1)},
      {"groups", l.b.scalar(DataType::int32, static_cast<double>(l.integer("groups")))}};
  if (l.name() == "conv_transpose" && l.has("output_shape")) {
    arguments.emplace_back("output_shape",
                           l.b.constant(Literal::int32s(as_image(l.output_shape()))));
  }
  write_with_bias(l, l.watch(l.b.add(l.name(), arguments)), channel_slot);
}

// A weight that is an input and can be the kernel of one convolution. A batch of more crashed the
// compiler on M1 (ane-facts.md 3.5, R).
bool is_runtime_kernel(const Lowering& l, const Matrix& weight) {
  const Shape& x = l.shape("x");
  return l.rules.parameter_convolution && l.producer(weight.value) == nullptr &&
         !weight.transposed && weight.rows <= l.rules.max_channels &&
         weight.columns <= max_conv_channels && x.size() <= 4 && x.front() == 1;
}

void conv(Lowering& l) {
  if (!is_pointwise(l)) return windowed(l);
  const ValueId weight = l.input("weight");
  const Matrix matrix = matrix_behind(l, weight);
  const bool constant = l.is_constant(weight);
  if (constant && l.shape("x").size() <= 4) {
    // A matrix that has to be split loses its few bits.
    const bool whole =
        result_rows(matrix) <= l.rules.max_channels && result_columns(matrix) <= max_conv_channels;
    const ValueId taps = whole ? compressed_weight(l, weight) : mil::no_value;
    if (taps != mil::no_value || fits_convolution(l, matrix)) {
      if (taps != mil::no_value) {
        const ValueId x = l.read(l.input("x"), as_image(l.shape("x")));
        return write_with_bias(l, l.watch(l.b.linear(x, taps)), channel_slot);
      }
      const bool flat = result_columns(matrix) > l.rules.max_channels;
      const ValueId x = flat ? image_of(l, as_columns(l, l.input("x")))
                             : l.read(l.input("x"), as_image(l.shape("x")));
      const bool split = result_rows(matrix) > l.rules.max_channels;
      return write_with_bias(l, convolve_image(l, matrix, x), split ? height_slot : channel_slot);
    }
  }
  if (is_runtime_kernel(l, matrix)) {
    // The probe asked for this reshape, whatever other reshapes the chip refuses.
    const ValueId kernel = l.b.reshape(l.read(weight), {matrix.rows, matrix.columns, 1, 1});
    const ValueId x = l.read(l.input("x"), as_image(l.shape("x")));
    return write_with_bias(l, l.watch(l.b.linear(x, kernel)), channel_slot);
  }
  write_with_bias(l, multiply(l, matrix, as_columns(l, l.input("x"))), height_slot);
}

void conv_transpose(Lowering& l) { windowed(l); }

// The additive form of a mask: a hidden entry underflows in the softmax.
ValueId additive_mask(Lowering& l, ValueId mask, const Shape& extents) {
  if (l.source.type(mask).dtype != DataType::boolean) return l.read(mask, extents);
  constexpr double hidden = -3e4;
  if (!l.is_constant(mask)) {
    return l.b.add("select",
                   {{"cond", l.read(mask, extents)}, {"a", l.half(0)}, {"b", l.half(hidden)}});
  }
  const mil::Type type{DataType::fp16, extents, {}};
  if (l.is_trial()) return l.filled(extents, 0);
  std::vector<double> values = l.constant(mask).numbers();
  for (double& value : values) value = value != 0 ? 0 : hidden;
  return l.b.constant(Literal::numbers(type, values));
}

// query [..., targets, width], key and value [..., sources, width]: softmax(q k' / sqrt(width) +
// mask) v. The engine's own op ignores its mask on most chips (ane-facts.md 4.4, R).
void attention(Lowering& l) {
  const Shape& shape = l.shape("query");
  const size_t rank = shape.size();
  const std::vector<size_t> own{rank - 2};
  std::vector<Shape> operands;
  Shape scores = shape;
  scores.back() = l.shape("key")[rank - 2];
  if (l.has("attn_mask")) operands.push_back(l.shape("attn_mask"));
  const Frame frame =
      rank <= 4 ? matrix_frame(l, shape, shape, scores) : l.frame(scores, operands, own);
  const auto part = [&](std::string_view name) {
    return l.read(l.input(name), frame.extents(l.shape(name)));
  };
  const ValueId query = part("query");
  const ValueId key = part("key");
  const ValueId value = part("value");
  if (l.rules.native_causal_attention) {
    std::vector<mil::Builder::Input> arguments{{"query", query}, {"key", key}, {"value", value}};
    if (l.has("attn_mask")) {
      const Shape extents = frame.extents(l.shape("attn_mask"));
      arguments.emplace_back("attn_mask", additive_mask(l, l.input("attn_mask"), extents));
    }
    return l.write(l.watch(l.b.add("scaled_dot_product_attention", arguments)));
  }
  const double scale = 1 / std::sqrt(static_cast<double>(shape.back()));
  ValueId score = l.watch(l.b.matmul(l.b.mul(query, scale), key, false, true));
  if (l.has("attn_mask")) {
    const Shape extents = frame.extents(l.shape("attn_mask"));
    score = l.b.add(score, additive_mask(l, l.input("attn_mask"), extents));
  }
  const ValueId probabilities = l.b.softmax(score, width_slot);
  l.write(l.watch(l.b.matmul(probabilities, value, false, false)));
}

} // namespace

std::span<const OpEntry> matrix_lowerings() {
  static const OpEntry entries[] = {
      {"conv", conv},     {"conv_transpose", conv_transpose},          {"linear", linear},
      {"matmul", matmul}, {"scaled_dot_product_attention", attention},
  };
  return entries;
}

} // namespace anet::backend::ane
