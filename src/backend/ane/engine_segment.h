// A part of a kernel that the engine runs, with the host as its understudy.
#pragma once

#include "backend/ane/environment.h"
#include "backend/ane/lower.h"
#include "backend/ane/ports.h"
#include "backend/ane/tensor_check.h"
#include "backend/tensor_copy.h"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace anet::backend::ane {

// A port of a segment, as the views bound to it have it.
struct SegmentPort {
  std::string name;
  Layout layout;
};

// Thread class: one run at a time.
class EngineSegment {
public:
  // Compiles. Throws unsupported with the reason when the engine does not take the function,
  // compile_budget, or device.
  EngineSegment(std::shared_ptr<Environment> environment, mil::Function function,
                const LowerOptions& options, std::string label);

  // Where the compiled program wants its ports, in the function's shapes; nullptr when no strides
  // can say that. For the caller to choose the layouts of its views.
  const Layout* native_input(size_t port) const;
  const Layout* native_output(size_t port) const;
  // Fixes the layouts of the views that run() gets. Once, before the first run.
  void set_ports(std::vector<SegmentPort> inputs, std::vector<SegmentPort> outputs);

  const mil::Function& function() const { return function_; }
  // Of surfaces that stand between the views and the engine when layouts differ.
  size_t staging_bytes() const;
  int64_t flops() const { return flops_; }

  // Adds to `totals`. Returns true when the run overflowed, as far as it is not for others to see
  // (LowerOptions::unwatched) or for overflowed(). Throws numeric when an audit fails and the
  // options say so.
  bool run(std::span<const View> inputs, std::span<const View> outputs, bool audit,
           RunTotals& totals, bool look_later = false);
  // Whether a run made infinities out of finite numbers, by the views that it had, of a segment
  // without peaks. On any thread, beside later runs with other views.
  bool overflowed(std::span<const View> inputs, std::span<const View> outputs,
                  ThreadPool& pool) const;

  bool on_host() const { return on_host_; }
  // Leaves the engine for good.
  void move_to_host(std::string reason);
  // Why parts ran on the host; "" when none did.
  const std::string& reason() const { return reason_; }
  // Raised whenever one of the two changes.
  uint64_t changes() const { return changes_; }

  // The whole on the host, for measurements. Returns true when it overflowed.
  bool run_on_host(std::span<const View> inputs, std::span<const View> outputs, RunTotals& totals);
  // Frees what only run_on_host needs; it is made again when needed.
  void drop_understudy();

private:
  // One source port on its way to or from the engine.
  struct Attachment {
    PortBinding binding;
    SegmentPort port;
    bool direct = false; // a view of `port.layout` can be bound without a copy
    std::optional<TensorCopy> copy;
  };
  struct Direction {
    std::vector<Attachment> attachments;            // one a source port
    std::vector<EnginePort> ports;                  // of the compiled program
    std::vector<std::shared_ptr<Surface>> staging;  // one an engine port, made when needed
    std::vector<std::shared_ptr<Surface>> surfaces; // bound in this run
    std::vector<std::weak_ptr<const void>> lives;   // of the buffers bound directly
  };
  // The same bindings come back every step.
  struct CachedRequest {
    std::vector<const Surface*> key;
    std::vector<std::weak_ptr<const void>> lives;
    std::unique_ptr<EngineRequest> request;
  };

  void attach(Direction& direction, std::span<const LoweredPort> lowered,
              std::span<const EnginePort> ports, std::span<const mil::ValueId> values);
  static void set_ports(Direction& direction, std::vector<SegmentPort> ports, bool input);
  void choose_surfaces(Direction& direction, std::span<const View> views);
  EngineRequest& find_request();
  void stage(std::span<const View> views, RunTotals& totals);
  void unstage(std::span<const View> views, RunTotals& totals);
  void attempt(std::span<const View> inputs, RunTotals& totals);
  bool evaluate(std::span<const View> inputs, RunTotals& totals);
  void note_failure(std::string reason);
  void note_success();
  void set_reason(std::string reason, bool on_host);

  struct Seen {
    bool overflowed = false;
    bool suspicious = false; // zeros that have to be looked into
  };
  Seen look(std::span<const View> inputs, bool look_later);
  bool any_nonzero(std::span<const View> inputs) const;
  bool all_finite(std::span<const View> inputs, ThreadPool& pool) const;
  // What the understudy, run on the side, makes of the engine's outputs.
  struct HostResult {
    bool overflowed = false;
    Comparison worst;
    std::string port; // where
  };
  HostResult compare_with_host(std::span<const View> inputs, std::span<const View> outputs,
                               RunTotals& totals);
  bool zeros_are_right(std::span<const View> inputs, std::span<const View> outputs,
                       RunTotals& totals);
  bool passes_audit(std::span<const View> inputs, std::span<const View> outputs, bool overflowed,
                    RunTotals& totals);
  Kernel& understudy();

  std::shared_ptr<Environment> environment_;
  mil::Function function_;
  std::string label_;
  int64_t flops_ = 0;
  std::shared_ptr<Slot> slot_;
  Direction in_;
  Direction out_;
  std::optional<size_t> peaks_; // index of the engine's output
  std::vector<CachedRequest> requests_;
  std::vector<const Surface*> key_;            // of this run
  std::vector<Inspection> input_inspections_;  // of the source's inputs
  std::vector<Inspection> output_inspections_; // and outputs
  std::vector<bool> looked_at_;                // by the source's output (output_looks.h)
  std::vector<Inspection> inspections_;        // of the engine's outputs
  std::vector<Contents> seen_;                 // of the engine's outputs in this run
  std::vector<bool> zero_is_right_;            // by engine output: the host found zeros too
  std::unique_ptr<Kernel> understudy_;
  std::vector<std::unique_ptr<Buffer>> comparison_; // the understudy's outputs beside the engine's
  std::vector<View> comparison_views_;
  int failed_runs_ = 0;   // in a row
  int failure_level_ = 0; // of all runs, those long ago forgotten
  bool on_host_ = false;
  std::string reason_;
  uint64_t changes_ = 0;
};

} // namespace anet::backend::ane
