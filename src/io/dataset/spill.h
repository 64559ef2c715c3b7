// Arrays that move to a temporary file when they grow past a limit.
#pragma once

#include "base/file.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace anet::io {

// A file without a name: only this process sees it, and it is gone with the object. It is written
// in sequence, then mapped.
class SpillFile {
public:
  // Made in `directory`; "" for TMPDIR, or /var/tmp, which unlike /tmp is never in memory.
  explicit SpillFile(const std::string& directory, FileSystem& files = FileSystem::real());
  ~SpillFile();
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  void write(std::span<const std::byte> data);
  // Once, at the end. Valid as long as the object.
  std::span<const std::byte> map();
  // Gives back the memory behind the mapping; it is read again when touched.
  void release() const;

private:
  FileSystem& files_;
  FileDescriptor file_;
  void* address_ = nullptr;
  size_t size_ = 0;
};

// Elements are appended, then read. While it grows the memory is at most one and a half times what
// it holds at the limit.
template <typename T>
class SpillArray {
  static_assert(std::is_trivially_copyable_v<T>);

public:
  void append(std::span<const T> values) {
    if (!file_) {
      grow(size_ + values.size());
      memory_.insert(memory_.end(), values.begin(), values.end());
    } else if (memory_.size() + values.size() > memory_.capacity()) {
      flush();
      file_->write(std::as_bytes(values));
    } else {
      memory_.insert(memory_.end(), values.begin(), values.end());
    }
    size_ += values.size();
  }
  // What is there and what follows goes to a file.
  void spill(const std::string& directory, FileSystem& files) {
    if (file_) return;
    file_ = std::make_unique<SpillFile>(directory, files);
    flush();
    std::vector<T>().swap(memory_);
    memory_.reserve(buffer_bytes / sizeof(T));
  }
  // Afterwards values() is there, and nothing can be appended.
  void finish() {
    if (!file_) return;
    flush();
    std::vector<T>().swap(memory_);
    const std::span<const std::byte> bytes = file_->map(); // aligned to a page
    mapped_ = {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }

  // Afterwards what values() shows is in the file alone, until it is touched. Any thread may call.
  void release() const {
    if (file_) file_->release();
  }

  bool spilled() const { return file_ != nullptr; }
  size_t size() const { return size_; }
  std::span<const T> values() const { return file_ ? mapped_ : std::span<const T>(memory_); }

private:
  static constexpr size_t buffer_bytes = size_t{1} << 20;

  void flush() {
    file_->write(std::as_bytes(std::span(memory_)));
    memory_.clear();
  }
  void grow(size_t size) {
    if (size > memory_.capacity()) memory_.reserve(std::max(size, memory_.capacity() / 2 * 3));
  }

  std::vector<T> memory_; // all, or what the file does not have yet
  std::unique_ptr<SpillFile> file_;
  std::span<const T> mapped_;
  size_t size_ = 0;
};

} // namespace anet::io
