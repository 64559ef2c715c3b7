// What the lowerings of single ops share. Internal to lower.cpp and lower_*.cpp.
//
// A value of the source is held as some value of the result with the same elements in the same
// (row-major) order and four axes; which four is up to the op that made it. A reader asks for the
// four axes that it wants, and gets a reshape when they are others. So views cost nothing, and
// optimize() removes what cancels.
#pragma once

#include "backend/ane/rules.h"
#include "base/status.h"
#include "mil/builder.h"
#include "mil/program.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace anet::backend::ane {

using mil::DataType;
using mil::Literal;
using mil::Shape;
using mil::ValueId;

// The engine's four axes: batch, channels, height, width.
inline constexpr size_t channel_slot = 1;
inline constexpr size_t height_slot = 2;
inline constexpr size_t width_slot = 3;

// Which axes of a source shape lie on which of the four.
struct Frame {
  size_t rank = 0;
  std::array<std::vector<size_t>, 4> slots;
  // Above 1: an extent on the height axis that is too large is split over channels and height.
  int64_t split = 1;

  // The four extents of an operand; shapes of lower rank get leading ones.
  Shape extents(const Shape& shape) const;
  size_t slot_of(size_t axis) const;
};

// Known at compile time: a `const`, a compressed constant, or either seen through ops that move
// elements.
bool is_constant(const mil::Function& function, ValueId value);

class Lowering {
public:
  // A trial finds out whether ops can be lowered: the values of large constants stay unread.
  Lowering(const mil::Function& source, const Rules& rules, bool trial);

  mil::Builder b;
  const Rules& rules;
  const mil::Function& source;

  // Lowers every op; throws Error(unsupported).
  void run();

  // The op that is being lowered, and its arguments.
  const mil::Operation& op() const { return *op_; }
  std::string_view name() const { return op_->name(); }
  bool has(std::string_view argument) const;
  ValueId input(std::string_view argument) const { return op_->input(argument); }
  const Shape& shape(std::string_view argument) const { return source.type(input(argument)).shape; }
  ValueId output() const { return op_->outputs.front(); }
  const Shape& output_shape() const { return source.type(output()).shape; }
  double number(std::string_view argument) const;
  bool boolean(std::string_view argument) const;
  int64_t integer(std::string_view argument) const;
  std::string text(std::string_view argument) const;
  std::vector<int64_t> integers(std::string_view argument) const;
  // Counted from the front.
  size_t axis(std::string_view argument, size_t rank) const;
  std::vector<size_t> axes(std::string_view argument, size_t rank) const;

  // A value of the source with these four axes, or as it is.
  ValueId read(ValueId value, const Shape& extents);
  ValueId read(ValueId value);
  void write(ValueId value, ValueId result) { values_[static_cast<size_t>(value)] = result; }
  void write(ValueId result) { write(output(), result); }

  bool is_constant(ValueId value) const { return ane::is_constant(source, value); }
  bool is_number(ValueId value) const { return is_constant(value) && elements(value) == 1; }
  // In fp16 unless the constant is not floating; decompressed. Empty data in a trial.
  Literal constant(ValueId value) const;
  int64_t elements(ValueId value) const { return source.type(value).elements(); }
  const mil::Operation* producer(ValueId value) const;

  // Four axes for a result of shape `shape` and operands that broadcast to it. The axes in `own`
  // are not joined with others and are not split.
  Frame frame(const Shape& shape, std::span<const Shape> operands,
              std::span<const size_t> own = {}) const;
  // A result's own four axes.
  Shape extents(const Shape& shape) const { return frame(shape, {}).extents(shape); }

