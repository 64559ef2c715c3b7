// Every op of the op table on the CPU device against the reference interpreter.
#include "support.h"

#include "base/thread_pool.h"
#include "mil/op_table.h"
#include "op_cases.h"

#include <algorithm>
#include <doctest/doctest.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;

namespace {

// fp16 results may differ by one unit in the last place, 2^-10 relative.
Tolerance tolerance_of(const OpCase& op, DataType dtype) {
  if (dtype == DataType::fp16) return {op.exact ? 0 : 0x1.01p-10, op.exact ? 0 : op.half_absolute};
  if (dtype == DataType::bf16) return {op.exact ? 0 : 0x1.01p-7, 1e-3};
  return {op.exact ? 0 : 1e-5, op.exact ? 0 : op.absolute};
}

void run_case(Device& device, const OpCase& op, DataType dtype, uint64_t seed) {
  Random random(seed);
  const mil::Function function = op.build(random, dtype);
  const TensorMap inputs = random_inputs(random, function, op.ranges);
  CompileOptions options;
  options.port_layouts = random_layouts(random, function);
  const bool half = dtype == DataType::fp16;
  const TensorMap expected =
      mil::interpret(function, inputs, half ? mil::Precision::f16 : mil::Precision::f32);
  const std::string what = std::string(op.name) + " " + mil::data_type_name(dtype) + " seed " +
                           std::to_string(seed) + " threads " +
                           std::to_string(device.thread_pool().threads());
  INFO(what);
  Runner runner(device, function, options);
  check_close(runner.run(inputs), expected, tolerance_of(op, dtype), what);
  CHECK_MESSAGE(runner.gaps_are_untouched(), what);
  const std::vector<std::byte> first = runner.output_bytes();
  runner.run(inputs);
  CHECK_MESSAGE(runner.output_bytes() == first, what << ": a second run gave other bits");
}

} // namespace

TEST_CASE("every op agrees with the reference interpreter") {
  const auto one = open_device("cpu", {.threads = 1});
  const auto two = open_device("cpu", {.threads = 2});
  for (const OpCase& op : op_cases()) {
    for (const DataType dtype : op.dtypes) {
      for (uint64_t seed = 1; seed <= 24; ++seed) {
        run_case(seed % 2 == 0 ? *two : *one, op, dtype, seed * 1000 + 7);
      }
    }
  }
}

TEST_CASE("the op cases cover the op table") {
  for (const mil::OpSchema& schema : mil::op_table()) {
    const auto& cases = op_cases();
    const bool covered = std::any_of(cases.begin(), cases.end(),
                                     [&](const OpCase& op) { return op.covers == schema.name; });
    CHECK_MESSAGE(covered, "no case for " << std::string(schema.name));
  }
}
