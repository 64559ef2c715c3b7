#include "capi/kernel.h"

#include "capi/arguments.h"
#include "capi/buffer.h"
#include "capi/counters.h"
#include "capi/guard.h"
#include "capi/structs.h"
#include "capi/tensor.h"

#include <chrono>
#include <vector>

namespace anet::capi {

namespace {

const std::vector<backend::Port>& ports_of(const anet_kernel& handle, anet_direction direction) {
  check_enumerator(direction, ANET_INPUT, 2, Status::invalid_argument, "direction");
  return direction == ANET_INPUT ? handle.kernel->inputs() : handle.kernel->outputs();
}

const backend::Port& find_port(const anet_kernel& handle, anet_direction direction, size_t index) {
  const auto& ports = ports_of(handle, direction);
  check_index(index, ports.size(), "port");
  return ports[index];
}

std::unique_ptr<anet_kernel> compile(anet_device& device, const anet_program& program,
                                     const char* name) {
  const mil::Function& function = find_function(program, name);
  backend::CompileOptions options;
  options.label = function.name;
  auto kernel = device.device->compile(function, options);
  device.logger.write(LogLevel::debug, "kernel", "compiled ", function.name, ", ",
                      kernel->statistics().op_count, " ops");
  return std::make_unique<anet_kernel>(device, program, std::move(kernel));
}

// The buffers of one run, which no other call may touch meanwhile.
struct Bindings {
  std::vector<backend::View> inputs;
  std::vector<backend::View> outputs;
  std::vector<CallScope<anet_buffer>> calls;
};

void bind_ports(const anet_kernel& kernel, std::span<anet_buffer* const> buffers, size_t expected,
                const char* argument, std::vector<backend::View>& views, Bindings& bindings) {
  if (buffers.size() != expected)
    fail(Status::invalid_argument, "expected ", expected, " buffers in '", argument, "', seen ",
         buffers.size());
  for (anet_buffer* pointer : buffers) {
    anet_buffer& buffer = check_handle(pointer, argument);
    if (buffer.device->device != kernel.device->device)
      fail(Status::invalid_argument, "expected buffers of the kernel's device in '", argument,
           "', seen one of another");
    bindings.calls.emplace_back(buffer, Access::exclusive, Nesting::allowed, argument);
    views.emplace_back(*buffer.buffer);
  }
}

void run(anet_kernel& handle, const Bindings& bindings) {
  const auto start = std::chrono::steady_clock::now();
  handle.kernel->run(bindings.inputs, bindings.outputs);
  handle.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  ++handle.runs;
}

anet_kernel_statistics statistics_of(const anet_kernel& handle) {
  const backend::KernelStatistics& plan = handle.kernel->statistics();
  anet_kernel_statistics result{};
  result.op_count = static_cast<uint32_t>(plan.op_count);
  result.workspace_bytes = plan.workspace_bytes;
  result.constant_bytes = plan.constant_bytes;
  result.flops = static_cast<uint64_t>(plan.flops);
  result.seconds = handle.seconds;
  result.runs = handle.runs;
  copy_counters(handle.kernel->totals(), result);
  return result;
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;

anet_status anet_kernel_compile(anet_device* device, const anet_program* program,
                                const char* function, anet_kernel** kernel, anet_error** error) {
  return guard_create(kernel, "kernel", error, [&] {
    return compile(check_handle(device, "device"), check_handle(program, "program"), function);
  });
}

size_t anet_kernel_port_count(const anet_kernel* kernel, anet_direction direction) {
  if (!is_valid(kernel)) return 0;
  if (direction == ANET_INPUT) return kernel->kernel->inputs().size();
  return direction == ANET_OUTPUT ? kernel->kernel->outputs().size() : 0;
}

anet_status anet_kernel_get_port(const anet_kernel* kernel, anet_direction direction, size_t index,
                                 anet_port* port, anet_error** error) {
  return guard(error, [&] {
    const anet_kernel& handle = check_handle(kernel, "kernel");
    const OutputStruct output(port, "port");
    const anet::backend::Port& found = find_port(handle, direction, index);
    anet_port result{};
    result.name = found.name.c_str();
    result.desc = desc_of(found.layout);
    output.write(result);
  });
}

anet_status anet_kernel_create_buffer(const anet_kernel* kernel, anet_direction direction,
                                      size_t index, anet_buffer** buffer, anet_error** error) {
  return guard_create(buffer, "buffer", error, [&] {
    const anet_kernel& handle = check_handle(kernel, "kernel");
    const anet::backend::Port& port = find_port(handle, direction, index);
    return std::make_unique<anet_buffer>(*handle.device,
                                         handle.device->device->allocate(port.layout));
  });
}

anet_status anet_kernel_run(anet_kernel* kernel, anet_buffer* const* inputs, size_t input_count,
                            anet_buffer* const* outputs, size_t output_count, anet_error** error) {
  return guard(error, [&] {
    anet_kernel& handle = check_handle(kernel, "kernel");
    const auto call = enter_call(handle, "kernel");
    Bindings bindings;
    bind_ports(handle, read_array(inputs, input_count, "inputs"), handle.kernel->inputs().size(),
               "inputs", bindings.inputs, bindings);
    bind_ports(handle, read_array(outputs, output_count, "outputs"),
               handle.kernel->outputs().size(), "outputs", bindings.outputs, bindings);
    run(handle, bindings);
  });
}

anet_status anet_kernel_get_statistics(const anet_kernel* kernel,
                                       anet_kernel_statistics* statistics, anet_error** error) {
  return guard(error, [&] {
    const anet_kernel& handle = check_handle(kernel, "kernel");
    const OutputStruct output(statistics, "statistics");
    const auto call = enter_call(handle, "kernel");
    output.write(statistics_of(handle));
  });
}

anet_status anet_kernel_get_placement(const anet_kernel* kernel, const char** where,
                                      const char** reason, anet_error** error) {
  return guard(error, [&] {
    const anet_kernel& handle = check_handle(kernel, "kernel");
    const char*& place = require(where, "where");
    const char*& why = require(reason, "reason");
    const auto call = enter_call(handle, "kernel");
    handle.placement = handle.kernel->placement();
    place = handle.placement.where.c_str();
    why = handle.placement.reason.c_str();
  });
}

void anet_kernel_retain(anet_kernel* kernel) { retain_handle(kernel); }

void anet_kernel_release(anet_kernel* kernel) { release_handle(kernel); }
