#include "model/transformer.h"

#include "mil/builder.h"
#include "model/parameters.h"

#include <cmath>
#include <map>
#include <string>

namespace anet::model {

namespace {

using mil::Builder;
using mil::DataType;
using mil::Shape;
using mil::ValueId;

constexpr int64_t channel_axis = 1;
constexpr int64_t head_dim_axis = 2;
constexpr int64_t position_axis = 3;

// x * rsqrt(mean(x^2) + epsilon) * weight along one axis (Zhang & Sennrich 2019).
ValueId rms_norm(Builder& b, ValueId x, ValueId weight, int64_t axis, double epsilon) {
  const ValueId mean_square = b.reduce("reduce_mean", b.mul(x, x), {axis}, true);
  return b.mul(b.mul(x, b.rsqrt(mean_square, epsilon)), weight);
}

// (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin), the halves of head_dim (Su et al. 2021).
ValueId rotate(Builder& b, ValueId x, ValueId cosines, ValueId sines) {
  const Shape shape = b.shape(x);
  Shape half = shape;
  half[head_dim_axis] /= 2;
  const ValueId x1 = b.slice_by_size(x, {0, 0, 0, 0}, half);
  const ValueId x2 = b.slice_by_size(x, {0, 0, half[head_dim_axis], 0}, half);
  const ValueId x1_cos = b.mul(x1, cosines);
  const ValueId x2_sin = b.mul(x2, sines);
  const ValueId x2_cos = b.mul(x2, cosines);
  const ValueId x1_sin = b.mul(x1, sines);
  return b.concat({b.sub(x1_cos, x2_sin), b.add(x2_cos, x1_sin)}, head_dim_axis);
}

// One transformer block, written around whatever attention it is given.
class Block {
public:
  Block(Builder& b, const Config& config, DataType dtype, int64_t positions)
      : b_(b), config_(config), dtype_(dtype), positions_(positions) {
    hidden_ = b.input("hidden", {dtype, {1, config.hidden_size, 1, positions}});
  }

  Builder& builder() { return b_; }
  ValueId port(const char* name, Shape shape) { return b_.input(name, {dtype_, std::move(shape)}); }

  // The layer's parameters, in the order of the parameter table.
  void declare_parameters() {
    const ParameterTable table(config_);
    for (const Parameter& parameter : table.layer(0))
      parameters_[parameter.port] = b_.input(parameter.port, {dtype_, port_shape(parameter)});
  }

  struct Heads {
    ValueId query, key, value; // [B*kv_heads, group or 1, head_dim, S]
  };

  // Projections of the normalised input, split by head; not yet rotated.
  Heads project(int64_t batch) {
    const ValueId x =
        rms_norm(b_, hidden_, parameter("input_norm_weight"), channel_axis, config_.norm_epsilon);
    return {heads(projection(x, "q_proj"), config_.group_size(), batch, "q_norm_weight"),
            heads(projection(x, "k_proj"), 1, batch, "k_norm_weight"),
            heads(projection(x, "v_proj"), 1, batch, nullptr)};
  }

  // Scores are scaled through the query, which is smaller than they are.
  ValueId rotate_query(ValueId query, ValueId cosines, ValueId sines) {
    return b_.mul(rotate(b_, query, cosines, sines), 1.0 / std::sqrt(double(config_.head_dim)));
  }

  // Attention output [B*kv_heads, group, head_dim, S] to the end of the block.
  void finish(ValueId context, int64_t batch) {
    const ValueId attention = b_.linear(merge_heads(context, batch), parameter("o_proj_weight"));
    const ValueId residual = b_.add(hidden_, attention);
    const ValueId x =
        rms_norm(b_, residual, parameter("post_norm_weight"), channel_axis, config_.norm_epsilon);
    const ValueId gate = b_.unary("silu", b_.linear(x, parameter("gate_proj_weight")));
    const ValueId up = b_.linear(x, parameter("up_proj_weight"));
    const ValueId down = b_.linear(b_.mul(gate, up), parameter("down_proj_weight"));
    b_.output(b_.add(residual, down), "hidden_out");
  }

private:
  static Shape port_shape(const Parameter& parameter) {
    if (parameter.shape.size() == 2) return {parameter.shape[0], parameter.shape[1], 1, 1};
    // A head's norm lies along head_dim, everything else along the channels.
    const bool per_head = parameter.port == "q_norm_weight" || parameter.port == "k_norm_weight";
    if (per_head) return {1, 1, parameter.shape[0], 1};
    return {1, parameter.shape[0], 1, 1};
  }

