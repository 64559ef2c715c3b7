// The sources of models, one a format; open_model chooses.
#pragma once

#include "io/model_file/model_source.h"

namespace anet::io {

// config.json and model.safetensors or its shards.
std::unique_ptr<ModelSource> open_hugging_face(const std::string& directory, FileSystem& files);
// A checkpoint, a folder of checkpoints (the newest that opens), or a file of save_model.
std::unique_ptr<ModelSource> open_checkpoint_model(const std::string& directory, FileSystem& files);
std::unique_ptr<ModelSource> open_saved_model(const std::string& path, FileSystem& files);
// Versions 1 and 2 begin with a magic number, 0 does not.
std::unique_ptr<ModelSource> open_llama2c(const std::string& path, FileSystem& files);
std::unique_ptr<ModelSource> open_blzt(const std::string& path, FileSystem& files);
std::unique_ptr<ModelSource> open_gguf(const std::string& path, FileSystem& files);

inline constexpr uint32_t llama2c_magic = 0x616b3432;
inline constexpr uint32_t blzt_magic = 0x424c5a54;
inline constexpr std::string_view gguf_magic = "GGUF";

} // namespace anet::io
