// Filters that make text or numbers.
#include "io/jinja/builtins.h"
#include "io/jinja/characters.h"
#include "io/jinja/operations.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace anet::io::jinja {
namespace {

// Filters of text take any value's text.
Value mapped(Runtime& runtime, const Arguments& arguments, std::string_view name,
             std::string (*map)(std::string_view)) {
  const Parameters given(runtime, name, arguments, {"s"}, 1);
  const std::string text = to_text(runtime, given[0]);
  runtime.charge_text(8 * text.size());
  return runtime.text(map(text));
}

// Jinja's own: a word begins behind white space, '-' or an opening bracket.
std::string title_words(std::string_view text) {
  std::string result;
  size_t begin = 0;
  const auto flush = [&](size_t end) {
    const std::string_view word = text.substr(begin, end - begin);
    if (word.empty()) return;
    const size_t first = character_size(word[0]);
    result += to_upper(word.substr(0, first));
    result += to_lower(word.substr(first));
  };
  for (size_t i = 0; i < text.size();) {
    const size_t length = character_size(text[i]);
    const char32_t c = character_at(text, i);
    const bool separates = is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    if (separates) {
      flush(i);
      result += text.substr(i, length);
      begin = i + length;
    }
    i += length;
  }
  flush(text.size());
  return result;
}

Value trim(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "trim", arguments, {"value", "chars"}, 1);
  const std::string text = to_text(runtime, given[0]);
  if (given.is_none_or_missing(1)) return runtime.text(strip(text));
  const std::string_view characters = given.string(1, "");
  const std::string_view left = strip_left(strip_right(text, characters), characters);
  runtime.charge_text((text.size() - left.size()) * characters.size());
  return runtime.text(left);
}

Value replace(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "replace", arguments, {"s", "old", "new", "count"}, 3);
  const std::string text = to_text(runtime, given[0]), old = to_text(runtime, given[1]),
                    replacement = to_text(runtime, given[2]);
  const int64_t limit = given.is_none_or_missing(3) ? -1 : given.integer(3, -1);
  return runtime.text(replace_text(runtime, text, old, replacement, limit));
}

Value escape(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "escape", arguments, {"s"}, 1);
  const std::string text = to_text(runtime, given[0]);
  std::string result;
  runtime.check_text_size(5 * text.size());
  runtime.charge_text(5 * text.size());
  for (const char c : text) {
    constexpr std::string_view special = "&<>\"'";
    constexpr std::array<std::string_view, 5> entities = {"&amp;", "&lt;", "&gt;", "&#34;",
                                                          "&#39;"};
    const size_t found = special.find(c);
    if (found == std::string_view::npos)
      result += c;
    else
      result += entities[found];
  }
  return runtime.text(std::move(result));
}

// White space of one level: a number of spaces, or itself.
std::string indentation(Runtime& runtime, const Value& width, std::string_view function) {
  if (const std::string* text = width.if_string()) return *text;
  const int64_t* count = width.if_integer();
  if (count == nullptr)
    runtime.fail_here("expected a width for ", function, ", seen ", kind_name(width));
  const int64_t spaces = std::max<int64_t>(*count, 0);
  if (spaces > 1000) runtime.fail_here("expected an indentation of at most 1000, seen ", spaces);
  return std::string(static_cast<size_t>(spaces), ' ');
}

Value indent(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "indent", arguments, {"s", "width", "first", "blank"}, 1);
  const std::string text = to_text(runtime, given[0]);
  const std::string margin =
      indentation(runtime, given.has(1) ? given[1] : Value(int64_t{4}), "indent");
  const bool first = given.truth(2, false), blank = given.truth(3, false);
  std::string result;
  if (first) result += margin;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    runtime.charge_text(end - begin + margin.size());
    runtime.check_text_size(result.size() + end - begin + margin.size());
    if (begin > 0) {
      result += '\n';
      if (blank || end > begin) result += margin;
    }
    result.append(text, begin, end - begin);
    begin = end + 1;
  }
  return runtime.text(std::move(result));
}

Value tojson(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "tojson", arguments,
                         {"x", "ensure_ascii", "indent", "separators", "sort_keys"}, 1);
  JsonFormat format;
  format.ensure_ascii = given.truth(1, false);
  format.sort_keys = given.truth(4, false);
  if (!given.is_none_or_missing(2)) {
    format.indent = indentation(runtime, given[2], "tojson");
    format.item_separator = ",";
  }
  if (!given.is_none_or_missing(3)) {
    const Sequence* pair = given[3].if_sequence();
    if (pair == nullptr || pair->elements.size() != 2 || pair->elements[0].if_string() == nullptr ||
        pair->elements[1].if_string() == nullptr)
      runtime.fail_here("expected two strings as 'separators' of tojson");
    format.item_separator = *pair->elements[0].if_string();
    format.key_separator = *pair->elements[1].if_string();
  }
  return runtime.text(to_json(runtime, given[0], format));
}

