// Models as other tools store them. A source is opened, checked as a whole, then read tensor by
// tensor, so that no second copy of the weights is ever held.
#pragma once

#include "base/file.h"
#include "base/thread_pool.h"
#include "model/model.h"
#include "quant/quantize.h"

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io {

// What a load or an export has done so far.
struct TensorProgress {
  std::string_view name = {};
  int64_t done = 0; // elements, this tensor included
  int64_t total = 0;
};
using TensorCallback = std::function<void(const TensorProgress&)>;

// The files that a model brings along besides its weights.
struct ModelExtras {
  std::string tokenizer_path;    // tokenizer.json or tokenizer.bin; "" when there is none
  std::vector<int32_t> stop_ids; // of generation_config.json, else of config.json
};

// One model in one format. Opening checks names, shapes and types of all tensors and lists every
// problem in one error (invalid_data). Not thread-safe.
class ModelSource {
public:
  virtual ~ModelSource() = default;

  virtual std::string_view format() const = 0; // "hugging_face", "gguf", "llama2c", "blzt", ...
  const model::Config& config() const { return config_; }
  const ModelExtras& extras() const { return extras_; }
  // Converts one tensor to fp32 in our order of rows; its pages of the file can be dropped after.
  virtual void read(const model::Parameter& parameter, std::span<float> values) = 0;
  // How the file holds the tensor, and its codes, which may be views of the mapped file; nullopt
  // when it is not compressed in a way of ours.
  virtual std::optional<quant::Scheme> scheme(const model::Parameter&) const { return {}; }
  virtual mil::CompressedWeight compressed(const model::Parameter& parameter);

protected:
  model::Config config_;
  ModelExtras extras_;
};

// Detects the format: a directory with config.json or state.json, or a file by its first bytes.
// Throws file_not_found, invalid_data (no format that we know), invalid_config or unsupported
// naming the architecture or option that we do not have.
std::unique_ptr<ModelSource> open_model(const std::string& path,
                                        FileSystem& files = FileSystem::real());

struct LoadedModel {
  std::shared_ptr<model::Model> model;
  ModelExtras extras;
  std::string format;
  std::vector<std::string> warnings; // "model.norm.weight: 3 values are NaN"
  // One a parameter when the model is compressed, else empty. The errors are those of compressing
  // it now: 0 for what the file holds compressed already.
  std::vector<quant::TensorReport> quantization;
};

struct LoadOptions {
  // Compresses matrices as they are read, one at a time. Without it the model is as in the file.
  std::optional<quant::Recipe> recipe = {};
  TensorCallback progress = {};
  ThreadPool* pool = nullptr; // none: one is made when there is something to compress
};

LoadedModel load_model(const std::string& path, const LoadOptions& options = {},
                       FileSystem& files = FileSystem::real());

enum class ExportFormat : int32_t { hugging_face = 1, llama2c = 2, gguf = 3 };
enum class ExportType : int32_t { fp32 = 0, fp16 = 1, bf16 = 2, q8_0 = 3 };

struct ExportOptions {
  ExportFormat format = ExportFormat::hugging_face;
  ExportType type = ExportType::fp32;
  // A model directory or file whose tokenizer, chat template and generation settings go along; ""
  // for none.
  std::string companion;
  int64_t max_shard_bytes = int64_t{5'000'000'000}; // of a safetensors file
};

// Writes atomically: a file for llama2c and gguf, else a directory; replaces what an earlier export
// wrote there. Throws unsupported naming what the format cannot express (llama2c has no q/k norm,
// no biases, other rope_theta than 10000, ...).
void export_model(const model::Model& model, const std::string& path, const ExportOptions& options,
                  const TensorCallback& progress = {}, FileSystem& files = FileSystem::real());

} // namespace anet::io
