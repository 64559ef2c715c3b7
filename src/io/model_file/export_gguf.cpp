// GGUF files: metadata, the tokenizer's too when there is a companion, then the tensors.
#include "base/status.h"
#include "io/model_file/encode.h"
#include "io/model_file/exports.h"
#include "io/model_file/gguf_file.h"
#include "io/model_file/gguf_names.h"
#include "io/model_file/gguf_tokenizer.h"
#include "io/model_file/llama2c.h"

#include <fcntl.h>

namespace anet::io {
namespace {

constexpr uint64_t alignment = 32; // the format's default
constexpr uint32_t version = 3;

// The format's name of a whole file's type, "general.file_type".
uint32_t file_type(ExportType type) {
  switch (type) {
  case ExportType::fp32:
    return 0;
  case ExportType::fp16:
    return 1;
  case ExportType::q8_0:
    return 7;
  case ExportType::bf16:
    return 32;
  }
  return 0;
}

// Bytes of the header: numbers, strings, keys with values.
class GgufText {
public:
  const std::string& bytes() const { return bytes_; }
  uint64_t keys() const { return keys_; }

  template <typename T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void string(std::string_view text) {
    number<uint64_t>(text.size());
    bytes_ += text;
  }
  void set(std::string_view key, uint32_t value) { scalar(key, GgufType::uint32, value); }
  void set(std::string_view key, float value) { scalar(key, GgufType::float32, value); }
  void set(std::string_view key, bool value) {
    scalar<uint8_t>(key, GgufType::boolean, value ? 1 : 0);
  }
  void set(std::string_view key, std::string_view value) {
    begin(key, GgufType::string);
    string(value);
  }
  void set(std::string_view key, const char* value) { set(key, std::string_view(value)); }
  void set(std::string_view key, const std::vector<std::string>& values) {
    array(key, GgufType::string, values.size());
    for (const std::string& value : values) string(value);
  }
  void set(std::string_view key, const std::vector<float>& values) {
    array(key, GgufType::float32, values.size());
    for (const float value : values) number(value);
  }
  void set(std::string_view key, const std::vector<GgufTokenType>& values) {
    array(key, GgufType::int32, values.size());
    for (const GgufTokenType value : values) number(static_cast<int32_t>(value));
  }

private:
  void begin(std::string_view key, GgufType type) {
    ++keys_;
    string(key);
    number(static_cast<uint32_t>(type));
  }
  template <typename T>
  void scalar(std::string_view key, GgufType type, T value) {
    begin(key, type);
    number(value);
  }
  void array(std::string_view key, GgufType type, uint64_t count) {
    begin(key, GgufType::array);
    number(static_cast<uint32_t>(type));
    number(count);
  }

  std::string bytes_;
  uint64_t keys_ = 0;
};

const GgufArchitecture& architecture_for(const model::Config& config) {
  const GgufArchitecture* chosen = nullptr;
  for (const GgufArchitecture& known : gguf_architectures())
    if (known.qkv_bias == config.qkv_bias && known.qk_norm == config.qk_norm) chosen = &known;
  if (chosen == nullptr)
    fail(Status::unsupported, "no architecture of GGUF that we know has both biases (qkv_bias) and "
                              "norms (qk_norm) of queries and keys");
  if (config.rope_scaling_factor != 0 && chosen->name != "llama")
    fail(Status::unsupported, "GGUF's architecture ", chosen->name, " has no RoPE scaling");
  return *chosen;
}

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
      : model_(model), options_(options), architecture_(architecture_for(model.config())) {
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
      pad(file, written);
    }
    for (const auto& [parameter, encoding] : tensors_) {
      const bool interleaved = architecture_.interleaved && is_rotated(*parameter);
      encode_parameter(*parameter, model_.values(*parameter), encoding,
                       interleaved ? model_.config().head_dim : 0,
                       [&](std::span<const std::byte> bytes) {
                         file.write(bytes);
                         written += bytes.size();
                       });
      pad(file, written);
      progress.wrote(*parameter);
    }
  }

private:
  struct Tensor {
    const model::Parameter* parameter;
    Encoding encoding;
  };

  static void pad(AtomicFile& file, uint64_t& written) {
    const std::string zeros((alignment - written % alignment) % alignment, '\0');
    file.write(zeros);
    written += zeros.size();
  }

  std::string header_bytes(const std::string& companion, FileSystem& files) const {
    GgufText metadata;
    metadata.set("general.architecture", architecture_.name);
    metadata.set("general.type", "model");
    metadata.set("general.file_type", file_type(options_.type));
    if (options_.type == ExportType::q8_0)
      metadata.set("general.quantization_version", uint32_t{2});
    set_config(model_.config(), architecture_.name, metadata);
    if (!companion.empty())
      set_tokenizer(read_gguf_tokenizer(companion_directory(companion, files),
                                        model_.config().vocab_size, files),
                    metadata);
    GgufText text;
    text.number(version);
    text.number<uint64_t>(tensors_.size() + (factors_.empty() ? 0 : 1));
    text.number(metadata.keys());
    std::string header = concat(std::string_view("GGUF"), text.bytes(), metadata.bytes(), table());
    header.append((alignment - header.size() % alignment) % alignment, '\0');
    return header;
  }

  std::string table() const {
    GgufText text;
    uint64_t offset = 0;
    const auto add = [&](std::string_view name, const mil::Shape& shape, Encoding encoding) {
      text.string(name);
      text.number(static_cast<uint32_t>(shape.size()));
      for (auto extent = shape.rbegin(); extent != shape.rend(); ++extent)
        text.number(static_cast<uint64_t>(*extent));
      text.number(gguf_tensor_type(encoding));
      text.number(offset);
      const auto blocks =
          static_cast<uint64_t>(mil::element_count(shape) / block_elements(encoding));
      const uint64_t size = blocks * static_cast<uint64_t>(block_bytes(encoding));
      offset += (size + alignment - 1) / alignment * alignment;
    };
    if (!factors_.empty())
      add(gguf_rope_factors, {static_cast<int64_t>(factors_.size())}, Encoding::fp32);
    for (const auto& [parameter, encoding] : tensors_)
      add(gguf_name(*parameter), parameter->shape, encoding);
    return text.bytes();
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
