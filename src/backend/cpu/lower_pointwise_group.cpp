// From a group of ops to the program of one fused step.
#include "backend/cpu/fused.h"
#include "backend/cpu/lowering.h"
#include "backend/cpu/pointwise_group.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

namespace anet::backend::cpu {

namespace {

using mil::ValueId;
using Kind = FusedOp::Kind;

// Of a value that has the shape of one part, or of a space without parts.
constexpr int64_t undivided = -1;
// Of the fp32 memory of a value that a later phase reads back.
constexpr int64_t spilled_copy = -2;

// Ops that cost less than reading their result back from memory.
bool is_cheap(const FusedOp& op) {
  static const std::set<std::string_view> cheap = {"abs", "add",  "clip",   "maximum", "minimum",
                                                   "mul", "relu", "select", "square",  "sub"};
  return op.kind != Kind::call || cheap.contains(op.call.kernel);
}

// Virtual registers of one phase become few: each is free again after its last reader. Those below
// `kept` stay what they are. The result of a call is no register that the call reads.
class RegisterAllocation {
public:
  RegisterAllocation(FusedProgram::Phase& phase, int32_t kept) : kept_(kept), next_(kept) {
    for (size_t i = 0; i < phase.calls.size(); ++i)
      for (size_t k = 0; k < phase.calls[i].count; ++k) last_use_[phase.calls[i].inputs[k]] = i;
    for (const FusedProgram::Store& store : phase.stores) last_use_[store.value] = SIZE_MAX;
    for (const FusedProgram::Fold& fold : phase.folds) last_use_[fold.input] = SIZE_MAX;
    for (FusedProgram::Load& load : phase.loads) define(load.value);
    for (size_t i = 0; i < phase.calls.size(); ++i) {
      FusedProgram::Call& call = phase.calls[i];
      std::vector<int32_t> inputs(call.inputs.begin(), call.inputs.begin() + call.count);
      for (size_t k = 0; k < call.count; ++k) replace(call.inputs[k]);
      define(call.value);
      std::sort(inputs.begin(), inputs.end());
      inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
      for (const int32_t input : inputs)
        if (input >= kept_ && last_use_[input] == i) free_.push_back(registers_.at(input));
    }
    for (FusedProgram::Store& store : phase.stores) replace(store.value);
    for (FusedProgram::Fold& fold : phase.folds) replace(fold.input);
  }

  int32_t count() const { return next_; }

private:
  void replace(int32_t& value) const {
    if (value >= kept_) value = registers_.at(value);
  }

  void define(int32_t& value) {
    if (value < kept_) return;
    const int32_t chosen = free_.empty() ? next_++ : free_.back();
    if (!free_.empty()) free_.pop_back();
    registers_[value] = chosen;
    value = chosen;
  }

  int32_t kept_, next_;
  std::map<int32_t, size_t> last_use_;
  std::map<int32_t, int32_t> registers_;
  std::vector<int32_t> free_;
};

class GroupLowering {
public:
  GroupLowering(Lowering& l, const FusedSpace& space, std::span<const ValueId> results,
                std::span<const ValueId> leaving)
      : l_(l), space_(space), results_(results), leaving_(leaving.begin(), leaving.end()) {
    for (const ValueId id : results) ops_.emplace(id, *fused_op(l.function(), op_of(id)));
    program_.space = space.shape;
    program_.reduced_axis = space.reduced_axis;
  }

