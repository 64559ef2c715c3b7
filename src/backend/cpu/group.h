// Groups of ops that are computed together, so that what lies between them never reaches memory.
#pragma once

#include "mil/program.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace anet::backend::cpu {

class Lowering;

// Ops with what lowers them all at once. `lower` runs when everything that the ops read from
// outside is there. It binds or fills each value of `leaving`, honours their destinations as the
// rule of a single op would, and leaves the other results of the group without memory.
struct Group {
  std::vector<int32_t> ops; // indices into the function, ascending
  std::function<void(Lowering&)> lower;
};

// The results of the group that are read outside, or returned, in the order of the function.
std::vector<mil::ValueId> leaving(const mil::Function& function, const Group& group);

// A function whose ops are in an order in which those of each group follow each other. Value ids
// stay what they are.
struct Schedule {
  mil::Function function;
  std::vector<Group> groups;
};

// Keeps the order of the ops as far as the groups allow. A group that would have to wait for its
// own results is dropped. No op is in two groups.
Schedule schedule_groups(const mil::Function& function, std::vector<Group> groups);

// What the finders of fusion.cpp make of a function.
std::vector<Group> find_groups(const mil::Function& function);

} // namespace anet::backend::cpu
