// Splitting a function between two processors.
#pragma once

#include "mil/program.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace anet::mil {

enum class Side : uint8_t { host, engine };

struct Segment {
  Side side = Side::host;
  // Its ports have the names that the values have in the whole function, constants are copied into
  // every segment that reads them. Inputs and outputs in a fixed order: those of the whole first.
  Function function;
};

struct PartitionOptions {
  // An engine segment with fewer multiply-adds (times two) is not worth a dispatch: it moves to the
  // host.
  int64_t min_engine_flops = 0;
};

// Segments in an order in which they can run, few of them: each op runs as early as its operands
// allow, ops of one side that are ready together share a segment. An output of the whole that is
// also read inside is an output of its segment. `side_of` sees every op but constants.
std::vector<Segment> partition(const Function& function,
                               const std::function<Side(const Operation&)>& side_of,
                               const PartitionOptions& options = {});

// Ops that only these outputs need.
std::vector<bool> ops_only_for(const Function& function, const std::vector<std::string>& outputs);

// Multiply-adds of matmul, linear and conv, times two.
int64_t count_flops(const Function& function);
int64_t count_flops(const Function& function, const Operation& op);

} // namespace anet::mil
