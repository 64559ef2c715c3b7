// Programs whose products run on int8 activations and weights.
#include "backend/host_access.h"
#include "capi/arguments.h"
#include "capi/buffer.h"
#include "capi/guard.h"
#include "capi/program.h"
#include "capi/structs.h"
#include "mil/verify.h"
#include "quant/activations.h"

#include <algorithm>
#include <vector>

namespace anet::capi {

namespace {

quant::ActivationOptions options_of(const anet_program_quantize_options& options) {
  if (options.coverage < 0 || options.coverage > 1)
    fail(Status::invalid_argument, "expected options.coverage above 0, at most 1, seen ",
         options.coverage);
  quant::ActivationOptions result;
  if (options.coverage != 0) result.coverage = options.coverage;
  return result;
}

// Sets of inputs, one after another, which no other call may touch meanwhile.
class Samples {
public:
  Samples(const anet_device& device, std::span<anet_buffer* const> buffers, size_t inputs)
      : inputs_(inputs) {
    if (inputs == 0 || buffers.empty() || buffers.size() % inputs != 0)
      fail(Status::invalid_argument, "expected a multiple of ", inputs,
           " buffers in 'samples', one for each input, seen ", buffers.size());
    for (anet_buffer* pointer : buffers) {
      anet_buffer& buffer = check_handle(pointer, "samples");
      if (buffer.device->device != device.device)
        fail(Status::invalid_argument, "expected buffers of the device in 'samples', seen one of "
                                       "another");
      calls_.emplace_back(buffer, Access::exclusive, Nesting::allowed, "samples");
      views_.emplace_back(*buffer.buffer);
    }
  }
  size_t count() const { return views_.size() / inputs_; }
  std::span<const backend::View> operator[](size_t index) const {
    return std::span(views_).subspan(index * inputs_, inputs_);
  }

private:
  size_t inputs_;
  std::vector<backend::View> views_;
  std::vector<CallScope<anet_buffer>> calls_;
};

// What the products read while the samples run.
quant::ActivationRanges calibrate(backend::Device& device, const mil::Function& function,
                                  const Samples& samples) {
  const quant::Calibration calibration = quant::calibration_of(function);
  backend::CompileOptions options;
  options.label = "calibration";
  for (size_t i = 0; i < calibration.function.inputs.size(); ++i)
    options.port_layouts[calibration.function.value(calibration.function.inputs[i]).name] =
        samples[0][i].layout;
  const auto kernel = device.compile(calibration.function, options);
  std::vector<std::unique_ptr<backend::Buffer>> buffers;
  std::vector<backend::View> outputs;
  for (const backend::Port& port : kernel->outputs()) {
    buffers.push_back(device.allocate(port.layout));
    outputs.emplace_back(*buffers.back());
  }
  quant::ActivationRanges ranges;
  std::vector<float> numbers;
  for (size_t sample = 0; sample < samples.count(); ++sample) {
    kernel->run(samples[sample], outputs);
    for (size_t i = 0; i < buffers.size(); ++i) {
      numbers.resize(static_cast<size_t>(mil::element_count(buffers[i]->layout().shape)));
      backend::read_floats(*buffers[i], numbers);
      ranges.observe(calibration.values[i], numbers);
    }
  }
  return ranges;
}

std::unique_ptr<anet_program> quantize(const anet_device& device, const anet_program& source,
                                       const char* name, std::span<anet_buffer* const> buffers,
                                       const anet_program_quantize_options& options) {
  const quant::ActivationOptions chosen = options_of(options);
  const mil::Function& function = find_function(source, name);
  const Samples samples(device, buffers, function.inputs.size());
  mil::Program program = source.program;
  const auto same = [&](const mil::Function& each) { return each.name == function.name; };
  *std::find_if(program.functions.begin(), program.functions.end(), same) =
      quant::quantize_activations(function, calibrate(*device.device, function, samples), chosen);
  mil::verify(program);
  return std::make_unique<anet_program>(std::move(program));
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_program_quantize(anet_device* device, const anet_program* program,
                                  const char* function, anet_buffer* const* samples, size_t count,
                                  const anet_program_quantize_options* options,
                                  anet_program** quantized, anet_error** error) {
  return guard_create(quantized, "quantized", error, [&] {
    return quantize(check_handle(device, "device"), check_handle(program, "program"), function,
                    read_array(samples, count, "samples"),
                    read_optional_struct(options, "options"));
  });
}
