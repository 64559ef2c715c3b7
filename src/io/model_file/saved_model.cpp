#include "io/model_file/saved_model.h"

#include "base/float16.h"
#include "base/status.h"
#include "io/checkpoint.h"
#include "io/model_file/compress_tensor.h"
#include "io/model_file/mapped_source.h"
#include "io/model_file/sources.h"
#include "io/safetensors.h"

#include <cstring>
#include <limits>
#include <map>

namespace anet::io {
namespace {

constexpr const char* config_key = "ane_train.model_config";
constexpr const char* quantization_key = "ane_train.quantization";
constexpr std::string_view codes_suffix = ".codes";
constexpr std::string_view scales_suffix = ".scales";

using Schemes = std::map<std::string, quant::Scheme>; // by the parameter's name

Json write_scheme(const quant::Scheme& scheme) {
  Json json = Json::object();
  json.set("compression", mil::compression_name(scheme.compression));
  if (scheme.block_size != 0) json.set("block_size", scheme.block_size);
  return json;
}

quant::Scheme read_scheme(const JsonView& json) {
  json.check_keys({"compression", "block_size"});
  const JsonView name = json.at("compression");
  const auto compression = mil::compression_from_name(name.string());
  if (!compression) name.fail_here("expected a compression, seen '", name.string(), "'");
  const auto block = json.find("block_size");
  return {*compression, block ? block->integer(0, std::numeric_limits<int32_t>::max()) : 0};
}

// The two tensors of a matrix, without data.
TensorInfo codes_info(const model::Parameter& parameter, mil::Compression compression) {
  const bool wide = mil::compression_bits(compression) == 8;
  const mil::Shape shape = {parameter.shape[0], parameter.shape[1] / (wide ? 1 : 2)};
  return {concat(parameter.name, codes_suffix), wide ? mil::DataType::int8 : mil::DataType::uint8,
          shape};
}

TensorInfo scales_info(const model::Parameter& parameter, const quant::Scheme& scheme) {
  const int64_t rows = parameter.shape[0];
  mil::Shape shape = {rows};
  if (scheme.compression == mil::Compression::palette4)
    shape = {rows / scheme.block_size, 16};
  else if (scheme.compression != mil::Compression::int8_channel)
    shape = {rows, parameter.shape[1] / scheme.block_size};
  return {concat(parameter.name, scales_suffix), mil::DataType::fp16, std::move(shape)};
}

void check_scales(const model::Parameter& parameter, const mil::Bytes& scales) {
  for (size_t i = 0; i < scales.size(); i += 2) {
    uint16_t half;
    std::memcpy(&half, scales.view().data() + i, sizeof(half));
    if ((half & 0x7c00u) == 0x7c00u)
      fail(Status::invalid_checkpoint, "expected finite scales of '", parameter.name, "', seen ",
           half_to_float(half));
  }
}

class SavedModelSource final : public MappedSource {
public:
  SavedModelSource(const std::string& path, FileSystem& files)
      : MappedSource(files), file_(std::make_shared<SafetensorsReader>(path, files)) {
    const auto config = file_->metadata().find(config_key);
    if (config == file_->metadata().end())
      fail(Status::invalid_checkpoint, "expected metadata '", config_key, "' in '", path,
           "', seen none; weights of a Hugging Face model are opened by their directory");
    const Json json = Json::parse(config->second, config_key, Status::invalid_checkpoint);
    model::read_config(JsonView(json, Status::invalid_checkpoint), config_);
    config_ = model::resolve(config_);
    read_schemes();
    place_all();
  }

  std::string_view format() const override { return "safetensors"; }

  std::optional<quant::Scheme> scheme(const model::Parameter& parameter) const override {
    const auto found = schemes_.find(parameter.name);
    if (found == schemes_.end()) return std::nullopt;
    return found->second;
  }

