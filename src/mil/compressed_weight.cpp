#include "mil/compressed_weight.h"

#include "base/float16.h"
#include "base/status.h"
#include "mil/op_table.h"
#include "mil/passes/rewriter.h"
#include "mil/verify.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace anet::mil {

namespace {

constexpr std::array<const char*, 4> names = {"int8_channel", "int8_block", "int4_block",
                                              "palette4"};

// An input becomes the result of a constant op, in front of all others.
class ConstantWriter {
public:
  explicit ConstantWriter(Function& function) : function_(function) {}

  void write(ValueId id, const Literal& literal) {
    Operation op;
    op.schema = const_schema();
    op.attributes = {{"name", Literal::string(function_.value(id).name)}, {"val", literal}};
    op.outputs = {id};
    ops_.push_back(std::move(op));
  }

  void write(ValueId id, const CompressedWeight& weight) {
    const Shape shape = function_.type(id).shape;
    const bool cast = function_.type(id).dtype == DataType::bf16;
    const DataType dtype = cast ? DataType::fp32 : function_.type(id).dtype;
    Operation op;
    op.outputs = {cast ? add_value(id, "fp32", {dtype, shape, {}}) : id};
    const auto argument = [&](const char* name, const Literal& literal) {
      op.arguments.push_back({name, {add_constant(id, name, literal)}, false});
    };
    const auto codes = [&](DataType type) {
      return Literal::bytes({type, shape, {}}, weight.codes);
    };
    switch (weight.compression) {
    case Compression::int8_channel:
      op.schema = find_op("constexpr_affine_dequantize");
      argument("quantized_data", codes(DataType::int8));
      argument("zero_point", Literal::scalar(DataType::int8, 0));
      argument("scale", scales(weight, {weight.rows}, dtype));
      argument("axis", Literal::int32(0));
      break;
    case Compression::int8_block:
    case Compression::int4_block: {
      op.schema = find_op("constexpr_blockwise_shift_scale");
      const bool wide = weight.compression == Compression::int8_block;
      argument("data", codes(wide ? DataType::int8 : DataType::int4));
      Shape blocks(shape.size(), 1);
      blocks[0] = weight.rows;
      blocks[1] = weight.columns / weight.block_size;
      argument("scale", scales(weight, std::move(blocks), dtype));
      break;
    }
    case Compression::palette4: {
      op.schema = find_op("constexpr_lut_to_dense");
      argument("indices", codes(DataType::uint4));
      Shape tables(shape.size() + 2, 1);
      tables[0] = weight.rows / weight.block_size;
      tables[shape.size()] = 16;
      argument("lut", scales(weight, std::move(tables), dtype));
      break;
    }
    }
    const ValueId written = op.outputs.front();
    ops_.push_back(std::move(op));
    if (cast) write_cast(written, id);
  }

  void insert() {
    function_.ops.insert(function_.ops.begin(), std::make_move_iterator(ops_.begin()),
                         std::make_move_iterator(ops_.end()));
    for (size_t i = 0; i < function_.ops.size(); ++i)
      for (const ValueId id : function_.ops[i].outputs)
        function_.values[static_cast<size_t>(id)].producer = static_cast<int32_t>(i);
  }

private:
  static Literal scales(const CompressedWeight& weight, Shape shape, DataType dtype) {
    Literal halves = Literal::bytes({DataType::fp16, shape, {}}, weight.scales);
    if (dtype == DataType::fp16) return halves;
    return Literal::numbers({dtype, std::move(shape), {}}, halves.numbers());
  }

  void write_cast(ValueId from, ValueId to) {
    const Literal name = Literal::string(data_type_name(function_.type(to).dtype));
    Operation op;
    op.schema = find_op("cast");
    op.arguments = {{"x", {from}, false}, {"dtype", {add_constant(to, "dtype", name)}, false}};
    op.outputs = {to};
    ops_.push_back(std::move(op));
  }

  ValueId add_value(ValueId weight, const char* suffix, const Type& type) {
    std::string name = concat(function_.value(weight).name, "_", suffix);
    while (function_.find(name) != no_value) name += "_";
    function_.values.push_back({name, type, -1});
    return static_cast<ValueId>(function_.values.size() - 1);
  }

