// Files cut into lines and documents.
#include "io/dataset/segment_reader.h"

#include "test_files.h"

#include <doctest/doctest.h>

using namespace anet;
using namespace anet::io;
using namespace anet::test;

namespace {

struct Seen {
  std::string text;
  int64_t line = 0;
  bool too_long = false;
  bool begins = true;
  bool ends = true;
  bool operator==(const Seen&) const = default;
};

std::vector<Seen> segments_of(const std::string& path, const SegmentOptions& options,
                              FileSystem& files = FileSystem::real()) {
  SegmentReader reader(path, options, files);
  std::vector<Seen> seen;
  while (const auto segment = reader.next())
    seen.push_back({std::string(segment->text), segment->line, segment->too_long, segment->begins,
                    segment->ends});
  CHECK(reader.bytes_done() == reader.file_bytes());
  return seen;
}

std::vector<std::string> texts_of(const std::vector<Seen>& seen) {
  std::vector<std::string> texts;
  for (const Seen& segment : seen) texts.push_back(segment.text);
  return texts;
}

} // namespace

TEST_CASE("lines, their numbers, and the end of the file") {
  const TemporaryDirectory root;
  const std::string path = root / "lines";
  const SegmentOptions lines{.max_bytes = 100};
  put(path, "a\n\nbc\r\nd");
  CHECK(segments_of(path, lines) == std::vector<Seen>{{"a", 1}, {"", 2}, {"bc\r", 3}, {"d", 4}});
  put(path, "a\nb\n");
  CHECK(texts_of(segments_of(path, lines)) == std::vector<std::string>{"a", "b"});
  put(path, "");
  CHECK(segments_of(path, lines).empty());
  put(path, "\n");
  CHECK(segments_of(path, lines) == std::vector<Seen>{{"", 1}});
  put(path, "\xEF\xBB\xBFmarked\n\xEF\xBB\xBFkept");
  CHECK(texts_of(segments_of(path, lines)) ==
        std::vector<std::string>{"marked", "\xEF\xBB\xBFkept"});
  put(path, "\xEF\xBB");
  CHECK(texts_of(segments_of(path, lines)) == std::vector<std::string>{"\xEF\xBB"});
  put(path, std::string("nul\0here\nx", 10));
  CHECK(texts_of(segments_of(path, lines)) ==
        std::vector<std::string>{std::string("nul\0here", 8), "x"});
}

TEST_CASE("a line that is too long is reported once and passed over") {
  const TemporaryDirectory root;
  const std::string path = root / "lines";
  for (const size_t size : {11, 1000, 1 << 20, (1 << 20) + 1, 5'000'000}) {
    put(path, "first\n" + std::string(size, 'x') + "\nthird");
    CHECK(segments_of(path, {.max_bytes = 10}) ==
          std::vector<Seen>{{"first", 1}, {"", 2, true}, {"third", 3}});
    put(path, "first\n" + std::string(size, 'x'));
    CHECK(segments_of(path, {.max_bytes = 10}) == std::vector<Seen>{{"first", 1}, {"", 2, true}});
  }
  put(path, std::string(10, 'x') + "\n" + std::string(11, 'y') + "\n");
  CHECK(segments_of(path, {.max_bytes = 10}) ==
        std::vector<Seen>{{std::string(10, 'x'), 1}, {"", 2, true}});
}

TEST_CASE("lines across the reader's buffers") {
  const TemporaryDirectory root;
  const std::string path = root / "lines";
  std::string text;
  std::vector<std::string> expected;
  for (int i = 0; i < 3000; ++i) {
    expected.emplace_back(static_cast<size_t>(i * 7919 % 2003), static_cast<char>('a' + i % 26));
    text += expected.back() + "\n";
  }
  REQUIRE(text.size() > 2 << 20);
  put(path, text);
  const std::vector<Seen> seen = segments_of(path, {.max_bytes = 5000});
  CHECK(texts_of(seen) == expected);
  CHECK(seen.back().line == 3000);
  put(path, text.substr(0, 5000));
  FaultyFileSystem slow;
  slow.short_and_interrupted = true;
  CHECK(segments_of(path, {.max_bytes = 5000}, slow) == segments_of(path, {.max_bytes = 5000}));
}

