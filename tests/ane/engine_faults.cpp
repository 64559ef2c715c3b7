// What fails, fails with a status and the framework's words, and leaves nothing behind: no model,
// no surface, no file.
#include "backend/ane/engine.h"
#include "base/file.h"
#include "base/status.h"
#include "support.h"

#include <doctest/doctest.h>

#include <sys/stat.h>

using namespace anet;
using namespace anet::backend::ane;
using anet::test::EngineFixture;
using anet::test::parse_program;

namespace {

mil::Program addition(int64_t width = 16) { return test::addition(2, width); }

template <typename Action>
Error error_from(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return {Status::ok, "no error"};
}

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

struct Ready {
  explicit Ready(Engine& engine)
      : program(engine.compile(addition())),
        inputs(test::make_surfaces(engine, program->procedures()[0].inputs)),
        outputs(test::make_surfaces(engine, program->procedures()[0].outputs)),
        request(program->bind(0, inputs, outputs)) {}
  std::shared_ptr<EngineProgram> program;
  std::vector<std::shared_ptr<Surface>> inputs;
  std::vector<std::shared_ptr<Surface>> outputs;
  std::unique_ptr<EngineRequest> request;
};

void check_nothing_left(const EngineFixture& fixture) {
  CHECK(fixture.emulator.count("live_models") == 0);
  CHECK(fixture.emulator.count("live_surfaces") == 0);
  CHECK(fixture.emulator.count("live_requests") == 0);
  CHECK(fixture.emulator.count("loaded") == 0);
  CHECK(fixture.temporary.names().empty());
}

} // namespace

TEST_CASE("a program that the compiler rejects is unsupported, with the compiler's words") {
  EngineFixture fixture;
  {
    const auto engine = fixture.open();
    // No chip has a way for logical_xor (ane-facts.md 4.3).
    const mil::Program program = parse_program(
        "func main<ios18>(tensor<fp16, [1, 2, 1, 8]> x) {\n"
        "tensor<bool, [1, 2, 1, 8]> a = greater(x = x, y = fp16(0.0));\n"
        "tensor<bool, [1, 2, 1, 8]> b = logical_xor(x = a, y = a);\n"
        "tensor<fp16, [1, 2, 1, 8]> z = cast(x = b, dtype = string(\"fp16\"));\n} -> (z);");
    const Error error = error_from([&] { engine->compile(program); });
    CHECK(error.status() == Status::unsupported);
    CHECK(error.detail().domain == "com.apple.appleneuralengine.compiler");
    CHECK(error.detail().code == 1);
    CHECK(contains(error.message(), "compile: "));
    CHECK(contains(error.message(), "ANECCompile("));
    CHECK(contains(error.message(), "FAILED: err=( "));
    CHECK_FALSE(has_no_room(error));
    CHECK(engine->compile_count() == 1);
    CHECK_FALSE(engine->is_cached(program));
  }
  check_nothing_left(fixture);
}

TEST_CASE("beyond the limit of compilations the compiler gives no reason") {
  EngineFixture fixture;
  {
    const auto engine = fixture.open();
    fixture.emulator.set("compile_cap", "2");
    const auto first = engine->compile(addition(8));
    const auto second = engine->compile(addition(9));
    const Error error = error_from([&] { engine->compile(addition(10)); });
    CHECK(error.status() == Status::compile_budget);
    CHECK(error.detail().domain == "com.apple.appleneuralengine.compiler");
    CHECK(engine->compile_count() == 3);
    // What is compiled still loads.
    CHECK(engine->compile(addition(8))->was_cached());
  }
  check_nothing_left(fixture);
}

TEST_CASE("a compilation that fails once") {
  EngineFixture fixture;
  {
    const auto engine = fixture.open();
    fixture.emulator.set("fail_compile", "2");
    const auto first = engine->compile(addition(8));
    const Error error = error_from([&] { engine->compile(addition(9)); });
    CHECK((error.status() == Status::unsupported || error.status() == Status::compile_budget ||
           error.status() == Status::device));
    CHECK_FALSE(error.detail().domain.empty());
    CHECK_FALSE(engine->compile(addition(9))->was_cached());
  }
  check_nothing_left(fixture);
}

TEST_CASE("loads that fail for a while are tried again, with growing pauses") {
  EngineFixture fixture;
  {
    const auto engine = fixture.open();
    fixture.emulator.set("transient_load", "4");
    const auto program = engine->compile(addition());
    CHECK(program->is_loaded());
    CHECK(*fixture.pauses == std::vector<int64_t>{100, 200, 400, 800});
    CHECK(fixture.emulator.count("compiles") == 1);
    program->unload();
    fixture.pauses->clear();
    fixture.emulator.set("transient_load", "2");
    program->load();
    CHECK(*fixture.pauses == std::vector<int64_t>{100, 200});
  }
  check_nothing_left(fixture);
}

TEST_CASE("a load that keeps failing is an error in the end") {
  EngineFixture fixture;
  {
    const auto engine = fixture.open();
    fixture.emulator.set("fail_load", "1+");
    const Error error = error_from([&] { engine->compile(addition()); });
    CHECK(error.status() == Status::device);
    CHECK(error.detail().domain == "com.apple.appleneuralengine");
    CHECK(error.detail().code != 0);
    CHECK(contains(error.message(), "load: "));
    CHECK(*fixture.pauses == std::vector<int64_t>{100, 200, 400, 800, 1600, 3200});
  }
  check_nothing_left(fixture);
}

