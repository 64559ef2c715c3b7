#include "io/checkpoint.h"

#include "base/status.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace anet::io {
namespace {

constexpr std::string_view name_prefix = "step-";
constexpr size_t name_digits = 8; // at least; sorts by name up to 10^8 steps
constexpr const char* best_file = "best.json";
constexpr int64_t max_best_size = 4096; // bytes

CheckpointReader open_entry(const CheckpointEntry& entry, FileSystem& files) {
  CheckpointReader reader(entry.path, files);
  if (reader.step() != entry.step)
    fail(Status::invalid_checkpoint, "expected step ", entry.step, " in '", entry.path, "', seen ",
         reader.step());
  return reader;
}

} // namespace

// Failures of the machine and formats newer than ours are no damage: passing over them would resume
// from an older step and nobody would know.
bool is_checkpoint_damage(Status status) {
  return status == Status::invalid_checkpoint || status == Status::checksum ||
         status == Status::invalid_data || status == Status::file_not_found ||
         status == Status::out_of_range;
}

std::string checkpoint_name(int64_t step) {
  std::string digits = std::to_string(step);
  if (digits.size() < name_digits) digits.insert(0, name_digits - digits.size(), '0');
  return concat(name_prefix, digits);
}

std::optional<int64_t> checkpoint_step(std::string_view name) {
  if (!name.starts_with(name_prefix)) return std::nullopt;
  const std::string_view digits = name.substr(name_prefix.size());
  int64_t step = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (result.ec != std::errc() || step < 0 || checkpoint_name(step) != name) return std::nullopt;
  return step;
}

CheckpointStore::CheckpointStore(std::string root, CheckpointRetention retention, FileSystem& files)
    : root_(std::move(root)), retention_(retention), files_(files) {
  if (retention.keep_last < 0)
    fail(Status::invalid_argument, "expected a number of checkpoints to keep from 0 on, seen ",
         retention.keep_last);
}

CheckpointEntry CheckpointStore::save(const CheckpointContents& contents,
                                      std::optional<double> loss) {
  check_no_later(contents.step);
  create_directories(root_, files_);
  const CheckpointEntry entry{join_path(root_, checkpoint_name(contents.step)), contents.step};
  save_checkpoint(entry.path, contents, files_);
  if (loss && std::isfinite(*loss)) {
    std::optional<BestCheckpoint> before;
    const bool known = read_best(before);
    // The best one written anew has a new loss, whatever that is.
    if (!known || !before || *loss < before->loss || before->entry == entry)
      mark_best(entry, *loss);
  }
  prune(entry);
  return entry;
}

void CheckpointStore::check_no_later(int64_t step) const {
  const std::optional<CheckpointReader> later = open_latest_after(step);
  if (!later) return;
  fail(Status::invalid_argument, "expected no checkpoint after step ", step, " under '", root_,
       "', seen '", later->directory(), "', which would be taken for the latest of this run: save ",
       "under another root, go on from the latest one, or remove those after step ", step);
}

std::vector<CheckpointEntry> CheckpointStore::list() const {
  std::vector<CheckpointEntry> entries;
  if (!path_exists(root_, files_)) return entries;
  for (const std::string& name : list_directory(root_, files_))
    if (const std::optional<int64_t> step = checkpoint_step(name))
      entries.push_back({join_path(root_, name), *step});
  std::sort(entries.begin(), entries.end(),
            [](const CheckpointEntry& a, const CheckpointEntry& b) { return a.step < b.step; });
  return entries;
}

std::optional<CheckpointReader> CheckpointStore::open_latest() const {
  return open_latest_after(-1);
}

std::optional<CheckpointReader> CheckpointStore::open_latest_after(int64_t step) const {
  const std::vector<CheckpointEntry> entries = list();
  for (auto entry = entries.rbegin(); entry != entries.rend() && entry->step > step; ++entry) {
    try {
      return open_entry(*entry, files_);
    } catch (const Error& error) {
      if (!is_checkpoint_damage(error.status())) throw;
    }
  }
  return std::nullopt;
}

std::optional<CheckpointEntry> CheckpointStore::latest() const {
  const std::optional<CheckpointReader> reader = open_latest();
  if (!reader) return std::nullopt;
  return CheckpointEntry{reader->directory(), reader->step()};
}

std::optional<BestCheckpoint> CheckpointStore::best() const {
  const std::string path = join_path(root_, best_file);
  if (!path_exists(path, files_)) return std::nullopt;
  const Json json =
      Json::parse(read_file(path, max_best_size, files_), path, Status::invalid_checkpoint);
  const JsonView view(json, Status::invalid_checkpoint, path);
  const std::string& name = view.at("checkpoint").string();
  const std::optional<int64_t> step = checkpoint_step(name);
  if (!step) view.fail_here("expected the name of a checkpoint, seen '", name, "'");
  const BestCheckpoint best{{join_path(root_, name), *step}, view.at("loss").number()};
  if (!path_exists(best.entry.path, files_)) return std::nullopt;
  return best;
}

bool CheckpointStore::read_best(std::optional<BestCheckpoint>& result) const {
  try {
    result = best();
    return true;
  } catch (const Error& error) {
    if (!is_checkpoint_damage(error.status())) throw;
    return false;
  }
}

std::vector<CheckpointProblem> CheckpointStore::problems() const {
  std::vector<CheckpointProblem> problems;
  for (const CheckpointEntry& entry : list()) {
    try {
      open_entry(entry, files_);
    } catch (const Error& error) {
      problems.push_back({entry, error.status(), error.message()});
    }
  }
  return problems;
}

void CheckpointStore::mark_best(const CheckpointEntry& entry, double loss) {
  Json json = Json::object();
  json.set("checkpoint", file_name(entry.path)).set("loss", loss);
  write_file_atomically(join_path(root_, best_file), as_bytes(json.to_string(2) + "\n"), files_);
}

void CheckpointStore::prune(const CheckpointEntry& newest) {
  if (retention_.keep_last == 0) return;
  std::vector<CheckpointEntry> entries = list();
  if (static_cast<int64_t>(entries.size()) <= retention_.keep_last) return;
  entries.resize(entries.size() - static_cast<size_t>(retention_.keep_last));
  std::optional<BestCheckpoint> kept;
  if (!read_best(kept)) return; // any of them may be the best
  // `newest` is not the last by step where a run goes on from before damaged ones.
  for (const CheckpointEntry& entry : entries)
    if (entry != newest && !(kept && entry == kept->entry)) remove_tree(entry.path, files_);
}

} // namespace anet::io
