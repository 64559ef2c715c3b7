#include "backend/ane/model_directory.h"

#include "base/status.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace anet::backend::ane {

namespace {

constexpr std::string_view model_root = "@model_path/";
constexpr std::string_view weights_root = "@model_path/weights/";

// True when `path` still names the open file: its last owner removes it, and whoever waited for the
// lock then holds one on a file that nobody else will find.
bool is_current(const FileDescriptor& file, const std::string& path) {
  struct stat by_descriptor = {};
  struct stat by_path = {};
  return ::fstat(file.get(), &by_descriptor) == 0 && ::lstat(path.c_str(), &by_path) == 0 &&
         by_descriptor.st_dev == by_path.st_dev && by_descriptor.st_ino == by_path.st_ino;
}

// Locks belong to the open file, so they exclude the threads of one process too.
FileDescriptor lock_file(const std::string& path) {
  for (;;) {
    FileDescriptor file(path, O_RDWR | O_CREAT | O_NOFOLLOW);
    while (::flock(file.get(), LOCK_EX) != 0)
      if (errno != EINTR) fail_errno("lock", path);
    if (is_current(file, path)) return file;
  }
}

void write_file(const std::string& path, std::span<const std::byte> content) {
  OutputFile file(path);
  file.write(content);
  file.close();
}

} // namespace

void check_blob_path(const std::string& path) {
  const std::string_view name = std::string_view(path).substr(
      std::min(path.size(), path.starts_with(weights_root) ? weights_root.size() : path.size()));
  bool valid = !name.empty() && !name.ends_with('/');
  for (size_t begin = 0; valid && begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    valid = !part.empty() && part != "." && part != "..";
    begin = end + 1;
  }
  if (!valid)
    fail(Status::invalid_program, "the blob path '", path, "' is not a file below '", weights_root,
         "'");
}

std::string temporary_directory() {
  const char* const value = std::getenv("TMPDIR");
  return value == nullptr || *value == '\0' ? "/tmp" : value;
}

ModelDirectory::ModelDirectory(std::string path)
    : path_(std::move(path)), lock_path_(path_ + ".lock") {
  create_directories(parent_directory(path_));
  lock_ = lock_file(lock_path_);
}

ModelDirectory::~ModelDirectory() {
  remove();
  // While the lock is held: whoever waits for it sees that the file is not the current one.
  ::unlink(lock_path_.c_str());
}

void ModelDirectory::remove() noexcept {
  try {
    if (path_exists(path_)) remove_tree(path_);
  } catch (const std::exception&) {
    // What stays behind is overwritten when the same program is compiled again.
  }
}

void ModelDirectory::write(const ModelSource& source) {
  remove();
  create_directories(join_path(path_, "weights"));
  for (const auto& [name, bytes] : source.blobs) {
    check_blob_path(name);
    const std::string path = join_path(path_, name.substr(model_root.size()));
    create_directories(parent_directory(path));
    write_file(path, bytes.view());
  }
  write_file(join_path(path_, "model.mil"), as_bytes(source.text));
}

} // namespace anet::backend::ane