  mil::CompressedWeight compressed(const model::Parameter& parameter) override {
    const quant::Scheme& scheme = schemes_.at(parameter.name);
    const auto bytes = [&](std::string_view suffix) {
      return mil::Bytes(file_, file_->tensor(concat(parameter.name, suffix)).data);
    };
    mil::CompressedWeight weight{.compression = scheme.compression,
                                 .rows = parameter.shape[0],
                                 .columns = parameter.shape[1],
                                 .block_size = scheme.block_size,
                                 .codes = bytes(codes_suffix),
                                 .scales = bytes(scales_suffix)};
    mil::check_compressed_weight(weight);
    check_scales(parameter, weight.scales);
    return weight;
  }

  void read(const model::Parameter& parameter, std::span<float> values) override {
    if (!scheme(parameter)) return MappedSource::read(parameter, values);
    mil::expand(compressed(parameter), values);
  }

private:
  void read_schemes() {
    const auto found = file_->metadata().find(quantization_key);
    if (found == file_->metadata().end()) return;
    const Json json = Json::parse(found->second, quantization_key, Status::invalid_checkpoint);
    const JsonView view(json, Status::invalid_checkpoint);
    for (const JsonMember& member : view.members())
      schemes_[member.key] = read_scheme(view.at(std::string_view(member.key)));
  }

  // The scheme must be one that a recipe could ask for.
  void check_scheme(const model::Parameter& parameter, const quant::Scheme& scheme) const {
    const quant::Recipe recipe{scheme, {}};
    const auto seen = quant::scheme_for(recipe, parameter.name, parameter.shape);
    if (seen != scheme)
      fail(Status::invalid_checkpoint, "expected a matrix with a block size, seen '",
           parameter.name, "' in the metadata '", quantization_key, "'");
  }

  void place_all() {
    const model::ParameterTable table(config_);
    std::vector<TensorInfo> expected;
    std::vector<const model::Parameter*> plain;
    size_t used = 0;
    for (const model::Parameter& parameter : table.all()) {
      const auto scheme = this->scheme(parameter);
      if (scheme) {
        ++used;
        check_scheme(parameter, *scheme);
        expected.push_back(codes_info(parameter, scheme->compression));
        expected.push_back(scales_info(parameter, *scheme));
      } else {
        plain.push_back(&parameter);
        expected.push_back({parameter.name, mil::DataType::fp32, parameter.shape});
      }
    }
    if (used != schemes_.size())
      fail(Status::invalid_checkpoint, "expected parameters of this model in the metadata '",
           quantization_key, "', seen ", schemes_.size() - used, " others");
    check_tensors(*file_, expected, "model weights");
    for (const model::Parameter* parameter : plain)
      place(*parameter, {.data = file_->tensor(parameter->name).data});
  }

  // Codes of a loaded model are views of the mapping, which stays as long as any of them.
  std::shared_ptr<SafetensorsReader> file_;
  Schemes schemes_;
};

TensorView view_of(TensorInfo info, std::span<const std::byte> data) {
  TensorView view;
  static_cast<TensorInfo&>(view) = std::move(info);
  view.data = data;
  return view;
}

} // namespace

void save_model(const model::Model& model, const std::string& path, FileSystem& files) {
  std::vector<TensorView> tensors;
  Json schemes = Json::object();
  for (const model::Parameter& parameter : model.parameters().all()) {
    if (!parameter.is_compressed()) {
      tensors.push_back(float_tensor(parameter.name, parameter.shape, model.values(parameter)));
      continue;
    }
    const mil::CompressedWeight& weight = model.compressed(parameter);
    const quant::Scheme scheme = scheme_of(weight);
    tensors.push_back(view_of(codes_info(parameter, scheme.compression), weight.codes.view()));
    tensors.push_back(view_of(scales_info(parameter, scheme), weight.scales.view()));
    schemes.set(parameter.name, write_scheme(scheme));
  }
  Metadata metadata = {{config_key, model::write_config(model.config()).to_string()}};
  if (model.is_compressed()) metadata.emplace(quantization_key, schemes.to_string());
  save_safetensors(path, tensors, std::move(metadata), files);
}

std::unique_ptr<ModelSource> open_saved_model(const std::string& path, FileSystem& files) {
  return std::make_unique<SavedModelSource>(path, files);
}

} // namespace anet::io
