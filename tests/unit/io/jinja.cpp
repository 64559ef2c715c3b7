// The template language against jinja2: tests/golden/chat_template/make_language.py wrote the file.
#include "io/jinja/template.h"

#include "test_files.h"

#include <chrono>
#include <doctest/doctest.h>

using namespace anet;
using namespace anet::io::jinja;
using namespace anet::test;

namespace {

std::string rendered(std::string_view text, const Json& context = Json::object(),
                     const RenderOptions& options = {}) {
  return Template(text).render(context, options);
}

RenderOptions fixed_date() { // 2024-07-05 14:03:09, as in the golden files
  std::tm date{};
  date.tm_year = 124;
  date.tm_mon = 6;
  date.tm_mday = 5;
  date.tm_hour = 14;
  date.tm_min = 3;
  date.tm_sec = 9;
  date.tm_wday = 5;
  date.tm_yday = 186;
  return {.limits = {}, .now = date};
}

// Fails with an Error, and soon.
void check_refused(const std::string& text, std::string_view part) {
  CAPTURE(text.substr(0, 200));
  const auto begin = std::chrono::steady_clock::now();
  const std::string message = message_of([&] { rendered(text); });
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK_MESSAGE(message.find(part) != std::string::npos, message);
  // Hundreds of times what it takes: sanitizers and busy machines are slow.
  CHECK(took < std::chrono::seconds(30));
}

std::string repeated(std::string_view part, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += part;
  return text;
}

} // namespace

TEST_CASE("templates render as jinja2 renders them") {
  const Json golden = Json::parse(get("tests/golden/chat_template/language.json"), "language.json");
  const Json& context = *golden.find("context");
  const Json::Array& cases = *golden.find("cases")->if_array();
  CHECK(cases.size() > 800);
  for (const Json& entry : cases) {
    const std::string& text = *(*entry.if_array())[0].if_string();
    const Json& expected = (*entry.if_array())[1];
    CAPTURE(text);
    std::optional<std::string> seen;
    std::string message;
    try {
      seen = rendered(text, context, fixed_date());
    } catch (const Error& error) {
      message = error.message();
    }
    CAPTURE(message);
    if (expected.is_null())
      CHECK_MESSAGE(!seen, *seen);
    else
      CHECK(seen == *expected.if_string());
  }
}

TEST_CASE("errors of templates name the place") {
  const auto error = error_of([] { rendered("one\ntwo {{ 1 + }}"); });
  REQUIRE(error);
  CHECK(error->status() == Status::invalid_config);
  CHECK(error->message() == "template line 2, column 12: expected an expression, seen '}}'");
  CHECK(error->detail().line == 2);
  CHECK(error->detail().column == 12);

  const auto missing = error_of([] { rendered("a\n  {{ messages[0].role }}"); });
  REQUIRE(missing);
  CHECK(missing->status() == Status::invalid_data);
  CHECK(missing->message() == "template line 2, column 14: 'messages' is undefined");

  const auto raised = error_of([] { rendered("{{ raise_exception('roles must alternate') }}"); });
  REQUIRE(raised);
  CHECK(raised->status() == Status::invalid_data);
  CHECK(raised->message() == "roles must alternate");
}

TEST_CASE("what Jinja has and we do not is refused by name") {
  for (const auto& [text, name] : std::vector<std::pair<std::string, std::string>>{
           {"{{ x | xmlattr }}", "the filter 'xmlattr'"},
           {"{{ x is nothing }}", "the test 'nothing'"},
           {"{% include 'x' %}", "the tag 'include'"},
           {"{{ cycler(1, 2) }}", "the function 'cycler'"},
           {"{{ x.swapcase() }}", "the method 'swapcase'"},
           {"{{ '\\N{DASH}' }}", "characters by name"}}) {
    const auto error = error_of([&, &source = text] { Template{source}; });
    REQUIRE_MESSAGE(error, text);
    CHECK(error->status() == Status::unsupported);
    CHECK_MESSAGE(error->message().find(name) != std::string::npos, error->message());
  }
}

TEST_CASE("the places of generation blocks are reported") {
  std::vector<RenderedSpan> spans;
  const Template marked(
      "a{% for x in 'bc' %}[{% generation %}{{ x }}!{% endgeneration %}]{% endfor %}"
      "{% set hidden %}{% generation %}z{% endgeneration %}{% endset %}{{ hidden }}");
  CHECK(marked.render(Json::object(), {}, &spans) == "a[b!][c!]z");
  CHECK(spans == std::vector<RenderedSpan>{{2, 4}, {6, 8}});
  CHECK(marked.has_generation());
  CHECK(!marked.uses_date());
  CHECK(Template("{{ strftime_now('%d') }}").uses_date());
  CHECK(Template("{% if tools %}{% endif %}").mentions("tools"));
  CHECK(!marked.mentions("tools"));
}

