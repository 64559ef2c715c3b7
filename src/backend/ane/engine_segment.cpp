#include "backend/ane/engine_segment.h"

#include "backend/ane/buffer.h"
#include "backend/ane/output_looks.h"
#include "base/status.h"
#include "mil/blob.h"
#include "mil/builder.h"
#include "mil/partition.h"

#include <algorithm>
#include <chrono>

namespace anet::backend::ane {

namespace {

// Larger constants go to a blob file; shapes, axes and the like stay in the text.
constexpr int64_t blob_bytes = 64;
constexpr const char* blob_path = "@model_path/weights/weight.bin";
constexpr size_t max_requests = 512;
// After so many runs in a row that failed with their retry, the segment stays on the host.
constexpr int max_failed_runs = 2;
// So it does when runs fail often, though never two in a row: so many good runs make up for a
// failed one, and four that nothing made up for are too many. Every other run: five failures.
constexpr int runs_to_forget = 16;
constexpr int max_failure_level = 4 * runs_to_forget;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

mil::Program program_of(const Lowered& lowered) {
  mil::Program program = mil::Builder(lowered.function).finish_program();
  mil::store_in_blobs(program, blob_bytes, blob_path);
  return program;
}

std::string describe(const Error& error) {
  if (error.detail().domain.empty()) return error.message();
  return concat(error.message(), " (", error.detail().domain, " ", error.detail().code, ")");
}

uint64_t port_bytes(std::span<const EnginePort> ports) {
  uint64_t total = 0;
  for (const EnginePort& port : ports) total += port.size_bytes;
  return total;
}

} // namespace

EngineSegment::EngineSegment(std::shared_ptr<Environment> environment, mil::Function function,
                             const LowerOptions& options, std::string label)
    : environment_(std::move(environment)), function_(std::move(function)),
      label_(std::move(label)), flops_(mil::count_flops(function_)),
      looked_at_(outputs_to_look_at(function_)) {
  const Lowered lowered = lower(function_, environment_->rules(), options);
  slot_ = environment_->slots()->acquire(program_of(lowered));
  const EngineProcedure& procedure = slot_->procedure();
  attach(in_, lowered.inputs, procedure.inputs, function_.inputs);
  attach(out_, lowered.outputs, procedure.outputs, function_.outputs);
  for (size_t i = 0; i < out_.ports.size(); ++i)
    if (!lowered.peaks.empty() && out_.ports[i].name == lowered.peaks) peaks_ = i;
  for (const EnginePort& port : out_.ports)
    inspections_.emplace_back(Layout{port.dtype, port.shape, port.strides});
  seen_.resize(out_.ports.size());
  zero_is_right_.resize(out_.ports.size(), false);
  key_.resize(in_.ports.size() + out_.ports.size());
}

void EngineSegment::attach(Direction& direction, std::span<const LoweredPort> lowered,
                           std::span<const EnginePort> ports,
                           std::span<const mil::ValueId> values) {
  std::vector<mil::Type> types;
  for (const mil::ValueId id : values) types.push_back(function_.type(id));
  if (types.size() != lowered.size()) {
    fail(Status::internal, "expected ", types.size(), " lowered ports, seen ", lowered.size());
  }
  for (PortBinding& binding : bind_ports(types, lowered, ports)) {
    Attachment& attachment = direction.attachments.emplace_back();
    attachment.binding = std::move(binding);
  }
  direction.ports.assign(ports.begin(), ports.end());
  direction.staging.resize(ports.size());
  direction.surfaces.resize(ports.size());
  direction.lives.resize(ports.size());
}

const Layout* EngineSegment::native_input(size_t port) const {
  const PortBinding& binding = in_.attachments[port].binding;
  return binding.direct ? &binding.layout : nullptr;
}

const Layout* EngineSegment::native_output(size_t port) const {
  const PortBinding& binding = out_.attachments[port].binding;
  return binding.direct ? &binding.layout : nullptr;
}

void EngineSegment::set_ports(std::vector<SegmentPort> inputs, std::vector<SegmentPort> outputs) {
  input_inspections_.clear();
  output_inspections_.clear();
  for (const SegmentPort& port : inputs) input_inspections_.emplace_back(port.layout);
  for (const SegmentPort& port : outputs) output_inspections_.emplace_back(port.layout);
  set_ports(in_, std::move(inputs), true);
  set_ports(out_, std::move(outputs), false);
}

void EngineSegment::set_ports(Direction& direction, std::vector<SegmentPort> ports, bool input) {
  for (size_t i = 0; i < ports.size(); ++i) {
    Attachment& attachment = direction.attachments[i];
    attachment.port = std::move(ports[i]);
    const Layout& bound = attachment.port.layout;
    const Layout& native = attachment.binding.layout;
    attachment.direct = attachment.binding.direct && same_bytes(bound, native);
    // Also when direct: a view may be ordinary memory, or begin inside its surface.
    const auto [outside, inside] = in_common_shape(bound, native);
    attachment.copy = input ? TensorCopy(outside, inside) : TensorCopy(inside, outside);
  }
}

size_t EngineSegment::staging_bytes() const {
  size_t total = 0;
  for (const Direction* direction : {&in_, &out_}) {
    std::vector<bool> staged(direction->ports.size(), false);
    for (const Attachment& attachment : direction->attachments)
      if (!attachment.direct) staged[attachment.binding.engine_port] = true;
    for (size_t i = 0; i < staged.size(); ++i)
      if (staged[i]) total += direction->ports[i].size_bytes;
  }
  return total;
}

void EngineSegment::choose_surfaces(Direction& direction, std::span<const View> views) {
  for (size_t i = 0; i < direction.attachments.size(); ++i) {
    const Attachment& attachment = direction.attachments[i];
    const size_t at = attachment.binding.engine_port;
    const SurfaceBuffer* buffer = attachment.direct ? surface_buffer(views[i]) : nullptr;
    // A request's offset has no effect (ane-facts.md 1.5, R): only whole surfaces are bound.
    if (buffer != nullptr && buffer->engine() == environment_->engine().get() &&
        views[i].offset == 0 && buffer->size_bytes() >= direction.ports[at].size_bytes) {
      direction.surfaces[at] = buffer->surface();
      direction.lives[at] = buffer->life();
    } else {
      direction.surfaces[at] = nullptr;
    }
  }
  for (size_t at = 0; at < direction.ports.size(); ++at) {
    if (direction.surfaces[at]) continue;
    std::shared_ptr<Surface>& staging = direction.staging[at];
    if (!staging) staging = environment_->engine()->make_surface(direction.ports[at].size_bytes);
    direction.surfaces[at] = staging;
    direction.lives[at] = staging;
  }
}

EngineRequest& EngineSegment::find_request() {
  size_t at = 0;
  for (const auto& surface : in_.surfaces) key_[at++] = surface.get();
  for (const auto& surface : out_.surfaces) key_[at++] = surface.get();
  for (const CachedRequest& cached : requests_)
    if (cached.key == key_) return *cached.request;
  // A miss is rare: the moment to forget buffers that are gone.
  std::erase_if(requests_, [](const CachedRequest& cached) {
    return std::any_of(cached.lives.begin(), cached.lives.end(),
                       [](const auto& life) { return life.expired(); });
  });
  if (requests_.size() == max_requests) requests_.erase(requests_.begin());
  CachedRequest cached{key_, in_.lives, slot_->bind(in_.surfaces, out_.surfaces)};
  cached.lives.insert(cached.lives.end(), out_.lives.begin(), out_.lives.end());
  requests_.push_back(std::move(cached));
  return *requests_.back().request;
}

void EngineSegment::stage(std::span<const View> views, RunTotals& totals) {
  const auto start = Clock::now();
  for (size_t i = 0; i < in_.attachments.size(); ++i) {
    const Attachment& attachment = in_.attachments[i];
    const size_t at = attachment.binding.engine_port;
    if (in_.surfaces[at] != in_.staging[at]) continue;
    const HostAccess access(views.subspan(i, 1), {});
    const SurfaceLock lock(*in_.surfaces[at], true);
    attachment.copy->run(views[i].buffer->data() + views[i].offset,
                         in_.surfaces[at]->data() + attachment.binding.offset,
                         &environment_->host().thread_pool());
  }
  totals.copy_seconds += seconds_since(start);
}

void EngineSegment::unstage(std::span<const View> views, RunTotals& totals) {
  const auto start = Clock::now();
  for (size_t i = 0; i < out_.attachments.size(); ++i) {
    const Attachment& attachment = out_.attachments[i];
    const size_t at = attachment.binding.engine_port;
    if (out_.surfaces[at] != out_.staging[at]) continue;
    const HostAccess access({}, views.subspan(i, 1));
    const SurfaceLock lock(*out_.surfaces[at], false);
    attachment.copy->run(out_.surfaces[at]->data() + attachment.binding.offset,
                         views[i].buffer->data() + views[i].offset,
                         &environment_->host().thread_pool());
  }
  totals.copy_seconds += seconds_since(start);
}

void EngineSegment::attempt(std::span<const View> inputs, RunTotals& totals) {
  EngineRequest& request = find_request();
  stage(inputs, totals);
  const auto start = Clock::now();
  slot_->evaluate(request);
  totals.engine_seconds += seconds_since(start);
  totals.evaluations += 1;
  totals.engine_flops += flops_;
  totals.bytes_in += port_bytes(in_.ports);
  totals.bytes_out += port_bytes(out_.ports);
}

// False when it failed twice.
bool EngineSegment::evaluate(std::span<const View> inputs, RunTotals& totals) {
  for (const bool last : {false, true}) {
    try {
      attempt(inputs, totals);
      return true;
    } catch (const Error& error) {
      if (last) {
        note_failure(describe(error));
      } else {
        totals.retries += 1;
      }
    }
  }
  return false;
}

void EngineSegment::note_failure(std::string reason) {
  ++failed_runs_;
  failure_level_ += runs_to_forget;
  set_reason(std::move(reason),
             failed_runs_ >= max_failed_runs || failure_level_ >= max_failure_level);
}

void EngineSegment::note_success() {
  failed_runs_ = 0;
  failure_level_ = std::max(0, failure_level_ - 1);
}

void EngineSegment::move_to_host(std::string reason) { set_reason(std::move(reason), true); }

void EngineSegment::set_reason(std::string reason, bool on_host) {
  reason_ = std::move(reason);
  on_host_ = on_host_ || on_host;
  ++changes_;
}

bool EngineSegment::run(std::span<const View> inputs, std::span<const View> outputs, bool audit,
                        RunTotals& totals, bool look_later) {
  if (on_host_) return run_on_host(inputs, outputs, totals);
  choose_surfaces(in_, inputs);
  choose_surfaces(out_, outputs);
  if (!evaluate(inputs, totals)) {
    totals.fallbacks += 1;
    return run_on_host(inputs, outputs, totals);
  }
  const Seen seen = look(inputs, look_later && !audit);
  unstage(outputs, totals);
  if (seen.suspicious && !zeros_are_right(inputs, outputs, totals)) {
    note_failure("the engine returned zeros where the host computes others");
    totals.fallbacks += 1;
    return run_on_host(inputs, outputs, totals);
  }
  if (audit && !passes_audit(inputs, outputs, seen.overflowed, totals)) {
    totals.fallbacks += 1;
    return run_on_host(inputs, outputs, totals);
  }
  note_success();
  return seen.overflowed;
}

bool EngineSegment::run_on_host(std::span<const View> inputs, std::span<const View> outputs,
                                RunTotals& totals) {
  Kernel& kernel = understudy();
  const auto start = Clock::now();
  const HostAccess access(inputs, outputs);
  kernel.run(inputs, outputs);
  totals.host_seconds += seconds_since(start);
  totals.host_flops += flops_;
  return kernel.overflowed();
}

Kernel& EngineSegment::understudy() {
  if (understudy_) return *understudy_;
  CompileOptions options;
  options.label = label_;
  for (const Direction* direction : {&in_, &out_})
    for (const Attachment& attachment : direction->attachments)
      options.port_layouts[attachment.port.name] = attachment.port.layout;
  understudy_ = environment_->host().compile(function_, options);
  return *understudy_;
}

void EngineSegment::drop_understudy() {
  understudy_.reset();
  comparison_views_.clear();
  comparison_.clear();
}

} // namespace anet::backend::ane
