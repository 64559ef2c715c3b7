// What a device is: it compiles MIL functions into kernels, holds buffers, and runs kernels on
// them. One folder a device behind this interface; nothing above knows which one it has.
#pragma once

#include "backend/ane_options.h"
#include "mil/differentiate.h"
#include "mil/program.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace anet {
class ThreadPool; // base/thread_pool.h
}

namespace anet::backend {

using mil::DataType;
using mil::Shape;

// A tensor's place in memory. Strides are in bytes, because ANE rows are padded to 64
// (ane-facts.md 0.1, R); the innermost stride is always the element size.
struct Layout {
  DataType dtype = DataType::fp32;
  Shape shape;
  std::vector<int64_t> strides;

  static Layout contiguous(DataType dtype, Shape shape);
  bool is_contiguous() const;
  int64_t span_bytes() const; // from the first byte to one past the last
  bool operator==(const Layout&) const = default;
};

// Memory that a kernel reads or writes. Thread class: one thread at a time, except the mapping
// count, which any thread may read.
class Buffer {
public:
  virtual ~Buffer() = default;
  const Layout& layout() const { return layout_; }
  size_t size_bytes() const { return size_; }
  // Host address, valid while mapped (and always on devices with `host_memory`).
  virtual std::byte* data() = 0;
  // Mapping waits for the device; a run on a mapped buffer is refused with Status::busy.
  virtual void map(bool write) = 0;
  virtual void unmap() = 0;
  // What the platform calls this memory (an IOSurfaceRef), or null for ordinary memory.
  virtual void* native_handle() { return nullptr; }
  // The number by which other processes find that memory, or 0.
  virtual uint32_t native_id() { return 0; }
  bool is_mapped() const { return mappings_.load(std::memory_order_acquire) > 0; }

protected:
  Buffer(Layout layout, size_t size) : layout_(std::move(layout)), size_(size) {}
  std::atomic<int> mappings_{0};

private:
  Layout layout_;
  size_t size_;
};

// A buffer, or a part of one: the bytes from `offset`, seen with `layout`.
struct View {
  Buffer* buffer = nullptr;
  size_t offset = 0;
  Layout layout;

  View() = default;
  View(Buffer& whole) : buffer(&whole), layout(whole.layout()) {}
  View(Buffer& whole, size_t byte_offset, Layout part)
      : buffer(&whole), offset(byte_offset), layout(std::move(part)) {}
};

struct Port {
  std::string name;
  Layout layout; // what a bound view must have, exactly
};

struct Capabilities {
  std::string name;               // "cpu", "ane"
  std::string description;        // "AMD EPYC, 2 threads, AVX-512"
  bool host_memory = false;       // buffers are ordinary memory, always addressable
  bool accumulate = false;        // outputs can be added to instead of overwritten
  bool prefers_constants = false; // weights that stay as they are are better baked into programs
  bool fused_attention = false;   // scaled_dot_product_attention never holds all of its scores
  bool narrow_gradients = false;  // fp16 outputs are at hand as they are; a sum costs a pass
  bool leaves_host_free = false;  // programs run beside the CPU, which may do other work meanwhile
  bool transposed_parameters = false; // a matrix that a program reads transposed is better given so
  bool stacks_products = false;       // small matrices that multiply the same are better stacked
  // A weight that stays as it is had better be an input beside the one that is added to it than a
  // constant whose product is added to the other's.
  bool joins_products = false;
  mil::TapCosts tap_costs = {}; // what backward programs had better be given
  // What they had better be given transposed.
  mil::TransposedOperands transposed_operands = {};
  std::vector<DataType> compute; // precisions with native speed
  // Logits in fp32 that training holds at once. Less memory means that the head, which every chunk
  // of positions reads, is read more often.
  int64_t logit_bytes = int64_t{32} << 20;
  int64_t max_rank = 0;
  int64_t max_ports = 0; // inputs of a program, and outputs; 0: any number
  size_t buffer_alignment = 64;
};

struct Support {
  bool supported = true;
  std::string reason; // when not: names the op and the rule it breaks
};

// A scratch arena that kernels of one device share; kernels that share one must not run at once.
// Compiling a kernel raises what the arena needs; only `reserve` allocates it, so that a caller
// can compile everything, read the plan and refuse it before memory is spent.
class Workspace {
public:
  virtual ~Workspace() = default;
  virtual size_t size_bytes() const = 0; // needed by the kernels compiled so far
  // Throws out_of_memory. A run before it throws invalid_state.
  virtual void reserve() = 0;
};

// What a kernel is for in training; a device may place kernels by it.
enum class Role : uint8_t { other, forward, loss, backward };

struct CompileOptions {
  // Layouts that the caller's ports have, by name; a device that cannot use one in place copies.
  // Ports that are not named get the layout that the device likes best (Kernel::inputs tells).
  std::map<std::string, Layout> port_layouts;
  // Outputs whose values are added to what the bound buffer holds (gradient accumulation). They
  // are complete only after Kernel::synchronize.
  std::vector<std::string> accumulate;
  // Outputs, and values inside that lie between the engine and the host, whose infinities the
  // caller finds itself: Kernel::overflowed may leave them out. Names of others do nothing.
  std::vector<std::string> unwatched = {};
  Role role = Role::other;
  // Null: the kernel has its own, reserved as it is compiled.
  std::shared_ptr<Workspace> workspace;
  // What the kernel is for, in reports.
  std::string label;
};

struct KernelStatistics {
  size_t workspace_bytes = 0; // planned scratch
  size_t constant_bytes = 0;  // weights baked in, in the form the device keeps them
  int64_t flops = 0;          // multiply-adds count two, matmul and conv only
  int32_t op_count = 0;       // after views and dead ops are gone
};

// What a kernel has done since it was compiled. "Engine" is the device's own processor where it is
// not the host.
struct RunTotals {
  uint64_t runs = 0;
  uint64_t evaluations = 0;  // on the engine
  uint64_t retries = 0;      // evaluations repeated after a failure
  uint64_t fallbacks = 0;    // parts of runs that the host did because the engine failed
  uint64_t audits = 0;       // engine results compared with the host's
  double engine_seconds = 0; // waiting for the engine
  double host_seconds = 0;   // computing on the host, in the background too
  double copy_seconds = 0;   // moving and converting between buffers and engine ports
  uint64_t bytes_in = 0;     // read by the engine through its ports
  uint64_t bytes_out = 0;
  int64_t engine_flops = 0; // counted as in KernelStatistics
  int64_t host_flops = 0;
  double audit_error = 0; // the largest that an audit saw, relative to the tensor's largest value
};

// Where a kernel runs: "cpu", "ane", or "ane+cpu" with the reason for the host's part; on "cpu" the
// reason why products do not run in the type of their operands.
struct Placement {
  std::string where;
  std::string reason;
};

struct RunOptions {
  // No other run writes to the views before Kernel::synchronize, so overflows may be looked for
  // beside later runs. Maps wait for that.
  bool keeps_views = false;
};

// A compiled function. Thread class: one run at a time per kernel and per workspace.
class Kernel {
public:
  virtual ~Kernel() = default;
  const std::vector<Port>& inputs() const { return inputs_; }
  const std::vector<Port>& outputs() const { return outputs_; }
  const KernelStatistics& statistics() const { return statistics_; }

