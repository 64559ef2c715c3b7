// Room for adapters in the ports of a generator's programs. Several adapters lie side by side:
// their ranks are concatenated, weight * scale goes into B, what is left is zero. So other adapters
// of the same size are other values of the same ports, and compile nothing.
#pragma once

#include "base/flat_array.h"
#include "base/thread_pool.h"
#include "model/adapter.h"

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace anet::generate {

// What programs have room for: the same in every layer, which may share them.
struct AdapterRoom {
  std::set<std::string> modules; // by what their ports begin with
  int32_t rank = 0;              // of each
  bool dora = false;

  // As much as both have.
  AdapterRoom operator|(const AdapterRoom& other) const;
  bool operator==(const AdapterRoom&) const = default;
  // For builders of programs, with a scale of 1.
  model::AdapterShape shape() const;
};

// Adapters may belong to another model of the same configuration: one trained over a compressed
// copy fits the original. Throws invalid_argument for another configuration or a weight that is not
// finite, unsupported for DoRA that is not alone with weight 1.
AdapterRoom room_for(const model::Model& model, std::span<const model::WeightedAdapter> adapters);

// Thread class: one thread at a time.
class AdapterSlots {
public:
  AdapterSlots(const model::Model& model, const AdapterRoom& room);

  const AdapterRoom& room() const { return room_; }
  // Where the values of a port begin in values(); -1 for no port of an adapter.
  int64_t offset(int32_t layer, std::string_view port) const;
  std::span<float> values() { return values_.values(); }

  // Writes the adapters' weights, which `room` covers, as they are now.
  void fill(std::span<const model::WeightedAdapter> adapters, ThreadPool& pool);

private:
  using Key = std::pair<int32_t, std::string>; // layer, what the ports begin with
  // Offsets of one module's ports; magnitude and inverse_norm are -1 without DoRA.
  struct Slot {
    const model::Parameter* base = nullptr;
    int64_t in = 0, out = 0;
    int64_t a = -1, b = -1, magnitude = -1, inverse_norm = -1;
  };

  void append(const model::Parameter& base, const std::string& module);
  float* at(int64_t offset) { return values_.values().data() + offset; }
  void clear();
  void add(const model::WeightedAdapter& added, const model::LoraModule& module,
           int64_t first_rank);
  void add_dora(const model::Adapter& adapter, const model::LoraModule& module, ThreadPool& pool);

  const model::Model& model_;
  AdapterRoom room_;
  std::map<Key, Slot> slots_;
  int64_t size_ = 0;
  FlatArray values_;
};

} // namespace anet::generate
