#include "backend/cpu/gemv.h"

#include "backend/cpu/convert.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <tuple>
#include <utility>

namespace anet::backend::cpu {

namespace {

constexpr int64_t dot_strip = 32;
// Pieces of columns that are long enough to be fetched ahead, while their sums stay in the L1
// cache.
constexpr int64_t transposed_strip = 256;
constexpr int64_t max_products = max_gemv_columns * transposed_strip;
constexpr int64_t expanded_rows = 4;

bool is_read(DataType dtype) { return dtype == DataType::fp32 || dtype == DataType::bf16; }

// With the leading dimensions of c.
Operand spread(const Operand& x, const Shape& c) {
  Shape shape(c.begin(), c.end() - 2);
  shape.insert(shape.end(), x.shape.end() - 2, x.shape.end());
  return broadcast_view(x, shape);
}

void erase_dimension(Operand& x, size_t d) {
  x.shape.erase(x.shape.begin() + static_cast<std::ptrdiff_t>(d));
  x.strides.erase(x.strides.begin() + static_cast<std::ptrdiff_t>(d));
}

// Whether the last leading dimension goes on where the columns end.
bool continues_columns(const Operand& x) {
  const size_t d = x.shape.size() - 3;
  return x.shape[d] == 1 || x.shape[d + 2] == 1 ||
         x.strides[d] == x.strides[d + 2] * x.shape[d + 2];
}

void join_columns(Operand& x) {
  const size_t d = x.shape.size() - 3;
  if (x.shape[d + 2] == 1) x.strides[d + 2] = x.strides[d];
  x.shape[d + 2] *= x.shape[d];
  erase_dimension(x, d);
}

int64_t row_stride(const Operand& x) { return x.strides[x.strides.size() - 2]; }
int64_t column_stride(const Operand& x) { return x.strides.back(); }

class GemvStep final : public Step {
public:
  GemvStep(std::vector<Gemv> gemvs, const Operand& scratch)
      : gemvs_(std::move(gemvs)), scratch_(scratch) {
    for (const Gemv& gemv : gemvs_) {
      units_ += gemv.units();
      work_ += gemv.work();
    }
  }

  void run(const RunContext& context) const override {
    const int64_t ranges = std::clamp<int64_t>(work_ / parallel_work, 1,
                                               std::min<int64_t>(units_, context.pool->threads()));
    std::atomic<int64_t> next{0};
    context.pool->run(ranges, [&](int64_t range, int64_t) {
      float* const scratch = address<float>(context, scratch_) + range * scratch_.shape[1];
      const Gemv* packed = nullptr;
      for (auto [begin, end] = take(next, ranges); begin < end;
           std::tie(begin, end) = take(next, ranges))
        packed = run(context, begin, end, scratch, packed);
    });
  }

private:
  // Less and less, so that the threads end together although one of them may be held up: what reads
  // memory waits for all others that do.
  std::pair<int64_t, int64_t> take(std::atomic<int64_t>& next, int64_t ranges) const {
    int64_t begin = next.load(std::memory_order_relaxed), end = 0;
    do {
      end = std::min(units_, begin + (units_ - begin) / (2 * ranges) + 1);
    } while (!next.compare_exchange_weak(begin, end, std::memory_order_relaxed));
    return {begin, end};
  }

  // Returns the product whose vectors lie in the scratch; `packed` is that before.
  const Gemv* run(const RunContext& context, int64_t begin, int64_t end, float* scratch,
                  const Gemv* packed) const {
    for (const Gemv& gemv : gemvs_) {
      const int64_t last = std::min(end, gemv.units());
      if (begin < last) {
        gemv.run(context, begin, last, scratch, packed == &gemv);
        packed = &gemv;
      }
      begin = std::max<int64_t>(0, begin - gemv.units());
      end -= gemv.units();
    }
    return packed;
  }

