// What the tests of this layer share.
#pragma once

#include "../base/faulty_file_system.h"
#include "base/status.h"

#include <fstream>
#include <functional>
#include <optional>
#include <string>

namespace anet::test {

inline void put(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string get(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::optional<Error> error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

inline std::string message_of(const std::function<void()>& action) {
  const std::optional<Error> error = error_of(action);
  return error ? error->message() : "no error";
}

} // namespace anet::test
