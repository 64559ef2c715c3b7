#include "backend/cpu/compressed.h"

#include "backend/cpu/convert.h"
#include "backend/cpu/expand_kernels.h"

namespace anet::backend::cpu {

namespace {

void round_to_fp16(float* values, int64_t n) {
  constexpr int64_t block = 256;
  std::byte halves[block * 2];
  const StoreFloat store = store_float(DataType::fp16);
  const LoadFloat load = load_float(DataType::fp16);
  for (int64_t i = 0; i < n; i += block) {
    const int64_t count = std::min(block, n - i);
    store(values + i, halves, 1, count);
    load(halves, 1, values + i, count);
  }
}

class ExpandStep final : public Step {
public:
  ExpandStep(const mil::CompressedWeight& weight, int64_t first_row, const Operand& output)
      : weight_(weight), first_row_(first_row), output_(output), store_(store_float(output.dtype)) {
  }

  void run(const RunContext& context) const override {
    auto* output = address<std::byte>(context, output_);
    const int64_t columns = weight_.columns;
    const int64_t row_bytes = columns * element_size(output_.dtype);
    const int64_t grain = std::max<int64_t>(1, parallel_grain / columns);
    context.pool->parallel_for(output_.shape[0], grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) expand_row(first_row_ + i, output + i * row_bytes);
    });
  }

private:
  // By pieces that stay in the first-level cache.
  void expand_row(int64_t row, std::byte* output) const {
    constexpr int64_t piece = 1024;
    float values[piece];
    for (int64_t k = 0; k < weight_.columns; k += piece) {
      const int64_t count = std::min(piece, weight_.columns - k);
      mil::expand(weight_, {row, 1, k, count}, values, count, expand_kernels());
      store_(values, output + k * element_size(output_.dtype), 1, count);
    }
  }

  mil::CompressedWeight weight_;
  int64_t first_row_;
  Operand output_;
  StoreFloat store_;
};

bool steps_by(int64_t extent, int64_t stride, int64_t expected) {
  return extent == 1 || stride == expected;
}

} // namespace

void CompressedMatrix::expand(const mil::Tile& tile, float* values, int64_t leading) const {
  mil::expand(weight, tile, values, leading, expand_kernels());
  if (dtype != DataType::fp16) return;
  if (leading == tile.columns) return round_to_fp16(values, tile.rows * tile.columns);
  for (int64_t i = 0; i < tile.rows; ++i) round_to_fp16(values + i * leading, tile.columns);
}

std::optional<CompressedMatrix> compressed_matrix(const Operand& x,
                                                  const mil::CompressedWeight& weight) {
  const size_t rank = x.shape.size();
  if (rank < 2 || x.offset != 0 || x.elements() != weight.rows * weight.columns) return {};
  const int64_t rows = x.shape[rank - 2], columns = x.shape[rank - 1];
  const int64_t row_stride = x.strides[rank - 2], column_stride = x.strides[rank - 1];
  if (rows == weight.rows && columns == weight.columns && steps_by(columns, column_stride, 1) &&
      steps_by(rows, row_stride, weight.columns))
    return CompressedMatrix{weight, x.dtype, false};
  if (rows == weight.columns && columns == weight.rows && steps_by(rows, row_stride, 1) &&
      steps_by(columns, column_stride, weight.columns))
    return CompressedMatrix{weight, x.dtype, true};
  return {};
}

std::unique_ptr<Step> make_expand_step(const mil::CompressedWeight& weight, int64_t first_row,
                                       const Operand& output) {
  return std::make_unique<ExpandStep>(weight, first_row, output);
}

} // namespace anet::backend::cpu
