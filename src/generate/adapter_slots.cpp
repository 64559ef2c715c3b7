#include "generate/adapter_slots.h"

#include "base/status.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace anet::generate {

namespace {

constexpr int64_t alignment = 16; // elements, as in the model's flat array

// What the ports of a module begin with; empty for a parameter that is no matrix.
std::string port_prefix(const model::Parameter& parameter) {
  if (parameter.shape.size() != 2) return {};
  if (parameter.port == "embedding_weight") return "embed_tokens";
  if (parameter.port == "head_weight") return "lm_head";
  return parameter.port.substr(0, parameter.port.size() - std::string_view("_weight").size());
}

void check_weight(const model::WeightedAdapter& added) {
  if (!std::isfinite(added.weight))
    fail(Status::invalid_argument, "expected a finite weight of an adapter, seen ", added.weight);
  if (added.adapter->options().dora && added.weight != 1)
    fail(Status::unsupported, "expected weight 1 for an adapter with DoRA, seen ", added.weight);
}

} // namespace

AdapterRoom AdapterRoom::operator|(const AdapterRoom& other) const {
  AdapterRoom both = *this;
  both.modules.insert(other.modules.begin(), other.modules.end());
  both.rank = std::max(rank, other.rank);
  both.dora = dora || other.dora;
  return both;
}

model::AdapterShape AdapterRoom::shape() const {
  model::AdapterShape shape;
  for (const std::string& module : modules) {
    const bool projection = module != "embed_tokens" && module != "lm_head";
    shape.modules.push_back({module, rank, 1.0, dora && projection});
  }
  return shape;
}

AdapterRoom room_for(const model::Model& model, std::span<const model::WeightedAdapter> adapters) {
  AdapterRoom room;
  struct Use {
    int32_t rank = 0, adapters = 0;
    bool dora = false;
  };
  std::map<std::string, Use> uses; // by module
  for (const model::WeightedAdapter& added : adapters) {
    if (added.adapter->config() != model.config())
      fail(Status::invalid_argument, "expected adapters of models with the generator's "
                                     "configuration, seen one of another configuration");
    check_weight(added);
    for (const model::LoraModule& module : added.adapter->modules()) {
      Use& use = uses[module.target.module];
      use.rank += module.target.rank;
      use.adapters += 1;
      use.dora = use.dora || module.magnitude >= 0;
      if (use.dora && use.adapters > 1)
        fail(Status::unsupported, "expected an adapter with DoRA to be the only one of '",
             module.target.module, "', seen another beside it");
      room.modules.insert(module.port);
      room.rank = std::max(room.rank, use.rank);
      room.dora = room.dora || use.dora;
    }
  }
  return room;
}

AdapterSlots::AdapterSlots(const model::Model& model, const AdapterRoom& room)
    : model_(model), room_(room) {
  for (const model::Parameter& parameter : model.parameters().all()) {
    const std::string module = port_prefix(parameter);
    if (room.modules.contains(module)) append(parameter, module);
  }
  values_ = FlatArray(std::max(size_, alignment));
  clear();
}

void AdapterSlots::append(const model::Parameter& base, const std::string& module) {
  const bool embedding = module == "embed_tokens";
  Slot slot{
      .base = &base, .in = base.shape[embedding ? 0 : 1], .out = base.shape[embedding ? 1 : 0]};
  const auto take = [&](int64_t elements) {
    const int64_t offset = size_;
    size_ += (elements + alignment - 1) / alignment * alignment;
    return offset;
  };
  slot.a = take(room_.rank * slot.in);
  slot.b = take(slot.out * room_.rank);
  if (room_.dora && base.layer >= 0) {
    slot.magnitude = take(slot.out);
    slot.inverse_norm = take(slot.out);
  }
  slots_.emplace(Key{base.layer, module}, slot);
}

int64_t AdapterSlots::offset(int32_t layer, std::string_view port) const {
  static constexpr std::pair<std::string_view, int64_t Slot::*> kinds[] = {
      {"_lora_a", &Slot::a},
      {"_lora_b", &Slot::b},
      {"_magnitude", &Slot::magnitude},
      {"_inverse_norm", &Slot::inverse_norm}};
  for (const auto& [suffix, member] : kinds) {
    if (!port.ends_with(suffix)) continue;
    const auto found =
        slots_.find({layer, std::string(port.substr(0, port.size() - suffix.size()))});
    if (found != slots_.end()) return found->second.*member;
  }
  return -1;
}

// No adapter: products of zero, and gains of one.
void AdapterSlots::clear() {
  std::fill(values().begin(), values().end(), 0.0f);
  for (const auto& [key, slot] : slots_) {
    if (slot.magnitude < 0) continue;
    std::fill_n(at(slot.magnitude), slot.out, 1.0f);
    std::fill_n(at(slot.inverse_norm), slot.out, 1.0f);
  }
}

void AdapterSlots::fill(std::span<const model::WeightedAdapter> adapters, ThreadPool& pool) {
  clear();
  std::map<std::string, int64_t> used; // ranks, by module
  for (const model::WeightedAdapter& added : adapters) {
    for (const model::LoraModule& module : added.adapter->modules()) {
      int64_t& first = used[module.target.module];
      add(added, module, first);
      first += module.target.rank;
      if (module.magnitude >= 0) add_dora(*added.adapter, module, pool);
    }
  }
}

void AdapterSlots::add(const model::WeightedAdapter& added, const model::LoraModule& module,
                       int64_t first_rank) {
  const Slot& slot = slots_.at({module.layer, module.port});
  const auto parameters = added.adapter->parameters();
  const auto a = added.adapter->values(parameters[static_cast<size_t>(module.lora_a)]);
  const auto b = added.adapter->values(parameters[static_cast<size_t>(module.lora_b)]);
  std::copy(a.begin(), a.end(), at(slot.a + first_rank * slot.in));
  const auto factor = static_cast<float>(added.weight * module.scale);
  const int64_t rank = module.target.rank;
  for (int64_t row = 0; row < slot.out; ++row)
    for (int64_t r = 0; r < rank; ++r)
      *at(slot.b + row * room_.rank + first_rank + r) =
          factor * b[static_cast<size_t>(row * rank + r)];
}

// The magnitudes, and 1 / ||W + scale * B A|| of each row.
void AdapterSlots::add_dora(const model::Adapter& adapter, const model::LoraModule& module,
                            ThreadPool& pool) {
  const Slot& slot = slots_.at({module.layer, module.port});
  const auto magnitude =
      adapter.values(adapter.parameters()[static_cast<size_t>(module.magnitude)]);
  std::copy(magnitude.begin(), magnitude.end(), at(slot.magnitude));
  const float* a = at(slot.a); // DoRA is alone: the first ranks are its own
  const int64_t in = slot.in;
  pool.parallel_for(slot.out, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(in));
    for (int64_t i = begin; i < end; ++i) {
      if (slot.base->is_compressed())
        mil::expand(model_.compressed(*slot.base), {i, 1, 0, in}, row.data(), in);
      else
        std::copy_n(model_.values(*slot.base).data() + i * in, in, row.data());
      for (int64_t r = 0; r < module.target.rank; ++r) {
        const float b = *at(slot.b + i * room_.rank + r);
        for (int64_t k = 0; k < in; ++k) row[static_cast<size_t>(k)] += b * a[r * in + k];
      }
      double sum = 0;
      for (const float value : row) sum += double{value} * value;
      *at(slot.inverse_norm + i) = sum > 0 ? static_cast<float>(1.0 / std::sqrt(sum)) : 0.0f;
    }
  });
}

} // namespace anet::generate
