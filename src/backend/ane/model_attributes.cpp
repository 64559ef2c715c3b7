#include "backend/ane/model_attributes.h"

#include "backend/ane/foundation.h"
#include "base/status.h"

#include <algorithm>
#include <array>
#include <limits>

namespace anet::backend::ane {

namespace {

constexpr std::string_view output_suffix = "@output";

std::string without_suffix(const std::string& name) {
  return name.ends_with(output_suffix) ? name.substr(0, name.size() - output_suffix.size()) : name;
}

mil::DataType read_type(const Property& type) {
  static constexpr std::array<std::pair<std::string_view, mil::DataType>, 7> types = {{
      {"Float16", mil::DataType::fp16},
      {"Float32", mil::DataType::fp32},
      {"Int8", mil::DataType::int8},
      {"UInt8", mil::DataType::uint8},
      {"Int16", mil::DataType::int16},
      {"UInt16", mil::DataType::uint16},
      {"Int32", mil::DataType::int32},
  }};
  const std::string name = type.text();
  for (const auto& [known_name, dtype] : types)
    if (known_name == name) return dtype;
  fail(Status::unsupported, type.where(), " is '", name,
       "', expected Float16, Float32, Int8, UInt8, Int16, UInt16 or Int32");
}

// An extent or a stride. The bound keeps every product of two in range.
int64_t read_positive(const Property& value) {
  const int64_t number = value.integer();
  if (number < 1 || number > std::numeric_limits<int32_t>::max())
    fail(Status::device, value.where(), " is ", number, ", expected 1 to 2147483647");
  return number;
}

int64_t read_stride(const Property& value, int64_t least) {
  const int64_t number = value.integer();
  if (number < least || number > (int64_t{1} << 48))
    fail(Status::device, value.where(), " is ", number, ", expected at least ", least);
  return number;
}

EnginePort read_port(const Property& port, std::string name, int64_t symbol) {
  for (const char* key : {"Depth", "Interleave"})
    if (const int64_t extent = port[key].integer_or(1); extent != 1)
      fail(Status::unsupported, port.where(), ".", key, " is ", extent, ", expected 1");
  if (port["4CCFormat"].exists())
    fail(Status::unsupported, port.where(), " is an image, expected a tensor");
  EnginePort result;
  result.name = std::move(name);
  result.symbol = symbol;
  result.dtype = read_type(port["Type"]);
  const int64_t batches = read_positive(port["Batches"]);
  const int64_t channels = read_positive(port["Channels"]);
  const int64_t height = read_positive(port["Height"]);
  const int64_t width = read_positive(port["Width"]);
  const int64_t element = mil::data_type_bits(result.dtype) / 8;
  const int64_t row = read_stride(port["RowStride"], width * element);
  const int64_t plane = read_stride(port["PlaneStride"], height * row);
  const int64_t batch = read_stride(port["BatchStride"], channels * plane);
  result.shape = {batches, channels, height, width};
  result.strides = {batch, plane, row, element};
  int64_t size = 0;
  if (__builtin_mul_overflow(batches, batch, &size))
    fail(Status::device, port.where(), " has more bytes than can be counted");
  result.size_bytes = static_cast<size_t>(size);
  return result;
}

// The ports that the procedure's symbols name, from the list that describes them.
std::vector<EnginePort> read_ports(const Property& indices, const Property& symbols,
                                   const Property& list) {
  std::vector<EnginePort> result;
  const std::vector<Property> described = list.items();
  for (const Property& index : indices.items()) {
    const int64_t symbol = index.integer();
    if (symbol < 0) fail(Status::device, index.where(), " is ", symbol, ", expected 0 or more");
    const std::string name = without_suffix(symbols[static_cast<size_t>(symbol)].text());
    const auto port = std::find_if(described.begin(), described.end(), [&](const Property& entry) {
      return without_suffix(entry["Name"].text()) == name;
    });
    if (port == described.end())
      fail(Status::device, list.where(), " does not describe the port '", name, "'");
    result.push_back(read_port(*port, name, symbol));
  }
  std::sort(result.begin(), result.end(),
            [](const EnginePort& a, const EnginePort& b) { return a.symbol < b.symbol; });
  return result;
}

Property find_by_name(const Property& list, const std::string& name) {
  for (const Property& entry : list.items())
    if (entry["Name"].text() == name) return entry;
  fail(Status::device, list.where(), " does not describe the procedure '", name, "'");
}

// The identifiers of procedures are known by name only.
std::string find_name(const Property& description, const Property& networks, int64_t id) {
  const Property ids = description["kANEFModelProcedureNameToIDMapKey"];
  for (const Property& network : networks.items()) {
    std::string name = network["Name"].text();
    const Property known_id = ids[name];
    if (known_id.exists() && known_id.integer() == id) return name;
  }
  fail(Status::device, ids.where(), " has no name for the procedure ", id);
}

} // namespace

std::vector<EngineProcedure> read_procedures(const Framework& framework, Id attributes) {
  const Property root(framework, attributes, "modelAttributes");
  const Property description = root["ANEFModelDescription"];
  const Property networks = root["NetworkStatusList"];
  const Property inputs = description["kANEFModelInputSymbolsArrayKey"];
  const Property outputs = description["kANEFModelOutputSymbolsArrayKey"];
  std::vector<EngineProcedure> result;
  for (const Property& procedure : description["ANEFModelProcedures"].items()) {
    EngineProcedure entry;
    entry.index = procedure["ANEFModelProcedureID"].integer();
    entry.name = find_name(description, networks, entry.index);
    const Property network = find_by_name(networks, entry.name);
    entry.inputs =
        read_ports(procedure["ANEFModelInputSymbolIndexArray"], inputs, network["LiveInputList"]);
    entry.outputs = read_ports(procedure["ANEFModelOutputSymbolIndexArray"], outputs,
                               network["LiveOutputList"]);
    result.push_back(std::move(entry));
  }
  if (result.empty()) fail(Status::device, "modelAttributes names no procedure");
  std::sort(result.begin(), result.end(),
            [](const EngineProcedure& a, const EngineProcedure& b) { return a.index < b.index; });
  return result;
}

} // namespace anet::backend::ane
