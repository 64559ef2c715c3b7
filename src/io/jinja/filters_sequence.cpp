// Filters of lists and dictionaries, and those that apply other filters and tests.
#include "io/jinja/builtins.h"
#include "io/jinja/characters.h"
#include "io/jinja/operations.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_set>

namespace anet::io::jinja {
namespace {

constexpr auto generator = Sequence::Flavor::generator;

Value element_or(const Value& value, const Value* fallback) {
  return value.is_undefined() && fallback != nullptr ? *fallback : value;
}

// "a.0.b": an element of an element; a number alone may be one too.
Value attribute_path(Runtime& runtime, Value value, const Value& path, const Value* fallback) {
  if (path.if_integer() != nullptr) return element_or(item(runtime, value, path), fallback);
  const std::string* text = path.if_string();
  if (text == nullptr)
    runtime.fail_here("expected the name of an attribute, seen ", kind_name(path));
  for (size_t begin = 0; begin <= text->size();) {
    const size_t end = std::min(text->find('.', begin), text->size());
    const std::string part = text->substr(begin, end - begin);
    int64_t index = 0;
    const auto number = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool is_number = !part.empty() && part[0] != '-' && number.ec == std::errc() &&
                           number.ptr == part.data() + part.size();
    value = item(runtime, value, is_number ? Value(index) : runtime.text(part));
    value = element_or(value, fallback);
    begin = end + 1;
  }
  return value;
}

// Without its case, if case does not matter.
Value folded(Runtime& runtime, const Value& value, bool case_sensitive) {
  const std::string* text = value.if_string();
  if (case_sensitive || text == nullptr) return value;
  runtime.charge_text(8 * text->size());
  return runtime.text(to_lower(*text));
}

// What an element is compared by: itself, an attribute, or those that commas separate.
std::vector<Value> sort_keys(Runtime& runtime, const std::vector<Value>& elements,
                             const Value* path, bool case_sensitive) {
  std::vector<Value> keys;
  const std::string* text = path == nullptr ? nullptr : path->if_string();
  for (const Value& element : elements) {
    if (path == nullptr || path->is_none()) {
      keys.push_back(folded(runtime, element, case_sensitive));
    } else if (text == nullptr || text->find(',') == std::string::npos) {
      keys.push_back(
          folded(runtime, attribute_path(runtime, element, *path, nullptr), case_sensitive));
    } else {
      std::vector<Value> parts;
      for (size_t begin = 0; begin <= text->size();) {
        const size_t end = std::min(text->find(',', begin), text->size());
        const Value part = runtime.text(text->substr(begin, end - begin));
        parts.push_back(
            folded(runtime, attribute_path(runtime, element, part, nullptr), case_sensitive));
        begin = end + 1;
      }
      keys.push_back(runtime.list(std::move(parts)));
    }
  }
  return keys;
}

std::vector<Value> sorted(Runtime& runtime, const std::vector<Value>& elements,
                          const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(elements.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  // As Python: equal elements keep their order in reverse too.
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return reverse ? compare(runtime, keys[b], keys[a]) < 0
                   : compare(runtime, keys[a], keys[b]) < 0;
  });
  std::vector<Value> result;
  for (const size_t i : order) result.push_back(elements[i]);
  return result;
}

Value sort(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "sort", arguments,
                         {"value", "reverse", "case_sensitive", "attribute"}, 1);
  const std::vector<Value> elements = iterate(runtime, given[0]);
  const auto keys =
      sort_keys(runtime, elements, given.has(3) ? &given[3] : nullptr, given.truth(2, false));
  return runtime.list(sorted(runtime, elements, keys, given.truth(1, false)));
}

Value dictsort(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "dictsort", arguments,
                         {"value", "case_sensitive", "by", "reverse"}, 1);
  const std::string_view by = given.string(2, "key");
  const Dictionary* dictionary = given[0].if_dictionary();
  if (dictionary == nullptr) {
    if (given[0].is_undefined()) runtime.fail_undefined(given[0]);
    runtime.fail_here("expected a dictionary for dictsort, seen ", kind_name(given[0]));
  }
  if (by != "key" && by != "value")
    runtime.fail_here("expected 'key' or 'value' for dictsort, seen '", by.substr(0, 20), "'");
  const Value items = dictionary_view(runtime, *dictionary, Sequence::Flavor::items);
  const std::vector<Value>& elements = items.if_sequence()->elements;
  std::vector<Value> keys;
  for (const auto& [key, value] : dictionary->entries)
    keys.push_back(folded(runtime, by == "key" ? key : value, given.truth(1, false)));
  return runtime.list(sorted(runtime, elements, keys, given.truth(3, false)));
}