TEST_CASE("a cached program that does not load is compiled again, once") {
  EngineFixture fixture;
  {
    const auto engine = fixture.open(1); // one attempt
    engine->compile(addition());
    fixture.emulator.set("fail_load", "1");
    const auto program = engine->compile(addition());
    CHECK(program->is_loaded());
    CHECK_FALSE(program->was_cached());
    CHECK(engine->compile_count() == 2);
    CHECK(fixture.pauses->empty());
  }
  check_nothing_left(fixture);
}

TEST_CASE("a cached program waits for room that another process takes up") {
  EngineFixture fixture;
  {
    const auto engine = fixture.open();
    engine->compile(addition());
    fixture.emulator.set("transient_load", "4");
    CHECK(engine->compile(addition())->was_cached());
    CHECK(*fixture.pauses == std::vector<int64_t>{100, 200, 400, 800});
    CHECK(engine->compile_count() == 1);
  }
  check_nothing_left(fixture);
}

TEST_CASE("no room for another program is told soon, and unloading makes room") {
  EngineFixture fixture;
  {
    const auto engine = fixture.open();
    fixture.emulator.set("load_cap", "1");
    const auto first = engine->compile(addition(8));
    const Error error = error_from([&] { engine->compile(addition(9)); });
    CHECK(has_no_room(error));
    CHECK(*fixture.pauses == std::vector<int64_t>{100});
    first->unload();
    const auto second = engine->compile(addition(9));
    CHECK(second->was_cached());
    CHECK(engine->compile_count() == 2);
    CHECK(has_no_room(error_from([&] { first->load(); })));
    CHECK_FALSE(first->is_loaded());
  }
  check_nothing_left(fixture);
}

TEST_CASE("an evaluation that fails says why, and the next one works") {
  EngineFixture fixture;
  {
    const auto engine = fixture.open();
    const Ready ready(*engine);
    fixture.emulator.set("fail_evaluate", "1");
    const Error error = error_from([&] { ready.program->evaluate(*ready.request); });
    CHECK(error.status() == Status::device);
    CHECK(error.detail().domain == "com.apple.appleneuralengine");
    CHECK(error.detail().code == 8);
    CHECK(contains(error.message(), "Program Inference error"));
    CHECK(error_from([&] { ready.program->evaluate(*ready.request); }).status() == Status::ok);
  }
  check_nothing_left(fixture);
}

TEST_CASE("an exception raised by an evaluation is an error, and the next one works") {
  EngineFixture fixture;
  {
    const auto engine = fixture.open();
    const Ready ready(*engine);
    fixture.emulator.set("raise_evaluate", "2");
    CHECK(error_from([&] { ready.program->evaluate(*ready.request); }).status() == Status::ok);
    const Error error = error_from([&] { ready.program->evaluate(*ready.request); });
    CHECK(error.status() == Status::device);
    CHECK(error.detail().domain.ends_with("Exception"));
    CHECK(contains(error.message(), "evaluate: Objective-C exception "));
    CHECK(error_from([&] { ready.program->evaluate(*ready.request); }).status() == Status::ok);
  }
  check_nothing_left(fixture);
}

TEST_CASE("whichever compilation or load fails, nothing is left behind") {
  for (const std::string fault : {"fail_compile", "fail_load"})
    for (int n = 1; n <= 4; ++n) {
      CAPTURE(fault);
      CAPTURE(n);
      EngineFixture fixture;
      {
        const auto engine = fixture.open(1); // one attempt: each failure shows
        fixture.emulator.set(fault, std::to_string(n));
        int failures = 0;
        for (int64_t width = 8; width < 12; ++width)
          if (error_from([&] { engine->compile(addition(width)); }).status() != Status::ok)
            ++failures;
        CHECK(failures == 1);
      }
      check_nothing_left(fixture);
    }
}

TEST_CASE("files that cannot be written are an error of the file system") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  // A file where the directory of temporary files should be.
  const std::string file = join_path(fixture.temporary.path(), "file");
  write_file_atomically(file, as_bytes("x"));
  ::setenv("TMPDIR", file.c_str(), 1);
  const Error error = error_from([&] { engine->compile(addition()); });
  ::setenv("TMPDIR", fixture.temporary.path().c_str(), 1);
  CHECK((error.status() == Status::file_not_found || error.status() == Status::io));
  CHECK(error.detail().domain == "errno");
  CHECK(engine->compile_count() == 0);
}

TEST_CASE("what a process that died has left is no obstacle") {
  EngineFixture fixture;
  {
    const auto engine = fixture.open();
    std::string identifier;
    {
      const auto program = engine->compile(addition());
      identifier = program->identifier();
    }
    engine->purge(addition());
    const std::string directory = join_path(fixture.temporary.path(), identifier);
    create_directories(join_path(directory, "weights"));
    write_file_atomically(join_path(directory, "model.mil"), as_bytes("half a prog"));
    write_file_atomically(directory + ".lock", as_bytes(""));
    CHECK_FALSE(engine->compile(addition())->was_cached());
  }
  check_nothing_left(fixture);
}

TEST_CASE("attempts to load are at least one") {
  CHECK(error_from([] {
          open_engine({.framework_path = test::emulator_path(), .load_attempts = 0, .pause = {}});
        }).status() == Status::invalid_argument);
}
