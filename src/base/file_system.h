// The operating-system calls that files are made of, behind an interface, so that tests can make
// any one of them fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

namespace anet {

enum class FileKind { regular, directory, other };

struct FileInfo {
  FileKind kind = FileKind::other;
  int64_t size = 0; // bytes
};

// Every call has the POSIX convention: -1 and errno on failure. A call may be interrupted (EINTR)
// or be partial (read, write); callers retry. Implementations are usable from several threads.
class FileSystem {
public:
  virtual ~FileSystem() = default;

  virtual int open(const char* path, int flags, mode_t mode) = 0;
  virtual int close(int descriptor) = 0;
  virtual ssize_t read(int descriptor, void* data, size_t size) = 0;
  virtual ssize_t write(int descriptor, const void* data, size_t size) = 0;
  // To the medium, not only to the device's cache.
  virtual int fsync(int descriptor) = 0;
  virtual int info(int descriptor, FileInfo& result) = 0;
  // Does not follow a symbolic link.
  virtual int info(const char* path, FileInfo& result) = 0;
  // Read-only mapping; nullptr and errno on failure. `size` is positive.
  virtual void* map(int descriptor, size_t size) = 0;
  virtual void unmap(void* address, size_t size) = 0;
  // A hint: these pages of a mapping are not needed soon. They are read again when touched.
  virtual void release_pages(void* address, size_t size) {
    static_cast<void>(address);
    static_cast<void>(size);
  }
  virtual int rename(const char* from, const char* to) = 0;
  // Swaps two existing paths in one step; ENOSYS, EINVAL or ENOTSUP where it is not offered.
  virtual int exchange(const char* first, const char* second) = 0;
  virtual int unlink(const char* path) = 0;
  virtual int make_directory(const char* path, mode_t mode) = 0;
  virtual int remove_directory(const char* path) = 0;
  // Names in a directory without "." and "..", in no particular order.
  virtual int list(const char* path, std::vector<std::string>& names) = 0;

  // The operating system's own.
  static FileSystem& real();
};

} // namespace anet
