// Files in memory, for readers that open what they read by name. Read-only.
#pragma once

#include "base/file_system.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace anet::fuzz {

class MemoryFileSystem final : public FileSystem {
public:
  // A path with a slash makes the directory before it.
  void put(const std::string& path, std::string contents) {
    if (const size_t slash = path.rfind('/'); slash != std::string::npos)
      directories_.insert(path.substr(0, slash));
    files_[path] = std::move(contents);
  }

  int open(const char* path, int, mode_t) override {
    if (!files_.contains(path) && !directories_.contains(path)) return fail(ENOENT);
    open_.push_back({path, 0});
    return static_cast<int>(open_.size()) - 1;
  }
  int close(int) override { return 0; }
  ssize_t read(int descriptor, void* data, size_t size) override {
    Open& file = open_[static_cast<size_t>(descriptor)];
    const std::string& contents = files_[file.path];
    const size_t count = std::min(size, contents.size() - file.at);
    std::memcpy(data, contents.data() + file.at, count);
    file.at += count;
    return static_cast<ssize_t>(count);
  }
  int info(int descriptor, FileInfo& result) override {
    return info(open_[static_cast<size_t>(descriptor)].path.c_str(), result);
  }
  int info(const char* path, FileInfo& result) override {
    const auto file = files_.find(path);
    if (file == files_.end() && !directories_.contains(path)) return fail(ENOENT);
    result.kind = file == files_.end() ? FileKind::directory : FileKind::regular;
    result.size = file == files_.end() ? 0 : static_cast<int64_t>(file->second.size());
    return 0;
  }
  // A copy of exactly that size, so that the address sanitizer sees reads past the end.
  void* map(int descriptor, size_t size) override {
    char* copy = new char[size];
    std::memcpy(copy, files_[open_[static_cast<size_t>(descriptor)].path].data(), size);
    return copy;
  }
  void unmap(void* address, size_t) override { delete[] static_cast<char*>(address); }
  int list(const char* path, std::vector<std::string>& names) override {
    names.clear();
    const std::string prefix = std::string(path) + "/";
    for (const auto& [name, contents] : files_)
      if (name.starts_with(prefix)) names.push_back(name.substr(prefix.size()));
    return 0;
  }

  ssize_t write(int, const void*, size_t) override { return fail(EROFS); }
  int fsync(int) override { return fail(EROFS); }
  int rename(const char*, const char*) override { return fail(EROFS); }
  int exchange(const char*, const char*) override { return fail(EROFS); }
  int unlink(const char*) override { return fail(EROFS); }
  int make_directory(const char*, mode_t) override { return fail(EROFS); }
  int remove_directory(const char*) override { return fail(EROFS); }

private:
  struct Open {
    std::string path;
    size_t at;
  };
  static int fail(int code) {
    errno = code;
    return -1;
  }

  std::map<std::string, std::string> files_;
  std::set<std::string> directories_;
  std::vector<Open> open_;
};

} // namespace anet::fuzz
