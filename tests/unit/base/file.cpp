#include "base/file.h"

#include "base/status.h"
#include "base/temporary_path.h"
#include "faulty_file_system.h"

#include <cstdlib>
#include <doctest/doctest.h>
#include <fstream>
#include <functional>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>

using namespace anet;
using anet::test::FaultyFileSystem;
using anet::test::TemporaryDirectory;
using Names = std::vector<std::string>;

namespace {

void put(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string get(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<Error> error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

pid_t dead_process() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  return child;
}

void write_directory(const std::string& path, const std::string& text, FileSystem& files) {
  AtomicDirectory directory(path, files);
  for (const char* name : {"a", "b"}) {
    OutputFile file(directory.path_of(name), files);
    file.write(as_bytes(text));
    file.close();
  }
  directory.commit();
}

} // namespace

TEST_CASE("paths come apart and go together") {
  CHECK(parent_directory("a/b") == "a");
  CHECK(parent_directory("b") == ".");
  CHECK(parent_directory("/b") == "/");
  CHECK(parent_directory("/a/b/") == "/a");
  CHECK(file_name("a/b") == "b");
  CHECK(file_name("a/b/") == "b");
  CHECK(file_name("b") == "b");
  CHECK(join_path("a", "b") == "a/b");
  CHECK(join_path("/", "b") == "/b");
  CHECK(join_path("", "b") == "b");
}

TEST_CASE("read_file gives the whole file, and no more than is allowed") {
  const TemporaryDirectory root;
  std::string text(100000, 'x');
  text[50000] = '\0';
  put(root / "file", text);
  put(root / "empty", "");
  CHECK(read_file(root / "file") == text);
  CHECK(read_file(root / "empty").empty());
  CHECK(read_file(root / "file", 100000) == text);
  CHECK(error_of([&] { read_file(root / "file", 99999); })->status() == Status::out_of_range);
  CHECK(error_of([&] { read_file(root.path()); })->status() == Status::invalid_argument);
  const auto missing = error_of([&] { read_file(root / "missing"); });
  CHECK(missing->status() == Status::file_not_found);
  CHECK(missing->detail().domain == "errno");
  CHECK(missing->detail().code == ENOENT);
  CHECK(read_file("/proc/self/status").find("Pid:") != std::string::npos); // a file without size
}

TEST_CASE("transfers that are short or interrupted are taken up again") {
  const TemporaryDirectory root;
  FaultyFileSystem files;
  files.short_and_interrupted = true;
  write_file_atomically(root / "file", as_bytes("a text of some length"), files);
  CHECK(get(root / "file") == "a text of some length");
  CHECK(read_file(root / "file", unlimited_size, files) == "a text of some length");
  CHECK(files.open_files == 0);
}

TEST_CASE("a mapped file shows the bytes and survives a move") {
  const TemporaryDirectory root;
  put(root / "file", "mapped");
  put(root / "empty", "");
  MappedFile first(root / "file");
  const std::byte* address = first.bytes().data();
  const MappedFile second(std::move(first));
  CHECK(second.bytes().data() == address);
  CHECK(first.bytes().empty()); // NOLINT: what a moved-from file is, is part of the interface
  CHECK(std::string(reinterpret_cast<const char*>(second.bytes().data()), 6) == "mapped");
  CHECK(MappedFile(root / "empty").bytes().empty());
  CHECK(error_of([&] { MappedFile(root / "file", 5); })->status() == Status::out_of_range);
  CHECK(error_of([&] { MappedFile(root.path()); })->status() == Status::invalid_argument);
  CHECK(error_of([&] { MappedFile(root / "none"); })->status() == Status::file_not_found);
}

TEST_CASE("an atomic file appears at commit and not without it") {
  const TemporaryDirectory root;
  put(root / "file", "old");
  {
    AtomicFile file(root / "file");
    file.write("new");
    CHECK(get(root / "file") == "old");
    CHECK(root.names().size() == 2);
    CHECK(list_directory(root.path()) == Names{"file"}); // readers do not see it
  }
  CHECK(root.names() == Names{"file"});
  CHECK(get(root / "file") == "old");
  AtomicFile first(root / "file");
  AtomicFile second(root / "file"); // two at once do not meet
  first.write("first");
  second.write("second");
  second.commit();
  first.commit();
  CHECK(get(root / "file") == "first");
  CHECK(root.names() == Names{"file"});
  CHECK(error_of([&] { first.commit(); })->status() == Status::invalid_state);
  CHECK(error_of([&] { AtomicFile(root / "no/file"); })->status() == Status::file_not_found);
}

TEST_CASE("whichever call fails, an atomic file is old or new and leaves nothing behind") {
  for (const int error : {ENOSPC, EIO}) {
    int64_t n = 0;
    for (bool failed = true; failed; ++n) {
      const TemporaryDirectory root;
      put(root / "file", "old");
      FaultyFileSystem files;
      files.fail_at = n;
      files.error = error;
      const auto seen =
          error_of([&] { write_file_atomically(root / "file", as_bytes("new"), files); });
      failed = files.failed;
      CAPTURE(n);
      CHECK(files.open_files == 0);
      CHECK(root.names() == Names{"file"});
      const std::string content = get(root / "file");
      if (seen) {
        CHECK(seen->detail().code == error);
        CHECK(seen->status() == (error == ENOSPC ? Status::disk_full : Status::io));
        CHECK((content == "old" || content == "new")); // new: only the last sync failed
      } else {
        CHECK(content == "new");
      }
    }
    CHECK(n > 6); // list, open, write, sync, close, rename, open, sync, close
  }
}

TEST_CASE("an atomic directory replaces another whole") {
  const TemporaryDirectory root;
  for (const bool can_exchange : {true, false}) {
    FaultyFileSystem files;
    files.can_exchange = can_exchange;
    const std::string path = root / (can_exchange ? "exchanged" : "renamed");
    write_directory(path, "old", files);
    CHECK(get(path + "/a") == "old");
    put(path + "/only-old", "");
    write_directory(path, "new", files);
    CHECK(get(path + "/a") == "new");
    CHECK(get(path + "/b") == "new");
    CHECK(list_directory(path) == Names{"a", "b"});
    { AtomicDirectory dropped(path, files); }
    CHECK(get(path + "/a") == "new");
  }
  CHECK(root.names() == Names{"exchanged", "renamed"});
}

TEST_CASE("whichever call fails, an atomic directory is whole and failure means unchanged") {
  for (const bool can_exchange : {true, false})
    for (const bool replaces : {true, false}) {
      int64_t n = 0;
      for (bool failed = true; failed; ++n) {
        const TemporaryDirectory root;
        const std::string path = root / "directory";
        FaultyFileSystem unsynced; // many rounds of fsync would take their time
        if (replaces) write_directory(path, "old", unsynced);
        FaultyFileSystem files;
        files.fail_at = n;
        files.can_exchange = can_exchange;
        const auto seen = error_of([&] { write_directory(path, "new", files); });
        failed = files.failed;
        CAPTURE(n);
        CAPTURE(can_exchange);
        CAPTURE(replaces);
        CHECK(files.open_files == 0);
        if (seen) CHECK(seen->status() == Status::io);
        if (seen && !replaces) {
          CHECK(root.names().empty());
          continue;
        }
        CHECK(root.names() == Names{"directory"});
        CHECK(list_directory(path) == Names{"a", "b"});
        CHECK(get(path + "/a") == (seen ? "old" : "new"));
        CHECK(get(path + "/b") == (seen ? "old" : "new"));
      }
      CHECK(n > 15);
    }
}

TEST_CASE("a disk that stays broken leaves the old content readable") {
  for (int64_t n = 0; n < 40; ++n) {
    const TemporaryDirectory root;
    FaultyFileSystem unsynced;
    write_directory(root / "directory", "old", unsynced);
    FaultyFileSystem files;
    files.fail_at = n;
    files.stays_broken = true;
    const auto seen = error_of([&] { write_directory(root / "directory", "new", files); });
    const std::string a = get(root / "directory/a");
    CHECK((a == "old" || a == "new"));
    CHECK(get(root / "directory/b") == a);
    if (!seen) CHECK(a == "new");
  }
}

TEST_CASE("temporaries of dead processes are removed by the next writer, others are left") {
  const TemporaryDirectory root;
  const std::string dead = std::to_string(dead_process());
  const std::string alive = std::to_string(::getppid());
  std::filesystem::create_directories(root / (".x.tmp-" + dead + "-0/inner"));
  put(root / (".x.tmp-" + dead + "-0/inner/file"), "");
  put(root / (".y.tmp-" + dead + "-3"), "");
  put(root / (".x.tmp-" + alive + "-0"), "");
  put(root / ".x.tmp-notes", "");
  put(root / ("x.tmp-" + dead + "-0"), ""); // not hidden: somebody's own file
  write_file_atomically(root / "file", as_bytes("text"));
  Names expected = {".x.tmp-" + alive + "-0", ".x.tmp-notes", "file", "x.tmp-" + dead + "-0"};
  std::sort(expected.begin(), expected.end());
  CHECK(root.names() == expected);
  CHECK(is_temporary_name(file_name(temporary_path("a/b", 0))));
  CHECK_FALSE(is_stale_temporary_name(file_name(temporary_path("a/b", 0))));
  for (const char* name : {"", ".tmp-1-1", ".a.tmp-", ".a.tmp-1", ".a.tmp-1-", ".a.tmp-1-x",
                           ".a.tmp--1-1", ".a.tmp-1-1x", "a.tmp-1-1"})
    CHECK_MESSAGE(is_temporary_name(name) == (std::string(name) == ".tmp-1-1"), name);
}

TEST_CASE("directories are made and removed with what is in them") {
  const TemporaryDirectory root;
  create_directories(root / "a/b/c");
  create_directories(root / "a/b/c");
  put(root / "a/b/file", "");
  CHECK(path_exists(root / "a/b/c"));
  CHECK_FALSE(path_exists(root / "a/none"));
  CHECK_FALSE(path_exists(root / "a/b/file/below"));
  std::filesystem::create_symlink(root / "a/b/file", root / "a/link");
  put(root / "target", "kept");
  std::filesystem::create_symlink(root / "target", root / "a/outside");
  CHECK(error_of([&] { create_directories(root / "a/b/file/d"); }).has_value());
  remove_tree(root / "a");
  CHECK(root.names() == Names{"target"}); // links are removed, not followed
  CHECK(error_of([&] { remove_tree(root / "a"); })->status() == Status::file_not_found);
}
