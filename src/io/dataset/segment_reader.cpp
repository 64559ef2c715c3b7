#include "io/dataset/segment_reader.h"

#include "base/status.h"

#include <algorithm>
#include <fcntl.h>

namespace anet::io {
namespace {

constexpr size_t chunk_bytes = size_t{1} << 20;
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Where to cut a text of which more follows: not in its first half, if that can be.
size_t cut_position(std::string_view text) {
  const size_t half = text.size() / 2;
  if (const size_t line = text.rfind('\n'); line != std::string_view::npos && line >= half)
    return line + 1;
  if (const size_t space = text.rfind(' ');
      space != std::string_view::npos && space >= half && space > 0)
    return space;
  size_t cut = text.size() - 1;
  while (cut > 1 && text.size() - cut < 4 && continues_character(text[cut])) --cut;
  return std::max<size_t>(cut, 1);
}

} // namespace

SegmentReader::SegmentReader(const std::string& path, SegmentOptions options, FileSystem& files)
    : file_(path, O_RDONLY, files), options_(std::move(options)) {
  if (options_.max_bytes < 1)
    fail(Status::invalid_argument, "expected a limit of at least 1 byte, seen ",
         options_.max_bytes);
  const FileInfo info = file_.info();
  if (info.kind == FileKind::directory)
    fail(Status::invalid_argument, "expected a file, seen a directory '", path, "'");
  file_bytes_ = info.size;
  skip_mark();
}

void SegmentReader::skip_mark() {
  while (buffer_.size() < byte_order_mark.size() && fill()) {
  }
  if (!std::string_view(buffer_).starts_with(byte_order_mark)) return;
  begin_ = byte_order_mark.size();
  done_ += static_cast<int64_t>(begin_);
}

// Reads on; false at the end of the file.
bool SegmentReader::fill() {
  if (at_end_) return false;
  buffer_.erase(0, begin_);
  begin_ = 0;
  const size_t size = buffer_.size();
  buffer_.resize(size + chunk_bytes);
  const size_t count =
      file_.read_some(std::as_writable_bytes(std::span(buffer_).subspan(size, chunk_bytes)));
  buffer_.resize(size + count);
  at_end_ = count < chunk_bytes;
  return count > 0;
}

void SegmentReader::consume(size_t count) {
  const std::string_view bytes = std::string_view(buffer_).substr(begin_, count);
  line_ += std::count(bytes.begin(), bytes.end(), '\n');
  begin_ += count;
  done_ += static_cast<int64_t>(count);
}

Segment SegmentReader::take(size_t size, size_t delimiter) {
  Segment segment;
  segment.text = std::string_view(buffer_).substr(begin_, size);
  segment.line = line_;
  segment.begins = !in_segment_;
  consumed_ = size + delimiter;
  return segment;
}

std::optional<Segment> SegmentReader::next() {
  consume(std::exchange(consumed_, 0));
  const std::string_view delimiter = options_.delimiter;
  const auto limit = static_cast<size_t>(options_.max_bytes);
  size_t searched = 0;
  while (true) {
    const std::string_view rest = std::string_view(buffer_).substr(begin_);
    const size_t end = delimiter.empty() ? std::string_view::npos : rest.find(delimiter, searched);
    const size_t size = end == std::string_view::npos ? rest.size() : end;
    // A delimiter that begins within the limit may not be here as a whole yet.
    const bool known = end != std::string_view::npos || at_end_ ||
                       rest.size() - std::min(rest.size(), limit) >= delimiter.size();
    if (size > limit && known)
      return options_.long_segments == LongSegment::skip ? skip_long() : take_piece();
    if (end != std::string_view::npos || (at_end_ && size > 0)) {
      const Segment segment = take(size, end == std::string_view::npos ? 0 : delimiter.size());
      in_segment_ = false;
      return segment;
    }
    if (at_end_) return std::nullopt;
    searched = rest.size() - std::min(rest.size(), std::max<size_t>(delimiter.size(), 1) - 1);
    fill();
  }
}

std::optional<Segment> SegmentReader::take_piece() {
  const auto limit = static_cast<size_t>(options_.max_bytes);
  Segment segment = take(cut_position(std::string_view(buffer_).substr(begin_, limit)), 0);
  segment.ends = false;
  in_segment_ = true;
  return segment;
}

std::optional<Segment> SegmentReader::skip_long() {
  Segment segment;
  segment.line = line_;
  segment.too_long = true;
  const std::string_view delimiter = options_.delimiter;
  while (true) {
    const std::string_view rest = std::string_view(buffer_).substr(begin_);
    const size_t end = delimiter.empty() ? std::string_view::npos : rest.find(delimiter);
    if (end != std::string_view::npos) {
      consume(end + delimiter.size());
      return segment;
    }
    // The delimiter may have begun.
    const size_t kept = std::min(rest.size(), std::max<size_t>(delimiter.size(), 1) - 1);
    consume(at_end_ ? rest.size() : rest.size() - kept);
    if (!fill()) break;
  }
  consume(buffer_.size() - begin_);
  return segment;
}

} // namespace anet::io
