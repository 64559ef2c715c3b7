// Which format a path holds.
#include "base/status.h"
#include "io/checkpoint.h"
#include "io/model_file/sources.h"
#include "io/safetensors.h"

#include <array>
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

} // namespace anet::io
