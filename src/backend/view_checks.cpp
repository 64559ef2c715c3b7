#include "backend/view_checks.h"

#include "base/status.h"

#include <algorithm>

namespace anet::backend {

namespace {

struct Extent {
  const std::byte* begin;
  const std::byte* end;
};

Extent extent_of(const View& view) {
  const std::byte* begin = view.buffer->data() + view.offset;
  return {begin, begin + view.layout.span_bytes()};
}

// Bytes of the innermost run without gaps, and the distance between such runs (0: there is one).
struct Rows {
  int64_t bytes;
  int64_t pitch;
};

Rows rows_of(const Layout& layout) {
  int64_t run = std::max(1, mil::data_type_bits(layout.dtype) / 8);
  for (size_t d = layout.shape.size(); d-- > 0;) {
    if (layout.shape[d] == 1) continue;
    if (layout.strides[d] != run) return {run, layout.strides[d]};
    run *= layout.shape[d];
  }
  return {run, 0};
}

bool all_multiples(const Layout& layout, const Rows& rows) {
  for (size_t d = 0; d < layout.shape.size(); ++d) {
    const bool outer = layout.shape[d] != 1 && layout.strides[d] >= rows.pitch;
    if (outer && layout.strides[d] % rows.pitch != 0) return false;
  }
  return true;
}

bool overlap(const View& a, const View& b) {
  const Extent x = extent_of(a), y = extent_of(b);
  if (x.end <= y.begin || y.end <= x.begin) return false;
  // Both consist of rows at multiples of one pitch: they are apart when the rows are, modulo it.
  Rows p = rows_of(a.layout), q = rows_of(b.layout);
  if (p.pitch == 0) p.pitch = q.pitch;
  if (q.pitch == 0) q.pitch = p.pitch;
  if (p.pitch == 0 || p.pitch != q.pitch || !all_multiples(a.layout, p) ||
      !all_multiples(b.layout, q) || p.bytes > p.pitch || q.bytes > p.pitch) {
    return true;
  }
  const int64_t shift = ((y.begin - x.begin) % p.pitch + p.pitch) % p.pitch;
  return shift < p.bytes || shift + q.bytes > p.pitch;
}

} // namespace

void check_compile_options(const mil::Function& function, const CompileOptions& options) {
  for (const auto& [name, layout] : options.port_layouts) {
    const mil::ValueId input = function.input(name), output = function.output(name);
    if (input == mil::no_value && output == mil::no_value) {
      fail(Status::not_found, "port_layouts names ", name, ", which is no port of ", function.name);
    }
    check_port_layout(function.value(input == mil::no_value ? output : input), layout);
  }
  for (const std::string& name : options.accumulate) {
    const mil::ValueId id = function.output(name);
    if (id == mil::no_value) {
      fail(Status::not_found, "accumulate names ", name, ", which is no output of ", function.name);
    }
    if (!mil::is_floating(function.type(id).dtype)) {
      fail(Status::type_mismatch, "accumulate expects floating outputs, got ", name, " of ",
           mil::type_to_string(function.type(id)));
    }
  }
}

void check_port_layout(const mil::Value& value, const Layout& layout) {
  if (layout.dtype != value.type.dtype || layout.shape != value.type.shape ||
      layout.strides.size() != layout.shape.size()) {
    fail(Status::shape_mismatch, "port ", value.name, " expects a layout of ",
         mil::type_to_string(value.type), ", got ", mil::data_type_name(layout.dtype), " ",
         mil::shape_to_string(layout.shape), " with ", layout.strides.size(), " strides");
  }
  const int64_t size = std::max(1, mil::data_type_bits(layout.dtype) / 8);
  if (!layout.shape.empty() && layout.shape.back() != 1 && layout.strides.back() != size) {
    fail(Status::invalid_argument, "port ", value.name, " expects an innermost stride of ", size,
         " bytes, got ", layout.strides.back());
  }
  int64_t inner = size;
  for (size_t d = layout.shape.size(); d-- > 0;) {
    if (layout.shape[d] == 1) continue;
    const int64_t stride = layout.strides[d];
    if (stride % size != 0 || stride < inner) {
      fail(Status::invalid_argument, "port ", value.name, " expects a stride of at least ", inner,
           " bytes and a multiple of ", size, " on axis ", d, ", got ", stride);
    }
    inner = stride * layout.shape[d];
  }
}

void check_views(std::span<const Port> ports, std::span<const View> views, const char* kind) {
  if (views.size() != ports.size()) {
    fail(Status::invalid_argument, "expected ", ports.size(), " ", kind, "s, got ", views.size());
  }
  for (size_t i = 0; i < ports.size(); ++i) {
    const Port& port = ports[i];
    const View& view = views[i];
    if (view.buffer == nullptr) {
      fail(Status::invalid_argument, kind, " ", port.name, " has no buffer");
    }
    if (view.layout.dtype != port.layout.dtype) {
      fail(Status::type_mismatch, kind, " ", port.name, " expects ",
           mil::data_type_name(port.layout.dtype), ", got ",
           mil::data_type_name(view.layout.dtype));
    }
    if (view.layout.shape != port.layout.shape) {
      fail(Status::shape_mismatch, kind, " ", port.name, " expects shape ",
           mil::shape_to_string(port.layout.shape), ", got ",
           mil::shape_to_string(view.layout.shape));
    }
    if (view.layout.strides != port.layout.strides) {
      fail(Status::shape_mismatch, kind, " ", port.name, " expects byte strides ",
           mil::shape_to_string(port.layout.strides), ", got ",
           mil::shape_to_string(view.layout.strides));
    }
    const auto span = static_cast<size_t>(view.layout.span_bytes());
    const size_t size = view.buffer->size_bytes();
    if (view.offset > size || span > size - view.offset) {
      fail(Status::invalid_argument, kind, " ", port.name, " needs ", span, " bytes at offset ",
           view.offset, " of a buffer of ", size);
    }
    const auto element =
        static_cast<size_t>(std::max(1, mil::data_type_bits(port.layout.dtype) / 8));
    if (view.offset % element != 0) {
      fail(Status::invalid_argument, kind, " ", port.name,
           " expects an offset that is a multiple of ", element, ", got ", view.offset);
    }
    if (view.buffer->is_mapped()) {
      fail(Status::busy, kind, " ", port.name, " is bound to a mapped buffer");
    }
  }
}

void check_overlap(std::span<const Port> input_ports, std::span<const View> inputs,
                   std::span<const Port> output_ports, std::span<const View> outputs) {
  for (size_t o = 0; o < outputs.size(); ++o) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (overlap(outputs[o], inputs[i])) {
        fail(Status::invalid_argument, "output ", output_ports[o].name, " overlaps input ",
             input_ports[i].name);
      }
    }
    for (size_t other = 0; other < o; ++other) {
      if (overlap(outputs[o], outputs[other])) {
        fail(Status::invalid_argument, "output ", output_ports[o].name, " overlaps output ",
             output_ports[other].name);
      }
    }
  }
}

} // namespace anet::backend
