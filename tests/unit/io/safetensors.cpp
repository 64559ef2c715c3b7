#include "io/safetensors.h"

#include "base/random.h"
#include "test_files.h"

#include <cstring>
#include <doctest/doctest.h>
#include <filesystem>
#include <numeric>

using namespace anet;
using namespace anet::io;
using namespace anet::test;
using mil::DataType;

namespace {

const std::string golden = "tests/golden/safetensors/";

TensorView view_of(std::string name, DataType dtype, mil::Shape shape,
                   std::span<const std::byte> data) {
  TensorView view;
  view.name = std::move(name);
  view.dtype = dtype;
  view.shape = std::move(shape);
  view.data = data;
  return view;
}

// header size, header, data
std::string file_of(const std::string& header, const std::string& data) {
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header + data;
}

} // namespace

TEST_CASE("a file of the safetensors package is read") {
  const SafetensorsReader reader(golden + "good.safetensors");
  CHECK(reader.metadata() == Metadata{{"format", "pt"}, {"note", "caf\xC3\xA9 \"quoted\""}});
  CHECK(reader.entries().size() == 8);
  // The values of make.py. 65504 is no bfloat16; the nearest is 65536.
  const std::vector<float> values = {1.5f, -2.0f, 0.0f, 65504.0f, 0x1p-24f, -0.25f};
  std::vector<float> rounded = values;
  rounded[3] = 65536.0f;
  CHECK(to_float(reader.tensor("weight")) == values);
  CHECK(to_float(reader.tensor("half")) == values);
  CHECK(to_float(reader.tensor("brain")) == rounded);
  CHECK(reader.tensor("weight").shape == mil::Shape{2, 3});
  CHECK(reader.tensor("brain").dtype == DataType::bf16);
  CHECK(reader.tensor("scalar").shape.empty());
  CHECK(to_float(reader.tensor("scalar")) == std::vector<float>{3.25f});
  CHECK(reader.tensor("empty").shape == mil::Shape{0, 4});
  CHECK(reader.tensor("empty").data.empty());
  CHECK(reader.tensor("bytes").data[1] == std::byte{255});
  int32_t last = 0;
  std::memcpy(&last, reader.tensor("ids").data.data() + 8, 4);
  CHECK(last == 2147483647);
  // Readable file, unusable tensor: an error only when it is asked for.
  CHECK(reader.find("double")->dtype == "F64");
  CHECK(error_of([&] { reader.tensor("double"); })->status() == Status::type_mismatch);
  CHECK(error_of([&] { reader.tensor("none"); })->status() == Status::not_found);
  CHECK(error_of([&] { to_float(reader.tensor("ids")); })->status() == Status::type_mismatch);
  std::vector<float> five(5);
  CHECK(error_of([&] { copy_to_float(reader.tensor("weight"), five); })->status() ==
        Status::shape_mismatch);
}

TEST_CASE("hostile files are refused") {
  int count = 0;
  for (const auto& file : std::filesystem::directory_iterator(golden)) {
    const std::string name = file.path().filename().string();
    if (!name.starts_with("bad_")) continue;
    ++count;
    const auto error = error_of([&] { SafetensorsReader reader(file.path().string()); });
    REQUIRE_MESSAGE(error, name);
    CHECK_MESSAGE(error->status() == Status::invalid_data, name, ": ", error->message());
    CHECK_MESSAGE(error->message().find(name) != std::string::npos, name);
  }
  CHECK(count == 26);
  const std::string missing = golden + "none.safetensors";
  CHECK(error_of([&] { SafetensorsReader reader(missing); })->status() == Status::file_not_found);
}

