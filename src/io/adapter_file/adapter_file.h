// Low-rank adapters as other tools store them.
//
// PEFT: a directory with adapter_config.json and adapter_model.safetensors.
// mlx-lm: a directory with adapter_config.json and adapters.safetensors; its matrices are
// transposed, and it stores the scale in place of alpha.
// GGUF: one file for llama.cpp, written alone.
#pragma once

#include "base/file.h"
#include "io/model_file/model_source.h"
#include "model/adapter.h"

#include <cstdint>
#include <memory>
#include <string>

namespace anet::io {

enum class AdapterFormat : int32_t { peft = 1, mlx = 2, gguf = 3 };

struct AdapterSaveOptions {
  AdapterFormat format = AdapterFormat::peft;
  ExportType type = ExportType::fp32; // not q8_0
  std::string base_name = {};         // of the model, for people and hubs: "Qwen/Qwen3-0.6B"
};

// Reads a directory, or a file of weights in one (mlx-lm keeps numbered copies). Throws
// invalid_data listing every tensor that is missing, extra or misshapen, and unsupported naming the
// setting that we do not have (modules_to_save, trained biases, other kinds of adapters, ...).
std::shared_ptr<model::Adapter> load_adapter(const std::string& path,
                                             const std::shared_ptr<const model::Model>& base,
                                             FileSystem& files = FileSystem::real());

// Writes atomically: a directory, for GGUF a file; replaces an earlier adapter and nothing else.
// Throws unsupported naming what the format cannot express.
void save_adapter(const model::Adapter& adapter, const std::string& path,
                  const AdapterSaveOptions& options = {}, FileSystem& files = FileSystem::real());

} // namespace anet::io
