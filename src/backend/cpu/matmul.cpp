#include "backend/cpu/matmul.h"

#include "backend/cpu/gemm.h"

#include <algorithm>

namespace anet::backend::cpu {

namespace {

// A product is cut into this many rows and columns of pieces.
struct Pieces {
  int64_t rows = 1, columns = 1;
  int64_t height = 0, width = 0; // of a piece; the last ones may be smaller
  int64_t count() const { return rows * columns; }
};

// Multiples of all tiles of gemm.
constexpr int64_t piece_multiple = 48;

int64_t piece_size(int64_t extent, int64_t pieces) {
  const int64_t even = (extent + pieces - 1) / pieces;
  return (even + piece_multiple - 1) / piece_multiple * piece_multiple;
}

// What a piece spends on its operands beside the product: gemm copies the right side, with a turn
// of its layout where rows are not contiguous, and the left side where it is transposed.
int64_t operand_cost(const Pieces& p, const MatmulGeometry& g) {
  return p.width * (g.b_layout.transposed ? 4 : 2) + p.height * (g.a_layout.transposed ? 2 : 1);
}

// At most a piece for each thread: the slowest as small as can be, then the cheapest.
Pieces cut(const MatmulGeometry& g, int64_t threads) {
  Pieces best{1, 1, g.rows, g.columns};
  for (int64_t across = 1; across <= threads; ++across) {
    Pieces p{threads / across, across, 0, 0};
    p.height = std::min(g.rows, piece_size(g.rows, p.rows));
    p.width = std::min(g.columns, piece_size(g.columns, p.columns));
    p.rows = (g.rows + p.height - 1) / p.height;
    p.columns = (g.columns + p.width - 1) / p.width;
    if (std::pair(p.height * p.width, operand_cost(p, g)) <
        std::pair(best.height * best.width, operand_cost(best, g)))
      best = p;
  }
  return best;
}

class MatmulStep final : public Step {
public:
  MatmulStep(const Operand& a, const Operand& b, const Operand& c, bool accumulate,
             const Operand& scratch)
      : geometry_(a, b, c), accumulate_(accumulate), scratch_(scratch) {
    const int64_t threads = scratch.shape[0], batch = geometry_.batch.elements();
    const int64_t work = geometry_.rows * geometry_.columns * geometry_.depth;
    const bool split = batch % threads != 0 && work >= parallel_work;
    pieces_ = cut(geometry_, split ? threads : 1);
    ranges_ = work * batch < parallel_work ? 1 : std::min(threads, batch * pieces_.count());
  }

  void run(const RunContext& context) const override {
    auto* const scratch = address<float>(context, scratch_);
    const int64_t units = geometry_.batch.elements() * pieces_.count();
    context.pool->run(ranges_, [&](int64_t range, int64_t) {
      for (int64_t i = range * units / ranges_; i < (range + 1) * units / ranges_; ++i)
        multiply(context, i / pieces_.count(), i % pieces_.count(),
                 scratch + range * scratch_.shape[1]);
    });
  }

private:
  static GemmMatrix matrix(const RunContext& context, const Operand& x, int64_t offset,
                           const MatrixLayout& layout) {
    return {address<std::byte>(context, x) + offset * element_size(x.dtype), layout.leading,
            layout.transposed, x.dtype};
  }

  void multiply(const RunContext& context, int64_t batch, int64_t piece, float* scratch) const {
    const MatmulGeometry& g = geometry_;
    const int64_t row = piece / pieces_.columns * pieces_.height;
    const int64_t column = piece % pieces_.columns * pieces_.width;
    const MatmulGeometry::Offsets at = g.offsets(row, column);
    for_each_row(g.batch, batch, batch + 1, [&](const auto& offsets, int64_t) {
      gemm_f32(std::min(pieces_.height, g.rows - row), std::min(pieces_.width, g.columns - column),
               g.depth, 1, matrix(context, g.a, offsets[1] + at.a, g.a_layout),
               matrix(context, g.b, offsets[2] + at.b, g.b_layout), accumulate_,
               address<float>(context, g.c) + offsets[0] + at.c, g.leading_c, scratch);
    });
  }

  MatmulGeometry geometry_;
  bool accumulate_;
  Operand scratch_;
  Pieces pieces_;
  int64_t ranges_ = 1;
};

} // namespace

int64_t matmul_scratch(const Operand& a, const Operand& b, const Operand& c) {
  const MatmulGeometry g(a, b, c);
  return gemm_scratch(g.rows, g.columns, g.depth);
}

std::unique_ptr<Step> make_matmul_step(const Operand& a, const Operand& b, const Operand& c,
                                       bool accumulate, const Operand& scratch) {
  return std::make_unique<MatmulStep>(a, b, c, accumulate, scratch);
}

} // namespace anet::backend::cpu
