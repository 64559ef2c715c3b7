// A small program that is compiled, evaluated on given numbers, and compared with the interpreter.
// Internal to the probe.
#pragma once

#include "backend/ane/engine.h"
#include "mil/builder.h"
#include "mil/interpreter.h"

#include <string>

namespace anet::backend::ane {

// Numbers in [-1, 1) that fp16 holds exactly; the same for every chip.
mil::Tensor trial_values(const mil::Type& type, uint64_t seed);
mil::TensorMap trial_inputs(const mil::Function& function);

// The function as one that is ready for the engine: large constants in a blob file, parameters of
// constexpr_affine_dequantize among the attributes (ane-facts.md 3.4, R).
mil::Program trial_program(mil::Function function);

// A compiled trial with its surfaces.
class Trial {
public:
  Trial(Engine& engine, const mil::Program& program);
  mil::TensorMap run(const mil::TensorMap& inputs);
  // The shortest of up to so many evaluations, in seconds; after run(). Fewer when they take long.
  double fastest(int evaluations);

private:
  const EngineProcedure& procedure() const { return program_->procedures().front(); }

  std::shared_ptr<EngineProgram> program_;
  std::vector<std::shared_ptr<Surface>> inputs_;
  std::vector<std::shared_ptr<Surface>> outputs_;
  std::unique_ptr<EngineRequest> request_;
};

// "" when every output is within `tolerance` of its largest expected magnitude, else where not.
std::string difference(const mil::TensorMap& seen, const mil::TensorMap& expected,
                       double tolerance);

} // namespace anet::backend::ane
