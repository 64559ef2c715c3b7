// gather, scatter and one_hot.
#include "mil/interpreter/context.h"

#include <algorithm>
#include <string>

namespace anet::mil::interpreter {

namespace {

// x [B, P, D, Q], indices [B, I] -> [B, P, I, Q], where B are the batch_dims leading axes and D is
// the gathered axis.
void gather(Context& c) {
  const Tensor& x = c.tensor("x");
  const Tensor& indices = c.tensor("indices");
  const Shape& shape = x.type.shape;
  const int64_t axis = c.axis("axis", static_cast<int64_t>(shape.size()), 0);
  const int64_t batch_dims = c.integer_or("batch_dims", 0);
  const int64_t batch = element_count(Shape(shape.begin(), shape.begin() + batch_dims));
  const AxisView in = view_axis(shape, axis);
  const int64_t before = in.outer / batch;
  const int64_t count = indices.type.elements() / batch;
  Tensor& output = c.output();
  size_t next = 0;
  for (int64_t outer = 0; outer < batch * before; ++outer) {
    for (int64_t i = 0; i < count; ++i) {
      const double given = indices.values[static_cast<size_t>(outer / before * count + i)];
      const int64_t row = checked_index("gather", given, in.extent);
      for (int64_t inner = 0; inner < in.inner; ++inner) {
        output.values[next++] = x.values[in.at(outer, row, inner)];
      }
    }
  }
}

// Offset in a tensor of `view` for each element of `indices`, whose own extents may be smaller
// than the tensor's off the axis.
template <typename F>
void for_each_along_axis(const char* op, const Tensor& indices, const Shape& shape, int64_t axis,
                         F&& f) {
  const std::vector<int64_t> strides = contiguous_strides(shape);
  size_t next = 0;
  for_each_index(indices.type.shape, [&](Shape index) {
    int64_t& along = index[static_cast<size_t>(axis)];
    along = checked_index(op, indices.values[next], shape[static_cast<size_t>(axis)]);
    f(static_cast<size_t>(offset_of(index, strides)), next);
    ++next;
  });
}

void gather_along_axis(Context& c) {
  const Tensor& x = c.tensor("x");
  const Shape& shape = x.type.shape;
  const int64_t axis = c.axis("axis", static_cast<int64_t>(shape.size()), 0);
  Tensor& output = c.output();
  for_each_along_axis("gather_along_axis", c.tensor("indices"), shape, axis,
                      [&](size_t source, size_t i) { output.values[i] = x.values[source]; });
}

double combine(const std::string& mode, double old, double update) {
  if (mode == "add") return old + update;
  if (mode == "sub") return old - update;
  if (mode == "mul") return old * update;
  if (mode == "div") return old / update;
  if (mode == "max") return std::max(old, update);
  if (mode == "min") return std::min(old, update);
  return update;
}

class Scatterer {
public:
  explicit Scatterer(Context& c)
      : output_(c.output()), mode_(c.string_or("mode", "add")),
        integer_(is_integer(output_.type.dtype)) {
    output_.values = c.tensor("data").values;
  }
  // Updates are applied in their order, so that the last of equal indices wins under "update".
  void apply(size_t target, double update) {
    double value = combine(mode_, output_.values[target], update);
    if (integer_) value = wrap_integer(static_cast<int64_t>(value), output_.type.dtype);
    output_.values[target] = value;
  }

private:
  Tensor& output_;
  std::string mode_;
  bool integer_;
};

// data [P, D, Q], indices [I], updates [P, I, Q].
void scatter(Context& c) {
  const Tensor& indices = c.tensor("indices");
  const Tensor& updates = c.tensor("updates");
  const Shape& shape = c.output().type.shape;
  const int64_t axis = c.axis("axis", static_cast<int64_t>(shape.size()), 0);
  const AxisView view = view_axis(shape, axis);
  const int64_t count = indices.type.elements();
  Scatterer scatterer(c);
  size_t next = 0;
  for (int64_t outer = 0; outer < view.outer; ++outer) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row =
          checked_index("scatter", indices.values[static_cast<size_t>(i)], view.extent);
      for (int64_t inner = 0; inner < view.inner; ++inner) {
        scatterer.apply(view.at(outer, row, inner), updates.values[next++]);
      }
    }
  }
}

void scatter_along_axis(Context& c) {
  const Tensor& updates = c.tensor("updates");
  const Shape& shape = c.output().type.shape;
  const int64_t axis = c.axis("axis", static_cast<int64_t>(shape.size()), 0);
  Scatterer scatterer(c);
  for_each_along_axis("scatter_along_axis", c.tensor("indices"), shape, axis,
                      [&](size_t target, size_t i) { scatterer.apply(target, updates.values[i]); });
}

// An index outside the vector gives a vector of off_value.
void one_hot(Context& c) {
  const Tensor& indices = c.tensor("indices");
  const double on = c.number_or("on_value", 1);
  const double off = c.number_or("off_value", 0);
  Tensor& output = c.output();
  const int64_t rank = static_cast<int64_t>(output.type.shape.size());
  const AxisView view = view_axis(output.type.shape, c.axis("axis", rank, -1));
  for (int64_t outer = 0; outer < view.outer; ++outer) {
    for (int64_t i = 0; i < view.extent; ++i) {
      for (int64_t inner = 0; inner < view.inner; ++inner) {
        const double index = indices.values[static_cast<size_t>(outer * view.inner + inner)];
        output.values[view.at(outer, i, inner)] = index == static_cast<double>(i) ? on : off;
      }
    }
  }
}

} // namespace

std::span<const OpEntry> index_ops() {
  static const OpEntry entries[] = {
      {"gather", gather},   {"gather_along_axis", gather_along_axis},   {"one_hot", one_hot},
      {"scatter", scatter}, {"scatter_along_axis", scatter_along_axis},
  };
  return entries;
}

} // namespace anet::mil::interpreter