  ValueId add_constant(ValueId weight, const char* argument, const Literal& literal) {
    const ValueId id = add_value(weight, argument, literal.type);
    write(id, literal);
    return id;
  }

  Function& function_;
  std::vector<Operation> ops_;
};

void check_fits(const Value& input, const ConstantValue& value) {
  const auto expect = [&](bool holds, Status status, const std::string& seen) {
    if (!holds)
      fail(status, "input ", input.name, " expects ", type_to_string(input.type), ", got ", seen);
  };
  if (const auto* literal = std::get_if<Literal>(&value)) {
    const std::string seen = type_to_string(literal->type);
    expect(literal->type.dtype == input.type.dtype, Status::type_mismatch, seen);
    return expect(literal->type.shape == input.type.shape, Status::shape_mismatch, seen);
  }
  const auto& weight = std::get<CompressedWeight>(value);
  check_compressed_weight(weight);
  const Shape& shape = input.type.shape;
  const bool fits = shape.size() >= 2 && shape[0] == weight.rows && shape[1] == weight.columns &&
                    element_count(shape) == weight.rows * weight.columns;
  expect(fits, Status::shape_mismatch,
         concat("a compressed matrix of ", weight.rows, " x ", weight.columns));
  expect(is_floating(input.type.dtype), Status::type_mismatch, "a compressed matrix");
}

// [rows, columns, 1...] without codes and scales, or nullopt.
std::optional<CompressedWeight> matrix_of(const Shape& shape) {
  if (shape.size() < 2) return std::nullopt;
  CompressedWeight weight;
  weight.rows = shape[0];
  weight.columns = shape[1];
  if (weight.rows * weight.columns != element_count(shape)) return std::nullopt;
  return weight;
}

bool uniform_zero(const Literal& literal) {
  const std::vector<double> values = literal.numbers();
  return std::all_of(values.begin(), values.end(), [](double value) { return value == 0; });
}

// As fp16, when that changes none of them.
std::optional<Bytes> half_scales(const Literal& scales) {
  if (scales.type.dtype == DataType::fp16) return scales.data;
  std::vector<std::byte> halves(static_cast<size_t>(scales.type.elements()) * 2);
  for (int64_t i = 0; i < scales.type.elements(); ++i) {
    const double value = scales.number(i);
    const uint16_t half = double_to_half(value);
    if (static_cast<double>(half_to_float(half)) != value) return std::nullopt;
    std::memcpy(halves.data() + i * 2, &half, 2);
  }
  return Bytes(std::move(halves));
}

std::optional<CompressedWeight> finished(CompressedWeight weight, Compression compression,
                                         int64_t block_size, const Literal& codes,
                                         const Literal& scales) {
  const std::optional<Bytes> halves = half_scales(scales);
  if (!halves) return std::nullopt;
  weight.compression = compression;
  weight.block_size = block_size;
  weight.codes = codes.data;
  weight.scales = *halves;
  if (compression_bits(compression) == 4 && weight.columns % 2 != 0) return std::nullopt;
  return weight;
}

std::optional<CompressedWeight> read_affine(const Function& function, const Operation& op) {
  const Literal* codes = function.constant(op, "quantized_data");
  const Literal* scale = function.constant(op, "scale");
  const Literal* zero = function.constant(op, "zero_point");
  const Literal* axis = function.constant(op, "axis");
  if (codes == nullptr || scale == nullptr || zero == nullptr || axis == nullptr) return {};
  const auto weight = matrix_of(codes->type.shape);
  const int64_t first = -std::ssize(codes->type.shape);
  const bool by_row = axis->integer() == 0 || axis->integer() == first;
  if (!weight || codes->type.dtype != DataType::int8 || !by_row ||
      scale->type.elements() != weight->rows || !uniform_zero(*zero))
    return {};
  return finished(*weight, Compression::int8_channel, 0, *codes, *scale);
}

std::optional<CompressedWeight> read_blockwise(const Function& function, const Operation& op) {
  const Literal* codes = function.constant(op, "data");
  const Literal* scale = function.constant(op, "scale");
  if (codes == nullptr || scale == nullptr || op.argument("offset") != nullptr) return {};
  const auto weight = matrix_of(codes->type.shape);
  if (!weight || scale->type.shape.size() < 2 || scale->type.shape[0] != weight->rows) return {};
  const int64_t block = weight->columns / scale->type.shape[1];
  if (codes->type.dtype == DataType::int8)
    return finished(*weight, Compression::int8_block, block, *codes, *scale);
  if (codes->type.dtype == DataType::int4)
    return finished(*weight, Compression::int4_block, block, *codes, *scale);
  return {};
}

std::optional<CompressedWeight> read_palette(const Function& function, const Operation& op) {
  const Literal* codes = function.constant(op, "indices");
  const Literal* lut = function.constant(op, "lut");
  if (codes == nullptr || lut == nullptr || codes->type.dtype != DataType::uint4) return {};
  const auto weight = matrix_of(codes->type.shape);
  const int64_t tables = lut->type.elements() / 16;
  if (!weight || lut->type.shape.back() != 1 || lut->type.shape[0] != tables) return {};
  return finished(*weight, Compression::palette4, weight->rows / tables, *codes, *lut);
}

} // namespace

