#include "backend/ane/kernel_builder.h"

#include "backend/view_checks.h"
#include "base/status.h"
#include "mil/builder.h"
#include "mil/op_table.h"
#include "mil/passes.h"

#include <algorithm>

namespace anet::backend::ane {

namespace {

// Below this the host is done before the engine is asked (ane-facts.md 7.1); of multiply-adds a
// second on one core, times two.
constexpr double host_flops_per_second = 2e10;
constexpr size_t max_reasons = 6;

std::string name_of(const mil::Function& function, const mil::Operation& op) {
  return function.value(op.outputs.front()).name;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string joined(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// Labels are separated by commas; an empty list means all.
bool is_listed(const std::string& list, const std::string& label) {
  return list.empty() || ("," + list + ",").find("," + label + ",") != std::string::npos;
}

// What the engine may refuse without its being our mistake.
bool is_refusal(Status status) {
  return status == Status::unsupported || status == Status::compile_budget ||
         status == Status::device || status == Status::unavailable ||
         status == Status::out_of_memory;
}

} // namespace

KernelBuilder::KernelBuilder(std::shared_ptr<Environment> environment,
                             const mil::Function& function, const CompileOptions& options)
    : environment_(std::move(environment)), options_(options) {
  check_compile_options(function, options);
  if (options.workspace) {
    workspace_ = std::dynamic_pointer_cast<AneWorkspace>(options.workspace);
    if (!workspace_) fail(Status::invalid_argument, "expected a workspace of the ane device");
  } else {
    workspace_ = std::make_shared<AneWorkspace>(environment_);
  }
  function_ = mil::optimize(function);
  separate_accumulated();
  find_policies();
}

// The host does the adding: an accumulated output becomes an op of its own there, and what widens
// it stays with it, so that the narrow values cross.
void KernelBuilder::separate_accumulated() {
  std::vector<std::pair<size_t, std::string>> outputs;
  for (size_t i = 0; i < function_.outputs.size(); ++i) {
    mil::Value& value = function_.values[static_cast<size_t>(function_.outputs[i])];
    if (!is_accumulated(value.name)) continue;
    outputs.emplace_back(i, value.name);
    std::string renamed = value.name + "_addend";
    while (function_.find(renamed) != mil::no_value) renamed += "_";
    const mil::Operation* producer =
        value.producer < 0 ? nullptr : &function_.ops[static_cast<size_t>(value.producer)];
    if (producer != nullptr && std::string_view(producer->name()) == "cast") {
      host_values_.insert(renamed);
      addends_.insert(function_.value(producer->input("x")).name);
    } else {
      addends_.insert(renamed);
    }
    value.name = std::move(renamed);
  }
  if (outputs.empty()) return;
  note("the host adds up what is accumulated");
  mil::Builder builder(std::move(function_));
  std::vector<mil::ValueId> ids = builder.function().outputs;
  for (const auto& [index, name] : outputs) {
    ids[index] = builder.unary("identity", ids[index], name);
    host_values_.insert(name);
  }
  mil::Function separated = std::move(builder).finish();
  separated.outputs = std::move(ids);
  function_ = std::move(separated);
}

bool KernelBuilder::is_accumulated(const std::string& name) const {
  return contains(options_.accumulate, name);
}

void KernelBuilder::find_policies() {
  std::vector<std::string> gradients = options_.accumulate;
  for (const std::string& name : options_.unwatched)
    if (function_.output(name) != mil::no_value) gradients.push_back(name);
  if (gradients.empty()) return;
  const std::vector<bool> only = mil::ops_only_for(function_, gradients);
  for (size_t i = 0; i < only.size(); ++i)
    if (only[i]) only_accumulated_.insert(name_of(function_, function_.ops[i]));
}

PlacementPolicy KernelBuilder::policy_of(const mil::Operation& op) const {
  Part part = Part::other;
  if (options_.role == Role::forward) part = Part::forward;
  if (options_.role == Role::loss) part = Part::loss;
  if (options_.role == Role::backward) {
    const bool weights = only_accumulated_.count(name_of(function_, op)) > 0;
    part = weights ? Part::weight_gradient : Part::input_gradient;
  }
  return environment_->options().placement[static_cast<size_t>(part)];
}

// The engine if any part of the segment must be there.
PlacementPolicy KernelBuilder::policy_of(const mil::Function& segment) const {
  for (const mil::Operation& op : function_.ops) {
    if (segment.find(name_of(function_, op)) == mil::no_value) continue;
    if (op.schema != mil::const_schema() && policy_of(op) == PlacementPolicy::engine)
      return PlacementPolicy::engine;
  }
  return PlacementPolicy::measured;
}

mil::Side KernelBuilder::side_of(const mil::Operation& op) {
  if (policy_of(op) == PlacementPolicy::host) {
    note("placed on the host by the options");
    return mil::Side::host;
  }
  if (host_values_.count(name_of(function_, op)) > 0) return mil::Side::host;
  const std::string reason = why_unsupported(function_, op, environment_->rules());
  if (reason.empty()) return mil::Side::engine;
  note(reason);
  return mil::Side::host;
}

PeaksOf KernelBuilder::peaks() const {
  if (options_.role == Role::loss) return PeaksOf::all;
  return options_.role == Role::backward ? PeaksOf::hidden : PeaksOf::nothing;
}

int64_t KernelBuilder::min_engine_flops() const {
  bool forced = false;
  for (const mil::Operation& op : function_.ops)
    forced = forced || policy_of(op) == PlacementPolicy::engine;
  if (!forced)
    return static_cast<int64_t>(environment_->rules().dispatch_seconds * host_flops_per_second);
  // A kernel of training without a product is not worth a dispatch; a user's own may be a test.
  return options_.role == Role::other ? 0 : 1;
}

KernelParts KernelBuilder::build() && {
  while (!cut() || !lay_out()) {
  }
  previous_.clear();
  explain_host_steps();
  compile_host_steps();
  make_scratch();
  parts_.label = options_.label;
  parts_.workspace = workspace_;
  parts_.audited = is_listed(environment_->options().audit_kernels, options_.label);
  parts_.reason = reason();
  return std::move(parts_);
}

bool KernelBuilder::cut() {
  std::move(pieces_.begin(), pieces_.end(), std::back_inserter(previous_));
  pieces_.clear();
  could_be_engine_.clear();
  const auto choose = [&](const mil::Operation& op) {
    const mil::Side side = side_of(op);
    if (side == mil::Side::engine) could_be_engine_.insert(name_of(function_, op));
    return side;
  };
  std::vector<mil::Segment> segments =
      mil::partition(function_, choose, {.min_engine_flops = min_engine_flops()});
  for (mil::Segment& segment : segments) {
    Piece& piece = pieces_.emplace_back();
    piece.function = std::move(segment.function);
    if (segment.side == mil::Side::engine && !compile(piece)) return false;
  }
  return true;
}

// False when the engine refuses the piece, whose ops then belong to the host.
bool KernelBuilder::compile(Piece& piece) {
  LowerOptions lowering{.peaks = peaks(), .unwatched = addends_};
  lowering.unwatched.insert(options_.unwatched.begin(), options_.unwatched.end());
  try {
    piece.engine =
        std::make_unique<EngineSegment>(environment_, piece.function, lowering, options_.label);
    return true;
  } catch (const Error& error) {
    if (!is_refusal(error.status())) throw;
    if (error.status() == Status::compile_budget &&
        policy_of(piece.function) == PlacementPolicy::engine)
      throw;
    send_to_host(piece.function, error.message());
    return false;
  }
}

void KernelBuilder::send_to_host(const mil::Function& segment, const std::string& reason) {
  // Before the ops that no chip takes, which are always the same.
  if (!contains(reasons_, reason)) reasons_.insert(reasons_.begin(), reason);
  size_t moved = 0;
  for (const mil::Operation& op : function_.ops) {
    if (op.schema == mil::const_schema()) continue;
    const std::string name = name_of(function_, op);
    if (segment.find(name) != mil::no_value && host_values_.insert(name).second) ++moved;
  }
  if (moved == 0)
    fail(Status::internal, "expected ops of ", function_.name, " to move to the host, seen none");
}

bool KernelBuilder::lay_out() {
  parts_.steps.clear();
  piece_of_step_.clear();
  collect_values();
  make_steps();
  for (size_t s = 0; s < parts_.steps.size(); ++s) {
    KernelStep& step = parts_.steps[s];
    if (!step.engine) continue;
    const auto inputs = ports_of(step.inputs), outputs = ports_of(step.outputs);
    step.engine->set_ports(inputs, outputs);
    if (policy_of(step.engine->function()) == PlacementPolicy::engine) continue;
    const std::optional<Measured> times =
        measure_sides(*environment_, *step.engine, inputs, outputs);
    step.engine->drop_understudy();
    if (times && times->engine <= times->host) continue;
    send_to_host(step.engine->function(), times ? concat("measured: the host takes ", times->host,
                                                         " s, the engine ", times->engine, " s")
                                                : concat("measured: ", step.engine->reason()));
    for (KernelStep& other : parts_.steps) // for the next round to find its program
      if (other.engine) previous_.push_back({{}, std::move(other.engine)});
    return false;
  }
  return true;
}

// What the host runs although the engine could has a reason too: partition() leaves it there when
// that costs less.
void KernelBuilder::explain_host_steps() {
  std::set<std::string> small, moves;
  bool copies = false;
  for (size_t s = 0; s < parts_.steps.size(); ++s) {
    if (parts_.steps[s].engine) continue;
    const mil::Function& segment = pieces_[piece_of_step_[s]].function;
    copies = copies || std::any_of(segment.outputs.begin(), segment.outputs.end(), [&](auto id) {
               return segment.value(id).producer < 0 || segment.constant(id) != nullptr;
             });
    for (const mil::Operation& op : segment.ops) {
      if (could_be_engine_.count(name_of(segment, op)) == 0) continue;
      (mil::count_flops(segment, op) > 0 ? small : moves).insert(op.name());
    }
  }
  if (!small.empty())
    note(concat("the host runs ", joined(small), ": fewer multiply-adds than a dispatch is worth"));
  if (!moves.empty())
    note(concat("the host runs ", joined(moves), ": less than the way to the engine would cost"));
  if (copies) note("the host copies outputs that nothing computes");
}

void KernelBuilder::note(const std::string& reason) {
  if (!contains(reasons_, reason)) reasons_.push_back(reason);
}

std::string KernelBuilder::reason() const {
  std::string text;
  for (size_t i = 0; i < std::min(reasons_.size(), max_reasons); ++i)
    text += concat(i == 0 ? "" : "; ", reasons_[i]);
  if (reasons_.size() > max_reasons)
    text += concat("; and ", reasons_.size() - max_reasons, " more");
  return text;
}

} // namespace anet::backend::ane
