#include "base/json.h"

#include <clocale>
#include <cmath>
#include <doctest/doctest.h>
#include <functional>
#include <limits>
#include <string>

using namespace anet;

namespace {

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.message();
  }
  return "no error";
}

std::string parse_error(std::string_view text) {
  return message_of([&] { Json::parse(text, "text"); });
}

std::string round_trip(std::string_view text) { return Json::parse(text).to_string(); }

} // namespace

TEST_CASE("values of every kind are read and written in their order") {
  const std::string text = R"({"b":[null,true,false,[],{}],"a":{"x":-1,"y":"text"},"":0})";
  CHECK(round_trip(text) == text);
  CHECK(round_trip(" \t\r\n[ 1 , 2 ]\n") == "[1,2]");
  CHECK(round_trip("\"top\"") == "\"top\"");
  CHECK(Json::parse(R"({"a":[1,{}],"b":[]})").to_string(2) ==
        "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
  const Json value = Json::parse(text);
  CHECK(value.find("a")->find("x")->to_int64() == -1);
  CHECK(value.find("none") == nullptr);
  CHECK(Json::parse(value.to_string(4)) == value);
}

TEST_CASE("strings keep their characters") {
  const Json value = Json::parse(R"("\u0041\n\t\r\b\f\/\\\"\u00e9\ud83d\ude00 é")");
  CHECK(*value.if_string() == "A\n\t\r\b\f/\\\"\xC3\xA9\xF0\x9F\x98\x80 \xC3\xA9");
  CHECK(value.to_string() ==
        "\"A\\n\\t\\r\\u0008\\u000c/\\\\\\\"\xC3\xA9\xF0\x9F\x98\x80 \xC3\xA9\"");
  CHECK(Json::parse(value.to_string()) == value);
  CHECK(message_of([] { Json("\xff").to_string(); }) ==
        "expected UTF-8 text for JSON, seen an invalid byte at offset 0");
  CHECK(message_of([] { Json(std::string(1, '\0')).to_string(); }) != "no error");
}

TEST_CASE("integers of 64 bits are exact") {
  for (const char* digits : {"0", "-1", "9007199254740993", "9223372036854775807",
                             "-9223372036854775808", "9223372036854775808", "18446744073709551615"})
    CHECK(round_trip(digits) == digits);
  CHECK(Json::parse("9007199254740993").to_int64() == 9007199254740993);
  CHECK(Json::parse("18446744073709551615").to_uint64() == ~uint64_t{0});
  CHECK_FALSE(Json::parse("18446744073709551615").to_int64());
  CHECK_FALSE(Json::parse("-1").to_uint64());
  CHECK_FALSE(Json::parse("3.0").to_int64());
  CHECK(Json(~uint64_t{0}) == Json::parse("18446744073709551615"));
  CHECK(Json(uint64_t{5}) == Json(int8_t{5}));
  // As in a Hugging Face tokenizer_config.json: a number, but no integer of ours.
  const Json huge = Json::parse("1000000000000000019884624838656");
  CHECK(huge.to_double() == 1e30);
  CHECK_FALSE(huge.to_int64());
}

TEST_CASE("doubles read back equal, in any locale") {
  const char* locales[] = {"C", "de_DE.UTF-8", "fr_FR.UTF-8"};
  for (const char* locale : locales) {
    std::setlocale(LC_ALL, locale); // stays as it was where the locale is not installed
    for (const double value : {0.1, 1.0 / 3, -2.5e-310, 5e-324, 1.7976931348623157e308, 1e22,
                               123456789.125, -0.0, 1.0}) {
      const std::string text = Json(value).to_string();
      const Json read = Json::parse(text);
      CHECK(read == Json(value)); // a double, not an integer
      CHECK(std::signbit(*read.to_double()) == std::signbit(value));
    }
    CHECK(Json(0.1).to_string() == "0.1");
    CHECK(Json(1.0).to_string() == "1.0");
    CHECK(std::signbit(*Json::parse("-0").to_double()));
    const std::string digits = "3.14159265358979323846264338327950288419716939937510582097494459";
    CHECK(Json::parse(digits).to_double() == 3.141592653589793);
  }
  std::setlocale(LC_ALL, "C");
  CHECK(message_of([] { Json(std::numeric_limits<double>::infinity()).to_string(); }) ==
        "expected a finite number for JSON, seen inf");
  CHECK(message_of([] { Json(std::nan("")).to_string(); }) != "no error");
}

TEST_CASE("what is not JSON is refused with its place") {
  CHECK(parse_error("{\n  \"a\": 01\n}") == "text line 2, column 8: number with a leading zero");
  CHECK(parse_error("{\"a\":1,\n \"a\":2}") == "text line 2, column 2: duplicate key 'a'");
  CHECK(parse_error("{\"b\":{\"a\":1},\"a\":2,\"\\u0061\":3}") ==
        "text line 1, column 20: duplicate key 'a'");
  CHECK(parse_error("[1] x") == "text line 1, column 5: text after the value");
  CHECK(parse_error("\"a\\u0000b\"") == "text line 1, column 3: NUL in a string");
  CHECK(parse_error("[\"a\xff\"]") == "text line 1, column 4: invalid UTF-8");
  CHECK(parse_error("[\"a\nb\"]") ==
        "text line 1, column 4: control character in a string, expected an escape");
  CHECK(parse_error("[\"a]") == "text line 1, column 2: string without its closing quote");
  CHECK(parse_error("1e400") == "text line 1, column 1: number beyond the range of a double");
  CHECK(parse_error("{\"a\" 1}").starts_with("text line 1, column 6: "));
  for (const char* text : {"",
                           " ",
                           "{",
                           "[",
                           "[1,]",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{1:2}",
                           "[1 2]",
                           "+1",
                           "-",
                           "1.",
                           ".5",
                           "1e",
                           "1e+",
                           "0x10",
                           "NaN",
                           "Infinity",
                           "nul",
                           "truex",
                           "'a'",
                           "[1]]",
                           "{\"a\"}",
                           "\"\\x\"",
                           "\"\\ud800\"",
                           "\"\\",
                           "\xEF\xBB\xBF{}",
                           "[1]/*c*/",
                           "\f1",
                           "--1",
                           "1-2"})
    CHECK_MESSAGE(parse_error(text) != "no error", text);
  CHECK(parse_error(std::string_view("[1\0]", 4)) != "no error");
  try {
    Json::parse("[\n1,\n x]", "text", Status::invalid_checkpoint);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.status() == Status::invalid_checkpoint);
    CHECK(error.detail().domain == "json");
    CHECK(error.detail().line == 3);
    CHECK(error.detail().column == 2);
  }
}

