// The writers of models, one a format; export_model chooses.
#pragma once

#include "io/model_file/model_source.h"

namespace anet::io {

// Tells the callback what has been written.
class ExportProgress {
public:
  ExportProgress(const model::Model& model, const TensorCallback& callback) : callback_(callback) {
    state_.total = model.parameters().weight_count();
  }
  void wrote(const model::Parameter& parameter) {
    state_.name = parameter.name;
    state_.done += parameter.elements;
    if (callback_) callback_(state_);
  }

private:
  const TensorCallback& callback_;
  TensorProgress state_;
};

void export_hugging_face(const model::Model& model, const std::string& path,
                         const ExportOptions& options, ExportProgress progress, FileSystem& files);
void export_llama2c(const model::Model& model, const std::string& path,
                    const ExportOptions& options, ExportProgress progress, FileSystem& files);
void export_gguf(const model::Model& model, const std::string& path, const ExportOptions& options,
                 ExportProgress progress, FileSystem& files);

} // namespace anet::io