Value format(Runtime& runtime, const Arguments& arguments) {
  if (arguments.positional.empty()) runtime.fail_here("expected a format string");
  if (arguments.positional.size() > 1 && !arguments.named.empty())
    runtime.fail_here("expected positional or named arguments for format, seen both");
  const std::string text = to_text(runtime, arguments.positional[0]);
  Value values;
  if (arguments.named.empty()) {
    values = runtime.list({arguments.positional.begin() + 1, arguments.positional.end()},
                          Sequence::Flavor::tuple);
  } else {
    std::vector<std::pair<Value, Value>> entries;
    for (const auto& [name, value] : arguments.named)
      entries.emplace_back(runtime.text(name), value);
    values = runtime.dictionary(std::move(entries));
  }
  return runtime.text(format_percent(runtime, text, values));
}

std::optional<int64_t> parse_integer(std::string_view text, int base) {
  text = strip(text);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.size() > 2 && text[0] == '0') {
    const char prefix = static_cast<char>(text[1] | 0x20);
    const int named = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
    if (named == base && named != 10) text.remove_prefix(2);
  }
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] != '_' || i == 0 || i + 1 == text.size() || text[i - 1] == '_') digits += text[i];
  uint64_t value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || result.ec != std::errc() || result.ptr != digits.data() + digits.size() ||
      value > static_cast<uint64_t>(INT64_MAX) + (negative ? 1 : 0))
    return std::nullopt;
  return static_cast<int64_t>(negative ? ~value + 1 : value);
}

Value to_integer(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "int", arguments, {"value", "default", "base"}, 1);
  const Value fallback = given.has(1) ? given[1] : Value(int64_t{0});
  const int64_t base = given.integer(2, 10);
  if (base < 2 || base > 36) runtime.fail_here("expected a base from 2 to 36, seen ", base);
  if (given[0].is_undefined()) runtime.fail_undefined(given[0]);
  if (given[0].if_integer() != nullptr) return given[0];
  if (const bool* boolean = given[0].if_boolean()) return Value(int64_t{*boolean ? 1 : 0});
  std::optional<double> real;
  if (const double* floating = given[0].if_floating()) {
    real = *floating;
  } else if (const std::string* text = given[0].if_string()) {
    runtime.charge_text(text->size());
    if (const auto integer = parse_integer(*text, static_cast<int>(base))) return Value(*integer);
    real = parse_double(strip(*text));
  }
  if (!real || !std::isfinite(*real)) return fallback;
  if (std::abs(*real) >= 9.2e18) runtime.fail_here("expected an integer of 64 bits");
  return Value(static_cast<int64_t>(*real));
}

Value to_float(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "float", arguments, {"value", "default"}, 1);
  if (given[0].is_undefined()) runtime.fail_undefined(given[0]);
  if (const double* floating = given[0].if_floating()) return Value(*floating);
  if (const int64_t* integer = given[0].if_integer()) return Value(static_cast<double>(*integer));
  if (const bool* boolean = given[0].if_boolean()) return Value(*boolean ? 1.0 : 0.0);
  if (const std::string* text = given[0].if_string()) {
    runtime.charge_text(text->size());
    if (const auto real = parse_double(strip(*text))) return Value(*real);
  }
  return given.has(1) ? given[1] : Value(0.0);
}

Value absolute(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "abs", arguments, {"x"}, 1);
  if (!given[0].is_number()) {
    if (given[0].is_undefined()) runtime.fail_undefined(given[0]);
    runtime.fail_here("expected a number for abs, seen ", kind_name(given[0]));
  }
  if (const double* floating = given[0].if_floating()) return Value(std::abs(*floating));
  const Value zero(int64_t{0});
  return compare(runtime, given[0], zero) < 0
             ? negate(runtime, given[0])
             : binary(runtime, BinaryOperator::add, given[0], zero);
}

// Half to even on the decimal digits of the double, as Python's round.
double round_decimal(double value, int64_t precision) {
  if (!std::isfinite(value) || precision > 300) return value;
  if (precision < -300) return std::copysign(0.0, value);
  if (precision >= 0) {
    std::array<char, 1024> buffer{};
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                      std::chars_format::fixed, static_cast<int>(precision));
    return parse_double({buffer.data(), static_cast<size_t>(result.ptr - buffer.data())})
        .value_or(value);
  }
  const double scale = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(value / scale) * scale;
}

