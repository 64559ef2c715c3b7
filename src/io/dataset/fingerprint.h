// The identity of a dataset: SHA-256 over named options and over token ids.
#pragma once

#include "base/hash.h"
#include "io/dataset/dataset.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace anet::io {

class Fingerprint {
public:
  explicit Fingerprint(std::string_view kind) { text(kind); }

  void text(std::string_view value) {
    number(static_cast<int64_t>(value.size())); // so that neighbours cannot run into each other
    hash_.update(std::as_bytes(std::span(value.data(), value.size())));
  }
  void number(int64_t value) { hash_.update(std::as_bytes(std::span(&value, 1))); }
  void order(const DatasetOrder& order) {
    number(order.shuffle ? 1 : 0);
    number(order.shuffle ? static_cast<int64_t>(order.seed) : 0);
  }
  template <typename Word>
  void words(std::span<const Word> values) {
    hash_.update(std::as_bytes(values));
  }
  std::string hex_digest() const { return hash_.hex_digest(); }

private:
  Sha256 hash_;
};

} // namespace anet::io
