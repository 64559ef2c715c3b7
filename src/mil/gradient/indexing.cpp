// Gradients of gather and scatter.
#include "mil/gradient/context.h"

namespace anet::mil::gradient {

namespace {

ValueId int32_indices(Context& c) { return c.b.cast(c.input("indices"), DataType::int32); }

ValueId integer(Builder& b, int64_t value) {
  return b.scalar(DataType::int32, static_cast<double>(value));
}

ValueId scatter(Builder& b, std::string_view op, ValueId data, ValueId indices, ValueId updates,
                int64_t axis, const char* mode) {
  return b.add(op, {{"data", data},
                    {"indices", indices},
                    {"updates", updates},
                    {"axis", integer(b, axis)},
                    {"mode", b.constant(Literal::string(mode))}});
}

// 0, stride, 2 stride, ... as a column of `count` rows.
ValueId offsets(Builder& b, int64_t count, int64_t stride) {
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(i * stride));
  return b.constant(Literal::numbers({DataType::int32, {count, 1}, {}}, values));
}

// x [B, P, D, Q] gathered by indices [B, I] to [B, P, I, Q]. With the batches and the gathered
// axis merged, it is a gather of rows without batches: rows b D + i of [B D, P Q].
void gather_batched(Context& c, int64_t axis, int64_t batch_dims) {
  Builder& b = c.b;
  const Shape x = c.shape("x");
  const auto product = [&](int64_t first, int64_t last) {
    return element_count(Shape(x.begin() + first, x.begin() + last));
  };
  const int64_t batch = product(0, batch_dims);
  const int64_t before = product(batch_dims, axis);
  const int64_t extent = x[static_cast<size_t>(axis)];
  const int64_t after = product(axis + 1, std::ssize(x));
  const int64_t count = element_count(c.shape("indices")) / batch;

  ValueId indices = reshape(b, int32_indices(c), {batch, count});
  const ValueId negative = b.binary("less", indices, integer(b, 0));
  const ValueId wrapped = b.add(indices, integer(b, extent));
  indices = b.add("select", {{"cond", negative}, {"a", wrapped}, {"b", indices}});
  indices = reshape(b, b.add(indices, offsets(b, batch, extent)), {batch * count});

  ValueId dy = reshape(b, c.dy(), {batch, before, count, after});
  dy = reshape(b, b.transpose(dy, {0, 2, 1, 3}), {batch * count, before * after});
  const ValueId rows = zeros(b, {c.type("x").dtype, {batch * extent, before * after}, {}});
  ValueId dx = scatter(b, "scatter", rows, indices, dy, 0, "add");
  dx = b.transpose(reshape(b, dx, {batch, extent, before, after}), {0, 2, 1, 3});
  c.add("x", reshape(b, dx, x));
}

void gather(Context& c) {
  const Shape x = c.shape("x");
  const int64_t axis = c.axis("axis", std::ssize(x), 0);
  const int64_t batch_dims = c.integer("batch_dims", 0);
  if (batch_dims > 0) return gather_batched(c, axis, batch_dims);
  // scatter takes a list of indices.
  Shape updates = x;
  const int64_t count = element_count(c.shape("indices"));
  updates[static_cast<size_t>(axis)] = count;
  const ValueId dy = reshape(c.b, c.dy(), updates);
  const ValueId indices = reshape(c.b, int32_indices(c), {count});
  c.add("x", scatter(c.b, "scatter", zeros(c.b, c.type("x")), indices, dy, axis, "add"));
}

void gather_along_axis(Context& c) {
  const int64_t axis = c.axis("axis", std::ssize(c.shape("x")), 0);
  const ValueId start = zeros(c.b, c.type("x"));
  const ValueId indices = int32_indices(c);
  c.add("x", scatter(c.b, "scatter_along_axis", start, indices, c.dy(), axis, "add"));
}

// The two scatters differ only in the gather that undoes them.
struct Scatter {
  Context& c;
  const char* gather_op;
  const char* scatter_op;
  int64_t axis;

