#include "backend/tensor_copy.h"

#include "backend/cpu/convert.h"
#include "base/status.h"
#include "base/thread_pool.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace anet::backend {

namespace {

constexpr int64_t grain = 1 << 14; // elements that one thread takes at least
constexpr int64_t block = 256;     // converted through a buffer that stays in the first cache
constexpr int64_t tile = 64;       // each way, of a transpose: its lines stay in the first cache

int64_t element_bytes(DataType dtype) { return std::max(1, mil::data_type_bits(dtype) / 8); }

// Strides and extents of the axes that have more than one element.
std::vector<std::pair<int64_t, int64_t>> long_axes(const Layout& layout) {
  std::vector<std::pair<int64_t, int64_t>> axes;
  for (size_t axis = 0; axis < layout.shape.size(); ++axis)
    if (layout.shape[axis] != 1) axes.emplace_back(layout.shape[axis], layout.strides[axis]);
  return axes;
}

template <typename T>
void copy_equal(const std::byte* source, int64_t from, std::byte* target, int64_t to, int64_t n) {
  constexpr auto size = static_cast<int64_t>(sizeof(T));
  if (from == size && to == size) {
    std::memcpy(target, source, static_cast<size_t>(n) * sizeof(T));
    return;
  }
  for (int64_t i = 0; i < n; ++i) std::memcpy(target + i * to, source + i * from, sizeof(T));
}

template <DataType source_type, DataType target_type>
void copy_converted(const std::byte* source, int64_t from, std::byte* target, int64_t to,
                    int64_t n) {
  const cpu::LoadFloat load = cpu::load_float(source_type);
  const cpu::StoreFloat store = cpu::store_float(target_type);
  float values[block];
  for (int64_t done = 0; done < n; done += block) {
    const int64_t count = std::min(block, n - done);
    load(source + done * from, from / element_bytes(source_type), values, count);
    // A store would write 0 for NaN: right for what a kernel computed, wrong for what it is given.
    if constexpr (target_type == DataType::fp16)
      for (int64_t i = 0; i < count; ++i)
        values[i] = values[i] != values[i] ? std::numeric_limits<float>::infinity() : values[i];
    store(values, target + done * to, to / element_bytes(target_type), count);
  }
}

using CopyRow = void (*)(const std::byte*, int64_t, std::byte*, int64_t, int64_t);

CopyRow row_copy(DataType from, DataType to) {
  if (from == to) {
    switch (element_bytes(from)) {
    case 1:
      return copy_equal<uint8_t>;
    case 2:
      return copy_equal<uint16_t>;
    case 4:
      return copy_equal<uint32_t>;
    default:
      return copy_equal<uint64_t>;
    }
  }
  if (from == DataType::fp32 && to == DataType::fp16)
    return copy_converted<DataType::fp32, DataType::fp16>;
  if (from == DataType::fp16 && to == DataType::fp32)
    return copy_converted<DataType::fp16, DataType::fp32>;
  if (from == DataType::fp32 && to == DataType::bf16)
    return copy_converted<DataType::fp32, DataType::bf16>;
  if (from == DataType::bf16 && to == DataType::fp32)
    return copy_converted<DataType::bf16, DataType::fp32>;
  fail(Status::type_mismatch,
       "expected equal types, or fp32 and either fp16 or bf16, to copy between, got ",
       mil::data_type_name(from), " and ", mil::data_type_name(to));
}

} // namespace

// Neighbouring axes that both sides step through evenly become one.
std::vector<TensorCopy::Axis> TensorCopy::merge_axes(const Layout& from, const Layout& to) {
  const auto source = long_axes(from), target = long_axes(to);
  std::vector<Axis> axes;
  for (size_t i = 0; i < source.size(); ++i) {
    const Axis axis{source[i].first, source[i].second, target[i].second};
    const bool even = !axes.empty() && axes.back().from == axis.from * axis.extent &&
                      axes.back().to == axis.to * axis.extent;
    if (even)
      axes.back() = {axes.back().extent * axis.extent, axis.from, axis.to};
    else
      axes.push_back(axis);
  }
  return axes;
}

TensorCopy::TensorCopy(const Layout& from, const Layout& to)
    : copy_row_(row_copy(from.dtype, to.dtype)), from_bytes_(element_bytes(from.dtype)),
      to_bytes_(element_bytes(to.dtype)),
      bytes_(static_cast<uint64_t>(mil::element_count(to.shape) * element_bytes(to.dtype))) {
  const auto source = long_axes(from), target = long_axes(to);
  const auto same_extent = [](const auto& a, const auto& b) { return a.first == b.first; };
  if (!std::equal(source.begin(), source.end(), target.begin(), target.end(), same_extent))
    fail(Status::shape_mismatch, "expected equal shapes to copy between, got ",
         mil::shape_to_string(from.shape), " and ", mil::shape_to_string(to.shape));
  outer_ = merge_axes(from, to);
  inner_ = {1, from_bytes_, to_bytes_};
  if (!outer_.empty()) {
    inner_ = outer_.back();
    outer_.pop_back();
  }
  for (const Axis& axis : outer_) rows_ *= axis.extent;
}

void TensorCopy::copy_rows(const std::byte* source, std::byte* target, int64_t begin,
                           int64_t end) const {
  if (is_transpose()) return copy_tiles(source, target, begin, end);
  for (int64_t row = begin; row < end; ++row) {
    int64_t rest = row, from = 0, to = 0;
    for (size_t axis = outer_.size(); axis-- > 0;) {
      const int64_t index = rest % outer_[axis].extent;
      rest /= outer_[axis].extent;
      from += index * outer_[axis].from;
      to += index * outer_[axis].to;
    }
    copy_row_(source + from, inner_.from, target + to, inner_.to, inner_.extent);
  }
}

// Rows of the target that are columns of the source share its cache lines: so tiles of them.
bool TensorCopy::is_transpose() const {
  return outer_.size() == 1 && outer_.front().from == from_bytes_ && inner_.from != from_bytes_;
}

void TensorCopy::copy_tiles(const std::byte* source, std::byte* target, int64_t begin,
                            int64_t end) const {
  const Axis& outer = outer_.front();
  for (int64_t first = begin; first < end; first += tile)
    for (int64_t column = 0; column < inner_.extent; column += tile)
      for (int64_t row = first; row < std::min(end, first + tile); ++row)
        copy_row_(source + row * outer.from + column * inner_.from, inner_.from,
                  target + row * outer.to + column * inner_.to, inner_.to,
                  std::min(tile, inner_.extent - column));
}

void TensorCopy::run(const std::byte* source, std::byte* target, ThreadPool* pool) const {
  if (pool == nullptr) return run_pieces(source, target, 0, pieces());
  const int64_t least = std::max<int64_t>(1, grain / piece_size());
  pool->parallel_for(pieces(), least,
                     [&](int64_t begin, int64_t end) { run_pieces(source, target, begin, end); });
}

void TensorCopy::run_pieces(const std::byte* source, std::byte* target, int64_t begin,
                            int64_t end) const {
  if (rows_ != 1) return copy_rows(source, target, begin, end);
  copy_row_(source + begin * inner_.from, inner_.from, target + begin * inner_.to, inner_.to,
            end - begin);
}

bool same_bytes(const Layout& a, const Layout& b) {
  return a.dtype == b.dtype && long_axes(a) == long_axes(b);
}

} // namespace anet::backend
