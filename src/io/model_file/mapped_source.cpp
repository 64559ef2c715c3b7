#include "io/model_file/mapped_source.h"

#include <algorithm>

namespace anet::io {
namespace {

constexpr int64_t piece_elements = int64_t{1} << 22; // 16 MB of fp32 between two releases of pages
constexpr int64_t range_elements = int64_t{1} << 15; // less is not worth a thread

// The bytes of values [first, first + count), for what has no order of rows.
std::span<const std::byte> bytes_of(const StoredTensor& tensor, int64_t first, int64_t count) {
  const int64_t block = block_elements(tensor.encoding);
  const int64_t width = block_bytes(tensor.encoding);
  return tensor.data.subspan(static_cast<size_t>(first / block * width),
                             static_cast<size_t>(count / block * width));
}

} // namespace

void MappedSource::place(const model::Parameter& parameter, const StoredTensor& tensor) {
  const int64_t block = block_elements(tensor.encoding);
  const int64_t row = parameter.shape.back();
  const int64_t expected = parameter.elements / block * block_bytes(tensor.encoding);
  if (row % block != 0 || static_cast<int64_t>(tensor.data.size()) != expected)
    fail(Status::invalid_data, "expected ", expected, " bytes of ", encoding_name(tensor.encoding),
         " in rows of whole blocks for '", parameter.name, "', seen ", tensor.data.size(),
         " bytes in rows of ", row, " values");
  if (tensor.interleaved_head_dim != 0 && parameter.shape.size() == 1 && block != 1)
    fail(Status::unsupported, "cannot reorder '", parameter.name, "' within blocks of ",
         encoding_name(tensor.encoding));
  tensors_[parameter.name] = tensor;
}

void MappedSource::for_ranges(int64_t count, int64_t grain, RangeFunction function) {
  if (count <= grain) return function(0, count);
  if (!pool_) pool_ = std::make_unique<ThreadPool>();
  pool_->parallel_for(count, grain, function);
}

void MappedSource::read_piece(const StoredTensor& tensor, int64_t row_size, int64_t first,
                              std::span<float> values) {
  const auto count = static_cast<int64_t>(values.size());
  if (tensor.interleaved_head_dim == 0) {
    for_ranges(count, range_elements, [&](int64_t begin, int64_t end) {
      decode(tensor, first + begin,
             values.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    });
  } else {
    const int64_t grain = std::max<int64_t>(1, range_elements / row_size);
    for_ranges(count / row_size, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t from = interleaved_row(first / row_size + row, tensor.interleaved_head_dim);
        decode(tensor, from * row_size,
               values.subspan(static_cast<size_t>(row * row_size), static_cast<size_t>(row_size)));
      }
    });
  }
  if (tensor.factor != 1.0f)
    for (float& value : values) value *= tensor.factor;
}

void MappedSource::read(const model::Parameter& parameter, std::span<float> values) {
  const auto found = tensors_.find(parameter.name);
  if (found == tensors_.end() || static_cast<int64_t>(values.size()) != parameter.elements)
    fail(Status::internal, "expected a parameter of this model, seen '", parameter.name, "'");
  const StoredTensor& tensor = found->second;
  const int64_t row_size = parameter.shape.size() > 1 ? parameter.shape.back() : 1;
  // Whole blocks, and whole heads where rows are put into another order.
  const int64_t unit = tensor.interleaved_head_dim != 0 ? tensor.interleaved_head_dim * row_size
                                                        : block_elements(tensor.encoding);
  const int64_t piece = std::max(unit, piece_elements / unit * unit);
  for (int64_t first = 0; first < parameter.elements; first += piece) {
    const int64_t count = std::min(piece, parameter.elements - first);
    read_piece(tensor, row_size, first,
               values.subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
    release_mapped_pages(bytes_of(tensor, first, count), files_);
  }
  release_mapped_pages(tensor.scales, files_);
}

std::span<const std::byte> ByteCursor::take(int64_t elements, int64_t width,
                                            std::string_view what) {
  int64_t size = 0;
  const bool fits = elements >= 0 && !__builtin_mul_overflow(elements, width, &size);
  if (!fits || static_cast<uint64_t>(size) > left())
    fail(Status::invalid_data, source_, ": expected ", elements, " elements of ", width,
         " bytes for ", what, " at offset ", at_, ", seen ", left(), " bytes to the end");
  const auto taken = bytes_.subspan(at_, static_cast<size_t>(size));
  at_ += static_cast<size_t>(size);
  return taken;
}

void ByteCursor::finish() const {
  if (left() != 0)
    fail(Status::invalid_data, source_, ": expected the end of the file at offset ", at_, ", seen ",
         left(), " bytes more");
}

} // namespace anet::io
