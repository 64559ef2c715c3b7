#include "backend/ane/lowering.h"

#include "mil/interpreter.h"
#include "mil/op_table.h"
#include "mil/passes/rewriter.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace anet::backend::ane {

namespace {

bool is_compressed(const mil::Operation& op) {
  return std::string_view(op.name()).starts_with("constexpr_");
}

bool is_view(std::string_view op) {
  return op == "reshape" || op == "expand_dims" || op == "squeeze" || op == "identity";
}

Shape with_rank(const Shape& shape, size_t rank) {
  Shape padded(rank > shape.size() ? rank - shape.size() : 0, 1);
  padded.insert(padded.end(), shape.begin(), shape.end());
  return padded;
}

Literal in_half_precision(Literal literal) {
  if (!mil::is_floating(literal.type.dtype) || literal.type.dtype == DataType::fp16) return literal;
  return Literal::numbers({DataType::fp16, literal.type.shape, {}}, literal.numbers());
}

Literal reshaped(Literal literal, Shape shape) {
  literal.type.shape = std::move(shape);
  literal.blob.reset();
  return literal;
}

// Elements of whole bytes in another order of axes.
Literal permuted(const Literal& literal, const std::vector<int64_t>& perm) {
  const Shape& from = literal.type.shape;
  const std::vector<int64_t> from_strides = mil::contiguous_strides(from);
  Shape shape;
  std::vector<int64_t> strides;
  for (int64_t axis : perm) {
    shape.push_back(from[static_cast<size_t>(axis)]);
    strides.push_back(from_strides[static_cast<size_t>(axis)]);
  }
  const auto width = static_cast<size_t>(mil::data_type_bits(literal.type.dtype) / 8);
  const std::span<const std::byte> source = literal.data.view();
  std::vector<std::byte> bytes(source.size());
  Shape index(shape.size(), 0);
  int64_t position = 0;
  for (size_t next = 0; next < bytes.size(); next += width) {
    std::memcpy(&bytes[next], &source[static_cast<size_t>(position) * width], width);
    for (size_t axis = shape.size(); axis-- > 0;) {
      position += strides[axis];
      if (++index[axis] < shape[axis]) break;
      position -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return Literal::bytes({literal.type.dtype, std::move(shape), {}}, mil::Bytes(std::move(bytes)));
}

std::vector<int64_t> positive_axes(std::vector<int64_t> axes, size_t rank) {
  for (int64_t& axis : axes) {
    if (axis < 0) axis += static_cast<int64_t>(rank);
  }
  return axes;
}

// Neighbouring axes that every operand either has in full or broadcasts can be seen as one.
bool broadcast_alike(size_t a, size_t b, const Shape& shape, std::span<const Shape> operands) {
  return std::all_of(operands.begin(), operands.end(), [&](const Shape& operand) {
    const Shape padded = with_rank(operand, shape.size());
    return (padded[a] == shape[a]) == (padded[b] == shape[b]);
  });
}

} // namespace

int64_t parts_within(int64_t extent, int64_t limit) {
  if (extent <= limit) return 1;
  for (int64_t parts = (extent + limit - 1) / limit; parts <= extent / 2; ++parts) {
    if (extent % parts == 0) return parts;
  }
  return 1;
}

Shape Frame::extents(const Shape& shape) const {
  const Shape padded = with_rank(shape, rank);
  Shape result(4, 1);
  for (size_t slot = 0; slot < 4; ++slot) {
    for (size_t axis : slots[slot]) result[slot] *= padded[axis];
  }
  if (split > 1 && result[height_slot] > 1) {
    result[channel_slot] = split;
    result[height_slot] /= split;
  }
  return result;
}

size_t Frame::slot_of(size_t axis) const {
  for (size_t slot = 0; slot < 4; ++slot) {
    if (std::find(slots[slot].begin(), slots[slot].end(), axis) != slots[slot].end()) return slot;
  }
  fail(Status::internal, "axis ", axis, " has no place among the engine's four");
}

Lowering::Lowering(const mil::Function& function, const Rules& chip_rules, bool trial)
    : b(function.name), rules(chip_rules), source(function),
      values_(function.values.size(), mil::no_value), trial_(trial), image_(wants_images()) {}

bool Lowering::wants_images() const {
  return std::any_of(source.ops.begin(), source.ops.end(), [&](const mil::Operation& op) {
    if (std::string_view(op.name()) != "conv") return false;
    const ValueId weight = op.input("weight");
    return is_constant(weight) ? rules.constant_product == ConstantProduct::convolution
                               : rules.parameter_convolution && producer(weight) == nullptr;
  });
}

void Lowering::run() {
  for (const mil::Operation& op : source.ops) {
    if (op.schema == mil::const_schema() || is_compressed(op)) continue;
    if (is_constant(op.outputs.front())) continue;
    op_ = &op;
    check_types();
    const OpLowering lower_op = find_lowering(op.name());
    if (lower_op == nullptr) refuse("the engine has no way to run it (ane-facts.md 4.3)");
    if (reads_only_constants()) refuse("it reads only constants, which the host computes once");
    lower_op(*this);
  }
}

std::string Lowering::subject() const {
  if (op_ == nullptr) return source.name + ": ";
  return concat(op_->name(), " '", source.value(op_->outputs.front()).name, "': ");
}

// Numbers are fp16 inside the engine. Conversions and quantization check their own types.
void Lowering::check_types() const {
  const std::string_view op_name = name();
  if (op_name == "cast" || op_name == "quantize" || op_name == "dequantize") return;
  const auto check = [&](ValueId id) {
    const DataType dtype = source.type(id).dtype;
    if (dtype == DataType::fp16 || dtype == DataType::boolean) return;
    refuse("the engine computes in fp16, '", source.value(id).name, "' is ",
           mil::data_type_name(dtype), " (ane-facts.md 4.4)");
  };
  for (const mil::Argument& argument : op_->arguments) {
    const mil::ArgumentSchema* schema = op_->schema->argument(argument.name);
    if (schema != nullptr && schema->constant) continue;
    for (ValueId id : argument.values) {
      if (!is_constant(id)) check(id);
    }
  }
  for (ValueId id : op_->outputs) check(id);
}

bool Lowering::reads_only_constants() const {
  return std::all_of(op_->arguments.begin(), op_->arguments.end(),
                     [&](const mil::Argument& argument) {
                       return std::all_of(argument.values.begin(), argument.values.end(),
                                          [&](ValueId id) { return is_constant(id); });
                     });
}

bool Lowering::has(std::string_view argument) const {
  return op_->argument(argument) != nullptr || op_->attribute(argument) != nullptr;
}

double Lowering::number(std::string_view argument) const {
  const Literal* literal = source.constant(*op_, argument);
  if (literal == nullptr) {
    const mil::ArgumentSchema* schema = op_->schema->argument(argument);
    const std::optional<Literal> value =
        schema == nullptr ? std::nullopt : mil::default_argument(source, *op_, *schema);
    if (value) return value->number();
    refuse("expected a compile-time ", argument);
  }
  return literal->number();
}

bool Lowering::boolean(std::string_view argument) const { return number(argument) != 0; }

int64_t Lowering::integer(std::string_view argument) const {
  return static_cast<int64_t>(number(argument));
}

std::string Lowering::text(std::string_view argument) const {
  const Literal* literal = source.constant(*op_, argument);
  if (literal == nullptr) refuse("expected a compile-time ", argument);
  return literal->string();
}

std::vector<int64_t> Lowering::integers(std::string_view argument) const {
  if (const Literal* literal = source.constant(*op_, argument)) return literal->integers();
  const mil::ArgumentSchema* schema = op_->schema->argument(argument);
  const std::optional<Literal> value =
      schema == nullptr ? std::nullopt : mil::default_argument(source, *op_, *schema);
  if (!value) refuse("expected a compile-time ", argument);
  return value->integers();
}

size_t Lowering::axis(std::string_view argument, size_t rank) const {
  const int64_t given = integer(argument);
  return static_cast<size_t>(given < 0 ? given + static_cast<int64_t>(rank) : given);
}

std::vector<size_t> Lowering::axes(std::string_view argument, size_t rank) const {
  std::vector<size_t> result;
  for (int64_t value : positive_axes(integers(argument), rank)) {
    result.push_back(static_cast<size_t>(value));
  }
  return result;
}

const mil::Operation* Lowering::producer(ValueId value) const {
  const int32_t op = source.value(value).producer;
  return op < 0 ? nullptr : &source.ops[static_cast<size_t>(op)];
}

bool is_constant(const mil::Function& function, ValueId value) {
  const mil::Operation* op = mil::producer_of(function, value);
  while (op != nullptr && (is_view(op->name()) || std::string_view(op->name()) == "transpose")) {
    op = mil::producer_of(function, op->input("x"));
  }
  return op != nullptr && (op->schema == mil::const_schema() || is_compressed(*op));
}

Literal Lowering::constant(ValueId value) const {
  const mil::Type& type = source.type(value);
  const bool floating = mil::is_floating(type.dtype);
  if (const Literal* literal = source.constant(value)) {
    Literal copy = in_half_precision(*literal);
    copy.blob.reset(); // the result has blob files of its own
    return copy;
  }
  if (trial_) {
    Literal unread;
    unread.type.dtype = floating ? DataType::fp16 : type.dtype;
    unread.type.shape = type.shape;
    return unread;
  }
  const mil::Operation& op = *producer(value);
  if (is_view(op.name())) return reshaped(constant(op.input("x")), type.shape);
  if (std::string_view(op.name()) == "transpose") {
    const std::vector<int64_t> perm = source.constant(op, "perm")->integers();
    return permuted(constant(op.input("x")), positive_axes(perm, perm.size()));
  }
  const std::vector<mil::Tensor> tensors =
      mil::interpret_op(source, op, std::vector<const mil::Tensor*>(source.values.size(), nullptr),
                        mil::Precision::f32);
  return in_half_precision(Literal::numbers(type, tensors.front().values));
}

ValueId Lowering::read(ValueId value) {
  if (is_constant(value)) return read(value, extents(source.type(value).shape));
  const ValueId result = values_[static_cast<size_t>(value)];
  if (result == mil::no_value) {
    fail(Status::internal, "'", source.value(value).name, "' is read before it is lowered");
  }
  return result;
}

ValueId Lowering::read(ValueId value, const Shape& extents) {
  if (is_constant(value)) return b.constant(reshaped(constant(value), extents));
  const ValueId result = read(value);
  const auto [reshape_of, is_first] = reshapes_.try_emplace({result, extents}, mil::no_value);
  if (is_first) reshape_of->second = reshape(result, extents);
  return reshape_of->second;
}

ValueId Lowering::reshape(ValueId value, const Shape& shape) {
  const int64_t from = b.shape(value).back();
  const int64_t to = shape.back();
  if (from == to || rules.reshapes_width) return keep_width(value, shape);
  const int64_t common = std::gcd(from, to);
  if (common < from) value = split_rows(value, common);
  if (common < to) value = merge_rows(value, to);
  return keep_width(value, shape);
}

ValueId Lowering::keep_width(ValueId value, const Shape& shape) {
  return b.shape(value) == shape ? value : b.reshape(value, shape);
}

// [outer, inner, parts, width]: the width becomes a height, which may be split, and goes back.
ValueId Lowering::split_rows(ValueId value, int64_t width) {
  const int64_t from = b.shape(value).back();
  const int64_t rows = mil::element_count(b.shape(value)) / from;
  if (width == 1) {
    const int64_t outer = parts_within(rows, rules.max_channels);
    return swap_matrix_axes(keep_width(value, {outer, rows / outer, 1, from}));
  }
  const int64_t outer = parts_within(rows, std::min(rules.max_height, rules.max_width));
  const int64_t inner = rows / outer;
  const ValueId columns = swap_matrix_axes(keep_width(value, {1, outer, inner, from}));
  return b.transpose(keep_width(columns, {outer, from / width, width, inner}), {0, 3, 1, 2});
}

// The way back: [1, outer, inner, width].
ValueId Lowering::merge_rows(ValueId value, int64_t width) {
  const int64_t from = b.shape(value).back();
  const int64_t parts = width / from;
  const int64_t rows = mil::element_count(b.shape(value)) / width;
  if (from == 1) {
    const int64_t outer = parts_within(rows, rules.max_channels);
    return swap_matrix_axes(keep_width(value, {outer, rows / outer, width, 1}));
  }
  const int64_t outer = parts_within(rows, std::min(rules.max_height, rules.max_width));
  const int64_t inner = rows / outer;
  const ValueId columns = b.transpose(keep_width(value, {outer, inner, parts, from}), {0, 2, 3, 1});
  return swap_matrix_axes(keep_width(columns, {1, outer, width, inner}));
}

ValueId Lowering::filled(Shape shape, double value) {
  return b.constant(Literal::fill({DataType::fp16, std::move(shape), {}}, value));
}

namespace {

// Axes of shapes of up to four stay where they are, but for [n, channels, 1, width], which becomes
// [1, n, channels, width] (matmul wants its rows on the height axis), and for matrices
// [out, in, 1, 1], whose rows would each be one element wide.
std::array<std::vector<size_t>, 4> place_few(const Shape& shape, bool image, bool in_place) {
  std::array<std::vector<size_t>, 4> slots;
  const size_t missing = 4 - shape.size();
  for (size_t axis = 0; axis < shape.size(); ++axis) slots[axis + missing] = {axis};
  if (in_place) return slots;
  const Shape four = with_rank(shape, 4);
  const bool is_matrix = shape.size() == 4 && four[0] > 1 && four[1] > 1 &&
                         four[height_slot] == 1 && four[width_slot] == 1;
  if (is_matrix) {
    std::rotate(slots.begin(), slots.begin() + 2, slots.end());
  } else if (!image && four[channel_slot] > 1 && four[height_slot] == 1) {
    slots = {std::vector<size_t>{}, slots[0], slots[1], slots[3]};
  }
  return slots;
}

} // namespace

Frame Lowering::frame(const Shape& shape, std::span<const Shape> operands,
                      std::span<const size_t> own) const {
  Frame result;
  result.rank = shape.size();
  const auto is_own = [&](size_t axis) {
    return std::find(own.begin(), own.end(), axis) != own.end();
  };
  if (shape.size() <= 4) {
    const bool owns_unit =
        std::any_of(own.begin(), own.end(), [&](size_t axis) { return shape[axis] == 1; });
    // More channels than there are go where they can be split.
    const bool fits = shape.size() < 3 || shape[shape.size() - 3] <= rules.max_channels;
    result.slots = place_few(shape, image_ && fits, owns_unit);
  } else {
    std::vector<std::vector<size_t>> groups;
    for (size_t axis = 0; axis + 1 < shape.size(); ++axis) {
      if (shape[axis] != 1 || is_own(axis)) groups.push_back({axis});
    }
    for (size_t i = 0; groups.size() > 3 && i + 1 < groups.size();) {
      const size_t left = groups[i].back();
      const size_t right = groups[i + 1].front();
      if (is_own(left) || is_own(right) || !broadcast_alike(left, right, shape, operands)) {
        ++i;
        continue;
      }
      groups[i].insert(groups[i].end(), groups[i + 1].begin(), groups[i + 1].end());
      groups.erase(groups.begin() + static_cast<ptrdiff_t>(i) + 1);
    }
    if (groups.size() > 3) {
      refuse("shape ", mil::shape_to_string(shape), " does not fit four axes (ane-facts.md 4.5)");
    }
    std::copy(groups.begin(), groups.end(), result.slots.end() - 1 - std::ssize(groups));
    result.slots[width_slot] = {shape.size() - 1};
  }
  // Too high: over channels and height, or, when the axis has to stay whole, on the channels.
  const int64_t height = result.extents(shape)[height_slot];
  const bool is_free = result.extents(shape)[channel_slot] == 1;
  if (height <= rules.max_height || !is_free) return result;
  std::vector<size_t>& high = result.slots[height_slot];
  if (std::none_of(high.begin(), high.end(), is_own)) {
    result.split = parts_within(height, rules.max_height);
  } else {
    std::swap(result.slots[channel_slot], high);
  }
  return result;
}

void Lowering::check_matrix_extent(int64_t extent) const {
  constexpr int64_t largest = 2048;
  if (extent > largest) {
    refuse("expected an axis of at most ", largest, " elements, seen ", extent);
  }
}

ValueId Lowering::multiply_along(ValueId value, size_t slot, const Literal& matrix) {
  const Shape shape = b.shape(value);
  const int64_t rows = matrix.type.shape[0];
  const int64_t columns = matrix.type.shape[1];
  std::vector<double> halves = matrix.numbers();
  for (double& entry : halves) entry /= 2;
  const auto factor = [&](Shape extents) {
    return b.constant(Literal::numbers({DataType::fp16, std::move(extents), {}}, halves));
  };
  ValueId product = mil::no_value;
  if (rules.constant_product == ConstantProduct::matmul && slot == width_slot) {
    product = b.matmul(value, factor({1, 1, rows, columns}), false, true);
  } else if (rules.constant_product == ConstantProduct::matmul && slot == height_slot) {
    product = b.matmul(factor({1, 1, rows, columns}), value, false, false);
  } else if (slot == width_slot) {
    // A convolution contracts channels: the width goes there and back.
    const Shape swapped{shape[0] * shape[1], shape[3], 1, shape[2]};
    const ValueId image = reshape(swap_matrix_axes(value), swapped);
    product = b.linear(image, factor({rows, columns, 1, 1}));
    product = swap_matrix_axes(reshape(product, {shape[0], shape[1], rows, shape[2]}));
  } else {
    int64_t outer = 1;
    for (size_t axis = 0; axis < slot; ++axis) outer *= shape[axis];
    const Shape inner = slot == channel_slot  ? Shape{shape[2], shape[3]}
                        : slot == height_slot ? Shape{1, shape[3]}
                                              : Shape{shape[1] * shape[2], shape[3]};
    const ValueId image = reshape(value, {outer, columns, inner[0], inner[1]});
    product = b.linear(image, factor({rows, columns, 1, 1}));
    Shape result = shape;
    result[slot] = rows;
    product = reshape(product, result);
  }
  return b.mul(watch(product), half(2));
}

OpLowering find_lowering(std::string_view op) {
  for (const std::span<const OpEntry> family :
       {elementwise_lowerings(), activation_lowerings(), matrix_lowerings(), reduction_lowerings(),
        shape_lowerings(), slice_lowerings(), quantization_lowerings()}) {
    for (const OpEntry& entry : family) {
      if (op == entry.name) return entry.lower;
    }
  }
  return nullptr;
}

} // namespace anet::backend::ane
