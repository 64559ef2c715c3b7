#include "backend/cpu/matmul.h"

#include "backend/cpu/gemm.h"

namespace anet::backend::cpu {

namespace {

class MatmulStep final : public Step {
public:
  MatmulStep(const Operand& a, const Operand& b, const Operand& c, float alpha, float beta)
      : geometry_(a, b, c), alpha_(alpha), beta_(beta) {}

  void run(const RunContext& context) const override {
    const float* a = address<float>(context, geometry_.a);
    const float* b = address<float>(context, geometry_.b);
    float* c = address<float>(context, geometry_.c);
    const int64_t batch = geometry_.batch.elements();
    const int64_t threads = context.pool->threads();
    const int64_t work = geometry_.rows * geometry_.columns * geometry_.depth;
    const bool split_matrix = batch % threads != 0 && work >= parallel_work;
    // Pieces of a matrix, along its longer side; a piece is a multiple of 16 for gemm's tiles.
    const int64_t side = geometry_.side();
    const int64_t pieces = split_matrix ? std::clamp<int64_t>(side / 16, 1, threads) : 1;
    const int64_t piece = ((side + pieces - 1) / pieces + 15) / 16 * 16;
    const int64_t grain =
        split_matrix ? 1 : std::max<int64_t>(1, parallel_work / std::max<int64_t>(1, work));
    context.pool->parallel_for(batch * pieces, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i % pieces * piece;
        const int64_t size = pieces == 1 ? side : std::min(piece, side - first);
        if (size <= 0) continue;
        for_each_row(geometry_.batch, i / pieces, i / pieces + 1,
                     [&](const auto& offsets, int64_t) {
                       multiply(a + offsets[1], b + offsets[2], c + offsets[0], first, size);
                     });
      }
    });
  }

private:
  void multiply(const float* a, const float* b, float* c, int64_t first, int64_t size) const {
    const MatmulGeometry& g = geometry_;
    const MatmulGeometry::Offsets at = g.offsets(first);
    gemm_f32(g.by_rows() ? size : g.rows, g.by_rows() ? g.columns : size, g.depth, alpha_,
             {a + at.a, g.a_layout.leading, g.a_layout.transposed},
             {b + at.b, g.b_layout.leading, g.b_layout.transposed}, beta_, c + at.c, g.leading_c);
  }

  MatmulGeometry geometry_;
  float alpha_, beta_;
};

} // namespace

std::unique_ptr<Step> make_matmul_step(const Operand& a, const Operand& b, const Operand& c,
                                       float alpha, float beta) {
  return std::make_unique<MatmulStep>(a, b, c, alpha, beta);
}

} // namespace anet::backend::cpu
