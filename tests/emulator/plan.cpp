#include "plan.h"

#include "fallback.h"

#include <algorithm>
#include <map>

namespace emulator {

float* Scratch::take(size_t slot, int64_t count) {
  if (slots_.size() <= slot) slots_.resize(slot + 1);
  if (slots_[slot].size() < static_cast<size_t>(count))
    slots_[slot].resize(static_cast<size_t>(count));
  return slots_[slot].data();
}

// Every floating value is an fp16 value already, whatever its declared type: the data path is fp16
// (ane-facts.md 6, R). A cast between floating types changes nothing.
bool is_view(const Call& call) {
  const std::string& name = call.op().name;
  if (name == "cast") {
    const DataType to = call.function().value(call.op().outputs.front()).type.dtype;
    return anet::mil::is_floating(call.type("x").dtype) && anet::mil::is_floating(to);
  }
  return name == "reshape" || name == "expand_dims" || name == "squeeze" || name == "identity" ||
         name == "tensor_buffer_to_tensor" || name == "tensor_to_tensor_buffer";
}

Step fallback_step(const Call& call) {
  auto op = std::make_shared<FallbackOp>(call);
  const std::vector<int> outputs = call.op().outputs;
  return [op, outputs](const Frame& frame) {
    std::vector<const float*> in;
    std::vector<float*> out;
    for (const int value : op->inputs()) in.push_back(frame.in(value));
    for (const int value : outputs) out.push_back(frame.out(value));
    op->run(in, out);
  };
}

namespace {

Step make_step(const Call& call, const PlanOptions& options) {
  if (is_view(call)) return nullptr;
  for (const auto family :
       {unary_step, binary_step, matrix_step, reduction_step, movement_step, quantization_step}) {
    Step step = family(call, options);
    if (step) return step;
  }
  return fallback_step(call);
}

// Free intervals of the arena, by offset.
class Arena {
public:
  int64_t take(int64_t size) {
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      if (it->second < size) continue;
      const int64_t offset = it->first;
      const int64_t rest = it->second - size;
      free_.erase(it);
      if (rest > 0) free_[offset + size] = rest;
      return offset;
    }
    const int64_t offset = end_;
    end_ += size;
    return offset;
  }
  void give(int64_t offset, int64_t size) {
    auto it = free_.emplace(offset, size).first;
    const auto after = std::next(it);
    if (after != free_.end() && offset + size == after->first) {
      it->second += after->second;
      free_.erase(after);
    }
    if (it == free_.begin()) return;
    const auto before = std::prev(it);
    if (before->first + before->second == it->first) {
      before->second += it->second;
      free_.erase(it);
    }
  }
  int64_t end() const { return end_; }

private:
  std::map<int64_t, int64_t> free_;
  int64_t end_ = 0;
};

// Arrays start on cache lines.
int64_t padded(const Type& type) { return (type.elements() + 15) / 16 * 16; }

} // namespace

Plan::Plan(const CheckedFunction& function, const PlanOptions& options) : function_(&function) {
  for (const CheckedOp& op : function.ops) steps_.push_back(make_step(Call(function, op), options));
  share_views();
  place_values();
}

void Plan::share_views() {
  const CheckedFunction& function = *function_;
  places_.resize(function.values.size());
  for (size_t i = 0; i < places_.size(); ++i) places_[i].root = static_cast<int>(i);
  for (size_t i = 0; i < function.ops.size(); ++i) {
    const CheckedOp& op = function.ops[i];
    if (!is_view(Call(function, op))) continue;
    places_[static_cast<size_t>(op.outputs.front())].root =
        places_[static_cast<size_t>(op.operands.front().values.front())].root;
  }
  const auto use = [&](int value, int step) {
    const int root = places_[static_cast<size_t>(value)].root;
    places_[static_cast<size_t>(root)].last_use = step;
  };
  const int steps = static_cast<int>(function.ops.size());
  for (int step = 0; step < steps; ++step) {
    const CheckedOp& op = function.ops[static_cast<size_t>(step)];
    for (const Operand& operand : op.operands) {
      for (const int value : operand.values) use(value, step);
    }
    for (const int value : op.outputs) use(value, step);
  }
  for (const int value : function.outputs) use(value, steps);
}

void Plan::place_values() {
  const CheckedFunction& function = *function_;
  Arena arena;
  const auto place = [&](int value) {
    Place& entry = places_[static_cast<size_t>(value)];
    if (entry.root == value) entry.offset = arena.take(padded(function.value(value).type));
  };
  std::map<int, std::vector<int>> dying;
  for (const int value : function.inputs) place(value);
  for (size_t i = 0; i < places_.size(); ++i)
    dying[places_[i].last_use].push_back(static_cast<int>(i));
  for (size_t step = 0; step < function.ops.size(); ++step) {
    for (const int value : function.ops[step].outputs) place(value);
    for (const int value : dying[static_cast<int>(step)]) {
      const Place& entry = places_[static_cast<size_t>(value)];
      if (entry.root == value && entry.offset >= 0)
        arena.give(entry.offset, padded(function.value(value).type));
    }
  }
  arena_size_ = arena.end();
}

void Plan::prepare(Run& run) const {
  if (run.arena.size() < static_cast<size_t>(arena_size_))
    run.arena.resize(static_cast<size_t>(arena_size_));
  run.frame.scratch = &run.scratch;
  run.frame.values.assign(places_.size(), nullptr);
  for (size_t i = 0; i < places_.size(); ++i) {
    const auto root = static_cast<size_t>(places_[i].root);
    const ConstantPointer& constant = function_->values[root].constant;
    if (constant) {
      // Steps never write to what they read.
      run.frame.values[i] = const_cast<float*>(constant->values.data());
    } else if (places_[root].offset >= 0) {
      run.frame.values[i] = run.arena.data() + places_[root].offset;
    }
  }
}

void Plan::execute(const Run& run) const {
  for (const Step& step : steps_) {
    if (step) step(run.frame);
  }
}

} // namespace emulator
