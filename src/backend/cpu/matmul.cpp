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

// A piece for each thread, as square as can be: each reads its own part of both operands.
Pieces cut(int64_t rows, int64_t columns, int64_t threads) {
  Pieces best{1, 1, rows, columns};
  int64_t best_slowest = rows * columns, best_reads = rows + columns;
  for (int64_t across = 1; across <= threads; ++across) {
    Pieces p{threads / across, across, 0, 0};
    p.height = std::min(rows, piece_size(rows, p.rows));
    p.width = std::min(columns, piece_size(columns, p.columns));
    p.rows = (rows + p.height - 1) / p.height;
    p.columns = (columns + p.width - 1) / p.width;
    const int64_t slowest = p.height * p.width, reads = p.height + p.width;
    if (std::pair(slowest, reads) < std::pair(best_slowest, best_reads)) {
      best = p;
      best_slowest = slowest;
      best_reads = reads;
    }
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
    pieces_ = cut(geometry_.rows, geometry_.columns, split ? threads : 1);
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
  void multiply(const RunContext& context, int64_t batch, int64_t piece, float* scratch) const {
    const MatmulGeometry& g = geometry_;
    const int64_t row = piece / pieces_.columns * pieces_.height;
    const int64_t column = piece % pieces_.columns * pieces_.width;
    const MatmulGeometry::Offsets at = g.offsets(row, column);
    for_each_row(g.batch, batch, batch + 1, [&](const auto& offsets, int64_t) {
      gemm_f32(std::min(pieces_.height, g.rows - row), std::min(pieces_.width, g.columns - column),
               g.depth, 1,
               {address<float>(context, g.a) + offsets[1] + at.a, g.a_layout.leading,
                g.a_layout.transposed},
               {address<float>(context, g.b) + offsets[2] + at.b, g.b_layout.leading,
                g.b_layout.transposed},
               accumulate_, address<float>(context, g.c) + offsets[0] + at.c, g.leading_c, scratch);
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
