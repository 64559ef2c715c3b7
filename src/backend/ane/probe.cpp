#include "backend/ane/probe.h"

#include "backend/ane/probe_programs.h"
#include "backend/ane/probe_trial.h"
#include "base/status.h"

#include <cmath>
#include <functional>

namespace anet::backend::ane {

namespace {

// One unit in the last place of fp16 is 2^-11; sums of some hundred products may lose a few.
constexpr double usual_tolerance = 0x1p-7;
constexpr double table_error = 1.5e-3; // fp16 rounds to 2.5e-4, tables are off by 3e-3
constexpr int64_t wide_extent = 65536;

class Prober {
public:
  explicit Prober(Engine& engine) : engine_(engine) {}

  // Runs `question`, which returns "" for yes or the reason for no. The compiler's no is believed
  // when it says it twice, because its service fails at times (ane-facts.md 5.2); what fails
  // otherwise may be asked again another day.
  bool ask(const char* name, const std::function<std::string()>& question) {
    Attempt answer = attempt(name, question);
    if (answer.rejected) answer = attempt(name, question);
    answers_.push_back(answer);
    return answer.answer;
  }

  // Compiled, evaluated, and equal to what the interpreter computes.
  bool computes(const char* name, const mil::Function& function,
                double tolerance = usual_tolerance) {
    return ask(name, [&] { return check(function, tolerance); });
  }

  std::string check(const mil::Function& function, double tolerance) {
    return check(function, mil::interpret(function, trial_inputs(function), mil::Precision::f16),
                 tolerance);
  }

  // The same against other expectations.
  std::string check(const mil::Function& function, const mil::TensorMap& expected,
                    double tolerance) {
    return difference(run(function, trial_inputs(function)), expected, tolerance);
  }

  mil::TensorMap run(const mil::Function& function, const mil::TensorMap& inputs) {
    return Trial(engine_, trial_program(function)).run(inputs);
  }

  void add_detail(std::string detail) { answers_.back().detail = std::move(detail); }

  Engine& engine() { return engine_; }
  std::vector<ProbeAnswer>& answers() { return answers_; }

private:
  struct Attempt : ProbeAnswer {
    bool rejected = false;
  };

  static Attempt attempt(const char* name, const std::function<std::string()>& question) {
    Attempt result{{name, false, "", true}, false};
    try {
      result.detail = question();
      result.answer = result.detail.empty();
    } catch (const Error& error) {
      result.detail = error.message();
      result.rejected = error.status() == Status::unsupported;
      result.conclusive = result.rejected;
    }
    return result;
  }

