// Directories as a whole: listing, removing, and AtomicDirectory.
#include "base/file.h"

#include "base/status.h"
#include "base/temporary_path.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fcntl.h>
#include <optional>
#include <unistd.h>
#include <utility>

namespace anet {
namespace {

constexpr std::string_view temporary_mark = ".tmp-";

// The <pid> of `.<name>.tmp-<pid>-<n>`.
std::optional<pid_t> temporary_owner(std::string_view name) {
  const size_t mark = name.rfind(temporary_mark);
  if (name.empty() || name[0] != '.' || mark == std::string_view::npos) return std::nullopt;
  const std::string_view numbers = name.substr(mark + temporary_mark.size());
  const char* end = numbers.data() + numbers.size();
  pid_t process = 0;
  const auto first = std::from_chars(numbers.data(), end, process);
  if (first.ec != std::errc() || process <= 0 || first.ptr == end || *first.ptr != '-')
    return std::nullopt;
  int n = 0;
  const auto second = std::from_chars(first.ptr + 1, end, n);
  if (second.ec != std::errc() || second.ptr != end) return std::nullopt;
  return process;
}

bool is_missing(int error) { return error == ENOENT || error == ENOTDIR; }

// 0, or -1 and errno of the first failure; goes on after it, to remove as much as it can.
int remove_contents(const std::string& path, FileSystem& files) {
  FileInfo info;
  if (files.info(path.c_str(), info) != 0) return -1;
  if (info.kind != FileKind::directory) return files.unlink(path.c_str());
  std::vector<std::string> names;
  if (files.list(path.c_str(), names) != 0) return -1;
  int first_error = 0;
  for (const std::string& name : names)
    if (remove_contents(join_path(path, name), files) != 0 && first_error == 0) first_error = errno;
  if (files.remove_directory(path.c_str()) != 0 && first_error == 0) first_error = errno;
  errno = first_error;
  return first_error == 0 ? 0 : -1;
}

void sync_path(const std::string& path, int extra_flags, FileSystem& files) {
  FileDescriptor file(path, O_RDONLY | extra_flags, files);
  file.sync();
  file.close();
}

void sync_contents(const std::string& path, FileSystem& files) {
  std::vector<std::string> names;
  if (files.list(path.c_str(), names) != 0) fail_errno("list", path);
  for (const std::string& name : names) {
    const std::string child = join_path(path, name);
    FileInfo info;
    if (files.info(child.c_str(), info) != 0) fail_errno("examine", child);
    if (info.kind == FileKind::directory) sync_contents(child, files);
    if (info.kind == FileKind::regular) sync_path(child, 0, files);
  }
  sync_path(path, O_DIRECTORY, files);
}

// Renames to a temporary name of `path` that is not in use, which it returns.
std::string rename_away(const std::string& path, FileSystem& files) {
  for (int attempt = 0; attempt <= max_temporaries; ++attempt) {
    std::string candidate = temporary_path(path, attempt);
    FileInfo info;
    if (files.info(candidate.c_str(), info) == 0) continue;
    if (files.rename(path.c_str(), candidate.c_str()) != 0) fail_errno("rename", path);
    return candidate;
  }
  errno = EEXIST;
  fail_errno("rename", path);
}

} // namespace

std::string temporary_path(std::string_view path, int n) {
  const std::string name = concat(".", file_name(path), temporary_mark, ::getpid(), "-", n);
  return join_path(parent_directory(path), name);
}

bool is_temporary_name(std::string_view name) { return temporary_owner(name).has_value(); }

bool is_stale_temporary_name(std::string_view name) {
  const std::optional<pid_t> owner = temporary_owner(name);
  // EPERM means that it runs, as another user.
  return owner && *owner != ::getpid() && ::kill(*owner, 0) != 0 && errno == ESRCH;
}

std::string parent_directory(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(slash == 0 ? "/" : path.substr(0, slash));
}

std::string file_name(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return std::string(path.substr(path.rfind('/') + 1)); // npos + 1 is 0
}

std::string join_path(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  return concat(directory, directory.back() == '/' ? "" : "/", name);
}

bool path_exists(const std::string& path, FileSystem& files) {
  FileInfo info;
  if (files.info(path.c_str(), info) == 0) return true;
  if (!is_missing(errno)) fail_errno("examine", path);
  return false;
}

std::vector<std::string> list_directory(const std::string& path, FileSystem& files) {
  std::vector<std::string> names;
  if (files.list(path.c_str(), names) != 0) fail_errno("list", path);
  std::erase_if(names, is_temporary_name);
  std::sort(names.begin(), names.end());
  return names;
}

void create_directories(const std::string& path, FileSystem& files) {
  if (path.empty() || files.make_directory(path.c_str(), 0777) == 0) return;
  if (errno == ENOENT) {
    create_directories(parent_directory(path), files);
    if (files.make_directory(path.c_str(), 0777) == 0) return;
  }
  if (errno != EEXIST) fail_errno("create directory", path);
}

void remove_tree(const std::string& path, FileSystem& files) {
  const std::string temporary = rename_away(path, files);
  // A second try gets past a failure that was passing, and removes what the first could not.
  if (remove_contents(temporary, files) != 0 && remove_contents(temporary, files) != 0)
    fail_errno("remove", temporary);
}

int remove_stale_temporaries(const std::string& directory, FileSystem& files) {
  std::vector<std::string> names;
  if (files.list(directory.c_str(), names) != 0) return 0;
  int removed = 0;
  for (const std::string& name : names)
    if (is_stale_temporary_name(name) && remove_contents(join_path(directory, name), files) == 0)
      ++removed;
  return removed;
}

AtomicDirectory::AtomicDirectory(std::string path, FileSystem& files)
    : files_(files), path_(std::move(path)) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  remove_stale_temporaries(parent_directory(path_), files_);
  for (int attempt = 0; attempt <= max_temporaries; ++attempt) {
    std::string candidate = temporary_path(path_, attempt);
    if (files_.make_directory(candidate.c_str(), 0777) == 0) {
      temporary_ = std::move(candidate);
      return;
    }
    if (errno != EEXIST) break;
  }
  fail_errno("create directory", path_);
}