Value extreme(Runtime& runtime, const Arguments& arguments, std::string_view name, bool largest) {
  const Parameters given(runtime, name, arguments, {"value", "case_sensitive", "attribute"}, 1);
  const std::vector<Value> elements = iterate(runtime, given[0]);
  if (elements.empty()) return runtime.undefined("no aggregated item, the sequence was empty");
  const auto keys =
      sort_keys(runtime, elements, given.has(2) ? &given[2] : nullptr, given.truth(1, false));
  size_t best = 0;
  for (size_t i = 1; i < elements.size(); ++i) {
    const int order = compare(runtime, keys[i], keys[best]);
    if (largest ? order > 0 : order < 0) best = i;
  }
  return elements[best];
}

Value unique(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "unique", arguments, {"value", "case_sensitive", "attribute"}, 1);
  const std::vector<Value> elements = iterate(runtime, given[0]);
  const auto keys =
      sort_keys(runtime, elements, given.has(2) ? &given[2] : nullptr, given.truth(1, false));
  std::unordered_set<std::string_view> texts;
  std::vector<Value> others, result;
  for (size_t i = 0; i < elements.size(); ++i) {
    if (const std::string* text = keys[i].if_string()) {
      if (!texts.insert(*text).second) continue;
    } else {
      if (std::any_of(others.begin(), others.end(),
                      [&](const Value& other) { return equal(runtime, other, keys[i]); }))
        continue;
      others.push_back(keys[i]);
    }
    result.push_back(elements[i]);
  }
  return runtime.list(std::move(result), generator);
}

Value groupby(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "groupby", arguments,
                         {"value", "attribute", "default", "case_sensitive"}, 2);
  const bool case_sensitive = given.truth(3, false);
  const std::vector<Value> elements = iterate(runtime, given[0]);
  std::vector<Value> keys;
  for (const Value& element : elements)
    keys.push_back(folded(
        runtime, attribute_path(runtime, element, given[1], given.has(2) ? &given[2] : nullptr),
        case_sensitive));
  std::vector<Value> indices;
  for (size_t i = 0; i < elements.size(); ++i) indices.emplace_back(static_cast<int64_t>(i));
  std::vector<Value> groups;
  std::vector<Value> members;
  const std::vector<Value> order = sorted(runtime, indices, keys, false);
  for (size_t i = 0; i < order.size(); ++i) {
    const auto at = static_cast<size_t>(*order[i].if_integer());
    members.push_back(elements[at]);
    const bool last =
        i + 1 == order.size() ||
        !equal(runtime, keys[at], keys[static_cast<size_t>(*order[i + 1].if_integer())]);
    if (!last) continue;
    const Value first = members.front();
    const Value group = case_sensitive ? keys[at]
                                       : attribute_path(runtime, first, given[1],
                                                        given.has(2) ? &given[2] : nullptr);
    groups.push_back(
        runtime.list({group, runtime.list(std::move(members))}, Sequence::Flavor::tuple));
    members.clear();
  }
  return runtime.list(std::move(groups));
}

Value join(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "join", arguments, {"value", "d", "attribute"}, 1);
  const std::string separator = given.has(1) ? to_text(runtime, given[1]) : "";
  std::string result;
  bool first = true;
  for (const Value& element : iterate(runtime, given[0])) {
    if (!first) {
      runtime.charge_text(separator.size());
      runtime.check_text_size(result.size() + separator.size());
      result += separator;
    }
    first = false;
    append_text(runtime, result,
                given.is_none_or_missing(2) ? element
                                            : attribute_path(runtime, element, given[2], nullptr));
  }
  return runtime.text(std::move(result));
}

Value sum(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "sum", arguments, {"iterable", "attribute", "start"}, 1);
  Value total = given.has(2) ? given[2] : Value(int64_t{0});
  if (total.if_string() != nullptr) runtime.fail_here("expected numbers to sum, seen a string");
  for (const Value& element : iterate(runtime, given[0]))
    total =
        binary(runtime, BinaryOperator::add, total,
               given.is_none_or_missing(1) ? element
                                           : attribute_path(runtime, element, given[1], nullptr));
  return total;
}

