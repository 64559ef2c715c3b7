// Groups of ops stand together in the schedule, and those that cannot are dropped.
#include "backend/cpu/group.h"
#include "mil/builder.h"
#include "mil/verify.h"

#include <doctest/doctest.h>

#include <string>

using namespace anet;
using backend::cpu::Group;
using backend::cpu::Schedule;
using backend::cpu::schedule_groups;

namespace {

// a = exp(x), b = x + x, c = a * b, d = exp(c), e = b * d
mil::Function diamond() {
  mil::Builder b("diamond");
  const mil::ValueId x = b.input("x", {mil::DataType::fp32, {4}});
  const mil::ValueId a = b.unary("exp", x);
  const mil::ValueId sum = b.add(x, x);
  const mil::ValueId c = b.mul(a, sum);
  const mil::ValueId d = b.unary("exp", c);
  b.output(b.mul(sum, d), "e");
  return std::move(b).finish();
}

// Indices of the ops that are no constants.
std::vector<int32_t> work(const mil::Function& function) {
  std::vector<int32_t> ops;
  for (size_t i = 0; i < function.ops.size(); ++i)
    if (std::string(function.ops[i].name()) != "const") ops.push_back(static_cast<int32_t>(i));
  return ops;
}

Group group_of(std::vector<int32_t> ops) { return {std::move(ops), nullptr}; }

} // namespace

TEST_CASE("without groups a schedule is the function") {
  const mil::Function function = diamond();
  CHECK(schedule_groups(function, std::vector<Group>()).function == function);
}

TEST_CASE("the ops of a group follow each other") {
  const mil::Function function = diamond();
  const auto ops = work(function);
  // a and c: b must come before both.
  const Schedule schedule = schedule_groups(function, {group_of({ops[0], ops[2]})});
  REQUIRE(schedule.groups.size() == 1);
  const auto& group = schedule.groups.front();
  REQUIRE(group.ops.size() == 2);
  CHECK(group.ops[1] == group.ops[0] + 1);
  mil::verify(schedule.function);
  const auto results = backend::cpu::leaving(schedule.function, group);
  REQUIRE(results.size() == 1);
  CHECK(results.front() == schedule.function.ops[static_cast<size_t>(group.ops[1])].outputs[0]);
}

TEST_CASE("a group that waits for its own results is dropped, others stay") {
  const mil::Function function = diamond();
  const auto ops = work(function);
  // c and e, but d lies between them.
  const Schedule schedule =
      schedule_groups(function, {group_of({ops[2], ops[4]}), group_of({ops[0], ops[1]})});
  REQUIRE(schedule.groups.size() == 1);
  CHECK(std::string(schedule.function.ops[static_cast<size_t>(schedule.groups[0].ops[0])].name()) ==
        "exp");
  mil::verify(schedule.function);
}
