#include "backend/cpu/generic.h"

#include "backend/cpu/convert.h"

#include <cmath>
#include <limits>

namespace anet::backend::cpu {

namespace {

constexpr int64_t block = 256;

// The operands of a step that walks one axis for every position of the others.
class AxisStep : public Step {
protected:
  AxisStep(const Operand& x, const Operand& output, size_t axis)
      : x_(x), output_(output), load_(load_double(x.dtype)), store_(store_double(output.dtype)),
        extent_(x.shape[axis]), x_step_(x.strides[axis]), output_step_(output.strides[axis]) {
    Shape others = x.shape;
    others[axis] = 1;
    nest_ = make_loop_nest<2>(others, {&output.strides, &x.strides});
  }

  // Calls visit(first element of x's line, first of the output's) for every line.
  template <typename Visit>
  void for_each_line(const RunContext& context, Visit&& visit) const {
    const auto* x = address<std::byte>(context, x_);
    auto* output = address<std::byte>(context, output_);
    const int64_t grain = std::max<int64_t>(1, parallel_grain / extent_);
    context.pool->parallel_for(nest_.elements(), grain, [&](int64_t begin, int64_t end) {
      for_each_row(nest_, begin, end, [&](const auto& offsets, int64_t n) {
        const auto [to, from] = nest_.inner_strides();
        for (int64_t i = 0; i < n; ++i) {
          visit(x + (offsets[1] + i * from) * element_size(x_.dtype),
                output + (offsets[0] + i * to) * element_size(output_.dtype));
        }
      });
    });
  }

  double read(const std::byte* line, int64_t i) const {
    double value;
    load_(line + i * x_step_ * element_size(x_.dtype), 1, &value, 1);
    return value;
  }
  void write(std::byte* line, int64_t i, double value) const {
    store_(&value, line + i * output_step_ * element_size(output_.dtype), 1, 1);
  }

  Operand x_, output_;
  LoadDouble load_;
  StoreDouble store_;
  int64_t extent_, x_step_, output_step_;
  LoopNest<2> nest_;
};

class CumsumStep final : public AxisStep {
public:
  CumsumStep(const Operand& x, const Operand& output, size_t axis, bool exclusive, bool reverse)
      : AxisStep(x, output, axis), exclusive_(exclusive), reverse_(reverse) {}

  // Lines that are neighbours in memory advance together, a row of them at a time.
  void run(const RunContext& context) const override {
    const auto* x = address<std::byte>(context, x_);
    auto* output = address<std::byte>(context, output_);
    const int64_t grain = std::max<int64_t>(1, parallel_grain / extent_);
    context.pool->parallel_for(nest_.elements(), grain, [&](int64_t begin, int64_t end) {
      for_each_row(nest_, begin, end, [&](const auto& offsets, int64_t length) {
        const auto [to, from] = nest_.inner_strides();
        const int64_t lines = from == 1 ? block : 1;
        for (int64_t done = 0; done < length; done += lines) {
          const std::byte* source = x + (offsets[1] + done * from) * element_size(x_.dtype);
          std::byte* target = output + (offsets[0] + done * to) * element_size(output_.dtype);
          if (lines == 1) {
            run_line(source, target);
          } else {
            run_lines(source, target, std::min(lines, length - done));
          }
        }
      });
    });
  }

private:
  void run_line(const std::byte* x, std::byte* output) const {
    double sum = 0;
    double values[block], sums[block];
    for (int64_t done = 0; done < extent_; done += block) {
      const int64_t n = std::min(block, extent_ - done);
      const int64_t first = reverse_ ? extent_ - done - n : done;
      load_(x + first * x_step_ * element_size(x_.dtype), x_step_, values, n);
      for (int64_t step = 0; step < n; ++step) {
        const int64_t i = reverse_ ? n - 1 - step : step;
        const double before = sum;
        sum += values[i];
        sums[i] = exclusive_ ? before : sum;
      }
      store_(sums, output + first * output_step_ * element_size(output_.dtype), output_step_, n);
    }
  }

