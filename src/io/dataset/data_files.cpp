// Finding the files of a data set.
#include "io/dataset/text_dataset.h"

#include "base/status.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <string_view>

namespace anet::io {
namespace {

constexpr std::array<std::string_view, 6> suffixes = {".jsonl", ".ndjson", ".json",
                                                      ".txt",   ".bin",    ".tokens"};

// "train.jsonl" and "train-00001.txt" belong to "train".
bool belongs_to(std::string_view name, std::string_view part) {
  const auto suffix = std::find_if(suffixes.begin(), suffixes.end(),
                                   [&](std::string_view end) { return name.ends_with(end); });
  if (suffix == suffixes.end() || !name.starts_with(part)) return false;
  name.remove_suffix(suffix->size());
  return name.size() == part.size() || (name.size() > part.size() && name[part.size()] == '-');
}

std::string list_of(std::span<const std::string> names) {
  constexpr size_t shown = 8;
  std::string list;
  for (const std::string& name : names.first(std::min(names.size(), shown)))
    list += concat(list.empty() ? "" : ", ", "'", name, "'");
  if (names.size() > shown) list += concat(" and ", names.size() - shown, " more");
  return list.empty() ? "nothing" : list;
}

} // namespace

DataFiles find_data_files(const std::string& path, FileSystem& files) {
  if (FileDescriptor(path, O_RDONLY, files).info().kind != FileKind::directory)
    return {.train = {path}, .validation = {}, .test = {}};
  const std::vector<std::string> names = list_directory(path, files);
  const auto part = [&](std::initializer_list<std::string_view> parts) {
    std::vector<std::string> paths;
    for (const std::string& name : names)
      for (const std::string_view candidate : parts)
        if (belongs_to(name, candidate)) paths.push_back(join_path(path, name));
    return paths;
  };
  DataFiles found{part({"train"}), part({"valid", "validation"}), part({"test"})};
  if (found.train.empty())
    fail(Status::file_not_found, "expected train.jsonl (or train.txt, train-*.jsonl, ...) in '",
         path, "', seen ", list_of(names));
  return found;
}

} // namespace anet::io