  void run() {
    bind_views();
    assign_phases();
    choose_layout();
    keep_costly_values();
    number_kept_values();
    for (size_t phase = 0; phase < phases_; ++phase) lower_phase(phase);
    program_.values = kept_count_;
    for (FusedProgram::Phase& phase : program_.phases)
      program_.values = std::max(program_.values, RegisterAllocation(phase, kept_count_).count());
    std::vector<int32_t> storages;
    for (const Operand& x : program_.operands) storages.push_back(x.storage);
    const Operand scratch = l_.thread_scratch(fused_scratch(program_));
    storages.push_back(scratch.storage);
    l_.emit(make_fused_step(std::move(program_), scratch), std::move(storages));
  }

private:
  const mil::Operation& op_of(ValueId id) const {
    const mil::Function& function = l_.function();
    return function.ops[static_cast<size_t>(function.value(id).producer)];
  }
  const Shape& shape_of(ValueId id) const { return l_.function().type(id).shape; }
  bool is_inside(ValueId id) const { return ops_.contains(id); }
  bool is_whole(ValueId id) const { return space_.parts > 1 && shape_of(id) == space_.whole(); }
  bool is_kept(ValueId id) const {
    return space_.reduced_axis && is_inside(id) && shape_of(id) == space_.reduced();
  }
  std::vector<ValueId> inputs_of(ValueId id) const {
    const mil::Operation& op = op_of(id);
    const FusedOp& fused = ops_.at(id);
    if (fused.kind == Kind::concat) return op.argument("values")->values;
    if (fused.kind != Kind::call) return {op.input("x")};
    std::vector<ValueId> inputs;
    for (const std::string_view name : fused.call.inputs) inputs.push_back(op.input(name));
    return inputs;
  }

  // A slice of what lies in memory needs no step, wherever it is read.
  void bind_views() {
    for (const ValueId id : results_) {
      const FusedOp& op = ops_.at(id);
      if (op.kind != Kind::slice || is_inside(op_of(id).input("x"))) continue;
      if (leaving_.erase(id) != 0)
        l_.bind_value(id, part_of(l_.operand_of(op_of(id).input("x")), op.part));
    }
  }

  Operand part_of(const Operand& x, int64_t part) const {
    const int64_t extent = space_.shape[space_.parts_axis];
    return slice_view(x, space_.parts_axis, part * extent, extent);
  }

  // The layout of one operand of full size decides those of results that have no place, and the
  // order of the loops.
  void choose_layout() {
    std::vector<Operand> given; // of full size
    for (const ValueId id : results_)
      for (const ValueId input : inputs_of(id)) {
        const bool full = shape_of(input) == space_.shape || is_whole(input);
        if (full && !is_inside(input)) given.push_back(l_.operand_of(input));
      }
    for (const ValueId id : results_) {
      if (!leaving_.contains(id)) continue;
      const Operand place = place_of(id, given);
      places_.emplace(id, place);
      if (!layout_ && (shape_of(id) == space_.shape || is_whole(id))) layout_ = place;
    }
    if (!layout_ && !given.empty()) layout_ = given.front();
    if (!layout_) {
      const ValueId any = inputs_of(results_.front()).front();
      layout_ = broadcast_view(l_.operand_of(any), space_.shape);
    }
    const bool divided = space_.parts > 1 && layout_->shape == space_.whole();
    program_.operands.push_back(divided ? part_of(*layout_, 0) : *layout_);
  }

  // A later phase may read an input again, which therefore keeps its memory.
  Operand place_of(ValueId id, std::span<const Operand> given) {
    if (phases_ == 1) return l_.result_in_place_of(id, given);
    return l_.result_of(id, given.empty() ? nullptr : &given.front());
  }

  void assign_phases() {
    for (const ValueId id : results_) {
      size_t phase = is_kept(id) ? 1 : 0;
      for (const ValueId input : inputs_of(id)) {
        if (!is_inside(input)) continue;
        const bool crosses = is_kept(input) != is_kept(id);
        phase = std::max(phase, phase_of_.at(input) + (crosses ? 1 : 0));
      }
      phase_of_[id] = phase;
      phases_ = std::max(phases_, phase + 1);
    }
  }

  // Values that a later phase would have to compute again, at some cost, get memory.
  void keep_costly_values() {
    for (const ValueId id : results_) {
      const bool reduction = ops_.at(id).kind == Kind::reduce;
      for (const ValueId input : inputs_of(id))
        keep_for(input, reduction ? phase_of_.at(id) - 1 : phase_of_.at(id));
    }
  }

