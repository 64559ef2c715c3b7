#include "io/tokenizer/piece_table.h"

#include "base/status.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace anet::io::tokenization {
namespace {

constexpr uint64_t golden = 0x9E3779B97F4A7C15;

uint64_t mix(uint64_t value) {
  value ^= value >> 32;
  value *= golden;
  return value ^ value >> 29;
}

// Eight bytes at a time; the last ones overlap those before.
uint32_t hash_of(std::string_view text) {
  uint64_t hash = text.size() * golden;
  const auto load = [&](size_t offset, size_t size) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + offset, size);
    hash = mix(hash ^ word);
  };
  size_t offset = 0;
  for (; offset + 8 <= text.size(); offset += 8) load(offset, 8);
  if (offset < text.size()) load(offset, text.size() - offset);
  return static_cast<uint32_t>(mix(hash) >> 32);
}

size_t slot_count(size_t entries) { return std::bit_ceil(std::max<size_t>(entries, 4) * 2); }

uint64_t pair_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

} // namespace

PieceTable::PieceTable(std::span<const Entry> entries) : slots_(slot_count(entries.size())) {
  size_t total = 0;
  for (const Entry& entry : entries) total += entry.key.size();
  if (total > UINT32_MAX)
    fail(Status::unsupported, "expected pieces of less than 4 GiB in all, seen ", total, " bytes");
  keys_.reserve(total);
  for (const Entry& entry : entries) {
    const uint32_t hash = hash_of(entry.key);
    size_t at = hash & (slots_.size() - 1);
    while (slots_[at].id != no_id) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {hash, entry.id, static_cast<uint32_t>(keys_.size()),
                  static_cast<uint32_t>(entry.key.size())};
    keys_ += entry.key;
    max_size_ = std::max(max_size_, entry.key.size());
  }
}

int32_t PieceTable::find(std::string_view key) const {
  if (slots_.empty() || key.size() > max_size_) return no_id;
  const uint32_t hash = hash_of(key);
  for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.id == no_id) return no_id;
    if (slot.hash == hash && slot.size == key.size() &&
        std::memcmp(keys_.data() + slot.begin, key.data(), key.size()) == 0)
      return slot.id;
  }
}

MergeTable::MergeTable(std::span<const Entry> entries) : slots_(slot_count(entries.size())) {
  for (const Entry& entry : entries) {
    const uint64_t pair = pair_of(entry.left, entry.right);
    slots_[slot_of(pair)] = {pair, entry.merge};
  }
}

// Of the pair, or the empty one where it would go.
size_t MergeTable::slot_of(uint64_t pair) const {
  size_t at = mix(pair * golden) & (slots_.size() - 1);
  while (slots_[at].merge.id != no_id && slots_[at].pair != pair)
    at = (at + 1) & (slots_.size() - 1);
  return at;
}

Merge MergeTable::find(int32_t left, int32_t right) const {
  if (slots_.empty()) return {};
  return slots_[slot_of(pair_of(left, right))].merge;
}

} // namespace anet::io::tokenization