  void run_lines(const std::byte* x, std::byte* output, int64_t n) const {
    const auto [to, from] = nest_.inner_strides();
    double sums[block] = {};
    double values[block];
    for (int64_t step = 0; step < extent_; ++step) {
      const int64_t i = reverse_ ? extent_ - 1 - step : step;
      std::byte* target = output + i * output_step_ * element_size(output_.dtype);
      load_(x + i * x_step_ * element_size(x_.dtype), from, values, n);
      if (exclusive_) store_(sums, target, to, n);
      for (int64_t line = 0; line < n; ++line) sums[line] += values[line];
      if (!exclusive_) store_(sums, target, to, n);
    }
  }

  bool exclusive_, reverse_;
};

class ArgStep final : public AxisStep {
public:
  ArgStep(const Operand& x, const Operand& output, size_t axis, bool greatest)
      : AxisStep(x, output, axis), greatest_(greatest) {}

  void run(const RunContext& context) const override {
    for_each_line(context, [&](const std::byte* x, std::byte* output) {
      int64_t best = 0;
      double extreme = read(x, 0);
      for (int64_t i = 1; i < extent_; ++i) {
        const double value = read(x, i);
        if (greatest_ ? value > extreme : value < extreme) {
          best = i;
          extreme = value;
        }
      }
      write(output, 0, static_cast<double>(best));
    });
  }

private:
  bool greatest_;
};

int32_t wrap_product(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b));
}

class IntegerReduceStep final : public Step {
public:
  IntegerReduceStep(Reduction reduction, const Operand& x, const Operand& output)
      : reduction_(reduction), x_(x), output_(output), load_(load_double(x.dtype)),
        store_(store_double(output.dtype)) {
    Shape kept_shape = output.shape, reduced_shape = x.shape;
    for (size_t d = 0; d < x.shape.size(); ++d) {
      if (output.shape[d] == x.shape[d]) reduced_shape[d] = 1;
    }
    kept_ = make_loop_nest<2>(kept_shape, {&output.strides, &x.strides});
    reduced_ = make_loop_nest<1>(reduced_shape, {&x.strides});
  }

  void run(const RunContext& context) const override {
    const auto* x = address<std::byte>(context, x_);
    auto* output = address<std::byte>(context, output_);
    const int64_t grain = std::max<int64_t>(1, parallel_grain / reduced_.elements());
    context.pool->parallel_for(kept_.elements(), grain, [&](int64_t begin, int64_t end) {
      for_each_row(kept_, begin, end, [&](const auto& offsets, int64_t n) {
        const auto [to, from] = kept_.inner_strides();
        for (int64_t i = 0; i < n; ++i) {
          const double value = reduce(x + (offsets[1] + i * from) * element_size(x_.dtype));
          store_(&value, output + (offsets[0] + i * to) * element_size(output_.dtype), 1, 1);
        }
      });
    });
  }

private:
  double identity() const {
    switch (reduction_) {
    case Reduction::max:
      return -std::numeric_limits<double>::infinity();
    case Reduction::min:
      return std::numeric_limits<double>::infinity();
    case Reduction::product:
      return 1;
    default:
      return 0;
    }
  }

  double update(double total, double value, double shift) const {
    switch (reduction_) {
    case Reduction::max:
      return std::fmax(total, value);
    case Reduction::min:
      return std::fmin(total, value);
    case Reduction::product:
      // Wraps on the way, so that a long product stays exact.
      return wrap_product(static_cast<int32_t>(total), static_cast<int32_t>(value));
    case Reduction::sum_square:
    case Reduction::l2_norm:
      return total + value * value;
    case Reduction::l1_norm:
      return total + std::fabs(value);
    case Reduction::log_sum_exp:
      return total + std::exp(value - shift);
    default:
      return total + value;
    }
  }

  template <typename Visit>
  void for_each_value(const std::byte* x, Visit&& visit) const {
    const int64_t stride = reduced_.inner_strides()[0];
    const int64_t size = element_size(x_.dtype);
    for_each_row(reduced_, 0, reduced_.elements(), [&](const auto& offsets, int64_t length) {
      double values[block];
      for (int64_t done = 0; done < length; done += block) {
        const int64_t n = std::min(block, length - done);
        load_(x + (offsets[0] + done * stride) * size, stride, values, n);
        for (int64_t i = 0; i < n; ++i) visit(values[i]);
      }
    });
  }

