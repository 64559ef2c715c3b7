// What the interpreter's op functions share: access to one op's operands, and index arithmetic.
// Internal to the interpreter.
#pragma once

#include "mil/interpreter.h"
#include "mil/op_table.h"

#include <deque>
#include <map>
#include <span>
#include <string_view>
#include <vector>

namespace anet::mil::interpreter {

// One op's operands by argument name, and its outputs, zero-filled, of the types that the function
// declares. Arguments come from computed values, else constants, else attributes, else defaults.
class Context {
public:
  Context(const Function& function, const Operation& op,
          const std::vector<const Tensor*>& values_by_id, Precision precision);

  const Operation& op() const { return op_; }
  bool f16() const { return precision_ == Precision::f16; }

  bool has(std::string_view argument) const;
  const Tensor& tensor(std::string_view argument);
  std::vector<const Tensor*> tensors(std::string_view argument); // of a tuple
  const Tensor& first();                                         // the first argument's tensor

  double number(std::string_view argument);
  double number_or(std::string_view argument, double otherwise);
  int64_t integer(std::string_view argument);
  int64_t integer_or(std::string_view argument, int64_t otherwise);
  bool boolean_or(std::string_view argument, bool otherwise);
  std::vector<int64_t> integers(std::string_view argument);
  std::vector<int64_t> integers_or(std::string_view argument, std::vector<int64_t> otherwise);
  std::string string(std::string_view argument) const;
  std::string string_or(std::string_view argument, std::string otherwise) const;
  // The argument as an axis of a tensor of `rank`; negative axes count from the end.
  int64_t axis(std::string_view argument, int64_t rank, int64_t otherwise);
  // As `axis`, for a list; every axis when the argument is absent.
  std::vector<int64_t> axes(std::string_view argument, int64_t rank);

  Tensor& output(size_t index = 0) { return outputs_[index]; }
  size_t output_count() const { return outputs_.size(); }
  std::vector<Tensor> take_outputs() && { return std::move(outputs_); }

private:
  const Tensor& value(ValueId id);
  const Tensor& own(const Literal& literal);

  const Function& function_;
  const Operation& op_;
  const std::vector<const Tensor*>& values_by_id_;
  Precision precision_;
  std::map<ValueId, const Tensor*> cached_;
  std::deque<Tensor> owned_; // constants, and operands whose NaNs were replaced
  std::vector<Tensor> outputs_;
};

using OpFunction = void (*)(Context&);
struct OpEntry {
  const char* name;
  OpFunction run;
};

// The op families.
std::span<const OpEntry> unary_ops();
std::span<const OpEntry> binary_ops();
std::span<const OpEntry> matrix_ops();
std::span<const OpEntry> convolution_ops();
std::span<const OpEntry> reduction_ops();
std::span<const OpEntry> normalization_ops();
std::span<const OpEntry> shape_ops();
std::span<const OpEntry> slice_ops();
std::span<const OpEntry> index_ops();
std::span<const OpEntry> quantization_ops();

// What `value` becomes when it is stored as `dtype` at this precision.
double round_to(double value, DataType dtype, Precision precision);
void round_in_place(Tensor& tensor, Precision precision);
// Two's complement wrap-around of an integer into `dtype`.
double wrap_integer(int64_t value, DataType dtype);
// The nearest value that the integer type `dtype` holds; NaN becomes 0.
double saturate_integer(double value, DataType dtype);

// Index `i` of an axis of `extent`; negative indices count from the end. Throws out_of_range.
int64_t checked_index(const char* op, double index, int64_t extent);

int64_t offset_of(const Shape& index, const std::vector<int64_t>& strides);

// The greater and the lesser of two numbers; NaN when one is NaN, as in NumPy and PyTorch.
double greater_of(double x, double y);
double lesser_of(double x, double y);

// Results of multiply-accumulate ops as the ANE gives them (ane-facts.md 6, R).
void overflow_products(Tensor& tensor);

// Calls f(index) for every multi-index of `shape`, in row-major order.
template <typename F>
void for_each_index(const Shape& shape, F&& f) {
  Shape index(shape.size(), 0);
  const int64_t count = element_count(shape);
  for (int64_t i = 0; i < count; ++i) {
    f(static_cast<const Shape&>(index));
    for (size_t axis = shape.size(); axis-- > 0;) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
}

// A shape seen from one axis: [outer, extent, inner].
struct AxisView {
  int64_t outer = 1;
  int64_t extent = 1;
  int64_t inner = 1;
  size_t at(int64_t o, int64_t i, int64_t n) const {
    return static_cast<size_t>((o * extent + i) * inner + n);
  }
};
AxisView view_axis(const Shape& shape, int64_t axis);

// `tensor` repeated along broadcast axes, as a dense array of `shape`.
std::vector<double> broadcast_values(const Tensor& tensor, const Shape& shape);

} // namespace anet::mil::interpreter