  // Views in port order. Never allocates. Throws shape_mismatch or type_mismatch for a view that
  // does not fit its port, busy for a mapped buffer, out_of_range for a gather index outside its
  // tensor; then the outputs' contents are undefined. An output may not overlap an input or
  // another output (invalid_argument).
  virtual void run(std::span<const View> inputs, std::span<const View> outputs,
                   const RunOptions& options) = 0;
  void run(std::span<const View> inputs, std::span<const View> outputs) {
    run(inputs, outputs, {});
  }
  // Waits for what runs left to do in the background, the accumulated outputs. Throws the first
  // error that happened there, once.
  virtual void synchronize() {}
  // True when the last run made an infinity in fp16, out of finite numbers. The outputs need not
  // show it: the ANE's arithmetic turns 0 * Inf and Inf - Inf into 0 (ane-facts.md 6, R). A device
  // that cannot look inside reports what its outputs show. What the run left to the background
  // counts once `synchronize` has returned or thrown, until a run comes after that.
  virtual bool overflowed() const = 0;
  // Complete after `synchronize`.
  virtual RunTotals totals() const = 0;
  virtual Placement placement() const = 0;

protected:
  std::vector<Port> inputs_;
  std::vector<Port> outputs_;
  KernelStatistics statistics_;
};

// Thread class: any thread.
class Device {
public:
  virtual ~Device() = default;
  virtual const Capabilities& capabilities() const = 0;
  // The host threads that the device and the layers above it share.
  virtual ThreadPool& thread_pool() = 0;
  virtual Support supports(const mil::Function& function, const mil::Operation& op) const = 0;
  // Zero-filled. Throws out_of_memory.
  virtual std::unique_ptr<Buffer> allocate(const Layout& layout) = 0;
  // Wraps memory that the caller keeps alive; throws unsupported where the device cannot.
  virtual std::unique_ptr<Buffer> import(std::byte* data, size_t size, const Layout& layout) = 0;
  virtual std::shared_ptr<Workspace> make_workspace() = 0;
  // Throws unsupported with the reason that `supports` gives, or invalid_program.
  virtual std::unique_ptr<Kernel> compile(const mil::Function& function,
                                          const CompileOptions& options) = 0;
  // Wraps the platform's shared memory (an IOSurfaceRef, retained) without copying; throws
  // unsupported where the device cannot.
  virtual std::unique_ptr<Buffer> import_native(void* handle, const Layout& layout) = 0;
  // The same for memory that another process has shared; throws not_found too.
  virtual std::unique_ptr<Buffer> import_native_id(uint32_t id, const Layout& layout);
  // Programs that can still be compiled, where they are a budget.
  virtual int64_t programs_left() const { return std::numeric_limits<int64_t>::max(); }
  // What the device found out about itself, as a JSON object.
  virtual std::string report() const = 0;
};

struct DeviceOptions {
  int threads = 0; // 0: one per core
  AneOptions ane = {};
};

// "cpu" or "ane". Throws not_found for an unknown name, unavailable with the reason when the
// machine lacks it.
std::shared_ptr<Device> open_device(const std::string& name, const DeviceOptions& options);
// Every device this build knows, with the reason why one is unavailable here.
struct DeviceListing {
  std::string name;
  std::string description;
  bool available = false;
  std::string reason;
};
std::vector<DeviceListing> list_devices();

} // namespace anet::backend
