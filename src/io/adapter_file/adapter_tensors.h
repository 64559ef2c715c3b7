// An adapter's tensors under the names of a format, and how it is described to other tools.
#pragma once

#include "io/adapter_file/adapter_formats.h"
#include "io/model_file/problem_list.h"

#include <functional>
#include <string>
#include <vector>

namespace anet::io {

// How a format stores one parameter of an adapter.
struct AdapterTensor {
  std::string name;
  bool transposed = false; // matrices alone
};
using AdapterNaming = std::function<AdapterTensor(const model::Parameter&)>;

// Fills the adapter from the file. Tensors that are missing or misshapen and those that neither a
// parameter nor `may_ignore` asks for are problems, all in one error.
void read_adapter_tensors(const AdapterFiles& files, const AdapterNaming& naming,
                          model::Adapter& adapter,
                          const std::function<bool(const SafetensorsEntry&)>& may_ignore);

void write_adapter_tensors(const model::Adapter& adapter, const AdapterNaming& naming,
                           ExportType type, const std::string& path, Metadata metadata,
                           FileSystem& files);

// Modules that have ports of the same names in every adapted layer can be told by those.
struct AdapterLayout {
  bool uniform = false;              // the same modules in each adapted layer
  std::vector<int32_t> layers;       // adapted ones, ascending
  std::vector<std::string> in_layer; // of the first: "self_attn.q_proj"
  std::vector<std::string> outside;  // "model.embed_tokens", "lm_head"
};
AdapterLayout layout_of(const model::Adapter& adapter);

// "self_attn.q_proj" of "model.layers.3.self_attn.q_proj"; the whole name outside layers.
std::string name_in_layer(const model::LoraModule& module);

void write_json(const AtomicDirectory& directory, std::string_view name, const Json& json,
                FileSystem& files);
// 16 rather than 16.0 where it is whole, as other tools write it.
Json plain_number(double value);

} // namespace anet::io
