// Checkpoints of maderix/ANE ("BLZT"), versions 2 and 4: weights, each followed by its optimizer's
// moments, which are passed over. Training went on with RoPE interleaved, theta 10000 and epsilon
// 1e-5 whatever the model.
#include "base/status.h"
#include "io/model_file/llama2c.h"
#include "io/model_file/mapped_source.h"
#include "io/model_file/sources.h"

#include <array>
#include <cmath>

namespace anet::io {
namespace {

constexpr size_t header_size = 96;
constexpr std::array<std::string_view, 9> layer_order = {
    "q_proj_weight",  "k_proj_weight",     "v_proj_weight",
    "o_proj_weight",  "gate_proj_weight",  "down_proj_weight",
    "up_proj_weight", "input_norm_weight", "post_norm_weight"};

struct Header {
  int32_t version = 0;
  model::Config config;
};

Header read_header(ByteCursor& cursor) {
  const auto word = [&](size_t offset) {
    cursor.seek(offset);
    return cursor.value<int32_t>("the header");
  };
  if (cursor.left() < header_size)
    fail(Status::invalid_data, cursor.source(), ": expected a header of ", header_size,
         " bytes, seen ", cursor.left());
  Header header{word(4), {}};
  if (header.version != 2 && header.version != 4)
    fail(Status::version, cursor.source(), ": expected BLZT version 2 or 4, seen ", header.version);
  model::Config& config = header.config;
  config.layer_count = word(16);
  config.vocab_size = word(20);
  config.hidden_size = word(24);
  config.intermediate_size = word(28);
  config.head_count = word(32);
  config.context_length = word(36);
  config.kv_head_count = header.version == 4 ? word(84) : config.head_count;
  config.head_dim = header.version == 4 ? word(88) : 0;
  config.tie_embeddings = true;
  config.rope_theta = 1e4;
  config.norm_epsilon = 1e-5;
  if (config.kv_head_count < 1 || config.context_length < 1 ||
      (header.version == 4 && config.head_dim < 1))
    fail(Status::invalid_data, cursor.source(), ": expected a BLZT header, seen ",
         config.kv_head_count, " kv heads of ", config.head_dim, " and a context of ",
         config.context_length);
  try {
    config = model::resolve(config);
  } catch (const Error& error) {
    fail(Status::invalid_data, cursor.source(), ": expected a BLZT header: ", error.message());
  }
  if (header.version == 4 && word(92) != config.query_size())
    fail(Status::invalid_data, cursor.source(), ": expected q_dim ", config.query_size(), " seen ",
         word(92));
  if (config.kv_head_count != config.head_count)
    fail(Status::unsupported, cursor.source(), ": expected as many kv heads as heads, seen ",
         config.kv_head_count, " and ", config.head_count,
         "; the program that writes this format shares them in one way forwards and in another "
         "backwards, so such weights belong to no model");
  cursor.seek(header_size);
  return header;
}

class BlztSource final : public MappedSource {
public:
  BlztSource(const std::string& path, FileSystem& files)
      : MappedSource(files), file_(path, unlimited_size, files) {
    ByteCursor cursor(file_.bytes(), path);
    const Header header = read_header(cursor);
    config_ = header.config;
    // Version 4 multiplies what a block adds to the residual by this.
    if (header.version == 4) branch_factor_ = 1.0f / std::sqrt(2.0f * config_.layer_count);
    const model::ParameterTable table(config_);
    for (int32_t layer = 0; layer < config_.layer_count; ++layer) place_layer(cursor, table, layer);
    place_next(cursor, table.final_norm());
    skip_moments(cursor, table.final_norm());
    place_next(cursor, table.embedding());
    skip_moments(cursor, table.embedding());
    cursor.finish();
    const std::string tokenizer = join_path(parent_directory(path), "tokenizer.bin");
    if (path_exists(tokenizer, files)) extras_.tokenizer_path = tokenizer;
  }

  std::string_view format() const override { return "blzt"; }

private:
  void place_layer(ByteCursor& cursor, const model::ParameterTable& table, int32_t layer) {
    std::array<const model::Parameter*, layer_order.size()> parameters = {};
    for (const model::Parameter& parameter : table.layer(layer))
      for (size_t i = 0; i < layer_order.size(); ++i)
        if (parameter.port == layer_order[i]) parameters[i] = &parameter;
    for (const model::Parameter* parameter : parameters) place_next(cursor, *parameter);
    for (const model::Parameter* parameter : parameters) skip_moments(cursor, *parameter);
  }

  void place_next(ByteCursor& cursor, const model::Parameter& parameter) {
    StoredTensor tensor{.data = cursor.take(parameter.elements, 4, parameter.name)};
    if (is_rotated(parameter)) tensor.interleaved_head_dim = config_.head_dim;
    if (parameter.port == "o_proj_weight" || parameter.port == "down_proj_weight")
      tensor.factor = branch_factor_;
    place(parameter, tensor);
  }

  static void skip_moments(ByteCursor& cursor, const model::Parameter& parameter) {
    cursor.take(parameter.elements, 8, "the moments");
  }

  MappedFile file_;
  float branch_factor_ = 1.0f;
};

} // namespace

std::unique_ptr<ModelSource> open_blzt(const std::string& path, FileSystem& files) {
  return std::make_unique<BlztSource>(path, files);
}

} // namespace anet::io
