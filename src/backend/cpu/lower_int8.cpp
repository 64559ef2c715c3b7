// dequantize(int8 x) * dequantize(int8 weights), and the quantize behind it, as one int8 product.
// Its rows are positions, so that int8 tensors between convolutions lie channel-last.
#include "backend/cpu/int8_product.h"
#include "backend/cpu/lowering.h"

#include "base/float16.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

namespace anet::backend::cpu {

namespace {

// Sums of products of int8 fit 32 bits up to here.
constexpr int64_t max_depth = 1 << 17;

// x with one axis moved to the end, as a matrix of everything else by that axis; nullopt when its
// elements are not a uniform number of elements apart.
std::optional<Operand> rows_by(const Operand& x, size_t axis) {
  std::vector<int64_t> order(x.shape.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  order.erase(order.begin() + static_cast<std::ptrdiff_t>(axis));
  order.push_back(static_cast<int64_t>(axis));
  return reshape_view(transpose_view(x, order), {x.elements() / x.shape[axis], x.shape[axis]});
}

// A layout in which an axis is innermost.
Operand axis_last_layout(const Shape& shape, size_t axis) {
  Operand layout;
  layout.shape = shape;
  layout.strides.resize(shape.size());
  int64_t stride = 1;
  layout.strides[axis] = stride;
  stride *= shape[axis];
  for (size_t d = shape.size(); d-- > 0;) {
    if (d == axis) continue;
    layout.strides[d] = stride;
    stride *= shape[d];
  }
  return layout;
}

bool has_contiguous_rows(const Operand& x) { return x.shape[1] == 1 || x.strides[1] == 1; }

bool is_zero_or_absent(const mil::Function& function, const mil::Operation& op,
                       std::string_view argument) {
  if (op.argument(argument) == nullptr) return true;
  const mil::Literal* literal = function.constant(op, argument);
  return literal != nullptr && literal->type.elements() == 1 && literal->number() == 0;
}

// The scale of a quantize or dequantize that has one for the whole tensor and no zero point.
std::optional<double> single_scale(const mil::Function& function, const mil::Operation& op) {
  const mil::Literal* scale = function.constant(op, "scale");
  if (scale == nullptr || !scale->type.is_scalar() ||
      !is_zero_or_absent(function, op, "zero_point"))
    return std::nullopt;
  return scale->number();
}

} // namespace

const mil::Operation* Lowering::only_reader(mil::ValueId id) const {
  const auto at = static_cast<size_t>(id);
  if (uses_[at] != 1 || last_use_[at] == std::numeric_limits<int32_t>::max()) return nullptr;
  return &function_.ops[static_cast<size_t>(last_use_[at])];
}

bool Lowering::keep_dequantized() {
  const auto at = static_cast<size_t>(op_->outputs.front());
  const mil::Type& type = result_type();
  const bool is_float = type.dtype == DataType::fp32 || type.dtype == DataType::fp16;
  const std::optional<double> scale = single_scale(function_, *op_);
  if (preparing_ || destinations_[at] || !is_float || !scale) return false;
  const Operand codes = operand("input");
  if (codes.dtype != DataType::int8) return false;
  Operand x;
  x.dtype = type.dtype;
  x.shape = type.shape;
  x.strides = mil::contiguous_strides(x.shape);
  x.storage = add_storage({});
  dequantized_.emplace(x.storage, Dequantized{codes, *scale});
  bind(x);
  int32_t& last = storage_last_use_[static_cast<size_t>(codes.storage)];
  last = std::max(last, last_use_[at]);
  return true;
}

const Lowering::Dequantized* Lowering::dequantized(const Operand& x) const {
  const auto found = dequantized_.find(x.storage);
  if (found == dequantized_.end() || found->second.codes.shape != x.shape || x.offset != 0 ||
      !is_dense_row_major(x))
    return nullptr;
  return &found->second;
}

std::optional<double> Lowering::quantize_behind() const {
  const mil::Operation* reader = only_reader(op_->outputs.front());
  if (reader == nullptr || std::string_view(reader->name()) != "quantize") return std::nullopt;
  const mil::ValueId codes = reader->outputs.front();
  if (destinations_[static_cast<size_t>(codes)] || function_.type(codes).dtype != DataType::int8)
    return std::nullopt;
  return single_scale(function_, *reader);
}

Operand Lowering::quantized_result(const Operand& layout) {
  const auto own = static_cast<size_t>(op_->outputs.front());
  const mil::Operation* reader = only_reader(op_->outputs.front());
  const auto codes = static_cast<size_t>(reader->outputs.front());
  const Operand result = temporary_in(DataType::int8, layout);
  values_[own] = values_[codes] = result;
  storage_last_use_[static_cast<size_t>(result.storage)] = last_use_[codes];
  return result;
}

bool Lowering::is_bound() const {
  return values_[static_cast<size_t>(op_->outputs.front())].has_value();
}

std::optional<Operand> Lowering::int8_layout() const {
  const mil::Operation* numbers = only_reader(op_->outputs.front());
  if (numbers == nullptr || std::string_view(numbers->name()) != "dequantize") return std::nullopt;
  const mil::ValueId id = numbers->outputs.front();
  const mil::Operation* product = only_reader(id);
  const Shape& shape = result_type().shape;
  if (product == nullptr || shape.size() < 2) return std::nullopt;
  const std::string_view name = product->name();
  if (name == "conv" && product->input("x") == id) return axis_last_layout(shape, 1);
  if (name == "matmul" && product->input("y") == id)
    return axis_last_layout(shape, shape.size() - 2);
  return std::nullopt;
}

void Lowering::int8_product(const Operand& x, const mil::CompressedWeight& weight, double scale,
                            double output_scale, const Operand& y) {
  Int8Epilogue epilogue;
  epilogue.to_int8 = y.dtype == DataType::int8;
  const bool has_bias = has("bias");
  const mil::Literal bias = has_bias ? literal("bias") : mil::Literal{};
  for (int64_t i = 0; i < weight.rows; ++i) {
    uint16_t half;
    std::memcpy(&half, weight.scales.view().data() + i * 2, 2);
    epilogue.scale.push_back(static_cast<float>(scale * half_to_float(half) / output_scale));
    epilogue.bias.push_back(has_bias ? static_cast<float>(bias.number(i) / output_scale) : 0.0f);
  }
  const Int8ProductShape shape = Int8ProductShape::of(x, weight.rows, threads_);
  const auto* codes = reinterpret_cast<const int8_t*>(weight.codes.view().data());
  std::unique_ptr<Int8Product> product = make_int8_product(shape, codes, epilogue);
  plan_.flops += 2 * x.elements() * weight.rows;
  plan_.constant_bytes += product->weight_bytes();
  const Operand scratch =
      temporary(DataType::int8, {std::ssize(shape.shares), product->scratch_bytes()});
  emit(make_int8_product_step(shape, std::move(product), x, y, scratch), {&x, &y, &scratch});
}

bool lower_int8_product(Lowering& l, std::string_view activation, std::string_view weight,
                        size_t axis, size_t output_axis) {
  const Lowering::Dequantized* x = l.dequantized(l.stored_operand(activation));
  if (x == nullptr || l.accumulates()) return false;
  const Operand stored = l.stored_operand(weight);
  const auto view = reshape_view(stored, {stored.shape[0], stored.elements() / stored.shape[0]});
  const auto matrix = view ? l.compressed_matrix(*view) : std::nullopt;
  if (!matrix || matrix->transposed || matrix->columns() > max_depth ||
      matrix->weight.compression != mil::Compression::int8_channel)
    return false;

  auto rows = rows_by(x->codes, axis);
  if (!rows || !has_contiguous_rows(*rows)) {
    const Operand turned = l.temporary_in(DataType::int8, axis_last_layout(x->codes.shape, axis));
    l.copy(x->codes, turned);
    rows = rows_by(turned, axis);
  }
  const Shape& shape = l.result_type().shape;
  const Operand layout = axis_last_layout(shape, output_axis);
  const std::optional<double> requantized = l.quantize_behind();
  const bool direct = !requantized && l.result_type().dtype == DataType::fp32;
  const Operand result = requantized ? l.quantized_result(layout) : l.result();
  const auto place = direct ? rows_by(result, output_axis) : std::nullopt;
  Operand y;
  if (requantized) {
    y = *rows_by(result, output_axis);
  } else if (place && is_dense_row_major(*place)) {
    y = *place;
  } else {
    y = *rows_by(l.temporary_in(DataType::fp32, layout), output_axis);
  }
  l.int8_product(*rows, matrix->weight, x->scale, requantized.value_or(1), y);
  if (requantized || y.storage == result.storage) return true;
  Operand product = layout;
  product.storage = y.storage;
  l.cast(product, result, HalfRule::multiply_accumulate);
  return true;
}

} // namespace anet::backend::cpu
