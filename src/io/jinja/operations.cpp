#include "io/jinja/operations.h"

#include "io/jinja/callable.h"
#include "io/jinja/characters.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace anet::io::jinja {
namespace {

// Of a boolean or an integer.
std::optional<int64_t> whole(const Value& value) {
  if (const int64_t* integer = value.if_integer()) return *integer;
  if (const bool* boolean = value.if_boolean()) return *boolean ? 1 : 0;
  return std::nullopt;
}

double real(const Value& value) {
  if (const double* floating = value.if_floating()) return *floating;
  return static_cast<double>(whole(value).value_or(0));
}

// Numbers without the rounding of large integers to doubles.
int compare_numbers(const Value& a, const Value& b) {
  const auto x = whole(a), y = whole(b);
  if (x && y) return *x < *y ? -1 : *x > *y ? 1 : 0;
  if (!x && !y) {
    const double p = real(a), q = real(b);
    return p < q ? -1 : p > q ? 1 : 0;
  }
  if (!x) return -compare_numbers(b, a);
  const double q = real(b);
  if (q >= 9223372036854775808.0) return -1;
  if (q < -9223372036854775808.0) return 1;
  const double floor = std::floor(q);
  const auto integer = static_cast<int64_t>(floor);
  if (*x != integer) return *x < integer ? -1 : 1;
  return q > floor ? -1 : 0;
}

bool is_nan(const Value& value) {
  const double* floating = value.if_floating();
  return floating != nullptr && std::isnan(*floating);
}

bool equal_sequences(Runtime& runtime, const Sequence& a, const Sequence& b) {
  if (a.flavor != b.flavor || !a.has_length()) return &a == &b;
  if (a.elements.size() != b.elements.size()) return false;
  for (size_t i = 0; i < a.elements.size(); ++i)
    if (!equal(runtime, a.elements[i], b.elements[i])) return false;
  return true;
}

const Value* find_key(Runtime& runtime, const Dictionary& dictionary, const Value& key) {
  if (dictionary.index.empty()) runtime.charge_elements(dictionary.entries.size() / 8);
  if (const std::string* text = key.if_string()) return dictionary.find(*text);
  for (const auto& [name, value] : dictionary.entries)
    if (equal(runtime, name, key)) return &value;
  return nullptr;
}

bool equal_dictionaries(Runtime& runtime, const Dictionary& a, const Dictionary& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = find_key(runtime, b, key);
    if (other == nullptr || !equal(runtime, value, *other)) return false;
  }
  return true;
}

constexpr const char* operator_texts[] = {"+", "-", "*", "/", "//", "%", "**"};

[[noreturn]] void fail_operands(const Runtime& runtime, const char* spelling, const Value& a,
                                const Value& b) {
  if (a.is_undefined()) runtime.fail_undefined(a);
  if (b.is_undefined()) runtime.fail_undefined(b);
  runtime.fail_here("expected operands that fit '", spelling, "', seen ", kind_name(a), " and ",
                    kind_name(b));
}

[[noreturn]] void fail_overflow(const Runtime& runtime) {
  runtime.fail_here("expected an integer of 64 bits, seen a larger result");
}

int64_t power(const Runtime& runtime, int64_t base, int64_t exponent) {
  int64_t result = 1;
  // At most 63 doublings change the result unless the base is 0, 1 or -1.
  if (base == 0 || base == 1) return exponent == 0 ? 1 : base;
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  for (; exponent > 0; --exponent)
    if (__builtin_mul_overflow(result, base, &result)) fail_overflow(runtime);
  return result;
}

Value whole_binary(const Runtime& runtime, BinaryOperator operation, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  switch (operation) {
  case BinaryOperator::add:
    overflow = __builtin_add_overflow(a, b, &result);
    break;
  case BinaryOperator::subtract:
    overflow = __builtin_sub_overflow(a, b, &result);
    break;
  case BinaryOperator::multiply:
    overflow = __builtin_mul_overflow(a, b, &result);
    break;
  case BinaryOperator::power:
    if (b < 0) {
      if (a == 0) runtime.fail_here("division by zero");
      return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
    }
    return Value(power(runtime, a, b));
  default:
    if (b == 0) runtime.fail_here("division by zero");
    if (operation == BinaryOperator::divide)
      return Value(static_cast<double>(a) / static_cast<double>(b));
    if (b == -1) { // the one quotient that may not fit
      if (operation == BinaryOperator::modulo) return Value(int64_t{0});
      overflow = __builtin_sub_overflow(int64_t{0}, a, &result);
      break;
    }
    int64_t quotient = a / b, remainder = a % b;
    if (remainder != 0 && (remainder < 0) != (b < 0)) {
      --quotient;
      remainder += b;
    }
    result = operation == BinaryOperator::modulo ? remainder : quotient;
  }
  if (overflow) fail_overflow(runtime);
  return Value(result);
}