Value round(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "round", arguments, {"value", "precision", "method"}, 1);
  const int64_t precision = given.integer(1, 0);
  const std::string_view method = given.string(2, "common");
  if (!given[0].is_number()) {
    if (given[0].is_undefined()) runtime.fail_undefined(given[0]);
    runtime.fail_here("expected a number to round, seen ", kind_name(given[0]));
  }
  const double* floating = given[0].if_floating();
  const double value =
      floating != nullptr
          ? *floating
          : static_cast<double>(*to_integer(runtime, {{given[0]}, {}}).if_integer());
  if (method == "common") {
    if (floating == nullptr && precision >= 0) return given[0];
    const double rounded = round_decimal(value, precision);
    return floating != nullptr ? Value(rounded) : Value(static_cast<int64_t>(rounded));
  }
  if (method != "ceil" && method != "floor")
    runtime.fail_here("expected common, ceil or floor for round, seen '", method.substr(0, 20),
                      "'");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  return Value((method == "ceil" ? std::ceil(value * scale) : std::floor(value * scale)) / scale);
}

Value truncate(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "truncate", arguments,
                         {"s", "length", "killwords", "end", "leeway"}, 1);
  const std::string text = to_text(runtime, given[0]);
  const int64_t length = given.integer(1, 255);
  const int64_t leeway = given.is_none_or_missing(4) ? 5 : given.integer(4, 5);
  const std::string_view end = given.string(3, "...");
  const auto end_length = static_cast<int64_t>(count_characters(end));
  if (length < end_length || leeway < 0)
    runtime.fail_here("expected a length of at least ", end_length, " for truncate, seen ", length);
  if (static_cast<int64_t>(count_characters(text)) - leeway <= length) return runtime.text(text);
  std::string cut = text.substr(0, offset_of(text, static_cast<size_t>(length - end_length)));
  if (!given.truth(2, false)) cut = cut.substr(0, cut.rfind(' '));
  return runtime.text(cut + std::string(end));
}

Value wordcount(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "wordcount", arguments, {"s"}, 1);
  const std::string text = to_text(runtime, given[0]);
  int64_t count = 0;
  bool in_word = false;
  for (size_t i = 0; i < text.size(); i += character_size(text[i])) {
    const char32_t c = character_at(text, i);
    const bool part = c == '_' || is_letter(c) || is_decimal_digit(c);
    if (part && !in_word) ++count;
    in_word = part;
  }
  return Value(count);
}

Value center(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "center", arguments, {"value", "width"}, 1);
  const Value text = runtime.text(to_text(runtime, given[0]));
  return find_method(text, "center")(runtime, text, {{Value(given.integer(1, 80))}, {}});
}

constexpr std::array filters = {
    NamedFunction{"trim", trim},
    NamedFunction{"replace", replace},
    NamedFunction{"escape", escape},
    NamedFunction{"e", escape},
    NamedFunction{"forceescape", escape},
    NamedFunction{"indent", indent},
    NamedFunction{"tojson", tojson},
    NamedFunction{"format", format},
    NamedFunction{"int", to_integer},
    NamedFunction{"float", to_float},
    NamedFunction{"abs", absolute},
    NamedFunction{"round", round},
    NamedFunction{"truncate", truncate},
    NamedFunction{"wordcount", wordcount},
    NamedFunction{"center", center},
    NamedFunction{"upper",
                  [](Runtime& r, const Arguments& a) { return mapped(r, a, "upper", to_upper); }},
    NamedFunction{"lower",
                  [](Runtime& r, const Arguments& a) { return mapped(r, a, "lower", to_lower); }},
    NamedFunction{
        "title", [](Runtime& r, const Arguments& a) { return mapped(r, a, "title", title_words); }},
    NamedFunction{
        "capitalize",
        [](Runtime& r, const Arguments& a) { return mapped(r, a, "capitalize", to_capitalized); }},
    NamedFunction{"string",
                  [](Runtime& r, const Arguments& a) {
                    const Parameters given(r, "string", a, {"object"}, 1);
                    return given[0].if_string() != nullptr ? given[0]
                                                           : r.text(to_text(r, given[0]));
                  }},
    // Nothing is escaped unless it is asked for, so that every text is safe.
    NamedFunction{"safe",
                  [](Runtime& r, const Arguments& a) {
                    const Parameters given(r, "safe", a, {"value"}, 1);
                    return r.text(to_text(r, given[0]));
                  }},
};

} // namespace

std::span<const NamedFunction> detail::text_filters() { return filters; }

} // namespace anet::io::jinja
