#include "backend/cpu/library_product.h"

#include <algorithm>

namespace anet::backend::cpu {

namespace {

// Pieces are multiples of a tile of AMX; finer ones would not be whole vectors either.
constexpr int64_t piece_multiple = 16;
constexpr int64_t least_piece = 64;

class LibraryMatmulStep final : public Step {
public:
  LibraryMatmulStep(LibraryMatmul matmul, const Operand& scratch)
      : matmul_(std::move(matmul)), scratch_(scratch) {}
  void run(const RunContext& context) const override { matmul_.run(context, scratch_); }

private:
  LibraryMatmul matmul_;
  Operand scratch_;
};

} // namespace

std::optional<LibraryMatmul> LibraryMatmul::make(const Operand& a, const Operand& b,
                                                 const Operand& c, bool accumulate, int threads) {
  LibraryMatmul matmul{MatmulGeometry(a, b, c)};
  const MatmulGeometry& g = matmul.geometry_;
  const int64_t batch = g.batch.elements();
  const int64_t work = g.rows * g.columns * g.depth;
  const bool parallel = work * batch >= parallel_narrow_work;
  const bool split = parallel && batch % threads != 0 && g.side() >= 2 * least_piece;
  const int64_t wanted = split ? (g.side() + threads - 1) / threads : g.side();
  matmul.piece_ =
      split ? (wanted + piece_multiple - 1) / piece_multiple * piece_multiple : g.side();
  matmul.pieces_ = (g.side() + matmul.piece_ - 1) / matmul.piece_;

  LibraryProductShape shape;
  shape.operands = g.a.dtype;
  shape.result = g.c.dtype;
  shape.rows = g.rows;
  shape.columns = g.columns;
  shape.depth = g.depth;
  shape.a = g.a_layout;
  shape.b = g.b_layout;
  shape.leading_c = g.leading_c;
  shape.accumulate = accumulate;
  const int64_t slots = parallel ? std::min<int64_t>(threads, batch * matmul.pieces_) : 1;
  if (!matmul.add_slots(shape, slots)) return std::nullopt;
  return matmul;
}

bool LibraryMatmul::add_slots(const LibraryProductShape& shape, int64_t count) {
  const int64_t rest = geometry_.side() - (pieces_ - 1) * piece_;
  const auto product = [&](int64_t size) {
    LibraryProductShape part = shape;
    (geometry_.by_rows() ? part.rows : part.columns) = size;
    return make_library_product(part);
  };
  for (int64_t i = 0; i < count; ++i) {
    Slot slot{product(piece_), rest == piece_ ? nullptr : product(rest)};
    if (slot.piece == nullptr || (rest != piece_ && slot.rest == nullptr)) return false;
    slots_.push_back(std::move(slot));
  }
  return true;
}

int64_t LibraryMatmul::scratch_bytes() const {
  int64_t bytes = 0;
  for (const Slot& slot : slots_)
    for (const LibraryProduct* product : {slot.piece.get(), slot.rest.get()})
      if (product != nullptr) bytes = std::max(bytes, product->scratch_bytes());
  return bytes;
}

// A slot has neighbouring pieces, the same in each run.
void LibraryMatmul::run(const RunContext& context, const Operand& scratch) const {
  auto* const memory = address<std::byte>(context, scratch);
  const int64_t units = geometry_.batch.elements() * pieces_;
  context.pool->run(slots(), [&](int64_t slot, int64_t) {
    for (int64_t unit = slot * units / slots(); unit < (slot + 1) * units / slots(); ++unit)
      run_piece(slots_[static_cast<size_t>(slot)], context, unit, memory + slot * scratch.shape[1]);
  });
}

void LibraryMatmul::run_piece(const Slot& slot, const RunContext& context, int64_t unit,
                              std::byte* scratch) const {
  const MatmulGeometry& g = geometry_;
  const int64_t operand_size = element_size(g.a.dtype), result_size = element_size(g.c.dtype);
  const int64_t piece = unit % pieces_;
  const MatmulGeometry::Offsets at = g.offsets(piece * piece_);
  const bool last = piece == pieces_ - 1 && slot.rest != nullptr;
  const LibraryProduct& product = last ? *slot.rest : *slot.piece;
  for_each_row(g.batch, unit / pieces_, unit / pieces_ + 1, [&](const auto& batch, int64_t) {
    product.run(address<std::byte>(context, g.a) + (batch[1] + at.a) * operand_size,
                address<std::byte>(context, g.b) + (batch[2] + at.b) * operand_size,
                address<std::byte>(context, g.c) + (batch[0] + at.c) * result_size, scratch);
  });
}

std::unique_ptr<Step> make_library_matmul_step(LibraryMatmul matmul, const Operand& scratch) {
  return std::make_unique<LibraryMatmulStep>(std::move(matmul), scratch);
}

} // namespace anet::backend::cpu