  void keep_for(ValueId id, size_t phase) {
    if (!is_inside(id) || is_kept(id)) return;
    if (phase_of_.at(id) < phase) {
      if (is_stored_exactly(id)) return;
      const bool fits = leaving_.size() + spilled_.size() + outside_count() < max_fused_operands;
      if (!is_cheap(ops_.at(id)) && fits) {
        spilled_.emplace(id, l_.temporary(DataType::fp32, space_.shape, &*layout_));
        return;
      }
    }
    for (const ValueId input : inputs_of(id)) keep_for(input, phase);
  }

  size_t outside_count() const {
    std::set<ValueId> outside;
    for (const ValueId id : results_)
      for (const ValueId input : inputs_of(id))
        if (!is_inside(input)) outside.insert(input);
    return outside.size() + 1; // and the operand that decides the order
  }

  // In memory as it was in the register.
  bool is_stored_exactly(ValueId id) const {
    const auto place = places_.find(id);
    return spilled_.contains(id) ||
           (place != places_.end() && place->second.dtype == DataType::fp32);
  }

  void number_kept_values() {
    for (const ValueId id : results_)
      if (is_kept(id)) kept_.emplace(id, kept_count_++);
    next_value_ = kept_count_;
  }

  void lower_phase(size_t phase) {
    phase_ = phase;
    current_ = &program_.phases.emplace_back();
    known_.clear();
    for (const ValueId id : results_) {
      const size_t own = phase_of_.at(id);
      if (ops_.at(id).kind == Kind::reduce && own == phase + 1)
        current_->folds.push_back(
            {ops_.at(id).reduction, read(inputs_of(id).front(), undivided), kept_.at(id)});
      if (own != phase) continue;
      if (is_kept(id) && ops_.at(id).kind == Kind::convert) copy_kept(id);
      if (is_kept(id) && ops_.at(id).kind == Kind::call) compute(id, undivided, kept_.at(id));
      store(id);
    }
  }

  // A conversion computes nothing, but a kept value has a register of its own.
  void copy_kept(ValueId id) {
    current_->calls.push_back({pointwise_float("identity"),
                               {},
                               {read(inputs_of(id).front(), undivided), 0, 0},
                               1,
                               kept_.at(id)});
  }

  void store(ValueId id) {
    if (const auto spilled = spilled_.find(id); spilled != spilled_.end())
      current_->stores.push_back(
          {register_of(id, undivided), operand(spilled->second, id, spilled_copy)});
    const auto place = places_.find(id);
    if (place == places_.end()) return;
    if (!is_whole(id))
      return current_->stores.push_back(
          {register_of(id, undivided), operand(place->second, id, undivided)});
    for (int64_t part = 0; part < space_.parts; ++part)
      current_->stores.push_back(
          {register_of(id, part), operand(part_of(place->second, part), id, part)});
  }

  // The register of an input of an op, of which `part` is computed.
  int32_t read(ValueId id, int64_t part) {
    if (!is_inside(id)) return load(id, part);
    return register_of(id, is_whole(id) ? part : undivided);
  }

  int32_t register_of(ValueId id, int64_t part) {
    if (is_kept(id)) return kept_.at(id);
    const auto [found, is_new] = known_.try_emplace({id, part}, -1);
    if (!is_new) return found->second;
    const bool memory = phase_of_.at(id) < phase_ && is_stored_exactly(id);
    const int32_t value = memory ? load_stored(id) : compute(id, part, -1);
    return known_[{id, part}] = value;
  }

  // `target` is the register for the result, or -1 for a new one.
  int32_t compute(ValueId id, int64_t part, int32_t target) {
    const mil::Operation& op = op_of(id);
    const FusedOp& fused = ops_.at(id);
    switch (fused.kind) {
    case Kind::slice:
      return read(op.input("x"), fused.part);
    case Kind::concat:
      return read(op.argument("values")->values[static_cast<size_t>(part)], undivided);
    case Kind::pad:
      if (part == fused.part) return read(op.input("x"), undivided);
      return load_constant(rounded_argument(l_.function(), op, "constant_val", DataType::fp32));
    case Kind::convert:
    case Kind::reduce:
      return read(op.input("x"), part);
    case Kind::call:
      break;
    }
    FusedProgram::Call call{pointwise_float(fused.call.kernel), fused.call.parameters, {}, 0, 0};
    for (const std::string_view name : fused.call.inputs)
      call.inputs[call.count++] = read(op.input(name), part);
    call.value = target < 0 ? next_value_++ : target;
    current_->calls.push_back(call);
    return call.value;
  }

