#include "backend/cpu/matmul.h"

#include "backend/cpu/gemm.h"

namespace anet::backend::cpu {

namespace {

// Multiply-adds below which another thread costs more than it brings.
constexpr int64_t parallel_work = 1 << 16;

class MatmulStep final : public Step {
public:
  MatmulStep(const Operand& a, const Operand& b, const Operand& c, float alpha, float beta)
      : a_(a), b_(b), c_(c), alpha_(alpha), beta_(beta) {
    // c^T = b^T a^T: gemm writes rows, so a result with contiguous columns is computed transposed.
    if (matrix_layout(c_)->transposed) {
      std::swap(a_, b_);
      for (Operand* operand : {&a_, &b_, &c_}) {
        const size_t rank = operand->shape.size();
        std::swap(operand->shape[rank - 1], operand->shape[rank - 2]);
        std::swap(operand->strides[rank - 1], operand->strides[rank - 2]);
      }
    }
    merge_batch_into_rows();
    a_layout_ = *matrix_layout(a_);
    b_layout_ = *matrix_layout(b_);
    leading_c_ = matrix_layout(c_)->leading;
    const size_t rank = c_.shape.size();
    rows_ = c_.shape[rank - 2];
    columns_ = c_.shape[rank - 1];
    depth_ = a_.shape.back();
    const Shape batch(c_.shape.begin(), c_.shape.end() - 2);
    const Strides c_batch(c_.strides.begin(), c_.strides.end() - 2);
    const Strides a_batch = batch_strides(a_, batch);
    const Strides b_batch = batch_strides(b_, batch);
    batch_ = make_loop_nest<3>(batch, {&c_batch, &a_batch, &b_batch});
  }

  void run(const RunContext& context) const override {
    const float* a = address<float>(context, a_);
    const float* b = address<float>(context, b_);
    float* c = address<float>(context, c_);
    const int64_t batch = batch_.elements();
    const int64_t threads = context.pool->threads();
    const int64_t work = rows_ * columns_ * depth_;
    const bool split_matrix = batch % threads != 0 && work >= parallel_work;
    // Pieces of a matrix, along its longer side; a piece is a multiple of 16 for gemm's tiles.
    const int64_t side = std::max(rows_, columns_);
    const int64_t pieces = split_matrix ? std::clamp<int64_t>(side / 16, 1, threads) : 1;
    const int64_t piece = ((side + pieces - 1) / pieces + 15) / 16 * 16;
    const int64_t grain =
        split_matrix ? 1 : std::max<int64_t>(1, parallel_work / std::max<int64_t>(1, work));
    context.pool->parallel_for(batch * pieces, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i % pieces * piece;
        const int64_t size = pieces == 1 ? side : std::min(piece, side - first);
        if (size <= 0) continue;
        for_each_row(batch_, i / pieces, i / pieces + 1, [&](const auto& offsets, int64_t) {
          multiply(a + offsets[1], b + offsets[2], c + offsets[0], first, size);
        });
      }
    });
  }

private:
  static Strides batch_strides(const Operand& x, const Shape& batch) {
    Operand leading = x;
    leading.shape.resize(x.shape.size() - 2);
    leading.strides.resize(x.shape.size() - 2);
    return broadcast_view(leading, batch).strides;
  }

  // When b is the same for a run of batches that follow each other in a and c, they are rows of one
  // larger product, unless rows whose elements are apart would have to be side by side.
  void merge_batch_into_rows() {
    while (c_.shape.size() > 2) {
      const size_t d = c_.shape.size() - 3;
      const auto extent = [](const Operand& x) {
        return x.shape.size() > 2 ? x.shape[x.shape.size() - 3] : 1;
      };
      const bool fits = extent(a_) == c_.shape[d] && extent(b_) == 1 && joins(a_) && joins(c_) &&
                        is_matrix(joined(a_)) && is_matrix(joined(c_));
      if (!fits && c_.shape[d] != 1) return;
      for (Operand* x : {&a_, &c_}) join(*x);
      if (b_.shape.size() > 2) erase_dimension(b_, b_.shape.size() - 3);
    }
  }

  static bool joins(const Operand& x) {
    const size_t rank = x.shape.size();
    if (rank < 3) return true;
    return x.shape[rank - 3] == 1 || x.shape[rank - 2] == 1 ||
           x.strides[rank - 3] == x.strides[rank - 2] * x.shape[rank - 2];
  }

  static void join(Operand& x) {
    if (x.shape.size() < 3) return;
    const size_t d = x.shape.size() - 3;
    if (x.shape[d] == 1) return erase_dimension(x, d);
    if (x.shape[d + 1] == 1) x.strides[d + 1] = x.strides[d];
    x.shape[d + 1] *= x.shape[d];
    erase_dimension(x, d);
  }

  static Operand joined(Operand x) {
    join(x);
    return x;
  }

  static void erase_dimension(Operand& x, size_t d) {
    x.shape.erase(x.shape.begin() + static_cast<std::ptrdiff_t>(d));
    x.strides.erase(x.strides.begin() + static_cast<std::ptrdiff_t>(d));
  }

  // `first` and `size` select rows or columns, whichever are more.
  void multiply(const float* a, const float* b, float* c, int64_t first, int64_t size) const {
    const bool by_rows = rows_ >= columns_;
    const int64_t rows = by_rows ? size : rows_;
    const int64_t columns = by_rows ? columns_ : size;
    if (by_rows) {
      a += first * (a_layout_.transposed ? 1 : a_layout_.leading);
      c += first * leading_c_;
    } else {
      b += first * (b_layout_.transposed ? b_layout_.leading : 1);
      c += first;
    }
    gemm_f32(rows, columns, depth_, alpha_, {a, a_layout_.leading, a_layout_.transposed},
             {b, b_layout_.leading, b_layout_.transposed}, beta_, c, leading_c_);
  }

  Operand a_, b_, c_;
  float alpha_, beta_;
  MatrixLayout a_layout_, b_layout_;
  int64_t leading_c_ = 0;
  int64_t rows_ = 0, columns_ = 0, depth_ = 0;
  LoopNest<3> batch_;
};

} // namespace

std::optional<MatrixLayout> matrix_layout(const Operand& x) {
  const size_t rank = x.shape.size();
  const int64_t rows = x.shape[rank - 2];
  const int64_t columns = x.shape[rank - 1];
  const int64_t row_stride = x.strides[rank - 2];
  const int64_t column_stride = x.strides[rank - 1];
  if ((column_stride == 1 || columns == 1) && (rows == 1 || row_stride >= columns)) {
    return MatrixLayout{rows == 1 ? columns : row_stride, false};
  }
  if ((row_stride == 1 || rows == 1) && (columns == 1 || column_stride >= rows)) {
    return MatrixLayout{columns == 1 ? rows : column_stride, true};
  }
  return std::nullopt;
}

bool is_matrix(const Operand& x) { return matrix_layout(x).has_value(); }

std::unique_ptr<Step> make_matmul_step(const Operand& a, const Operand& b, const Operand& c,
                                       float alpha, float beta) {
  return std::make_unique<MatmulStep>(a, b, c, alpha, beta);
}

} // namespace anet::backend::cpu
