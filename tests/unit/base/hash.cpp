#include "base/hash.h"

#include "base/file.h"

#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace anet;

namespace {

// The buffer of xxHash's own sanity check: byte i is the top byte of a product that is squared.
std::vector<std::byte> xxhash_sanity_buffer(size_t size) {
  std::vector<std::byte> buffer(size);
  uint64_t generator = 2654435761u;
  for (std::byte& byte : buffer) {
    byte = static_cast<std::byte>(generator >> 56);
    generator *= 11400714785074694797ull;
  }
  return buffer;
}

} // namespace

TEST_CASE("SHA-256 of the FIPS 180-4 examples") {
  CHECK(sha256_hex({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex(as_bytes("abc")) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  const std::string million(1000000, 'a');
  CHECK(sha256_hex(as_bytes(million)) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 does not depend on how the bytes arrive") {
  const std::string text(300, 'x');
  for (size_t size = 0; size <= text.size(); ++size) {
    Sha256 hash;
    hash.update(as_bytes(text).first(size));
    const std::string partial = hash.hex_digest(); // does not disturb what follows
    hash.update(as_bytes(text).subspan(size));
    CHECK(hash.hex_digest() == sha256_hex(as_bytes(text)));
    CHECK(partial == sha256_hex(as_bytes(text).first(size)));
  }
}

TEST_CASE("XXH64 of xxHash's sanity check") {
  const auto buffer = xxhash_sanity_buffer(222);
  const std::span<const std::byte> bytes = buffer;
  const uint64_t prime32 = 2654435761u;
  CHECK(xxh64(bytes.first(0)) == 0xEF46DB3751D8E999u);
  CHECK(xxh64(bytes.first(0), prime32) == 0xAC75FDA2929B17EFu);
  CHECK(xxh64(bytes.first(1)) == 0xE934A84ADB052768u);
  CHECK(xxh64(bytes.first(1), prime32) == 0x5014607643A9B4C3u);
  CHECK(xxh64(bytes.first(4)) == 0x9136A0DCA57457EEu);
  CHECK(xxh64(bytes.first(14)) == 0x8282DCC4994E35C8u);
  CHECK(xxh64(bytes.first(14), prime32) == 0xC3BD6BF63DEB6DF0u);
  CHECK(xxh64(bytes.first(222)) == 0xB641AE8CB691C174u);
  CHECK(xxh64(bytes.first(222), prime32) == 0x20CB8AB7AE10C14Au);
  CHECK(hex64(0x0123456789abcdef) == "0123456789abcdef");
}

TEST_CASE("XXH64 does not depend on how the bytes arrive") {
  const auto buffer = xxhash_sanity_buffer(200);
  const std::span<const std::byte> bytes = buffer;
  for (size_t first = 0; first <= 200; ++first)
    for (const size_t piece : {1u, 7u, 31u, 32u, 33u}) {
      Xxh64 hash(7);
      hash.update(bytes.first(first));
      for (size_t begin = first; begin < 200; begin += piece)
        hash.update(bytes.subspan(begin, std::min(piece, 200 - begin)));
      if (hash.digest() != xxh64(bytes, 7)) FAIL(first, " ", piece);
    }
}