  int32_t load(ValueId id, int64_t part) {
    const Operand& x = outside(id);
    // What repeats along the axis of the parts is the same for each.
    const size_t axis = space_.parts_axis + x.shape.size() - space_.shape.size();
    const bool repeats = x.shape.size() + space_.parts_axis < space_.shape.size() ||
                         axis >= x.shape.size() || x.shape[axis] == 1;
    if (part == undivided || repeats)
      return load_operand(id, undivided, broadcast_view(x, space_.shape));
    return load_operand(id, part, part_of(broadcast_view(x, space_.whole()), part));
  }

  int32_t load_stored(ValueId id) {
    const auto spilled = spilled_.find(id);
    if (spilled != spilled_.end()) return load_operand(id, spilled_copy, spilled->second);
    return load_operand(id, undivided, places_.at(id));
  }

  int32_t load_operand(ValueId id, int64_t part, const Operand& view) {
    const auto [found, is_new] = loaded_.try_emplace({phase_, id, part}, next_value_);
    if (is_new) current_->loads.push_back({operand(view, id, part), next_value_++});
    return found->second;
  }

  int32_t load_constant(float value) {
    const Operand scalar = l_.constant(DataType::fp32, value);
    current_->loads.push_back({add_operand(broadcast_view(scalar, space_.shape)), next_value_});
    return next_value_++;
  }

  // Tensors that a block would walk across their rows are copied first.
  const Operand& outside(ValueId id) {
    const auto found = outside_.find(id);
    if (found != outside_.end()) return found->second;
    return outside_.emplace(id, l_.in_order_of(l_.operand_of(id), *layout_)).first->second;
  }

  size_t operand(const Operand& x, ValueId id, int64_t part) {
    const auto [found, is_new] = indices_.try_emplace({id, part}, 0);
    if (is_new) found->second = add_operand(broadcast_view(x, space_.shape));
    return found->second;
  }

  // The operand that decides the order of the loops is often the first to be used, too.
  size_t add_operand(const Operand& x) {
    const Operand& first = program_.operands.front();
    if (x.storage == first.storage && x.offset == first.offset && x.strides == first.strides)
      return 0;
    program_.operands.push_back(x);
    return program_.operands.size() - 1;
  }

  Lowering& l_;
  const FusedSpace& space_;
  std::span<const ValueId> results_;
  std::set<ValueId> leaving_;
  std::map<ValueId, FusedOp> ops_;
  FusedProgram program_;
  std::optional<Operand> layout_;
  std::map<ValueId, Operand> places_;  // of results that leave
  std::map<ValueId, Operand> spilled_; // of results that a later phase reads back
  std::map<ValueId, Operand> outside_;
  std::map<std::pair<ValueId, int64_t>, size_t> indices_; // of operands, by value and part
  std::map<ValueId, size_t> phase_of_;
  size_t phases_ = 1;
  std::map<ValueId, int32_t> kept_; // registers of values without the reduced axis
  int32_t kept_count_ = 0;
  int32_t next_value_ = 0;
  // Of the phase that is being lowered.
  size_t phase_ = 0;
  FusedProgram::Phase* current_ = nullptr;
  std::map<std::pair<ValueId, int64_t>, int32_t> known_;
  std::map<std::tuple<size_t, ValueId, int64_t>, int32_t> loaded_;
};

} // namespace

void lower_pointwise_group(Lowering& l, const FusedSpace& space, std::span<const ValueId> results,
                           std::span<const ValueId> leaving) {
  GroupLowering(l, space, results, leaving).run();
}

} // namespace anet::backend::cpu
