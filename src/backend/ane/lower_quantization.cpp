// Quantized constants and values (ane-facts.md 3.4). A compressed weight stays compressed when a
// form that the engine takes can hold it: one scale and zero point for each output channel.
#include "backend/ane/lowering.h"

#include <algorithm>
#include <cmath>

namespace anet::backend::ane {

namespace {

// weight[o, ...] = scale[o] * (data[o, ...] - zero[o]), or a table for all or each of the outputs.
struct Channels {
  Literal data; // integers of 4 or 8 bits
  std::vector<double> scale;
  std::vector<double> zero;
  std::vector<double> table; // of a palette: entries for each of `tables`
  int64_t tables = 0;
  int bits = 0;
};

const Literal* literal_of(const Lowering& l, const mil::Operation& op, std::string_view argument) {
  return l.source.constant(op, argument);
}

std::vector<double> repeated(const std::vector<double>& values, int64_t count) {
  if (values.size() != 1) return values;
  return std::vector<double>(static_cast<size_t>(count), values.front());
}

std::optional<Channels> read_affine(const Lowering& l, const mil::Operation& op, int64_t outputs) {
  const Literal* data = literal_of(l, op, "quantized_data");
  const Literal* scale = literal_of(l, op, "scale");
  const Literal* zero = literal_of(l, op, "zero_point");
  const Literal* axis = literal_of(l, op, "axis");
  if (data == nullptr || scale == nullptr || zero == nullptr || axis == nullptr) return {};
  const bool per_axis = scale->type.elements() > 1 || zero->type.elements() > 1;
  const int64_t rank = std::ssize(data->type.shape);
  if (per_axis && axis->integer() != 0 && axis->integer() != -rank) return {};
  Channels channels;
  channels.data = *data;
  channels.scale = repeated(scale->numbers(), outputs);
  channels.zero = repeated(zero->numbers(), outputs);
  return channels;
}

std::optional<Channels> read_blockwise(const Lowering& l, const mil::Operation& op,
                                       int64_t outputs) {
  const Literal* data = literal_of(l, op, "data");
  const Literal* scale = literal_of(l, op, "scale");
  if (data == nullptr || scale == nullptr || mil::is_floating(data->type.dtype)) return {};
  const int64_t blocks = scale->type.elements();
  if (blocks != 1 && (blocks != outputs || scale->type.shape.front() != outputs)) return {};
  Channels channels;
  channels.data = *data;
  channels.scale = repeated(scale->numbers(), outputs);
  const Literal* offset = literal_of(l, op, "offset");
  const std::vector<double> none{0};
  channels.zero = repeated(offset == nullptr ? none : offset->numbers(), outputs);
  return channels;
}

std::optional<Channels> read_palette(const Lowering& l, const mil::Operation& op, int64_t outputs) {
  const Literal* indices = literal_of(l, op, "indices");
  const Literal* lut = literal_of(l, op, "lut");
  if (indices == nullptr || lut == nullptr || lut->type.shape.back() != 1) return {};
  const int64_t entries = lut->type.shape[lut->type.shape.size() - 2];
  const int64_t tables = lut->type.elements() / entries;
  if (tables != 1 && (tables != outputs || lut->type.shape.front() != outputs)) return {};
  Channels channels;
  channels.data = *indices;
  channels.table = lut->numbers();
  channels.tables = tables;
  return channels;
}

std::optional<Channels> read_channels(const Lowering& l, ValueId value) {
  const mil::Operation* op = l.producer(value);
  if (op == nullptr) return {};
  const int64_t outputs = l.source.type(value).shape.front();
  const std::string_view name = op->name();
  std::optional<Channels> channels;
  if (name == "constexpr_affine_dequantize") channels = read_affine(l, *op, outputs);
  if (name == "constexpr_blockwise_shift_scale") channels = read_blockwise(l, *op, outputs);
  if (name == "constexpr_lut_to_dense") channels = read_palette(l, *op, outputs);
  if (!channels) return {};
  channels->bits = mil::data_type_bits(channels->data.type.dtype);
  channels->data.blob.reset();
  if (channels->bits != 4 && channels->bits != 8) return {};
  return channels;
}

Literal halves(Shape shape, const std::vector<double>& values) {
  return Literal::numbers({DataType::fp16, std::move(shape), {}}, values);
}

ValueId write_affine(Lowering& l, const Channels& c) {
  if (c.bits != 8 || !c.table.empty()) return mil::no_value;
  const mil::Type zeros{c.data.type.dtype, {std::ssize(c.zero)}, {}};
  return l.b.add("constexpr_affine_dequantize",
                 {{"quantized_data", l.b.constant(c.data)},
                  {"zero_point", l.b.constant(Literal::numbers(zeros, c.zero))},
                  {"scale", l.b.constant(halves({std::ssize(c.scale)}, c.scale))},
                  {"axis", l.b.scalar(DataType::int32, 0)}});
}

ValueId write_blockwise(Lowering& l, const Channels& c) {
  if (!c.table.empty()) return mil::no_value;
  Shape blocks(c.data.type.shape.size(), 1);
  blocks.front() = std::ssize(c.scale);
  std::vector<mil::Builder::Input> arguments{{"data", l.b.constant(c.data)},
                                             {"scale", l.b.constant(halves(blocks, c.scale))}};
  if (std::any_of(c.zero.begin(), c.zero.end(), [](double zero) { return zero != 0; })) {
    const mil::Type offsets{c.data.type.dtype, blocks, {}};
    arguments.emplace_back("offset", l.b.constant(Literal::numbers(offsets, c.zero)));
  }
  return l.b.add("constexpr_blockwise_shift_scale", arguments);
}

// An integer's bit pattern is its index.
std::vector<double> integer_table(const Channels& c) {
  const int64_t entries = int64_t{1} << c.bits;
  const DataType dtype = c.data.type.dtype;
  const bool is_signed = dtype == DataType::int4 || dtype == DataType::int8;
  std::vector<double> table;
  for (size_t channel = 0; channel < c.scale.size(); ++channel) {
    for (int64_t i = 0; i < entries; ++i) {
      const int64_t integer = is_signed && i >= entries / 2 ? i - entries : i;
      table.push_back(c.scale[channel] * (static_cast<double>(integer) - c.zero[channel]));
    }
  }
  return table;
}

ValueId write_palette(Lowering& l, const Channels& c) {
  const bool given = !c.table.empty();
  const int64_t entries = int64_t{1} << c.bits;
  const int64_t tables = given ? c.tables : std::ssize(c.scale);
  // Tables as large as what they describe are no compression.
  if (tables * entries > c.data.type.elements()) return mil::no_value;
  Literal indices = c.data;
  indices.type.dtype = c.bits == 4 ? DataType::uint4 : DataType::uint8;
  Shape shape(c.data.type.shape.size() + 2, 1);
  shape.front() = tables;
  shape[shape.size() - 2] = entries;
  return l.b.add(
      "constexpr_lut_to_dense",
      {{"indices", l.b.constant(indices)},
       {"lut", l.b.constant(halves(std::move(shape), given ? c.table : integer_table(c)))}});
}

// int8 enters and leaves the engine as ports, and nothing computes in it.
void check_port_types(Lowering& l) {
  if (l.rules.int8_ports) return;
  l.refuse("expected an engine with int8 ports (ane-facts.md 3.4)");
}

// quantize and dequantize: scale and zero point are scalars, or lie along an axis.
void requantize(Lowering& l) {
  check_port_types(l);
  const DataType narrow = l.name() == "quantize" ? l.source.type(l.output()).dtype
                                                 : l.source.type(l.input("input")).dtype;
  const DataType wide = l.name() == "quantize" ? l.source.type(l.input("input")).dtype
                                               : l.source.type(l.output()).dtype;
  if (wide != DataType::fp16) {
    l.refuse("the engine computes in fp16, seen ", mil::data_type_name(wide),
             " (ane-facts.md 4.4)");
  }
  const Shape& shape = l.shape("input");
  std::vector<size_t> own;
  if (l.has("axis")) own.push_back(l.axis("axis", shape.size()));
  const Frame frame = l.frame(shape, {}, own);
  std::vector<mil::Builder::Input> arguments{
      {"input", l.read(l.input("input"), frame.extents(shape))}};
  const auto add_parameter = [&](const char* name, DataType dtype) {
    const Literal* given = l.source.constant(l.op(), name);
    if (given == nullptr) l.refuse("expected a compile-time ", name);
    const mil::Type type{dtype, given->type.shape, {}};
    arguments.emplace_back(name, l.b.constant(Literal::numbers(type, given->numbers())));
  };
  if (l.has("zero_point")) add_parameter("zero_point", narrow);
  add_parameter("scale", DataType::fp16);
  if (!own.empty()) {
    const auto slot = static_cast<double>(frame.slot_of(own.front()));
    arguments.emplace_back("axis", l.b.scalar(DataType::int32, slot));
  }
  if (l.name() == "quantize") {
    arguments.emplace_back("output_dtype",
                           l.b.constant(Literal::string(mil::data_type_name(narrow))));
  }
  l.write(l.b.add(l.name(), arguments));
}

} // namespace

ValueId compressed_weight(Lowering& l, ValueId value) {
  const bool any =
      l.rules.int8_form != QuantizedForm::none || l.rules.int4_form != QuantizedForm::none;
  if (!any || l.source.type(value).shape.size() != 4) return mil::no_value;
  const std::optional<Channels> channels = read_channels(l, value);
  if (!channels) return mil::no_value;
  switch (channels->bits == 8 ? l.rules.int8_form : l.rules.int4_form) {
  case QuantizedForm::affine:
    return write_affine(l, *channels);
  case QuantizedForm::blockwise:
    return write_blockwise(l, *channels);
  case QuantizedForm::palette:
    return write_palette(l, *channels);
  case QuantizedForm::none:
    break;
  }
  return mil::no_value;
}

std::span<const OpEntry> quantization_lowerings() {
  static const OpEntry entries[] = {{"dequantize", requantize}, {"quantize", requantize}};
  return entries;
}

} // namespace anet::backend::ane
