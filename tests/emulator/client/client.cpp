#include "client.h"

#include "../ane_emulator.h"

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace client {

double half_to_double(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int mantissa = half & 1023;
  const double sign = (half & 0x8000) != 0 ? -1 : 1;
  if (exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

// The nearest of all 65536, ties to an even pattern; by bisection, as positive patterns are in
// order.
uint16_t double_to_half(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  if (std::isnan(value)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  uint16_t low = 0;
  uint16_t high = 0x7c00;
  while (high - low > 1) {
    const auto middle = static_cast<uint16_t>((low + high) / 2);
    (half_to_double(middle) <= magnitude ? low : high) = middle;
  }
  const double below = magnitude - half_to_double(low);
  const double above = (high == 0x7c00 ? 65536 : half_to_double(high)) - magnitude;
  const bool up = above < below || (above == below && (low & 1) != 0);
  return sign | (up ? high : low);
}

double as_half(double value) { return half_to_double(double_to_half(value)); }

int64_t port_bytes(const Port& port) { return port.batches * port.batch_stride; }
int64_t port_elements(const Port& port) {
  return port.batches * port.channels * port.depth * port.height * port.width;
}

namespace {

void write_file(const std::filesystem::path& path, const std::vector<uint8_t>& bytes) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  REQUIRE(stream.good());
}

bool is_type(const Port& port, const char* type) { return std::string(port.type) == type; }

void write_element(const Port& port, uint8_t* at, double value) {
  if (is_type(port, "Float16")) {
    const uint16_t half = double_to_half(value);
    std::memcpy(at, &half, 2);
  } else if (is_type(port, "Float32")) {
    const auto number = static_cast<float>(value);
    std::memcpy(at, &number, 4);
  } else {
    *at = static_cast<uint8_t>(static_cast<int>(value));
  }
}

double read_element(const Port& port, const uint8_t* at) {
  if (is_type(port, "Float16")) {
    uint16_t half;
    std::memcpy(&half, at, 2);
    return half_to_double(half);
  }
  if (is_type(port, "Float32")) {
    float number;
    std::memcpy(&number, at, 4);
    return number;
  }
  return is_type(port, "Int8") ? static_cast<int8_t>(*at) : *at;
}

int64_t element_size(const Port& port) {
  return is_type(port, "Float16") ? 2 : is_type(port, "Float32") ? 4 : 1;
}

template <typename Element>
void each_element(const Port& port, Element element) {
  REQUIRE(port.depth == 1);
  int64_t index = 0;
  for (int64_t n = 0; n < port.batches; ++n) {
    for (int64_t c = 0; c < port.channels; ++c) {
      for (int64_t h = 0; h < port.height; ++h) {
        const int64_t row = n * port.batch_stride + c * port.plane_stride + h * port.row_stride;
        for (int64_t w = 0; w < port.width; ++w) element(index++, row + w * element_size(port));
      }
    }
  }
}

} // namespace

Surface::Surface(int64_t bytes) : surface_(bridge_surface(bytes, 1, 1, bytes, bytes)) {
  REQUIRE(surface_ != nullptr);
}

Surface::~Surface() {
  if (surface_ != nullptr) CFRelease(surface_);
}

void Surface::write(const Port& port, const std::vector<double>& values) {
  REQUIRE(static_cast<int64_t>(values.size()) == port_elements(port));
  REQUIRE(IOSurfaceLock(surface_, 0, nullptr) == 0);
  each_element(port, [&](int64_t index, int64_t offset) {
    write_element(port, bytes() + offset, values[static_cast<size_t>(index)]);
  });
  REQUIRE(IOSurfaceUnlock(surface_, 0, nullptr) == 0);
}

std::vector<double> Surface::read(const Port& port) const {
  std::vector<double> values(static_cast<size_t>(port_elements(port)));
  REQUIRE(IOSurfaceLock(surface_, 1, nullptr) == 0);
  each_element(port, [&](int64_t index, int64_t offset) {
    values[static_cast<size_t>(index)] = read_element(port, bytes() + offset);
  });
  REQUIRE(IOSurfaceUnlock(surface_, 1, nullptr) == 0);
  return values;
}

Model::Model(const std::string& text, const Files& files) {
  const Pool pool;
  std::vector<std::string> keys;
  for (const auto& [name, bytes] : files) keys.push_back("@model_path/weights/" + name);
  std::vector<bridge_file> entries;
  for (const auto& [name, bytes] : files) {
    entries.push_back({keys[entries.size()].c_str(), bytes.data(), bytes.size()});
  }
  void* descriptor =
      bridge_descriptor(text.data(), text.size(), entries.data(), static_cast<int>(entries.size()));
  REQUIRE(descriptor != nullptr);
  model_ = bridge_model(descriptor);
  REQUIRE(model_ != nullptr);
  const std::filesystem::path folder = directory();
  std::filesystem::create_directories(folder / "weights");
  write_file(folder / "model.mil", {text.begin(), text.end()});
  for (const auto& [name, bytes] : files) write_file(folder / "weights" / name, bytes);
}

Model::~Model() {
  std::error_code ignored;
  std::filesystem::remove_all(directory(), ignored);
  bridge_release(model_);
}

// By the rule, not from -localModelPath, which is tested against it.
std::string Model::directory() const {
  const Pool pool;
  const char* temporary = std::getenv("TMPDIR");
  const std::filesystem::path base = temporary != nullptr ? temporary : "/tmp";
  return (base / bridge_text(model_, "hexStringIdentifier")).string();
}

bool Model::compile() {
  const Pool pool;
  return bridge_compile(model_, &failure_) != 0;
}

bool Model::load() {
  const Pool pool;
  return bridge_load(model_, &failure_) != 0;
}

bool Model::unload() {
  const Pool pool;
  return bridge_unload(model_, &failure_) != 0;
}

bool Model::evaluate(void* request) { return bridge_evaluate(model_, request, &failure_) != 0; }

void Model::ready() {
  const bool compiled = compile();
  INFO(ane_emulator_last_refusal());
  REQUIRE(compiled);
  REQUIRE(load());
}

namespace {

std::vector<Port> ports(void* model, int procedure, int output) {
  const Pool pool;
  std::vector<Port> result(256);
  result.resize(static_cast<size_t>(bridge_ports(model, procedure, output, result.data(), 256)));
  return result;
}

} // namespace

std::vector<Port> Model::inputs(int procedure) const { return ports(model_, procedure, 0); }
std::vector<Port> Model::outputs(int procedure) const { return ports(model_, procedure, 1); }

void* make_request(const std::vector<Port>& inputs, const std::vector<Surface>& input_surfaces,
                   const std::vector<Port>& outputs, const std::vector<Surface>& output_surfaces,
                   int procedure, long offset) {
  const auto addresses = [](const std::vector<Surface>& surfaces) {
    std::vector<void*> list;
    for (const Surface& surface : surfaces) list.push_back(surface.get());
    return list;
  };
  const auto symbols = [](const std::vector<Port>& list) {
    std::vector<int64_t> result;
    for (const Port& port : list) result.push_back(port.symbol);
    return result;
  };
  REQUIRE(inputs.size() == input_surfaces.size());
  REQUIRE(outputs.size() == output_surfaces.size());
  return bridge_request(addresses(input_surfaces).data(), symbols(inputs).data(),
                        static_cast<int>(inputs.size()), addresses(output_surfaces).data(),
                        symbols(outputs).data(), static_cast<int>(outputs.size()), procedure,
                        offset);
}

bool Model::run(const Values& given, Values& results, int procedure) {
  const Pool pool;
  const std::vector<Port> in = inputs(procedure);
  const std::vector<Port> out = outputs(procedure);
  std::vector<Surface> in_surfaces;
  std::vector<Surface> out_surfaces;
  for (const Port& port : in) {
    in_surfaces.emplace_back(port_bytes(port));
    REQUIRE(given.contains(port.name));
    in_surfaces.back().write(port, given.at(port.name));
  }
  for (const Port& port : out) out_surfaces.emplace_back(port_bytes(port));
  if (!evaluate(make_request(in, in_surfaces, out, out_surfaces, procedure))) return false;
  for (size_t i = 0; i < out.size(); ++i) results[out[i].name] = out_surfaces[i].read(out[i]);
  return true;
}

Values Model::run(const Values& given, int procedure) {
  Values results;
  const bool succeeded = run(given, results, procedure);
  INFO(failure_.text);
  REQUIRE(succeeded);
  return results;
}

std::string program(const std::string& parameters, const std::string& body,
                    const std::string& results) {
  return "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", "
         "\"3510.2.1\"}})]\n{\n"
         "    func main<ios18>(" +
         parameters + ") {\n" + body + "    } -> (" + results + ");\n}\n";
}

BlobFile::BlobFile() : bytes(64, 0) {
  bytes[0] = 1;
  bytes[4] = 2;
}

uint64_t BlobFile::add(uint32_t dtype, const std::vector<uint8_t>& payload, uint64_t padding_bits) {
  bytes.resize((bytes.size() + 63) / 64 * 64, 0);
  const uint64_t offset = bytes.size();
  bytes.resize(offset + 64, 0);
  const auto put = [&](uint64_t at, uint64_t value, int size) {
    for (int i = 0; i < size; ++i)
      bytes[offset + at + static_cast<uint64_t>(i)] = static_cast<uint8_t>(value >> (8 * i));
  };
  put(0, 0xDEADBEEF, 4);
  put(4, dtype, 4);
  put(8, payload.size(), 8);
  put(16, offset + 64, 8);
  put(24, padding_bits, 8);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return offset;
}

std::vector<uint8_t> halves(const std::vector<double>& values) {
  std::vector<uint8_t> result;
  for (const double value : values) {
    const uint16_t half = double_to_half(value);
    result.push_back(static_cast<uint8_t>(half));
    result.push_back(static_cast<uint8_t>(half >> 8));
  }
  return result;
}

std::vector<double> sequence(int64_t count, uint64_t seed) {
  std::vector<double> values;
  uint64_t state = seed * 2654435761u + 12345;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    values.push_back(
        as_half(static_cast<double>(static_cast<int64_t>(state >> 40) - (1 << 23)) / (1 << 23)));
  }
  return values;
}

Reset::Reset() { ane_emulator_reset(); }
Reset::~Reset() { ane_emulator_reset(); }

} // namespace client

#ifdef __SANITIZE_ADDRESS__
// GCC's Objective-C runtime keeps its tables of classes where the sanitizer does not look. What the
// emulator and GNUstep allocate themselves is still checked.
extern "C" __attribute__((visibility("default"))) const char* __lsan_default_suppressions() {
  return "leak:libobjc.so\n";
}
#endif

// "--describe class selector meta" prints a method's type encoding: tests of what the environment
// variable does need another process.
int main(int argc, char** argv) {
  if (argc == 5 && std::string(argv[1]) == "--describe") {
    const char* encoding = bridge_encoding(argv[2], argv[3], std::atoi(argv[4]));
    std::puts(encoding != nullptr              ? encoding
              : bridge_has_class(argv[2]) != 0 ? "no method"
                                               : "no class");
    return 0;
  }
  return doctest::Context(argc, argv).run();
}
