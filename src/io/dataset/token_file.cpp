#include "io/dataset/token_file.h"

#include "base/status.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace anet::io {
namespace {

constexpr size_t llmc_header_ints = 256;
constexpr size_t llmc_header_bytes = llmc_header_ints * sizeof(int32_t);
constexpr size_t write_buffer_bytes = size_t{1} << 20;

struct LlmcKind {
  TokenFormat format;
  int32_t magic;
  int32_t version;
};
constexpr std::array<LlmcKind, 2> llmc_kinds = {{
    {TokenFormat::llmc_uint16, 20240520, 1},
    {TokenFormat::llmc_uint32, 20240801, 7},
}};

size_t token_bytes(TokenFormat format) {
  return format == TokenFormat::uint16 || format == TokenFormat::llmc_uint16 ? 2 : 4;
}

TokenFormat bare_format(int32_t vocab_size) {
  return vocab_size <= 65536 ? TokenFormat::uint16 : TokenFormat::uint32;
}

int32_t header_int(std::span<const std::byte> bytes, size_t index) {
  int32_t value = 0;
  std::memcpy(&value, bytes.data() + index * sizeof(value), sizeof(value));
  return value;
}

// nullptr if the bytes do not begin with a header of llm.c.
const LlmcKind* find_llmc_kind(std::span<const std::byte> bytes) {
  if (bytes.size() < llmc_header_bytes) return nullptr;
  for (const LlmcKind& kind : llmc_kinds)
    if (header_int(bytes, 0) == kind.magic && header_int(bytes, 1) == kind.version) return &kind;
  return nullptr;
}

void check_vocab_size(int32_t vocab_size) {
  if (vocab_size < 1)
    fail(Status::invalid_argument, "expected a vocabulary of at least 1 token, seen ", vocab_size);
}

void check_read(int64_t begin, size_t count, int64_t size) {
  if (begin < 0 || begin > size || static_cast<int64_t>(count) > size - begin)
    fail(Status::out_of_range, "expected tokens within ", size, ", seen a read of ", count,
         " from position ", begin);
}

// Widens tokens of unaligned memory; returns the index of the first that is out of the vocabulary,
// or ids.size().
template <typename Stored>
size_t widen(const std::byte* source, std::span<int32_t> ids, int32_t vocab_size) {
  uint32_t largest = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    Stored value;
    std::memcpy(&value, source + i * sizeof(Stored), sizeof(Stored));
    ids[i] = static_cast<int32_t>(value);
    largest = std::max<uint32_t>(largest, value);
  }
  if (largest < static_cast<uint32_t>(vocab_size)) return ids.size();
  const auto bad = std::find_if(ids.begin(), ids.end(), [&](int32_t id) {
    return static_cast<uint32_t>(id) >= static_cast<uint32_t>(vocab_size);
  });
  return static_cast<size_t>(bad - ids.begin());
}

} // namespace

const char* token_format_name(TokenFormat format) {
  switch (format) {
  case TokenFormat::automatic:
    return "automatic";
  case TokenFormat::uint16:
    return "uint16";
  case TokenFormat::uint32:
    return "uint32";
  case TokenFormat::llmc_uint16:
    return "llm.c uint16";
  case TokenFormat::llmc_uint32:
    return "llm.c uint32";
  }
  return "unknown";
}

TokenArray::TokenArray(std::vector<int32_t> ids, int32_t vocab_size) : ids_(std::move(ids)) {
  check_vocab_size(vocab_size);
  for (size_t i = 0; i < ids_.size(); ++i)
    if (ids_[i] < 0 || ids_[i] >= vocab_size)
      fail(Status::invalid_data, "expected token ids below ", vocab_size, ", seen ", ids_[i],
           " at position ", i);
}

void TokenArray::read(int64_t begin, std::span<int32_t> ids) const {
  check_read(begin, ids.size(), size());
  std::copy_n(ids_.begin() + begin, ids.size(), ids.begin());
}