Value real_binary(const Runtime& runtime, BinaryOperator operation, double a, double b) {
  switch (operation) {
  case BinaryOperator::add:
    return Value(a + b);
  case BinaryOperator::subtract:
    return Value(a - b);
  case BinaryOperator::multiply:
    return Value(a * b);
  case BinaryOperator::power: {
    if (a == 0 && b < 0) runtime.fail_here("division by zero");
    const double result = std::pow(a, b);
    if (std::isnan(result) && !std::isnan(a) && !std::isnan(b))
      runtime.fail_here("complex numbers are not offered");
    if (std::isinf(result) && std::isfinite(a) && std::isfinite(b))
      runtime.fail_here("the result of '**' is too large");
    return Value(result);
  }
  default:
    break;
  }
  if (b == 0) runtime.fail_here("division by zero");
  if (operation == BinaryOperator::divide) return Value(a / b);
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0) {
    if ((b < 0) != (remainder < 0)) {
      remainder += b;
      quotient -= 1;
    }
  } else {
    remainder = std::copysign(0.0, b);
  }
  if (operation == BinaryOperator::modulo) return Value(remainder);
  if (quotient == 0) return Value(std::copysign(0.0, a / b));
  const double floor = std::floor(quotient);
  return Value(quotient - floor > 0.5 ? floor + 1 : floor);
}

Value repeat(Runtime& runtime, const Value& value, int64_t count) {
  count = std::max<int64_t>(count, 0);
  const std::string* text = value.if_string();
  const Sequence* sequence = value.if_sequence();
  const auto size =
      static_cast<int64_t>(text != nullptr ? text->size() : sequence->elements.size());
  int64_t total = 0;
  if (__builtin_mul_overflow(size, count, &total)) total = std::numeric_limits<int64_t>::max();
  if (size == 0) count = 0;
  if (text != nullptr) {
    runtime.check_text_size(static_cast<size_t>(total));
    runtime.charge_text(static_cast<size_t>(total));
    std::string result;
    result.reserve(static_cast<size_t>(total));
    for (; count > 0; --count) result += *text;
    return runtime.text(std::move(result));
  }
  runtime.charge(total);
  std::vector<Value> elements;
  elements.reserve(static_cast<size_t>(total));
  for (; count > 0; --count)
    elements.insert(elements.end(), sequence->elements.begin(), sequence->elements.end());
  return runtime.list(std::move(elements), sequence->flavor);
}

bool can_repeat(const Value& value) {
  const Sequence* sequence = value.if_sequence();
  return value.if_string() != nullptr ||
         (sequence != nullptr && (sequence->flavor == Sequence::Flavor::list ||
                                  sequence->flavor == Sequence::Flavor::tuple));
}

Value add_others(Runtime& runtime, const Value& a, const Value& b) {
  if (const std::string* x = a.if_string(), *y = b.if_string(); x != nullptr && y != nullptr) {
    runtime.check_text_size(x->size() + y->size());
    runtime.charge_text(x->size() + y->size());
    return runtime.text(*x + *y);
  }
  const Sequence *x = a.if_sequence(), *y = b.if_sequence();
  if (x == nullptr || y == nullptr || x->flavor != y->flavor || !can_repeat(a))
    fail_operands(runtime, "+", a, b);
  runtime.charge_elements(x->elements.size() + y->elements.size());
  std::vector<Value> elements = x->elements;
  elements.insert(elements.end(), y->elements.begin(), y->elements.end());
  return runtime.list(std::move(elements), x->flavor);
}

} // namespace

bool truth(const Value& value) {
  if (const bool* boolean = value.if_boolean()) return *boolean;
  if (const int64_t* integer = value.if_integer()) return *integer != 0;
  if (const double* floating = value.if_floating()) return *floating != 0;
  if (const std::string* text = value.if_string()) return !text->empty();
  if (const Sequence* sequence = value.if_sequence())
    return !sequence->has_length() || !sequence->elements.empty();
  if (const Dictionary* dictionary = value.if_dictionary()) return !dictionary->entries.empty();
  return !value.is_undefined() && !value.is_none();
}

bool equal(Runtime& runtime, const Value& a, const Value& b) {
  runtime.charge(1);
  if (a.is_number() && b.is_number()) return !is_nan(a) && !is_nan(b) && compare_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
  case Value::Kind::undefined:
  case Value::Kind::none:
    return true;
  case Value::Kind::string:
    runtime.charge_elements(std::min(a.if_string()->size(), b.if_string()->size()) / 256);
    return *a.if_string() == *b.if_string();
  case Value::Kind::sequence:
    return equal_sequences(runtime, *a.if_sequence(), *b.if_sequence());
  case Value::Kind::dictionary:
    return equal_dictionaries(runtime, *a.if_dictionary(), *b.if_dictionary());
  default:
    return a.identity() == b.identity();
  }
}

