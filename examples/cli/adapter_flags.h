// What a new adapter is to be like, and adapters from files: "PATH" or "PATH:0.5".
#pragma once

#include "args.h"
#include "handles.h"

#include <cstdint>
#include <string>
#include <vector>

namespace cli {

struct AdapterFlags {
  struct Override {
    std::string pattern;
    int32_t rank = 0;
    double alpha = 0;
  };
  int32_t rank = 0;
  double alpha = 0;
  double dropout = 0;
  bool rslora = false;
  bool dora = false;
  std::string targets;
  int32_t first_layer = 0;
  int32_t layer_count = 0;
  std::vector<Override> overrides;
};

std::vector<Option> adapter_options(AdapterFlags& flags);
Adapter create_adapter(const Model& model, const AdapterFlags& flags, uint64_t seed);
// Throws UsageError when the flags describe another adapter than this one of `model`.
void check_adapter_flags(const AdapterFlags& flags, const Model& model, const Adapter& adapter);
// "rank 8, alpha 16: q_proj, v_proj of 28 layers, 2.3 M weights, 0.38 % of the model"
std::string adapter_text(const Adapter& adapter);

// An adapter in a file, with the share that it has.
struct AdapterSpec {
  std::string path;
  double weight = 1;
};
// --adapter PATH[:WEIGHT], which can be repeated.
Option adapter_option(std::vector<AdapterSpec>& specs);

// Adapters that are attached or merged.
class LoadedAdapters {
public:
  LoadedAdapters() = default;
  LoadedAdapters(const Model& model, const std::vector<AdapterSpec>& specs);
  const std::vector<Adapter>& handles() const { return adapters_; }
  const std::vector<anet_weighted_adapter>& weighted() const { return weighted_; }

private:
  std::vector<Adapter> adapters_;
  std::vector<anet_weighted_adapter> weighted_;
};

// A folder or file of an adapter, or the latest checkpoint of a run that trained one.
Adapter load_adapter(const Model& model, const std::string& path);

} // namespace cli
