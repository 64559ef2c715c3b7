#include "bench_device_program.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace cli {
namespace {

constexpr const char* weight_file = "@model_path/weights/weight.bin";

// A fast generator with 64 bits of state (xorshift*); the low bits are not used.
struct RandomBits {
  uint64_t state;
  uint32_t next() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return static_cast<uint32_t>((state * 0x2545f4914f6cdd1dULL) >> 32);
  }
};

// Bits of a normal half near `value`, at least 2^-14 in size: for measurements any will do.
uint16_t half_bits(double value) {
  int exponent = 0;
  const double mantissa = std::frexp(std::abs(value), &exponent); // in [0.5, 1)
  if (exponent < -13) return 0x0400;
  const auto fraction = static_cast<uint32_t>(mantissa * 2048) & 0x3ff;
  const uint32_t sign = value < 0 ? 0x8000 : 0;
  return static_cast<uint16_t>(sign | static_cast<uint32_t>(exponent + 14) << 10 | fraction);
}

// A blob file of format "MIL storage v2": a header of 64 bytes, then for each blob a record of 64
// bytes and its payload, all aligned to 64 bytes. Numbers are little endian.
class Blobs {
public:
  Blobs() : bytes_(64) {
    put(0, 1, 4); // readers do not look at the count
    put(4, 2, 4); // the version
  }

  // Room for a payload; `offset` receives where its record is, which BLOBFILE names.
  uint8_t* add(uint32_t type, size_t size, uint64_t& offset) {
    const size_t record = bytes_.size();
    bytes_.resize(record + 64 + (size + 63) / 64 * 64);
    put(record, 0xdeadbeef, 4);
    put(record + 4, type, 4);
    put(record + 8, size, 8);
    put(record + 16, record + 64, 8);
    offset = record;
    return bytes_.data() + record + 64;
  }

  const std::vector<uint8_t>& bytes() const { return bytes_; }

private:
  void put(size_t at, uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes_[at + i] = static_cast<uint8_t>(value >> (8 * i));
  }

  std::vector<uint8_t> bytes_;
};

std::string shape_text(const std::array<int64_t, 4>& shape) {
  return "[" + std::to_string(shape[0]) + ", " + std::to_string(shape[1]) + ", " +
         std::to_string(shape[2]) + ", " + std::to_string(shape[3]) + "]";
}

std::string tensor(const char* type, const std::array<int64_t, 4>& shape) {
  return "tensor<" + std::string(type) + ", " + shape_text(shape) + ">";
}

std::string constant(const std::string& type, const std::string& name, const std::string& value) {
  return "    " + type + " " + name + " = const()[name = string(\"" + name + "\"), val = " + type +
         "(" + value + ")];\n";
}

std::string blob_reference(uint64_t offset) {
  return "BLOBFILE(path = string(\"" + std::string(weight_file) + "\"), offset = uint64(" +
         std::to_string(offset) + "))";
}

std::string whole(const std::string& parameters, const std::string& body,
                  const std::string& output) {
  return "program(1.3)\n"
         "[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, "
         "{\"coremlc-version\", \"3505.4.1\"}})]\n"
         "{\n  func main<ios18>(" +
         parameters + ") {\n" + body + "  } -> (" + output + ");\n}\n";
}

int64_t output_channels(const Chain& chain, int64_t layer) {
  return layer + 1 == chain.layers && chain.last_channels > 0 ? chain.last_channels
                                                              : chain.channels;
}

std::array<int64_t, 4> weight_shape(const Chain& chain, int64_t layer) {
  const int64_t rows = output_channels(chain, layer);
  if (chain.product == Product::matmul) return {1, 1, rows, chain.channels};
  return {rows, chain.channels, 1, 1};
}

std::array<int64_t, 4> value_shape(const Chain& chain, int64_t channels) {
  if (chain.product == Product::matmul) return {1, 1, channels, chain.positions};
  return {1, channels, 1, chain.positions};
}

// The constant `name` with its payload, or "" when the weights are inputs.
std::string weight_constant(const Chain& chain, int64_t layer, const std::string& name,
                            Blobs& blobs) {
  const std::array<int64_t, 4> shape = weight_shape(chain, layer);
  const auto count = static_cast<size_t>(output_channels(chain, layer) * chain.channels);
  const double limit = weight_limit(chain.channels);
  uint64_t offset = 0;
  if (chain.weights == WeightForm::fp16) {
    const std::vector<uint16_t> values =
        random_halves(count, limit, static_cast<uint64_t>(layer) + 1);
    std::memcpy(blobs.add(1, count * 2, offset), values.data(), count * 2);
    return constant(tensor("fp16", shape), name, blob_reference(offset));
  }
  if (chain.weights == WeightForm::input) return "";
  uint8_t* bytes = blobs.add(4, count, offset);
  RandomBits generator{0x9e3779b97f4a7c15ULL * (static_cast<uint64_t>(layer) + 1)};
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(generator.next() >> 24);
  std::array<char, 40> scale{};
  std::snprintf(scale.data(), scale.size(), "%.9f", limit / 128);
  return "    " + tensor("fp16", shape) + " " + name +
         " = constexpr_affine_dequantize()[axis = int32(0), name = string(\"" + name +
         "\"), quantized_data = " + tensor("int8", shape) + "(" + blob_reference(offset) +
         "), scale = fp16(" + scale.data() + "), zero_point = int8(0)];\n";
}

