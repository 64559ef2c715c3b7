// SHA-256 for fingerprints that others must be able to recompute, XXH64 for checksums of big files:
// portable SHA-256 runs at a few hundred MB/s, XXH64 at memory speed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace anet {

// FIPS 180-4.
class Sha256 {
public:
  void update(std::span<const std::byte> data);
  // Of all bytes so far; more may follow.
  std::array<uint8_t, 32> digest() const;
  std::string hex_digest() const; // 64 lower-case digits

private:
  void compress(const uint8_t* block);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> block_ = {};
  uint64_t size_ = 0; // bytes so far
};

std::string sha256_hex(std::span<const std::byte> data);

// The 64-bit xxHash of the published specification (version 0.1.1). Detects accidents, not attacks.
class Xxh64 {
public:
  explicit Xxh64(uint64_t seed = 0);
  void update(std::span<const std::byte> data);
  // Of all bytes so far; more may follow.
  uint64_t digest() const;

private:
  std::array<uint64_t, 4> lanes_;
  std::array<uint8_t, 32> block_ = {};
  uint64_t size_ = 0; // bytes so far
  uint64_t seed_;
};

uint64_t xxh64(std::span<const std::byte> data, uint64_t seed = 0);
std::string hex64(uint64_t value); // 16 lower-case digits

} // namespace anet
