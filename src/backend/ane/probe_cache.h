// Answers of the probe in a file: one for each chip, system build, framework and library version.
#pragma once

#include "backend/ane/probe.h"
#include "base/json.h"

#include <optional>
#include <string>
#include <vector>

namespace anet::backend::ane {

Json to_json(const std::vector<ProbeAnswer>& answers);
Json to_json(const Rules& rules);
// Throw invalid_data naming the key that is missing or wrong.
std::vector<ProbeAnswer> answers_from_json(const JsonView& json);
Rules rules_from_json(const JsonView& json);

class ProbeCache {
public:
  // An empty directory means the user's: $XDG_CACHE_HOME, ~/Library/Caches or ~/.cache, and below
  // it "libane_train". Without any, nothing is kept.
  ProbeCache(const std::string& directory, const EngineInfo& info);

  const std::string& path() const { return path_; } // empty: nothing is kept
  // nullopt when there is no file, or one that is damaged or of something else.
  std::optional<Probed> load() const;
  // Answers that are not conclusive are not kept. A failure becomes the probed's warning.
  void store(Probed& probed) const;

private:
  Json identity() const;

  std::string path_;
  EngineInfo info_;
};

} // namespace anet::backend::ane
