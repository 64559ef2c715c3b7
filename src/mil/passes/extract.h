// A part of a function as a function of its own. Internal to differentiation.
#pragma once

#include "mil/program.h"

#include <span>
#include <string>

namespace anet::mil {

// A value of the source under the name that it has as a port.
struct NamedValue {
  ValueId id = no_value;
  std::string name;
};

// The function from `inputs` to `outputs`: the ops of `source` that compute the outputs, up to the
// inputs. Everything else that they read, constants among it, is computed again. An output that
// is an input, a constant, or an output already is passed through `identity`; only an input of
// the same name is returned as it is. Names that meet a port's get a suffix.
Function extract(const Function& source, std::span<const NamedValue> inputs,
                 std::span<const NamedValue> outputs);

} // namespace anet::mil
