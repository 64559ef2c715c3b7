// Which format a path holds, and the loading of whole models.
#include "base/status.h"
#include "io/checkpoint.h"
#include "io/model_file/sources.h"
#include "io/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>

namespace anet::io {
namespace {

std::unique_ptr<ModelSource> open_directory(const std::string& path, FileSystem& files) {
  const auto has = [&](const char* name) { return path_exists(join_path(path, name), files); };
  if (has("state.json")) return open_checkpoint_model(path, files);
  if (has("config.json")) return open_hugging_face(path, files);
  for (const std::string& name : list_directory(path, files))
    if (checkpoint_step(name)) return open_checkpoint_model(path, files);
  fail(Status::invalid_data,
       "expected a Hugging Face directory with config.json, a checkpoint or a folder of "
       "checkpoints, seen neither of them in '",
       path, "'");
}

// The seven sizes of llama2.c's first version, which has no magic number.
bool looks_like_llama2c(std::span<const std::byte> start) {
  constexpr int32_t maximum = 1 << 24;
  if (start.size() < 28) return false;
  std::array<int32_t, 7> sizes;
  std::memcpy(sizes.data(), start.data(), sizeof(sizes));
  sizes[5] = sizes[5] == INT32_MIN ? 0 : std::abs(sizes[5]);
  for (const int32_t size : sizes)
    if (size < 1 || size > maximum) return false;
  return true;
}

std::unique_ptr<ModelSource> open_file(const std::string& path, std::span<const std::byte> start,
                                       FileSystem& files) {
  const auto word = [&] {
    uint32_t value = 0;
    if (start.size() >= sizeof(value)) std::memcpy(&value, start.data(), sizeof(value));
    return value;
  };
  const std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  if (text.starts_with(gguf_magic)) return open_gguf(path, files);
  if (word() == llama2c_magic) return open_llama2c(path, files);
  if (word() == blzt_magic) return open_blzt(path, files);
  if (text.size() > 8 && text[8] == '{') return open_saved_model(path, files);
  if (looks_like_llama2c(start)) return open_llama2c(path, files);
  fail(Status::invalid_data,
       "expected a model in GGUF, llama2.c, BLZT or safetensors format, seen another kind of "
       "file at '",
       path, "'");
}

// NaN and infinite values do not stop a load: people look into such models to find out why.
void warn_of_values(const model::Parameter& parameter, std::span<const float> values,
                    std::vector<std::string>& warnings) {
  // Integers and narrow counters, so that compilers vectorise the scan of every weight.
  constexpr uint32_t infinity = 0x7f800000u;
  int64_t nan = 0;
  int64_t infinite = 0;
  for (size_t first = 0; first < values.size(); first += size_t{1} << 20) {
    const auto part = values.subspan(first, std::min(values.size() - first, size_t{1} << 20));
    uint32_t above = 0;
    uint32_t equal = 0;
    for (const float value : part) {
      const uint32_t magnitude = std::bit_cast<uint32_t>(value) & 0x7fffffffu;
      above += magnitude > infinity ? 1 : 0;
      equal += magnitude == infinity ? 1 : 0;
    }
    nan += above;
    infinite += equal;
  }
  const auto warn = [&](int64_t count, const char* what) {
    if (count != 0)
      warnings.push_back(
          concat(parameter.name, ": ", count, count == 1 ? " value is " : " values are ", what));
  };
  warn(nan, "NaN");
  warn(infinite, "infinite");
}

} // namespace

std::unique_ptr<ModelSource> open_model(const std::string& path, FileSystem& files) {
  std::array<std::byte, 64> buffer;
  size_t size = 0;
  {
    FileDescriptor file(path, O_RDONLY, files);
    const FileKind kind = file.info().kind;
    if (kind == FileKind::directory) return open_directory(path, files);
    if (kind != FileKind::regular)
      fail(Status::invalid_argument, "expected a file or a directory at '", path, "'");
    size = file.read_some(buffer);
  }
  return open_file(path, std::span(buffer).first(size), files);
}

LoadedModel load_model(const std::string& path, const TensorCallback& progress, FileSystem& files) {
  const std::unique_ptr<ModelSource> source = open_model(path, files);
  LoadedModel result;
  result.model = std::make_shared<model::Model>(source->config());
  result.extras = source->extras();
  result.format = source->format();
  TensorProgress state{.total = result.model->parameters().weight_count()};
  for (const model::Parameter& parameter : result.model->parameters().all()) {
    const std::span<float> values = result.model->values(parameter);
    source->read(parameter, values);
    warn_of_values(parameter, values, result.warnings);
    state.name = parameter.name;
    state.done += parameter.elements;
    if (progress) progress(state);
  }
  return result;
}

} // namespace anet::io
