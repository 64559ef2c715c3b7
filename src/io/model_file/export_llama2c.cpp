// llama2.c's first format. Its readers fix RoPE's theta, the norms' epsilon and the heads' size.
#include "base/status.h"
#include "io/model_file/encode.h"
#include "io/model_file/exports.h"
#include "io/model_file/llama2c.h"

#include <array>
#include <cmath>

namespace anet::io {
namespace {

void check_expressible(const model::Config& config, const ExportOptions& options) {
  const auto refuse = [](const auto&... parts) {
    fail(Status::unsupported, "a llama2.c file cannot hold ", parts...);
  };
  if (options.type != ExportType::fp32)
    fail(Status::unsupported_option, "expected fp32 for a llama2.c file, seen ",
         export_type_name(options.type));
  if (!options.companion.empty()) refuse("a tokenizer, so no companion can be given");
  if (config.qkv_bias) refuse("biases of queries, keys and values (qkv_bias)");
  if (config.qk_norm) refuse("norms of queries and keys (qk_norm)");
  if (config.rope_theta != 1e4) refuse("a rope_theta of ", config.rope_theta, ", only 10000");
  if (config.rope_scaling_factor != 0) refuse("a RoPE scaling");
  if (config.norm_epsilon != 1e-5) refuse("a norm_epsilon of ", config.norm_epsilon, ", only 1e-5");
  if (config.query_size() != config.hidden_size)
    refuse("a head_dim other than hidden_size / head_count, ", config.head_dim, " of ",
           config.hidden_size, " / ", config.head_count);
}

void write_header(const model::Config& config, AtomicFile& file) {
  const std::array<int32_t, 7> sizes = {
      config.hidden_size,   config.intermediate_size,
      config.layer_count,   config.head_count,
      config.kv_head_count, config.tie_embeddings ? config.vocab_size : -config.vocab_size,
      config.context_length};
  file.write(std::as_bytes(std::span(sizes)));
}

// Cosines, then sines, [context_length, head_dim / 2]: readers pass over them but count on them.
void write_rotation_tables(const model::Config& config, AtomicFile& file) {
  std::vector<float> row(static_cast<size_t>(config.head_dim / 2));
  for (const bool sine : {false, true}) {
    for (int32_t position = 0; position < config.context_length; ++position) {
      for (size_t i = 0; i < row.size(); ++i) {
        const double angle = position * model::rope_frequency(config, static_cast<int64_t>(i));
        row[i] = static_cast<float>(sine ? std::sin(angle) : std::cos(angle));
      }
      file.write(std::as_bytes(std::span(row)));
    }
  }
}

} // namespace

void export_llama2c(const model::Model& model, const std::string& path,
                    const ExportOptions& options, ExportProgress progress, FileSystem& files) {
  const model::Config& config = model.config();
  check_expressible(config, options);
  const model::ParameterTable& table = model.parameters();
  AtomicFile file(path, files);
  write_header(config, file);
  for (const model::Parameter* parameter : llama2c_order(table, config.layer_count, false)) {
    if (!config.tie_embeddings && parameter == &table.head()) write_rotation_tables(config, file);
    encode_parameter(model, *parameter, Encoding::fp32,
                     is_rotated(*parameter) ? config.head_dim : 0,
                     [&](std::span<const std::byte> bytes) { file.write(bytes); });
    progress.wrote(*parameter);
  }
  if (config.tie_embeddings) write_rotation_tables(config, file);
  file.commit();
}

} // namespace anet::io
