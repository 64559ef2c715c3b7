#include "mil/blob.h"

#include "base/status.h"
#include "mil/builder.h"
#include "mil/text.h"

#include <doctest/doctest.h>

#include <array>
#include <cstring>

using namespace anet;
using namespace anet::mil;

namespace {

// A file put together by hand from the table of ane-facts.md 3.3.
class HandFile {
public:
  explicit HandFile(size_t size) : bytes_(size) {}

  HandFile& u32(size_t at, uint32_t value) { return put(at, value, 4); }
  HandFile& u64(size_t at, uint64_t value) { return put(at, value, 8); }
  HandFile& payload(size_t at, std::initializer_list<int> values) {
    for (int value : values) bytes_[at++] = static_cast<std::byte>(value);
    return *this;
  }
  std::vector<std::byte> bytes() const { return bytes_; }

private:
  HandFile& put(size_t at, uint64_t value, size_t width) {
    for (size_t i = 0; i < width; ++i) bytes_[at + i] = static_cast<std::byte>(value >> (8 * i));
    return *this;
  }
  std::vector<std::byte> bytes_;
};

// Two halves at record 64, then five 4-bit elements at record 192.
HandFile two_blobs() {
  HandFile file(320);
  file.u32(0, 2).u32(4, 2);
  file.u32(64, 0xDEADBEEF).u32(68, 1).u64(72, 4).u64(80, 128);
  file.payload(128, {0x00, 0x3c, 0x00, 0xc0}); // 1, -2
  file.u32(192, 0xDEADBEEF).u32(196, 11).u64(200, 3).u64(208, 256).u64(216, 4);
  file.payload(256, {0x21, 0x43, 0x05});
  return file;
}

const Type halves{DataType::fp16, {2}, {}};
const Type nibbles{DataType::uint4, {5}, {}};

Status read_status(const HandFile& file, uint64_t offset, const Type& type) {
  try {
    read_blob(Bytes(file.bytes()), {"w.bin", offset}, type);
  } catch (const Error& error) {
    return error.status();
  }
  return Status::ok;
}

} // namespace

TEST_CASE("the writer's file is the hand-made one, byte for byte") {
  const std::vector<double> half_values{1, -2};
  const std::vector<double> nibble_values{1, 2, 3, 4, 5};
  BlobWriter writer;
  CHECK(writer.add(DataType::fp16, Literal::numbers(halves, half_values).data.view(), 2) == 64);
  CHECK(writer.add(DataType::uint4, Literal::numbers(nibbles, nibble_values).data.view(), 5) ==
        192);
  CHECK(std::move(writer).finish() == two_blobs().bytes());
}

TEST_CASE("the reader takes the hand-made file") {
  const Bytes file(two_blobs().bytes());
  CHECK(read_blob(file, {"w.bin", 64}, halves).numbers() == std::vector<double>{1, -2});
  CHECK(read_blob(file, {"w.bin", 192}, nibbles).numbers() == std::vector<double>{1, 2, 3, 4, 5});
  const BlobRecord record = read_blob_record(file.view(), 192);
  CHECK(record.dtype == DataType::uint4);
  CHECK(record.data_offset == 256);
  CHECK(record.size == 3);
}

TEST_CASE("every type code of the format") {
  const std::vector<std::pair<DataType, uint32_t>> codes{
      {DataType::fp16, 1},   {DataType::fp32, 2},   {DataType::uint8, 3},  {DataType::int8, 4},
      {DataType::bf16, 5},   {DataType::int16, 6},  {DataType::uint16, 7}, {DataType::int4, 8},
      {DataType::uint1, 9},  {DataType::uint2, 10}, {DataType::uint4, 11}, {DataType::uint3, 12},
      {DataType::uint6, 13}, {DataType::int32, 14}, {DataType::uint32, 15}};
  for (const auto& [dtype, code] : codes) {
    CAPTURE(data_type_name(dtype));
    const Literal literal = Literal::fill({dtype, {8}, {}}, 1);
    BlobWriter writer;
    const uint64_t offset = writer.add(dtype, literal.data.view(), 8);
    const std::vector<std::byte> file = std::move(writer).finish();
    uint32_t written = 0;
    std::memcpy(&written, file.data() + offset + 4, 4);
    CHECK(written == code);
    CHECK(read_blob(Bytes(file), {"w", offset}, literal.type).data == literal.data);
  }
}

