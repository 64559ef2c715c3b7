// Random one-op programs for each op of the op table.
#pragma once

#include "support.h"

#include <functional>

namespace anet::backend::testing {

struct OpCase {
  std::string name;   // of the case
  std::string covers; // the op
  std::function<Function(Random&, DataType)> build;
  std::vector<DataType> dtypes = {DataType::fp32, DataType::fp16};
  std::map<std::string, Range> ranges;
  bool exact = false;          // no rounding differences are allowed
  double absolute = 1e-6;      // fp32 tolerance beside 1e-5 relative
  double half_absolute = 1e-7; // fp16 tolerance beside one unit in the last place
};

const std::vector<OpCase>& op_cases();

} // namespace anet::backend::testing
