// The safetensors files of one model, as one set of tensors.
#pragma once

#include "base/file.h"
#include "io/model_file/problem_list.h"
#include "io/model_file/stored_tensor.h"
#include "io/safetensors.h"

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace anet::io {

class SafetensorsFiles {
public:
  explicit SafetensorsFiles(FileSystem& files) : files_(files) {}

  // The mapping stays as long as this. A name that another file has is a problem.
  void add(const std::string& path, ProblemList& problems);
  // model.safetensors, or the shards that model.safetensors.index.json names.
  void add_model(const std::string& directory, ProblemList& problems);

  struct Tensor {
    const SafetensorsEntry* entry = nullptr;
    std::span<const std::byte> data; // empty when its type is unknown
  };
  const std::unordered_map<std::string, Tensor>& tensors() const { return tensors_; }
  const Metadata& metadata(size_t file) const { return parts_[file]->reader.metadata(); }

private:
  struct Part {
    Part(const std::string& path, FileSystem& files)
        : file(path, unlimited_size, files), reader(file.bytes(), path) {}
    MappedFile file;
    SafetensorsReader reader;
  };
  void add_shards(const std::string& directory, const std::string& index, ProblemList& problems);

  FileSystem& files_;
  std::vector<std::unique_ptr<Part>> parts_;
  std::unordered_map<std::string, Tensor> tensors_;
};

// nullopt for a type whose values we do not read: integers, F64, F8, ...
std::optional<Encoding> safetensors_encoding(std::string_view dtype);

} // namespace anet::io
