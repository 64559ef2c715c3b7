#include "support.h"

#include "base/float16.h"
#include "mil/literal.h"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <sstream>

namespace anet::backend::testing {

namespace {

constexpr std::byte gap{0xa5};

int64_t element_bytes(DataType dtype) { return std::max(1, mil::data_type_bits(dtype) / 8); }

// Calls visit(index of the element, its byte offset) in row-major order.
template <typename Visit>
void for_each_element(const Layout& layout, Visit&& visit) {
  Shape index(layout.shape.size(), 0);
  const int64_t count = mil::element_count(layout.shape);
  for (int64_t i = 0; i < count; ++i) {
    int64_t offset = 0;
    for (size_t d = 0; d < index.size(); ++d) offset += index[d] * layout.strides[d];
    visit(static_cast<size_t>(i), static_cast<size_t>(offset));
    for (size_t d = index.size(); d-- > 0;) {
      if (++index[d] < layout.shape[d]) break;
      index[d] = 0;
    }
  }
}

double decode(DataType dtype, const std::byte* bytes) {
  uint64_t bits = 0;
  std::memcpy(&bits, bytes, static_cast<size_t>(element_bytes(dtype)));
  switch (dtype) {
  case DataType::fp16:
    return half_to_float(static_cast<uint16_t>(bits));
  case DataType::bf16:
    return bfloat16_to_float(static_cast<uint16_t>(bits));
  case DataType::fp32:
    return std::bit_cast<float>(static_cast<uint32_t>(bits));
  case DataType::int8:
    return static_cast<int8_t>(bits);
  case DataType::int16:
    return static_cast<int16_t>(bits);
  case DataType::int32:
    return static_cast<int32_t>(bits);
  default:
    return static_cast<double>(bits);
  }
}

} // namespace

Tensor random_tensor(Random& random, const Type& type, Range range) {
  Tensor tensor = mil::make_tensor(type);
  for (double& value : tensor.values) {
    if (type.dtype == DataType::boolean) {
      value = random.coin() ? 1 : 0;
    } else if (mil::is_integer(type.dtype)) {
      value = static_cast<double>(
          random.integer(static_cast<int64_t>(range.low), static_cast<int64_t>(range.high)));
    } else {
      value = random.real(range.low, range.high);
      if (type.dtype == DataType::fp32) value = static_cast<float>(value);
      if (type.dtype == DataType::fp16) value = half_to_float(double_to_half(value));
      if (type.dtype == DataType::bf16) {
        value = bfloat16_to_float(float_to_bfloat16(static_cast<float>(value)));
      }
    }
  }
  return tensor;
}

TensorMap random_inputs(Random& random, const Function& function,
                        const std::map<std::string, Range>& ranges) {
  TensorMap inputs;
  for (const mil::ValueId id : function.inputs) {
    const mil::Value& port = function.value(id);
    const auto found = ranges.find(port.name);
    inputs[port.name] =
        random_tensor(random, port.type, found == ranges.end() ? Range{} : found->second);
  }
  return inputs;
}

std::map<std::string, Layout> random_layouts(Random& random, const Function& function) {
  std::map<std::string, Layout> layouts;
  const auto add = [&](mil::ValueId id) {
    const mil::Value& port = function.value(id);
    if (random.coin() || port.type.shape.empty()) return;
    Layout layout = Layout::contiguous(port.type.dtype, port.type.shape);
    const int64_t size = element_bytes(layout.dtype);
    int64_t stride = size;
    for (size_t d = layout.shape.size(); d-- > 0;) {
      layout.strides[d] = stride;
      stride = stride * layout.shape[d] + random.integer(0, 2) * size * 4;
    }
    layouts[port.name] = layout;
  };
  for (const mil::ValueId id : function.inputs) add(id);
  for (const mil::ValueId id : function.outputs) add(id);
  return layouts;
}

void write_tensor(const View& view, const Tensor& tensor) {
  std::byte* base = view.buffer->data() + view.offset;
  const DataType dtype = view.layout.dtype;
  for_each_element(view.layout, [&](size_t i, size_t offset) {
    const uint64_t bits = mil::encode_number(dtype, tensor.values[i]);
    std::memcpy(base + offset, &bits, static_cast<size_t>(element_bytes(dtype)));
  });
}

Tensor read_tensor(const View& view) {
  Tensor tensor = mil::make_tensor({view.layout.dtype, view.layout.shape, {}});
  const std::byte* base = view.buffer->data() + view.offset;
  for_each_element(view.layout, [&](size_t i, size_t offset) {
    tensor.values[i] = decode(view.layout.dtype, base + offset);
  });
  return tensor;
}

Runner::Runner(Device& device, const Function& function, const CompileOptions& options)
    : kernel_(device.compile(function, options)) {
  const auto bind = [&](const std::vector<Port>& ports, std::vector<View>& views) {
    for (const Port& port : ports) {
      buffers_.push_back(device.allocate(port.layout));
      std::memset(buffers_.back()->data(), static_cast<int>(gap), buffers_.back()->size_bytes());
      views.emplace_back(*buffers_.back());
    }
  };
  bind(kernel_->inputs(), inputs_);
  bind(kernel_->outputs(), outputs_);
}

TensorMap Runner::run(const TensorMap& inputs) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    write_tensor(inputs_[i], inputs.at(kernel_->inputs()[i].name));
  }
  kernel_->run(inputs_, outputs_);
  TensorMap results;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    results[kernel_->outputs()[i].name] = read_tensor(outputs_[i]);
  }
  return results;
}