TEST_CASE("messages say what was expected and seen") {
  const auto message = [](const std::string& header, const std::string& data) {
    const std::string file = file_of(header, data);
    return message_of([&] { SafetensorsReader reader(as_bytes(file), "x"); });
  };
  CHECK(message(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "12345678") ==
        "expected 12 bytes for F32 of shape [3], seen 8 at 'x: a'");
  CHECK(message(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", "123") ==
        "x: expected tensor 'a' at offset 0, seen 1");
  CHECK(message(R"({"a":{"dtype":"U8","shape":["2"],"data_offsets":[0,2]}})", "12") ==
        "expected an integer at 'x: a.shape[0]', seen a string");
  CHECK(message("{}", "1") == "x: expected 0 bytes of tensor data, seen 1");
  CHECK(message("{}  ", "") == "no error"); // padding
  // A type from the future, of unknown size: the file can be read, the tensor cannot.
  const std::string future =
      file_of(R"({"a":{"dtype":"F128","shape":[2],"data_offsets":[0,3]}})", "123");
  const SafetensorsReader reader(as_bytes(future), "x");
  CHECK(message_of([&] { reader.tensor("a"); }) == "x: cannot use tensor 'a' of type F128");
}

TEST_CASE("damaged files are refused or read within their bounds") {
  const std::string file = get(golden + "good.safetensors");
  const Random random(1);
  for (uint64_t round = 0; round < 20000; ++round) {
    std::string damaged = file;
    for (uint64_t change = 0; change <= round % 3; ++change)
      damaged[random.below_at(round * 8 + change, 400)] =
          static_cast<char>(random.bits_at(round * 8 + 4 + change));
    if (round % 5 == 0) damaged.resize(random.below_at(round * 8 + 3, file.size()));
    try {
      const SafetensorsReader reader(as_bytes(damaged), "x");
      for (const SafetensorsEntry& entry : reader.entries()) {
        if (entry.dtype != "F32" && entry.dtype != "F16") continue;
        const TensorView tensor = reader.tensor(entry);
        REQUIRE(reinterpret_cast<const char*>(tensor.data.data()) >= damaged.data());
        REQUIRE(reinterpret_cast<const char*>(tensor.data.data()) + tensor.data.size() <=
                damaged.data() + damaged.size());
        to_float(tensor);
      }
    } catch (const Error& error) {
      if (error.status() != Status::invalid_data) FAIL(error.message());
    }
  }
}

TEST_CASE("what is written is laid out as the reference lays it out") {
  const TemporaryDirectory root;
  const SafetensorsReader original(golden + "good.safetensors");
  std::vector<TensorView> tensors;
  for (const SafetensorsEntry& entry : original.entries())
    if (entry.dtype != "F64") tensors.push_back(original.tensor(entry));
  std::reverse(tensors.begin(), tensors.end());
  save_safetensors(root / "copy.safetensors", tensors, {{"key", "value"}});
  const SafetensorsReader copy(root / "copy.safetensors");
  CHECK(copy.metadata() == Metadata{{"format", "pt"}, {"key", "value"}});
  std::vector<std::string> names;
  for (const SafetensorsEntry& entry : copy.entries()) {
    names.push_back(entry.name);
    const TensorView expected = original.tensor(entry.name);
    const TensorView seen = copy.tensor(entry);
    CHECK(static_cast<const TensorInfo&>(seen) == static_cast<const TensorInfo&>(expected));
    CHECK(
        std::equal(seen.data.begin(), seen.data.end(), expected.data.begin(), expected.data.end()));
    CHECK(reinterpret_cast<uintptr_t>(seen.data.data()) % 2 == 0);
  }
  // Widest element first, then by name; the empty one sorts among its width.
  CHECK(names ==
        std::vector<std::string>{"empty", "ids", "scalar", "weight", "brain", "half", "bytes"});
  CHECK(root.names() == std::vector<std::string>{"copy.safetensors"});
}

TEST_CASE("our bytes are those of the safetensors package") {
  const TemporaryDirectory root;
  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  const std::vector<float> scalar = {1.5f};
  save_safetensors(root / "f",
                   std::vector{float_tensor("b", {2, 3}, values), float_tensor("a", {}, scalar)});
  CHECK(get(root / "f") == get(golden + "canonical.safetensors"));
}

TEST_CASE("the bytes of a file are those of the format") {
  const TemporaryDirectory root;
  const std::vector<float> values = {1.0f, 2.0f};
  save_safetensors(root / "f", std::vector{float_tensor("w", {2}, values)});
  const std::string header = R"({"__metadata__":{"format":"pt"},)"
                             R"("w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  const std::string data("\0\0\x80\x3f\0\0\0\x40", 8);
  CHECK(get(root / "f") == file_of(padded, data));
}

TEST_CASE("tensors stream in pieces, in their order, all of them") {
  const TemporaryDirectory root;
  const std::string path = root / "f";
  const std::vector<TensorInfo> infos = {
      {"b", DataType::fp32, {4}}, {"a", DataType::fp32, {2}}, {"none", DataType::fp32, {0}}};
  std::vector<float> values(4);
  std::iota(values.begin(), values.end(), 1.0f);
  const auto bytes = std::as_bytes(std::span(values));
  {
    AtomicFile file(path);
    SafetensorsWriter writer(file, infos);
    CHECK(writer.order()[0].name == "a");
    CHECK(message_of([&] { writer.write("b", bytes); }) ==
          "expected bytes of tensor 'a', seen 'b'");
    CHECK(message_of([&] { writer.write("a", bytes); }) ==
          "expected at most 8 more bytes of tensor 'a', seen 16");
    writer.write("a", bytes.first(3));
    CHECK(message_of([&] { writer.finish(); }) == "expected 8 bytes of tensor 'a', seen 3");
    writer.write("a", bytes.subspan(3, 5));
    writer.write("b", bytes);
    CHECK(message_of([&] { writer.write("b", bytes); }) == "expected no more tensors, seen 'b'");
    writer.finish();
    file.commit();
  }
  const SafetensorsReader reader(path);
  CHECK(to_float(reader.tensor("a")) == std::vector<float>{1, 2});
  CHECK(to_float(reader.tensor("b")) == values);
  CHECK(reader.contains("none"));
}

TEST_CASE("what the format cannot hold is refused") {
  const TemporaryDirectory root;
  const std::vector<float> values(2);
  const auto bytes = std::as_bytes(std::span(values));
  const auto status = [&](std::vector<TensorView> tensors) {
    const auto error = error_of([&] { save_safetensors(root / "f", tensors); });
    return error ? error->status() : Status::ok;
  };
  CHECK(status({view_of("a", DataType::fp32, {3}, bytes)}) == Status::shape_mismatch);
  CHECK(status({view_of("a", DataType::int4, {16}, bytes)}) == Status::type_mismatch);
  CHECK(status({view_of("a", DataType::fp32, {-2}, bytes)}) == Status::invalid_argument);
  CHECK(status({view_of("a", DataType::fp32, {2}, bytes),
                view_of("a", DataType::fp32, {2}, bytes)}) == Status::invalid_argument);
  CHECK(status({view_of("__metadata__", DataType::fp32, {2}, bytes)}) == Status::invalid_argument);
  CHECK(status({view_of("\xff", DataType::fp32, {2}, bytes)}) == Status::invalid_argument);
  CHECK(root.names().empty()); // nothing half-written stays
  CHECK(error_of([&] { float_tensor("a", {3}, values); })->status() == Status::shape_mismatch);
}
