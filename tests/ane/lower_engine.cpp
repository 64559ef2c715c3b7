// Lowered programs compiled and run by the stand-in for Apple's framework, which was written from
// the facts and not from what lowering does: every variant of the rules is accepted and means the
// same, also those that no chip's probe answers with.
#include "../unit/backend/ane_lowered.h"
#include "../unit/backend/op_cases.h"
#include "backend/ane/lower.h"
#include "device_support.h"
#include "mil/blob.h"
#include "mil/builder.h"
#include "mil/partition.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <memory>
#include <string>
#include <vector>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using ane::Engine;
using ane::Lowered;
using ane::Rules;
using mil::Function;
using mil::Side;
using mil::TensorMap;

namespace {

// Of the largest magnitude of each output, as for the interpreted comparisons.
constexpr double tolerance = 2e-2;

mil::Program program_of(const Function& function) {
  mil::Program program = mil::Builder(function).finish_program();
  mil::store_in_blobs(program, 64, "@model_path/weights/weight.bin");
  return program;
}

// The lowered function's outputs, by the engine.
TensorMap run(Engine& engine, const Lowered& lowered, const TensorMap& inputs) {
  const auto program = engine.compile(program_of(lowered.function));
  const ane::EngineProcedure& procedure = program->procedures().at(0);
  const auto in = anet::test::make_surfaces(engine, procedure.inputs);
  const auto out = anet::test::make_surfaces(engine, procedure.outputs);
  const auto request = program->bind(0, in, out);
  for (size_t i = 0; i < in.size(); ++i) {
    const ane::EnginePort& port = procedure.inputs[i];
    anet::test::write_port(*in[i], port, inputs.at(port.name).values);
  }
  program->evaluate(*request);
  TensorMap outputs;
  for (size_t i = 0; i < out.size(); ++i) {
    const ane::EnginePort& port = procedure.outputs[i];
    outputs[port.name] = {{port.dtype, port.shape, {}}, anet::test::read_port(*out[i], port)};
  }
  return outputs;
}

// Ports bind in the order of their declaration, whatever the framework sorts by.
void check_order(const Lowered& lowered, const TensorMap& outputs) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : outputs) names.push_back(name); // sorted
  std::vector<std::string> declared;
  for (const ane::LoweredPort& port : lowered.outputs) declared.push_back(port.symbol);
  if (!lowered.peaks.empty()) declared.push_back(lowered.peaks);
  CHECK(names == declared);
}

void check_on(Engine& engine, const Function& source, const Rules& rules, const TensorMap& inputs,
              const std::string& what) {
  const Lowered lowered = ane::lower(source, rules, {.peaks = ane::PeaksOf::all});
  const TensorMap outputs = run(engine, lowered, lowered_inputs(lowered, inputs));
  check_order(lowered, outputs);
  anet::test::check_near(source_outputs(source, lowered, outputs),
                         interpreted(source, inputs, mil::Precision::f16), tolerance, what);
}

void check_segments(Engine& engine, const Function& function, const model::Config& config,
                    const Rules& rules, const std::string& what) {
  const std::vector<mil::Segment> segments =
      mil::partition(function, [&](const mil::Operation& op) {
        return ane::why_unsupported(function, op, rules).empty() ? Side::engine : Side::host;
      });
  int on_engine = 0;
  for (const mil::Segment& segment : segments) {
    if (segment.side == Side::host) continue;
    const TensorMap inputs = anet::test::model_inputs(segment.function, config, 3);
    check_on(engine, segment.function, rules, inputs, what);
    ++on_engine;
  }
  CHECK(on_engine > 0);
}

} // namespace

TEST_CASE("every variant of lowering runs a model's programs") {
  anet::test::EngineFixture fixture;
  fixture.emulator.set("profile", "m4");
  const auto engine = fixture.open();
  for (const auto& [label, rules] : rules_variants()) {
    for (const anet::test::NamedModel& model : anet::test::small_models()) {
      const std::string what = label + ", " + model.name;
      INFO(what);
      const auto block = anet::test::block_programs(model.config, 2, 8);
      check_segments(*engine, block.forward, model.config, rules, what + " forward");
      check_segments(*engine, block.backward, model.config, rules, what + " backward");
      const auto head = anet::test::head_programs(model.config, 16);
      check_segments(*engine, head.backward, model.config, rules, what + " head");
    }
  }
}

TEST_CASE("every variant of lowering runs every op that it supports") {
  anet::test::EngineFixture fixture;
  fixture.emulator.set("profile", "m4");
  const auto engine = fixture.open();
  for (const auto& [label, rules] : rules_variants()) {
    if (rules.native_causal_attention) continue; // this chip ignores the mask
    for (const OpCase& op : op_cases()) {
      if (std::count(op.dtypes.begin(), op.dtypes.end(), DataType::fp16) == 0) continue;
      Random random(2007);
      const Function function = op.build(random, DataType::fp16);
      if (!why_not(function, rules).empty()) continue;
      const std::string what = label + ", " + op.name;
      INFO(what);
      const TensorMap inputs = random_inputs(random, function, op.ranges);
      CHECK_NOTHROW(check_on(*engine, function, rules, inputs, what));
    }
  }
}
