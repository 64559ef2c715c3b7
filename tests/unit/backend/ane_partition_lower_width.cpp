// What lowering does where rows keep their length: reshape, concat and slices that change the width
// do not compile on M2 Max and M3 Ultra (ane-facts.md 4.4).
#include "ane_lowered.h"
#include "mil/op_table.h"
#include "support.h"

#include <doctest/doctest.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using ane::Rules;
using mil::Builder;
using mil::ValueId;

namespace {

Type half(Shape shape) { return {DataType::fp16, std::move(shape), {}}; }

// Something is computed on both sides, so that no port can take the other shape.
Function reshaped(const Shape& from, const Shape& to) {
  Builder b;
  const ValueId x = b.unary("relu", b.input("x", half(from)));
  b.output(b.reduce("reduce_max", b.reshape(x, to), {-1}, true), "largest");
  b.output(b.reshape(x, to), "out");
  return std::move(b).finish();
}

// Elements only move: nothing may differ. The rules are checked by compare_lowered.
void check_exact(const Function& function, const Rules& rules) {
  REQUIRE(why_not(function, rules) == "");
  Random random(5);
  const LoweredError error = compare_lowered(function, rules, random_inputs(random, function));
  CHECK(error.exact == 0);
  CHECK(error.half == 0);
}

int64_t transposes(const Function& function, const Rules& rules) {
  return count_ops(ane::lower(function, rules, {}).function, "transpose");
}

} // namespace

TEST_CASE("rows are split and merged through transposes") {
  struct Reshape {
    Shape from;
    Shape to;
  };
  const Reshape cases[] = {
      {{1, 6, 1, 32}, {1, 6, 4, 8}},  // heads
      {{1, 6, 4, 8}, {1, 6, 1, 32}},  // back
      {{1, 3, 5, 12}, {5, 3, 4, 3}},  // with other axes
      {{2, 3, 4, 6}, {1, 2, 3, 24}},  // a batch
      {{1, 6, 1, 20}, {1, 8, 1, 15}}, // neither a part of the other
      {{1, 8, 1, 15}, {1, 15, 1, 8}}, // nothing in common
      {{1, 6, 1, 10}, {1, 60, 1, 1}}, // one element a row
      {{1, 60, 1, 1}, {1, 6, 1, 10}}, // back
      {{1, 1, 1, 24}, {1, 1, 4, 6}},  // one row
      {{1, 1, 1, 24}, {1, 24, 1, 1}}, // a column
      {{2, 3, 2, 2, 8}, {2, 3, 32}},  // five axes
      {{7}, {7, 1}},                  // one
  };
  for (const Reshape& reshape : cases) {
    INFO(mil::shape_to_string(reshape.from) << " to " << mil::shape_to_string(reshape.to));
    const Function function = reshaped(reshape.from, reshape.to);
    check_exact(function, {});
    CHECK(transposes(function, {}) > 0);
    Rules free;
    free.reshapes_width = true;
    check_exact(function, free);
    CHECK(transposes(function, free) == 0);
  }
}

TEST_CASE("more rows than a height are split in batches") {
  Rules rules;
  rules.max_height = rules.max_width = 16;
  check_exact(reshaped({1, 4, 10, 12}, {1, 40, 3, 4}), rules);
  check_exact(reshaped({1, 40, 3, 4}, {1, 4, 10, 12}), rules);
  // 37 rows have no equal parts, so the host moves the elements.
  CHECK(why_not(reshaped({1, 37, 1, 12}, {1, 37, 3, 4}), rules).find("expected height") !=
        std::string::npos);
}

TEST_CASE("reshapes that keep the width need no transpose") {
  CHECK(transposes(reshaped({1, 12, 2, 8}, {3, 4, 2, 8}), {}) == 0);
}

TEST_CASE("rows are joined and cut as columns") {
  Builder b;
  const ValueId x = b.input("x", half({1, 3, 2, 5}));
  const ValueId y = b.input("y", half({1, 3, 2, 9}));
  const ValueId joined = b.concat({b.unary("relu", x), y}, 3);
  b.output(joined, "joined");
  b.output(b.slice_by_size(joined, {0, 0, 0, 0}, {1, 3, 2, 6}), "first");
  b.output(b.slice_by_size(joined, {0, 0, 0, 4}, {1, 3, 2, 10}), "last");
  const Function function = std::move(b).finish();
  check_exact(function, {});
  CHECK(transposes(function, {}) > 0);
  Rules free;
  free.concats_width = free.slices_width = true;
  free.clamps_width_slices = false;
  check_exact(function, free);
  CHECK(transposes(function, free) == 0);
  Rules no_concat; // pads and additions instead
  no_concat.has_concat = false;
  check_exact(function, no_concat);
}

TEST_CASE("packed inputs are cut as columns") {
  Builder b;
  const ValueId x = b.input("x", half({1, 3, 1, 5}));
  const ValueId y = b.input("y", half({1, 3, 1, 9}));
  b.output(b.unary("relu", x), "first");
  b.output(b.unary("relu", y), "second");
  const Function function = std::move(b).finish();
  Rules rules;
  rules.parameter_route = ane::ParameterRoute::packed;
  check_exact(function, rules);
  rules.clamps_width_slices = false;
  check_exact(function, rules);
}
