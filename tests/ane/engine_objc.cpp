// Encodings, message sends, Foundation's values and Objective-C exceptions. Foundation is real here
// (GNUstep's), only the Neural Engine's classes are the emulator's.
#include "backend/ane/foundation.h"
#include "backend/ane/framework.h"
#include "backend/ane/objc_encoding.h"
#include "base/status.h"
#include "support.h"

#include <doctest/doctest.h>

#include <array>
#include <stdexcept>
#include <thread>

using namespace anet;
using namespace anet::backend::ane;

namespace {

// The message of the Error that `action` throws; fails the test when it throws none.
template <typename Action>
Error error_from(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  FAIL("expected an Error");
  return {Status::ok, ""};
}

bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

Id make_list(const Framework& framework, std::initializer_list<int64_t> values) {
  std::vector<Id> numbers;
  for (const int64_t value : values) numbers.push_back(make_number(framework, value));
  return make_array(framework, numbers);
}

} // namespace

TEST_CASE("encodings are equal up to what a compiler is free to choose") {
  CHECK(same_encoding("B36@0:8I16@20^@28", "B36@0:8I16@20^@28"));
  // Frame offsets differ by processor.
  CHECK(same_encoding("B36@0:8I16@20^@28", "B@:I@^@"));
  CHECK(same_encoding("B36@0:8I16@20^@28", "B28@+0:+8I-16@20^@24"));
  // BOOL is a char on some.
  CHECK(same_encoding("B36@0:8I16@20^@28", "c36@0:8I16@20^@28"));
  CHECK(same_encoding("B36@0:8I16@20^@28", "C36@0:8I16@20^@28"));
  CHECK(same_encoding("B16@0:8@16B24", "C16@0:8@16c24"));
  // A struct may be known or opaque.
  CHECK(same_encoding("@24@0:8^{__IOSurface=}16", "@24@0:8^{__IOSurface=}16"));
  CHECK(same_encoding("@24@0:8^{__IOSurface=}16", "@24@0:8^{__IOSurface=i{inner=qq}^v}16"));
  CHECK(same_encoding("@24@0:8^{__IOSurface=}16", "@24@0:8^{__IOSurface}16"));
  // Qualifiers: GCC and Clang write that of a pointer's target in different places.
  CHECK(same_encoding("@32@0:8r^@16Q24", "@32@0:8^r@16Q24"));
  CHECK(same_encoding("v16@0:8", "Vv16@0:8"));
  CHECK(same_encoding("@24@0:8@16", "@24@0:8@\"NSString\"16"));
  CHECK(same_encoding("v24@0:8@?16", "v24@0:8@?16"));
}

TEST_CASE("encodings differ in types, in their number and in their order") {
  CHECK_FALSE(same_encoding("B36@0:8I16@20^@28", "B36@0:8Q16@20^@28"));
  CHECK_FALSE(same_encoding("B36@0:8I16@20^@28", "B36@0:8@16I20^@28"));
  CHECK_FALSE(same_encoding("B36@0:8I16@20^@28", "B28@0:8I16@20"));
  CHECK_FALSE(same_encoding("B28@0:8I16@20", "B36@0:8I16@20^@28"));
  CHECK_FALSE(same_encoding("B16@0:8", "v16@0:8"));
  CHECK_FALSE(same_encoding("c16@0:8", "B16@0:8")); // a char that is no BOOL stays one
  CHECK_FALSE(same_encoding("@24@0:8^{__IOSurface=}16", "@24@0:8^{__CFString=}16"));
  CHECK_FALSE(same_encoding("@24@0:8^{__IOSurface=}16", "@24@0:8{__IOSurface=}16"));
  CHECK_FALSE(same_encoding("v24@0:8@?16", "v24@0:8@16"));
  CHECK_FALSE(same_encoding("@16@0:8", ""));
  CHECK_FALSE(same_encoding("@32@0:8^@16", "@32@0:8^^@16"));
}

TEST_CASE("an encoding that is cut off is unequal, not an error") {
  CHECK_FALSE(same_encoding("@24@0:8^{__IOSurface=}16", "@24@0:8^{__IOSurf"));
  CHECK_FALSE(same_encoding("@32@0:8@16@24", "@24@0:8@\"NSStr16@24"));
  CHECK_FALSE(same_encoding("@24@0:8^@16", "@24@0:8^"));
}

TEST_CASE("a call's C++ types are those of the method") {
  static_assert(has_signature<Bool, uint32_t, Id, Id*>("B36@0:8I16@20^@28"));
  static_assert(!has_signature<Bool, uint64_t, Id, Id*>("B36@0:8I16@20^@28"));
  static_assert(!has_signature<Bool, uint32_t, Id>("B36@0:8I16@20^@28"));
  static_assert(has_signature<Id, SurfaceReference>("@24@0:8^{__IOSurface=}16"));
  static_assert(has_signature<void>("v16@0:8"));
  static_assert(!has_signature<Id>("v16@0:8"));
}