  // Writers of ops; values are the result's.
  // The same elements in the same order; through transposes where the width may not change.
  ValueId reshape(ValueId value, const Shape& shape);
  ValueId half(double value) { return b.scalar(DataType::fp16, value); }
  ValueId filled(Shape shape, double value);
  // Swaps height and width.
  ValueId swap_matrix_axes(ValueId value) { return b.transpose(value, {0, 1, 3, 2}); }
  // result[.., o, ..] = sum over i of matrix[o, i] * value[.., i, ..] along one slot. The product
  // is formed at half its size and doubled, so that it overflows where a sum in fp16 does and not
  // where a product of matrices does (ane-facts.md 6, R).
  ValueId multiply_along(ValueId value, size_t slot, const Literal& matrix);

  // Refuses to write a matrix of constants of more rows or columns than are worth it.
  void check_matrix_extent(int64_t extent) const;

  // Results whose magnitudes the peaks show.
  ValueId watch(ValueId result) {
    watched_.push_back(result);
    return result;
  }
  const std::vector<ValueId>& watched() const { return watched_; }

  template <typename... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(Status::unsupported, subject(), concat(parts...));
  }

  // True when products with constants are convolutions, which want channels on the channel axis.
  bool is_image() const { return image_; }
  bool is_trial() const { return trial_; }

private:
  // Rows of `width` elements, a part or a multiple of what they have.
  ValueId split_rows(ValueId value, int64_t width);
  ValueId merge_rows(ValueId value, int64_t width);
  ValueId keep_width(ValueId value, const Shape& shape);
  std::string subject() const;
  bool wants_images() const;
  void check_types() const;
  bool reads_only_constants() const;

  const mil::Operation* op_ = nullptr;
  std::vector<ValueId> values_;                           // by source value
  std::map<std::pair<ValueId, Shape>, ValueId> reshapes_; // that readers of the same axes share
  std::vector<ValueId> watched_;
  bool trial_;
  bool image_;
};

// The least number of equal parts of at most `limit`; 1 when there is none.
int64_t parts_within(int64_t extent, int64_t limit);

// Values of equal extents but for one slot, one after the other.
ValueId join(Lowering& l, const std::vector<ValueId>& parts, size_t slot);

// Elements begin, begin + 1, ... along one slot.
ValueId slice_along(Lowering& l, ValueId value, size_t slot, int64_t begin, int64_t count);

// A matrix operand of a product: four axes [outer, inner, rows, columns] of a source value.
struct Matrix {
  ValueId value = mil::no_value;
  std::array<int64_t, 2> batch{1, 1};
  int64_t rows = 1;
  int64_t columns = 1;
  bool transposed = false;
};

// The matrix behind a value of shape [rows, columns], or [rows, columns, 1, 1]; a transpose of it
// becomes a flag.
Matrix matrix_behind(const Lowering& l, ValueId value);
// x times y as [outer, inner, rows, columns]; rows may be split over inner and rows.
ValueId multiply(Lowering& l, const Matrix& x, const Matrix& y);

// A compressed constant [out, in, ..] in a form that the rules allow as a weight of conv, or
// no_value.
ValueId compressed_weight(Lowering& l, ValueId value);

// Sums along slots; the summed extents become 1. `divisor` turns sums into means.
ValueId sum_along(Lowering& l, ValueId value, std::span<const size_t> slots, double divisor = 1);

// Activations written with exp, for engines whose tables are coarse.
ValueId exact_sigmoid(Lowering& l, ValueId x);
ValueId reciprocal_root(Lowering& l, ValueId x, double epsilon);

using OpLowering = void (*)(Lowering&);
struct OpEntry {
  const char* name;
  OpLowering lower;
};
std::span<const OpEntry> elementwise_lowerings();
std::span<const OpEntry> activation_lowerings();
std::span<const OpEntry> matrix_lowerings();
std::span<const OpEntry> reduction_lowerings();
std::span<const OpEntry> shape_lowerings();
std::span<const OpEntry> slice_lowerings();
std::span<const OpEntry> quantization_lowerings();

// nullptr for an op that the engine has no way to run.
OpLowering find_lowering(std::string_view op);

} // namespace anet::backend::ane