void Runner::write_output(const std::string& name, const Tensor& tensor) {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (kernel_->outputs()[i].name == name) write_tensor(outputs_[i], tensor);
  }
}

bool Runner::gaps_are_untouched() const {
  for (const View& view : outputs_) {
    std::vector<bool> used(view.buffer->size_bytes(), false);
    const auto size = static_cast<size_t>(element_bytes(view.layout.dtype));
    for_each_element(view.layout, [&](size_t, size_t offset) {
      for (size_t b = 0; b < size; ++b) used[offset + b] = true;
    });
    for (size_t b = 0; b < used.size(); ++b) {
      if (!used[b] && view.buffer->data()[b] != gap) return false;
    }
  }
  return true;
}

std::vector<std::byte> Runner::output_bytes() const {
  std::vector<std::byte> bytes;
  for (const View& view : outputs_) {
    const std::byte* data = view.buffer->data();
    bytes.insert(bytes.end(), data, data + view.buffer->size_bytes());
  }
  return bytes;
}

std::string difference(const TensorMap& actual, const TensorMap& expected, Tolerance tolerance) {
  REQUIRE(actual.size() == expected.size());
  std::ostringstream seen;
  for (const auto& [name, tensor] : expected) {
    const Tensor& result = actual.at(name);
    REQUIRE(result.values.size() == tensor.values.size());
    size_t wrong = 0, first = 0;
    for (size_t i = 0; i < tensor.values.size(); ++i) {
      const double want = tensor.values[i], got = result.values[i];
      const bool both_nan = std::isnan(want) && std::isnan(got);
      const double allowed = tolerance.absolute + tolerance.relative * std::fabs(want);
      // Written so that a NaN on one side only counts as wrong.
      const bool close = both_nan || want == got || std::fabs(want - got) <= allowed;
      if (!close && wrong++ == 0) first = i;
    }
    if (wrong > 0)
      seen << "output " << name << " has " << wrong << " of " << tensor.values.size()
           << " elements wrong; [" << first << "] is " << result.values[first] << ", expected "
           << tensor.values[first] << "; ";
  }
  return seen.str();
}

void check_close(const TensorMap& actual, const TensorMap& expected, Tolerance tolerance,
                 const std::string& what) {
  INFO(what);
  const std::string seen = difference(actual, expected, tolerance);
  CHECK_MESSAGE(seen.empty(), seen);
}

} // namespace anet::backend::testing
