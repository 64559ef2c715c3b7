#include "backend/cpu/cached_attention.h"

#include "backend/cpu/attention.h"
#include "backend/cpu/convert.h"
#include "backend/cpu/gemv_kernels.h"
#include "backend/cpu/reduce_kernels.h"

#include <algorithm>
#include <limits>

namespace anet::backend::cpu {

namespace {

enum Axis : size_t { head_axis = 0, group_axis = 1, width_axis = 2, position_axis = 3 };

int64_t all_keys(const CachedAttention& a) {
  return a.parts[0].key.shape[position_axis] + a.parts[1].key.shape[position_axis];
}

// Entries of the mask of one query, and how many keys of each part it sees.
int64_t mask_row_size(const CachedAttention& a) { return all_keys(a) + 2; }

const std::byte* at(const RunContext& context, const Operand& x, int64_t head, int64_t group,
                    int64_t position) {
  return address<std::byte>(context, x) +
         (head * x.strides[head_axis] + group * x.strides[group_axis] +
          position * x.strides[position_axis]) *
             element_size(x.dtype);
}

class CachedAttentionStep final : public Step {
public:
  CachedAttentionStep(const CachedAttention& attention, const Operand& common, const Operand& own)
      : a_(attention), common_(common), own_(own), heads_(a_.query.shape[head_axis]),
        width_(a_.query.shape[width_axis]), queries_(a_.query.shape[position_axis]),
        columns_(a_.query.shape[group_axis] * queries_), keys_(all_keys(a_)) {
    for (const auto& part : a_.parts) mask_rows_ = std::max(mask_rows_, part.mask.shape[head_axis]);
  }

  void run(const RunContext& context) const override {
    const int64_t rows = mask_rows_ * queries_;
    context.pool->parallel_for(rows, std::max<int64_t>(1, 4 * parallel_grain / keys_),
                               [&](int64_t begin, int64_t end) {
                                 for (; begin < end; ++begin) load_mask(context, begin);
                               });
    const int64_t chunks = (columns_ + max_gemv_columns - 1) / max_gemv_columns;
    const int64_t work = heads_ * columns_ * keys_ * width_;
    const int64_t lanes = work < parallel_work ? 1 : own_.shape[0];
    for_each_task(*context.pool, heads_ * chunks, lanes, [&](int64_t task, int64_t lane) {
      attend(context, task / chunks, task % chunks * max_gemv_columns,
             address<float>(context, own_) + lane * own_.shape[1]);
    });
  }

private:
  float* mask_row(const RunContext& context, int64_t row) const {
    return address<float>(context, common_) + row * mask_row_size(a_);
  }

  // The new keys first: what they have best tells which of the cache are hidden.
  void load_mask(const RunContext& context, int64_t row) const {
    float* const entries = mask_row(context, row);
    float least = -std::numeric_limits<float>::infinity();
    for (const size_t part : {size_t{1}, size_t{0}}) {
      const Operand& mask = a_.parts[part].mask;
      const int64_t keys = mask.shape[position_axis];
      const int64_t own_row = mask.shape[head_axis] == 1 ? 0 : row / queries_;
      float* const values = entries + (part == 0 ? 0 : keys_ - keys);
      const std::byte* source =
          address<std::byte>(context, mask) +
          (own_row * mask.strides[head_axis] + row % queries_ * mask.strides[width_axis]) *
              element_size(mask.dtype);
      load_float(mask.dtype)(source, mask.strides[position_axis], values, keys);
      if (part == 1)
        least = reduce_kernels(Accumulation::max).row(values, keys, 0) - hiding_distance;
      int64_t seen = keys;
      while (seen > 0 && values[seen - 1] < least) --seen;
      entries[keys_ + static_cast<int64_t>(part)] = static_cast<float>(seen);
    }
  }

  struct Chunk {
    int64_t head, first, columns;
    std::array<int64_t, 2> seen; // of each part, by any of the columns
  };

  const float* mask_of(const RunContext& context, const Chunk& chunk, int64_t column) const {
    const int64_t row = chunk.head / (heads_ / mask_rows_);
    return mask_row(context, row * queries_ + (chunk.first + column) % queries_);
  }

