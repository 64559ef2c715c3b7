// A file cut at a delimiter, read in one pass in bounded memory.
#pragma once

#include "base/file.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace anet::io {

// What becomes of a segment that is longer than the limit.
enum class LongSegment {
  skip, // it is reported without its text
  cut,  // into pieces: behind the last line that fits, else before a space, else between characters
};

struct SegmentOptions {
  std::string delimiter = "\n"; // empty: the file is one segment
  int64_t max_bytes = 0;        // at least 1
  LongSegment long_segments = LongSegment::skip;
};

struct Segment {
  std::string_view text; // without its delimiter; valid until the next call
  int64_t line = 1;      // where it begins: 1 and the line feeds before it
  bool too_long = false; // the text is empty
  bool begins = true;    // false: it goes on from a piece that was cut
  bool ends = true;      // false: it goes on
};

// A byte-order mark at the beginning of the file is left out.
class SegmentReader {
public:
  SegmentReader(const std::string& path, SegmentOptions options,
                FileSystem& files = FileSystem::real());

  // nullopt at the end. A delimiter that ends the file has no segment behind it.
  std::optional<Segment> next();
  int64_t bytes_done() const { return done_; } // of the file, as far as segments were returned
  int64_t file_bytes() const { return file_bytes_; } // when it was opened; 0 for a pipe

private:
  bool fill();
  void skip_mark();
  void consume(size_t count);
  Segment take(size_t size, size_t delimiter);
  std::optional<Segment> take_piece();
  std::optional<Segment> skip_long();

  FileDescriptor file_;
  SegmentOptions options_;
  std::string buffer_;
  size_t begin_ = 0;    // of what is not returned yet
  size_t consumed_ = 0; // bytes of the segment that was returned, dropped by the next call
  bool at_end_ = false;
  bool in_segment_ = false; // a piece was cut and more follows
  int64_t line_ = 1;
  int64_t done_ = 0;
  int64_t file_bytes_ = 0;
};

} // namespace anet::io
