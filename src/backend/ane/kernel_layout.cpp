// The second half of building a kernel: values, their layouts, steps and memory.
#include "backend/ane/kernel_builder.h"

#include "base/status.h"
#include "mil/op_table.h"

#include <algorithm>

namespace anet::backend::ane {

size_t KernelBuilder::value_of(const std::string& name) {
  const auto [entry, added] = value_indices_.try_emplace(name, parts_.values.size());
  if (added) {
    parts_.values.emplace_back();
    value_names_.push_back(name);
  }
  return entry->second;
}

// Ports of the kernel first, then what lies between segments.
void KernelBuilder::collect_values() {
  value_indices_.clear();
  value_names_.clear();
  parts_.values.clear();
  parts_.inputs.clear();
  parts_.outputs.clear();
  const auto add_ports = [&](const std::vector<mil::ValueId>& ids, KernelValue::Place place,
                             std::vector<Port>& ports) {
    for (const mil::ValueId id : ids) {
      const mil::Value& port = function_.value(id);
      KernelValue value{place, ports.size(), layout_of(port.name, port.type)};
      ports.push_back({port.name, value.layout});
      parts_.values[value_of(port.name)] = std::move(value);
    }
  };
  add_ports(function_.inputs, KernelValue::Place::input, parts_.inputs);
  add_ports(function_.outputs, KernelValue::Place::output, parts_.outputs);
  size_t next = 0;
  for (const Piece& piece : pieces_) {
    for (const mil::ValueId id : piece.function.outputs) {
      const mil::Value& value = piece.function.value(id);
      if (value_indices_.count(value.name) > 0) continue;
      const size_t at = value_of(value.name);
      parts_.values[at] = {KernelValue::Place::scratch, next++, layout_of(value.name, value.type)};
    }
  }
}

// What the caller asked for, else what the engine likes where it touches the value, else dense.
Layout KernelBuilder::layout_of(const std::string& name, const mil::Type& type) const {
  const auto asked = options_.port_layouts.find(name);
  if (asked != options_.port_layouts.end()) return asked->second;
  const auto find = [&](const mil::Function& segment, const std::vector<mil::ValueId>& ids) {
    for (size_t i = 0; i < ids.size(); ++i)
      if (segment.value(ids[i]).name == name) return std::optional<size_t>(i);
    return std::optional<size_t>();
  };
  for (const bool producers : {true, false}) {
    for (const Piece& piece : pieces_) {
      if (!piece.engine) continue;
      const mil::Function& segment = piece.function;
      const auto port = find(segment, producers ? segment.outputs : segment.inputs);
      if (!port) continue;
      const Layout* native =
          producers ? piece.engine->native_output(*port) : piece.engine->native_input(*port);
      if (native != nullptr) return *native;
    }
  }
  return Layout::contiguous(type.dtype, type.shape);
}

std::vector<size_t> KernelBuilder::values_of(const mil::Function& segment,
                                             const std::vector<mil::ValueId>& ids) {
  std::vector<size_t> values;
  for (const mil::ValueId id : ids) {
    const auto found = value_indices_.find(segment.value(id).name);
    if (found == value_indices_.end())
      fail(Status::internal, "expected a value named ", segment.value(id).name, ", seen none");
    values.push_back(found->second);
  }
  return values;
}

std::vector<SegmentPort> KernelBuilder::ports_of(const std::vector<size_t>& values) const {
  std::vector<SegmentPort> ports;
  for (const size_t value : values)
    ports.push_back({value_names_[value], parts_.values[value].layout});
  return ports;
}

bool KernelBuilder::is_scratch(size_t value) const {
  return parts_.values[value].place == KernelValue::Place::scratch;
}

// Nothing in the kernel or in the caller waits for sums alone, and the caller cannot change what
// only the kernel holds.
bool KernelBuilder::can_wait(const KernelStep& step, const mil::Function& segment) const {
  const auto scratch = [&](size_t value) { return is_scratch(value); };
  const auto is_sum = [&](mil::ValueId id) { return is_accumulated(segment.value(id).name); };
  return std::all_of(step.inputs.begin(), step.inputs.end(), scratch) &&
         std::all_of(segment.outputs.begin(), segment.outputs.end(), is_sum);
}

// What lies between segments is written again by the next run.
bool KernelBuilder::can_look_later(const KernelStep& step) const {
  const auto scratch = [&](size_t value) { return is_scratch(value); };
  return !has_peaks() && std::none_of(step.inputs.begin(), step.inputs.end(), scratch) &&
         std::none_of(step.outputs.begin(), step.outputs.end(), scratch);
}

void KernelBuilder::make_steps() {
  std::vector<KernelStep> waiting;
  std::vector<size_t> waiting_pieces;
  for (size_t p = 0; p < pieces_.size(); ++p) {
    Piece& piece = pieces_[p];
    KernelStep step;
    step.inputs = values_of(piece.function, piece.function.inputs);
    step.outputs = values_of(piece.function, piece.function.outputs);
    for (const mil::ValueId id : piece.function.outputs)
      step.accumulates = step.accumulates || is_accumulated(piece.function.value(id).name);
    step.background = !piece.engine && can_wait(step, piece.function);
    step.engine = std::move(piece.engine);
    step.may_look_later = step.engine && can_look_later(step);
    (step.background ? waiting_pieces : piece_of_step_).push_back(p);
    (step.background ? waiting : parts_.steps).push_back(std::move(step));
  }
  std::move(waiting.begin(), waiting.end(), std::back_inserter(parts_.steps));
  piece_of_step_.insert(piece_of_step_.end(), waiting_pieces.begin(), waiting_pieces.end());
}

void KernelBuilder::compile_host_steps() {
  for (size_t s = 0; s < parts_.steps.size(); ++s) {
    KernelStep& step = parts_.steps[s];
    const mil::Function& segment = pieces_[piece_of_step_[s]].function;
    parts_.statistics.flops += mil::count_flops(segment);
    parts_.statistics.op_count += static_cast<int32_t>(
        std::count_if(segment.ops.begin(), segment.ops.end(),
                      [](const mil::Operation& op) { return op.schema != mil::const_schema(); }));
    if (step.engine) continue;
    CompileOptions options;
    options.label = options_.label;
    options.workspace = step.background ? workspace_->background() : workspace_->host();
    for (const SegmentPort& port : ports_of(step.inputs))
      options.port_layouts[port.name] = port.layout;
    for (const SegmentPort& port : ports_of(step.outputs)) {
      options.port_layouts[port.name] = port.layout;
      if (is_accumulated(port.name)) options.accumulate.push_back(port.name);
    }
    Device& device = step.background ? environment_->background_host() : environment_->host();
    step.host = device.compile(segment, options);
    for (size_t i = 0; i < step.inputs.size(); ++i)
      if (has_peaks() && addends_.contains(value_names_[step.inputs[i]]))
        step.inspections.emplace_back(i, Inspection(parts_.values[step.inputs[i]].layout));
    parts_.statistics.constant_bytes += step.host->statistics().constant_bytes;
    parts_.statistics.workspace_bytes += step.host->statistics().workspace_bytes;
  }
}

void KernelBuilder::make_scratch() {
  std::vector<Scratch::Value> values;
  for (const KernelValue& value : parts_.values)
    if (value.place == KernelValue::Place::scratch) values.push_back({value.layout, false});
  size_t staging = 0;
  for (const KernelStep& step : parts_.steps) {
    if (step.engine) staging += step.engine->staging_bytes();
    if (!step.background) continue;
    for (const size_t input : step.inputs) values[parts_.values[input].index].twice = true;
  }
  parts_.statistics.workspace_bytes += staging;
  for (const Scratch::Value& value : values)
    parts_.statistics.workspace_bytes +=
        static_cast<size_t>(value.layout.span_bytes()) * (value.twice ? 2 : 1);
  parts_.scratch = std::make_shared<Scratch>(std::move(values), staging);
  workspace_->add(parts_.scratch);
  if (!options_.workspace) workspace_->reserve();
}

} // namespace anet::backend::ane
