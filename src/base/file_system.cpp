#include "base/file_system.h"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace anet {
namespace {

FileInfo to_info(const struct stat& status) {
  FileInfo result;
  if (S_ISREG(status.st_mode)) result.kind = FileKind::regular;
  if (S_ISDIR(status.st_mode)) result.kind = FileKind::directory;
  result.size = static_cast<int64_t>(status.st_size);
  return result;
}

class RealFileSystem final : public FileSystem {
public:
  int open(const char* path, int flags, mode_t mode) override {
    return ::open(path, flags | O_CLOEXEC, mode);
  }
  int close(int descriptor) override { return ::close(descriptor); }
  ssize_t read(int descriptor, void* data, size_t size) override {
    return ::read(descriptor, data, size);
  }
  ssize_t write(int descriptor, const void* data, size_t size) override {
    return ::write(descriptor, data, size);
  }

  int fsync(int descriptor) override {
#if defined(__APPLE__)
    // Apple's fsync leaves data in the drive's cache. Not every volume offers the stronger call.
    if (::fcntl(descriptor, F_FULLFSYNC) == 0) return 0;
#endif
    return ::fsync(descriptor);
  }

  int info(int descriptor, FileInfo& result) override {
    struct stat status = {};
    if (::fstat(descriptor, &status) != 0) return -1;
    result = to_info(status);
    return 0;
  }
  int info(const char* path, FileInfo& result) override {
    struct stat status = {};
    if (::lstat(path, &status) != 0) return -1;
    result = to_info(status);
    return 0;
  }

  void* map(int descriptor, size_t size) override {
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
    return address == MAP_FAILED ? nullptr : address;
  }
  void unmap(void* address, size_t size) override { ::munmap(address, size); }
  void release_pages(void* address, size_t size) override {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t before = reinterpret_cast<uintptr_t>(address) % page;
    static_cast<void>(
        ::madvise(static_cast<std::byte*>(address) - before, size + before, MADV_DONTNEED));
  }

  int rename(const char* from, const char* to) override { return ::rename(from, to); }
  int exchange(const char* first, const char* second) override {
#if defined(__APPLE__)
    return ::renamex_np(first, second, RENAME_SWAP);
#elif defined(RENAME_EXCHANGE)
    return ::renameat2(AT_FDCWD, first, AT_FDCWD, second, RENAME_EXCHANGE);
#else
    static_cast<void>(first);
    static_cast<void>(second);
    errno = ENOSYS;
    return -1;
#endif
  }

  int unlink(const char* path) override { return ::unlink(path); }
  int make_directory(const char* path, mode_t mode) override { return ::mkdir(path, mode); }
  int remove_directory(const char* path) override { return ::rmdir(path); }

  int list(const char* path, std::vector<std::string>& names) override {
    names.clear();
    const auto close_directory = [](DIR* directory) { ::closedir(directory); };
    const std::unique_ptr<DIR, decltype(close_directory)> directory(::opendir(path),
                                                                    close_directory);
    if (!directory) return -1;
    while (true) {
      errno = 0; // the only way to tell the end from a failure
      const dirent* entry = ::readdir(directory.get());
      if (entry == nullptr) return errno == 0 ? 0 : -1;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
  }
};

} // namespace

FileSystem& FileSystem::real() {
  // Holds no state; the calls are as thread-safe as the system's. Never destroyed: what is released
  // while the process ends may still write.
  static FileSystem& files = *new RealFileSystem;
  return files;
}

} // namespace anet