  ValueId gathered(ValueId x) const {
    return c.b.add(gather_op,
                   {{"x", x}, {"indices", c.input("indices")}, {"axis", integer(c.b, axis)}});
  }
  ValueId scattered(ValueId data, ValueId updates, const char* mode) const {
    return scatter(c.b, scatter_op, data, c.input("indices"), updates, axis, mode);
  }
};

// y = data +- the sum of its updates.
void add_sum_gradient(const Scatter& s, bool subtract) {
  s.c.add("data", s.c.dy());
  if (!s.c.wanted("updates")) return;
  const ValueId gathered = s.gathered(s.c.dy());
  s.c.add("updates", subtract ? negate(s.c.b, gathered) : gathered);
}

// y = data times or over the product of its updates. The other factors of an update are y / update.
void add_product_gradient(const Scatter& s, bool divide) {
  Context& c = s.c;
  if (c.wanted("data")) {
    c.add("data", s.scattered(c.dy(), c.input("updates"), divide ? "div" : "mul"));
  }
  if (!c.wanted("updates")) return;
  const ValueId weighted = s.gathered(c.b.mul(c.dy(), c.output()));
  const ValueId gradient = c.b.real_div(weighted, c.input("updates"));
  c.add("updates", divide ? negate(c.b, gradient) : gradient);
}

// Equal extremes share the gradient evenly.
void add_extremum_gradient(const Scatter& s) {
  Context& c = s.c;
  const DataType dtype = c.output_type().dtype;
  const ValueId from_data = c.b.cast(c.b.binary("equal", c.input("data"), c.output()), dtype);
  const ValueId from_updates =
      c.b.cast(c.b.binary("equal", c.input("updates"), s.gathered(c.output())), dtype);
  const ValueId count = s.scattered(from_data, from_updates, "add");
  const ValueId share = c.b.real_div(c.dy(), count);
  if (c.wanted("data")) c.add("data", c.b.mul(share, from_data));
  if (c.wanted("updates")) c.add("updates", c.b.mul(s.gathered(share), from_updates));
}

// Overwritten elements do not depend on data. Indices must be unique for the gradient of updates.
void add_update_gradient(const Scatter& s) {
  Context& c = s.c;
  if (c.wanted("data")) {
    c.add("data", s.scattered(c.dy(), zeros(c.b, c.type("updates")), "update"));
  }
  if (c.wanted("updates")) c.add("updates", s.gathered(c.dy()));
}

void differentiate_scatter(const Scatter& s) {
  const std::string mode = s.c.string("mode", "add");
  if (mode == "add" || mode == "sub") return add_sum_gradient(s, mode == "sub");
  if (mode == "mul" || mode == "div") return add_product_gradient(s, mode == "div");
  if (mode == "max" || mode == "min") return add_extremum_gradient(s);
  add_update_gradient(s);
}

void scatter_rule(Context& c) {
  differentiate_scatter({c, "gather", "scatter", c.axis("axis", std::ssize(c.shape("data")), 0)});
}

void scatter_along_axis(Context& c) {
  differentiate_scatter({c, "gather_along_axis", "scatter_along_axis",
                         c.axis("axis", std::ssize(c.shape("data")), 0)});
}

} // namespace

std::span<const RuleEntry> index_rules() {
  static const RuleEntry entries[] = {
      {"gather", gather},        {"gather_along_axis", gather_along_axis},   {"one_hot", nullptr},
      {"scatter", scatter_rule}, {"scatter_along_axis", scatter_along_axis},
  };
  return entries;
}

// Compile-time values, and ops of integers: nothing that is differentiated reaches them.
// `quantize` is missing: its gradient is zero almost everywhere, and training through it would
// silently learn nothing.
std::span<const RuleEntry> constant_rules() {
  static const RuleEntry entries[] = {
      {"const", nullptr},
      {"constexpr_affine_dequantize", nullptr},
      {"constexpr_blockwise_shift_scale", nullptr},
      {"constexpr_cast", nullptr},
      {"constexpr_lut_to_dense", nullptr},
      {"constexpr_sparse_to_dense", nullptr},
      {"dequantize", nullptr},
  };
  return entries;
}

} // namespace anet::mil::gradient
