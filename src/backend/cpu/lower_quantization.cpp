// quantize, dequantize and compressed constants. The latter depend on constants alone: a matrix
// stays as it is for the products that read it, others run when the kernel is compiled and what the
// kernel keeps is their dense result.
#include "backend/cpu/lowering.h"

#include "backend/cpu/convert.h"

#include <cmath>

namespace anet::backend::cpu {

namespace {

// A scale or zero point, scalar or one an entry of `axis`, as a tensor that broadcasts to x.
Operand along_axis(const Operand& parameter, const Operand& x, size_t axis) {
  Operand spread = parameter;
  spread.shape.assign(x.shape.size(), 1);
  spread.strides.assign(x.shape.size(), 0);
  if (parameter.elements() > 1) {
    spread.shape[axis] = parameter.shape[0];
    spread.strides[axis] = parameter.strides[0];
  }
  return spread;
}

struct Affine {
  Operand scale, zero;
};

Affine read_affine(Lowering& l, const Operand& x) {
  const size_t axis =
      l.has("axis") && x.rank() > 0 ? normalize_axis(l.integer("axis"), x.rank()) : 0;
  const Operand zero =
      l.has("zero_point") ? l.operand("zero_point") : l.constant(DataType::int8, 0);
  return {along_axis(l.operand("scale"), x, axis), along_axis(zero, x, axis)};
}

void quantize(Lowering& l) {
  if (l.is_bound()) return;
  const Operand x = l.operand("input");
  const Affine affine = read_affine(l, x);
  const bool is_signed = l.result_type().dtype == DataType::int8;
  const PointwiseParameters range = {is_signed ? -128.0f : 0.0f, is_signed ? 127.0f : 255.0f, 0};
  const std::optional<Operand> layout = l.int8_layout();
  const Operand output = layout ? l.result_in(*layout) : l.result(0, &x);
  l.pointwise("quantize", {x, affine.scale, affine.zero}, output, range);
}

void dequantize(Lowering& l) {
  if (l.keep_dequantized()) return;
  const Operand x = l.operand("input");
  const Affine affine = read_affine(l, x);
  l.pointwise("dequantize", {x, affine.scale, affine.zero}, l.result(0, &x));
}

void affine_dequantize(Lowering& l) {
  if (l.keep_compressed()) return;
  const Operand x = l.operand("quantized_data");
  const Affine affine = read_affine(l, x);
  l.pointwise("dequantize", {x, affine.scale, affine.zero}, l.result());
}

// Each axis of the data is seen as [blocks, block size], along which the scale repeats.
void blockwise_shift_scale(Lowering& l) {
  if (l.keep_compressed()) return;
  const Operand data = l.operand("data");
  const Operand scale = l.operand("scale");
  const Operand offset = l.has("offset") ? l.operand("offset") : l.constant(DataType::int8, 0);
  const Operand output = l.result();
  const auto blocked = [&](const Operand& x) {
    Operand view = x;
    view.shape.clear();
    view.strides.clear();
    for (size_t d = 0; d < data.shape.size(); ++d) {
      const int64_t blocks = scale.shape[d], size = data.shape[d] / blocks;
      view.shape.insert(view.shape.end(), {blocks, size});
      if (x.shape.empty()) {
        view.strides.insert(view.strides.end(), {0, 0});
      } else if (x.shape == data.shape) {
        view.strides.insert(view.strides.end(), {x.strides[d] * size, x.strides[d]});
      } else {
        view.strides.insert(view.strides.end(), {x.strides[d], 0});
      }
    }
    return view;
  };
  l.pointwise("dequantize", {blocked(data), blocked(scale), blocked(offset)}, blocked(output));
}

// Reads and writes single elements of dense operands.
struct Element {
  LoadDouble load;
  StoreDouble store;
  int64_t size;

  explicit Element(const Operand& x)
      : load(load_double(x.dtype)), store(store_double(x.dtype)), size(element_size(x.dtype)) {}
  double read(const std::byte* base, int64_t i) const {
    double value;
    load(base + i * size, 1, &value, 1);
    return value;
  }
  void write(std::byte* base, int64_t i, double value) const {
    store(&value, base + i * size, 1, 1);
  }
};

// indices [d...], lut [g..., palette, vector]: the vectors follow each other along one axis.
class LookupStep final : public Step {
public:
  LookupStep(const Operand& indices, const Operand& lut, const Operand& output, size_t axis)
      : indices_(indices), lut_(lut), output_(output), axis_(axis) {}