  Engine& engine_;
  std::vector<ProbeAnswer> answers_;
};

std::string expect_value(const mil::TensorMap& seen, const char* name, double expected) {
  const double value = seen.at(name).values.front();
  if (value == expected) return {};
  return concat("expected ", expected, ", seen ", value);
}

mil::TensorMap filled(const mil::Function& function, double value) {
  mil::TensorMap inputs;
  for (const mil::ValueId id : function.inputs)
    inputs[function.value(id).name] = mil::make_tensor(function.type(id), value);
  return inputs;
}

void probe_parameters(Prober& prober, Rules& rules) {
  const bool bound = prober.computes("multi_input", probes::multiple_inputs());
  const bool product = prober.computes("parameter_matmul", probes::parameter_matmul());
  const bool kernel = prober.computes("parameter_convolution", probes::parameter_convolution());
  const bool computed = prober.computes("computed_convolution", probes::computed_convolution());
  const bool packed = prober.computes("packed_inputs", probes::packed_inputs());
  rules.parameter_route = bound && product ? ParameterRoute::inputs : ParameterRoute::packed;
  rules.parameter_convolution = kernel && rules.parameter_route == ParameterRoute::inputs;
  rules.computed_convolution = kernel && computed;
  rules.available = (bound && product) || packed;
}

void probe_ops(Prober& prober, Rules& rules) {
  rules.has_concat = prober.computes("concat", probes::concat());
  rules.has_rsqrt = prober.computes("rsqrt", probes::rsqrt());
  rules.broadcasts_both = prober.computes("broadcast_of_both", probes::broadcast_of_both());
  rules.reshapes_width = prober.computes("width_reshape", probes::width_reshape());
  rules.concats_width = prober.computes("width_concat", probes::width_concat());
  rules.slices_width = prober.computes("width_slice_at_0", probes::leading_width_slice());
  rules.native_causal_attention = prober.computes("causal_attention", probes::causal_attention());
}

void probe_constants(Prober& prober, Rules& rules) {
  const bool convolution =
      prober.computes("constant_convolution", probes::constant_product(Constant::fp16, true));
  prober.computes("constant_matmul", probes::constant_product(Constant::fp16, false));
  // A convolution is faster where both work (ane-facts.md 7.2).
  rules.constant_product = convolution ? ConstantProduct::convolution : ConstantProduct::matmul;
  const auto works = [&](const char* name, Constant form) {
    return prober.computes(name, probes::constant_product(form, convolution));
  };
  if (works("int8_palette", Constant::int8_palette)) rules.int8_form = QuantizedForm::palette;
  if (works("int8_affine", Constant::int8_affine)) rules.int8_form = QuantizedForm::affine;
  if (works("int8_blockwise", Constant::int8_blockwise)) rules.int8_form = QuantizedForm::blockwise;
  if (works("int4_blockwise", Constant::int4_blockwise)) rules.int4_form = QuantizedForm::blockwise;
  if (works("int4_palette", Constant::int4_palette)) rules.int4_form = QuantizedForm::palette;
}

// ane-facts.md 6: what numbers become.
void probe_numbers(Prober& prober, Rules& rules) {
  rules.clamps_width_slices = !prober.ask("width_slices", [&] {
    const mil::Function function = probes::width_slice();
    return expect_value(prober.run(function, filled(function, 4100)), "y", 4100);
  });
  rules.narrow_reduce_sum = !prober.ask("wide_reduce_sum", [&] {
    const mil::Function function = probes::reduce_sums();
    const mil::TensorMap sums = prober.run(function, filled(function, 1));
    const std::string channels = expect_value(sums, "over_channels", 4096);
    return channels.empty() ? expect_value(sums, "over_width", 4096) : channels;
  });
  // Squares that fp16 does not hold, more of them than it counts, and such as it flushes to 0.
  rules.narrow_l2_norm = !prober.ask("wide_l2_norm", [&] {
    const mil::Function function = probes::l2_norms();
    const double values[] = {1000, 1, 0x1p-13};
    mil::TensorMap inputs;
    for (size_t i = 0; i < std::size(values); ++i) {
      const mil::ValueId id = function.inputs[i];
      inputs[function.value(id).name] = mil::make_tensor(function.type(id), values[i]);
    }
    const mil::TensorMap expected = mil::interpret(function, inputs, mil::Precision::f16);
    return difference(prober.run(function, inputs), expected, 0x1p-10);
  });
  prober.ask("products_above_32767", [&] {
    const mil::Function function = probes::large_product();
    return expect_value(prober.run(function, filled(function, 128)), "y", 32768);
  });
  rules.table_activations = !prober.ask("exact_activations", [&] {
    const mil::Function function = probes::activations();
    const mil::TensorMap inputs = probes::activation_inputs();
    return difference(prober.run(function, inputs),
                      mil::interpret(function, inputs, mil::Precision::f64), table_error);
  });
}

void probe_ports(Prober& prober, Rules& rules) {
  rules.fp32_ports = prober.computes("fp32_ports", probes::port_types(DataType::fp32));
  rules.int8_ports = prober.computes("int8_ports", probes::port_types(DataType::int8));
  const bool wide = prober.computes("width_65536", probes::extents(1, wide_extent));
  if (wide) rules.max_width = wide_extent;
  if (wide && prober.computes("height_65536", probes::extents(wide_extent, 1)))
    rules.max_height = wide_extent;
}

void probe_speed(Prober& prober, Rules& rules) {
  prober.ask("speed", [&]() -> std::string {
    const mil::Function small = probes::product(32, 32, 32);
    const mil::Function large = probes::product(512, 512, 256);
    Trial first(prober.engine(), trial_program(small));
    first.run(trial_inputs(small));
    rules.dispatch_seconds = std::max(first.fastest(5), 1e-6);
    Trial second(prober.engine(), trial_program(large));
    second.run(trial_inputs(large));
    const double seconds = second.fastest(3);
    rules.flops_per_second = 2.0 * 512 * 512 * 256 / std::max(seconds, 1e-6);
    return {};
  });
  if (prober.answers().back().answer) {
    prober.add_detail(concat("an evaluation takes ", rules.dispatch_seconds,
                             " s, a product of 512 x 512 x 256 makes ", rules.flops_per_second,
                             " operations a second"));
  }
}

} // namespace

Probed probe(Engine& engine) {
  Probed probed;
  Prober prober(engine);
  probe_parameters(prober, probed.rules);
  if (probed.rules.available) {
    probe_ops(prober, probed.rules);
    probe_constants(prober, probed.rules);
    probe_numbers(prober, probed.rules);
    probe_ports(prober, probed.rules);
    probe_speed(prober, probed.rules);
  }
  probed.answers = std::move(prober.answers());
  return probed;
}

} // namespace anet::backend::ane
