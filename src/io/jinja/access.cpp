// Attributes and elements.
#include "io/jinja/builtins.h"
#include "io/jinja/characters.h"
#include "io/jinja/operations.h"

#include <array>
#include <optional>

namespace anet::io::jinja {
namespace {

Value bound_method(Runtime& runtime, const Value& object, const std::string& name, Method method) {
  runtime.charge(1);
  auto callable = std::make_shared<Callable>();
  callable->kind = Callable::Kind::method;
  callable->name = name;
  callable->method = method;
  callable->object = object;
  callable->value_depth = depth_of(object) + 1;
  runtime.check_depth(callable->value_depth);
  return Value(std::shared_ptr<const Callable>(std::move(callable)));
}

Value cycle(Runtime& runtime, const Value& object, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.named.empty())
    runtime.fail_here("expected values for loop.cycle");
  return arguments.positional[object.if_loop()->index % arguments.positional.size()];
}

Value changed(Runtime& runtime, const Value& object, const Arguments& arguments) {
  const LoopState& loop = *object.if_loop();
  bool same = loop.changed_called && loop.changed.size() == arguments.positional.size();
  for (size_t i = 0; same && i < loop.changed.size(); ++i)
    same = equal(runtime, loop.changed[i], arguments.positional[i]);
  if (!same) {
    // A loop must not hold itself.
    for (const Value& value : arguments.positional)
      if (value.if_loop() != nullptr || value.if_callable() != nullptr)
        runtime.fail_here("expected plain values for loop.changed, seen ", kind_name(value));
    loop.changed = arguments.positional;
    loop.changed_called = true;
  }
  return Value(!same);
}

std::optional<Value> loop_attribute(Runtime& runtime, const Value& object,
                                    const std::string& name) {
  const LoopState& loop = *object.if_loop();
  const auto number = [](size_t value) { return Value(static_cast<int64_t>(value)); };
  const size_t length = loop.elements.size();
  if (name == "index") return number(loop.index + 1);
  if (name == "index0") return number(loop.index);
  if (name == "first") return Value(loop.index == 0);
  if (name == "last") return Value(loop.index + 1 == length);
  if (name == "length") return number(length);
  if (name == "revindex") return number(length - loop.index);
  if (name == "revindex0") return number(length - loop.index - 1);
  if (name == "previtem")
    return loop.index > 0 ? loop.elements[loop.index - 1]
                          : runtime.undefined("there is no previous item");
  if (name == "nextitem")
    return loop.index + 1 < length ? loop.elements[loop.index + 1]
                                   : runtime.undefined("there is no next item");
  if (name == "depth") return Value(int64_t{loop.depth});
  if (name == "depth0") return Value(int64_t{loop.depth} - 1);
  if (name == "cycle") return bound_method(runtime, object, name, cycle);
  if (name == "changed") return bound_method(runtime, object, name, changed);
  return std::nullopt;
}

// What Python's getattr gives, nothing for an attribute that is not there.
std::optional<Value> python_attribute(Runtime& runtime, const Value& object,
                                      const std::string& name) {
  if (const Namespace* space = object.if_namespace()) {
    runtime.charge_elements(space->attributes.size() / 8);
    const Value* value = space->find(name);
    return value == nullptr ? std::nullopt : std::optional(*value);
  }
  if (object.if_loop() != nullptr) return loop_attribute(runtime, object, name);
  if (const Callable* callable = object.if_callable();
      callable != nullptr && callable->kind == Callable::Kind::macro && name == "name")
    return runtime.text(callable->name);
  if (const Method method = find_method(object, name))
    return bound_method(runtime, object, name, method);
  if (is_changing_method(object, name))
    return runtime.undefined(
        concat("'", name, "' would change ", kind_name(object), ", which a template may not"));
  return std::nullopt;
}

// What Python's object[key] gives, nothing for a key that is not there or does not fit.
std::optional<Value> python_item(Runtime& runtime, const Value& object, const Value& key) {
  if (const Dictionary* dictionary = object.if_dictionary()) {
    if (dictionary->index.empty()) runtime.charge_elements(dictionary->entries.size() / 8);
    if (const std::string* text = key.if_string()) {
      const Value* value = dictionary->find(*text);
      return value == nullptr ? std::nullopt : std::optional(*value);
    }
    for (const auto& [name, value] : dictionary->entries)
      if (equal(runtime, name, key)) return value;
    return std::nullopt;
  }
  int64_t index = 0;
  if (const int64_t* integer = key.if_integer())
    index = *integer;
  else if (const bool* boolean = key.if_boolean())
    index = *boolean ? 1 : 0;
  else
    return std::nullopt;
  const Sequence* sequence = object.if_sequence();
  const std::string* text = object.if_string();
  if (text == nullptr && (sequence == nullptr || !sequence->has_index())) return std::nullopt;
  const int64_t length = length_of(runtime, object).value();
  if (index < 0) index += length;
  if (index < 0 || index >= length) return std::nullopt;
  if (sequence != nullptr) return sequence->elements[static_cast<size_t>(index)];
  const size_t offset = offset_of(*text, static_cast<size_t>(index));
  return runtime.text(text->substr(offset, character_size((*text)[offset])));
}

} // namespace

Value attribute(Runtime& runtime, const Value& object, const std::string& name) {
  if (object.is_undefined()) runtime.fail_undefined(object);
  if (auto value = python_attribute(runtime, object, name)) return *value;
  if (const Dictionary* dictionary = object.if_dictionary()) {
    if (dictionary->index.empty()) runtime.charge_elements(dictionary->entries.size() / 8);
    if (const Value* value = dictionary->find(name)) return *value;
  }
  return runtime.undefined(concat("'", name, "' is no attribute of ", kind_name(object)));
}

Value item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) runtime.fail_undefined(object);
  if (auto value = python_item(runtime, object, key)) return *value;
  const std::string* name = key.if_string();
  if (name == nullptr) return runtime.undefined(concat(kind_name(object), " has no such element"));
  if (auto value = python_attribute(runtime, object, *name)) return *value;
  runtime.charge_text(name->size());
  return runtime.undefined(concat("'", name->substr(0, offset_of(*name, 100)),
                                  "' is no element of ", kind_name(object)));
}

} // namespace anet::io::jinja