Value first(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "first", arguments, {"seq"}, 1);
  const Sequence* sequence = given[0].if_sequence();
  if (sequence != nullptr) {
    if (sequence->next >= sequence->elements.size())
      return runtime.undefined("no first item, the sequence was empty");
    const Value& element = sequence->elements[sequence->next];
    if (!sequence->has_length()) ++sequence->next;
    return element;
  }
  const std::string* text = given[0].if_string();
  if (text != nullptr && !text->empty())
    return runtime.text(text->substr(0, character_size((*text)[0])));
  const std::vector<Value> elements = iterate(runtime, given[0]);
  return elements.empty() ? runtime.undefined("no first item, the sequence was empty")
                          : elements.front();
}

Value last(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "last", arguments, {"seq"}, 1);
  if (const Sequence* sequence = given[0].if_sequence();
      sequence != nullptr && !sequence->has_length())
    runtime.fail_here("expected a list for last, seen a generator");
  const std::vector<Value> elements = iterate(runtime, given[0]);
  return elements.empty() ? runtime.undefined("no last item, the sequence was empty")
                          : elements.back();
}

Value reverse(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "reverse", arguments, {"value"}, 1);
  std::vector<Value> elements = iterate(runtime, given[0]);
  std::reverse(elements.begin(), elements.end());
  if (given[0].if_string() == nullptr) return runtime.list(std::move(elements), generator);
  std::string text;
  for (const Value& character : elements) text += *character.if_string();
  return runtime.text(std::move(text));
}

Value items(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "items", arguments, {"value"}, 1);
  if (given[0].is_undefined()) return runtime.list({}, generator);
  const Dictionary* dictionary = given[0].if_dictionary();
  if (dictionary == nullptr)
    runtime.fail_here("expected a dictionary for items, seen ", kind_name(given[0]));
  const Value view = dictionary_view(runtime, *dictionary, Sequence::Flavor::items);
  return runtime.list(view.if_sequence()->elements, generator);
}

Value length(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "length", arguments, {"obj"}, 1);
  const auto result = length_of(runtime, given[0]);
  if (!result) runtime.fail_here("expected a value with a length, seen ", kind_name(given[0]));
  return Value(*result);
}

Value fallback(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "default", arguments, {"value", "default_value", "boolean"}, 1);
  const bool use = given[0].is_undefined() || (given.truth(2, false) && !truth(given[0]));
  if (!use) return given[0];
  return given.has(1) ? given[1] : runtime.text("");
}

// Rows of `size`; the last is filled up if there is something to fill with.
Value batch(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "batch", arguments, {"value", "linecount", "fill_with"}, 2);
  const int64_t size = given.integer(1, 1);
  if (size < 1) runtime.fail_here("expected a batch of at least 1, seen ", size);
  const std::vector<Value> elements = iterate(runtime, given[0]);
  std::vector<Value> rows, row;
  for (const Value& element : elements) {
    row.push_back(element);
    if (static_cast<int64_t>(row.size()) < size) continue;
    rows.push_back(runtime.list(std::move(row)));
    row.clear();
  }
  if (!row.empty()) {
    if (!given.is_none_or_missing(2)) {
      runtime.charge(size);
      row.resize(static_cast<size_t>(size), given[2]);
    }
    rows.push_back(runtime.list(std::move(row)));
  }
  return runtime.list(std::move(rows), generator);
}

// `arguments` without those before `first`, behind `element`.
Arguments applied_to(const Value& element, const Arguments& arguments, size_t first) {
  Arguments result;
  result.positional.push_back(element);
  result.positional.insert(result.positional.end(),
                           arguments.positional.begin() + static_cast<std::ptrdiff_t>(first),
                           arguments.positional.end());
  result.named = arguments.named;
  return result;
}

Value map(Runtime& runtime, const Arguments& arguments) {
  if (arguments.positional.empty()) runtime.fail_here("expected a list for map");
  std::vector<Value> result;
  if (arguments.positional.size() == 1) {
    const Parameters given(runtime, "map", arguments, {"value", "attribute", "default"}, 2);
    for (const Value& element : iterate(runtime, given[0]))
      result.push_back(
          attribute_path(runtime, element, given[1], given.has(2) ? &given[2] : nullptr));
    return runtime.list(std::move(result), generator);
  }
  const std::string* name = arguments.positional[1].if_string();
  const NativeFunction filter = name == nullptr ? nullptr : find_filter(*name);
  if (filter == nullptr)
    fail_at(runtime.position, Status::unsupported,
            concat("expected the name of a filter for map, seen '",
                   name == nullptr ? std::string(kind_name(arguments.positional[1]))
                                   : name->substr(0, 40),
                   "'"));
  for (const Value& element : iterate(runtime, arguments.positional[0])) {
    runtime.charge(1);
    result.push_back(filter(runtime, applied_to(element, arguments, 2)));
  }
  return runtime.list(std::move(result), generator);
}