TEST_CASE("bad blobs are refused") {
  CHECK(read_status(two_blobs(), 64, halves) == Status::ok);
  const auto bad = [](const HandFile& file, uint64_t offset, const Type& type) {
    CHECK(read_status(file, offset, type) == Status::invalid_blob);
  };
  bad(HandFile(0), 64, halves);
  bad(HandFile(63), 0, halves);
  bad(two_blobs().u32(4, 1), 64, halves);      // version
  bad(two_blobs(), 0, halves);                 // the header is no record
  bad(two_blobs(), 128, halves);               // the payload is no record
  bad(two_blobs(), 65, halves);                // unaligned
  bad(two_blobs(), 320, halves);               // past the end
  bad(two_blobs(), ~uint64_t{0} - 63, halves); // wraps around
  bad(two_blobs().u32(64, 0xDEADBEEE), 64, halves);
  bad(two_blobs().u32(68, 0), 64, halves);  // unknown type
  bad(two_blobs().u32(68, 16), 64, halves); // fp8 has no MIL type here
  bad(two_blobs().u32(68, 4), 64, halves);  // another type
  bad(two_blobs().u64(72, 0), 64, halves);  // size is load-bearing
  bad(two_blobs().u64(72, 8), 64, halves);
  bad(two_blobs().u64(80, 0), 64, halves);        // in the header
  bad(two_blobs().u64(80, 129), 64, halves);      // unaligned
  bad(two_blobs().u64(80, 320 + 64), 64, halves); // past the end
  bad(two_blobs().u64(80, ~uint64_t{0} - 63), 64, halves);
  bad(two_blobs().u64(72, ~uint64_t{0}), 64, halves);
  bad(two_blobs(), 64, {DataType::fp16, {3}, {}}); // another size
}

TEST_CASE("the writer refuses what the format cannot hold") {
  BlobWriter writer;
  const std::array<std::byte, 8> bytes{};
  CHECK_THROWS_AS(writer.add(DataType::boolean, bytes, 8), Error);
  CHECK_THROWS_AS(writer.add(DataType::int64, bytes, 1), Error);
  CHECK_THROWS_AS(writer.add(DataType::fp16, bytes, 3), Error);
  CHECK_THROWS_AS(writer.add(DataType::fp16, {}, 0), Error);
}

TEST_CASE("store_in_blobs moves large constants, shares equal ones and keeps their values") {
  Builder builder;
  const ValueId x = builder.input("x", {DataType::fp16, {1, 64, 1, 32}, {}});
  const Literal weight = Literal::fill({DataType::fp16, {64, 64, 1, 1}, {}}, 0.5);
  const ValueId w = builder.constant(weight, "w");
  builder.output(builder.linear(builder.linear(x, w), w), "y");
  Program program = std::move(builder).finish_program();
  program.functions.push_back(program.main()); // shares the weight's memory
  program.functions.back().name = "again";
  const Program before = program;
  store_in_blobs(program, 1024, "w.bin");
  REQUIRE(program.blobs.size() == 1);
  CHECK(program.blobs.at("w.bin").size() == 64 + 64 + 64 * 64 * 2);
  for (const Function& function : program.functions) {
    const Literal* moved = function.constant(function.find("w"));
    REQUIRE(moved != nullptr);
    CHECK(moved->blob == BlobReference{"w.bin", 64});
    CHECK(moved->data == weight.data);
  }
  // Small constants stay inline, and a program without large ones gets no file.
  CHECK(print(program).find("string(\"valid\")") != std::string::npos);
  Program untouched = before;
  store_in_blobs(untouched, int64_t{1} << 30, "w.bin");
  CHECK(untouched == before);
  CHECK(untouched.blobs.empty());
  CHECK_THROWS_AS(store_in_blobs(program, 1, "w.bin"), Error);
}