  ValueId parameter(const std::string& port) const { return parameters_.at(port); }

  ValueId projection(ValueId x, const std::string& name) {
    const ValueId y = b_.linear(x, parameter(name + "_weight"));
    return config_.qkv_bias ? b_.add(y, parameter(name + "_bias")) : y;
  }

  // [1, kv_heads*group*head_dim, 1, B*S] -> [B*kv_heads, group, head_dim, S]. Query head h belongs
  // to kv head h / group, so consecutive query heads share one.
  ValueId heads(ValueId x, int64_t group, int64_t batch, const char* norm) {
    const int64_t sequence = positions_ / batch;
    const int64_t kv_heads = config_.kv_head_count;
    if (batch > 1) {
      x = b_.reshape(x, {kv_heads, group * config_.head_dim, batch, sequence});
      x = b_.transpose(x, {2, 0, 1, 3});
    }
    x = b_.reshape(x, {batch * kv_heads, group, config_.head_dim, sequence});
    if (norm == nullptr || !config_.qk_norm) return x;
    return rms_norm(b_, x, parameter(norm), head_dim_axis, config_.norm_epsilon);
  }

  ValueId merge_heads(ValueId x, int64_t batch) {
    const int64_t sequence = positions_ / batch;
    if (batch > 1) {
      const int64_t channels = config_.group_size() * config_.head_dim;
      x = b_.reshape(x, {batch, config_.kv_head_count, channels, sequence});
      x = b_.transpose(x, {1, 2, 0, 3});
    }
    return b_.reshape(x, {1, config_.query_size(), 1, positions_});
  }

