#include "backend/host_access.h"

#include "backend/tensor_copy.h"
#include "base/status.h"

#include <algorithm>

namespace anet::backend {

namespace {

void check_count(const Layout& layout, size_t values) {
  const auto expected = static_cast<size_t>(mil::element_count(layout.shape));
  if (values != expected)
    fail(Status::internal, "expected ", expected, " values for shape ",
         mil::shape_to_string(layout.shape), ", seen ", values);
}

} // namespace

void write_floats(Buffer& buffer, std::span<const float> values) {
  const Layout& layout = buffer.layout();
  check_count(layout, values.size());
  const Mapping mapping(buffer, true);
  TensorCopy(Layout::contiguous(DataType::fp32, layout.shape), layout)
      .run(reinterpret_cast<const std::byte*>(values.data()), mapping.data(), nullptr);
}

void read_floats(Buffer& buffer, std::span<float> values) {
  const Layout& layout = buffer.layout();
  check_count(layout, values.size());
  const Mapping mapping(buffer, false);
  TensorCopy(layout, Layout::contiguous(DataType::fp32, layout.shape))
      .run(mapping.data(), reinterpret_cast<std::byte*>(values.data()), nullptr);
}

const Port& find_port(std::span<const Port> ports, std::string_view name) {
  const auto found =
      std::find_if(ports.begin(), ports.end(), [&](const Port& port) { return port.name == name; });
  if (found == ports.end())
    fail(Status::internal, "expected a kernel with a port '", name, "', seen none");
  return *found;
}

std::unique_ptr<Kernel> compile_chained(Device& device, const mil::Function& function,
                                        CompileOptions options, const std::string& input,
                                        const std::string& output) {
  auto kernel = device.compile(function, options);
  const Layout layout = find_port(kernel->inputs(), input).layout;
  if (find_port(kernel->outputs(), output).layout == layout) return kernel;
  kernel.reset();
  options.port_layouts[input] = layout;
  options.port_layouts[output] = layout;
  return device.compile(function, options);
}

bool computes_fp32(const Device& device) {
  const auto& compute = device.capabilities().compute;
  return std::find(compute.begin(), compute.end(), DataType::fp32) != compute.end();
}

void check_precision(const Device& device, DataType dtype) {
  if (dtype == DataType::fp16 || computes_fp32(device)) return;
  fail(Status::unsupported_option, "expected precision f16 on the device ",
       device.capabilities().name, ", which computes in fp16 alone, seen ",
       dtype == DataType::bf16 ? "bf16" : "f32", "; choose f16, or the device cpu");
}

std::optional<Layout> as_matrix(const Layout& port) {
  if (port.shape.size() < 2 || port.strides[1] != mil::data_type_bits(port.dtype) / 8)
    return std::nullopt;
  return Layout{port.dtype, {port.shape[0], port.shape[1]}, {port.strides[0], port.strides[1]}};
}

} // namespace anet::backend