TEST_CASE("limits of size and depth hold") {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']');
  };
  CHECK(parse_error(nested(64)) == "no error");
  CHECK(parse_error(nested(65)) == "text line 1, column 65: nested deeper than 64 levels");
  CHECK(parse_error(nested(100000)).find("deeper") != std::string::npos);
  CHECK(message_of([] {
          Json::parse("[1,2,3]", "text", Status::invalid_config, {.max_size = 6});
        }) == "text: expected at most 6 bytes, seen 7");
}

TEST_CASE("every cut of a text is refused") {
  const std::string text = R"({"a":[1.5e3,"\u00e9",true],"b":{"c":null}})";
  for (size_t size = 0; size < text.size(); ++size)
    CHECK_MESSAGE(parse_error(text.substr(0, size)) != "no error", size);
}

TEST_CASE("values are built in place") {
  Json value;
  value.set("list", Json().push_back(1).push_back("two").push_back(nullptr)).set("x", 2.5);
  value.set("x", true);
  CHECK(value.to_string() == R"({"list":[1,"two",null],"x":true})");
  CHECK(message_of([&] { value.push_back(1); }) ==
        "expected an array to append to, seen an object");
  CHECK(message_of([] { Json(1).set("a", 2); }) ==
        "expected an object to set 'a' in, seen a number");
}

TEST_CASE("typed reading names the place of a mistake") {
  const Json json = Json::parse(
      R"({"optimizer":{"beta1":"x","steps":2.5,"big":18446744073709551615,"on":1,"none":null},
          "shape":[1,"2"],"names":["a","b"]})");
  const JsonView view(json);
  const JsonView optimizer = view.at("optimizer");
  CHECK(message_of([&] { optimizer.at("beta1").number(); }) ==
        "expected a number at 'optimizer.beta1', seen a string");
  CHECK(message_of([&] { optimizer.at("steps").integer(); }) ==
        "expected a 64-bit integer at 'optimizer.steps', seen 2.5");
  CHECK(message_of([&] { optimizer.at("big").integer(); }) ==
        "expected a 64-bit integer at 'optimizer.big', seen 18446744073709551615");
  CHECK(optimizer.at("big").unsigned_integer() == ~uint64_t{0});
  CHECK(message_of([&] { optimizer.at("on").boolean(); }) ==
        "expected a boolean at 'optimizer.on', seen a number");
  CHECK(message_of([&] { optimizer.at("on").integer(2, 9); }) ==
        "expected an integer from 2 to 9 at 'optimizer.on', seen 1");
  CHECK(message_of([&] { optimizer.at("none").string(); }) ==
        "expected a string at 'optimizer.none', seen null");
  CHECK(message_of([&] { optimizer.at("missing"); }) ==
        "expected a key 'missing' at 'optimizer', seen none");
  CHECK(message_of([&] { view.at("shape").integers(); }) ==
        "expected an integer at 'shape[1]', seen a string");
  CHECK(message_of([&] { view.at("shape").at(2); }) ==
        "expected more than 2 elements at 'shape', seen 2");
  CHECK(message_of([&] { view.number(); }) == "expected a number at the top level, seen an object");
  CHECK(message_of([&] { view.at("shape").members(); }) ==
        "expected an object at 'shape', seen an array");
  CHECK(view.at("names").strings() == std::vector<std::string>{"a", "b"});
  CHECK_FALSE(optimizer.find("none"));
  CHECK(optimizer.number_or("missing", 0.5) == 0.5);
  CHECK(optimizer.integer_or("on", 5) == 1);
  CHECK(optimizer.string_or("beta1", "y") == "x");
  CHECK(optimizer.boolean_or("none", true));
  CHECK(message_of([&] { optimizer.number_or("beta1", 1); }) ==
        "expected a number at 'optimizer.beta1', seen a string");
}

TEST_CASE("unknown keys are errors that suggest a known one") {
  const Json json = Json::parse(R"({"train":{"lerning_rate":1}})");
  const JsonView train = JsonView(json).at("train");
  CHECK(message_of([&] {
          train.check_keys({"learning_rate", "steps"});
        }) == "unknown key 'train.lerning_rate', did you mean 'learning_rate'");
  CHECK(message_of([&] { train.check_keys({"steps"}); }) == "unknown key 'train.lerning_rate'");
  CHECK(message_of([&] { train.check_keys({"lerning_rate"}); }) == "no error");
  const std::string_view known[] = {"beta1", "beta2", "eps"};
  CHECK(nearest_key("beta_1", known) == "beta1");
  CHECK(nearest_key("epz", known) == "eps");
  CHECK(nearest_key("momentum", known) == std::nullopt);
}
