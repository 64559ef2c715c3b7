// Writes a function op by op. Every op is inferred as it is added, so a builder never holds an
// ill-typed function; mistakes throw Error(invalid_program). Every argument is made explicit,
// because the ANE's parser has no defaults (ane-facts.md 0.9, R).
#pragma once

#include "mil/program.h"

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace anet::mil {

class Builder {
public:
  // One `add` argument: a value, a tuple of values, or a literal that becomes a `const`.
  struct Input {
    std::string_view name;
    std::vector<ValueId> values;
    bool tuple = false;
    Input(std::string_view argument, ValueId value) : name(argument), values{value} {}
    Input(std::string_view argument, std::vector<ValueId> tuple_values)
        : name(argument), values(std::move(tuple_values)), tuple(true) {}
  };

  explicit Builder(std::string name = "main", std::string opset = "ios18");
  // Continues an existing function.
  explicit Builder(Function function);

  const Function& function() const { return function_; }
  const Type& type(ValueId id) const { return function_.type(id); }
  const Shape& shape(ValueId id) const { return function_.type(id).shape; }

  ValueId input(std::string name, Type type);
  // Constants are shared: asking twice for the same value gives the same id.
  ValueId constant(Literal value, std::string_view name = {});
  // Output names are made unique by a suffix; an empty name is derived from the op's.
  ValueId add(std::string_view op, std::span<const Input> inputs, std::string_view name = {});
  ValueId add(std::string_view op, std::initializer_list<Input> inputs, std::string_view name = {});
  std::vector<ValueId> add_multiple(std::string_view op, std::span<const Input> inputs,
                                    std::string_view name = {});
  // Marks a value as an output; the port takes the value's name, or `name`, which renames it.
  // An input or an already returned value is passed through `identity` first.
  void output(ValueId value, std::string_view name = {});

  Function finish() &&;
  // A program of this one function, with the usual buildInfo attribute.
  Program finish_program() &&;

  // The ops that models and gradients are written in.
  ValueId scalar(DataType dtype, double value); // rank-0 constant
  ValueId add(ValueId x, ValueId y) { return binary("add", x, y); }
  ValueId sub(ValueId x, ValueId y) { return binary("sub", x, y); }
  ValueId mul(ValueId x, ValueId y) { return binary("mul", x, y); }
  ValueId real_div(ValueId x, ValueId y) { return binary("real_div", x, y); }
  ValueId mul(ValueId x, double y) { return mul(x, scalar(type(x).dtype, y)); }
  ValueId add(ValueId x, double y) { return add(x, scalar(type(x).dtype, y)); }
  ValueId binary(std::string_view op, ValueId x, ValueId y, std::string_view name = {});
  ValueId unary(std::string_view op, ValueId x, std::string_view name = {});
  ValueId rsqrt(ValueId x, double epsilon, std::string_view name = {});
  ValueId cast(ValueId x, DataType dtype, std::string_view name = {}); // x itself if already dtype
  ValueId matmul(ValueId x, ValueId y, bool transpose_x, bool transpose_y,
                 std::string_view name = {});
  // 1x1 convolution, stride 1: weight [out, in, 1, 1], x [n, in, h, w].
  ValueId linear(ValueId x, ValueId weight, std::string_view name = {});
  ValueId softmax(ValueId x, int64_t axis, std::string_view name = {});
  ValueId reduce(std::string_view op, ValueId x, std::vector<int64_t> axes, bool keep_dims,
                 std::string_view name = {});
  ValueId reshape(ValueId x, Shape shape, std::string_view name = {});
  ValueId transpose(ValueId x, std::vector<int64_t> perm, std::string_view name = {});
  ValueId slice_by_size(ValueId x, std::vector<int64_t> begin, std::vector<int64_t> size,
                        std::string_view name = {});
  ValueId concat(std::vector<ValueId> values, int64_t axis, std::string_view name = {});
  ValueId gather(ValueId x, ValueId indices, int64_t axis, std::string_view name = {});
  ValueId gather_along_axis(ValueId x, ValueId indices, int64_t axis, std::string_view name = {});

private:
  std::string unique_name(std::string_view name);   // `name`, or a free `name_<n>`
  std::string numbered_name(std::string_view base); // a free `base_<n>`
  ValueId add_value(std::string name, Type type, int32_t producer);
  Operation make_operation(std::string_view op_name, std::span<const Input> inputs) const;
  void add_defaults(Operation& op);
  void rename(ValueId id, const std::string& name);
  bool is_port(ValueId id) const; // an input, or already an output
  ValueId integer(int64_t value);

  Function function_;
  std::unordered_map<std::string, ValueId> names_;
  std::unordered_map<std::string, int64_t> suffixes_;  // the next one to try for a taken name
  std::unordered_multimap<size_t, ValueId> constants_; // by hash of the literal
};

} // namespace anet::mil
