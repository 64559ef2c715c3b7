// What needs processes of its own: frameworks that are not as known, because classes are registered
// once, and a cache that processes share.
#include "support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <thread>

using namespace anet;

namespace {

std::string open_with(const std::string& settings) {
  return test::run_self("ANE_EMULATOR", settings, {"open-engine", test::emulator_path()}).output;
}

} // namespace

TEST_CASE("the framework as known opens") {
  const test::ProcessResult result =
      test::run_self("ANE_EMULATOR", "profile=m1", {"open-engine", test::emulator_path()});
  CHECK(result.output == "ok\n");
  CHECK(result.status == 0);
}

TEST_CASE("a class that is missing is named") {
  for (const std::string name : {"_ANEInMemoryModelDescriptor", "_ANEInMemoryModel", "_ANERequest",
                                 "_ANEIOSurfaceObject", "_ANEDeviceInfo"}) {
    CAPTURE(name);
    CHECK(open_with("missing_class=" + name) == "unavailable: the class '" + name +
                                                    "' is missing from '" + test::emulator_path() +
                                                    "'\n");
  }
}

TEST_CASE("a method that is missing is named") {
  CHECK(
      open_with("missing_selector=_ANEInMemoryModel:loadWithQoS:options:error:") ==
      "unavailable: the method -[_ANEInMemoryModel loadWithQoS:options:error:] is missing from '" +
          test::emulator_path() + "'\n");
  CHECK(open_with("missing_selector=_ANEIOSurfaceObject:objectWithIOSurface:") ==
        "unavailable: the method +[_ANEIOSurfaceObject objectWithIOSurface:] is missing from '" +
            test::emulator_path() + "'\n");
}

TEST_CASE("a method whose types have changed is named with both encodings") {
  const std::string output =
      open_with("wrong_encoding=_ANEInMemoryModel:evaluateWithQoS:options:request:error:");
  INFO(output);
  CHECK(output.starts_with("unavailable: the method -[_ANEInMemoryModel "
                           "evaluateWithQoS:options:request:error:] has the type encoding '"));
  CHECK(output.find("expected 'B44@0:8I16@20@28^@36'") != std::string::npos);
}

TEST_CASE("processes that compile the same program at once share the work and leave nothing") {
  const test::TemporaryDirectory cache;
  const test::TemporaryDirectory temporary;
  const std::string settings = "compile_latency_us=50000,cache_dir=" + cache.path();
  std::array<std::string, 4> outputs;
  std::array<std::thread, 4> threads;
  for (size_t i = 0; i < threads.size(); ++i)
    threads[i] = std::thread([&, i] {
      outputs[i] =
          test::run_self("ANE_EMULATOR", settings, {"compile-addition", test::emulator_path()})
              .output;
    });
  for (std::thread& thread : threads) thread.join();
  std::sort(outputs.begin(), outputs.end());
  CHECK(outputs == std::array<std::string, 4>{"cached\n", "cached\n", "cached\n", "compiled\n"});
  CHECK(temporary.names().empty());
}