  std::vector<Gemv> gemvs_;
  Operand scratch_;
  int64_t units_ = 0, work_ = 0;
};

} // namespace

Gemv::Gemv(const Operand& matrix, const std::optional<CompressedMatrix>& compressed,
           const Operand& x, const Operand& c, bool accumulate)
    : matrix_(spread(matrix, c.shape)), x_(spread(x, c.shape)), c_(c), compressed_(compressed),
      accumulate_(accumulate) {}

std::optional<Gemv> Gemv::make(const Operand& matrix,
                               const std::optional<CompressedMatrix>& compressed, const Operand& x,
                               const Operand& c, bool accumulate) {
  const bool stored = c.dtype == DataType::fp32 || (c.dtype == DataType::bf16 && !accumulate);
  if (!stored || !is_read(x.dtype) || c.shape.back() > max_gemv_columns) return std::nullopt;
  Gemv gemv(matrix, compressed, x, c, accumulate);
  if (!gemv.merge_batch_into_columns() || !gemv.choose_kernel()) return std::nullopt;
  return gemv;
}

// Batches that share the matrix must be columns of one product, or it would be read for each.
bool Gemv::merge_batch_into_columns() {
  while (c_.shape.size() > 2) {
    const size_t d = c_.shape.size() - 3;
    const bool shared = c_.shape[d] == 1 || matrix_.strides[d] == 0;
    if (!shared || !continues_columns(x_) || !continues_columns(c_)) break;
    for (Operand* operand : {&x_, &c_}) join_columns(*operand);
    erase_dimension(matrix_, d);
  }
  const size_t rank = c_.shape.size();
  rows_ = c_.shape[rank - 2];
  columns_ = c_.shape[rank - 1];
  depth_ = x_.shape[rank - 2];
  for (size_t d = 0; d + 2 < rank; ++d)
    if (c_.shape[d] != 1 && matrix_.strides[d] == 0) return false;
  const Shape batch(c_.shape.begin(), c_.shape.end() - 2);
  std::array<Strides, 3> strides;
  for (size_t i = 0; i < 3; ++i) {
    const Operand& x = *std::array<const Operand*, 3>{&c_, &matrix_, &x_}[i];
    strides[i].assign(x.strides.begin(), x.strides.end() - 2);
  }
  batch_ = make_loop_nest<3>(batch, {&strides[0], &strides[1], &strides[2]});
  return columns_ <= max_gemv_columns;
}

bool Gemv::choose_kernel() {
  if (compressed_) {
    const mil::CompressedWeight& weight = compressed_->weight;
    const bool bytes = mil::compression_bits(weight.compression) == 8;
    // fp16 programs round the weights as the ANE does; a cast to bf16 is left out, as roundings
    // within a kernel are.
    expands_ = !bytes || compressed_->dtype == DataType::fp16;
    layout_.leading = depth_;
    if (!expands_) {
      layout_.data = weight.codes.view().data();
      if (weight.compression == mil::Compression::int8_block) {
        layout_.scales = weight.scales.view().data();
        layout_.block_size = weight.block_size;
      }
    }
    kernel_ = gemv_kernels(expands_ ? DataType::fp32 : DataType::int8).dot;
    return !compressed_->transposed && batch_.elements() == 1;
  }
  if (!is_read(matrix_.dtype)) return false;
  const GemvKernels kernels = gemv_kernels(matrix_.dtype);
  const bool by_rows = column_stride(matrix_) == 1 || depth_ == 1;
  transposed_ = !by_rows && (row_stride(matrix_) == 1 || rows_ == 1);
  layout_.leading = by_rows ? row_stride(matrix_) : column_stride(matrix_);
  kernel_ = transposed_ ? kernels.transposed : kernels.dot;
  return by_rows || transposed_;
}

int64_t Gemv::strip_rows() const { return transposed_ ? transposed_strip : dot_strip; }

bool Gemv::packs_x() const {
  return x_.dtype != DataType::fp32 || (row_stride(x_) != 1 && depth_ != 1);
}

int64_t Gemv::scratch() const {
  return (packs_x() ? columns_ * depth_ : 0) + (expands_ ? expanded_rows * depth_ : 0);
}

// The columns of x as contiguous floats.
const float* Gemv::pack(const std::byte* x, float* packed) const {
  if (!packs_x()) return reinterpret_cast<const float*>(x);
  const LoadFloat load = load_float(x_.dtype);
  for (int64_t j = 0; j < columns_; ++j)
    load(x + j * column_stride(x_) * element_size(x_.dtype), row_stride(x_), packed + j * depth_,
         depth_);
  return packed;
}

int64_t Gemv::work() const { return batch_.elements() * rows_ * columns_ * depth_; }

int64_t Gemv::strips() const { return (rows_ + strip_rows() - 1) / strip_rows(); }

int64_t Gemv::units() const { return batch_.elements() * strips(); }

void Gemv::run(const RunContext& context, int64_t unit, int64_t end, float* scratch,
               bool is_packed) const {
  float* const packed = scratch + (expands_ ? expanded_rows * depth_ : 0);
  float products[max_products];
  while (unit < end) {
    const int64_t batch = unit / strips(), last = std::min(end, (batch + 1) * strips());
    for_each_row(batch_, batch, batch + 1, [&](const auto& offsets, int64_t) {
      const auto at = [&](const Operand& x, int64_t offset) {
        return address<std::byte>(context, x) + offset * element_size(x.dtype);
      };
      const bool kept = is_packed && packs_x() && batch_.elements() == 1;
      const float* const x = kept ? packed : pack(at(x_, offsets[2]), packed);
      Strip strip{compressed_ ? layout_.data : at(matrix_, offsets[1]), x, 0, 0, scratch};
      for (; unit < last; ++unit) {
        strip.first = unit % strips() * strip_rows();
        strip.rows = std::min(strip_rows(), rows_ - strip.first);
        if (expands_) {
          multiply_expanded(strip, products);
        } else {
          multiply(strip, products);
        }
        store(strip, products, at(c_, offsets[0]));
      }
    });
  }
}

// To products[columns, strip_rows()].
void Gemv::multiply(const Strip& strip, float* products) const {
  GemvCall call{layout_, strip.rows, depth_, columns_, strip.x, 0, products, strip_rows()};
  call.x_leading = packs_x() ? depth_ : column_stride(x_);
  const int64_t first = strip.first * (transposed_ ? 1 : layout_.leading);
  const int64_t size = compressed_ ? 1 : element_size(matrix_.dtype);
  call.matrix.data = strip.matrix + first * size;
  if (layout_.block_size != 0)
    call.matrix.scales += strip.first * (depth_ / layout_.block_size) * 2;
  kernel_(call);
}

void Gemv::multiply_expanded(const Strip& strip, float* products) const {
  GemvCall call{layout_, 0, depth_, columns_, strip.x, 0, products, strip_rows()};
  call.x_leading = packs_x() ? depth_ : column_stride(x_);
  call.matrix.data = reinterpret_cast<const std::byte*>(strip.expanded);
  for (int64_t row = 0; row < strip.rows; row += expanded_rows) {
    call.rows = std::min(expanded_rows, strip.rows - row);
    compressed_->expand({strip.first + row, call.rows, 0, depth_}, strip.expanded, depth_);
    call.y = products + row;
    kernel_(call);
  }
}

void Gemv::store(const Strip& strip, float* products, std::byte* c) const {
  const bool by_channel = compressed_ && !expands_ && layout_.block_size == 0;
  std::array<float, dot_strip> scales;
  if (by_channel)
    load_float(DataType::fp16)(compressed_->weight.scales.view().data() + strip.first * 2, 1,
                               scales.data(), strip.rows);
  const StoreFloat write = store_float(c_.dtype);
  const int64_t stride = row_stride(c_);
  for (int64_t j = 0; j < columns_; ++j) {
    float* const column = products + j * strip_rows();
    std::byte* const place =
        c + (strip.first * stride + j * column_stride(c_)) * element_size(c_.dtype);
    for (int64_t i = 0; i < strip.rows; ++i) {
      if (by_channel) column[i] *= scales[static_cast<size_t>(i)];
      if (accumulate_) column[i] += reinterpret_cast<const float*>(place)[i * stride];
    }
    write(column, place, stride, strip.rows);
  }
}

std::unique_ptr<Step> make_gemv_step(std::vector<Gemv> gemvs, const Operand& scratch) {
  return std::make_unique<GemvStep>(std::move(gemvs), scratch);
}

} // namespace anet::backend::cpu
