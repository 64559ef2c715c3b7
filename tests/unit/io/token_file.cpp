#include "io/dataset/token_file.h"

#include "test_files.h"

#include <doctest/doctest.h>
#include <limits>

using namespace anet;
using namespace anet::io;
using namespace anet::test;
using Ids = std::vector<int32_t>;

namespace {

template <typename Stored>
std::string packed(std::initializer_list<Stored> values) {
  std::string text;
  for (const Stored value : values) // little-endian by hand
    for (size_t byte = 0; byte < sizeof(Stored); ++byte)
      text += static_cast<char>(value >> (8 * byte));
  return text;
}

std::string llmc_header(int32_t magic, int32_t version, int32_t count) {
  std::string header = packed<int32_t>({magic, version, count});
  header.resize(1024);
  return header;
}

Ids read_all(const TokenFile& file) {
  Ids ids(static_cast<size_t>(file.size()));
  file.read(0, ids);
  return ids;
}

} // namespace

TEST_CASE("token files of all formats are read") {
  const TemporaryDirectory root;
  put(root / "u16", packed<uint16_t>({1, 500, 65535}));
  put(root / "u32", packed<uint32_t>({1, 500, 151935}));
  put(root / "llmc16", llmc_header(20240520, 1, 2) + packed<uint16_t>({7, 50256}));
  put(root / "llmc32", llmc_header(20240801, 7, 2) + packed<uint32_t>({7, 128255}));
  const TokenFile u16(root / "u16", 65536);
  CHECK(u16.format() == TokenFormat::uint16);
  CHECK(read_all(u16) == Ids{1, 500, 65535});
  const TokenFile u32(root / "u32", 151936);
  CHECK(u32.format() == TokenFormat::uint32);
  CHECK(read_all(u32) == Ids{1, 500, 151935});
  Ids two(2);
  u32.read(1, two);
  CHECK(two == Ids{500, 151935});
  const TokenFile llmc16(root / "llmc16", 50257);
  CHECK(llmc16.format() == TokenFormat::llmc_uint16);
  CHECK(read_all(llmc16) == Ids{7, 50256});
  const TokenFile llmc32(root / "llmc32", 128256);
  CHECK(llmc32.format() == TokenFormat::llmc_uint32);
  CHECK(read_all(llmc32) == Ids{7, 128255});
  // Said to be bare, the header is tokens.
  CHECK(TokenFile(root / "llmc16", 65536, TokenFormat::uint16).size() == 514);
  CHECK(TokenFile(root / "u32", 200000, TokenFormat::uint16).size() == 6);
}

TEST_CASE("ids out of the vocabulary are found where they stand") {
  const TemporaryDirectory root;
  put(root / "u16", packed<uint16_t>({1, 2, 3, 300, 4}));
  put(root / "u32", packed<uint32_t>({1, 0xFFFFFFFF}));
  const TokenFile file(root / "u16", 300);
  Ids three(3);
  file.read(0, three); // what is not read is not checked
  const auto error = error_of([&] { file.read(2, three); });
  CHECK(error->status() == Status::invalid_data);
  CHECK(error->message() ==
        "expected token ids below 300 in '" + (root / "u16") + "', seen 300 at position 3");
  CHECK(error_of([&] { file.check(); })->message() == error->message());
  TokenFile(root / "u16", 301).check();
  CHECK(error_of([&] { TokenFile(root / "u32", 100, TokenFormat::uint32).check(); })
            ->message()
            .ends_with("seen 4294967295 at position 1"));
  for (const int64_t begin :
       {int64_t{-1}, int64_t{3}, int64_t{6}, std::numeric_limits<int64_t>::max()})
    CHECK(error_of([&] { file.read(begin, three); })->status() == Status::out_of_range);
}

TEST_CASE("malformed token files are refused") {
  const TemporaryDirectory root;
  const auto status = [&](const std::string& content, TokenFormat format, int32_t vocab = 1000) {
    put(root / "f", content);
    const auto error = error_of([&] { TokenFile file(root / "f", vocab, format); });
    return error ? error->status() : Status::ok;
  };
  CHECK(status("", TokenFormat::automatic) == Status::ok);
  CHECK(status("abc", TokenFormat::uint16) == Status::invalid_data);
  CHECK(status("abcdef", TokenFormat::uint32) == Status::invalid_data);
  const std::string header = llmc_header(20240520, 1, 2);
  CHECK(status(header + "1234", TokenFormat::automatic) == Status::ok);
  CHECK(status(header + "12345678", TokenFormat::automatic) == Status::invalid_data);
  CHECK(status(header + "12", TokenFormat::automatic) == Status::invalid_data);
  CHECK(status(header + "1234", TokenFormat::llmc_uint32) == Status::invalid_data);
  CHECK(status(llmc_header(20240520, 1, -1), TokenFormat::automatic) == Status::invalid_data);
  CHECK(status("1234", TokenFormat::llmc_uint16) == Status::invalid_data);
  CHECK(status("12", TokenFormat::uint16, 0) == Status::invalid_argument);
}

TEST_CASE("token files are written in all formats") {
  const TemporaryDirectory root;
  const auto write = [&](TokenFormat format, int32_t vocab, const Ids& ids, int64_t count = -1) {
    TokenFileWriter writer(root / "f", vocab, format, count);
    for (const int32_t id : ids) writer.write(std::span(&id, 1));
    writer.commit();
    return get(root / "f");
  };
  CHECK(write(TokenFormat::automatic, 65536, {1, 65535}) == packed<uint16_t>({1, 65535}));
  CHECK(write(TokenFormat::automatic, 65537, {1, 65536}) == packed<uint32_t>({1, 65536}));
  CHECK(write(TokenFormat::llmc_uint16, 50257, {9}, 1) ==
        llmc_header(20240520, 1, 1) + packed<uint16_t>({9}));
  CHECK(write(TokenFormat::llmc_uint32, 50257, {9}, 1) ==
        llmc_header(20240801, 7, 1) + packed<uint32_t>({9}));
  const std::string before = get(root / "f");
  for (const auto& action :
       std::vector<std::function<void()>>{[&] { write(TokenFormat::uint16, 65537, {1}); },
                                          [&] { write(TokenFormat::uint16, 10, {10}); },
                                          [&] { write(TokenFormat::uint16, 10, {-1}); },
                                          [&] { write(TokenFormat::uint16, 10, {1}, 2); },
                                          [&] { write(TokenFormat::llmc_uint16, 10, {1}); }})
    CHECK(error_of(action).has_value());
  CHECK(get(root / "f") == before);
  CHECK(root.names() == std::vector<std::string>{"f"});
  Ids many(1000003);
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<int32_t>(i % 70001);
  TokenFileWriter writer(root / "many", 70001);
  writer.write(many);
  writer.commit();
  CHECK(read_all(TokenFile(root / "many", 70001)) == many);
}

TEST_CASE("token arrays check their ids") {
  const TokenArray array({1, 2, 3}, 4);
  Ids two(2);
  array.read(1, two);
  CHECK(two == Ids{2, 3});
  CHECK(error_of([&] { array.read(2, two); })->status() == Status::out_of_range);
  CHECK(message_of([] {
          TokenArray bad({1, 4}, 4);
        }) == "expected token ids below 4, seen 4 at position 1");
}