// select, reject and their forms that look at an attribute.
Value choose(Runtime& runtime, const Arguments& arguments, bool keep, bool by_attribute) {
  const size_t test_at = by_attribute ? 2 : 1;
  if (arguments.positional.size() < test_at)
    runtime.fail_here("expected the name of an attribute to choose by");
  NativeFunction test = nullptr;
  if (arguments.positional.size() > test_at) {
    const std::string* name = arguments.positional[test_at].if_string();
    test = name == nullptr ? nullptr : find_test(*name);
    if (test == nullptr)
      fail_at(runtime.position, Status::unsupported,
              concat("expected the name of a test to choose by, seen '",
                     name == nullptr ? std::string(kind_name(arguments.positional[test_at]))
                                     : name->substr(0, 40),
                     "'"));
  }
  std::vector<Value> result;
  for (const Value& element : iterate(runtime, arguments.positional[0])) {
    runtime.charge(1);
    const Value subject =
        by_attribute ? attribute_path(runtime, element, arguments.positional[1], nullptr) : element;
    const bool passes = test == nullptr
                            ? truth(subject)
                            : truth(test(runtime, applied_to(subject, arguments, test_at + 1)));
    if (passes == keep) result.push_back(element);
  }
  return runtime.list(std::move(result), generator);
}

constexpr std::array filters = {
    NamedFunction{"sort", sort},
    NamedFunction{"dictsort", dictsort},
    NamedFunction{"unique", unique},
    NamedFunction{"groupby", groupby},
    NamedFunction{"join", join},
    NamedFunction{"sum", sum},
    NamedFunction{"first", first},
    NamedFunction{"last", last},
    NamedFunction{"reverse", reverse},
    NamedFunction{"items", items},
    NamedFunction{"length", length},
    NamedFunction{"count", length},
    NamedFunction{"default", fallback},
    NamedFunction{"d", fallback},
    NamedFunction{"batch", batch},
    NamedFunction{"map", map},
    NamedFunction{"max", [](Runtime& r, const Arguments& a) { return extreme(r, a, "max", true); }},
    NamedFunction{"min",
                  [](Runtime& r, const Arguments& a) { return extreme(r, a, "min", false); }},
    NamedFunction{"list",
                  [](Runtime& r, const Arguments& a) {
                    const Parameters given(r, "list", a, {"value"}, 1);
                    return r.list(iterate(r, given[0]));
                  }},
    NamedFunction{"attr",
                  [](Runtime& r, const Arguments& a) {
                    const Parameters given(r, "attr", a, {"obj", "name"}, 2);
                    const Value found = attribute(r, given[0], std::string(given.string(1, "")));
                    // Attributes alone: a dictionary's elements are none.
                    return given[0].if_dictionary() != nullptr && found.if_callable() == nullptr
                               ? r.undefined("no such attribute")
                               : found;
                  }},
    NamedFunction{"select",
                  [](Runtime& r, const Arguments& a) { return choose(r, a, true, false); }},
    NamedFunction{"reject",
                  [](Runtime& r, const Arguments& a) { return choose(r, a, false, false); }},
    NamedFunction{"selectattr",
                  [](Runtime& r, const Arguments& a) { return choose(r, a, true, true); }},
    NamedFunction{"rejectattr",
                  [](Runtime& r, const Arguments& a) { return choose(r, a, false, true); }},
};

} // namespace

std::span<const NamedFunction> detail::sequence_filters() { return filters; }

NativeFunction detail::find_named(std::span<const NamedFunction> functions, std::string_view name) {
  const auto found = std::find_if(functions.begin(), functions.end(),
                                  [&](const NamedFunction& known) { return known.name == name; });
  return found == functions.end() ? nullptr : found->function;
}

NativeFunction find_filter(std::string_view name) {
  const NativeFunction filter = detail::find_named(detail::text_filters(), name);
  return filter != nullptr ? filter : detail::find_named(detail::sequence_filters(), name);
}

} // namespace anet::io::jinja
