// What expressions of a template evaluate to, with Python's types.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace anet::io::jinja {

class Callable;
class LoopState;
struct Dictionary;
struct Namespace;
struct Sequence;

// A name, attribute or element that is not there. It prints as nothing; most other uses fail.
struct Undefined {
  std::shared_ptr<const std::string> reason; // "'x' is undefined"; may be null
};
struct None {};

// Cheap to copy: text and containers are shared and never change, except for a namespace's
// attributes and how far a generator has been read.
class Value {
public:
  enum class Kind : uint8_t {
    undefined,
    none,
    boolean,
    integer,
    floating,
    string,
    sequence,
    dictionary,
    name_space,
    callable,
    loop,
  };

  Value() = default; // undefined
  Value(Undefined value) : value_(std::move(value)) {}
  Value(None) : value_(None()) {}
  Value(bool value) : value_(value) {}
  Value(int64_t value) : value_(value) {}
  Value(double value) : value_(value) {}
  Value(std::shared_ptr<const std::string> text) : value_(std::move(text)) {}
  Value(std::shared_ptr<const Sequence> value) : value_(std::move(value)) {}
  Value(std::shared_ptr<const Dictionary> value) : value_(std::move(value)) {}
  Value(std::shared_ptr<Namespace> value) : value_(std::move(value)) {}
  Value(std::shared_ptr<const Callable> value) : value_(std::move(value)) {}
  Value(std::shared_ptr<const LoopState> value) : value_(std::move(value)) {}

  Kind kind() const { return static_cast<Kind>(value_.index()); }
  bool is_undefined() const { return kind() == Kind::undefined; }
  bool is_none() const { return kind() == Kind::none; }
  bool is_number() const {
    return kind() == Kind::integer || kind() == Kind::floating || kind() == Kind::boolean;
  }

  // nullptr if the value is of another kind.
  const Undefined* if_undefined() const { return std::get_if<Undefined>(&value_); }
  const bool* if_boolean() const { return std::get_if<bool>(&value_); }
  const int64_t* if_integer() const { return std::get_if<int64_t>(&value_); }
  const double* if_floating() const { return std::get_if<double>(&value_); }
  const std::string* if_string() const { return get<const std::string>(); }
  const Sequence* if_sequence() const { return get<const Sequence>(); }
  const Dictionary* if_dictionary() const { return get<const Dictionary>(); }
  Namespace* if_namespace() const { return get<Namespace>(); }
  const Callable* if_callable() const { return get<const Callable>(); }
  const LoopState* if_loop() const { return get<const LoopState>(); }
  // For those that outlive the value.
  std::shared_ptr<const Callable> callable() const {
    return std::get<std::shared_ptr<const Callable>>(value_);
  }
  std::shared_ptr<const LoopState> loop() const {
    return std::get<std::shared_ptr<const LoopState>>(value_);
  }

  // Address of what is shared; nullptr for plain values.
  const void* identity() const;

private:
  template <typename Type>
  Type* get() const {
    const auto* pointer = std::get_if<std::shared_ptr<Type>>(&value_);
    return pointer == nullptr ? nullptr : pointer->get();
  }

  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const Sequence>, std::shared_ptr<const Dictionary>,
               std::shared_ptr<Namespace>, std::shared_ptr<const Callable>,
               std::shared_ptr<const LoopState>>
      value_;
};

// Everything that holds elements one after the other.
struct Sequence {
  enum class Flavor : uint8_t { list, tuple, range, keys, values, items, generator };
  std::vector<Value> elements;
  Flavor flavor = Flavor::list;
  int32_t depth = 1;       // of nested containers, itself included
  mutable size_t next = 0; // generator: how many elements have been taken

  bool has_length() const { return flavor != Flavor::generator; }
  bool has_index() const {
    return flavor == Flavor::list || flavor == Flavor::tuple || flavor == Flavor::range;
  }
};

struct Dictionary {
  std::vector<std::pair<Value, Value>> entries;       // in order of insertion, keys unique
  std::unordered_map<std::string_view, size_t> index; // of text keys, if there are many entries
  int32_t depth = 1;

  // nullptr if there is none.
  const Value* find(std::string_view key) const;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
  const Value* find(std::string_view name) const;
};

// "a string", "a list", ...
const char* kind_name(const Value& value);
// "str", "list", ...: Python's name, which templates can see.
const char* type_name(const Value& value);

} // namespace anet::io::jinja
