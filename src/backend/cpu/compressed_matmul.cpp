// Products with a matrix in few bits. Its tiles fit a core's cache, where gemm reads them.
#include "backend/cpu/compressed.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/matmul.h"

namespace anet::backend::cpu {

namespace {

constexpr int64_t tile_depth = 256;
constexpr int64_t max_tile_rows = 256;
constexpr int64_t min_tile_rows = 64;
constexpr int64_t tile_columns = 256;

int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t weight_scratch(const CompressedMatrix& matrix) {
  return std::min(max_tile_rows, matrix.rows()) * std::min(tile_depth, matrix.columns());
}

// A tile of the weight, then what gemm needs.
int64_t tile_scratch(const CompressedMatrix& matrix) {
  const int64_t side = std::max(max_tile_rows, tile_columns);
  return weight_scratch(matrix) + gemm_scratch(side, side, tile_depth);
}

// c = x m is c^T = m^T x^T.
CompressedMatrix on_the_left(CompressedMatrix matrix, Side side) {
  if (side == Side::right) matrix.transposed = !matrix.transposed;
  return matrix;
}

// Strides of a matrix's rows and columns.
struct Steps {
  int64_t row = 1, column = 1;
  explicit Steps(const MatrixLayout& layout)
      : row(layout.transposed ? 1 : layout.leading),
        column(layout.transposed ? layout.leading : 1) {}
};

// c[rows, columns] = matrix[rows, depth] * x[depth, columns], or added to c, for each batch.
class CompressedMatmulStep final : public Step {
public:
  CompressedMatmulStep(const CompressedMatrix& matrix, const Operand& x, const Operand& c,
                       const Operand& scratch, bool accumulate)
      : matrix_(matrix), x_(x), c_(c), scratch_(scratch), accumulate_(accumulate) {
    spread_batch();
    merge_batch_into_columns();
    const size_t rank = c_.shape.size();
    rows_ = c_.shape[rank - 2];
    columns_ = c_.shape[rank - 1];
    depth_ = matrix_.columns();
    x_layout_ = *matrix_layout(x_);
    c_layout_ = *matrix_layout(c_);
    const Shape batch(c_.shape.begin(), c_.shape.end() - 2);
    const Strides c_batch(c_.strides.begin(), c_.strides.end() - 2);
    const Strides x_batch(x_.strides.begin(), x_.strides.end() - 2);
    batch_ = make_loop_nest<2>(batch, {&c_batch, &x_batch});
    tile_rows_ = choose_tile_rows();
  }

  void run(const RunContext& context) const override {
    const int64_t row_tiles = divided_up(rows_, tile_rows_);
    const int64_t column_tiles = divided_up(columns_, tile_columns);
    const int64_t tiles = batch_.elements() * row_tiles * column_tiles;
    const int64_t work = batch_.elements() * rows_ * columns_ * depth_;
    const int64_t ranges =
        work < parallel_work ? 1 : std::min<int64_t>(tiles, context.pool->threads());
    auto* const scratch = address<float>(context, scratch_);
    context.pool->run(ranges, [&](int64_t range, int64_t) {
      float* const own = scratch + range * scratch_.shape[1];
      for (int64_t i = range * tiles / ranges; i < (range + 1) * tiles / ranges; ++i) {
        const int64_t in_batch = i % (row_tiles * column_tiles);
        const int64_t row = in_batch / column_tiles * tile_rows_;
        const int64_t column = in_batch % column_tiles * tile_columns;
        const int64_t at = i / (row_tiles * column_tiles);
        for_each_row(batch_, at, at + 1, [&](const auto& offsets, int64_t) {
          float* const c = address<float>(context, c_) + offsets[0];
          const float* const x = address<float>(context, x_) + offsets[1];
          multiply_tile(x, c, row, column, own);
        });
      }
    });
  }

private:
  // x gets the leading dimensions of c.
  void spread_batch() {
    Shape shape(c_.shape.begin(), c_.shape.end() - 2);
    shape.insert(shape.end(), x_.shape.end() - 2, x_.shape.end());
    x_ = broadcast_view(x_, shape);
  }

