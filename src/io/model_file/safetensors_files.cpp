#include "io/model_file/safetensors_files.h"

#include "base/json.h"
#include "base/status.h"

#include <set>

namespace anet::io {
namespace {

constexpr const char* single_name = "model.safetensors";
constexpr const char* index_name = "model.safetensors.index.json";
constexpr int64_t max_index = int64_t{64} << 20;

// A shard lies in the model's directory; a name that leads elsewhere is an attack.
void check_shard_name(const JsonView& name) {
  const std::string& text = name.string();
  if (text.empty() || text[0] == '.' || text.find('/') != std::string::npos ||
      text.find('\0') != std::string::npos)
    name.fail_here("expected the name of a file in the same directory, seen '", text, "'");
}

} // namespace

std::optional<Encoding> safetensors_encoding(std::string_view dtype) {
  if (dtype == "F32") return Encoding::fp32;
  if (dtype == "F16") return Encoding::fp16;
  if (dtype == "BF16") return Encoding::bf16;
  return std::nullopt;
}

void SafetensorsFiles::add(const std::string& path, ProblemList& problems) {
  const Part& part = *parts_.emplace_back(std::make_unique<Part>(path, files_));
  for (const SafetensorsEntry& entry : part.reader.entries()) {
    Tensor tensor{&entry, {}};
    if (safetensors_encoding(entry.dtype)) tensor.data = part.reader.tensor(entry).data;
    if (!tensors_.emplace(entry.name, tensor).second)
      problems.add("'", entry.name, "' is in '", file_name(path), "' and in another file");
  }
}

void SafetensorsFiles::add_model(const std::string& directory, ProblemList& problems) {
  const std::string single = join_path(directory, single_name);
  const std::string index = join_path(directory, index_name);
  if (path_exists(single, files_)) return add(single, problems);
  if (path_exists(index, files_)) return add_shards(directory, index, problems);
  const bool pickled = path_exists(join_path(directory, "pytorch_model.bin"), files_) ||
                       path_exists(join_path(directory, "pytorch_model.bin.index.json"), files_);
  fail(Status::file_not_found, "expected '", single_name, "' or '", index_name, "' in '", directory,
       "', seen ", pickled ? "pickled PyTorch weights, which have to be converted" : "neither");
}

void SafetensorsFiles::add_shards(const std::string& directory, const std::string& index,
                                  ProblemList& problems) {
  const Json json = Json::parse(read_file(index, max_index, files_), index, Status::invalid_data,
                                {.max_size = static_cast<size_t>(max_index), .max_depth = 8});
  const JsonView map = JsonView(json, Status::invalid_data, index).at("weight_map");
  std::set<std::string> shards;
  for (const JsonMember& member : map.members()) {
    const JsonView name(member.value, Status::invalid_data, concat(index, ": ", member.key));
    check_shard_name(name);
    shards.insert(name.string());
  }
  std::unordered_map<std::string_view, const Part*> parts;
  for (const std::string& shard : shards) {
    add(join_path(directory, shard), problems);
    parts[shard] = parts_.back().get();
  }
  for (const JsonMember& member : map.members())
    if (!parts.at(*member.value.if_string())->reader.contains(member.key))
      problems.add("'", member.key, "' is not in '", *member.value.if_string(),
                   "', where the index has it");
}

} // namespace anet::io
