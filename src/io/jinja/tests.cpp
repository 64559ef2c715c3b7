// What stands behind `is`, and the functions.
#include "io/jinja/builtins.h"
#include "io/jinja/characters.h"
#include "io/jinja/operations.h"

#include <algorithm>
#include <array>
#include <ctime>

namespace anet::io::jinja {
namespace {

const Value& subject_of(Runtime& runtime, const Arguments& arguments) {
  return Parameters(runtime, "a test", arguments, {"value"}, 1)[0];
}

template <Value::Kind kind>
Value is_kind(Runtime& runtime, const Arguments& arguments) {
  return Value(subject_of(runtime, arguments).kind() == kind);
}

template <typename Compare>
Value compared(Runtime& runtime, const Arguments& arguments, Compare compare_values) {
  const Parameters given(runtime, "a comparison", arguments, {"a", "b"}, 2);
  return Value(compare_values(given[0], given[1]));
}

// NaN is neither below nor above anything.
bool ordered(const Value& a, const Value& b) {
  const auto is_nan = [](const Value& value) {
    return value.if_floating() != nullptr && *value.if_floating() != *value.if_floating();
  };
  return !is_nan(a) && !is_nan(b);
}

Value is_case(Runtime& runtime, const Arguments& arguments, bool upper) {
  const Value text = runtime.text(to_text(runtime, subject_of(runtime, arguments)));
  return find_method(text, upper ? "isupper" : "islower")(runtime, text, {});
}

Value parity(Runtime& runtime, const Arguments& arguments, int64_t remainder) {
  const Value rest =
      binary(runtime, BinaryOperator::modulo, subject_of(runtime, arguments), Value(int64_t{2}));
  return Value(equal(runtime, rest, Value(remainder)));
}

Value same_as(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "sameas", arguments, {"value", "other"}, 2);
  if (given[0].kind() != given[1].kind()) return Value(false);
  const void* identity = given[0].identity();
  if (identity != nullptr && given[0].if_string() == nullptr)
    return Value(identity == given[1].identity());
  return Value(equal(runtime, given[0], given[1]));
}

Value is_sequence(Runtime& runtime, const Arguments& arguments) {
  const Value& value = subject_of(runtime, arguments);
  const Sequence* sequence = value.if_sequence();
  return Value(value.is_undefined() || value.if_string() != nullptr ||
               value.if_dictionary() != nullptr || (sequence != nullptr && sequence->has_index()));
}

constexpr auto eq = [](Runtime& r, const Arguments& a) {
  return compared(r, a, [&](const Value& x, const Value& y) { return equal(r, x, y); });
};
constexpr auto ne = [](Runtime& r, const Arguments& a) {
  return compared(r, a, [&](const Value& x, const Value& y) { return !equal(r, x, y); });
};
constexpr auto lt = [](Runtime& r, const Arguments& a) {
  return compared(
      r, a, [&](const Value& x, const Value& y) { return compare(r, x, y) < 0 && ordered(x, y); });
};
constexpr auto le = [](Runtime& r, const Arguments& a) {
  return compared(
      r, a, [&](const Value& x, const Value& y) { return compare(r, x, y) <= 0 && ordered(x, y); });
};
constexpr auto gt = [](Runtime& r, const Arguments& a) {
  return compared(
      r, a, [&](const Value& x, const Value& y) { return compare(r, x, y) > 0 && ordered(x, y); });
};
constexpr auto ge = [](Runtime& r, const Arguments& a) {
  return compared(
      r, a, [&](const Value& x, const Value& y) { return compare(r, x, y) >= 0 && ordered(x, y); });
};

constexpr std::array tests = {
    NamedFunction{
        "defined",
        [](Runtime& r, const Arguments& a) { return Value(!subject_of(r, a).is_undefined()); }},
    NamedFunction{"undefined", is_kind<Value::Kind::undefined>},
    NamedFunction{"none", is_kind<Value::Kind::none>},
    NamedFunction{"boolean", is_kind<Value::Kind::boolean>},
    NamedFunction{"integer", is_kind<Value::Kind::integer>},
    NamedFunction{"float", is_kind<Value::Kind::floating>},
    NamedFunction{"string", is_kind<Value::Kind::string>},
    NamedFunction{"mapping", is_kind<Value::Kind::dictionary>},
    NamedFunction{"callable",
                  [](Runtime& r, const Arguments& a) {
                    const Value& value = subject_of(r, a);
                    return Value(value.if_callable() != nullptr || value.if_loop() != nullptr ||
                                 value.is_undefined());
                  }},
    NamedFunction{"number", [](Runtime& r,
                               const Arguments& a) { return Value(subject_of(r, a).is_number()); }},
    NamedFunction{
        "iterable",
        [](Runtime& r, const Arguments& a) { return Value(is_iterable(subject_of(r, a))); }},
    NamedFunction{"sequence", is_sequence},
    NamedFunction{"true",
                  [](Runtime& r, const Arguments& a) {
                    const bool* value = subject_of(r, a).if_boolean();
                    return Value(value != nullptr && *value);
                  }},
    NamedFunction{"false",
                  [](Runtime& r, const Arguments& a) {
                    const bool* value = subject_of(r, a).if_boolean();
                    return Value(value != nullptr && !*value);
                  }},
    NamedFunction{"upper", [](Runtime& r, const Arguments& a) { return is_case(r, a, true); }},
    NamedFunction{"lower", [](Runtime& r, const Arguments& a) { return is_case(r, a, false); }},
    NamedFunction{"even", [](Runtime& r, const Arguments& a) { return parity(r, a, 0); }},
    NamedFunction{"odd", [](Runtime& r, const Arguments& a) { return parity(r, a, 1); }},
    NamedFunction{"divisibleby",
                  [](Runtime& r, const Arguments& a) {
                    const Parameters given(r, "divisibleby", a, {"value", "num"}, 2);
                    return Value(equal(r, binary(r, BinaryOperator::modulo, given[0], given[1]),
                                       Value(int64_t{0})));
                  }},
    NamedFunction{"in",
                  [](Runtime& r, const Arguments& a) {
                    const Parameters given(r, "in", a, {"value", "seq"}, 2);
                    return Value(contains(r, given[1], given[0]));
                  }},
    NamedFunction{"sameas", same_as},
    NamedFunction{"escaped",
                  [](Runtime& r, const Arguments& a) {
                    subject_of(r, a);
                    return Value(false);
                  }},
    NamedFunction{"filter",
                  [](Runtime& r, const Arguments& a) {
                    const std::string* name = subject_of(r, a).if_string();
                    return Value(name != nullptr && find_filter(*name) != nullptr);
                  }},
    NamedFunction{"test",
                  [](Runtime& r, const Arguments& a) {
                    const std::string* name = subject_of(r, a).if_string();
                    return Value(name != nullptr && find_test(*name) != nullptr);
                  }},
    NamedFunction{"eq", eq},
    NamedFunction{"==", eq},
    NamedFunction{"equalto", eq},
    NamedFunction{"ne", ne},
    NamedFunction{"!=", ne},
    NamedFunction{"lt", lt},
    NamedFunction{"<", lt},
    NamedFunction{"lessthan", lt},
    NamedFunction{"le", le},
    NamedFunction{"<=", le},
    NamedFunction{"gt", gt},
    NamedFunction{">", gt},
    NamedFunction{"greaterthan", gt},
    NamedFunction{"ge", ge},
    NamedFunction{">=", ge},
};

// --- Functions -----------------------------------------------------------------------------------

// The sandbox of Jinja has this limit.
constexpr int64_t longest_range = 100'000;

Value range(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "range", arguments, {"start", "stop", "step"}, 1);
  const int64_t start = given.has(1) ? given.integer(0, 0) : 0;
  const int64_t stop = given.has(1) ? given.integer(1, 0) : given.integer(0, 0);
  const int64_t step = given.integer(2, 1);
  if (step == 0) runtime.fail_here("expected a range with a step other than 0");
  std::vector<Value> elements;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(elements.size()) >= longest_range)
      runtime.fail_here("expected a range of at most ", longest_range, " numbers");
    elements.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return runtime.list(std::move(elements), Sequence::Flavor::range);
}

