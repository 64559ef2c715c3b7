// log(sum(exp(x))) down long columns, such as the logits over a vocabulary: tiles of rows are read
// once, while a running maximum keeps the sums in range (Milakov & Gimelshein 2018).
#include "backend/cpu/convert.h"
#include "backend/cpu/reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace anet::backend::cpu {

namespace {

constexpr int64_t max_parts = 32;  // of the rows, for the threads; the sums depend on them
constexpr int64_t part_rows = 512; // at least
constexpr int64_t tile_rows = 64;  // of 256 columns: they stay in the L1 or L2 cache

// What an exponent is reduced by: nothing where only infinities are.
float shift_of(float largest) { return std::isinf(largest) ? 0.0f : largest; }

class LogSumExpStep final : public Step {
public:
  LogSumExpStep(const Operand& x, const Operand& output, const LoopNest<2>& kept, int64_t rows,
                int64_t row_stride)
      : x_(x), output_(output), kept_(kept), rows_(rows), row_stride_(row_stride),
        parts_(std::clamp<int64_t>(rows / part_rows, 1, max_parts)),
        load_(x.dtype == DataType::fp32 ? nullptr : load_float(x.dtype)),
        max_(reduce_kernels(Accumulation::max).column),
        sum_exp_(reduce_kernels(Accumulation::sum_exp).column) {}

  void run(const RunContext& context) const override {
    const auto* x = address<std::byte>(context, x_);
    const int64_t size = element_size(x_.dtype);
    float* output = address<float>(context, output_);
    const int64_t stride = kept_.inner_strides()[1];
    for_each_row(kept_, 0, kept_.elements(), [&](const auto& offsets, int64_t length) {
      for (int64_t done = 0; done < length; done += max_fold_columns) {
        const int64_t n = std::min(max_fold_columns, length - done);
        reduce(*context.pool, x + (offsets[0] + done) * size, n,
               output + offsets[1] + done * stride, stride);
      }
    });
  }

private:
  struct Part {
    std::array<float, max_fold_columns> largest;
    std::array<double, max_fold_columns> sum; // of exponents less shift_of(largest)
  };

  using Tile = std::array<float, static_cast<size_t>(tile_rows* max_fold_columns)>;

  void reduce(ThreadPool& pool, const std::byte* x, int64_t n, float* output,
              int64_t stride) const {
    std::array<Part, max_parts> parts;
    pool.parallel_for(parts_, std::max<int64_t>(1, parallel_grain / (rows_ / parts_ * n)),
                      [&](int64_t begin, int64_t end) {
                        for (int64_t i = begin; i < end; ++i)
                          reduce_part(x, n, i, parts[static_cast<size_t>(i)]);
                      });
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      float largest = -std::numeric_limits<float>::infinity();
      for (size_t p = 0; p < static_cast<size_t>(parts_); ++p)
        largest = static_cast<float>(fold(Accumulation::max, largest, parts[p].largest[i]));
      const float shift = shift_of(largest);
      double total = 0;
      for (size_t p = 0; p < static_cast<size_t>(parts_); ++p)
        total += rescaled(parts[p].sum[i], shift_of(parts[p].largest[i]), shift);
      output[static_cast<int64_t>(i) * stride] = static_cast<float>(shift + std::log(total));
    }
  }

  static double rescaled(double sum, float from, float to) {
    return sum == 0 || from == to ? sum : sum * std::exp(double{from} - double{to});
  }

  // Rows of n values from `row` on, and how far apart they are: as they are in fp32, else in
  // `tile`.
  std::pair<const float*, int64_t> values_of(const std::byte* x, int64_t row, int64_t last,
                                             int64_t n, Tile& tile) const {
    if (load_ == nullptr)
      return {reinterpret_cast<const float*>(x) + row * row_stride_, row_stride_};
    for (int64_t r = row; r < last; ++r)
      load_(x + r * row_stride_ * element_size(x_.dtype), 1, tile.data() + (r - row) * n, n);
    return {tile.data(), n};
  }

  void reduce_part(const std::byte* x, int64_t n, int64_t index, Part& part) const {
    Tile tile;
    const auto count = static_cast<size_t>(n);
    std::fill_n(part.largest.begin(), count, -std::numeric_limits<float>::infinity());
    std::fill_n(part.sum.begin(), count, 0.0);
    std::array<float, max_fold_columns> largest, shift, sum;
    const int64_t end = rows_ * (index + 1) / parts_;
    for (int64_t row = rows_ * index / parts_; row < end; row += tile_rows) {
      const int64_t last = std::min(end, row + tile_rows);
      const auto [values, stride] = values_of(x, row, last, n, tile);
      std::copy_n(part.largest.begin(), count, largest.begin());
      for (int64_t r = 0; r < last - row; ++r)
        max_(largest.data(), values + r * stride, n, largest.data());
      for (size_t i = 0; i < count; ++i) {
        shift[i] = shift_of(largest[i]);
        part.sum[i] = rescaled(part.sum[i], shift_of(part.largest[i]), shift[i]);
        part.largest[i] = largest[i];
        sum[i] = 0;
      }
      for (int64_t r = 0; r < last - row; ++r)
        sum_exp_(sum.data(), values + r * stride, n, shift.data());
      for (size_t i = 0; i < count; ++i) part.sum[i] += sum[i];
    }
  }

  Operand x_, output_;
  LoopNest<2> kept_;
  int64_t rows_, row_stride_;
  int64_t parts_;
  LoadFloat load_; // null: fp32
  ReduceKernels::Column max_, sum_exp_;
};

} // namespace

std::unique_ptr<Step> make_log_sum_exp_step(const Operand& x, const Operand& output,
                                            const LoopNest<2>& kept, int64_t rows,
                                            int64_t row_stride) {
  return std::make_unique<LogSumExpStep>(x, output, kept, rows, row_stride);
}

} // namespace anet::backend::cpu
