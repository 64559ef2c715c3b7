#include "io/jinja/runtime.h"

#include "io/jinja/callable.h"
#include "io/jinja/operations.h"

#include <algorithm>

namespace anet::io::jinja {
namespace {

constexpr size_t indexed_entries = 16; // a dictionary of more has an index

// What may be a key: hash() of the others fails.
bool is_hashable(const Value& value) {
  if (value.if_dictionary() != nullptr) return false;
  const Sequence* sequence = value.if_sequence();
  if (sequence == nullptr || sequence->flavor == Sequence::Flavor::range ||
      sequence->flavor == Sequence::Flavor::generator)
    return true;
  return sequence->flavor == Sequence::Flavor::tuple &&
         std::all_of(sequence->elements.begin(), sequence->elements.end(), is_hashable);
}

} // namespace

int32_t depth_of(const Value& value) {
  if (const Sequence* sequence = value.if_sequence()) return sequence->depth;
  if (const Dictionary* dictionary = value.if_dictionary()) return dictionary->depth;
  if (const Callable* callable = value.if_callable()) return callable->value_depth;
  if (const LoopState* loop = value.if_loop()) return loop->value_depth;
  return value.if_namespace() != nullptr ? 1 : 0; // the rendering takes these apart
}

int32_t Runtime::depth_of_elements(const std::vector<Value>& elements) const {
  int32_t depth = 0;
  for (const Value& element : elements) depth = std::max(depth, depth_of(element));
  check_depth(depth + 1);
  return depth;
}

void Runtime::fail_steps() const {
  fail_here("more work than the limit of ", limits().steps, " steps");
}

void Runtime::check_depth(int32_t depth) const {
  if (depth > limits().depth) fail_here("values nested deeper than the limit of ", limits().depth);
}

void Runtime::check_text_size(size_t bytes) {
  if (static_cast<int64_t>(bytes) > limits().output_bytes || static_cast<int64_t>(bytes) < 0)
    fail_here("text of more than the limit of ", limits().output_bytes, " bytes");
}

Value Runtime::text(std::string text) {
  check_text_size(text.size());
  charge_text(text.size());
  return Value(std::make_shared<const std::string>(std::move(text)));
}

Value Runtime::list(std::vector<Value> elements, Sequence::Flavor flavor) {
  charge_elements(elements.size() + 1);
  auto sequence = std::make_shared<Sequence>();
  sequence->depth = depth_of_elements(elements) + 1;
  sequence->elements = std::move(elements);
  sequence->flavor = flavor;
  return Value(std::shared_ptr<const Sequence>(std::move(sequence)));
}

Value Runtime::dictionary(std::vector<std::pair<Value, Value>> entries) {
  charge_elements(2 * entries.size() + 1);
  auto result = std::make_shared<Dictionary>();
  const bool indexed = entries.size() > indexed_entries;
  result->entries.reserve(entries.size());
  int32_t depth = 0;
  for (std::pair<Value, Value>& entry : entries) {
    Value& key = entry.first;
    Value& value = entry.second;
    if (!is_hashable(key)) fail_here("expected a key of a dictionary, seen ", kind_name(key));
    depth = std::max({depth, depth_of(key), depth_of(value)});
    const std::string* text = key.if_string();
    Value* known = nullptr;
    if (text != nullptr) {
      known = const_cast<Value*>(result->find(*text)); // ours until it is returned
    } else {
      for (auto& [other, known_value] : result->entries)
        if (equal(*this, other, key)) known = &known_value;
    }
    if (known != nullptr) {
      *known = std::move(value);
      continue;
    }
    result->entries.emplace_back(std::move(key), std::move(value));
    const std::string* stored = result->entries.back().first.if_string();
    if (indexed && stored != nullptr) result->index.emplace(*stored, result->entries.size() - 1);
  }
  result->depth = depth + 1;
  check_depth(result->depth);
  return Value(std::shared_ptr<const Dictionary>(std::move(result)));
}

Value Runtime::name_space(std::vector<std::pair<std::string, Value>> attributes) {
  charge_elements(attributes.size() + 1);
  auto result = std::make_shared<Namespace>();
  result->attributes = std::move(attributes);
  namespaces_.push_back(result);
  return Value(std::move(result));
}

Value Runtime::undefined(std::string reason) const {
  return Value(Undefined{std::make_shared<const std::string>(std::move(reason))});
}

void Runtime::fail_undefined(const Value& value) const {
  const Undefined* undefined = value.if_undefined();
  if (undefined != nullptr && undefined->reason != nullptr) fail_here(*undefined->reason);
  fail_here("an undefined value is used");
}

Parameters::Parameters(const Runtime& runtime, std::string_view function,
                       const Arguments& arguments, std::initializer_list<std::string_view> names,
                       size_t required)
    : runtime_(runtime), function_(function) {
  std::copy(names.begin(), names.end(), names_.begin());
  if (arguments.positional.size() > names.size())
    runtime.fail_here("expected at most ", names.size(), " arguments for ", function, ", seen ",
                      arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const std::string_view* const begin = names_.data();
    const std::string_view* const end = begin + names.size();
    const std::string_view* const found = std::find(begin, end, name);
    if (found == end) runtime.fail_here(function, " has no argument '", name, "'");
    const Value*& slot = values_[static_cast<size_t>(found - begin)];
    if (slot != nullptr) runtime.fail_here(function, " has two values for '", name, "'");
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i)
    if (values_[i] == nullptr)
      runtime.fail_here("expected an argument '", names_[i], "' for ", function);
}

void Parameters::fail_type(size_t i, std::string_view expected) const {
  if (values_[i]->is_undefined()) runtime_.fail_undefined(*values_[i]);
  runtime_.fail_here("expected ", expected, " as '", names_[i], "' of ", function_, ", seen ",
                     kind_name(*values_[i]));
}

bool Parameters::truth(size_t i, bool fallback) const {
  return has(i) ? jinja::truth(*values_[i]) : fallback;
}

int64_t Parameters::integer(size_t i, int64_t fallback) const {
  if (!has(i)) return fallback;
  if (const int64_t* value = values_[i]->if_integer()) return *value;
  if (const bool* value = values_[i]->if_boolean()) return *value ? 1 : 0;
  fail_type(i, "an integer");
}

std::string_view Parameters::string(size_t i, std::string_view fallback) const {
  if (!has(i)) return fallback;
  if (const std::string* value = values_[i]->if_string()) return *value;
  fail_type(i, "a string");
}

} // namespace anet::io::jinja
