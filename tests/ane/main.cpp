// The tests of the Neural Engine, against the emulator of its framework.
#define DOCTEST_CONFIG_IMPLEMENT
#include "support.h"

#include "base/status.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>

// Foundation keeps what it makes at start for the life of the process, out of LeakSanitizer's
// sight. Objects that our code ought to release are counted by the emulator instead.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libobjc.so\nleak:libgnustep-base.so\n";
}

namespace {

// What a test starts to see how the engine opens under another ANE_EMULATOR.
int open_engine_and_tell(const char* path) {
  try {
    anet::backend::ane::open_engine({.framework_path = path, .pause = {}});
    std::puts("ok");
    return 0;
  } catch (const anet::Error& error) {
    std::printf("%s: %s\n", anet::status_name(error.status()), error.what());
    return 1;
  }
}

} // namespace

int main(int argc, char** argv) {
  anet::test::set_program_path(argv[0]);
  if (argc == 3 && std::strcmp(argv[1], "open-engine") == 0) return open_engine_and_tell(argv[2]);
  return doctest::Context(argc, argv).run();
}
