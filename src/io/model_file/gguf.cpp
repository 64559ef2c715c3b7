// Models in GGUF files.
#include "io/model_file/gguf_file.h"
#include "io/model_file/gguf_names.h"
#include "io/model_file/llama2c.h"
#include "io/model_file/mapped_source.h"
#include "io/model_file/sources.h"

#include <limits>
#include <set>

namespace anet::io {
namespace {

constexpr int64_t max_int = std::numeric_limits<int32_t>::max();

const GgufArchitecture& architecture_of(const GgufFile& file) {
  const auto name = file.string("general.architecture");
  if (!name) fail(Status::invalid_data, file.source(), ": expected a key general.architecture");
  if (const auto type = file.string("general.type"); type && *type != "model")
    fail(Status::unsupported, file.source(), ": expected general.type model, seen '", *type, "'");
  for (const GgufArchitecture& known : gguf_architectures())
    if (*name == known.name) return known;
  fail(Status::unsupported, file.source(), ": expected architecture llama, qwen2 or qwen3, seen '",
       *name, "'");
}

// Keys of an architecture, "llama.block_count" for "block_count".
class Keys {
public:
  Keys(const GgufFile& file, std::string_view prefix) : file_(file), prefix_(prefix) {}

  std::string name(const char* key) const { return concat(prefix_, ".", key); }
  int32_t extent(const char* key) const {
    const auto value = file_.integer(name(key), 1, max_int);
    if (!value) fail(Status::invalid_data, file_.source(), ": expected a key ", name(key));
    return static_cast<int32_t>(*value);
  }
  int32_t extent_or(const char* key, int32_t fallback) const {
    return static_cast<int32_t>(file_.integer(name(key), 1, max_int).value_or(fallback));
  }
  double number(const char* key) const {
    const auto value = file_.number(name(key));
    if (!value) fail(Status::invalid_data, file_.source(), ": expected a key ", name(key));
    return *value;
  }
  double number_or(const char* key, double fallback) const {
    return file_.number(name(key)).value_or(fallback);
  }
  // The key is missing or has the value that changes nothing.
  void require(const char* key, double neutral) const {
    const double seen = number_or(key, neutral);
    if (seen != neutral)
      fail(Status::unsupported, file_.source(), ": expected ", name(key), " ", neutral, ", seen ",
           seen);
  }

private:
  const GgufFile& file_;
  std::string_view prefix_;
};

void check_options(const GgufFile& file, const Keys& keys, const model::Config& config) {
  const auto scaling = file.string(keys.name("rope.scaling.type"));
  if (scaling && *scaling != "none")
    fail(Status::unsupported, file.source(), ": expected rope.scaling.type none, seen '", *scaling,
         "'");
  if (!scaling) keys.require("rope.scaling.factor", 1);
  keys.require("rope.scale_linear", 1);
  keys.require("attention.sliding_window", 0);
  keys.require("expert_count", 0);
  keys.require("logit_scale", 1);
  keys.require("residual_scale", 1);
  keys.require("embedding_scale", 1);
  keys.require("attention.key_length", config.head_dim);
  keys.require("attention.value_length", config.head_dim);
  keys.require("rope.dimension_count", config.head_dim);
  keys.require("vocab_size", config.vocab_size);
  for (const char* key : {"attention.scale", "attention.clamp_kqv"})
    if (file.find(keys.name(key)) != nullptr)
      fail(Status::unsupported, file.source(), ": expected no key ", keys.name(key));
  if (file.integer("split.count", 0, max_int).value_or(1) > 1)
    fail(Status::unsupported, file.source(), ": expected a model in one file, seen one of ",
         *file.integer("split.count", 0, max_int));
}

model::Config read_config(const GgufFile& file, const GgufArchitecture& architecture) {
  const Keys keys(file, architecture.name);
  const GgufTensor* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2 || embedding->shape[0] > max_int)
    fail(Status::invalid_data, file.source(),
         ": expected a matrix 'token_embd.weight', whose rows are the vocabulary");
  model::Config config;
  config.vocab_size = static_cast<int32_t>(embedding->shape[0]);
  config.hidden_size = keys.extent("embedding_length");
  config.intermediate_size = keys.extent("feed_forward_length");
  config.layer_count = keys.extent("block_count");
  config.head_count = keys.extent("attention.head_count");
  config.kv_head_count = keys.extent_or("attention.head_count_kv", config.head_count);
  config.head_dim = keys.extent_or("attention.key_length", 0);
  config.context_length = keys.extent("context_length");
  config.norm_epsilon = keys.number("attention.layer_norm_rms_epsilon");
  config.rope_theta = keys.number_or("rope.freq_base", 1e4); // the format's default
  config.tie_embeddings = file.find_tensor("output.weight") == nullptr;
  config.qkv_bias = architecture.qkv_bias;
  config.qk_norm = architecture.qk_norm;
  if (!(config.norm_epsilon > 0 && config.rope_theta > 0))
    fail(Status::invalid_data, file.source(), ": expected an epsilon and a theta above 0, seen ",
         config.norm_epsilon, " and ", config.rope_theta);
  config = model::resolve(config);
  check_options(file, keys, config);
  return config;
}

class GgufSource final : public MappedSource {
public:
  GgufSource(const std::string& path, FileSystem& files)
      : MappedSource(files), mapping_(path, unlimited_size, files), file_(mapping_.bytes(), path),
        architecture_(architecture_of(file_)) {
    config_ = read_config(file_, architecture_);
    read_rope_factors();
    place_all();
    for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"})
      if (const auto id = file_.integer(key, 0, config_.vocab_size - 1))
        add_stop_id(static_cast<int32_t>(*id));
  }