TEST_CASE("templates that would not end are stopped") {
  check_refused("{% for i in range(10**12) %}{% endfor %}", "at most 100000");
  check_refused("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
                "more work than the limit");
  check_refused("{{ 'a' * 10**12 }}", "more than the limit");
  check_refused("{{ ('a' * 10**6) * 10**6 }}", "more than the limit");
  check_refused("{{ [1] * 10**12 }}", "more work than the limit");
  check_refused("{{ [[]] * 9000000 * 9000000000000 }}", "more work than the limit");
  check_refused("{{ 2 ** 10**18 }}", "64 bits");
  check_refused("{{ 10**18 * 10**18 }}", "64 bits");
  check_refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested deeper than the limit");
  check_refused("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "nested deeper");
  check_refused("{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{{ m(n-1) }}{% endif %}"
                "{% endmacro %}{{ m(25) }}",
                "more work than the limit");
  check_refused("{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}", "nested deeper");
  check_refused(
      "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}"
      "{% endfor %}{{ ns.s }}",
      "limit");
  check_refused(
      "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}"
      "{% endfor %}",
      "limit");
  check_refused("{{ '%99999999999d' % 1 }}", "width of at most");
  check_refused("{{ '{:99999999999}'.format(1) }}", "width of at most");
  check_refused("{{ 'x'.center(10**12) }}", "more than the limit");
  check_refused("{{ {} | tojson(indent=10**12) }}", "at most 1000");
  check_refused("{{ ('a' * 10**7).replace('', 'b' * 10**6) }}", "limit");
  check_refused("{{ ('ab' * 10**6).split('a') | map('center', 1000) | join }}", "limit");
}

TEST_CASE("deep templates and values end in errors") {
  const size_t many = 10'000;
  check_refused("{{ " + repeated("(", many) + "1" + repeated(")", many) + " }}", "nested deeper");
  check_refused("{{ " + repeated("[", many) + repeated("]", many) + " }}", "nested deeper");
  check_refused("{{ " + repeated("not ", many) + "1 }}", "nested deeper");
  check_refused("{{ " + repeated("-", many) + "1 }}", "nested deeper");
  check_refused("{{ 1" + repeated(" + 1", many) + " }}", "nested deeper");
  check_refused("{{ 1" + repeated(" ** 1", many) + " }}", "nested deeper");
  check_refused("{{ a" + repeated("[a", many) + repeated("]", many) + " }}", "nested deeper");
  check_refused("{{ a" + repeated(".b", many) + " }}", "nested deeper");
  check_refused("{{ a" + repeated("()", many) + " }}", "nested deeper");
  check_refused("{{ 'a'" + repeated("|e", many) + " }}", "nested deeper");
  check_refused("{{ " + repeated("1 if 1 else ", many) + "1 }}", "nested deeper");
  check_refused("{{ " + repeated("{1:", many) + repeated("}", many) + " }}", "nested deeper");
  check_refused(repeated("{% if 1 %}", many), "nested deeper");
  check_refused("{% for " + repeated("(", many) + "y" + repeated(")", many) +
                    " in x %}{% endfor %}",
                "nested deeper");
  // Long is not deep.
  CHECK(rendered("{{ 1" + repeated(" ~ 1", many) + " }}").size() == many + 1);
  CHECK(rendered("{% if 0 %}" + repeated("{% elif 0 %}", many) + "{% endif %}").empty());
  // Values that grow in depth round by round.
  check_refused("{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}"
                "{% endfor %}",
                "nested deeper");
  check_refused("{% set ns = namespace(x=0) %}{% for i in range(99999) %}{% for y in [ns.x] %}"
                "{% set ns.x = loop %}{% endfor %}{% endfor %}",
                "nested deeper");
  check_refused("{% set ns = namespace(x=0) %}{% for i in range(99999) %}{% for y in [ns.x] %}"
                "{% set ns.x = loop.cycle %}{% endfor %}{% endfor %}",
                "nested deeper");
  check_refused("{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns }}", "nested deeper");
  CHECK(rendered("{% set ns = namespace() %}{% set ns.x = ns %}"
                 "{% set ns = namespace(x=0) %}{% for i in range(50000) %}"
                 "{% set ns = namespace(x=ns) %}{% endfor %}ok") == "ok");
}

TEST_CASE("a rendering has the limits of its options") {
  const Template loop("{% for i in range(1000) %}{{ i }}{% endfor %}");
  CHECK(loop.render(Json::object()).size() == 2890);
  RenderOptions options;
  options.limits.steps = 100;
  CHECK(message_of([&] { loop.render(Json::object(), options); }) ==
        "template line 1, column 13: more work than the limit of 100 steps");
  options = {};
  options.limits.output_bytes = 100;
  CHECK(message_of([&] {
          loop.render(Json::object(), options);
        }).find("text of more than the limit of 100 bytes") != std::string::npos);
}

TEST_CASE("contexts are checked") {
  CHECK(message_of([] { rendered("", Json::array()); }) ==
        "expected an object of names for a template, seen an array");
  CHECK(message_of([] {
          rendered("{{ x }}", Json::object().set("x", "\xFF"));
        }).find("expected text in UTF-8") != std::string::npos);
  CHECK(message_of([] {
          rendered("{{ x }}", Json::object().set("x", uint64_t{18446744073709551615ULL}));
        }).find("expected integers of 64 bits") != std::string::npos);
  // What a template does not ask for does not matter.
  CHECK(rendered("a", Json::object().set("x", "\xFF")) == "a");
  CHECK(message_of([] { Template("\xFF"); }).find("UTF-8") != std::string::npos);
}