int compare(Runtime& runtime, const Value& a, const Value& b) {
  runtime.charge(1);
  if (a.is_number() && b.is_number()) return compare_numbers(a, b);
  if (const std::string* x = a.if_string(), *y = b.if_string(); x != nullptr && y != nullptr) {
    runtime.charge_elements(std::min(x->size(), y->size()) / 256);
    return x->compare(*y); // UTF-8 sorts as its characters do
  }
  const Sequence *x = a.if_sequence(), *y = b.if_sequence();
  if (x == nullptr || y == nullptr || x->flavor != y->flavor || !can_repeat(a))
    fail_operands(runtime, "<", a, b);
  const size_t common = std::min(x->elements.size(), y->elements.size());
  for (size_t i = 0; i < common; ++i)
    if (!equal(runtime, x->elements[i], y->elements[i]))
      return compare(runtime, x->elements[i], y->elements[i]);
  return x->elements.size() < y->elements.size() ? -1 : x->elements.size() > y->elements.size();
}

bool contains(Runtime& runtime, const Value& container, const Value& element) {
  if (const std::string* text = container.if_string()) {
    const std::string* part = element.if_string();
    if (part == nullptr) {
      if (element.is_undefined()) runtime.fail_undefined(element);
      runtime.fail_here("expected a string to look for in a string, seen ", kind_name(element));
    }
    runtime.charge_text(text->size());
    return find_text(*text, *part) != std::string_view::npos;
  }
  if (const Dictionary* dictionary = container.if_dictionary()) {
    if (element.if_dictionary() != nullptr ||
        (element.if_sequence() != nullptr &&
         element.if_sequence()->flavor == Sequence::Flavor::list))
      runtime.fail_here("expected what can be a key of a dictionary, seen ", kind_name(element));
    return find_key(runtime, *dictionary, element) != nullptr;
  }
  const Sequence* sequence = container.if_sequence();
  if (sequence == nullptr) {
    if (container.is_undefined()) return false;
    runtime.fail_here("expected a container behind 'in', seen ", kind_name(container));
  }
  const std::vector<Value>& elements = sequence->elements;
  size_t at = sequence->next;
  while (at < elements.size() && !equal(runtime, elements[at], element)) ++at;
  const bool found = at < elements.size();
  if (!sequence->has_length()) sequence->next = at + (found ? 1 : 0);
  return found;
}

std::optional<int64_t> length_of(Runtime& runtime, const Value& value) {
  const auto count = [](size_t size) { return static_cast<int64_t>(size); };
  if (value.is_undefined()) return 0;
  if (const std::string* text = value.if_string()) {
    runtime.charge_text(text->size());
    return count(count_characters(*text));
  }
  if (const Dictionary* dictionary = value.if_dictionary())
    return count(dictionary->entries.size());
  if (const LoopState* loop = value.if_loop()) return count(loop->elements.size());
  const Sequence* sequence = value.if_sequence();
  if (sequence == nullptr || !sequence->has_length()) return std::nullopt;
  return count(sequence->elements.size());
}

bool is_iterable(const Value& value) {
  return value.is_undefined() || value.if_string() != nullptr || value.if_sequence() != nullptr ||
         value.if_dictionary() != nullptr || value.if_loop() != nullptr;
}

std::vector<Value> iterate(Runtime& runtime, const Value& value) {
  std::vector<Value> elements;
  if (const Sequence* sequence = value.if_sequence()) {
    runtime.charge_elements(sequence->elements.size() - sequence->next);
    elements.assign(sequence->elements.begin() + static_cast<std::ptrdiff_t>(sequence->next),
                    sequence->elements.end());
    if (!sequence->has_length()) sequence->next = sequence->elements.size();
  } else if (const Dictionary* dictionary = value.if_dictionary()) {
    runtime.charge_elements(dictionary->entries.size());
    for (const auto& entry : dictionary->entries) elements.push_back(entry.first);
  } else if (const std::string* text = value.if_string()) {
    for (size_t i = 0; i < text->size(); i += character_size((*text)[i]))
      elements.push_back(runtime.text(text->substr(i, character_size((*text)[i]))));
  } else if (!value.is_undefined()) {
    runtime.fail_here("expected something to go through, seen ", kind_name(value));
  }
  return elements;
}