  std::string_view format() const override { return "gguf"; }

private:
  void add_stop_id(int32_t id) {
    for (const int32_t known : extras_.stop_ids)
      if (known == id) return;
    extras_.stop_ids.push_back(id);
  }

  void read_rope_factors() {
    const GgufTensor* tensor = file_.find_tensor(gguf_rope_factors);
    if (tensor == nullptr) return;
    const mil::Shape expected = {config_.head_dim / 2};
    if (tensor->encoding != Encoding::fp32 || tensor->shape != expected)
      fail(Status::invalid_data, file_.source(), ": expected '", gguf_rope_factors,
           "' in F32 of shape ", mil::shape_to_string(expected), ", seen ",
           gguf_tensor_type_name(tensor->type), " of shape ", mil::shape_to_string(tensor->shape));
    std::vector<float> factors(static_cast<size_t>(expected[0]));
    decode({.data = tensor->data}, 0, factors);
    if (!solve_rope_factors(factors, config_))
      fail(Status::unsupported, file_.source(), ": expected '", gguf_rope_factors,
           "' as Llama 3's scaling makes them, seen other factors");
    config_ = model::resolve(config_);
  }

  void place_all() {
    ProblemList problems;
    std::set<std::string> used = {gguf_rope_factors};
    const model::ParameterTable table(config_);
    for (const model::Parameter& parameter : table.all()) {
      const std::string name = gguf_name(parameter);
      used.insert(name);
      if (const GgufTensor* tensor = file_.find_tensor(name))
        place_one(parameter, *tensor, problems);
      else
        problems.add("'", name, "' is missing");
    }
    for (const GgufTensor& tensor : file_.tensors())
      if (!used.contains(tensor.name) && !tensor.name.ends_with(".attn_rot_embd.weight"))
        problems.add("'", tensor.name, "' is not part of a ", architecture_.name, " model of ",
                     config_.layer_count, " layers that we know");
    problems.check(file_.source());
  }

  void place_one(const model::Parameter& parameter, const GgufTensor& tensor,
                 ProblemList& problems) {
    if (!tensor.encoding)
      problems.add("'", tensor.name, "' has type ", gguf_tensor_type_name(tensor.type),
                   ", expected F32, F16, BF16, Q8_0, Q4_0 or Q6_K");
    if (tensor.shape != parameter.shape) {
      problems.add("'", tensor.name, "' has shape ", mil::shape_to_string(tensor.shape),
                   ", expected ", mil::shape_to_string(parameter.shape));
    } else if (tensor.encoding) {
      const bool interleaved = architecture_.interleaved && is_rotated(parameter);
      place(parameter, {.encoding = *tensor.encoding,
                        .data = tensor.data,
                        .interleaved_head_dim = interleaved ? config_.head_dim : 0});
    }
  }

  MappedFile mapping_;
  GgufFile file_;
  const GgufArchitecture& architecture_;
};

} // namespace

std::unique_ptr<ModelSource> open_gguf(const std::string& path, FileSystem& files) {
  return std::make_unique<GgufSource>(path, files);
}

} // namespace anet::io