AtomicDirectory::~AtomicDirectory() {
  if (!temporary_.empty()) remove_contents(temporary_, files_);
}

std::string AtomicDirectory::path_of(std::string_view name) const {
  return join_path(temporary_, name);
}

void AtomicDirectory::commit() {
  if (temporary_.empty()) fail(Status::invalid_state, "'", path_, "' has already been committed");
  sync_contents(temporary_, files_);
  put_in_place();
  // The new content stands. What is left of the old one is only a leftover: the destructor tries
  // once more, and after that the next process that writes here.
  if (!temporary_.empty() && remove_contents(temporary_, files_) == 0) temporary_.clear();
}

// Afterwards temporary_ is the old content, or empty if there was none.
void AtomicDirectory::put_in_place() {
  const bool replaces = path_exists(path_, files_);
  if (replaces)
    swap_with_target();
  else if (files_.rename(temporary_.c_str(), path_.c_str()) != 0)
    fail_errno("create", path_);
  try {
    sync_path(parent_directory(path_), O_DIRECTORY, files_);
  } catch (const Error&) {
    // Not known to be durable: back to where we were, so that failure has one meaning.
    if (replaces)
      swap_with_target();
    else
      files_.rename(path_.c_str(), temporary_.c_str());
    throw;
  }
  if (!replaces) temporary_.clear();
}

// The target and temporary_ change places.
void AtomicDirectory::swap_with_target() {
  if (files_.exchange(temporary_.c_str(), path_.c_str()) == 0) return;
  if (errno != ENOSYS && errno != EINVAL && errno != ENOTSUP) fail_errno("replace", path_);
  std::string away = rename_away(path_, files_);
  if (files_.rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    files_.rename(away.c_str(), path_.c_str());
    errno = error;
    fail_errno("replace", path_);
  }
  temporary_ = std::move(away);
}

} // namespace anet