  // Batches that follow each other like columns are more columns.
  void merge_batch_into_columns() {
    while (c_.shape.size() > 2) {
      const size_t d = c_.shape.size() - 3;
      const auto joins = [&](const Operand& x) {
        return x.shape[d] == 1 || x.strides[d] == x.strides[d + 2] * x.shape[d + 2];
      };
      const auto joined = [&](Operand x) {
        if (x.shape[d + 2] == 1) x.strides[d + 2] = x.strides[d];
        x.shape[d + 2] *= x.shape[d];
        const auto at = static_cast<std::ptrdiff_t>(d);
        x.shape.erase(x.shape.begin() + at);
        x.strides.erase(x.strides.begin() + at);
        return x;
      };
      if (!joins(x_) || !joins(c_) || !is_matrix(joined(x_)) || !is_matrix(joined(c_))) return;
      x_ = joined(x_);
      c_ = joined(c_);
    }
  }

  // Few enough that 16 threads find work, where that leaves gemm enough to do. Rows of the
  // transpose are columns of the codes, of which short pieces are slow to expand.
  int64_t choose_tile_rows() const {
    const int64_t wanted = rows_ * divided_up(columns_, tile_columns) / 16 / 16 * 16;
    return matrix_.transposed ? max_tile_rows : std::clamp(wanted, min_tile_rows, max_tile_rows);
  }

  void multiply_tile(const float* x, float* c, int64_t row, int64_t column, float* scratch) const {
    const int64_t rows = std::min(tile_rows_, rows_ - row);
    const int64_t columns = std::min(tile_columns, columns_ - column);
    const Steps x_steps(x_layout_), c_steps(c_layout_);
    c += row * c_steps.row + column * c_steps.column;
    x += column * x_steps.column;
    for (int64_t k = 0; k < depth_; k += tile_depth) {
      const int64_t depth = std::min(tile_depth, depth_ - k);
      const mil::Tile tile =
          matrix_.transposed ? mil::Tile{k, depth, row, rows} : mil::Tile{row, rows, k, depth};
      matrix_.expand(tile, scratch, tile.columns);
      const GemmMatrix a = {scratch, tile.columns, matrix_.transposed};
      const GemmMatrix b = {x + k * x_steps.row, x_layout_.leading, x_layout_.transposed};
      const bool adds = accumulate_ || k > 0;
      float* const gemm = scratch + weight_scratch(matrix_);
      if (c_layout_.transposed) {
        // c^T = b^T a^T: gemm writes rows.
        gemm_f32(columns, rows, depth, 1, {b.data, b.leading, !b.transposed},
                 {a.data, a.leading, !a.transposed}, adds, c, c_layout_.leading, gemm);
      } else {
        gemm_f32(rows, columns, depth, 1, a, b, adds, c, c_layout_.leading, gemm);
      }
    }
  }

  CompressedMatrix matrix_;
  Operand x_, c_, scratch_;
  bool accumulate_;
  MatrixLayout x_layout_, c_layout_;
  int64_t rows_ = 0, columns_ = 0, depth_ = 0;
  int64_t tile_rows_ = 0;
  LoopNest<2> batch_;
};

} // namespace

int64_t compressed_matmul_scratch(const CompressedMatrix& given, Side side) {
  const CompressedMatrix matrix = on_the_left(given, side);
  return tile_scratch(matrix);
}

std::unique_ptr<Step> make_compressed_matmul_step(const CompressedMatrix& matrix, Side side,
                                                  const Operand& other, const Operand& c,
                                                  const Operand& scratch, bool accumulate) {
  const bool left = side == Side::left;
  return std::make_unique<CompressedMatmulStep>(on_the_left(matrix, side),
                                                left ? other : swap_last_two(other),
                                                left ? c : swap_last_two(c), scratch, accumulate);
}

} // namespace anet::backend::cpu
