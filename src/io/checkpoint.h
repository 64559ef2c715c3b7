// Checkpoints: a directory that holds
//   model.safetensors      weights, fp32
//   optimizer.safetensors  optimizer state: "<parameter>.exp_avg", ...
//   state.json             format version, step, sizes and checksums of the above, caller's
//   sections
// It appears whole or not at all, whatever the process or the machine does meanwhile, and is
// verified by checksum when it is opened. Damage is invalid_checkpoint or checksum, a newer format
// is version.
#pragma once

#include "base/file.h"
#include "base/json.h"
#include "io/safetensors.h"
#include "io/tensor_view.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io {

inline constexpr int64_t checkpoint_format_version = 1;

struct CheckpointContents {
  int64_t step = 0;
  std::string library_version; // for people who look into the file
  std::span<const TensorView> weights;
  std::span<const TensorView> optimizer;
  // An object; its members ("model", "optimizer", "schedule", "rng", "data", "user", ...) come back
  // as they were.
  Json sections = Json::object();
};

// Writes or replaces one checkpoint directory. When it throws, `directory` is as before.
void save_checkpoint(const std::string& directory, const CheckpointContents& contents,
                     FileSystem& files = FileSystem::real());

// An open checkpoint: every byte has been checked. Tensors are views of its memory mapping.
class CheckpointReader {
public:
  explicit CheckpointReader(std::string directory, FileSystem& files = FileSystem::real());

  const std::string& directory() const { return directory_; }
  int64_t step() const { return step_; }
  const std::string& library_version() const { return library_version_; }
  const Json& sections() const { return sections_; }
  // A section to read from; errors name its path. Throws invalid_checkpoint if it is missing.
  JsonView section(std::string_view name) const;

  const SafetensorsReader& weights() const { return weights_; }
  const SafetensorsReader& optimizer() const { return optimizer_; }

private:
  std::string directory_;
  int64_t step_ = 0;
  std::string library_version_;
  Json sections_;
  SafetensorsReader weights_;
  SafetensorsReader optimizer_;
};

// Throws invalid_checkpoint if a tensor is missing, extra, or of another shape or dtype; `what`
// names the file in the message ("checkpoint weights").
void check_tensors(const SafetensorsReader& file, std::span<const TensorInfo> expected,
                   std::string_view what);

struct CheckpointEntry {
  std::string path;
  int64_t step = 0;
  bool operator==(const CheckpointEntry&) const = default;
};

struct CheckpointProblem {
  CheckpointEntry entry;
  Status status = Status::ok;
  std::string message;
};

struct BestCheckpoint {
  CheckpointEntry entry;
  double loss = 0;
};

struct CheckpointRetention {
  int64_t keep_last = 0; // newest ones to keep; 0 keeps all
};

// Numbered checkpoints under one root: `step-00000100`. `best.json` names the one with the least
// loss, which retention never deletes. One process at a time may save; any number may read.
class CheckpointStore {
public:
  explicit CheckpointStore(std::string root, CheckpointRetention retention = {},
                           FileSystem& files = FileSystem::real());

  const std::string& root() const { return root_; }
  // Creates the root if need be, saves, marks it as best if `loss` is the least so far, deletes
  // what retention lets go. When it throws, the checkpoints that were there still are. Throws as
  // check_no_later, too.
  CheckpointEntry save(const CheckpointContents& contents, std::optional<double> loss = {});

  // Throws invalid_argument when one of a later step can be loaded: it is of another run, perhaps
  // of one that was taken up again from before it, and would be taken for this run's latest.
  void check_no_later(int64_t step) const;

  // By step, oldest first; by name only, nothing is opened. Empty if there is no root yet.
  std::vector<CheckpointEntry> list() const;
  // The newest that opens without error; damaged ones are passed over (see problems()).
  std::optional<CheckpointReader> open_latest() const;
  std::optional<CheckpointEntry> latest() const;
  std::optional<BestCheckpoint> best() const; // nullopt if none is marked or it is gone
  // Opens every one and says why some cannot be loaded.
  std::vector<CheckpointProblem> problems() const;

private:
  std::optional<CheckpointReader> open_latest_after(int64_t step) const;
  // False when best.json is damaged: it says nothing then, and the next best replaces it.
  bool read_best(std::optional<BestCheckpoint>& result) const;
  void mark_best(const CheckpointEntry& entry, double loss);
  void prune(const CheckpointEntry& newest);

  std::string root_;
  CheckpointRetention retention_;
  FileSystem& files_;
};

// The files say that this checkpoint cannot be loaded; another one may well be.
bool is_checkpoint_damage(Status status);
std::string checkpoint_name(int64_t step);                     // "step-00000100"
std::optional<int64_t> checkpoint_step(std::string_view name); // nullopt for another name

} // namespace anet::io