std::string shared_constants(Product product) {
  if (product == Product::matmul) {
    return constant("bool", "flip_x", "false") + constant("bool", "flip_y", "false");
  }
  return constant("string", "pad_type", "\"valid\"") +
         constant("tensor<int32, [2]>", "strides", "[1, 1]") +
         constant("tensor<int32, [4]>", "pad", "[0, 0, 0, 0]") +
         constant("tensor<int32, [2]>", "dilations", "[1, 1]") + constant("int32", "groups", "1");
}

std::string product_op(Product product, const std::string& weight, const std::string& value) {
  if (product == Product::matmul) {
    return "matmul(transpose_x = flip_x, transpose_y = flip_y, x = " + weight + ", y = " + value +
           ")";
  }
  return "conv(dilations = dilations, groups = groups, pad = pad, pad_type = pad_type, strides = "
         "strides, weight = " +
         weight + ", x = " + value + ")";
}

// "weight_007": names sort like the layers.
std::string numbered(const char* name, int64_t layer) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%s_%03lld", name, static_cast<long long>(layer));
  return text.data();
}

} // namespace

double weight_limit(int64_t channels) { return std::sqrt(3.0 / static_cast<double>(channels)); }

std::vector<uint16_t> random_halves(size_t count, double limit, uint64_t seed) {
  std::array<uint16_t, 1024> values{};
  for (size_t i = 0; i < values.size(); ++i) {
    const double at = (2.0 * static_cast<double>(i) + 1) / static_cast<double>(values.size()) - 1;
    values[i] = half_bits(at * limit);
  }
  RandomBits generator{0x9e3779b97f4a7c15ULL * (seed + 1)};
  std::vector<uint16_t> result(count);
  for (uint16_t& value : result) value = values[generator.next() >> 22];
  return result;
}

uint64_t chain_flops(const Chain& chain) {
  uint64_t flops = 0;
  for (int64_t layer = 0; layer < chain.layers; ++layer) {
    flops +=
        static_cast<uint64_t>(2 * output_channels(chain, layer) * chain.channels * chain.positions);
  }
  return flops;
}

uint64_t chain_weight_bytes(const Chain& chain) {
  return chain_flops(chain) / (2 * static_cast<uint64_t>(chain.positions)) *
         (chain.weights == WeightForm::int8 ? 1 : 2);
}

Program chain_program(const Chain& chain) {
  Blobs blobs;
  std::string body = shared_constants(chain.product);
  std::string parameters = tensor("fp16", value_shape(chain, chain.channels)) + " x";
  std::string value = "x";
  for (int64_t layer = 0; layer < chain.layers; ++layer) {
    const std::string weight = numbered("weight", layer);
    body += weight_constant(chain, layer, weight, blobs);
    if (chain.weights == WeightForm::input) {
      parameters += ", " + tensor("fp16", weight_shape(chain, layer)) + " " + weight;
    }
    const std::string result = layer + 1 == chain.layers ? "y" : numbered("value", layer);
    body += "    " + tensor("fp16", value_shape(chain, output_channels(chain, layer))) + " " +
            result + " = " + product_op(chain.product, weight, value) + "[name = string(\"" +
            result + "\")];\n";
    value = result;
  }
  const std::string text = whole(parameters, body, "y");
  const anet_blob_file file{weight_file, blobs.bytes().data(), blobs.bytes().size()};
  const size_t files = chain.weights == WeightForm::input ? 0 : 1;
  return create<Program>(anet_program_parse, text.data(), text.size(), &file, files);
}

Program cast_program(const char* from, const char* to, int64_t channels, int64_t positions) {
  const std::array<int64_t, 4> shape = {1, channels, 1, positions};
  const std::string text =
      whole(tensor(from, shape) + " x",
            constant("string", "dtype", "\"" + std::string(to) + "\"") + "    " +
                tensor(to, shape) + " y = cast(dtype = dtype, x = x)[name = string(\"y\")];\n",
            "y");
  return create<Program>(anet_program_parse, text.data(), text.size(), nullptr, size_t{0});
}

} // namespace cli
