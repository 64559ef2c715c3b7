// The weights of a model and of adapters, as the kernels of a generator have them: compressed
// matrices as constants, everything else in ports.
#pragma once

#include "backend/backend.h"
#include "backend/staged_array.h"
#include "generate/adapter_slots.h"
#include "model/model.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace anet::generate {

inline constexpr int32_t no_layer = -1; // the embedding's and the head's

// `model` outlives it. Thread class: one thread at a time.
class BoundWeights {
public:
  BoundWeights(backend::Device& device, model::Model& model, const AdapterRoom& room);

  model::Model& model() const { return model_; }
  model::AdapterShape shape() const { return slots_.room().shape(); }
  const AdapterRoom& room() const { return slots_.room(); }

  // True when each layer needs kernels of its own.
  bool has_constant_layers() const;
  // The function with what the model has compressed of the layer's matrices as constants.
  mil::Function with_constants(const mil::Function& function, int32_t layer) const;

  // True for a port that is bound to a weight.
  bool is_weight(const backend::Port& port, int32_t layer) const {
    return place(port, layer).has_value();
  }
  // First every kernel, then `stage`, then views.
  void declare(const backend::Kernel& kernel, int32_t layer);
  void stage();
  // nullopt for a port that is bound to no weight.
  std::optional<backend::View> view(const backend::Port& port, int32_t layer) const;

  // Copies that kernels have of the model's weights become as the model is now. False when they
  // were: the model has not changed since the last call.
  bool renew();
  // Throws as room_for; the room covers them.
  void set_adapters(std::span<const model::WeightedAdapter> adapters);

private:
  // A port's place in the model's flat array or in that of the adapters.
  struct Place {
    bool adapter = false;
    backend::StagedPart part;
  };
  const model::Parameter* parameter(std::string_view port, int32_t layer) const;
  std::optional<Place> place(const backend::Port& port, int32_t layer) const;

  backend::Device& device_;
  model::Model& model_;
  AdapterSlots slots_;
  std::vector<backend::StagedPart> model_parts_, adapter_parts_;
  std::optional<backend::StagedArray> model_array_, adapter_array_;
  std::optional<uint64_t> staged_revision_; // of the model
};

} // namespace anet::generate
