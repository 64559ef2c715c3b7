#include "base/file.h"

#include "base/status.h"
#include "base/temporary_path.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <utility>

namespace anet {
namespace {

// Some systems refuse single transfers of 2 GiB and more.
constexpr size_t max_transfer = size_t{1} << 30;

void sync_directory(const std::string& path, FileSystem& files) {
  FileDescriptor directory(path, O_RDONLY | O_DIRECTORY, files);
  directory.sync();
  directory.close();
}

} // namespace

FileDescriptor::FileDescriptor(const std::string& path, int flags, FileSystem& files, mode_t mode)
    : files_(&files), path_(path) {
  do {
    descriptor_ = files.open(path.c_str(), flags, mode);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) fail_errno((flags & O_CREAT) != 0 ? "create" : "open", path_);
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this == &other) return *this;
  close_quietly();
  files_ = other.files_;
  path_ = std::move(other.path_);
  descriptor_ = std::exchange(other.descriptor_, -1);
  return *this;
}

FileInfo FileDescriptor::info() const {
  FileInfo result;
  if (files_->info(descriptor_, result) != 0) fail_errno("examine", path_);
  return result;
}

void FileDescriptor::write_all(std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t written =
        files_->write(descriptor_, data.data(), std::min(data.size(), max_transfer));
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = EIO; // a device that takes nothing would keep us here for ever
    if (written <= 0) fail_errno("write", path_);
    data = data.subspan(static_cast<size_t>(written));
  }
}

size_t FileDescriptor::read_some(std::span<std::byte> data) {
  size_t total = 0;
  while (total < data.size()) {
    const ssize_t count =
        files_->read(descriptor_, data.data() + total, std::min(data.size() - total, max_transfer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_errno("read", path_);
    if (count == 0) break;
    total += static_cast<size_t>(count);
  }
  return total;
}

void FileDescriptor::sync() {
  int result = 0;
  do {
    result = files_->fsync(descriptor_);
  } while (result != 0 && errno == EINTR);
  if (result != 0) fail_errno("sync", path_);
}

void FileDescriptor::close() {
  if (descriptor_ < 0) return;
  // Closed whatever the answer is: after EINTR the number may already belong to another thread.
  const int result = files_->close(std::exchange(descriptor_, -1));
  if (result != 0 && errno != EINTR) fail_errno("close", path_);
}

void FileDescriptor::close_quietly() noexcept {
  if (descriptor_ >= 0) files_->close(std::exchange(descriptor_, -1));
}

std::string read_file(const std::string& path, int64_t max_size, FileSystem& files) {
  FileDescriptor file(path, O_RDONLY, files);
  const FileInfo info = file.info();
  if (info.kind == FileKind::directory)
    fail(Status::invalid_argument, "expected a file, seen a directory '", path, "'");
  const auto check_size = [&](int64_t size) {
    if (size > max_size)
      fail(Status::out_of_range, "expected at most ", max_size, " bytes in '", path, "', seen ",
           size);
  };
  check_size(info.size);
  std::string text;
  // The size is a hint only: pipes and /proc have none, and files grow.
  size_t chunk = static_cast<size_t>(std::clamp<int64_t>(info.size + 1, 4096, int64_t{1} << 30));
  while (true) {
    const size_t old_size = text.size();
    text.resize(old_size + chunk);
    const size_t count = file.read_some(std::as_writable_bytes(std::span(text).subspan(old_size)));
    text.resize(old_size + count);
    check_size(static_cast<int64_t>(text.size()));
    if (count < chunk) return text;
    chunk = std::clamp(text.size(), chunk, size_t{1} << 30);
  }
}

MappedFile::MappedFile(const std::string& path, int64_t max_size, FileSystem& files)
    : files_(&files) {
  FileDescriptor file(path, O_RDONLY, files);
  const FileInfo info = file.info();
  if (info.kind != FileKind::regular)
    fail(Status::invalid_argument, "expected a regular file to map at '", path, "'");
  if (info.size > max_size)
    fail(Status::out_of_range, "expected at most ", max_size, " bytes in '", path, "', seen ",
         info.size);
  if (info.size == 0) return; // an empty mapping is not allowed
  void* address = files.map(file.get(), static_cast<size_t>(info.size));
  if (address == nullptr) fail_errno("map", path);
  data_ = static_cast<const std::byte*>(address);
  size_ = static_cast<size_t>(info.size);
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this == &other) return *this;
  unmap();
  files_ = other.files_;
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

void MappedFile::unmap() noexcept {
  if (data_ != nullptr) files_->unmap(const_cast<std::byte*>(std::exchange(data_, nullptr)), size_);
}

void release_mapped_pages(std::span<const std::byte> part, FileSystem& files) {
  if (!part.empty()) files.release_pages(const_cast<std::byte*>(part.data()), part.size());
}

OutputFile::OutputFile(const std::string& path, FileSystem& files)
    : file_(path, O_WRONLY | O_CREAT | O_EXCL, files) {}

AtomicFile::AtomicFile(std::string path, FileSystem& files)
    : files_(files), path_(std::move(path)) {
  remove_stale_temporaries(parent_directory(path_), files_);
  for (int attempt = 0;; ++attempt) {
    std::string candidate = temporary_path(path_, attempt);
    try {
      file_ = FileDescriptor(candidate, O_WRONLY | O_CREAT | O_EXCL, files_);
      temporary_ = std::move(candidate);
      return;
    } catch (const Error& error) {
      if (error.detail().code != EEXIST || attempt == max_temporaries) throw;
    }
  }
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) files_.unlink(temporary_.c_str());
}

void AtomicFile::commit() {
  if (temporary_.empty()) fail(Status::invalid_state, "'", path_, "' has already been committed");
  file_.sync();
  file_.close();
  if (files_.rename(temporary_.c_str(), path_.c_str()) != 0) fail_errno("replace", path_);
  temporary_.clear();
  sync_directory(parent_directory(path_), files_);
}

void write_file_atomically(const std::string& path, std::span<const std::byte> data,
                           FileSystem& files) {
  AtomicFile file(path, files);
  file.write(data);
  file.commit();
}

} // namespace anet
