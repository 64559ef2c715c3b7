// GGUF files: metadata, the tokenizer's too when there is a companion, then the tensors.
#include "base/status.h"
#include "io/model_file/encode.h"
#include "io/model_file/exports.h"
#include "io/model_file/gguf_writer.h"
#include "io/model_file/llama2c.h"

#include <fcntl.h>

namespace anet::io {
namespace {

void set_config(const model::Config& config, std::string_view prefix, GgufText& text) {
  const auto set = [&](const char* key, auto value) { text.set(concat(prefix, ".", key), value); };
  const auto extent = [](int32_t value) { return static_cast<uint32_t>(value); };
  set("context_length", extent(config.context_length));
  set("embedding_length", extent(config.hidden_size));
  set("block_count", extent(config.layer_count));
  set("feed_forward_length", extent(config.intermediate_size));
  set("attention.head_count", extent(config.head_count));
  set("attention.head_count_kv", extent(config.kv_head_count));
  set("attention.key_length", extent(config.head_dim));
  set("attention.value_length", extent(config.head_dim));
  set("attention.layer_norm_rms_epsilon", static_cast<float>(config.norm_epsilon));
  set("rope.dimension_count", extent(config.head_dim));
  set("rope.freq_base", static_cast<float>(config.rope_theta));
  set("vocab_size", extent(config.vocab_size));
}

void set_tokenizer(const GgufTokenizer& tokenizer, GgufText& text) {
  text.set("tokenizer.ggml.model", tokenizer.model);
  text.set("tokenizer.ggml.pre", tokenizer.pre);
  text.set("tokenizer.ggml.tokens", tokenizer.tokens);
  text.set("tokenizer.ggml.token_type", tokenizer.types);
  if (!tokenizer.scores.empty()) text.set("tokenizer.ggml.scores", tokenizer.scores);
  if (!tokenizer.merges.empty()) text.set("tokenizer.ggml.merges", tokenizer.merges);
  const auto set_id = [&](const char* key, std::optional<int32_t> id) {
    if (id) text.set(key, static_cast<uint32_t>(*id));
  };
  set_id("tokenizer.ggml.bos_token_id", tokenizer.bos);
  set_id("tokenizer.ggml.eos_token_id", tokenizer.eos);
  set_id("tokenizer.ggml.unknown_token_id", tokenizer.unknown);
  set_id("tokenizer.ggml.padding_token_id", tokenizer.padding);
  text.set("tokenizer.ggml.add_bos_token", tokenizer.add_bos);
  if (!tokenizer.chat_template.empty())
    text.set("tokenizer.chat_template", tokenizer.chat_template);
}

std::string companion_directory(const std::string& companion, FileSystem& files) {
  if (FileDescriptor(companion, O_RDONLY, files).info().kind == FileKind::directory)
    return companion;
  if (file_name(companion) == "tokenizer.json") return parent_directory(companion);
  fail(Status::unsupported, "expected a directory or a tokenizer.json as companion, seen '",
       companion, "'");
}

class GgufExport {
public:
  GgufExport(const model::Model& model, const ExportOptions& options)
      : model_(model), options_(options), architecture_(gguf_architecture_for(model.config())) {
    const Encoding encoding = encoding_of(options.type);
    if (model.config().rope_scaling_factor != 0) factors_ = rope_factors(model.config());
    for (const model::Parameter& parameter : model.parameters().all()) {
      const bool vector = parameter.shape.size() == 1; // stay fp32, as everybody's do
      if (!vector && parameter.shape.back() % block_elements(encoding) != 0)
        fail(Status::unsupported, "expected rows of a multiple of ", block_elements(encoding),
             " values for ", encoding_name(encoding), ", seen ", parameter.shape.back(), " in '",
             parameter.name, "'");
      tensors_.push_back({&parameter, vector ? Encoding::fp32 : encoding});
    }
  }

  void write(AtomicFile& file, const std::string& companion, ExportProgress& progress,
             FileSystem& files) {
    const std::string header = header_bytes(companion, files);
    file.write(header);
    uint64_t written = 0;
    if (!factors_.empty()) {
      file.write(std::as_bytes(std::span(factors_)));
      written += factors_.size() * sizeof(float);
      pad_gguf(file, written);
    }
    for (const auto& [parameter, encoding] : tensors_) {
      const bool interleaved = architecture_.interleaved && is_rotated(*parameter);
      encode_parameter(model_, *parameter, encoding, interleaved ? model_.config().head_dim : 0,
                       [&](std::span<const std::byte> bytes) {
                         file.write(bytes);
                         written += bytes.size();
                       });
      pad_gguf(file, written);
      progress.wrote(*parameter);
    }
  }

private:
  struct Tensor {
    const model::Parameter* parameter;
    Encoding encoding;
  };

  std::string header_bytes(const std::string& companion, FileSystem& files) const {
    GgufText metadata;
    metadata.set("general.architecture", architecture_.name);
    metadata.set("general.type", "model");
    metadata.set("general.file_type", gguf_file_type(options_.type));
    if (options_.type == ExportType::q8_0)
      metadata.set("general.quantization_version", uint32_t{2});
    set_config(model_.config(), architecture_.name, metadata);
    if (!companion.empty())
      set_tokenizer(read_gguf_tokenizer(companion_directory(companion, files),
                                        model_.config().vocab_size, files),
                    metadata);
    return gguf_header(metadata, tensors());
  }

  std::vector<GgufTensorInfo> tensors() const {
    std::vector<GgufTensorInfo> infos;
    if (!factors_.empty())
      infos.push_back({gguf_rope_factors, {static_cast<int64_t>(factors_.size())}, Encoding::fp32});
    for (const auto& [parameter, encoding] : tensors_)
      infos.push_back({gguf_name(*parameter), parameter->shape, encoding});
    return infos;
  }

  const model::Model& model_;
  const ExportOptions& options_;
  const GgufArchitecture& architecture_;
  std::vector<float> factors_;
  std::vector<Tensor> tensors_;
};

} // namespace

void export_gguf(const model::Model& model, const std::string& path, const ExportOptions& options,
                 ExportProgress progress, FileSystem& files) {
  GgufExport output(model, options);
  AtomicFile file(path, files);
  output.write(file, options.companion, progress, files);
  file.commit();
}

} // namespace anet::io
