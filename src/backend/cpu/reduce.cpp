#include "backend/cpu/reduce.h"

#include "backend/cpu/reduce_kernels.h"

#include <cmath>
#include <limits>
#include <utility>

namespace anet::backend::cpu {

Accumulation accumulation_of(Reduction reduction) {
  switch (reduction) {
  case Reduction::max:
    return Accumulation::max;
  case Reduction::min:
    return Accumulation::min;
  case Reduction::product:
    return Accumulation::product;
  case Reduction::sum_square:
  case Reduction::l2_norm:
    return Accumulation::sum_square;
  case Reduction::l1_norm:
    return Accumulation::sum_abs;
  case Reduction::log_sum_exp:
    return Accumulation::sum_exp;
  default:
    return Accumulation::sum;
  }
}

double fold_identity(Accumulation accumulation) {
  switch (accumulation) {
  case Accumulation::max:
    return -std::numeric_limits<double>::infinity();
  case Accumulation::min:
    return std::numeric_limits<double>::infinity();
  case Accumulation::product:
    return 1;
  default:
    return 0;
  }
}

double fold(Accumulation accumulation, double a, double b) {
  switch (accumulation) {
  case Accumulation::max:
    return std::isnan(a) || a > b ? a : b;
  case Accumulation::min:
    return std::isnan(a) || a < b ? a : b;
  case Accumulation::product:
    return a * b;
  default:
    return a + b;
  }
}

double finish_fold(Reduction reduction, double value, double shift, int64_t count) {
  switch (reduction) {
  case Reduction::mean:
    return value / static_cast<double>(count);
  case Reduction::l2_norm:
    return std::sqrt(value);
  case Reduction::log_sum:
    return std::log(value);
  case Reduction::log_sum_exp:
    return shift + std::log(value);
  default:
    return value;
  }
}

namespace {

constexpr int64_t column_chunk = 128; // rows that are summed in float before double takes over
constexpr int64_t max_parts = 64;     // of one long reduction that threads share
constexpr int64_t min_part = 8192;    // values of a part
constexpr int64_t min_block = 32;
constexpr int64_t min_long_column = 1024;
constexpr int64_t max_shared = 8; // outputs: more give every thread enough of its own

} // namespace

bool shares_reductions(int64_t reductions, int64_t extent) {
  return reductions < max_shared && extent >= 2 * min_part;
}

ColumnFold::ColumnFold(Accumulation accumulation, ReduceKernels::Column kernel, int64_t n)
    : accumulation_(accumulation), kernel_(kernel), n_(n) {
  std::fill_n(total_.begin(), n, fold_identity(accumulation));
  std::fill_n(partial_.begin(), n, static_cast<float>(fold_identity(accumulation)));
}

void ColumnFold::add(const float* row, const float* shift) {
  kernel_(partial_.data(), row, n_, shift);
  if (++rows_ == column_chunk) flush();
}

const double* ColumnFold::totals() {
  flush();
  return total_.data();
}

void ColumnFold::flush() {
  const double identity = fold_identity(accumulation_);
  for (size_t i = 0; i < static_cast<size_t>(n_); ++i) {
    total_[i] = fold(accumulation_, total_[i], partial_[i]);
    partial_[i] = static_cast<float>(identity);
  }
  rows_ = 0;
}

namespace {

class ReduceStep final : public Step {
public:
  ReduceStep(Reduction reduction, const Operand& x, const Operand& output)
      : reduction_(reduction), accumulation_(accumulation_of(reduction)), x_(x), output_(output),
        kernels_(reduce_kernels(accumulation_)), max_(reduce_kernels(Accumulation::max)) {
    Shape kept_shape, reduced_shape;
    Strides kept_x, kept_output, reduced_x;
    for (size_t d = 0; d < x.shape.size(); ++d) {
      const bool reduced = output.shape[d] != x.shape[d];
      (reduced ? reduced_shape : kept_shape).push_back(x.shape[d]);
      (reduced ? reduced_x : kept_x).push_back(x.strides[d]);
      if (!reduced) kept_output.push_back(output.strides[d]);
    }
    kept_ = make_loop_nest<2>(kept_shape, {&kept_x, &kept_output});
    reduced_ = make_loop_nest<1>(reduced_shape, {&reduced_x});
    by_columns_ = kept_.inner_strides()[0] == 1 && kept_.inner() > 1 &&
                  (reduced_.inner_strides()[0] != 1 || reduced_.inner() == 1);
    const int64_t columns = kept_.elements();
    block_ = columns >= 4096 ? max_fold_columns : min_block;
  }

