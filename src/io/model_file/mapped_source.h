// What the sources of memory-mapped files share: a place for each parameter, and its conversion.
#pragma once

#include "base/thread_pool.h"
#include "io/model_file/model_source.h"
#include "io/model_file/problem_list.h"
#include "io/model_file/stored_tensor.h"

#include <cstring>
#include <memory>
#include <unordered_map>

namespace anet::io {

class MappedSource : public ModelSource {
public:
  void read(const model::Parameter& parameter, std::span<float> values) override;

protected:
  // `files` is the mappings' own.
  explicit MappedSource(FileSystem& files) : files_(files) {}

  // The data's size must be what the parameter takes. Throws invalid_data if it is not.
  void place(const model::Parameter& parameter, const StoredTensor& tensor);

private:
  void read_piece(const StoredTensor& tensor, int64_t row_size, int64_t first,
                  std::span<float> values);
  void for_ranges(int64_t count, int64_t grain, RangeFunction function);

  FileSystem& files_;
  std::unordered_map<std::string, StoredTensor> tensors_; // by the parameter's name
  std::unique_ptr<ThreadPool> pool_;                      // made for the first large tensor
};

// Reads a file's contents from front to back, for formats without a table of tensors.
class ByteCursor {
public:
  ByteCursor(std::span<const std::byte> bytes, std::string source)
      : bytes_(bytes), source_(std::move(source)) {}

  const std::string& source() const { return source_; }
  size_t left() const { return bytes_.size() - at_; }
  std::span<const std::byte> rest() const { return bytes_.subspan(at_); }
  // Throws invalid_data, naming `what`, if that many are not left.
  std::span<const std::byte> take(int64_t elements, int64_t width, std::string_view what);
  template <typename T>
  T value(std::string_view what) {
    T result;
    std::memcpy(&result, take(1, sizeof(T), what).data(), sizeof(T));
    return result;
  }
  void seek(size_t offset) { at_ = offset; } // within the file
  // Throws invalid_data if bytes are left.
  void finish() const;

private:
  std::span<const std::byte> bytes_;
  std::string source_;
  size_t at_ = 0;
};

} // namespace anet::io
