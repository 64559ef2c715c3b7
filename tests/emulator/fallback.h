// Operations that are rare in what runs here: types and values come from the reference interpreter,
// one operation at a time. Nothing of the library's lowering is involved.
#pragma once

#include "checked.h"

#include <functional>
#include <vector>

namespace emulator {

// Throws Refusal when the types do not fit, or when the interpreter does not know the operation.
std::vector<Type> fallback_types(const Call& call);

// Computes the outputs from the operands that are not constants, in the order of their first use.
class FallbackOp {
public:
  explicit FallbackOp(const Call& call);
  ~FallbackOp();
  FallbackOp(FallbackOp&&) noexcept;
  FallbackOp& operator=(FallbackOp&&) noexcept;

  const std::vector<int>& inputs() const { return inputs_; }
  void run(const std::vector<const float*>& inputs, const std::vector<float*>& outputs) const;

private:
  struct State;
  std::unique_ptr<State> state_;
  std::vector<int> inputs_; // indices into CheckedFunction::values
};

} // namespace emulator