  double reduce(const std::byte* x) const {
    double shift = 0;
    if (reduction_ == Reduction::log_sum_exp) {
      shift = -std::numeric_limits<double>::infinity();
      for_each_value(x, [&](double value) { shift = std::fmax(shift, value); });
    }
    double total = identity();
    for_each_value(x, [&](double value) { total = update(total, value, shift); });
    switch (reduction_) {
    case Reduction::mean:
      return total / static_cast<double>(reduced_.elements());
    case Reduction::l2_norm:
      return std::sqrt(total);
    case Reduction::log_sum:
      return std::log(total);
    case Reduction::log_sum_exp:
      return shift + std::log(total);
    default:
      return total;
    }
  }

  Reduction reduction_;
  Operand x_, output_;
  LoadDouble load_;
  StoreDouble store_;
  LoopNest<2> kept_;
  LoopNest<1> reduced_;
};

class IntegerMatmulStep final : public Step {
public:
  IntegerMatmulStep(const Operand& a, const Operand& b, const Operand& c) : a_(a), b_(b), c_(c) {
    const size_t rank = c.shape.size();
    Shape a_shape = c.shape, b_shape = c.shape;
    a_shape[rank - 1] = a.shape.back();
    b_shape[rank - 2] = a.shape.back();
    depth_ = a.shape.back();
    Strides a_strides = broadcast_view(a, a_shape).strides;
    Strides b_strides = broadcast_view(b, b_shape).strides;
    a_step_ = a_strides[rank - 1];
    b_step_ = b_strides[rank - 2];
    a_strides[rank - 1] = 0;
    b_strides[rank - 2] = 0;
    nest_ = make_loop_nest<3>(c.shape, {&c.strides, &a_strides, &b_strides});
  }

  void run(const RunContext& context) const override {
    const auto* a = address<int32_t>(context, a_);
    const auto* b = address<int32_t>(context, b_);
    auto* c = address<int32_t>(context, c_);
    const int64_t grain = std::max<int64_t>(1, parallel_grain / depth_);
    context.pool->parallel_for(nest_.elements(), grain, [&](int64_t begin, int64_t end) {
      for_each_row(nest_, begin, end, [&](const auto& offsets, int64_t n) {
        const auto [to, from_a, from_b] = nest_.inner_strides();
        for (int64_t i = 0; i < n; ++i) {
          c[offsets[0] + i * to] = dot(a + offsets[1] + i * from_a, b + offsets[2] + i * from_b);
        }
      });
    });
  }

private:
  int32_t dot(const int32_t* a, const int32_t* b) const {
    uint32_t sum = 0;
    for (int64_t k = 0; k < depth_; ++k) {
      sum += static_cast<uint32_t>(a[k * a_step_]) * static_cast<uint32_t>(b[k * b_step_]);
    }
    return static_cast<int32_t>(sum);
  }

  Operand a_, b_, c_;
  int64_t depth_ = 0, a_step_ = 0, b_step_ = 0;
  LoopNest<3> nest_;
};

} // namespace

std::unique_ptr<Step> make_cumsum_step(const Operand& x, const Operand& output, size_t axis,
                                       bool exclusive, bool reverse) {
  return std::make_unique<CumsumStep>(x, output, axis, exclusive, reverse);
}

std::unique_ptr<Step> make_arg_step(const Operand& x, const Operand& output, size_t axis,
                                    bool greatest) {
  return std::make_unique<ArgStep>(x, output, axis, greatest);
}

std::unique_ptr<Step> make_integer_reduce_step(Reduction reduction, const Operand& x,
                                               const Operand& output) {
  return std::make_unique<IntegerReduceStep>(reduction, x, output);
}

std::unique_ptr<Step> make_integer_matmul_step(const Operand& a, const Operand& b,
                                               const Operand& c) {
  return std::make_unique<IntegerMatmulStep>(a, b, c);
}

} // namespace anet::backend::cpu