// dict(mapping or pairs, **names) and what namespace() takes, which is the same.
std::vector<std::pair<Value, Value>> dictionary_entries(Runtime& runtime, std::string_view name,
                                                        const Arguments& arguments) {
  if (arguments.positional.size() > 1)
    runtime.fail_here("expected at most 1 positional argument for ", name);
  std::vector<std::pair<Value, Value>> entries;
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (const Dictionary* dictionary = source.if_dictionary()) {
      entries = dictionary->entries;
    } else {
      for (const Value& element : iterate(runtime, source)) {
        const std::vector<Value> pair = iterate(runtime, element);
        if (pair.size() != 2)
          runtime.fail_here("expected pairs for ", name, ", seen ", pair.size(), " elements");
        entries.emplace_back(pair[0], pair[1]);
      }
    }
  }
  for (const auto& [key, value] : arguments.named) entries.emplace_back(runtime.text(key), value);
  return entries;
}

Value make_namespace(Runtime& runtime, const Arguments& arguments) {
  const Value unique = runtime.dictionary(dictionary_entries(runtime, "namespace", arguments));
  std::vector<std::pair<std::string, Value>> attributes;
  for (const auto& [key, value] : unique.if_dictionary()->entries) {
    if (key.if_string() == nullptr)
      runtime.fail_here("expected names for namespace, seen ", kind_name(key));
    attributes.emplace_back(*key.if_string(), value);
  }
  return runtime.name_space(std::move(attributes));
}

[[noreturn]] Value raise_exception(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "raise_exception", arguments, {"message"}, 1);
  throw Error(Status::invalid_data, to_text(runtime, given[0]),
              ErrorDetail{.domain = "jinja",
                          .line = runtime.position.line,
                          .column = runtime.position.column});
}

Value strftime_now(Runtime& runtime, const Arguments& arguments) {
  const Parameters given(runtime, "strftime_now", arguments, {"format"}, 1);
  std::tm date{};
  if (runtime.options().now) {
    date = *runtime.options().now;
  } else {
    const std::time_t now = std::time(nullptr);
    if (localtime_r(&now, &date) == nullptr) runtime.fail_here("the time is not known");
  }
  return runtime.text(format_date(runtime, given.string(0, ""), date));
}

constexpr std::array functions = {
    NamedFunction{"range", range},
    NamedFunction{"dict",
                  [](Runtime& r, const Arguments& a) {
                    return r.dictionary(dictionary_entries(r, "dict", a));
                  }},
    NamedFunction{"namespace", make_namespace},
    NamedFunction{"raise_exception", raise_exception},
    NamedFunction{"strftime_now", strftime_now},
};

} // namespace

NativeFunction find_test(std::string_view name) { return detail::find_named(tests, name); }
NativeFunction find_function(std::string_view name) { return detail::find_named(functions, name); }

bool is_known_function(std::string_view name) {
  return name == "lipsum" || name == "cycler" || name == "joiner";
}

} // namespace anet::io::jinja