const char* compression_name(Compression compression) {
  return names[static_cast<size_t>(compression) - 1];
}

std::optional<Compression> compression_from_name(std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i)
    if (name == names[i]) return static_cast<Compression>(i + 1);
  return std::nullopt;
}

int compression_bits(Compression compression) {
  return compression == Compression::int8_channel || compression == Compression::int8_block ? 8 : 4;
}

int64_t CompressedWeight::code_bytes() const {
  return rows * columns * compression_bits(compression) / 8;
}

int64_t CompressedWeight::scale_count() const {
  switch (compression) {
  case Compression::int8_channel:
    return rows;
  case Compression::int8_block:
  case Compression::int4_block:
    return rows * (columns / block_size);
  case Compression::palette4:
    return rows / block_size * 16;
  }
  return 0;
}

void check_compressed_weight(const CompressedWeight& w) {
  const auto expect = [](bool holds, auto&&... parts) {
    if (!holds) fail(Status::invalid_data, parts...);
  };
  expect(w.rows > 0 && w.columns > 0, "expected a matrix, seen ", w.rows, " x ", w.columns);
  if (compression_bits(w.compression) == 4)
    expect(w.columns % 2 == 0, "expected an even number of columns for codes of 4 bits, seen ",
           w.columns);
  if (w.compression != Compression::int8_channel) {
    const int64_t divided = w.compression == Compression::palette4 ? w.rows : w.columns;
    expect(w.block_size > 0 && divided % w.block_size == 0, "expected a block size that divides ",
           divided, ", seen ", w.block_size);
  }
  expect(std::ssize(w.codes.view()) == w.code_bytes(), "expected ", w.code_bytes(),
         " bytes of codes, seen ", w.codes.size());
  expect(std::ssize(w.scales.view()) == w.scale_count() * 2, "expected ", w.scale_count() * 2,
         " bytes of scales, seen ", w.scales.size());
}

std::optional<CompressedWeight> compressed_weight(const Function& function, const Operation& op) {
  const std::string_view name = op.name();
  if (name == "constexpr_affine_dequantize") return read_affine(function, op);
  if (name == "constexpr_blockwise_shift_scale") return read_blockwise(function, op);
  if (name == "constexpr_lut_to_dense") return read_palette(function, op);
  return std::nullopt;
}

Function bind_constants(const Function& function,
                        const std::map<std::string, ConstantValue>& values) {
  for (const auto& [name, value] : values)
    if (function.input(name) == no_value) fail(Status::not_found, "expected an input named ", name);
  Function bound = function;
  bound.inputs.clear();
  ConstantWriter writer(bound);
  for (const ValueId id : function.inputs) {
    const auto found = values.find(function.value(id).name);
    if (found == values.end()) {
      bound.inputs.push_back(id);
      continue;
    }
    check_fits(function.value(id), found->second);
    if (const auto* weight = std::get_if<CompressedWeight>(&found->second))
      writer.write(id, *weight);
    else
      writer.write(id, std::get<Literal>(found->second));
  }
  writer.insert();
  // Copied once more, so that a bound input that is also an output gets an op of its own.
  Rewriter rewriter(bound);
  for (const Operation& op : bound.ops) rewriter.keep(rewriter.with_mapped_arguments(op));
  Function result = std::move(rewriter).finish().function;
  verify(result);
  return result;
}

} // namespace anet::mil