  // Null when this step does the work.
  std::unique_ptr<Step> better_step() const {
    const bool long_columns =
        by_columns_ && reduced_.rank == 1 && reduced_.elements() >= min_long_column;
    if (reduction_ != Reduction::log_sum_exp || !long_columns) return nullptr;
    return make_log_sum_exp_step(x_, output_, kept_, reduced_.elements(),
                                 reduced_.inner_strides()[0]);
  }

  void run(const RunContext& context) const override {
    const float* x = address<float>(context, x_);
    float* output = address<float>(context, output_);
    if (by_columns_) return run_columns(context, x, output);
    // Few long reductions: the threads share each. Its parts do not depend on their number.
    const bool shared = shares_reductions(kept_.elements(), reduced_.elements());
    const auto reduce_outputs = [&](int64_t begin, int64_t end) {
      for_each_row(kept_, begin, end, [&](const auto& offsets, int64_t n) {
        const auto [from, to] = kept_.inner_strides();
        for (int64_t i = 0; i < n; ++i) {
          output[offsets[1] + i * to] =
              reduce_one(x + offsets[0] + i * from, shared ? context.pool : nullptr);
        }
      });
    };
    if (shared) return reduce_outputs(0, kept_.elements());
    const int64_t grain = std::max<int64_t>(1, parallel_grain / reduced_.elements());
    context.pool->parallel_for(kept_.elements(), grain, reduce_outputs);
  }

private:
  float reduce_one(const float* x, ThreadPool* pool) const {
    const auto total = [&](ReduceKernels::Row kernel, Accumulation accumulation, float shift) {
      if (pool != nullptr) return accumulate_parts(*pool, x, kernel, accumulation, shift);
      return accumulate(x, kernel, accumulation, shift, 0, reduced_.elements());
    };
    if (reduction_ != Reduction::log_sum_exp) {
      return static_cast<float>(finish(total(kernels_.row, accumulation_, 0), 0));
    }
    const double largest = total(max_.row, Accumulation::max, 0);
    if (std::isinf(largest)) return static_cast<float>(largest);
    const auto shift = static_cast<float>(largest);
    return static_cast<float>(finish(total(kernels_.row, accumulation_, shift), shift));
  }

