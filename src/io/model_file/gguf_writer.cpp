#include "io/model_file/gguf_writer.h"

#include "base/status.h"

namespace anet::io {
namespace {

constexpr uint32_t version = 3;

std::string table_of(const std::vector<GgufTensorInfo>& tensors) {
  GgufText text;
  uint64_t offset = 0;
  for (const GgufTensorInfo& tensor : tensors) {
    text.string(tensor.name);
    text.number(static_cast<uint32_t>(tensor.shape.size()));
    for (auto extent = tensor.shape.rbegin(); extent != tensor.shape.rend(); ++extent)
      text.number(static_cast<uint64_t>(*extent));
    text.number(gguf_tensor_type(tensor.encoding));
    text.number(offset);
    const auto blocks =
        static_cast<uint64_t>(mil::element_count(tensor.shape) / block_elements(tensor.encoding));
    const uint64_t size = blocks * static_cast<uint64_t>(block_bytes(tensor.encoding));
    offset += (size + gguf_alignment - 1) / gguf_alignment * gguf_alignment;
  }
  return text.bytes();
}

} // namespace

std::string gguf_header(const GgufText& metadata, const std::vector<GgufTensorInfo>& tensors) {
  GgufText text;
  text.number(version);
  text.number<uint64_t>(tensors.size());
  text.number(metadata.keys());
  std::string header =
      concat(std::string_view("GGUF"), text.bytes(), metadata.bytes(), table_of(tensors));
  header.append((gguf_alignment - header.size() % gguf_alignment) % gguf_alignment, '\0');
  return header;
}

void pad_gguf(ByteSink& file, uint64_t& written) {
  const std::string zeros((gguf_alignment - written % gguf_alignment) % gguf_alignment, '\0');
  file.write(as_bytes(zeros));
  written += zeros.size();
}

uint32_t gguf_file_type(ExportType type) {
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

const GgufArchitecture& gguf_architecture_for(const model::Config& config) {
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

} // namespace anet::io