  void attend(const RunContext& context, int64_t head, int64_t first, float* scratch) const {
    Chunk chunk{head, first, std::min(max_gemv_columns, columns_ - first), {}};
    for (int64_t c = 0; c < chunk.columns; ++c)
      for (size_t part = 0; part < 2; ++part)
        chunk.seen[part] = std::max(
            chunk.seen[part],
            static_cast<int64_t>(mask_of(context, chunk, c)[keys_ + static_cast<int64_t>(part)]));
    float* const scores = scratch;
    float* const vectors = scores + max_gemv_columns * keys_;
    weigh(context, chunk, vectors, scores);
    float* const more = vectors + max_gemv_columns * width_;
    sum_values(context, chunk, 0, scores, vectors);
    sum_values(context, chunk, 1, scores + chunk.seen[0], more);
    const StoreFloat store = store_float(a_.output.dtype);
    for (int64_t c = 0; c < chunk.columns; ++c) {
      float* const sum = vectors + c * width_;
      for (int64_t i = 0; i < width_; ++i) sum[i] += more[c * width_ + i];
      const int64_t column = first + c;
      store(sum,
            const_cast<std::byte*>(
                at(context, a_.output, head, column / queries_, column % queries_)),
            a_.output.strides[width_axis], width_);
    }
  }

  // The probabilities of the keys that are seen, both parts side by side, rows keys_ apart.
  void weigh(const RunContext& context, const Chunk& chunk, float* queries, float* scores) const {
    for (int64_t c = 0; c < chunk.columns; ++c) {
      const int64_t column = chunk.first + c;
      load_float(a_.query.dtype)(
          at(context, a_.query, chunk.head, column / queries_, column % queries_),
          a_.query.strides[width_axis], queries + c * width_, width_);
    }
    for (size_t part = 0; part < 2; ++part) {
      const Operand& key = a_.parts[part].key;
      const bool by_key = key.strides[width_axis] == 1;
      const GemvKernels kernels = gemv_kernels(key.dtype);
      GemvCall call;
      call.matrix = {at(context, key, chunk.head, 0, 0),
                     key.strides[by_key ? position_axis : width_axis]};
      call.rows = chunk.seen[part];
      call.depth = width_;
      call.columns = chunk.columns;
      call.x = queries;
      call.x_leading = width_;
      call.y = scores + (part == 0 ? 0 : chunk.seen[0]);
      call.y_leading = keys_;
      (by_key ? kernels.dot : kernels.transposed)(call);
    }
    const auto [cached, fresh] = chunk.seen;
    for (int64_t c = 0; c < chunk.columns; ++c) {
      float* const row = scores + c * keys_;
      const float* const mask = mask_of(context, chunk, c);
      const float best_cached = add_row(row, mask, cached);
      const float best_fresh =
          add_row(row + cached, mask + a_.parts[0].key.shape[position_axis], fresh);
      const float best = best_cached <= best_fresh ? best_fresh : best_cached; // a NaN too
      softmax_row(row, row, cached + fresh, best);
    }
  }

  void sum_values(const RunContext& context, const Chunk& chunk, size_t part,
                  const float* probabilities, float* sums) const {
    const Operand& value = a_.parts[part].value;
    const bool by_key = value.strides[width_axis] == 1;
    const GemvKernels kernels = gemv_kernels(value.dtype);
    GemvCall call;
    call.matrix = {at(context, value, chunk.head, 0, 0),
                   value.strides[by_key ? position_axis : width_axis]};
    call.rows = width_;
    call.depth = chunk.seen[part];
    call.columns = chunk.columns;
    call.x = probabilities;
    call.x_leading = keys_;
    call.y = sums;
    call.y_leading = width_;
    (by_key ? kernels.transposed : kernels.dot)(call);
  }

  CachedAttention a_;
  Operand common_, own_;
  int64_t heads_, width_, queries_, columns_, keys_;
  int64_t mask_rows_ = 1;
};

} // namespace

bool fits_cached_attention(const Operand& x) {
  const bool numbers = x.dtype == DataType::fp32 || x.dtype == DataType::bf16;
  return numbers && (x.strides[width_axis] == 1 || x.strides[position_axis] == 1);
}

CachedAttentionScratch cached_attention_scratch(const CachedAttention& attention) {
  int64_t rows = 1;
  for (const auto& part : attention.parts) rows = std::max(rows, part.mask.shape[head_axis]);
  const int64_t width = attention.query.shape[width_axis];
  return {rows * attention.query.shape[position_axis] * mask_row_size(attention),
          max_gemv_columns * (all_keys(attention) + 2 * width)};
}

std::unique_ptr<Step> make_cached_attention_step(const CachedAttention& attention,
                                                 const Operand& common, const Operand& own) {
  return std::make_unique<CachedAttentionStep>(attention, common, own);
}

} // namespace anet::backend::cpu
