// MIL text as the compiler reads it: the grammar of ane-facts.md 4.1 and nothing else. This is the
// emulator's own reader, so that a mistake in the library's printer cannot hide behind the same
// mistake in the library's parser; only the types are shared.
#pragma once

#include "mil/type.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace emulator {

using anet::mil::DataType;
using anet::mil::Shape;
using anet::mil::Type;

struct BlobName {
  std::string path = {};
  uint64_t offset = 0; // of the metadata record
};

// type(...). Booleans are numbers 0 and 1.
struct LiteralText {
  Type type = {};
  std::vector<double> numbers = {};
  std::vector<std::string> strings = {};
  std::optional<BlobName> blob = {};
  bool dictionary = false;
  std::vector<std::pair<std::string, std::string>> entries = {}; // of a dictionary
};

struct ArgumentText {
  std::string name = {};
  int line = 0;
  bool tuple = false;
  std::vector<std::string> values = {}; // names, when there is no literal
  std::optional<LiteralText> literal = {};
};

struct NamedType {
  Type type = {};
  std::string name = {};
  int line = 0;
};

struct StatementText {
  std::vector<NamedType> outputs = {};
  std::string op = {};
  std::string opset = {}; // of op<ios17>
  std::vector<ArgumentText> arguments = {};
  std::vector<ArgumentText> attributes = {};
  int line = 0;
};

struct FunctionText {
  std::string name = {};
  std::string opset = {};
  std::vector<NamedType> parameters = {};
  std::vector<StatementText> statements = {};
  std::vector<std::string> results = {};
  int line = 0;
};

struct ProgramText {
  std::string version = {};
  std::vector<ArgumentText> attributes = {};
  std::vector<FunctionText> functions = {};
};

// Throws Refusal(invalid_program).
ProgramText read_program(std::string_view text);

} // namespace emulator
