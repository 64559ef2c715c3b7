// Finite-difference checks of gradients, in double.
#pragma once

#include "mil/builder.h"
#include "mil/differentiate.h"
#include "mil/interpreter.h"

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace anet::mil::test {

// Uniform numbers in [0, 1): the same on every machine.
class Random {
public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 0x1234567u) {}
  double uniform() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<double>(state_ >> 11) * 0x1p-53;
  }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

private:
  uint64_t state_;
};

inline Type fp32(Shape shape) { return {DataType::fp32, std::move(shape), {}}; }

inline Tensor random_tensor(Random& random, const Type& type, double low, double high) {
  Tensor tensor = make_tensor(type);
  for (double& value : tensor.values) value = random.uniform(low, high);
  return tensor;
}

// Random floating inputs; `given` holds the integer ones.
inline TensorMap random_inputs(const Function& function, Random& random, double low, double high,
                               const TensorMap& given) {
  TensorMap inputs = given;
  for (ValueId id : function.inputs) {
    const Value& port = function.value(id);
    if (inputs.count(port.name) == 0) {
      inputs[port.name] = random_tensor(random, port.type, low, high);
    }
  }
  return inputs;
}

// Runs forward, then backward on its taps and the seeds; returns the gradients by input name.
inline TensorMap run_backward(const Derivative& derivative, const TensorMap& inputs,
                              const TensorMap& seeds, Precision precision) {
  const TensorMap forward = interpret(derivative.forward, inputs, precision);
  TensorMap backward_inputs = seeds;
  for (const std::string& tap : derivative.taps) backward_inputs[tap] = forward.at(tap);
  for (ValueId id : derivative.backward.inputs) {
    const std::string& name = derivative.backward.value(id).name;
    if (backward_inputs.count(name) == 0) backward_inputs[name] = inputs.at(name);
  }
  return interpret(derivative.backward, backward_inputs, precision);
}

inline double project(const Function& function, const TensorMap& inputs, const TensorMap& seeds) {
  const TensorMap outputs = interpret(function, inputs, Precision::f64);
  double sum = 0;
  for (const auto& [name, seed] : seeds) {
    const Tensor& output = outputs.at(name.substr(2));
    for (size_t i = 0; i < seed.values.size(); ++i) sum += seed.values[i] * output.values[i];
  }
  return sum;
}

// d(projection) / d(input element), by Richardson extrapolation of central differences.
inline double numeric_slope(const Function& function, TensorMap& inputs, const TensorMap& seeds,
                            double& element) {
  const double saved = element;
  const auto difference = [&](double h) {
    element = saved + h;
    const double above = project(function, inputs, seeds);
    element = saved - h;
    const double below = project(function, inputs, seeds);
    element = saved;
    return (above - below) / (2 * h);
  };
  const double h = 1e-3;
  return (4 * difference(h / 2) - difference(h)) / 3;
}

inline TensorMap random_seeds(const Function& function, Random& random) {
  TensorMap seeds;
  for (ValueId id : function.outputs) {
    const Value& port = function.value(id);
    if (!is_floating(port.type.dtype)) continue;
    seeds["d_" + port.name] = random_tensor(random, port.type, 0.5, 1.5);
  }
  return seeds;
}

// The worst difference between analytic and numeric gradients over every floating input element,
// relative to the largest gradient of that input.
inline double worst_gradient_error(const Function& function, TensorMap inputs,
                                   const TensorMap& gradients, const TensorMap& seeds) {
  double worst = 0;
  for (const auto& [name, gradient] : gradients) {
    Tensor& input = inputs.at(name.substr(2));
    std::vector<double> numeric;
    double scale = 1e-2;
    for (double& element : input.values) {
      numeric.push_back(numeric_slope(function, inputs, seeds, element));
      scale = std::max(scale, std::fabs(numeric.back()));
    }
    for (size_t i = 0; i < numeric.size(); ++i) {
      const double error = std::fabs(gradient.values[i] - numeric[i]) / scale;
      worst = std::isnan(error) ? INFINITY : std::max(worst, error);
    }
  }
  return worst;
}

} // namespace anet::mil::test
