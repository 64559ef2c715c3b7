// The pieces of a vocabulary: text to id and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::io::tokenization {

inline constexpr int32_t no_id = -1;

// Text to id. Lookups take one probe of 16 bytes for most texts that are absent.
class PieceTable {
public:
  // Keys are distinct.
  struct Entry {
    std::string key;
    int32_t id;
  };
  PieceTable() = default;
  explicit PieceTable(std::span<const Entry> entries);

  int32_t find(std::string_view key) const;     // no_id if there is none
  size_t max_size() const { return max_size_; } // bytes of the longest key

private:
  struct Slot {
    uint32_t hash = 0;
    int32_t id = no_id;
    uint32_t begin = 0; // in keys_
    uint32_t size = 0;
  };
  std::string keys_;
  std::vector<Slot> slots_; // a power of two, at most half full
  size_t max_size_ = 0;
};

// Which two neighbours become one, and how early.
struct Merge {
  uint32_t rank = UINT32_MAX; // lower ones come first
  int32_t id = no_id;
};

class MergeTable {
public:
  struct Entry {
    int32_t left;
    int32_t right;
    Merge merge;
  };
  MergeTable() = default;
  // Of entries with the same pair the last one counts.
  explicit MergeTable(std::span<const Entry> entries);

  Merge find(int32_t left, int32_t right) const; // id no_id if they do not merge

private:
  struct Slot {
    uint64_t pair = 0;
    Merge merge;
  };
  size_t slot_of(uint64_t pair) const;
  std::vector<Slot> slots_; // a power of two, at most half full; never empty once constructed
};

} // namespace anet::io::tokenization
