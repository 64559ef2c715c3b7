#include "io/dataset/spill.h"

#include "base/status.h"
#include "base/temporary_path.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>

namespace anet::io {
namespace {

std::string default_directory() {
  const char* const directory = std::getenv("TMPDIR");
  return directory != nullptr && *directory != '\0' ? directory : "/var/tmp";
}

// Readable by the owner alone: it holds what the user trains on.
FileDescriptor create_private(const std::string& directory, FileSystem& files) {
  remove_stale_temporaries(directory, files); // of a process that died before it could unlink
  for (int attempt = 0;; ++attempt) {
    const std::string path = temporary_path(join_path(directory, "ane-train-data"), attempt);
    try {
      FileDescriptor file(path, O_RDWR | O_CREAT | O_EXCL, files, S_IRUSR | S_IWUSR);
      // A second try gets past a failure that was passing.
      if (files.unlink(path.c_str()) != 0 && files.unlink(path.c_str()) != 0)
        fail_errno("unlink", path);
      return file;
    } catch (const Error& error) {
      if (error.detail().code != EEXIST || attempt == max_temporaries) throw;
    }
  }
}

} // namespace

SpillFile::SpillFile(const std::string& directory, FileSystem& files)
    : files_(files),
      file_(create_private(directory.empty() ? default_directory() : directory, files)) {}

SpillFile::~SpillFile() {
  if (address_ != nullptr) files_.unmap(address_, size_);
}

void SpillFile::write(std::span<const std::byte> data) {
  file_.write_all(data);
  size_ += data.size();
}

std::span<const std::byte> SpillFile::map() {
  if (size_ == 0) return {}; // an empty mapping is not allowed
  address_ = files_.map(file_.get(), size_);
  if (address_ == nullptr) fail_errno("map", file_.path());
  return {static_cast<const std::byte*>(address_), size_};
}

void SpillFile::release() const {
  if (address_ != nullptr) files_.release_pages(address_, size_);
}

} // namespace anet::io
