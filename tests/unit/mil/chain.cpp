// Functions joined: what is computed stays the same, ports get the names that they are given.
#include "gradient_check.h"

#include "base/status.h"
#include "mil/chain.h"
#include "mil/text.h"

#include <doctest/doctest.h>

namespace {

using namespace anet::mil;
using namespace anet::mil::test;

// y = w x + x, z = 2 w
Function stage(const Shape& shape = {2, 2}) {
  Builder b;
  const ValueId x = b.input("x", fp32(shape)), w = b.input("w", fp32(shape));
  const ValueId product = b.mul(w, x);
  b.output(b.add(product, x), "y");
  b.output(b.mul(w, 2.0), "z");
  return std::move(b).finish();
}

// Two stages of which the second reads what the first returns, and x of both is the same.
Function two_stages(std::span<const std::string> returned = {}) {
  const Function function = stage();
  const ChainLink first{&function, {{"y", "middle"}}};
  const ChainLink second{&function, {{"x", "middle"}, {"w", "w2"}, {"z", "z2"}}};
  return chain(std::vector<ChainLink>{first, second}, returned);
}

std::vector<std::string> names(const Function& function, const std::vector<ValueId>& ids) {
  std::vector<std::string> result;
  for (ValueId id : ids) result.push_back(function.value(id).name);
  return result;
}

std::string error_of(std::span<const ChainLink> links) {
  try {
    chain(links);
  } catch (const anet::Error& error) {
    CHECK(error.status() == anet::Status::invalid_program);
    return error.message();
  }
  return "";
}

} // namespace

TEST_CASE("a chain computes what its functions do one after the other") {
  Random random(3);
  const Function joined = two_stages();
  const TensorMap inputs = random_inputs(joined, random, -1, 1, {});
  const TensorMap results = interpret(joined, inputs, Precision::f64);
  const TensorMap first =
      interpret(stage(), {{"x", inputs.at("x")}, {"w", inputs.at("w")}}, Precision::f64);
  const TensorMap second =
      interpret(stage(), {{"x", first.at("y")}, {"w", inputs.at("w2")}}, Precision::f64);
  REQUIRE(results.size() == 3);
  CHECK(results.at("y").values == second.at("y").values);
  CHECK(results.at("z").values == first.at("z").values);
  CHECK(results.at("z2").values == second.at("z").values);
}

TEST_CASE("its ports have the names that they are given, what lies between goes") {
  const Function joined = two_stages();
  CHECK(names(joined, joined.inputs) == std::vector<std::string>{"x", "w", "w2"});
  CHECK(names(joined, joined.outputs) == std::vector<std::string>{"z", "y", "z2"});
  const std::vector<std::string> returned = {"middle"};
  const Function with_middle = two_stages(returned);
  CHECK(names(with_middle, with_middle.outputs) ==
        std::vector<std::string>{"middle", "z", "y", "z2"});
}

TEST_CASE("inputs of one name are one") {
  const Function function = stage();
  const Function joined =
      chain(std::vector<ChainLink>{{&function, {}}, {&function, {{"y", "y2"}, {"z", "z2"}}}});
  CHECK(names(joined, joined.inputs) == std::vector<std::string>{"x", "w"});
  CHECK(names(joined, joined.outputs) == std::vector<std::string>{"y", "z", "y2", "z2"});
}

TEST_CASE("values inside keep out of the way of ports, and text of a chain is read again") {
  Builder b;
  const ValueId x = b.input("x", fp32({2}));
  b.output(b.unary("exp", b.unary("exp", x, "w"), "inner"), "y"); // "w" is a port of the next
  const Function odd = std::move(b).finish();
  const Function next = stage({2});
  const Function joined =
      chain(std::vector<ChainLink>{{&odd, {}}, {&next, {{"x", "y"}, {"y", "out"}}}});
  CHECK(joined.value(joined.input("w")).producer < 0);
  Program program;
  program.functions.push_back(joined);
  CHECK(parse(print(program)).main() == joined);
}

TEST_CASE("links that do not fit are refused") {
  const Function function = stage(), other = stage({3, 2});
  CHECK(error_of({}).find("seen none") != std::string::npos);
  const std::vector<ChainLink> twice = {{&function, {}}, {&function, {}}};
  CHECK(error_of(twice).find("expected one port 'y'") != std::string::npos);
  const std::vector<ChainLink> unlike = {{&function, {{"y", "middle"}}},
                                         {&other, {{"x", "middle"}}}};
  CHECK(error_of(unlike).find("'middle'") != std::string::npos);
}
