#include "mil/type.h"

#include "base/status.h"

#include <doctest/doctest.h>

using namespace anet;
using namespace anet::mil;

TEST_CASE("element types have names and widths") {
  for (int i = 0; i <= static_cast<int>(DataType::fp32); ++i) {
    const auto dtype = static_cast<DataType>(i);
    CHECK(data_type_from_name(data_type_name(dtype)) == dtype);
  }
  CHECK_FALSE(data_type_from_name("fp64").has_value());
  CHECK(data_type_bits(DataType::uint6) == 6);
  CHECK(data_type_bits(DataType::boolean) == 8);
  CHECK(data_type_bits(DataType::string) == 0);
  CHECK(is_floating(DataType::bf16));
  CHECK_FALSE(is_floating(DataType::int4));
  CHECK(is_integer(DataType::int4));
  CHECK(is_integer(DataType::uint64));
  CHECK_FALSE(is_integer(DataType::boolean));
}

TEST_CASE("sizes and strides") {
  CHECK(element_count({}) == 1);
  CHECK(element_count({2, 3, 4}) == 24);
  CHECK(contiguous_strides({2, 3, 4}) == std::vector<int64_t>{12, 4, 1});
  CHECK(contiguous_strides({}).empty());
  CHECK(Type{DataType::fp16, {3, 5}, {}}.bytes() == 30);
  CHECK(Type{DataType::uint3, {3}, {}}.bytes() == 2); // 9 bits
  CHECK(Type{DataType::int4, {2, 2}, {}}.bytes() == 2);
}

TEST_CASE("sizes that overflow are refused, not computed") {
  CHECK(checked_element_count({2, 3}) == 6);
  CHECK(checked_element_count({}) == 1);
  CHECK(checked_element_count({max_extent}) == max_extent);
  CHECK_FALSE(checked_element_count({max_extent + 1}).has_value());
  CHECK_FALSE(checked_element_count({0}).has_value());
  CHECK_FALSE(checked_element_count({-1, -1}).has_value());
  CHECK_FALSE(checked_element_count({max_extent, max_extent, max_extent}).has_value());
  CHECK_FALSE(checked_element_count({int64_t{1} << 24, int64_t{1} << 25}).has_value());
  CHECK(checked_element_count({int64_t{1} << 24, int64_t{1} << 24}) == max_elements);
  CHECK_THROWS_AS(check_type({DataType::fp16, Shape(max_rank + 1, 1), {}}), Error);
  CHECK_NOTHROW(check_type({DataType::fp16, Shape(max_rank, 1), {}}));
}

TEST_CASE("layouts must have one stride and factor an axis") {
  const Shape shape{2, 4};
  CHECK_NOTHROW(check_type({DataType::fp16, shape, BufferLayout{{32, 1}, {1, 1}}}));
  CHECK_THROWS_AS(check_type({DataType::fp16, shape, BufferLayout{{32}, {1, 1}}}), Error);
  CHECK_THROWS_AS(check_type({DataType::fp16, shape, BufferLayout{{32, 1}, {1}}}), Error);
  CHECK_THROWS_AS(check_type({DataType::fp16, shape, BufferLayout{{32, 0}, {1, 1}}}), Error);
  CHECK_THROWS_AS(check_type({DataType::fp16, shape, BufferLayout{{32, 1}, {1, 256}}}), Error);
}

TEST_CASE("types in MIL spelling") {
  CHECK(type_to_string({DataType::int32, {}, {}}) == "int32");
  CHECK(type_to_string({DataType::fp16, {1, 768, 1, 256}, {}}) == "tensor<fp16, [1, 768, 1, 256]>");
  CHECK(type_to_string({DataType::fp16, {2, 4}, BufferLayout{{32, 1}, {1, 1}}}) ==
        "tensor_buffer<fp16, shape=[2, 4], strides=[32, 1], interleave_factors=[1, 1]>");
}
