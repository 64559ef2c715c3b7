#include "backend/cpu/plan.h"

#include "backend/cpu/lowering.h"
#include "backend/cpu/memory_plan.h"
#include "backend/cpu/overflow.h"
#include "backend/view_checks.h"
#include "base/status.h"

#include <algorithm>
#include <array>
#include <limits>

namespace anet::backend::cpu {

namespace {

Operand port_operand(const Layout& layout, int32_t storage) {
  Operand x;
  x.storage = storage;
  x.dtype = layout.dtype;
  x.shape = layout.shape;
  for (const int64_t stride : layout.strides) x.strides.push_back(stride / element_size(x.dtype));
  return x;
}

void check_port_type(const mil::Value& value) {
  const DataType dtype = value.type.dtype;
  if (dtype == DataType::string || (mil::data_type_bits(dtype) < 8 && dtype != DataType::boolean)) {
    fail(Status::unsupported, "port ", value.name, " of ", mil::type_to_string(value.type),
         ": the cpu device has no ports of that element type");
  }
}

} // namespace

Lowering::Lowering(const mil::Function& function, const CompileOptions& options, int threads,
                   std::span<const Group> groups)
    : function_(function), options_(options), threads_(threads), groups_(groups),
      values_(function.values.size()), destinations_(function.values.size()),
      uses_(function.values.size(), 0), last_use_(function.values.size(), -1),
      wide_(function.values.size(), false) {}

Plan Lowering::lower() && {
  std::vector<const Group*> ending(function_.ops.size(), nullptr);
  std::vector<bool> grouped(function_.ops.size(), false);
  for (const Group& group : groups_) {
    ending[static_cast<size_t>(group.ops.back())] = &group;
    for (const int32_t op : group.ops) grouped[static_cast<size_t>(op)] = true;
  }
  count_uses();
  find_wide_sums(grouped);
  make_ports();
  assign_destinations();
  for (size_t i = 0; i < function_.ops.size(); ++i) {
    op_index_ = static_cast<int32_t>(i);
    const mil::Operation& op = function_.ops[i];
    if (ending[i] != nullptr) lower_group(*ending[i]);
    if (!grouped[i] && op.schema != mil::const_schema()) lower_op(op);
  }
  deliver();
  replace_nan();
  finish_memory();
  return std::move(plan_);
}

void Lowering::count_uses() {
  int32_t index = 0;
  for (const mil::Operation& op : function_.ops) {
    for (const mil::Argument& argument : op.arguments) {
      for (const mil::ValueId id : argument.values) {
        ++uses_[static_cast<size_t>(id)];
        last_use_[static_cast<size_t>(id)] = index;
      }
    }
    ++index;
  }
  for (const mil::ValueId id : function_.outputs) {
    ++uses_[static_cast<size_t>(id)];
    last_use_[static_cast<size_t>(id)] = std::numeric_limits<int32_t>::max();
  }
}

Layout Lowering::port_layout(const mil::Value& value) const {
  check_port_type(value);
  const auto found = options_.port_layouts.find(value.name);
  if (found != options_.port_layouts.end()) {
    check_port_layout(value, found->second);
    return found->second;
  }
  Layout layout = Layout::contiguous(value.type.dtype, value.type.shape);
  if (value.type.buffer) {
    for (size_t d = 0; d < layout.strides.size(); ++d) {
      layout.strides[d] = value.type.buffer->strides[d] * element_size(layout.dtype);
    }
    for (const int64_t factor : value.type.buffer->interleave_factors) {
      if (factor != 1) {
        fail(Status::unsupported, "port ", value.name,
             ": the cpu device has no interleaved buffers, got factor ", factor);
      }
    }
    check_port_layout(value, layout);
  }
  return layout;
}

void Lowering::make_ports() {
  const auto add = [&](std::vector<Port>& ports, mil::ValueId id, Storage::Kind kind) {
    const mil::Value& value = function_.value(id);
    ports.push_back({value.name, port_layout(value)});
    Storage storage;
    storage.kind = kind;
    storage.index = ports.size() - 1;
    return port_operand(ports.back().layout, add_storage(std::move(storage)));
  };
  for (const mil::ValueId id : function_.inputs) {
    values_[static_cast<size_t>(id)] = add(plan_.inputs, id, Storage::Kind::input);
  }
  for (const mil::ValueId id : function_.outputs) {
    const Operand place = add(plan_.outputs, id, Storage::Kind::output);
    output_storages_.push_back(place.storage);
    const bool accumulate = std::find(options_.accumulate.begin(), options_.accumulate.end(),
                                      function_.value(id).name) != options_.accumulate.end();
    deliveries_.push_back({id, {place, accumulate}});
  }
}

void Lowering::assign_destinations() {
  std::vector<Delivery> all;
  std::swap(all, deliveries_);
  for (const Delivery& delivery : all) assign_destination(delivery.value, delivery.destination);
}

// Walks up through views, so that what they show is produced where the port is.
void Lowering::assign_destination(mil::ValueId output, Destination destination) {
  const Destination port = destination;
  mil::ValueId id = output;
  mil::ValueId chosen = mil::no_value;
  Destination chosen_place;
  while (true) {
    const auto at = static_cast<size_t>(id);
    const int32_t producer = function_.value(id).producer;
    const bool fixed = producer < 0 || function_.constant(id) != nullptr || destinations_[at];
    if (fixed || (destination.accumulate && uses_[at] != 1)) break;
    const mil::Operation& op = function_.ops[static_cast<size_t>(producer)];
    if (!destination.accumulate || can_accumulate(op)) {
      chosen = id;
      chosen_place = destination;
    }
    const auto place = place_of_input(op, destination.place);
    if (!place) break;
    id = op.input("x");
    destination.place = *place;
  }
  if (chosen == mil::no_value) {
    deliveries_.push_back({output, port});
  } else {
    destinations_[static_cast<size_t>(chosen)] = chosen_place;
  }
}

std::optional<Operand> Lowering::place_of_input(const mil::Operation& op,
                                                const Operand& place) const {
  const std::string_view name = op.name();
  const mil::ValueId x = op.input("x");
  if (x == mil::no_value) return std::nullopt;
  const bool widened = name == "cast" && wide_[static_cast<size_t>(x)];
  if (name == "identity" || widened) return place;
  if (name == "reshape" || name == "expand_dims" || name == "squeeze") {
    return reshape_view(place, function_.type(x).shape);
  }
  if (name == "transpose") {
    const mil::Literal* perm = function_.constant(op, "perm");
    if (perm == nullptr) return std::nullopt;
    const std::vector<int64_t> order = perm->integers();
    std::vector<int64_t> inverse(order.size());
    for (size_t d = 0; d < order.size(); ++d) {
      inverse[normalize_axis(order[d], place.rank())] = static_cast<int64_t>(d);
    }
    return transpose_view(place, inverse);
  }
  return std::nullopt;
}

// Sums leave their op unrounded when all that reads them, perhaps through views, is a cast to fp32:
// the gradients of weights, and logits.
void Lowering::find_wide_sums(const std::vector<bool>& grouped) {
  constexpr std::array<std::string_view, 5> views = {"identity", "reshape", "expand_dims",
                                                     "squeeze", "transpose"};
  for (size_t i = 0; i < function_.ops.size(); ++i) {
    const mil::Operation& op = function_.ops[i];
    if (grouped[i] || std::string_view(op.name()) != "cast" ||
        function_.type(op.outputs.front()).dtype != DataType::fp32)
      continue;
    std::vector<mil::ValueId> path;
    mil::ValueId id = op.input("x");
    while (function_.type(id).dtype == DataType::bf16 && uses_[static_cast<size_t>(id)] == 1) {
      const int32_t producer = function_.value(id).producer;
      if (producer < 0 || grouped[static_cast<size_t>(producer)]) break;
      const mil::Operation& source = function_.ops[static_cast<size_t>(producer)];
      path.push_back(id);
      if (sums_in_fp32(source)) {
        for (const mil::ValueId value : path) wide_[static_cast<size_t>(value)] = true;
        break;
      }
      if (std::find(views.begin(), views.end(), source.name()) == views.end()) break;
      id = source.input("x");
    }
  }
}

bool Lowering::sums_in_fp32(const mil::Operation& op) const {
  const std::string_view name = op.name();
  if (name == "scatter" || name == "scatter_along_axis") return adds_to_zeros(function_, op);
  return name == "matmul" || name == "linear" || name == "conv" || name == "reduce_sum";
}

bool Lowering::can_accumulate(const mil::Operation& op) const {
  const std::string_view name = op.name();
  const DataType dtype = stored_dtype(op.outputs.front());
  if (name == "matmul" || name == "linear" || name == "conv") return dtype == DataType::fp32;
  if (name == "scatter" || name == "scatter_along_axis")
    return dtype == DataType::fp32 && adds_to_zeros(function_, op);
  return false;
}

void Lowering::lower_op(const mil::Operation& op) {
  op_ = &op;
  bool constant = true;
  for (const mil::Argument& argument : op.arguments) {
    for (const mil::ValueId id : argument.values) {
      if (function_.constant(id) != nullptr) continue; // also strings, which have no storage
      constant = constant && is_constant(value(id));
    }
  }
  for (const mil::ValueId id : op.outputs) {
    constant = constant && !destinations_[static_cast<size_t>(id)];
  }
  preparing_ = constant;
  const size_t steps = plan_.steps.size();
  if (const std::string reason = why_unsupported(function_, op); !reason.empty()) {
    fail(Status::unsupported, reason);
  }
  find_rule(op.name())(*this);
  if (plan_.steps.size() > steps) {
    ++plan_.op_count;
    watch_overflow(op);
  }
  preparing_ = false;
}

void Lowering::lower_group(const Group& group) {
  op_ = &function_.ops[static_cast<size_t>(group.ops.back())];
  const size_t steps = plan_.steps.size();
  group.lower(*this);
  if (plan_.steps.size() > steps) ++plan_.op_count;
}

// Element-wise steps watch what they store, and most ops end in one; these can make an infinity
// before or without it. The others only move what is there.
void Lowering::watch_overflow(const mil::Operation& op) {
  const std::string_view name = op.name();
  const bool watched = reduction_from_op(name) || name == "cumsum" || name == "scatter" ||
                       name == "scatter_along_axis";
  const Operand output = value(op.outputs.front());
  if (!watched || output.dtype != DataType::fp16) return;
  PlannedStep planned;
  planned.storages.push_back(output.storage);
  std::vector<Operand> inputs;
  for (const mil::Argument& argument : op.arguments) {
    for (const mil::ValueId id : argument.values) {
      if (function_.type(id).dtype != DataType::fp16) continue;
      inputs.push_back(expanded(value(id)));
      planned.storages.push_back(inputs.back().storage);
    }
  }
  planned.step = make_overflow_step(output, inputs);
  plan_.steps.push_back(std::move(planned));
}

// Ops that only move fp16 elements move a NaN too, which every other op reads as +Inf. It leaves
// the kernel as that, so that a port never holds one.
void Lowering::replace_nan() {
  std::vector<bool> moved(function_.values.size(), false);
  const auto is_source = [&](mil::ValueId id) {
    return function_.value(id).producer < 0 || function_.constant(id) != nullptr;
  };
  for (const mil::Operation& op : function_.ops) {
    if (shape_rule(op.name()) == nullptr && indexing_rule(op.name()) == nullptr) continue;
    bool any = false;
    for (const mil::Argument& argument : op.arguments) {
      for (const mil::ValueId id : argument.values) {
        const bool half = function_.type(id).dtype == DataType::fp16;
        any = any || (half && (is_source(id) || moved[static_cast<size_t>(id)]));
      }
    }
    for (const mil::ValueId id : op.outputs) moved[static_cast<size_t>(id)] = any;
  }
  for (size_t i = 0; i < function_.outputs.size(); ++i) {
    const mil::ValueId id = function_.outputs[i];
    if (!is_source(id) && !moved[static_cast<size_t>(id)]) continue;
    const Operand port = port_operand(plan_.outputs[i].layout, output_storages_[i]);
    if (port.dtype == DataType::fp16) pointwise("nan_to_infinity", {port}, port);
  }
}

void Lowering::deliver() {
  for (const auto& [id, destination] : deliveries_) {
    const Operand source = expanded(value(id));
    if (destination.accumulate) {
      pointwise("add", {destination.place, source}, destination.place);
    } else {
      copy(source, destination.place);
    }
  }
}

void Lowering::finish_memory() {
  std::vector<Lifetime> lifetimes(plan_.storages.size(), {0, -1, -1});
  std::vector<bool> read(plan_.storages.size(), false);
  for (size_t i = 0; i < plan_.steps.size(); ++i) {
    for (const int32_t storage : plan_.steps[i].storages) {
      Lifetime& lifetime = lifetimes[static_cast<size_t>(storage)];
      if (lifetime.first < 0) lifetime.first = static_cast<int32_t>(i);
      lifetime.last = static_cast<int32_t>(i);
      read[static_cast<size_t>(storage)] = true;
    }
  }
  for (size_t s = 0; s < plan_.storages.size(); ++s) {
    const Storage& storage = plan_.storages[s];
    if (storage.kind == Storage::Kind::temporary) lifetimes[s].bytes = storage.bytes;
    if (storage.kind == Storage::Kind::constant && read[s]) plan_.constant_bytes += storage.bytes;
  }
  const MemoryPlan memory = plan_memory(lifetimes);
  for (size_t s = 0; s < plan_.storages.size(); ++s) plan_.storages[s].offset = memory.offsets[s];
  plan_.workspace_bytes = memory.size;
}

Plan make_plan(const mil::Function& function, const CompileOptions& options, int threads) {
  const Schedule schedule = schedule_groups(function, find_groups(function));
  return Lowering(schedule.function, options, threads, schedule.groups).lower();
}

} // namespace anet::backend::cpu
