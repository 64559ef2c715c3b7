// What gradient rules share. Internal to differentiation.
//
// A rule sees one op of the original function and the gradients of its outputs, writes ops into
// the joint function, and adds to the gradients of the op's inputs. Ids of the original function
// are valid in the joint one, which continues it.
#pragma once

#include "mil/builder.h"
#include "mil/op_table.h"
#include "mil/program.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::mil::gradient {

enum class Sign : uint8_t { plus, minus };

// Gradients of the values of the joint function, summed as they come.
class Gradients {
public:
  Gradients(Builder& builder, std::vector<bool> wanted)
      : builder_(builder), wanted_(std::move(wanted)), sums_(wanted_.size()) {}

  // True when the value is floating and depends on an input that is differentiated.
  bool wanted(ValueId id) const { return wanted_[static_cast<size_t>(id)]; }
  bool has(ValueId id) const { return sums_[static_cast<size_t>(id)].value != no_value; }
  // no_value when there is none.
  ValueId of(ValueId id);
  // The same with a sign that is not applied yet.
  struct Signed {
    ValueId value = no_value;
    Sign sign = Sign::plus;
  };
  Signed signed_of(ValueId id) const { return sums_[static_cast<size_t>(id)]; }
  // `gradient` has the value's shape; another floating type is converted.
  void add(ValueId id, ValueId gradient, Sign sign = Sign::plus);

private:
  Builder& builder_;
  std::vector<bool> wanted_;
  std::vector<Signed> sums_;
};

class Context {
public:
  Context(Builder& builder, const Function& function, const Operation& op, Gradients& gradients)
      : b(builder), function_(function), op_(op), gradients_(gradients) {}

  Builder& b;

  const Operation& op() const { return op_; }
  // The op behind a value of the original function; nullptr for an input.
  const Operation* producer(ValueId id) const;
  // The op that alone reads a value, once; nullptr when there are others or the function returns
  // it.
  const Operation* only_reader(ValueId id) const;
  ValueId input(std::string_view argument) const { return op_.input(argument); }
  std::span<const ValueId> inputs(std::string_view argument) const;
  // Types come from the original function, so that references outlive the ops a rule adds.
  const Type& type(std::string_view argument) const { return function_.type(input(argument)); }
  const Shape& shape(std::string_view argument) const { return type(argument).shape; }
  ValueId output(size_t index = 0) const { return op_.outputs[index]; }
  const Type& output_type(size_t index = 0) const { return function_.type(output(index)); }
  // The gradient of an output; an output that nothing depends on has none (no_value).
  ValueId dy(size_t index = 0) const { return gradients_.of(output(index)); }
  Gradients::Signed signed_dy() const { return gradients_.signed_of(output()); }
  // The gradient of any value, complete when every op that reads the value comes later.
  ValueId gradient_of(ValueId id) const { return gradients_.of(id); }

  // A value of the function that is differentiated.
  bool is_given(ValueId id) const { return static_cast<size_t>(id) < function_.values.size(); }

  bool wanted(std::string_view argument) const;
  bool wanted(ValueId id) const { return gradients_.wanted(id); }
  void add(std::string_view argument, ValueId gradient) {
    gradients_.add(input(argument), gradient);
  }
  void add(ValueId id, ValueId gradient) { gradients_.add(id, gradient); }
  // Adds a gradient of a broadcast shape: it is summed back to the argument's.
  void add_broadcast(std::string_view argument, ValueId gradient, Sign sign = Sign::plus);

  // Compile-time arguments.
  bool has(std::string_view argument) const;
  double number(std::string_view argument) const;
  int64_t integer(std::string_view argument, int64_t otherwise) const;
  bool boolean(std::string_view argument) const;
  std::string string(std::string_view argument, std::string_view otherwise) const;
  std::vector<int64_t> integers(std::string_view argument, std::vector<int64_t> otherwise) const;
  int64_t axis(std::string_view argument, int64_t rank, int64_t otherwise) const;
  // The reduced axes, counted from the front; every axis when the argument is absent.
  std::vector<int64_t> axes(std::string_view argument, int64_t rank) const;
  // The same arguments again, but for the named ones.
  std::vector<Builder::Input> other_arguments(std::initializer_list<std::string_view> but) const;

private:
  const Function& function_;
  const Operation& op_;
  Gradients& gradients_;
};

using Rule = void (*)(Context&);
struct RuleEntry {
  const char* name;
  Rule rule; // null: the result is constant almost everywhere, its gradient is zero
};

std::span<const RuleEntry> unary_rules();
std::span<const RuleEntry> binary_rules();
std::span<const RuleEntry> matrix_rules();
std::span<const RuleEntry> convolution_rules();
std::span<const RuleEntry> reduction_rules();
std::span<const RuleEntry> normalization_rules();
std::span<const RuleEntry> shape_rules();
std::span<const RuleEntry> slice_rules();
std::span<const RuleEntry> index_rules();
std::span<const RuleEntry> constant_rules();

// nullptr for an op that cannot be differentiated.
const RuleEntry* find_rule(std::string_view op);

// Helpers that write ops.
ValueId integers(Builder& b, const std::vector<int64_t>& values);
ValueId negate(Builder& b, ValueId x);
// A tensor of one number. Large ones are repeated from one element, so that no program carries
// them.
ValueId filled(Builder& b, const Type& type, double value);
ValueId zeros(Builder& b, const Type& type);
// x where the condition holds, else 0; also where x is not finite.
ValueId where(Builder& b, ValueId condition, ValueId x);
ValueId reshape(Builder& b, ValueId x, Shape shape);
// Sums the axes along which `shape` was broadcast to x's shape.
ValueId sum_to(Builder& b, ValueId x, Shape shape);
// Repeats axes of extent 1 until x has `shape`, which is of the same rank.
ValueId repeat_to(Builder& b, ValueId x, Shape shape);
// x with zeros around it; a negative amount removes elements instead.
ValueId pad_or_crop(Builder& b, ValueId x, const std::vector<int64_t>& before,
                    const std::vector<int64_t>& after);

} // namespace anet::mil::gradient
