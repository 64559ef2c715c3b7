// Where the compiler reads a program: $TMPDIR/<identifier>/model.mil and weights/* (ane-facts.md
// 3.2, R). The identifier is a hash of the content, so two threads or processes that compile the
// same program at once use one directory.
#pragma once

#include "base/file.h"
#include "mil/literal.h"

#include <string>

namespace anet::backend::ane {

// A program as the framework takes it.
struct ModelSource {
  std::string text;
  mil::BlobFiles blobs; // by the path that the text names, "@model_path/weights/..."
};

// The program's directory, in the hands of this object alone: a lock beside it keeps others away,
// also other processes. The directory and the lock are gone when the object is. Thread class: one
// thread; another thread's object for the same path waits.
class ModelDirectory {
public:
  // Waits for the lock. Throws the status of errno.
  explicit ModelDirectory(std::string path);
  ~ModelDirectory();
  ModelDirectory(const ModelDirectory&) = delete;
  ModelDirectory& operator=(const ModelDirectory&) = delete;

  // Replaces what a process that died has left.
  void write(const ModelSource& source);

private:
  void remove() noexcept;

  std::string path_;
  std::string lock_path_;
  FileDescriptor lock_;
};

// Throws Error(invalid_program) for a blob path outside of "@model_path/weights/".
void check_blob_path(const std::string& path);

// $TMPDIR, or /tmp without it.
std::string temporary_directory();

} // namespace anet::backend::ane
