// The tests of the Neural Engine, against the emulator of its framework.
#define DOCTEST_CONFIG_IMPLEMENT
#include "support.h"

#include "base/status.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>

// Foundation keeps what it makes at start for the life of the process, out of LeakSanitizer's
// sight. Objects that our code ought to release are counted by the emulator instead.
extern "C" __attribute__((visibility("default"))) const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libobjc.so\nleak:libgnustep-base.so\n";
}

namespace {

// What tests start as processes of their own: prints "ok" or the error.
template <typename Action>
int tell(Action&& action) {
  try {
    std::puts(action());
    return 0;
  } catch (const anet::Error& error) {
    std::printf("%s: %s\n", anet::status_name(error.status()), error.what());
    return 1;
  }
}

const char* open_engine(const char* path) {
  anet::backend::ane::open_engine({.framework_path = path, .pause = {}});
  return "ok";
}

const char* compile_addition(const char* path) {
  const auto engine = anet::backend::ane::open_engine({.framework_path = path, .pause = {}});
  const auto program = engine->compile(anet::test::addition(2, 16));
  return program->was_cached() ? "cached" : "compiled";
}

} // namespace

int main(int argc, char** argv) {
  anet::test::set_program_path(argv[0]);
  if (argc == 3 && std::strcmp(argv[1], "open-engine") == 0)
    return tell([&] { return open_engine(argv[2]); });
  if (argc == 3 && std::strcmp(argv[1], "compile-addition") == 0)
    return tell([&] { return compile_addition(argv[2]); });
  return doctest::Context(argc, argv).run();
}
