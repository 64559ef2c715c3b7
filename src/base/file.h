// Files: whole reads, read-only mappings, and writes that either happen completely or not at all.
//
// Failures throw Error with the status of errno (file_not_found, permission, disk_full, io, ...)
// and errno itself in the detail. `FileSystem&` arguments must outlive the object.
#pragma once

#include "base/file_system.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet {

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// An open file; closed on destruction. Moved-from objects are empty.
class FileDescriptor {
public:
  FileDescriptor() = default;
  // `mode` is that of a file it creates, before the process's mask.
  FileDescriptor(const std::string& path, int flags, FileSystem& files = FileSystem::real(),
                 mode_t mode = 0666);
  ~FileDescriptor() { close_quietly(); }
  FileDescriptor(FileDescriptor&& other) noexcept { *this = std::move(other); }
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;

  int get() const { return descriptor_; }
  const std::string& path() const { return path_; }
  FileInfo info() const;
  void write_all(std::span<const std::byte> data);
  // Returns the bytes read; less than asked for only at the end of the file.
  size_t read_some(std::span<std::byte> data);
  void sync();
  void close(); // reports what a destructor cannot

private:
  void close_quietly() noexcept;

  FileSystem* files_ = nullptr;
  std::string path_;
  int descriptor_ = -1;
};

inline constexpr int64_t unlimited_size = std::numeric_limits<int64_t>::max();

// The whole file. A file of more than `max_size` bytes is an error (out_of_range).
std::string read_file(const std::string& path, int64_t max_size = unlimited_size,
                      FileSystem& files = FileSystem::real());

// A regular file's bytes, read-only, valid for the object's lifetime; the address survives a move.
// The file must not shrink meanwhile: our writers replace files and never truncate them.
class MappedFile {
public:
  MappedFile() = default;
  explicit MappedFile(const std::string& path, int64_t max_size = unlimited_size,
                      FileSystem& files = FileSystem::real());
  ~MappedFile() { unmap(); }
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

private:
  void unmap() noexcept;

  FileSystem* files_ = nullptr;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Gives back the memory behind a part of a MappedFile's bytes; they are read again when touched.
// Nothing but such bytes may be passed: other memory would lose its contents.
void release_mapped_pages(std::span<const std::byte> part, FileSystem& files = FileSystem::real());

// Where a format writer puts its bytes.
class ByteSink {
public:
  virtual ~ByteSink() = default;
  virtual void write(std::span<const std::byte> data) = 0;
};

// A new file at a path of its own; for files inside an AtomicDirectory.
class OutputFile : public ByteSink {
public:
  explicit OutputFile(const std::string& path, FileSystem& files = FileSystem::real());
  void write(std::span<const std::byte> data) override { file_.write_all(data); }
  void close() { file_.close(); }

private:
  FileDescriptor file_;
};

// Replaces `path` in one step. Bytes go to `.<name>.tmp-<pid>-<n>` beside it; commit() syncs,
// renames and syncs the directory. Without commit() the destructor removes the temporary. When
// commit() throws, `path` is as before, except that after a failed sync of the directory, the last
// action, it has the new content, which a power cut may take back.
class AtomicFile : public ByteSink {
public:
  explicit AtomicFile(std::string path, FileSystem& files = FileSystem::real());
  ~AtomicFile() override;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> data) override { file_.write_all(data); }
  void write(std::string_view text) { write(as_bytes(text)); }
  void commit(); // once

private:
  FileSystem& files_;
  std::string path_;
  std::string temporary_; // empty once committed
  FileDescriptor file_;
};

void write_file_atomically(const std::string& path, std::span<const std::byte> data,
                           FileSystem& files = FileSystem::real());

// Builds a directory beside `path` and puts it in place in one step, old content and all. Where the
// file system cannot exchange two directories (some network ones), the old
// one is renamed away first, so a crash between the two renames leaves neither; readers that scan a
// parent directory then find the previous entry.
// When commit() throws, `path` is as before. Leftovers of dead processes are removed on
// construction, so all writers of one directory must share a process-id namespace.
class AtomicDirectory {
public:
  explicit AtomicDirectory(std::string path, FileSystem& files = FileSystem::real());
  ~AtomicDirectory();
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;

  // Where to create a file that commit() will sync.
  std::string path_of(std::string_view name) const;
  void commit(); // once

private:
  void put_in_place();
  void swap_with_target();

  FileSystem& files_;
  std::string path_;
  std::string temporary_; // empty when nothing is left to remove
};

// "a/b" -> "a", "b" -> ".", "/b" -> "/".
std::string parent_directory(std::string_view path);
// "a/b" -> "b"; a trailing slash is ignored.
std::string file_name(std::string_view path);
std::string join_path(std::string_view directory, std::string_view name);

bool path_exists(const std::string& path, FileSystem& files = FileSystem::real());
// Names, sorted; temporaries of AtomicFile and AtomicDirectory are left out.
std::vector<std::string> list_directory(const std::string& path,
                                        FileSystem& files = FileSystem::real());
// Like `mkdir -p`.
void create_directories(const std::string& path, FileSystem& files = FileSystem::real());
// Removes a file or a directory with all it holds. Readers see it whole or not at all: it is
// renamed to a temporary name first.
void remove_tree(const std::string& path, FileSystem& files = FileSystem::real());
// Removes what dead processes left in `directory`; never fails. Returns the number removed.
int remove_stale_temporaries(const std::string& directory, FileSystem& files = FileSystem::real());

} // namespace anet
