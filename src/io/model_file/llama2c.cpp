// llama2.c's model files, versions 0 (fp32), 1 (fp32) and 2 (int8 in groups).
#include "io/model_file/llama2c.h"

#include "base/status.h"
#include "io/model_file/mapped_source.h"
#include "io/model_file/sources.h"

#include <array>

namespace anet::io {
namespace {

struct Header {
  int32_t version = 0;
  std::array<int32_t, 7> sizes = {}; // dim, hidden_dim, layers, heads, kv heads, vocab, seq_len
  bool shared_classifier = true;
  int64_t group_size = 0;
};

Header read_header(ByteCursor& cursor) {
  Header header;
  const auto first = cursor.value<uint32_t>("the first word");
  if (first == llama2c_magic) {
    header.version = cursor.value<int32_t>("the version");
    if (header.version != 1 && header.version != 2)
      fail(Status::version, cursor.source(), ": expected llama2.c version 1 or 2, seen ",
           header.version);
  } else {
    cursor.seek(0);
  }
  for (int32_t& size : header.sizes) size = cursor.value<int32_t>("the header");
  int32_t& vocab_size = header.sizes[5];
  if (header.version == 0) {
    header.shared_classifier = vocab_size > 0;
    if (vocab_size < 0 && vocab_size != INT32_MIN) vocab_size = -vocab_size;
    return header;
  }
  header.shared_classifier = cursor.value<uint8_t>("the header") != 0;
  if (header.version == 2) {
    header.group_size = cursor.value<int32_t>("the group size");
    if (header.group_size < 1)
      fail(Status::invalid_data, cursor.source(), ": expected a group size from 1 on, seen ",
           header.group_size);
  }
  cursor.seek(0);
  cursor.take(llama2c_versioned_header_size, 1, "the header");
  return header;
}

model::Config config_of(const Header& header, const std::string& source) {
  model::Config config;
  config.hidden_size = header.sizes[0];
  config.intermediate_size = header.sizes[1];
  config.layer_count = header.sizes[2];
  config.head_count = header.sizes[3];
  config.kv_head_count = header.sizes[4];
  config.vocab_size = header.sizes[5];
  config.context_length = header.sizes[6];
  config.tie_embeddings = header.shared_classifier;
  config.rope_theta = 1e4;
  config.norm_epsilon = 1e-5;
  if (config.kv_head_count < 1 || config.context_length < 1) // 0 would mean a default
    fail(Status::invalid_data, source, ": expected a llama2.c header, seen ", config.kv_head_count,
         " kv heads and a context of ", config.context_length);
  try {
    return model::resolve(config);
  } catch (const Error& error) {
    fail(Status::invalid_data, source, ": expected a llama2.c header: ", error.message());
  }
}

class Llama2cSource final : public MappedSource {
public:
  Llama2cSource(const std::string& path, FileSystem& files)
      : MappedSource(files), file_(path, unlimited_size, files) {
    ByteCursor cursor(file_.bytes(), path);
    const Header header = read_header(cursor);
    config_ = config_of(header, path);
    const model::ParameterTable table(config_);
    for (const model::Parameter* parameter :
         llama2c_order(table, config_.layer_count, header.version != 0)) {
      if (header.version == 0 && parameter == &table.head() && !config_.tie_embeddings)
        skip_rotation_tables(cursor);
      place(*parameter, take(cursor, *parameter, header.group_size));
    }
    if (header.version == 0 && config_.tie_embeddings) skip_rotation_tables(cursor);
    cursor.finish();
    const std::string tokenizer = join_path(parent_directory(path), "tokenizer.bin");
    if (path_exists(tokenizer, files)) extras_.tokenizer_path = tokenizer;
  }

  std::string_view format() const override { return "llama2c"; }

private:
  // Cosines and sines, which today's readers compute.
  void skip_rotation_tables(ByteCursor& cursor) const {
    cursor.take(int64_t{config_.context_length} * config_.head_dim, 4, "the RoPE tables");
  }

  StoredTensor take(ByteCursor& cursor, const model::Parameter& parameter,
                    int64_t group_size) const {
    StoredTensor tensor;
    if (is_rotated(parameter)) tensor.interleaved_head_dim = config_.head_dim;
    if (group_size == 0 || parameter.shape.size() == 1) {
      tensor.data = cursor.take(parameter.elements, 4, parameter.name);
      return tensor;
    }
    if (parameter.elements % group_size != 0)
      fail(Status::invalid_data, cursor.source(), ": expected a group size that divides the ",
           parameter.elements, " elements of '", parameter.name, "', seen ", group_size);
    tensor.encoding = Encoding::int8_groups;
    tensor.group_size = group_size;
    tensor.data = cursor.take(parameter.elements, 1, parameter.name);
    tensor.scales = cursor.take(parameter.elements / group_size, 4, parameter.name);
    return tensor;
  }

  MappedFile file_;
};

} // namespace

std::vector<const model::Parameter*> llama2c_order(const model::ParameterTable& table,
                                                   int32_t layer_count, bool norms_first) {
  std::vector<const model::Parameter*> order;
  const auto every_layer = [&](std::string_view port) {
    for (int32_t layer = 0; layer < layer_count; ++layer)
      for (const model::Parameter& parameter : table.layer(layer))
        if (parameter.port == port) order.push_back(&parameter);
  };
  const auto attention = {"q_proj_weight", "k_proj_weight", "v_proj_weight", "o_proj_weight"};
  const auto feed_forward = {"gate_proj_weight", "down_proj_weight", "up_proj_weight"};
  if (norms_first) {
    every_layer("input_norm_weight");
    every_layer("post_norm_weight");
    order.push_back(&table.final_norm());
    order.push_back(&table.embedding());
    for (const char* port : attention) every_layer(port);
    for (const char* port : feed_forward) every_layer(port);
  } else {
    order.push_back(&table.embedding());
    every_layer("input_norm_weight");
    for (const char* port : attention) every_layer(port);
    every_layer("post_norm_weight");
    for (const char* port : feed_forward) every_layer(port);
    order.push_back(&table.final_norm());
  }
  if (&table.head() != &table.embedding()) order.push_back(&table.head());
  return order;
}

bool is_rotated(const model::Parameter& parameter) {
  for (const char* port : {"q_proj_weight", "k_proj_weight", "q_proj_bias", "k_proj_bias",
                           "q_norm_weight", "k_norm_weight"})
    if (parameter.port == port) return true;
  return false;
}

std::unique_ptr<ModelSource> open_llama2c(const std::string& path, FileSystem& files) {
  return std::make_unique<Llama2cSource>(path, files);
}

} // namespace anet::io
