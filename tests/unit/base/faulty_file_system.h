// The real file system with one call made to fail, for sweeps in the manner of SQLite: run an
// operation with every call failing in turn until it runs through.
#pragma once

#include "base/file_system.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

namespace anet::test {

class FaultyFileSystem final : public FileSystem {
public:
  int64_t calls = 0;
  int64_t fail_at = -1;               // the call that fails, from 0; -1: none
  int error = EIO;                    // its errno
  bool stays_broken = false;          // all later calls fail as well
  bool short_and_interrupted = false; // every second transfer EINTR, the others 3 bytes at most
  bool can_exchange = true;
  bool failed = false; // the failure has been met

  int open(const char* path, int flags, mode_t mode) override {
    if (fails()) return -1;
    const int descriptor = real_.open(path, flags, mode);
    open_files += descriptor >= 0;
    return descriptor;
  }
  int close(int descriptor) override {
    const int result = real_.close(descriptor); // the descriptor is gone in any case
    --open_files;
    return fails() ? -1 : result;
  }
  ssize_t read(int descriptor, void* data, size_t size) override {
    if (fails() || interrupted()) return -1;
    return real_.read(descriptor, data, short_and_interrupted ? std::min<size_t>(size, 3) : size);
  }
  ssize_t write(int descriptor, const void* data, size_t size) override {
    if (fails() || interrupted()) return -1;
    return real_.write(descriptor, data, short_and_interrupted ? std::min<size_t>(size, 3) : size);
  }
  int fsync(int) override {
    if (fails() || interrupted()) return -1;
    return 0; // the medium is not what these tests are about, and it is slow
  }
  int info(int descriptor, FileInfo& result) override {
    return fails() ? -1 : real_.info(descriptor, result);
  }
  int info(const char* path, FileInfo& result) override {
    return fails() ? -1 : real_.info(path, result);
  }
  void* map(int descriptor, size_t size) override {
    return fails() ? nullptr : real_.map(descriptor, size);
  }
  void unmap(void* address, size_t size) override { real_.unmap(address, size); }
  int rename(const char* from, const char* to) override {
    return fails() ? -1 : real_.rename(from, to);
  }
  int exchange(const char* first, const char* second) override {
    if (fails()) return -1;
    if (can_exchange) return real_.exchange(first, second);
    errno = EINVAL;
    return -1;
  }
  int unlink(const char* path) override { return fails() ? -1 : real_.unlink(path); }
  int make_directory(const char* path, mode_t mode) override {
    return fails() ? -1 : real_.make_directory(path, mode);
  }
  int remove_directory(const char* path) override {
    return fails() ? -1 : real_.remove_directory(path);
  }
  int list(const char* path, std::vector<std::string>& names) override {
    return fails() ? -1 : real_.list(path, names);
  }

  int open_files = 0;

private:
  bool fails() {
    const int64_t call = calls++;
    if (fail_at < 0 || call < fail_at || (call > fail_at && !stays_broken)) return false;
    failed = true;
    errno = error;
    return true;
  }
  bool interrupted() {
    if (!short_and_interrupted || (++transfers_ & 1) != 0) return false;
    errno = EINTR;
    return true;
  }

  FileSystem& real_ = FileSystem::real();
  int64_t transfers_ = 0;
};

// A directory that is removed with all it holds.
class TemporaryDirectory {
public:
  TemporaryDirectory() {
    // In memory where there is such a place: these tests replace files by the thousand, which
    // journalling file systems turn into as many flushes.
    const std::filesystem::path memory = "/dev/shm";
    const bool in_memory = ::access(memory.c_str(), W_OK) == 0;
    const auto parent = in_memory ? memory : std::filesystem::temp_directory_path();
    std::string pattern = (parent / "anet-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  // Names in the directory, hidden ones too, sorted; without the library's own functions.
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      result.push_back(entry.path().filename().string());
    std::sort(result.begin(), result.end());
    return result;
  }

private:
  std::string path_;
};

} // namespace anet::test
