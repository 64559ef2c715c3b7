#include "base/hash.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

namespace anet {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::array<uint32_t, 64> sha256_constants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

uint32_t load_big_endian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

template <typename Integer>
Integer load_little_endian(const uint8_t* bytes) {
  Integer value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

std::string hex_digits(std::span<const uint8_t> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const uint8_t byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

// Cuts a stream into whole blocks: `consume(block)` for each; the rest stays in `block`.
template <size_t Size, typename Consume>
void feed_blocks(std::array<uint8_t, Size>& block, uint64_t& total, std::span<const std::byte> data,
                 Consume consume) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(data.data());
  size_t left = data.size();
  const size_t held = total % Size;
  total += left;
  if (held != 0) {
    const size_t taken = std::min(left, Size - held);
    std::copy_n(bytes, taken, block.data() + held);
    bytes += taken;
    left -= taken;
    if (held + taken < Size) return;
    consume(block.data());
  }
  for (; left >= Size; bytes += Size, left -= Size) consume(bytes);
  std::copy_n(bytes, left, block.data());
}

constexpr uint64_t prime1 = 0x9E3779B185EBCA87;
constexpr uint64_t prime2 = 0xC2B2AE3D27D4EB4F;
constexpr uint64_t prime3 = 0x165667B19E3779F9;
constexpr uint64_t prime4 = 0x85EBCA77C2B2AE63;
constexpr uint64_t prime5 = 0x27D4EB2F165667C5;

uint64_t xxh_round(uint64_t lane, uint64_t input) {
  return std::rotl(lane + input * prime2, 31) * prime1;
}

uint64_t xxh_merge(uint64_t accumulator, uint64_t lane) {
  return (accumulator ^ xxh_round(0, lane)) * prime1 + prime4;
}

} // namespace

void Sha256::compress(const uint8_t* block) {
  std::array<uint32_t, 64> w;
  for (size_t i = 0; i < 16; ++i) w[i] = load_big_endian(block + 4 * i);
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    const uint32_t choice = (e & f) ^ (~e & g);
    const uint32_t t1 = h + s1 + choice + sha256_constants[i] + w[i];
    const uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    const uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + s0 + majority;
  }
  const std::array<uint32_t, 8> added = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i) state_[i] += added[i];
}

void Sha256::update(std::span<const std::byte> data) {
  feed_blocks(block_, size_, data, [this](const uint8_t* block) { compress(block); });
}

std::array<uint8_t, 32> Sha256::digest() const {
  Sha256 last = *this;
  const uint64_t bits = size_ * 8;
  std::array<std::byte, 72> padding = {std::byte{0x80}};
  // One bit, zeros up to 8 bytes before the end of a block, the length in bits.
  const size_t zeros_end = 1 + (119 - size_ % 64) % 64;
  for (size_t i = 0; i < 8; ++i)
    padding[zeros_end + i] = static_cast<std::byte>(bits >> (56 - 8 * i));
  last.update(std::span(padding).first(zeros_end + 8));
  std::array<uint8_t, 32> result;
  for (size_t i = 0; i < 32; ++i)
    result[i] = static_cast<uint8_t>(last.state_[i / 4] >> (24 - 8 * (i % 4)));
  return result;
}

std::string Sha256::hex_digest() const { return hex_digits(digest()); }

std::string sha256_hex(std::span<const std::byte> data) {
  Sha256 hash;
  hash.update(data);
  return hash.hex_digest();
}

Xxh64::Xxh64(uint64_t seed)
    : lanes_{seed + prime1 + prime2, seed + prime2, seed, seed - prime1}, seed_(seed) {}

void Xxh64::update(std::span<const std::byte> data) {
  std::array<uint64_t, 4> lanes = lanes_; // kept in registers
  feed_blocks(block_, size_, data, [&lanes](const uint8_t* block) {
    for (size_t i = 0; i < 4; ++i)
      lanes[i] = xxh_round(lanes[i], load_little_endian<uint64_t>(block + 8 * i));
  });
  lanes_ = lanes;
}

uint64_t Xxh64::digest() const {
  uint64_t hash = seed_ + prime5;
  if (size_ >= 32) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
           std::rotl(lanes_[3], 18);
    for (const uint64_t lane : lanes_) hash = xxh_merge(hash, lane);
  }
  hash += size_;
  const uint8_t* bytes = block_.data();
  size_t left = size_ % 32;
  for (; left >= 8; bytes += 8, left -= 8) {
    hash ^= xxh_round(0, load_little_endian<uint64_t>(bytes));
    hash = std::rotl(hash, 27) * prime1 + prime4;
  }
  if (left >= 4) {
    hash ^= load_little_endian<uint32_t>(bytes) * prime1;
    hash = std::rotl(hash, 23) * prime2 + prime3;
    bytes += 4;
    left -= 4;
  }
  for (; left > 0; ++bytes, --left) hash = std::rotl(hash ^ (*bytes * prime5), 11) * prime1;
  hash = (hash ^ (hash >> 33)) * prime2;
  hash = (hash ^ (hash >> 29)) * prime3;
  return hash ^ (hash >> 32);
}

uint64_t xxh64(std::span<const std::byte> data, uint64_t seed) {
  Xxh64 hash(seed);
  hash.update(data);
  return hash.digest();
}

std::string hex64(uint64_t value) {
  std::array<uint8_t, 8> bytes;
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(value >> (56 - 8 * i));
  return hex_digits(bytes);
}

} // namespace anet
