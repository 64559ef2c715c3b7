// From a function to the parts of a kernel: which side runs what, which program, which layouts.
#pragma once

#include "backend/ane/kernel.h"
#include "mil/partition.h"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace anet::backend::ane {

class KernelBuilder {
public:
  // Throws what compile_options says (view_checks.h).
  KernelBuilder(std::shared_ptr<Environment> environment, const mil::Function& function,
                const CompileOptions& options);

  // Throws compile_budget where the policy is the engine; where it is not, and for everything else
  // that the engine refuses, the host takes the part and the kernel says why.
  KernelParts build() &&;

private:
  struct Piece {
    mil::Function function;
    std::unique_ptr<EngineSegment> engine; // null: the host's
  };

  void separate_accumulated();
  void find_policies();
  PlacementPolicy policy_of(const mil::Operation& op) const;
  PlacementPolicy policy_of(const mil::Function& segment) const;
  mil::Side side_of(const mil::Operation& op);
  int64_t min_engine_flops() const;
  PeaksOf peaks() const;
  bool has_peaks() const { return peaks() != PeaksOf::nothing; }

  // One round: cuts the function and compiles the engine's pieces; false when one of them has to
  // go to the host, which `host_values_` then says.
  bool cut();
  bool lay_out();
  bool compile(Piece& piece);
  void send_to_host(const mil::Function& segment, const std::string& reason);

  size_t value_of(const std::string& name);
  void collect_values();
  Layout layout_of(const std::string& name, const mil::Type& type) const;
  std::vector<SegmentPort> ports_of(const std::vector<size_t>& values) const;
  std::vector<size_t> values_of(const mil::Function& segment, const std::vector<mil::ValueId>& ids);
  bool is_accumulated(const std::string& name) const;
  bool is_scratch(size_t value) const;
  bool can_wait(const KernelStep& step, const mil::Function& segment) const;
  bool can_look_later(const KernelStep& step) const;

  void make_steps();
  void compile_host_steps();
  void make_scratch();
  void explain_host_steps();
  void note(const std::string& reason);
  std::string reason() const;

  std::shared_ptr<Environment> environment_;
  mil::Function function_;
  CompileOptions options_;
  std::shared_ptr<AneWorkspace> workspace_;
  std::set<std::string> only_accumulated_; // values that only accumulated outputs need
  std::set<std::string> host_values_;      // whose ops stay on the host
  std::set<std::string> addends_;          // whose infinities the host finds that adds them
  std::set<std::string> could_be_engine_;  // whose ops the engine would take
  std::vector<std::string> reasons_;
  std::vector<Piece> pieces_;
  std::vector<Piece> previous_; // keeps programs alive until the next round has asked for them
  std::vector<size_t> piece_of_step_;
  std::map<std::string, size_t> value_indices_;
  std::vector<std::string> value_names_;
  KernelParts parts_;
};

// The medians of three runs on zeros, in seconds; nullopt when the engine fails.
struct Measured {
  double engine = 0;
  double host = 0;
};
std::optional<Measured> measure_sides(const Environment& environment, EngineSegment& segment,
                                      const std::vector<SegmentPort>& inputs,
                                      const std::vector<SegmentPort>& outputs);

} // namespace anet::backend::ane