TEST_CASE("messages reach objects, and nil answers with zero") {
  const Framework framework(test::emulator_path());
  framework.guarded("test", [&] {
    const Id text = make_string(framework, "grüße");
    CHECK(text_of(framework, text) == "grüße");
    CHECK(text_of(framework, make_string(framework, "two\nlines")) == "two lines");
    CHECK(framework.call<Method::number_integer, int64_t>(make_number(framework, -5)) == -5);
    CHECK(framework.call<Method::number_integer, int64_t>(Id{}) == 0);
    CHECK(framework.call<Method::string_utf8, const char*>(Id{}) == nullptr);
    CHECK(text_of(framework, nullptr).empty());
    CHECK(text_of(framework, make_number(framework, 1)).empty());
    CHECK(is_kind_of<Method::string_utf8>(framework, text));
    CHECK_FALSE(is_kind_of<Method::number_integer>(framework, text));
  });
}

TEST_CASE("messages work on threads that Foundation did not start") {
  const Framework framework(test::emulator_path());
  std::array<std::string, 2> texts;
  std::array<std::thread, 2> threads;
  for (size_t i = 0; i < threads.size(); ++i)
    threads[i] = std::thread([&framework, &text = texts[i], i] {
      for (int n = 0; n < 200; ++n)
        text = framework.guarded("test", [&] {
          return text_of(framework, make_string(framework, concat("thread ", i, " round ", n)));
        });
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(texts[0] == "thread 0 round 199");
  CHECK(texts[1] == "thread 1 round 199");
}

TEST_CASE("an object outlives the pool in which it was made") {
  const Framework framework(test::emulator_path());
  Object kept;
  framework.guarded("test", [&] {
    kept = Object(framework, make_list(framework, {1, 2, 3}));
    const Object copy = kept;
    Object moved = copy;
    kept = std::move(moved);
  });
  framework.guarded("test",
                    [&] { CHECK(framework.call<Method::array_count, uint64_t>(kept.get()) == 3); });
}

TEST_CASE("an Objective-C exception becomes an error with its name and reason") {
  const Framework framework(test::emulator_path());
  const auto read_beyond = [&] {
    framework.guarded("read a list", [&] {
      framework.call<Method::array_at, Id>(make_list(framework, {1, 2}), uint64_t{7});
    });
  };
  // Twice: the first must have been put away.
  for (int round = 0; round < 2; ++round) {
    const Error error = error_from(read_beyond);
    CHECK(error.status() == Status::device);
    CHECK(error.detail().domain == "NSRangeException");
    CHECK(contains(error.message(), "read a list: Objective-C exception NSRangeException: "));
    CHECK(contains(error.message(), "7"));
  }
  // A message that nobody understands raises too.
  const Error error = error_from([&] {
    framework.guarded(
        "count", [&] { framework.call<Method::array_count, uint64_t>(make_number(framework, 1)); });
  });
  CHECK(error.detail().domain == "NSInvalidArgumentException");
}

TEST_CASE("C++ exceptions pass unchanged") {
  const Framework framework(test::emulator_path());
  const Error error = error_from([&] {
    framework.guarded("test", [&] {
      throw Error(Status::checksum, "ours", ErrorDetail{.domain = "here", .code = 12});
    });
  });
  CHECK(error.status() == Status::checksum);
  CHECK(error.message() == "ours");
  CHECK(error.detail().code == 12);
  CHECK_THROWS_AS(framework.guarded("test", [] { throw std::out_of_range("x"); }),
                  std::out_of_range);
  CHECK_THROWS_AS(framework.guarded("test", [] { throw 3; }), int);
}

TEST_CASE("properties are checked as they are read, and errors say where") {
  const Framework framework(test::emulator_path());
  framework.guarded("test", [&] {
    const std::array<std::pair<std::string, Id>, 3> entries = {{
        {"text", make_string(framework, "value")},
        {"number", make_number(framework, 7)},
        {"list", make_list(framework, {4, 5})},
    }};
    const Property root(framework, make_dictionary(framework, entries), "root");
    CHECK(root["text"].text() == "value");
    CHECK(root["number"].integer() == 7);
    CHECK(root["none"].integer_or(3) == 3);
    CHECK(root["number"].integer_or(3) == 7);
    CHECK(root["list"][1].integer() == 5);
    CHECK(root["list"].items().size() == 2);
    CHECK_FALSE(root["none"].exists());
    const Error missing = error_from([&] { root["none"].text(); });
    CHECK(missing.status() == Status::device);
    CHECK(missing.message() == "root.none is missing, expected a string");
    CHECK(contains(error_from([&] { root["list"][0].text(); }).message(), "root.list[0] is a "));
    CHECK(contains(error_from([&] { root["text"]["key"]; }).message(), "expected a dictionary"));
    CHECK(error_from([&] { root["list"][2]; }).message() ==
          "root.list has 2 elements, expected more than 2");
  });
}

TEST_CASE("a library that is not there is named") {
  const Error error = error_from([] { Framework("/nowhere/libnothing.so"); });
  CHECK(error.status() == Status::unavailable);
  CHECK(contains(error.message(), "/nowhere/libnothing.so"));
  const Error apple = error_from([] { Framework(""); });
  CHECK(apple.status() == Status::unavailable);
  CHECK(contains(apple.message(), apple_framework_path));
}

TEST_CASE("a library without Objective-C is named by what it lacks") {
  // The library that the emulator links, whatever it is called here, has no such function.
  const Error error = error_from([] { Framework("libm.so.6"); });
  CHECK(error.status() == Status::unavailable);
  CHECK(contains(error.message(), "objc_lookUpClass"));
}