  Builder& b_;
  const Config& config_;
  DataType dtype_;
  int64_t positions_;
  ValueId hidden_;
  std::map<std::string, ValueId> parameters_;
};

// Final norm and head, in fp32 from the logits on.
ValueId logits(Builder& b, const Config& config, DataType dtype, int64_t positions) {
  const ValueId hidden = b.input("hidden", {dtype, {1, config.hidden_size, 1, positions}});
  const ValueId norm = b.input("final_norm_weight", {dtype, {1, config.hidden_size, 1, 1}});
  const ValueId head =
      b.input("head_weight", {dtype, {config.vocab_size, config.hidden_size, 1, 1}});
  const ValueId x = rms_norm(b, hidden, norm, channel_axis, config.norm_epsilon);
  return b.cast(b.linear(x, head), DataType::fp32);
}

} // namespace

mil::Function embedding_function(const Config& config, DataType dtype, int64_t positions) {
  Builder b("embedding");
  const ValueId tokens = b.input("tokens", {DataType::int32, {positions}});
  const ValueId weight =
      b.input("embedding_weight", {dtype, {config.vocab_size, config.hidden_size}});
  const ValueId rows = b.gather(weight, tokens, 0);
  const ValueId columns = b.transpose(rows, {1, 0});
  b.output(b.reshape(columns, {1, config.hidden_size, 1, positions}), "hidden");
  return std::move(b).finish();
}

mil::Function block_function(const Config& config, DataType dtype, int64_t batch,
                             int64_t sequence) {
  Builder b("block");
  Block block(b, config, dtype, batch * sequence);
  const ValueId cosines = block.port("rope_cos", {1, 1, config.head_dim / 2, sequence});
  const ValueId sines = block.port("rope_sin", {1, 1, config.head_dim / 2, sequence});
  const ValueId mask = block.port("mask", {1, 1, sequence, sequence});
  block.declare_parameters();

  const auto [query, key, value] = block.project(batch);
  const ValueId rotated_query = block.rotate_query(query, cosines, sines);
  const ValueId rotated_key = rotate(b, key, cosines, sines);
  const ValueId scores = b.matmul(rotated_query, rotated_key, true, false);
  const ValueId probabilities = b.softmax(b.add(scores, mask), position_axis);
  block.finish(b.matmul(value, probabilities, false, true), batch);
  return std::move(b).finish();
}

mil::Function cached_block_function(const Config& config, DataType dtype, int64_t positions,
                                    int64_t capacity) {
  Builder b("cached_block");
  Block block(b, config, dtype, positions);
  const Shape cache = {config.kv_head_count, 1, config.head_dim, capacity};
  const ValueId cosines = block.port("rope_cos", {1, 1, config.head_dim / 2, positions});
  const ValueId sines = block.port("rope_sin", {1, 1, config.head_dim / 2, positions});
  const ValueId cache_mask = block.port("cache_mask", {1, 1, positions, capacity});
  const ValueId mask = block.port("mask", {1, 1, positions, positions});
  const ValueId key_cache = block.port("key_cache", cache);
  const ValueId value_cache = block.port("value_cache", cache);
  block.declare_parameters();

  auto [query, key, value] = block.project(1);
  query = block.rotate_query(query, cosines, sines);
  key = rotate(b, key, cosines, sines);
  const ValueId old_scores = b.add(b.matmul(query, key_cache, true, false), cache_mask);
  const ValueId new_scores = b.add(b.matmul(query, key, true, false), mask);
  const ValueId probabilities =
      b.softmax(b.concat({old_scores, new_scores}, position_axis), position_axis);
  Shape old_shape = b.shape(old_scores);
  const ValueId old_part = b.slice_by_size(probabilities, {0, 0, 0, 0}, old_shape);
  const ValueId new_part = b.slice_by_size(probabilities, {0, 0, 0, capacity}, b.shape(new_scores));
  const ValueId old_context = b.matmul(value_cache, old_part, false, true);
  const ValueId new_context = b.matmul(value, new_part, false, true);
  block.finish(b.add(old_context, new_context), 1);
  b.output(key, "key");
  b.output(value, "value");
  return std::move(b).finish();
}

mil::Function logits_function(const Config& config, DataType dtype, int64_t positions) {
  Builder b("logits");
  b.output(logits(b, config, dtype, positions), "logits");
  return std::move(b).finish();
}

mil::Function loss_function(const Config& config, DataType dtype, int64_t positions) {
  Builder b("loss");
  const ValueId scores = logits(b, config, dtype, positions);
  const ValueId targets = b.input("targets", {DataType::int32, {1, 1, 1, positions}});
  const ValueId weight = b.input("target_weight", {DataType::fp32, {1, 1, 1, positions}});
  const ValueId total = b.reduce("reduce_log_sum_exp", scores, {channel_axis}, true);
  const ValueId picked = b.gather_along_axis(scores, targets, channel_axis);
  const ValueId losses = b.mul(b.sub(total, picked), weight);
  b.output(b.reduce("reduce_sum", losses, {1, 2, 3}, false), "loss");
  return std::move(b).finish();
}

void rope_tables(const Config& config, std::span<const int32_t> positions, std::span<float> cosines,
                 std::span<float> sines) {
  const int64_t half = config.head_dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    const double frequency =
        std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / config.head_dim);
    for (size_t j = 0; j < positions.size(); ++j) {
      const double angle = frequency * positions[j];
      const size_t at = static_cast<size_t>(i) * positions.size() + j;
      cosines[at] = static_cast<float>(std::cos(angle));
      sines[at] = static_cast<float>(std::sin(angle));
    }
  }
}

void causal_mask(int64_t positions, std::span<float> mask) {
  const auto n = static_cast<size_t>(positions);
  for (size_t query = 0; query < n; ++query)
    for (size_t key = 0; key < n; ++key) mask[query * n + key] = key <= query ? 0.0f : masked_score;
}

} // namespace anet::model
