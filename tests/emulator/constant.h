// Compile-time values, and the blob files that hold the large ones (ane-facts.md 3.3).
#pragma once

#include "syntax.h"

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace emulator {

using FileBytes = std::shared_ptr<const std::vector<std::byte>>;

// Every number is held as float: fp16 and the small integers fit exactly, fp32 is rounded to fp16
// by whoever reads it on the engine's data path. Integer types are kept as integers too.
struct Constant {
  Type type;
  std::vector<float> values;
  std::vector<int64_t> integers;
  std::string text; // of a string
};

using ConstantPointer = std::shared_ptr<const Constant>;

// The files of one model's directory, each read once, when the compiler first names it. What was
// read is the snapshot that the compiled program keeps.
class WeightFiles {
public:
  // `directory` holds model.mil; "@model_path/x" is directory/x.
  explicit WeightFiles(std::string directory) : directory_(std::move(directory)) {}
  explicit WeightFiles(std::map<std::string, FileBytes> files) : files_(std::move(files)) {}

  FileBytes open(const std::string& path, int line);
  const std::map<std::string, FileBytes>& files() const { return files_; }

private:
  std::string directory_;
  std::map<std::string, FileBytes> files_; // by the path in the text
};

// Throws Refusal(invalid_program) for a missing file, a bad record or a size that disagrees.
ConstantPointer make_constant(const LiteralText& literal, WeightFiles& files, int line);

} // namespace emulator