  double accumulate_parts(ThreadPool& pool, const float* x, ReduceKernels::Row kernel,
                          Accumulation accumulation, float shift) const {
    const int64_t count = reduced_.elements();
    const int64_t parts = std::min(max_parts, count / min_part);
    double totals[max_parts];
    pool.parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) {
        totals[part] = accumulate(x, kernel, accumulation, shift, count * part / parts,
                                  count * (part + 1) / parts);
      }
    });
    double total = fold_identity(accumulation);
    for (int64_t part = 0; part < parts; ++part) total = fold(accumulation, total, totals[part]);
    return total;
  }

  // Over the elements [begin, end) of one reduction.
  double accumulate(const float* x, ReduceKernels::Row kernel, Accumulation accumulation,
                    float shift, int64_t begin, int64_t end) const {
    double total = fold_identity(accumulation);
    const int64_t stride = reduced_.inner_strides()[0];
    float gathered[max_fold_values];
    for_each_row(reduced_, begin, end, [&](const auto& offsets, int64_t length) {
      for (int64_t done = 0; done < length; done += max_fold_values) {
        const int64_t n = std::min(max_fold_values, length - done);
        const float* values = x + offsets[0] + done * stride;
        if (stride != 1) {
          for (int64_t i = 0; i < n; ++i) gathered[i] = values[i * stride];
          values = gathered;
        }
        total = fold(accumulation, total, kernel(values, n, shift));
      }
    });
    return total;
  }

  double finish(double value, double shift) const {
    return finish_fold(reduction_, value, shift, reduced_.elements());
  }

  // Every task owns a block of neighbouring columns and walks all rows.
  void run_columns(const RunContext& context, const float* x, float* output) const {
    const int64_t blocks = (kept_.inner() + block_ - 1) / block_;
    const int64_t outer = kept_.elements() / kept_.inner();
    const int64_t work = std::max<int64_t>(1, block_ * reduced_.elements());
    const int64_t grain = std::max<int64_t>(1, parallel_grain / work);
    context.pool->parallel_for(outer * blocks, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i / blocks * kept_.inner() + i % blocks * block_;
        const int64_t n = std::min(block_, kept_.inner() - i % blocks * block_);
        for_each_row(kept_, first, first + n, [&](const auto& offsets, int64_t length) {
          reduce_block(x + offsets[0], output + offsets[1], length);
        });
      }
    });
  }

  // So few rows that a sum of them stays in float: it needs no totals.
  bool sums_few_rows() const {
    return reduction_ == Reduction::sum && reduced_.elements() <= column_chunk &&
           kept_.inner_strides()[1] == 1;
  }

  void reduce_block(const float* x, float* output, int64_t n) const {
    float shift[max_fold_columns] = {};
    if (sums_few_rows()) {
      std::fill_n(output, n, 0.0f);
      return for_each_reduced_row(
          x, [&](const float* row) { kernels_.column(output, row, n, shift); });
    }
    if (reduction_ == Reduction::log_sum_exp) {
      ColumnFold largest(Accumulation::max, max_.column, n);
      fold_columns(x, shift, largest);
      const double* maxima = largest.totals();
      for (int64_t i = 0; i < n; ++i) {
        const double value = maxima[i];
        shift[i] = std::isinf(value) ? 0.0f : static_cast<float>(value);
      }
    }
    ColumnFold sum(accumulation_, kernels_.column, n);
    fold_columns(x, shift, sum);
    const double* totals = sum.totals();
    const int64_t stride = kept_.inner_strides()[1];
    for (int64_t i = 0; i < n; ++i) {
      output[i * stride] = static_cast<float>(finish(totals[i], shift[i]));
    }
  }

  void fold_columns(const float* x, const float* shift, ColumnFold& columns) const {
    for_each_reduced_row(x, [&](const float* row) { columns.add(row, shift); });
  }

  template <typename Function>
  void for_each_reduced_row(const float* x, Function&& function) const {
    const int64_t stride = reduced_.inner_strides()[0];
    for_each_row(reduced_, 0, reduced_.elements(), [&](const auto& offsets, int64_t length) {
      for (int64_t row = 0; row < length; ++row) function(x + offsets[0] + row * stride);
    });
  }

  Reduction reduction_;
  Accumulation accumulation_;
  Operand x_, output_;
  ReduceKernels kernels_, max_;
  LoopNest<2> kept_;
  LoopNest<1> reduced_;
  bool by_columns_ = false;
  int64_t block_ = max_fold_columns;
};

} // namespace

std::optional<Reduction> reduction_from_op(std::string_view op) {
  static constexpr std::pair<std::string_view, Reduction> names[] = {
      {"reduce_sum", Reduction::sum},         {"reduce_mean", Reduction::mean},
      {"reduce_max", Reduction::max},         {"reduce_min", Reduction::min},
      {"reduce_prod", Reduction::product},    {"reduce_sum_square", Reduction::sum_square},
      {"reduce_l1_norm", Reduction::l1_norm}, {"reduce_l2_norm", Reduction::l2_norm},
      {"reduce_log_sum", Reduction::log_sum}, {"reduce_log_sum_exp", Reduction::log_sum_exp},
  };
  for (const auto& [name, reduction] : names) {
    if (name == op) return reduction;
  }
  return std::nullopt;
}

std::unique_ptr<Step> make_reduce_step(Reduction reduction, const Operand& x,
                                       const Operand& output) {
  auto step = std::make_unique<ReduceStep>(reduction, x, output);
  if (auto better = step->better_step()) return better;
  return step;
}

bool reduces_as_stored(Reduction reduction, const Operand& x, const Operand& output) {
  return mil::is_floating(x.dtype) && ReduceStep(reduction, x, output).better_step() != nullptr;
}

} // namespace anet::backend::cpu