  void run(const RunContext& context) const override {
    const auto* indices = address<std::byte>(context, indices_);
    const auto* lut = address<std::byte>(context, lut_);
    auto* output = address<std::byte>(context, output_);
    const Element index_element(indices_), lut_element(lut_), output_element(output_);
    const size_t rank = indices_.shape.size();
    const int64_t palette = lut_.shape[rank], vector = lut_.shape[rank + 1];
    context.pool->parallel_for(indices_.elements(), 1024, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto [table, target] = place(i, vector);
        const auto entry = static_cast<int64_t>(index_element.read(indices, i));
        for (int64_t v = 0; v < vector; ++v) {
          const double value = lut_element.read(lut, (table * palette + entry) * vector + v);
          output_element.write(output, target + v * output_.strides[axis_], value);
        }
      }
    });
  }

private:
  struct Place {
    int64_t table;  // which lookup table
    int64_t target; // offset of the first element in the output
  };

  Place place(int64_t i, int64_t vector) const {
    Place result{0, 0};
    int64_t table_stride = 1;
    for (size_t d = indices_.shape.size(); d-- > 0;) {
      const int64_t at = i % indices_.shape[d];
      i /= indices_.shape[d];
      result.table += at / (indices_.shape[d] / lut_.shape[d]) * table_stride;
      table_stride *= lut_.shape[d];
      result.target += at * (d == axis_ ? vector : 1) * output_.strides[d];
    }
    return result;
  }

  Operand indices_, lut_, output_;
  size_t axis_;
};

void lut_to_dense(Lowering& l) {
  if (l.keep_compressed()) return;
  const Operand indices = l.dense(l.operand("indices"));
  const Operand lut = l.dense(l.operand("lut"));
  const Operand output = l.result();
  const size_t axis =
      l.has("vector_axis") ? normalize_axis(l.integer("vector_axis"), indices.rank()) : 0;
  l.emit(std::make_unique<LookupStep>(indices, lut, output, axis), {&indices, &lut, &output});
}

// The non-zero elements, in order, at the positions where the mask is set.
class ExpandStep final : public Step {
public:
  ExpandStep(const Operand& data, const Operand& mask, const Operand& output)
      : data_(data), mask_(mask), output_(output) {}

  void run(const RunContext& context) const override {
    const auto* data = address<std::byte>(context, data_);
    const auto* mask = address<std::byte>(context, mask_);
    auto* output = address<std::byte>(context, output_);
    const Element data_element(data_), mask_element(mask_), output_element(output_);
    int64_t next = 0;
    const LoopNest<1> nest = make_loop_nest<1>(output_.shape, {&output_.strides}, LoopOrder::given);
    int64_t position = 0;
    for_each_row(nest, 0, nest.elements(), [&](const auto& offsets, int64_t n) {
      for (int64_t i = 0; i < n; ++i, ++position) {
        const bool set = mask_element.read(mask, position) != 0;
        output_element.write(output, offsets[0] + i * nest.inner_strides()[0],
                             set ? data_element.read(data, next++) : 0.0);
      }
    });
  }

private:
  Operand data_, mask_, output_;
};

void sparse_to_dense(Lowering& l) {
  const Operand data = l.dense(l.operand("nonzero_data"));
  const Operand mask = l.dense(l.operand("mask"));
  const Operand output = l.result();
  l.emit(std::make_unique<ExpandStep>(data, mask, output), {&data, &mask, &output});
}

void constexpr_cast(Lowering& l) { l.cast(l.operand("source_val"), l.result()); }

} // namespace

LoweringRule quantization_rule(std::string_view op) {
  static const std::map<std::string_view, LoweringRule> rules = {
      {"constexpr_affine_dequantize", affine_dequantize},
      {"constexpr_blockwise_shift_scale", blockwise_shift_scale},
      {"constexpr_cast", constexpr_cast},
      {"constexpr_lut_to_dense", lut_to_dense},
      {"constexpr_sparse_to_dense", sparse_to_dense},
      {"dequantize", dequantize},
      {"quantize", quantize},
  };
  const auto found = rules.find(op);
  return found == rules.end() ? nullptr : found->second;
}

} // namespace anet::backend::cpu
