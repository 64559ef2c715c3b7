// Methods of text, sequences and dictionaries, as Python's.
#include "io/jinja/builtins.h"
#include "io/jinja/characters.h"
#include "io/jinja/operations.h"

#include <algorithm>
#include <array>
#include <limits>

namespace anet::io::jinja {
namespace {

struct NamedMethod {
  std::string_view name;
  Method method;
};

const std::string& text_of(const Value& object) { return *object.if_string(); }

// The plain search backwards compares as often as this in the worst case.
void charge_search_from_right(Runtime& runtime, std::string_view text, std::string_view part) {
  runtime.charge_text(text.size());
  runtime.charge_elements(text.size() / 64 * (part.size() / 16));
}

Value strip_method(Runtime& runtime, std::string_view name, const Value& object,
                   const Arguments& arguments, bool left, bool right) {
  const Parameters given(runtime, name, arguments, {"chars"}, 0);
  std::string_view text = text_of(object);
  runtime.charge_text(text.size());
  if (given.is_none_or_missing(0)) {
    if (left) text = strip_left(text);
    if (right) text = strip_right(text);
  } else {
    const std::string_view characters = given.string(0, "");
    runtime.charge_elements(characters.size()); // looked through for every character removed
    const size_t before = text.size();
    if (left) text = strip_left(text, characters);
    if (right) text = strip_right(text, characters);
    runtime.charge_text((before - text.size()) * characters.size());
  }
  return runtime.text(text);
}

void check_separator(Runtime& runtime, std::string_view separator) {
  if (separator.empty()) runtime.fail_here("expected a separator that is not empty");
}

// At runs of white space; at most `limit` times.
std::vector<Value> split_words(Runtime& runtime, std::string_view text, int64_t limit,
                               bool from_right) {
  std::vector<Value> parts;
  for (;;) {
    text = from_right ? strip_right(text) : strip_left(text);
    if (text.empty()) break;
    if (static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(runtime.text(from_right ? strip_right(text) : text));
      break;
    }
    if (from_right) {
      size_t begin = text.size();
      while (begin > 0) {
        size_t previous = begin - 1;
        while ((static_cast<unsigned char>(text[previous]) & 0xC0) == 0x80) --previous;
        if (is_space(character_at(text, previous))) break;
        begin = previous;
      }
      parts.push_back(runtime.text(text.substr(begin)));
      text = text.substr(0, begin);
    } else {
      size_t end = 0;
      while (end < text.size() && !is_space(character_at(text, end)))
        end += character_size(text[end]);
      parts.push_back(runtime.text(text.substr(0, end)));
      text = text.substr(end);
    }
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

Value split_method(Runtime& runtime, std::string_view name, const Value& object,
                   const Arguments& arguments, bool from_right) {
  const Parameters given(runtime, name, arguments, {"sep", "maxsplit"}, 0);
  std::string_view text = text_of(object);
  runtime.charge_text(text.size());
  int64_t limit = given.integer(1, -1);
  if (limit < 0) limit = std::numeric_limits<int64_t>::max();
  if (given.is_none_or_missing(0))
    return runtime.list(split_words(runtime, text, limit, from_right));
  const std::string_view separator = given.string(0, "");
  check_separator(runtime, separator);
  if (from_right) charge_search_from_right(runtime, text, separator);
  std::vector<Value> parts;
  for (; limit > 0; --limit) {
    const size_t found = from_right ? text.rfind(separator) : find_text(text, separator);
    if (found == std::string_view::npos) break;
    if (from_right) {
      parts.push_back(runtime.text(text.substr(found + separator.size())));
      text = text.substr(0, found);
    } else {
      parts.push_back(runtime.text(text.substr(0, found)));
      text = text.substr(found + separator.size());
    }
  }
  parts.push_back(runtime.text(text));
  if (from_right) std::reverse(parts.begin(), parts.end());
  return runtime.list(std::move(parts));
}

Value split_lines(Runtime& runtime, const Value& object, const Arguments& arguments) {
  const Parameters given(runtime, "splitlines", arguments, {"keepends"}, 0);
  const bool keep = given.truth(0, false);
  const std::string_view text = text_of(object);
  runtime.charge_text(text.size());
  std::vector<Value> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = character_at(text, i);
    const size_t next = i + character_size(text[i]);
    const bool ends =
        (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!ends) {
      i = next;
      continue;
    }
    const size_t after = c == '\r' && next < text.size() && text[next] == '\n' ? next + 1 : next;
    lines.push_back(runtime.text(text.substr(begin, (keep ? after : i) - begin)));
    begin = i = after;
  }
  if (begin < text.size()) lines.push_back(runtime.text(text.substr(begin)));
  return runtime.list(std::move(lines));
}

Value partition(Runtime& runtime, const Value& object, const Arguments& arguments, bool last) {
  const Parameters given(runtime, "partition", arguments, {"sep"}, 1);
  const std::string_view text = text_of(object), separator = given.string(0, "");
  check_separator(runtime, separator);
  charge_search_from_right(runtime, text, separator);
  const size_t found = last ? text.rfind(separator) : find_text(text, separator);
  std::array<std::string_view, 3> parts{};
  if (found == std::string_view::npos)
    parts[last ? 2 : 0] = text;
  else
    parts = {text.substr(0, found), separator, text.substr(found + separator.size())};
  return runtime.list({runtime.text(parts[0]), runtime.text(parts[1]), runtime.text(parts[2])},
                      Sequence::Flavor::tuple);
}

// The part of the text that start and end choose, and where it begins; nothing if it is empty
// because start is behind the end.
struct Window {
  std::string_view text;
  size_t offset = 0;
  bool valid = true;
};

Window window_of(Runtime& runtime, std::string_view text, const Parameters& given) {
  runtime.charge_text(text.size());
  if (given.is_none_or_missing(1) && given.is_none_or_missing(2)) return {text};
  const auto length = static_cast<int64_t>(count_characters(text));
  const auto bound = [&](size_t i, int64_t fallback) {
    int64_t at = given.is_none_or_missing(i) ? fallback : given.integer(i, fallback);
    if (at < 0) at = at < -length ? 0 : at + length;
    return at;
  };
  const int64_t start = bound(1, 0), end = std::min(bound(2, length), length);
  if (start > end) return {{}, 0, false};
  const size_t first = offset_of(text, static_cast<size_t>(start));
  const size_t last = offset_of(text, static_cast<size_t>(end));
  return {text.substr(first, last - first), first, true};
}

Value affix_method(Runtime& runtime, std::string_view name, const Value& object,
                   const Arguments& arguments, bool start) {
  const Parameters given(runtime, name, arguments, {start ? "prefix" : "suffix", "start", "end"},
                         1);
  const Window window = window_of(runtime, text_of(object), given);
  const auto fits = [&](std::string_view affix) {
    return window.valid && (start ? window.text.starts_with(affix) : window.text.ends_with(affix));
  };
  const Sequence* choices = given[0].if_sequence();
  if (choices == nullptr || choices->flavor != Sequence::Flavor::tuple)
    return Value(fits(given.string(0, "")));
  return Value(
      std::any_of(choices->elements.begin(), choices->elements.end(), [&](const Value& choice) {
        const std::string* affix = choice.if_string();
        if (affix == nullptr)
          runtime.fail_here("expected strings for ", name, ", seen ", kind_name(choice));
        return fits(*affix);
      }));
}

Value find_method_of_text(Runtime& runtime, std::string_view name, const Value& object,
                          const Arguments& arguments, bool last, bool must_exist) {
  const Parameters given(runtime, name, arguments, {"sub", "start", "end"}, 1);
  const std::string_view text = text_of(object), part = given.string(0, "");
  const Window window = window_of(runtime, text, given);
  if (last) charge_search_from_right(runtime, text, part);
  size_t found = std::string_view::npos;
  if (window.valid) found = last ? window.text.rfind(part) : find_text(window.text, part);
  if (found == std::string_view::npos) {
    if (must_exist) runtime.fail_here("substring not found");
    return Value(int64_t{-1});
  }
  return Value(static_cast<int64_t>(count_characters(text.substr(0, window.offset + found))));
}

Value count_method(Runtime& runtime, const Value& object, const Arguments& arguments) {
  const Parameters given(runtime, "count", arguments, {"sub", "start", "end"}, 1);
  const std::string_view part = given.string(0, "");
  const Window window = window_of(runtime, text_of(object), given);
  if (!window.valid) return Value(int64_t{0});
  if (part.empty()) return Value(static_cast<int64_t>(count_characters(window.text)) + 1);
  int64_t count = 0;
  for (size_t at = find_text(window.text, part); at != std::string_view::npos;
       at = find_text(window.text, part, at + part.size())) {
    runtime.charge(1);
    ++count;
  }
  return Value(count);
}

Value pad_method(Runtime& runtime, std::string_view name, const Value& object,
                 const Arguments& arguments) {
  const bool zeros = name == "zfill";
  const Parameters given(runtime, name, arguments, {"width", zeros ? "" : "fillchar"}, 1);
  const std::string_view text = text_of(object), fill = zeros ? "0" : given.string(1, " ");
  if (count_characters(fill) != 1) runtime.fail_here("expected one character to fill with");
  const int64_t missing = given.integer(0, 0) - static_cast<int64_t>(count_characters(text));
  if (missing <= 0) return object;
  const int64_t width = given.integer(0, 0);
  runtime.check_text_size(static_cast<size_t>(missing));
  runtime.charge_text(static_cast<size_t>(missing));
  // Python puts the odd one to the left only if the width is odd too.
  const int64_t left = name == "ljust"    ? 0
                       : name == "center" ? missing / 2 + (missing & width & 1)
                                          : missing;
  std::string result;
  const bool sign = zeros && !text.empty() && (text[0] == '-' || text[0] == '+');
  if (sign) result += text[0];
  for (int64_t i = 0; i < left; ++i) result += fill;
  result += text.substr(sign ? 1 : 0);
  for (int64_t i = left; i < missing; ++i) result += fill;
  return runtime.text(std::move(result));
}

Value mapped(Runtime& runtime, const Value& object, const Arguments& arguments,
             std::string_view name, std::string (*map)(std::string_view)) {
  const Parameters given(runtime, name, arguments, {}, 0);
  runtime.charge_text(8 * text_of(object).size()); // every character's properties are looked up
  return runtime.text(map(text_of(object)));
}

// All characters, and at least one.
template <typename Test>
Value all_characters(Runtime& runtime, const Value& object, const Arguments& arguments,
                     std::string_view name, Test test) {
  const Parameters given(runtime, name, arguments, {}, 0);
  const std::string_view text = text_of(object);
  runtime.charge_text(8 * text.size());
  for (size_t i = 0; i < text.size(); i += character_size(text[i]))
    if (!test(character_at(text, i))) return Value(false);
  return Value(!text.empty());
}

// At least one letter of the case and none of the other.
Value all_of_case(Runtime& runtime, const Value& object, const Arguments& arguments, bool upper) {
  const Parameters given(runtime, upper ? "isupper" : "islower", arguments, {}, 0);
  const std::string_view text = text_of(object);
  runtime.charge_text(8 * text.size());
  bool seen = false;
  for (size_t i = 0; i < text.size(); i += character_size(text[i])) {
    const char32_t c = character_at(text, i);
    if (upper ? is_lower(c) : is_upper(c)) return Value(false);
    seen = seen || (upper ? is_upper(c) : is_lower(c));
  }
  return Value(seen);
}

Value join_method(Runtime& runtime, const Value& object, const Arguments& arguments) {
  const Parameters given(runtime, "join", arguments, {"iterable"}, 1);
  std::string result;
  bool first = true;
  for (const Value& element : iterate(runtime, given[0])) {
    if (element.if_string() == nullptr)
      runtime.fail_here("expected strings to join, seen ", kind_name(element));
    if (!first) append_text(runtime, result, object);
    first = false;
    append_text(runtime, result, element);
  }
  return runtime.text(std::move(result));
}

Value replace_method(Runtime& runtime, const Value& object, const Arguments& arguments) {
  const Parameters given(runtime, "replace", arguments, {"old", "new", "count"}, 2);
  const int64_t limit = given.integer(2, -1);
  return runtime.text(
      replace_text(runtime, text_of(object), given.string(0, ""), given.string(1, ""), limit));
}

constexpr std::array text_methods = {
    NamedMethod{"strip", [](Runtime& r, const Value& o, const Arguments& a) {
                  return strip_method(r, "strip", o, a, true, true);
                }},
    NamedMethod{"lstrip", [](Runtime& r, const Value& o, const Arguments& a) {
                  return strip_method(r, "lstrip", o, a, true, false);
                }},
    NamedMethod{"rstrip", [](Runtime& r, const Value& o, const Arguments& a) {
                  return strip_method(r, "rstrip", o, a, false, true);
                }},
    NamedMethod{"split", [](Runtime& r, const Value& o, const Arguments& a) {
                  return split_method(r, "split", o, a, false);
                }},
    NamedMethod{"rsplit", [](Runtime& r, const Value& o, const Arguments& a) {
                  return split_method(r, "rsplit", o, a, true);
                }},
    NamedMethod{"splitlines", split_lines},
    NamedMethod{"partition", [](Runtime& r, const Value& o, const Arguments& a) {
                  return partition(r, o, a, false);
                }},
    NamedMethod{"rpartition", [](Runtime& r, const Value& o, const Arguments& a) {
                  return partition(r, o, a, true);
                }},
    NamedMethod{"startswith", [](Runtime& r, const Value& o, const Arguments& a) {
                  return affix_method(r, "startswith", o, a, true);
                }},
    NamedMethod{"endswith", [](Runtime& r, const Value& o, const Arguments& a) {
                  return affix_method(r, "endswith", o, a, false);
                }},
    NamedMethod{"removeprefix", [](Runtime& r, const Value& o, const Arguments& a) {
                  const Parameters given(r, "removeprefix", a, {"prefix"}, 1);
                  const std::string_view text = text_of(o), affix = given.string(0, "");
                  return text.starts_with(affix) ? r.text(text.substr(affix.size())) : o;
                }},
    NamedMethod{"removesuffix", [](Runtime& r, const Value& o, const Arguments& a) {
                  const Parameters given(r, "removesuffix", a, {"suffix"}, 1);
                  const std::string_view text = text_of(o), affix = given.string(0, "");
                  return text.ends_with(affix) ? r.text(text.substr(0, text.size() - affix.size()))
                                               : o;
                }},
    NamedMethod{"find", [](Runtime& r, const Value& o, const Arguments& a) {
                  return find_method_of_text(r, "find", o, a, false, false);
                }},
    NamedMethod{"rfind", [](Runtime& r, const Value& o, const Arguments& a) {
                  return find_method_of_text(r, "rfind", o, a, true, false);
                }},
    NamedMethod{"index", [](Runtime& r, const Value& o, const Arguments& a) {
                  return find_method_of_text(r, "index", o, a, false, true);
                }},
    NamedMethod{"rindex", [](Runtime& r, const Value& o, const Arguments& a) {
                  return find_method_of_text(r, "rindex", o, a, true, true);
                }},
    NamedMethod{"count", count_method},
    NamedMethod{"replace", replace_method},
    NamedMethod{"join", join_method},
    NamedMethod{"format", [](Runtime& r, const Value& o, const Arguments& a) {
                  return r.text(format_braces(r, text_of(o), a));
                }},
    NamedMethod{"upper", [](Runtime& r, const Value& o, const Arguments& a) {
                  return mapped(r, o, a, "upper", to_upper);
                }},
    NamedMethod{"lower", [](Runtime& r, const Value& o, const Arguments& a) {
                  return mapped(r, o, a, "lower", to_lower);
                }},
    NamedMethod{"title", [](Runtime& r, const Value& o, const Arguments& a) {
                  return mapped(r, o, a, "title", to_title);
                }},
    NamedMethod{"capitalize", [](Runtime& r, const Value& o, const Arguments& a) {
                  return mapped(r, o, a, "capitalize", to_capitalized);
                }},
    NamedMethod{"center", [](Runtime& r, const Value& o, const Arguments& a) {
                  return pad_method(r, "center", o, a);
                }},
    NamedMethod{"ljust", [](Runtime& r, const Value& o, const Arguments& a) {
                  return pad_method(r, "ljust", o, a);
                }},
    NamedMethod{"rjust", [](Runtime& r, const Value& o, const Arguments& a) {
                  return pad_method(r, "rjust", o, a);
                }},
    NamedMethod{"zfill", [](Runtime& r, const Value& o, const Arguments& a) {
                  return pad_method(r, "zfill", o, a);
                }},
    NamedMethod{"isspace", [](Runtime& r, const Value& o, const Arguments& a) {
                  return all_characters(r, o, a, "isspace", is_space);
                }},
    NamedMethod{"isalpha", [](Runtime& r, const Value& o, const Arguments& a) {
                  return all_characters(r, o, a, "isalpha", is_letter);
                }},
    NamedMethod{"isdecimal", [](Runtime& r, const Value& o, const Arguments& a) {
                  return all_characters(r, o, a, "isdecimal", is_decimal_digit);
                }},
    NamedMethod{"isdigit", [](Runtime& r, const Value& o, const Arguments& a) {
                  return all_characters(r, o, a, "isdigit", is_decimal_digit);
                }},
    NamedMethod{"isalnum", [](Runtime& r, const Value& o, const Arguments& a) {
                  return all_characters(r, o, a, "isalnum", [](char32_t c) {
                    return is_letter(c) || is_decimal_digit(c);
                  });
                }},
    NamedMethod{"isupper", [](Runtime& r, const Value& o, const Arguments& a) {
                  return all_of_case(r, o, a, true);
                }},
    NamedMethod{"islower", [](Runtime& r, const Value& o, const Arguments& a) {
                  return all_of_case(r, o, a, false);
                }},
    NamedMethod{"isascii", [](Runtime& r, const Value& o, const Arguments& a) {
                  const Parameters given(r, "isascii", a, {}, 0);
                  r.charge_text(text_of(o).size());
                  return Value(is_ascii(text_of(o)));
                }},
};

Value view_of(Runtime& runtime, std::string_view name, const Value& object,
              const Arguments& arguments, Sequence::Flavor flavor) {
  const Parameters given(runtime, name, arguments, {}, 0);
  return dictionary_view(runtime, *object.if_dictionary(), flavor);
}

constexpr std::array dictionary_methods = {
    NamedMethod{"get",
                [](Runtime& r, const Value& o, const Arguments& a) {
                  const Parameters given(r, "get", a, {"key", "default"}, 1);
                  const Dictionary& dictionary = *o.if_dictionary();
                  if (!contains(r, o, given[0])) return given.has(1) ? given[1] : Value(None());
                  if (const std::string* key = given[0].if_string()) return *dictionary.find(*key);
                  return item(r, o, given[0]);
                }},
    NamedMethod{"keys",
                [](Runtime& r, const Value& o, const Arguments& a) {
                  return view_of(r, "keys", o, a, Sequence::Flavor::keys);
                }},
    NamedMethod{"values",
                [](Runtime& r, const Value& o, const Arguments& a) {
                  return view_of(r, "values", o, a, Sequence::Flavor::values);
                }},
    NamedMethod{"items",
                [](Runtime& r, const Value& o, const Arguments& a) {
                  return view_of(r, "items", o, a, Sequence::Flavor::items);
                }},
    NamedMethod{"copy",
                [](Runtime& r, const Value& o, const Arguments& a) {
                  const Parameters given(r, "copy", a, {}, 0);
                  return o; // it never changes
                }},
};

constexpr std::array sequence_methods = {
    NamedMethod{"index",
                [](Runtime& r, const Value& o, const Arguments& a) {
                  const Parameters given(r, "index", a, {"value"}, 1);
                  const std::vector<Value>& elements = o.if_sequence()->elements;
                  for (size_t i = 0; i < elements.size(); ++i)
                    if (equal(r, elements[i], given[0])) return Value(static_cast<int64_t>(i));
                  r.fail_here("the value is not in the list");
                }},
    NamedMethod{"count",
                [](Runtime& r, const Value& o, const Arguments& a) {
                  const Parameters given(r, "count", a, {"value"}, 1);
                  const std::vector<Value>& elements = o.if_sequence()->elements;
                  return Value(static_cast<int64_t>(
                      std::count_if(elements.begin(), elements.end(), [&](const Value& element) {
                        return equal(r, element, given[0]);
                      })));
                }},
    NamedMethod{"copy",
                [](Runtime& r, const Value& o, const Arguments& a) {
                  const Parameters given(r, "copy", a, {}, 0);
                  return o;
                }},
};

Method find_in(std::span<const NamedMethod> methods, std::string_view name) {
  const auto found = std::find_if(methods.begin(), methods.end(),
                                  [&](const NamedMethod& method) { return method.name == name; });
  return found == methods.end() ? nullptr : found->method;
}

constexpr std::array<std::string_view, 15> unoffered_methods = {
    "casefold",  "encode",      "expandtabs", "format_map",       "isidentifier",
    "isnumeric", "isprintable", "istitle",    "maketrans",        "swapcase",
    "translate", "fromkeys",    "bit_length", "as_integer_ratio", "is_integer"};

} // namespace

Method find_method(const Value& object, std::string_view name) {
  if (object.if_string() != nullptr) return find_in(text_methods, name);
  if (object.if_dictionary() != nullptr) return find_in(dictionary_methods, name);
  const Sequence* sequence = object.if_sequence();
  if (sequence == nullptr || !sequence->has_index()) return nullptr;
  if (name == "copy" && sequence->flavor != Sequence::Flavor::list) return nullptr;
  return find_in(sequence_methods, name);
}

bool is_known_method(std::string_view name) {
  return std::find(unoffered_methods.begin(), unoffered_methods.end(), name) !=
         unoffered_methods.end();
}

bool is_changing_method(const Value& object, std::string_view name) {
  constexpr std::array<std::string_view, 8> of_lists = {"append", "clear",  "extend",  "insert",
                                                        "pop",    "remove", "reverse", "sort"};
  constexpr std::array<std::string_view, 5> of_dictionaries = {"clear", "pop", "popitem",
                                                               "setdefault", "update"};
  if (object.if_dictionary() != nullptr)
    return std::find(of_dictionaries.begin(), of_dictionaries.end(), name) != of_dictionaries.end();
  const Sequence* sequence = object.if_sequence();
  return sequence != nullptr && sequence->flavor == Sequence::Flavor::list &&
         std::find(of_lists.begin(), of_lists.end(), name) != of_lists.end();
}

} // namespace anet::io::jinja
