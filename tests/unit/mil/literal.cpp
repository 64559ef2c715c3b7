#include "mil/literal.h"

#include "base/status.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace anet;
using namespace anet::mil;

namespace {

std::vector<int> bytes_of(const Literal& literal) {
  std::vector<int> bytes;
  for (std::byte byte : literal.data.view()) bytes.push_back(std::to_integer<int>(byte));
  return bytes;
}

template <typename Call>
Status status_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.status();
  }
  return Status::ok;
}

} // namespace

TEST_CASE("literals are dense, little-endian, row-major") {
  CHECK(bytes_of(Literal::int32(-2)) == std::vector<int>{0xfe, 0xff, 0xff, 0xff});
  CHECK(bytes_of(Literal::scalar(DataType::fp16, 1)) == std::vector<int>{0x00, 0x3c});
  CHECK(bytes_of(Literal::scalar(DataType::bf16, 1)) == std::vector<int>{0x80, 0x3f});
  CHECK(bytes_of(Literal::boolean(true)) == std::vector<int>{1});
}

TEST_CASE("sub-byte elements are packed, low bits first") {
  const std::vector<double> small{1, 2, 3};
  CHECK(bytes_of(Literal::numbers({DataType::uint4, {3}, {}}, small)) == std::vector<int>{0x21, 3});
  // 1 | 2 << 3 | 3 << 6 = 0xd1
  CHECK(bytes_of(Literal::numbers({DataType::uint3, {3}, {}}, small)) == std::vector<int>{0xd1, 0});
  const std::vector<double> wide{63, 0, 33, 1};
  const Literal six = Literal::numbers({DataType::uint6, {4}, {}}, wide);
  CHECK(bytes_of(six) == std::vector<int>{0x3f, 0x10, 0x06}); // 63 | 33 << 12 | 1 << 18
  CHECK(six.numbers() == wide);
  const std::vector<double> negative{-8, 7, -1};
  CHECK(Literal::numbers({DataType::int4, {3}, {}}, negative).numbers() == negative);
}

TEST_CASE("numbers round once, to nearest even") {
  CHECK(Literal::scalar(DataType::fp32, 0.1).number() == static_cast<double>(0.1f));
  CHECK(Literal::scalar(DataType::fp16, 1 + 0x1p-11).number() == 1); // tie to even
  CHECK(Literal::scalar(DataType::fp16, 1 + 0x1p-11 + 0x1p-40).number() == 1 + 0x1p-10);
  CHECK(Literal::scalar(DataType::bf16, 1 + 0x1p-8).number() == 1); // tie to even
  CHECK(Literal::scalar(DataType::bf16, 1 + 0x1p-8 + 0x1p-40).number() == 1 + 0x1p-7);
  CHECK(Literal::scalar(DataType::bf16, 1 + 0x1p-8 - 0x1p-40).number() == 1);
  CHECK(Literal::scalar(DataType::bf16, -(1 + 0x1p-8 + 0x1p-40)).number() == -(1 + 0x1p-7));
  CHECK(std::isinf(Literal::scalar(DataType::fp16, 1e6).number()));
  CHECK(Literal::scalar(DataType::int32, 2.5).integer() == 2);
}

TEST_CASE("integers that do not fit are refused") {
  const auto scalar = [](DataType dtype, double value) {
    return status_of([&] { Literal::scalar(dtype, value); });
  };
  CHECK(scalar(DataType::int8, 127) == Status::ok);
  CHECK(scalar(DataType::int8, 128) == Status::out_of_range);
  CHECK(scalar(DataType::int8, -128) == Status::ok);
  CHECK(scalar(DataType::uint8, -1) == Status::out_of_range);
  CHECK(scalar(DataType::uint64, 0x1p64) == Status::out_of_range);
  CHECK(scalar(DataType::int64, 0x1p63) == Status::out_of_range);
  CHECK(scalar(DataType::int64, -0x1p63) == Status::ok);
  CHECK(scalar(DataType::int32, std::numeric_limits<double>::quiet_NaN()) == Status::out_of_range);
  CHECK(scalar(DataType::string, 1) == Status::type_mismatch);
}

TEST_CASE("readers convert or refuse") {
  const std::vector<int64_t> values{-3, 0, 2147483647};
  CHECK(Literal::int32s(values).integers() == values);
  CHECK(Literal::scalar(DataType::fp32, 3).integer() == 3);
  CHECK(status_of([] { Literal::scalar(DataType::fp32, 3.5).integer(); }) == Status::type_mismatch);
  CHECK(status_of([&] { Literal::int32s(values).integer(); }) == Status::shape_mismatch);
  CHECK(status_of([] { Literal::string("x").number(); }) == Status::type_mismatch);
  CHECK(status_of([] { Literal::int32(1).string(); }) == Status::type_mismatch);
  CHECK(status_of([] { Literal::int32(1).boolean(); }) == Status::type_mismatch);
  CHECK(status_of([] { Literal::int32(1).number(1); }) == Status::out_of_range);
  const std::vector<uint64_t> large{std::numeric_limits<uint64_t>::max()};
  CHECK(status_of([&] {
          Literal::from_bits({DataType::uint64, {}, {}}, large).integer();
        }) == Status::out_of_range);
  CHECK(Literal::string("same").string() == "same");
  CHECK(Literal::dictionary({}).is_dictionary());
  CHECK_FALSE(Literal::string("").is_dictionary());
}

TEST_CASE("payloads must have the type's size") {
  const std::vector<double> two{1, 2};
  CHECK(status_of([&] {
          Literal::numbers({DataType::fp16, {3}, {}}, two);
        }) == Status::shape_mismatch);
  CHECK(status_of([] {
          Literal::bytes({DataType::fp16, {3}, {}}, Bytes(std::vector<std::byte>(5)));
        }) == Status::shape_mismatch);
}

TEST_CASE("copies share their bytes and outlive the original") {
  Literal copy;
  {
    const Literal original = Literal::fill({DataType::fp32, {1000}, {}}, 2);
    copy = original;
    CHECK(copy.data.view().data() == original.data.view().data());
  }
  CHECK(copy.number(999) == 2);
}
