#include "base/status.h"
#include "io/model_file/exports.h"

namespace anet::io {

void export_model(const model::Model& model, const std::string& path, const ExportOptions& options,
                  const TensorCallback& progress, FileSystem& files) {
  const ExportProgress state(model, progress);
  switch (options.format) {
  case ExportFormat::hugging_face:
    return export_hugging_face(model, path, options, state, files);
  case ExportFormat::llama2c:
    return export_llama2c(model, path, options, state, files);
  case ExportFormat::gguf:
    return export_gguf(model, path, options, state, files);
  }
  fail(Status::invalid_argument, "expected an export format from 1 to 3, seen ",
       static_cast<int>(options.format));
}

} // namespace anet::io