Value binary(Runtime& runtime, BinaryOperator operation, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    const auto x = whole(a), y = whole(b);
    return x && y ? whole_binary(runtime, operation, *x, *y)
                  : real_binary(runtime, operation, real(a), real(b));
  }
  if (operation == BinaryOperator::modulo && a.if_string() != nullptr) {
    if (b.is_undefined()) runtime.fail_undefined(b);
    return runtime.text(format_percent(runtime, *a.if_string(), b));
  }
  if (operation == BinaryOperator::add) return add_others(runtime, a, b);
  if (operation == BinaryOperator::multiply) {
    if (can_repeat(a) && whole(b)) return repeat(runtime, a, *whole(b));
    if (can_repeat(b) && whole(a)) return repeat(runtime, b, *whole(a));
  }
  fail_operands(runtime, operator_texts[static_cast<size_t>(operation)], a, b);
}

Value negate(Runtime& runtime, const Value& value) {
  if (const double* floating = value.if_floating()) return Value(-*floating);
  const auto integer = whole(value);
  if (!integer) {
    if (value.is_undefined()) runtime.fail_undefined(value);
    runtime.fail_here("expected a number behind '-', seen ", kind_name(value));
  }
  return whole_binary(runtime, BinaryOperator::subtract, 0, *integer);
}

Value slice(Runtime& runtime, const Value& object, const SliceBounds& bounds) {
  const std::string* text = object.if_string();
  const Sequence* sequence = object.if_sequence();
  if (text == nullptr && (sequence == nullptr || !sequence->has_index())) {
    if (object.is_undefined()) runtime.fail_undefined(object);
    // A slice is no key, which a subscript turns into an undefined value.
    return runtime.undefined(concat(kind_name(object), " has no slices"));
  }
  const int64_t length = length_of(runtime, object).value();
  const int64_t step = bounds.step.value_or(1);
  if (step == 0) runtime.fail_here("expected a slice with a step other than 0");
  const auto clamp = [&](int64_t at) {
    if (at < 0) at = at < -length ? -1 : at + length;
    return step < 0 ? std::clamp<int64_t>(at, -1, length - 1) : std::clamp<int64_t>(at, 0, length);
  };
  const int64_t start = bounds.start ? clamp(*bounds.start) : step < 0 ? length - 1 : 0;
  const int64_t stop = bounds.stop ? clamp(*bounds.stop) : step < 0 ? -1 : length;
  if (text != nullptr && step == 1) {
    if (start >= stop) return runtime.text("");
    const size_t begin = offset_of(*text, static_cast<size_t>(start));
    const std::string_view rest = std::string_view(*text).substr(begin);
    return runtime.text(rest.substr(0, offset_of(rest, static_cast<size_t>(stop - start))));
  }
  std::vector<Value> characters;
  if (text != nullptr) characters = iterate(runtime, object);
  const std::vector<Value>& elements = text != nullptr ? characters : sequence->elements;
  std::vector<Value> chosen;
  // The step may be larger than what is left.
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    chosen.push_back(elements[static_cast<size_t>(i)]);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  if (text == nullptr) return runtime.list(std::move(chosen), sequence->flavor);
  std::string joined;
  for (const Value& character : chosen) joined += *character.if_string();
  return runtime.text(std::move(joined));
}

std::string replace_text(Runtime& runtime, std::string_view text, std::string_view old,
                         std::string_view replacement, int64_t limit) {
  runtime.charge_text(text.size());
  if (limit < 0) limit = std::numeric_limits<int64_t>::max();
  std::string result;
  const auto append = [&](std::string_view part) {
    runtime.charge_text(part.size());
    runtime.check_text_size(result.size() + part.size());
    result += part;
  };
  size_t at = 0;
  for (; limit > 0; --limit) {
    const size_t found = old.empty() ? at : find_text(text, old, at);
    if (found == std::string_view::npos) break;
    append(text.substr(at, found - at));
    append(replacement);
    at = found + old.size();
    if (!old.empty()) continue;
    if (at == text.size()) return result;
    const size_t length = character_size(text[at]);
    append(text.substr(at, length));
    at += length;
  }
  append(text.substr(at));
  return result;
}

Value dictionary_view(Runtime& runtime, const Dictionary& dictionary, Sequence::Flavor flavor) {
  std::vector<Value> elements;
  elements.reserve(dictionary.entries.size());
  for (const auto& [key, value] : dictionary.entries) {
    if (flavor == Sequence::Flavor::items)
      elements.push_back(runtime.list({key, value}, Sequence::Flavor::tuple));
    else
      elements.push_back(flavor == Sequence::Flavor::keys ? key : value);
  }
  return runtime.list(std::move(elements), flavor);
}

} // namespace anet::io::jinja