TokenFile::TokenFile(const std::string& path, int32_t vocab_size, TokenFormat format,
                     FileSystem& files)
    : path_(path), file_(path, unlimited_size, files), data_(file_.bytes()), format_(format),
      vocab_size_(vocab_size) {
  check_vocab_size(vocab_size);
  const LlmcKind* kind = find_llmc_kind(data_);
  if (format == TokenFormat::automatic)
    format_ = kind != nullptr ? kind->format : bare_format(vocab_size);
  const size_t width = token_bytes(format_);
  if (format_ == TokenFormat::llmc_uint16 || format_ == TokenFormat::llmc_uint32) {
    if (kind == nullptr || kind->format != format_)
      fail(Status::invalid_data, "expected a header of ", token_format_name(format_), " in '", path,
           "', seen another");
    const int32_t count = header_int(data_, 2);
    data_ = data_.subspan(llmc_header_bytes);
    if (count < 0 || data_.size() != static_cast<size_t>(count) * width)
      fail(Status::invalid_data, "expected ", count, " tokens behind the header of '", path,
           "', seen ", data_.size(), " bytes");
  }
  if (data_.size() % width != 0)
    fail(Status::invalid_data, "expected ", token_format_name(format_), " tokens in '", path,
         "', seen ", data_.size(), " bytes, which is no multiple of ", width);
  size_ = static_cast<int64_t>(data_.size() / width);
}

void TokenFile::read(int64_t begin, std::span<int32_t> ids) const {
  check_read(begin, ids.size(), size_);
  const size_t width = token_bytes(format_);
  const std::byte* source = data_.data() + static_cast<size_t>(begin) * width;
  const size_t bad = width == 2 ? widen<uint16_t>(source, ids, vocab_size_)
                                : widen<uint32_t>(source, ids, vocab_size_);
  if (bad < ids.size())
    fail(Status::invalid_data, "expected token ids below ", vocab_size_, " in '", path_, "', seen ",
         static_cast<uint32_t>(ids[bad]), " at position ", begin + static_cast<int64_t>(bad));
}

void TokenFile::check() const {
  std::vector<int32_t> ids(1 << 16);
  for (int64_t begin = 0; begin < size_; begin += static_cast<int64_t>(ids.size())) {
    const auto count = std::min(static_cast<int64_t>(ids.size()), size_ - begin);
    read(begin, std::span(ids).first(static_cast<size_t>(count)));
  }
}

TokenFileWriter::TokenFileWriter(const std::string& path, int32_t vocab_size, TokenFormat format,
                                 int64_t count, FileSystem& files)
    : file_(path, files),
      format_(format == TokenFormat::automatic ? bare_format(vocab_size) : format),
      vocab_size_(vocab_size), count_(count) {
  check_vocab_size(vocab_size);
  if (token_bytes(format_) == 2 && vocab_size > 65536)
    fail(Status::invalid_argument, "expected a vocabulary of at most 65536 tokens for ",
         token_format_name(format_), ", seen ", vocab_size);
  for (const LlmcKind& kind : llmc_kinds) {
    if (kind.format != format_) continue;
    if (count < 0 || count > std::numeric_limits<int32_t>::max())
      fail(Status::invalid_argument, "expected the number of tokens (31 bits) for ",
           token_format_name(format_), ", seen ", count);
    std::array<int32_t, llmc_header_ints> header = {kind.magic, kind.version,
                                                    static_cast<int32_t>(count)};
    file_.write(std::as_bytes(std::span(header)));
  }
}

void TokenFileWriter::write(std::span<const int32_t> ids) {
  const size_t width = token_bytes(format_);
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size_)
      fail(Status::out_of_range, "expected token ids below ", vocab_size_, ", seen ", id,
           " at position ", written_);
    const auto value = static_cast<uint32_t>(id); // little-endian: the low bytes come first
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    buffer_.insert(buffer_.end(), bytes, bytes + width);
    ++written_;
    if (buffer_.size() >= write_buffer_bytes) flush();
  }
}

void TokenFileWriter::flush() {
  file_.write(buffer_);
  buffer_.clear();
}

void TokenFileWriter::commit() {
  if (count_ >= 0 && count_ != written_)
    fail(Status::invalid_state, "expected ", count_, " tokens, seen ", written_);
  flush();
  file_.commit();
}

} // namespace anet::io
