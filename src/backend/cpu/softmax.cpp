#include "backend/cpu/reduce.h"
#include "backend/cpu/reduce_kernels.h"

#include <limits>

namespace anet::backend::cpu {

namespace {

constexpr int64_t block = 64; // columns of a task

// Everything but the axis.
struct OtherDimensions {
  Shape shape;
  Strides x, output;

  OtherDimensions(const Operand& from, const Operand& to, size_t axis) {
    for (size_t d = 0; d < from.shape.size(); ++d) {
      if (d == axis) continue;
      shape.push_back(from.shape[d]);
      x.push_back(from.strides[d]);
      output.push_back(to.strides[d]);
    }
  }
  LoopNest<2> nest() const { return make_loop_nest<2>(shape, {&x, &output}); }
};

bool axis_is_contiguous(const Operand& x, const Operand& output, size_t axis) {
  return (x.strides[axis] == 1 && output.strides[axis] == 1) || x.shape[axis] == 1;
}

class SoftmaxStep final : public Step {
public:
  SoftmaxStep(const Operand& x, const Operand& output, size_t axis)
      : x_(x), output_(output), nest_(OtherDimensions(x, output, axis).nest()),
        extent_(x.shape[axis]), x_stride_(x.strides[axis]), output_stride_(output.strides[axis]),
        by_rows_(axis_is_contiguous(x, output, axis)) {}

  void run(const RunContext& context) const override {
    const float* x = address<float>(context, x_);
    float* y = address<float>(context, output_);
    if (by_rows_) {
      const int64_t grain = std::max<int64_t>(1, parallel_grain / 4 / extent_);
      context.pool->parallel_for(nest_.elements(), grain, [&](int64_t begin, int64_t end) {
        for_each_row(nest_, begin, end, [&](const auto& offsets, int64_t n) {
          const auto [from, to] = nest_.inner_strides();
          for (int64_t i = 0; i < n; ++i) {
            softmax_row(x + offsets[0] + i * from, y + offsets[1] + i * to, extent_);
          }
        });
      });
      return;
    }
    const int64_t blocks = (nest_.inner() + block - 1) / block;
    const int64_t outer = nest_.elements() / nest_.inner();
    const int64_t grain = std::max<int64_t>(1, parallel_grain / 4 / (extent_ * block));
    context.pool->parallel_for(outer * blocks, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i / blocks * nest_.inner() + i % blocks * block;
        const int64_t n = std::min(block, nest_.inner() - i % blocks * block);
        for_each_row(nest_, first, first + n, [&](const auto& offsets, int64_t length) {
          softmax_columns(x + offsets[0], y + offsets[1], length);
        });
      }
    });
  }

private:
  void softmax_columns(const float* x, float* y, int64_t n) const {
    const ReduceKernels max = reduce_kernels(Accumulation::max);
    const float unused[block] = {};
    float largest[block];
    float sum[block] = {};
    std::fill(largest, largest + n, -std::numeric_limits<float>::infinity());
    for (int64_t i = 0; i < extent_; ++i) max.column(largest, x + i * x_stride_, n, unused);
    for (int64_t i = 0; i < extent_; ++i) {
      exp_columns(x + i * x_stride_, y + i * output_stride_, largest, sum, n);
    }
    for (int64_t i = 0; i < n; ++i) sum[i] = 1.0f / sum[i];
    for (int64_t i = 0; i < extent_; ++i) scale_columns(y + i * output_stride_, sum, n);
  }

  Operand x_, output_;
  LoopNest<2> nest_;
  int64_t extent_, x_stride_, output_stride_;
  bool by_rows_;
};

} // namespace

bool softmax_fits(const Operand& x, const Operand& output, size_t axis) {
  if (axis_is_contiguous(x, output, axis)) return true;
  const LoopNest<2> nest = OtherDimensions(x, output, axis).nest();
  return nest.inner_strides()[0] == 1 && nest.inner_strides()[1] == 1;
}

std::unique_ptr<Step> make_softmax_step(const Operand& x, const Operand& output, size_t axis) {
  return std::make_unique<SoftmaxStep>(x, output, axis);
}

} // namespace anet::backend::cpu
