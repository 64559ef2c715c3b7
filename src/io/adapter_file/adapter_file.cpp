// Which format a path holds, and what may be replaced.
#include "io/adapter_file/adapter_file.h"

#include "base/status.h"
#include "io/adapter_file/adapter_formats.h"

#include <algorithm>
#include <array>
#include <fcntl.h>

namespace anet::io {
namespace {

constexpr int64_t max_config = int64_t{16} << 20; // bytes

bool is_directory(const std::string& path, FileSystem& files) {
  return FileDescriptor(path, O_RDONLY, files).info().kind == FileKind::directory;
}

void refuse_gguf(const std::string& path, FileSystem& files) {
  std::array<std::byte, 4> start{};
  FileDescriptor file(path, O_RDONLY, files);
  if (file.read_some(start) == start.size() &&
      std::equal(start.begin(), start.end(), as_bytes("GGUF").begin()))
    fail(Status::unsupported,
         "expected a PEFT or mlx-lm adapter, seen GGUF, which is written alone, "
         "at '",
         path, "'");
}

// The weights in a directory.
std::string weights_in(const std::string& directory, FileSystem& files) {
  for (const char* name : {peft_weights_file, mlx_weights_file})
    if (std::string path = join_path(directory, name); path_exists(path, files)) return path;
  const bool pickled = path_exists(join_path(directory, "adapter_model.bin"), files);
  fail(Status::file_not_found, "expected '", peft_weights_file, "' or '", mlx_weights_file,
       "' in '", directory, "', seen ",
       pickled ? "pickled PyTorch weights, which have to be converted" : "neither");
}

AdapterFiles open_files(const std::string& path, FileSystem& files) {
  AdapterFiles opened;
  const bool directory = is_directory(path, files);
  if (!directory) refuse_gguf(path, files);
  opened.source = join_path(directory ? path : parent_directory(path), adapter_config_file);
  if (!path_exists(opened.source, files))
    fail(Status::file_not_found, "expected '", adapter_config_file,
         "' of an adapter beside its "
         "weights, seen none at '",
         opened.source, "'");
  opened.config =
      Json::parse(read_file(opened.source, max_config, files), opened.source, Status::invalid_data,
                  {.max_size = static_cast<size_t>(max_config), .max_depth = 64});
  opened.path = directory ? weights_in(path, files) : path;
  opened.weights = SafetensorsReader(opened.path, files);
  return opened;
}

// A directory is replaced only if all it holds is an earlier adapter.
void check_target(const std::string& path, FileSystem& files) {
  if (!path_exists(path, files)) return;
  if (!is_directory(path, files))
    fail(Status::invalid_argument, "expected a directory for an adapter, seen a file '", path, "'");
  for (const std::string& name : list_directory(path, files))
    if (name != adapter_config_file && name != peft_weights_file && name != mlx_weights_file)
      fail(Status::invalid_argument,
           "expected a new directory, an empty one or an earlier adapter at '", path, "', seen '",
           name, "' in it");
}

} // namespace

std::shared_ptr<model::Adapter> load_adapter(const std::string& path,
                                             const std::shared_ptr<const model::Model>& base,
                                             FileSystem& files) {
  const AdapterFiles opened = open_files(path, files);
  const JsonView config(opened.config, Status::invalid_data, opened.source);
  config.members();
  if (config.find("peft_type")) return read_peft(opened, base);
  if (config.find("lora_parameters") || config.find("fine_tune_type"))
    return read_mlx(opened, base);
  fail(Status::invalid_data, opened.source,
       ": expected 'peft_type' of PEFT or 'lora_parameters' of mlx-lm, seen neither");
}

void save_adapter(const model::Adapter& adapter, const std::string& path,
                  const AdapterSaveOptions& options, FileSystem& files) {
  if (options.type == ExportType::q8_0)
    fail(Status::unsupported, "expected fp32, fp16 or bf16 for an adapter, seen q8_0");
  if (options.format == AdapterFormat::gguf)
    return write_gguf_adapter(adapter, path, options, files);
  check_target(path, files);
  AtomicDirectory directory(path, files);
  if (options.format == AdapterFormat::peft)
    write_peft(adapter, options, directory, files);
  else if (options.format == AdapterFormat::mlx)
    write_mlx(adapter, options, directory, files);
  else
    fail(Status::invalid_argument, "expected an adapter format from 1 to 3, seen ",
         static_cast<int>(options.format));
  directory.commit();
}

} // namespace anet::io
