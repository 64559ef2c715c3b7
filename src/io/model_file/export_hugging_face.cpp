// Hugging Face directories that transformers 4 and 5 read.
#include "base/json.h"
#include "base/status.h"
#include "base/version.h"
#include "io/model_file/encode.h"
#include "io/model_file/exports.h"
#include "io/model_file/hugging_face_config.h"
#include "io/safetensors.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <iomanip>

namespace anet::io {
namespace {

constexpr int64_t max_companion_file = int64_t{1} << 28;
constexpr const char* version_key = "ane_train_version";

// What a tokenizer and a chat template consist of, whatever the family.
constexpr std::array<std::string_view, 9> companion_files = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "chat_template.json",
};

struct Shard {
  std::string name;
  std::vector<const model::Parameter*> parameters;
  int64_t bytes = 0;
};

mil::DataType data_type(ExportType type) {
  switch (type) {
  case ExportType::fp16:
    return mil::DataType::fp16;
  case ExportType::bf16:
    return mil::DataType::bf16;
  default:
    return mil::DataType::fp32;
  }
}

const char* torch_name(ExportType type) {
  switch (type) {
  case ExportType::fp16:
    return "float16";
  case ExportType::bf16:
    return "bfloat16";
  default:
    return "float32";
  }
}

std::string shard_name(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  std::ostringstream out;
  out << "model-" << std::setfill('0') << std::setw(5) << index + 1 << "-of-" << std::setw(5)
      << count << ".safetensors";
  return out.str();
}

// In the order of the table; a tensor larger than a shard has one of its own.
std::vector<Shard> plan_shards(const model::ParameterTable& table, int64_t width,
                               int64_t max_bytes) {
  std::vector<Shard> shards(1);
  for (const model::Parameter& parameter : table.all()) {
    const int64_t bytes = parameter.elements * width;
    if (!shards.back().parameters.empty() && shards.back().bytes + bytes > max_bytes)
      shards.emplace_back();
    shards.back().parameters.push_back(&parameter);
    shards.back().bytes += bytes;
  }
  for (size_t i = 0; i < shards.size(); ++i) shards[i].name = shard_name(i, shards.size());
  return shards;
}

void write_text(const AtomicDirectory& directory, std::string_view name, std::string_view text,
                FileSystem& files) {
  OutputFile file(directory.path_of(name), files);
  file.write(as_bytes(text));
  file.close();
}

void write_shard(const model::Model& model, const Shard& shard, ExportType type,
                 const AtomicDirectory& directory, ExportProgress& progress, FileSystem& files) {
  OutputFile file(directory.path_of(shard.name), files);
  std::vector<TensorInfo> infos;
  for (const model::Parameter* parameter : shard.parameters)
    infos.push_back({parameter->name, data_type(type), parameter->shape});
  SafetensorsWriter writer(file, std::move(infos));
  for (const TensorInfo& info : writer.order()) {
    const model::Parameter& parameter = *model.parameters().find(info.name);
    encode_parameter(model, parameter, encoding_of(type), 0,
                     [&](std::span<const std::byte> bytes) { writer.write(info.name, bytes); });
    progress.wrote(parameter);
  }
  writer.finish();
  file.close();
}

void write_index(const std::vector<Shard>& shards, const AtomicDirectory& directory,
                 FileSystem& files) {
  int64_t total = 0;
  Json::Object map;
  for (const Shard& shard : shards) {
    total += shard.bytes;
    for (const model::Parameter* parameter : shard.parameters)
      map.push_back({parameter->name, Json(shard.name)});
  }
  std::sort(map.begin(), map.end(),
            [](const JsonMember& a, const JsonMember& b) { return a.key < b.key; });
  Json metadata = Json::object();
  metadata.set("total_size", total);
  Json index = Json::object();
  index.set("metadata", std::move(metadata));
  index.set("weight_map", Json(std::move(map)));
  write_text(directory, "model.safetensors.index.json", index.to_string(2) + "\n", files);
}

bool is_directory(const std::string& path, FileSystem& files) {
  return FileDescriptor(path, O_RDONLY, files).info().kind == FileKind::directory;
}

Json read_json(const std::string& path, FileSystem& files) {
  return Json::parse(read_file(path, max_companion_file, files), path);
}

void copy_file(const std::string& from, std::string_view name, const AtomicDirectory& directory,
               FileSystem& files) {
  write_text(directory, name, read_file(from, max_companion_file, files), files);
}

// Special tokens come from the companion; transformers would take ids of its own where a file says
// nothing.
void write_configs(const model::Model& model, const ExportOptions& options,
                   const std::string& companion, const AtomicDirectory& directory,
                   FileSystem& files) {
  Json config = write_hugging_face_config(model.config(), torch_name(options.type));
  Json generation = Json::object();
  Json given;
  if (const std::string path = join_path(companion, "config.json");
      !companion.empty() && path_exists(path, files))
    given = read_json(path, files);
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    const Json* value = given.find(key);
    config.set(key, value != nullptr ? *value : Json());
    generation.set(key, value != nullptr ? *value : Json());
  }
  config.set(version_key, library_version);
  write_text(directory, "config.json", config.to_string(2) + "\n", files);