TEST_CASE("documents between separators") {
  const TemporaryDirectory root;
  const std::string path = root / "documents";
  put(path, "one\n1\n<|end|>two<|end|><|end|>three<|en");
  const SegmentOptions options{
      .delimiter = "<|end|>", .max_bytes = 100, .long_segments = LongSegment::cut};
  CHECK(segments_of(path, options) ==
        std::vector<Seen>{{"one\n1\n", 1}, {"two", 3}, {"", 3}, {"three<|en", 3}});
  const SegmentOptions whole{.delimiter = "", .max_bytes = 100, .long_segments = LongSegment::cut};
  CHECK(texts_of(segments_of(path, whole)) == std::vector<std::string>{get(path)});
}

TEST_CASE("long documents are cut behind lines, before spaces, between characters") {
  const TemporaryDirectory root;
  const std::string path = root / "documents";
  const auto cut = [&](const std::string& text, int64_t size) {
    put(path, text);
    return segments_of(path,
                       {.delimiter = "|", .max_bytes = size, .long_segments = LongSegment::cut});
  };
  CHECK(cut("aaa bbb\ncc dd|e", 10) == std::vector<Seen>{{"aaa bbb\n", 1, false, true, false},
                                                         {"cc dd", 2, false, false, true},
                                                         {"e", 2}});
  CHECK(texts_of(cut("aaaa bbbb cc", 8)) == std::vector<std::string>{"aaaa", " bbbb cc"});
  // No character is torn apart, and a separator is found wherever it stands.
  const std::string face = "\xF0\x9F\x98\x80";
  std::string faces;
  for (int i = 0; i < 50; ++i) faces += face;
  for (int64_t size = 8; size < 30; ++size) {
    std::string joined;
    for (const Seen& segment : cut(faces, size)) {
      CHECK(segment.text.size() % 4 == 0);
      CHECK(static_cast<int64_t>(segment.text.size()) <= size);
      joined += segment.text;
    }
    CHECK(joined == faces);
  }
  for (size_t length = 1; length < 40; ++length) {
    const std::string text(length, 'x');
    put(path, text + "<->" + text);
    std::string joined;
    for (const Seen& segment :
         segments_of(path, {.delimiter = "<->", .max_bytes = 7, .long_segments = LongSegment::cut}))
      joined += segment.text + (segment.ends ? "/" : "");
    CHECK(joined == text + "/" + text + "/");
  }
  // Bytes that are no characters are cut as well.
  CHECK(cut(std::string(100, '\x80'), 8).size() > 10);
  CHECK(cut("abc", 1).size() == 3);
}

TEST_CASE("a separator longer than what is left of the buffer") {
  const TemporaryDirectory root;
  const std::string path = root / "documents";
  const std::string separator(300, '=');
  for (const size_t size : {(size_t{1} << 20) - 150, (size_t{1} << 20) - 300, size_t{1} << 20}) {
    const std::string text(size, 'x');
    put(path, text + separator + "end");
    CHECK(texts_of(segments_of(path, {.delimiter = separator, .max_bytes = 1 << 21})) ==
          std::vector<std::string>{text, "end"});
    const std::vector<Seen> skipped = segments_of(path, {.delimiter = separator, .max_bytes = 100});
    CHECK(skipped == std::vector<Seen>{{"", 1, true}, {"end", 1}});
  }
}

TEST_CASE("what cannot be read is an error") {
  const TemporaryDirectory root;
  CHECK(error_of([&] { SegmentReader(root / "missing", {.max_bytes = 1}); })->status() ==
        Status::file_not_found);
  CHECK(message_of([&] { SegmentReader(root.path(), {.max_bytes = 1}); }) ==
        concat("expected a file, seen a directory '", root.path(), "'"));
  put(root / "file", "a\nb\n");
  CHECK(error_of([&] { SegmentReader(root / "file", {}); })->status() == Status::invalid_argument);
  for (int64_t fail_at = 0; fail_at < 3; ++fail_at) {
    FaultyFileSystem files;
    files.fail_at = fail_at; // open, info, read
    CHECK(error_of([&] { segments_of(root / "file", {.max_bytes = 9}, files); })->status() ==
          Status::io);
    CHECK(files.open_files == 0);
  }
}
