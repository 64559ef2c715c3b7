// Adapters for llama.cpp: one GGUF file, written alone.
#include "base/status.h"
#include "io/adapter_file/adapter_formats.h"
#include "io/model_file/encode.h"
#include "io/model_file/gguf_writer.h"
#include "io/model_file/llama2c.h"

#include <algorithm>

namespace anet::io {
namespace {

struct Matrix {
  mil::Shape shape;
  std::vector<float> values;
};

Matrix matrix_of(const model::Adapter& adapter, int32_t index) {
  const model::Parameter& parameter = adapter.parameters()[static_cast<size_t>(index)];
  const auto values = adapter.values(parameter);
  return {parameter.shape, {values.begin(), values.end()}};
}

Matrix transposed(const Matrix& matrix) {
  const auto rows = static_cast<size_t>(matrix.shape[0]);
  const auto columns = static_cast<size_t>(matrix.shape[1]);
  Matrix result{{matrix.shape[1], matrix.shape[0]}, std::vector<float>(matrix.values.size())};
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j)
      result.values[j * rows + i] = matrix.values[i * columns + j];
  return result;
}

// Our rows of heads in the order of RoPE's pairs.
void interleave_rows(Matrix& matrix, int64_t head_dim) {
  const std::vector<float> ours = matrix.values;
  const int64_t columns = matrix.shape[1];
  for (int64_t row = 0; row < matrix.shape[0]; ++row)
    std::copy_n(ours.begin() + row * columns, columns,
                matrix.values.begin() + interleaved_row(row, head_dim) * columns);
}

class GgufAdapter {
public:
  GgufAdapter(const model::Adapter& adapter, const AdapterSaveOptions& options)
      : adapter_(adapter), options_(options),
        architecture_(gguf_architecture_for(adapter.config())), alpha_(adapter.options().alpha) {
    if (adapter.options().dora)
      fail(Status::unsupported, "a GGUF adapter cannot hold the magnitudes of DoRA");
    if (adapter.config().tie_embeddings && adapter.find("model.embed_tokens") != nullptr)
      fail(Status::unsupported,
           "a GGUF adapter cannot hold one of tied embeddings, which llama.cpp "
           "would use for the head too");
    for (const model::LoraModule& module : adapter.modules()) add(module);
  }

  void write(AtomicFile& file) const {
    GgufText metadata;
    metadata.set("general.type", "adapter");
    metadata.set("general.architecture", architecture_.name);
    if (!options_.base_name.empty()) {
      metadata.set("general.base_model.count", uint32_t{1});
      metadata.set("general.base_model.0.name", std::string_view(options_.base_name));
    }
    metadata.set("general.file_type", gguf_file_type(options_.type));
    metadata.set("adapter.type", "lora");
    metadata.set("adapter.lora.alpha", static_cast<float>(alpha_));
    file.write(gguf_header(metadata, infos_));
    uint64_t written = 0;
    std::vector<std::byte> bytes;
    for (size_t i = 0; i < infos_.size(); ++i) {
      encode(infos_[i].encoding, matrices_[i].values, infos_[i].name, bytes);
      file.write(bytes);
      written += bytes.size();
      pad_gguf(file, written);
    }
  }

private:
  // llama.cpp scales by the file's alpha / rank; what a module has beyond that goes into B. It
  // looks up rows of an embedding's A, which is transposed for that.
  void add(const model::LoraModule& module) {
    Matrix a = matrix_of(adapter_, module.lora_a), b = matrix_of(adapter_, module.lora_b);
    if (module.port == "embed_tokens") a = transposed(a);
    if (architecture_.interleaved && is_rotated(*module.base))
      interleave_rows(b, adapter_.config().head_dim);
    const double factor =
        module.scale / (static_cast<double>(static_cast<float>(alpha_)) / module.target.rank);
    if (factor != 1)
      for (float& value : b.values) value = static_cast<float>(double{value} * factor);
    const std::string name = gguf_name(*module.base);
    append(name + ".lora_a", std::move(a));
    append(name + ".lora_b", std::move(b));
  }

  void append(std::string name, Matrix matrix) {
    infos_.push_back({std::move(name), matrix.shape, encoding_of(options_.type)});
    matrices_.push_back(std::move(matrix));
  }

  const model::Adapter& adapter_;
  const AdapterSaveOptions& options_;
  const GgufArchitecture& architecture_;
  double alpha_;
  std::vector<GgufTensorInfo> infos_;
  std::vector<Matrix> matrices_;
};

} // namespace

void write_gguf_adapter(const model::Adapter& adapter, const std::string& path,
                        const AdapterSaveOptions& options, FileSystem& files) {
  const GgufAdapter output(adapter, options);
  AtomicFile file(path, files);
  output.write(file);
  file.commit();
}

} // namespace anet::io
