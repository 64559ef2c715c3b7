// Results that nobody has to look at, because others show their infinities.
#include "backend/ane/output_looks.h"

#include "mil/builder.h"

#include <doctest/doctest.h>

#include <functional>
#include <vector>

namespace {

using namespace anet;
using mil::Builder;
using mil::DataType;
using mil::ValueId;

mil::Type half(mil::Shape shape) { return {DataType::fp16, std::move(shape), {}}; }

// h [1, 8, 1, 6] is returned, then what `rest` makes of it; whether h and that are looked at.
std::vector<bool> looks(const std::function<ValueId(Builder&, ValueId)>& rest) {
  Builder b;
  const ValueId x = b.input("x", half({1, 8, 1, 6}));
  const ValueId h = b.mul(x, x);
  b.output(h, "h");
  b.output(rest(b, h), "y");
  return backend::ane::outputs_to_look_at(std::move(b).finish());
}

ValueId convolved(Builder& b, ValueId x, int64_t in, int64_t out) {
  return b.linear(x, b.input("w", half({out, in, 1, 1})));
}

// A convolution that reads every position, or every other one.
ValueId strided(Builder& b, ValueId x, int64_t stride) {
  const auto integers = [&](const std::vector<int64_t>& values) {
    return b.constant(mil::Literal::int32s(values));
  };
  return b.add("conv", {{"x", x},
                        {"weight", b.input("w", half({3, 8, 1, 1}))},
                        {"strides", integers({1, stride})},
                        {"pad_type", b.constant(mil::Literal::string("valid"))},
                        {"pad", integers({0, 0, 0, 0})},
                        {"dilations", integers({1, 1})},
                        {"groups", b.scalar(DataType::int32, 1)}});
}

} // namespace

TEST_CASE("what a product of whole positions or a sum leads to shows its infinities") {
  const std::vector<bool> second{false, true};
  CHECK(looks([](Builder& b, ValueId h) { return convolved(b, h, 8, 3); }) == second);
  CHECK(looks([](Builder& b, ValueId h) {
          return b.add(b.input("r", half({1, 3, 1, 6})), convolved(b, h, 8, 3));
        }) == second);
  CHECK(looks([](Builder& b, ValueId h) {
          const ValueId image = b.reshape(b.reshape(h, {1, 8, 6}), {1, 8, 6, 1});
          return convolved(b, b.transpose(image, {0, 1, 3, 2}), 8, 3);
        }) == second);
}

TEST_CASE("anything else may hide them") {
  const std::vector<bool> both{true, true};
  CHECK(looks([](Builder& b, ValueId h) { return b.unary("relu", h); }) == both);
  CHECK(looks([](Builder& b, ValueId h) { return b.sub(h, h); }) == both);
  CHECK(looks([](Builder& b, ValueId h) { return b.mul(h, 0.5); }) == both);
  CHECK(looks([](Builder& b, ValueId h) {
          return b.matmul(h, b.input("p", half({1, 8, 6, 6})), false, false);
        }) == both);
  CHECK(looks([](Builder& b, ValueId h) {
          return convolved(b, b.slice_by_size(h, {0, 0, 0, 0}, {1, 4, 1, 6}), 4, 3);
        }) == both);
  CHECK(looks([](Builder& b, ValueId h) { // as a weight
          return b.linear(b.input("r", half({1, 8, 1, 6})), b.reshape(h, {6, 8, 1, 1}));
        }) == both);
  CHECK(looks([](Builder& b, ValueId h) { return strided(b, h, 2); }) == both);
  CHECK(looks([](Builder& b, ValueId h) { return strided(b, h, 1); }) != both);
}

TEST_CASE("of outputs with the same elements one is looked at") {
  const std::vector<bool> first{true, false};
  CHECK(looks([](Builder& b, ValueId h) { return b.transpose(h, {0, 3, 2, 1}); }) == first);
  CHECK(looks([](Builder& b, ValueId h) {
          return b.reshape(b.transpose(h, {0, 3, 2, 1}), {1, 1, 6, 8});
        }) == first);
}

TEST_CASE("results that are small by nature are not looked at") {
  const std::vector<bool> first{true, false};
  CHECK(looks([](Builder& b, ValueId h) { return b.softmax(h, 1); }) == first);
  CHECK(looks([](Builder& b, ValueId h) {
          return b.transpose(b.unary("tanh", h), {0, 3, 2, 1});
        }) == first);
}