  constexpr const char* generation_name = "generation_config.json";
  const std::string settings = join_path(companion, generation_name);
  if (!companion.empty() && path_exists(settings, files))
    copy_file(settings, generation_name, directory, files);
  else
    write_text(directory, generation_name, generation.to_string(2) + "\n", files);
}

// A directory is replaced only if it is empty or an export, not to delete what people keep there.
void check_target(const std::string& path, FileSystem& files) {
  if (!path_exists(path, files)) return;
  if (!is_directory(path, files))
    fail(Status::invalid_argument, "expected a directory to export to, seen a file '", path, "'");
  const std::vector<std::string> names = list_directory(path, files);
  if (names.empty()) return;
  const std::string config = join_path(path, "config.json");
  if (path_exists(config, files) && read_json(config, files).find(version_key) != nullptr) return;
  fail(Status::invalid_argument, "expected a new directory, an empty one or an earlier export at '",
       path, "', seen '", names[0], "' in another one");
}

// The directory whose tokenizer goes along, "" for none.
std::string companion_directory(const ExportOptions& options, FileSystem& files) {
  if (options.companion.empty()) return {};
  const bool directory = is_directory(options.companion, files);
  std::string path = directory ? options.companion : parent_directory(options.companion);
  if (!directory && file_name(options.companion) != "tokenizer.json")
    fail(Status::unsupported, "expected a directory or a tokenizer.json as companion, seen '",
         options.companion, "'");
  return path;
}

} // namespace

void export_hugging_face(const model::Model& model, const std::string& path,
                         const ExportOptions& options, ExportProgress progress, FileSystem& files) {
  if (options.type == ExportType::q8_0)
    fail(Status::unsupported_option,
         "expected fp32, fp16 or bf16 for a Hugging Face directory, seen q8_0");
  if (options.max_shard_bytes < 1)
    fail(Status::invalid_argument, "expected max_shard_bytes above 0, seen ",
         options.max_shard_bytes);
  check_target(path, files);
  const std::string companion = companion_directory(options, files);
  AtomicDirectory directory(path, files);
  write_configs(model, options, companion, directory, files);
  if (!companion.empty())
    for (const std::string_view name : companion_files)
      if (const std::string from = join_path(companion, name); path_exists(from, files))
        copy_file(from, name, directory, files);
  const auto shards = plan_shards(model.parameters(), block_bytes(encoding_of(options.type)),
                                  options.max_shard_bytes);
  for (const Shard& shard : shards)
    write_shard(model, shard, options.type, directory, progress, files);
  if (shards.size() > 1) write_index(shards, directory, files);
  directory.commit();
}

} // namespace anet::io
