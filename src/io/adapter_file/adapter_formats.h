// The readers and writers of adapters, one a format; adapter_file.cpp chooses.
#pragma once

#include "base/json.h"
#include "io/adapter_file/adapter_file.h"
#include "io/safetensors.h"

#include <string>
#include <string_view>

namespace anet::io {

inline constexpr const char* adapter_config_file = "adapter_config.json";
inline constexpr const char* peft_weights_file = "adapter_model.safetensors";
inline constexpr const char* mlx_weights_file = "adapters.safetensors";

// An adapter's files, opened.
struct AdapterFiles {
  std::string path;   // of the weights, for messages
  Json config;        // adapter_config.json
  std::string source; // its path
  SafetensorsReader weights;
};

using AdapterPointer = std::shared_ptr<model::Adapter>;
using ModelPointer = std::shared_ptr<const model::Model>;

AdapterPointer read_peft(const AdapterFiles& files, const ModelPointer& base);
AdapterPointer read_mlx(const AdapterFiles& files, const ModelPointer& base);

void write_peft(const model::Adapter& adapter, const AdapterSaveOptions& options,
                const AtomicDirectory& directory, FileSystem& files);
void write_mlx(const model::Adapter& adapter, const AdapterSaveOptions& options,
               const AtomicDirectory& directory, FileSystem& files);
void write_gguf_adapter(const model::Adapter& adapter, const std::string& path,
                        const AdapterSaveOptions& options, FileSystem& files);

} // namespace anet::io
