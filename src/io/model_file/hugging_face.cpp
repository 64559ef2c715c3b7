// Hugging Face directories.
#include "io/model_file/hugging_face_config.h"
#include "io/model_file/mapped_source.h"
#include "io/model_file/safetensors_files.h"
#include "io/model_file/sources.h"

#include <set>

namespace anet::io {
namespace {

constexpr int64_t max_config = int64_t{16} << 20;
constexpr std::string_view embedding_name = "embed_tokens.weight";

Json read_json(const std::string& path, FileSystem& files) {
  return Json::parse(read_file(path, max_config, files), path, Status::invalid_config,
                     {.max_size = static_cast<size_t>(max_config), .max_depth = 64});
}

// What stands before "embed_tokens.weight": "model." or, in some repositories,
// "language_model.model.".
std::string find_prefix(const SafetensorsFiles& weights, ProblemList& problems) {
  std::vector<std::string> prefixes;
  for (const auto& [name, tensor] : weights.tensors()) {
    if (!name.ends_with(embedding_name)) continue;
    const std::string prefix = name.substr(0, name.size() - embedding_name.size());
    if (prefix.empty() || prefix.ends_with('.')) prefixes.push_back(prefix);
  }
  if (prefixes.size() > 1) problems.add("there is more than one tensor '*", embedding_name, "'");
  return prefixes.size() == 1 ? prefixes[0] : "model.";
}

class HuggingFaceSource final : public MappedSource {
public:
  HuggingFaceSource(const std::string& directory, FileSystem& files)
      : MappedSource(files), weights_(files) {
    const std::string config_path = join_path(directory, "config.json");
    const Json json = read_json(config_path, files);
    auto read = read_hugging_face_config(JsonView(json, Status::invalid_config, config_path));
    config_ = read.config;
    extras_.stop_ids = std::move(read.stop_ids);
    ProblemList problems;
    weights_.add_model(directory, problems);
    place_all(problems);
    problems.check(directory);
    find_extras(directory, files);
  }

  std::string_view format() const override { return "hugging_face"; }

private:
  // "model.norm.weight" and "lm_head.weight" as this directory names them.
  std::string stored_name(const model::Parameter& parameter, const std::string& prefix) const {
    constexpr std::string_view ours = "model.";
    if (parameter.name.starts_with(ours)) return prefix + parameter.name.substr(ours.size());
    const std::string outer =
        prefix.ends_with(ours) ? prefix.substr(0, prefix.size() - ours.size()) : prefix;
    const std::string head = outer + parameter.name;
    return weights_.tensors().contains(head) ? head : parameter.name;
  }

  void place_all(ProblemList& problems) {
    const std::string prefix = find_prefix(weights_, problems);
    std::set<std::string> used;
    const model::ParameterTable table(config_);
    for (const model::Parameter& parameter : table.all()) {
      const std::string name = stored_name(parameter, prefix);
      used.insert(name);
      const auto found = weights_.tensors().find(name);
      if (found == weights_.tensors().end())
        problems.add("'", name, "' is missing");
      else
        place_one(parameter, name, found->second, problems);
    }
    for (const auto& [name, tensor] : weights_.tensors())
      if (!used.contains(name) && !is_redundant(name))
        problems.add("'", name, "' is not part of the model that config.json describes");
  }

  void place_one(const model::Parameter& parameter, const std::string& name,
                 const SafetensorsFiles::Tensor& tensor, ProblemList& problems) {
    const auto encoding = safetensors_encoding(tensor.entry->dtype);
    if (!encoding)
      problems.add("'", name, "' has type ", tensor.entry->dtype, ", expected F32, F16 or BF16");
    if (tensor.entry->shape != parameter.shape)
      problems.add("'", name, "' has shape ", mil::shape_to_string(tensor.entry->shape),
                   ", expected ", mil::shape_to_string(parameter.shape));
    else if (encoding)
      place(parameter, {.encoding = *encoding, .data = tensor.data});
  }

  // Frequencies that config.json determines, and the copy of a tied embedding.
  bool is_redundant(std::string_view name) const {
    return name.ends_with("rotary_emb.inv_freq") ||
           (config_.tie_embeddings &&
            (name == "lm_head.weight" || name.ends_with(".lm_head.weight")));
  }

  void find_extras(const std::string& directory, FileSystem& files) {
    for (const char* name : {"tokenizer.json", "tokenizer.bin"}) {
      const std::string path = join_path(directory, name);
      if (extras_.tokenizer_path.empty() && path_exists(path, files)) extras_.tokenizer_path = path;
    }
    const std::string generation = join_path(directory, "generation_config.json");
    if (!path_exists(generation, files)) return;
    const Json json = read_json(generation, files);
    auto ids =
        read_stop_ids(JsonView(json, Status::invalid_config, generation), config_.vocab_size);
    if (!ids.empty()) extras_.stop_ids = std::move(ids);
  }

  SafetensorsFiles weights_;
};

} // namespace

std::unique_ptr<ModelSource> open_hugging_face(const std::string& directory, FileSystem& files) {
  return std::make_unique<HuggingFaceSource>(directory, files);
}

} // namespace anet::io
