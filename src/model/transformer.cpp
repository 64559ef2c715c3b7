#include "model/transformer.h"

#include "mil/builder.h"
#include "mil/rms_norm.h"
#include "model/parameters.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace anet::model {

namespace {

using mil::Builder;
using mil::DataType;
using mil::Shape;
using mil::ValueId;

constexpr int64_t channel_axis = 1;
constexpr int64_t position_axis = 3;

// Modules that read the same.
constexpr std::array attention_modules = {"q_proj", "k_proj", "v_proj"};
constexpr std::array context_modules = {"o_proj"};
constexpr std::array mlp_modules = {"gate_proj", "up_proj"};
constexpr std::array gated_modules = {"down_proj"};
constexpr std::array head_modules = {"lm_head"};

constexpr BlockNorm input_norm = {"input_norm_weight", attention_modules};
constexpr BlockNorm post_norm = {"post_norm_weight", mlp_modules};
constexpr std::array norms = {input_norm, post_norm};

// x / sqrt(mean(x^2) + epsilon) * factor along one axis.
ValueId normalised(Builder& b, ValueId x, int64_t axis, double epsilon, double factor = 1) {
  return b.mul(x, mil::inverse_rms(b, x, axis, epsilon, factor));
}

// The same with a factor for each channel (Zhang & Sennrich 2019).
ValueId rms_norm(Builder& b, ValueId x, ValueId weight, int64_t axis, double epsilon) {
  return b.mul(normalised(b, x, axis, epsilon), weight);
}

// (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin), the halves of head_dim (Su et al. 2021), for x
// [heads, head_dim, 1, positions].
ValueId rotate(Builder& b, ValueId x, ValueId cosines, ValueId sines) {
  Shape half = b.shape(x);
  half[channel_axis] /= 2;
  const ValueId x1 = b.slice_by_size(x, {0, 0, 0, 0}, half);
  const ValueId x2 = b.slice_by_size(x, {0, half[channel_axis], 0, 0}, half);
  const ValueId x1_cos = b.mul(x1, cosines);
  const ValueId x2_sin = b.mul(x2, sines);
  const ValueId x2_cos = b.mul(x2, cosines);
  const ValueId x1_sin = b.mul(x1, sines);
  const ValueId first = b.sub(x1_cos, x2_sin);
  const ValueId second = b.add(x2_cos, x1_sin);
  return b.concat({first, second}, channel_axis);
}

// The same as x cos + swap(x sin), where swap makes (-x2, x1) by a product with a matrix: fewer
// passes on the engine than parts. The tables, [1, head_dim, 1, positions], are of whole heads and
// may hold a factor and the weight of the heads' norm. Gradients meet the matrix before the sines,
// which would make some of them denormals, and those are 0 to products of M1 (ane-facts.md 6, R);
// where the matrix adds up both (backend/ane/fewer_passes.h), a sum loses at most 2^-13 to that.
ValueId rotate_whole(Builder& b, ValueId x, ValueId cosines, ValueId sines) {
  const int64_t head_dim = b.shape(x)[channel_axis], half = head_dim / 2;
  std::vector<double> swap(static_cast<size_t>(head_dim * head_dim), 0);
  for (int64_t i = 0; i < half; ++i) {
    swap[static_cast<size_t>(i * head_dim + half + i)] = -1;
    swap[static_cast<size_t>((half + i) * head_dim + i)] = 1;
  }
  const mil::Type type{b.type(x).dtype, {head_dim, head_dim, 1, 1}, {}};
  const ValueId matrix = b.constant(mil::Literal::numbers(type, swap));
  return b.add(b.mul(x, cosines), b.linear(b.mul(x, sines), matrix));
}

// Products with matrices of the model, with what an adapter adds to them.
class Linear {
public:
  Linear(Builder& b, const AdapterShape& adapter) : b_(b), adapter_(adapter) {}

  using Modules = std::span<const char* const>;

  // The input of the adapters of some modules, which share a port of dropout.
  struct Input {
    ValueId x;
    ValueId dropped;                                 // x without dropout
    ValueId columns = mil::no_value;                 // what columns of A are multiplied by
    std::map<std::string, ValueId, std::less<>> low; // A x by module, where it is known
  };
  Input input(ValueId x, Modules modules, const char* dropout, ValueId columns = mil::no_value) {
    const std::vector<const AdapterShape::Module*> adapted = adapted_of(modules);
    Input input{x, x, columns, {}};
    if (!adapted.empty() && adapter_.dropout)
      input.dropped = b_.mul(x, b_.input(dropout, b_.type(x)));
    if (adapter_.stacked && adapted.size() > 1) project_stacked(adapted, input);
    return input;
  }

  bool adapts(Modules modules) const { return !adapted_of(modules).empty(); }

  // weight [out, in, 1, 1]
  ValueId project(const Input& input, const std::string& module, ValueId weight) {
    const ValueId y = b_.linear(input.x, weight);
    const AdapterShape::Module* adapted = adapter_.find(module);
    if (adapted == nullptr) return y;
    const int64_t out = b_.shape(weight)[0];
    const auto known = input.low.find(module);
    const ValueId low = known == input.low.end() ? projected(*adapted, input) : known->second;
    const ValueId sum = b_.add(y, expanded(*adapted, low, out));
    if (!adapted->dora) return sum;
    const ValueId magnitude = port(module + "_magnitude", {1, out, 1, 1});
    const ValueId inverse_norm = port(module + "_inverse_norm", {1, out, 1, 1});
    return b_.mul(sum, b_.mul(magnitude, inverse_norm));
  }

  // scale * B low. The scale goes where the values are fewest.
  ValueId expanded(const AdapterShape::Module& module, ValueId low, int64_t out) {
    dtype_ = b_.type(low).dtype;
    const ValueId b = port(module.port + "_lora_b", {out, module.rank, 1, 1});
    return b_.linear(module.scale == 1 ? low : b_.mul(low, module.scale), b);
  }

private:
  std::vector<const AdapterShape::Module*> adapted_of(Modules modules) const {
    std::vector<const AdapterShape::Module*> adapted;
    for (const char* module : modules)
      if (const AdapterShape::Module* found = adapter_.find(module)) adapted.push_back(found);
    return adapted;
  }

  ValueId port(std::string name, Shape shape) {
    return b_.input(std::move(name), {dtype_, std::move(shape)});
  }

  ValueId matrix_a(const AdapterShape::Module& module, ValueId x) {
    dtype_ = b_.type(x).dtype;
    return port(module.port + "_lora_a", {module.rank, b_.shape(x)[channel_axis], 1, 1});
  }

  // A x, or A diag(columns) x.
  ValueId low(const Input& input, ValueId matrix) {
    if (input.columns != mil::no_value) matrix = b_.mul(matrix, input.columns);
    return b_.linear(input.dropped, matrix);
  }

  ValueId projected(const AdapterShape::Module& module, const Input& input) {
    return low(input, matrix_a(module, input.dropped));
  }

  // [A1; A2; ..] x, split again. So its gradients are one product each, too.
  void project_stacked(std::span<const AdapterShape::Module* const> modules, Input& input) {
    std::vector<ValueId> matrices;
    std::vector<int64_t> ranks;
    for (const AdapterShape::Module* module : modules) {
      matrices.push_back(matrix_a(*module, input.dropped));
      ranks.push_back(module->rank);
    }
    const std::array<Builder::Input, 3> arguments = {{
        {"x", low(input, b_.concat(matrices, 0))},
        {"split_sizes", b_.constant(mil::Literal::int32s(ranks))},
        {"axis", b_.scalar(DataType::int32, channel_axis)},
    }};
    const std::vector<ValueId> parts = b_.add_multiple("split", arguments);
    for (size_t i = 0; i < parts.size(); ++i) input.low.emplace(modules[i]->port, parts[i]);
  }

  Builder& b_;
  const AdapterShape& adapter_;
  DataType dtype_ = DataType::fp32;
};

// One transformer block, written around whatever attention it is given.
class Block {
public:
  Block(Builder& b, const Config& config, DataType dtype, int64_t positions,
        const AdapterShape& adapter, FoldedNorms folded = {})
      : b_(b), linear_(b, adapter), config_(config), dtype_(dtype), positions_(positions),
        folded_(std::move(folded)) {
    hidden_ = b.input("hidden", {dtype, {1, config.hidden_size, 1, positions}});
  }

  Builder& builder() { return b_; }
  ValueId port(const char* name, Shape shape) { return b_.input(name, {dtype_, std::move(shape)}); }

  // The layer's parameters that it reads, in the order of the parameter table.
  void declare_parameters() {
    const ParameterTable table(config_);
    for (const Parameter& parameter : table.layer(0))
      parameters_[parameter.port] = is_read(parameter.port)
                                        ? b_.input(parameter.port, {dtype_, port_shape(parameter)})
                                        : mil::no_value;
  }

  struct Heads {
    ValueId query, key, value; // [B*kv_heads, group or 1, head_dim, S]
  };

  // Projections of the normalised input, rotated while all positions are side by side, then split
  // into sequences.
  Heads project(int64_t batch, ValueId cosines, ValueId sines, double query_scale) {
    const Linear::Input input = normalised_input(hidden_, input_norm, "attention_dropout");
    const auto turned = [&](const char* module, int64_t count, const char* norm, double factor) {
      return rotated(heads(projection(input, module), count), norm, cosines, sines, factor);
    };
    const ValueId query = turned("q_proj", config_.head_count, "q_norm_weight", query_scale);
    const ValueId key = turned("k_proj", config_.kv_head_count, "k_norm_weight", 1);
    const ValueId value = heads(projection(input, "v_proj"), config_.kv_head_count);
    return {sequences(query, config_.group_size(), batch), sequences(key, 1, batch),
            sequences(value, 1, batch)};
  }

  // Scores are scaled through the query, which is smaller than they are.
  double score_scale() const { return 1.0 / std::sqrt(double(config_.head_dim)); }

  // Attention of each sequence to itself, from matrix products.
  ValueId attend_by_products(int64_t batch, ValueId cosines, ValueId sines, ValueId mask) {
    const auto [query, key, value] = project(batch, cosines, sines, score_scale());
    const ValueId scores = add_mask(b_.matmul(query, key, true, false), mask);
    return b_.matmul(value, b_.softmax(scores, position_axis), false, true);
  }

  // The same as one op. Heads that share keys read them again and again.
  ValueId attend_fused(int64_t batch, ValueId cosines, ValueId sines, ValueId mask) {
    const auto [query, key, value] = project(batch, cosines, sines, 1);
    const int64_t sequence = positions_ / batch, kv_heads = config_.kv_head_count;
    const bool own_masks = b_.shape(mask)[0] > 1; // an axis of its own for sequences
    const int64_t group = config_.group_size();
    const auto rows = [&](ValueId x) {
      const int64_t heads = b_.shape(x)[1];
      if (own_masks) x = b_.reshape(x, {batch, kv_heads, heads, config_.head_dim, sequence});
      x = b_.transpose(x, last_swapped(own_masks ? 5 : 4));
      if (heads == group) return x;
      std::vector<int64_t> repetitions(own_masks ? 5 : 4, 1);
      repetitions[repetitions.size() - 3] = group;
      const ValueId reps = b_.constant(mil::Literal::int32s(repetitions));
      return b_.add("tile", {{"x", x}, {"reps", reps}});
    };
    if (own_masks) mask = b_.reshape(mask, {batch, 1, 1, sequence, sequence});
    const ValueId y = b_.add(
        "scaled_dot_product_attention",
        {{"query", rows(query)}, {"key", rows(key)}, {"value", rows(value)}, {"attn_mask", mask}});
    const ValueId columns = b_.transpose(y, last_swapped(own_masks ? 5 : 4));
    return b_.reshape(columns, {batch * kv_heads, group, config_.head_dim, sequence});
  }

  // Adds a mask [1 or B, 1, queries, keys] to scores [B*kv_heads, group, queries, keys]. The heads
  // are brought together for it, so that the mask is not copied for each of them.
  ValueId add_mask(ValueId scores, ValueId mask) {
    const Shape shape = b_.shape(scores);
    const int64_t batch = b_.shape(mask)[0];
    if (batch == 1) return b_.add(scores, mask);
    const int64_t heads_of_sequence = shape[0] / batch * shape[1];
    const ValueId together = b_.reshape(scores, {batch, heads_of_sequence, shape[2], shape[3]});
    return b_.reshape(b_.add(together, mask), shape);
  }

  // Attention output [B*kv_heads, group, head_dim, S] to the end of the block.
  void finish(ValueId context, int64_t batch) {
    const ValueId merged = merge_heads(context, batch);
    const ValueId attention =
        product(linear_.input(merged, context_modules, "context_dropout"), "o_proj");
    const ValueId residual = b_.add(hidden_, attention);
    const Linear::Input input = normalised_input(residual, post_norm, "mlp_dropout");
    const ValueId gate = b_.unary("silu", product(input, "gate_proj"));
    const ValueId gated = b_.mul(gate, product(input, "up_proj"));
    const ValueId down = product(linear_.input(gated, gated_modules, "gated_dropout"), "down_proj");
    b_.output(b_.add(residual, down), "hidden_out");
  }

private:
  static Shape port_shape(const Parameter& parameter) {
    if (parameter.shape.size() == 2) return {parameter.shape[0], parameter.shape[1], 1, 1};
    return {1, parameter.shape[0], 1, 1};
  }

  ValueId parameter(const std::string& port) const { return parameters_.at(port); }

  // The weight of a norm that matrices have has no readers but adapters.
  bool is_read(const std::string& port) const {
    return std::none_of(norms.begin(), norms.end(), [&](const BlockNorm& norm) {
      return norm.weight == port && folded_.contains(port) && !linear_.adapts(norm.modules);
    });
  }

  Linear::Input normalised_input(ValueId x, const BlockNorm& norm, const char* dropout) {
    const ValueId weight = parameter(norm.weight);
    const auto factor = folded_.find(norm.weight);
    if (factor == folded_.end())
      return linear_.input(rms_norm(b_, x, weight, channel_axis, config_.norm_epsilon),
                           norm.modules, dropout);
    const ValueId y = normalised(b_, x, channel_axis, config_.norm_epsilon, factor->second);
    return linear_.input(y, norm.modules, dropout, weight);
  }

  ValueId product(const Linear::Input& input, const std::string& name) {
    return linear_.project(input, name, parameter(name + "_weight"));
  }

  ValueId projection(const Linear::Input& input, const std::string& name) {
    const ValueId y = product(input, name);
    return config_.qkv_bias ? b_.add(y, parameter(name + "_bias")) : y;
  }

  // [1, count*head_dim, 1, positions] -> [count, head_dim, 1, positions]
  ValueId heads(ValueId x, int64_t count) {
    return b_.reshape(x, {count, config_.head_dim, 1, positions_});
  }

  // Heads with their norm and their positions, times a factor.
  ValueId rotated(ValueId x, const char* norm, ValueId cosines, ValueId sines, double factor) {
    const bool has_whole_tables = dtype_ == DataType::fp16;
    const bool is_folded = has_whole_tables && folded_.contains(norm);
    if (config_.qk_norm) x = normalised(b_, x, channel_axis, config_.norm_epsilon);
    if (config_.qk_norm && !is_folded) x = b_.mul(x, parameter(norm));
    if (has_whole_tables) {
      const auto whole = [&](ValueId table) {
        table = b_.concat({table, table}, channel_axis);
        if (factor != 1) table = b_.mul(table, factor);
        return is_folded ? b_.mul(table, parameter(norm)) : table;
      };
      return rotate_whole(b_, x, whole(cosines), whole(sines));
    }
    const ValueId y = rotate(b_, x, cosines, sines);
    return factor == 1 ? y : b_.mul(y, factor);
  }

  // [kv_heads*group, head_dim, 1, B*S] -> [B*kv_heads, group, head_dim, S]. Query head h belongs to
  // kv head h / group, so consecutive query heads share one.
  ValueId sequences(ValueId x, int64_t group, int64_t batch) {
    const int64_t sequence = positions_ / batch;
    const int64_t kv_heads = config_.kv_head_count;
    if (batch > 1) {
      x = b_.reshape(x, {kv_heads, group * config_.head_dim, batch, sequence});
      x = b_.transpose(x, {2, 0, 1, 3});
    }
    return b_.reshape(x, {batch * kv_heads, group, config_.head_dim, sequence});
  }

  static std::vector<int64_t> last_swapped(int64_t rank) {
    std::vector<int64_t> order(static_cast<size_t>(rank));
    std::iota(order.begin(), order.end(), int64_t{0});
    std::swap(order[order.size() - 2], order[order.size() - 1]);
    return order;
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
  Linear linear_;
  const Config& config_;
  DataType dtype_;
  int64_t positions_;
  FoldedNorms folded_;
  ValueId hidden_;
  std::map<std::string, ValueId> parameters_;
};

// What the head reads.
ValueId head_input(Builder& b, const Config& config, DataType dtype, int64_t positions) {
  const ValueId hidden = b.input("hidden", {dtype, {1, config.hidden_size, 1, positions}});
  const ValueId norm = b.input("final_norm_weight", {dtype, {1, config.hidden_size, 1, 1}});
  return rms_norm(b, hidden, norm, channel_axis, config.norm_epsilon);
}

// Final norm and head, in fp32 from the logits on.
ValueId logits(Builder& b, const Config& config, DataType dtype, int64_t positions,
               const AdapterShape& adapter) {
  const ValueId x = head_input(b, config, dtype, positions);
  const ValueId head =
      b.input("head_weight", {dtype, {config.vocab_size, config.hidden_size, 1, 1}});
  Linear linear(b, adapter);
  const Linear::Input input = linear.input(x, head_modules, "head_dropout");
  return b.cast(linear.project(input, "lm_head", head), DataType::fp32);
}

// The same in parts of so many rows, each from a port of its own.
std::vector<ValueId> logit_parts(Builder& b, const Config& config, DataType dtype,
                                 int64_t positions, std::span<const int64_t> head_rows) {
  const ValueId x = head_input(b, config, dtype, positions);
  std::vector<ValueId> parts;
  for (const int64_t rows : head_rows) {
    const ValueId weight =
        b.input(head_part_port(parts.size()), {dtype, {rows, config.hidden_size, 1, 1}});
    const ValueId product = b.linear(x, weight, head_part_logits(parts.size()));
    parts.push_back(b.cast(product, DataType::fp32));
  }
  return parts;
}

// Of every position.
struct Scores {
  ValueId total;  // the logarithm of the sum of exponents
  ValueId picked; // the logit of the target
};

Scores scores_of(Builder& b, ValueId logits, ValueId targets) {
  return {b.reduce("reduce_log_sum_exp", logits, {channel_axis}, true),
          b.gather_along_axis(logits, targets, channel_axis)};
}

// Each part picks a logit, which counts where the target is in that part.
Scores scores_of(Builder& b, std::span<const ValueId> parts, ValueId targets) {
  const auto integer = [&](int64_t value) {
    return b.scalar(DataType::int32, static_cast<double>(value));
  };
  std::vector<ValueId> totals;
  ValueId picked = b.scalar(DataType::fp32, 0);
  int64_t begin = 0;
  for (const ValueId part : parts) {
    const int64_t rows = b.shape(part)[1];
    const ValueId index = b.sub(targets, integer(begin));
    const ValueId nearest =
        b.binary("minimum", b.binary("maximum", index, integer(0)), integer(rows - 1));
    const auto [total, nearest_logit] = scores_of(b, part, nearest);
    const ValueId is_here = b.binary("equal", index, nearest);
    const ValueId zero = b.scalar(DataType::fp32, 0);
    picked = b.add(picked, b.add("select", {{"cond", is_here}, {"a", nearest_logit}, {"b", zero}}));
    totals.push_back(total);
    begin += rows;
  }
  const ValueId total =
      b.reduce("reduce_log_sum_exp", b.concat(totals, channel_axis), {channel_axis}, true);
  return {total, picked};
}

// Weighted cross-entropy of every position.
ValueId token_losses(Builder& b, const Config& config, DataType dtype, int64_t positions,
                     const AdapterShape& adapter, std::span<const int64_t> head_rows) {
  const std::vector<ValueId> parts = head_rows.empty()
                                         ? std::vector{logits(b, config, dtype, positions, adapter)}
                                         : logit_parts(b, config, dtype, positions, head_rows);
  const ValueId targets = b.input("targets", {DataType::int32, {1, 1, 1, positions}});
  const ValueId weight = b.input("target_weight", {DataType::fp32, {1, 1, 1, positions}});
  const auto [total, picked] =
      parts.size() == 1 ? scores_of(b, parts.front(), targets) : scores_of(b, parts, targets);
  return b.mul(b.sub(total, picked), weight);
}

} // namespace

mil::Function embedding_function(const Config& config, DataType dtype, int64_t positions,
                                 const AdapterShape& adapter) {
  return embedding_function(config, dtype, positions, adapter, dtype);
}

mil::Function embedding_function(const Config& config, DataType dtype, int64_t positions,
                                 const AdapterShape& adapter, DataType table) {
  Builder b("embedding");
  const ValueId tokens = b.input("tokens", {DataType::int32, {positions}});
  const ValueId weight =
      b.input("embedding_weight", {table, {config.vocab_size, config.hidden_size}});
  const ValueId rows = b.cast(b.gather(weight, tokens, 0), dtype);
  const ValueId columns = b.transpose(rows, {1, 0});
  ValueId hidden = b.reshape(columns, {1, config.hidden_size, 1, positions});
  if (const AdapterShape::Module* adapted = adapter.find("embed_tokens")) {
    const ValueId a = b.input("embed_tokens_lora_a", {dtype, {adapted->rank, config.vocab_size}});
    const ValueId low = b.reshape(b.gather(a, tokens, 1), {1, adapted->rank, 1, positions});
    hidden = b.add(hidden, Linear(b, adapter).expanded(*adapted, low, config.hidden_size));
  }
  b.output(hidden, "hidden");
  return std::move(b).finish();
}

std::span<const BlockNorm> block_norms() { return norms; }

mil::Function block_function(const Config& config, DataType dtype, int64_t batch, int64_t sequence,
                             Attention attention, const AdapterShape& adapter, AttentionForm form,
                             const FoldedNorms& folded) {
  Builder b("block");
  Block block(b, config, dtype, batch * sequence, adapter, folded);
  const ValueId cosines = block.port("rope_cos", {1, config.head_dim / 2, 1, batch * sequence});
  const ValueId sines = block.port("rope_sin", {1, config.head_dim / 2, 1, batch * sequence});
  const int64_t masks = attention == Attention::documents ? batch : 1;
  const ValueId mask = block.port("mask", {masks, 1, sequence, sequence});
  block.declare_parameters();

  block.finish(form == AttentionForm::fused ? block.attend_fused(batch, cosines, sines, mask)
                                            : block.attend_by_products(batch, cosines, sines, mask),
               batch);
  return std::move(b).finish();
}

mil::Function cached_block_function(const Config& config, DataType dtype, int64_t positions,
                                    int64_t capacity, int64_t rows, const AdapterShape& adapter,
                                    CacheOrder order) {
  Builder b("cached_block");
  Block block(b, config, dtype, rows * positions, adapter);
  const bool swapped = order == CacheOrder::positions_first;
  Shape cache = {rows * config.kv_head_count, 1, config.head_dim, capacity};
  if (swapped) std::swap(cache[2], cache[3]);
  const auto ordered = [&](ValueId x) { return swapped ? b.transpose(x, {0, 1, 3, 2}) : x; };
  const ValueId cosines = block.port("rope_cos", {1, config.head_dim / 2, 1, rows * positions});
  const ValueId sines = block.port("rope_sin", {1, config.head_dim / 2, 1, rows * positions});
  const ValueId cache_mask = block.port("cache_mask", {rows, 1, positions, capacity});
  const ValueId mask = block.port("mask", {1, 1, positions, positions});
  const ValueId key_cache = ordered(block.port("key_cache", cache));
  const ValueId value_cache = ordered(block.port("value_cache", cache));
  block.declare_parameters();

  const auto [query, key, value] = block.project(rows, cosines, sines, block.score_scale());
  const ValueId old_scores = block.add_mask(b.matmul(query, key_cache, true, false), cache_mask);
  const ValueId new_scores = block.add_mask(b.matmul(query, key, true, false), mask);
  const ValueId probabilities =
      b.softmax(b.concat({old_scores, new_scores}, position_axis), position_axis);
  const Shape old_shape = b.shape(old_scores);
  const ValueId old_part = b.slice_by_size(probabilities, {0, 0, 0, 0}, old_shape);
  const ValueId new_part = b.slice_by_size(probabilities, {0, 0, 0, capacity}, b.shape(new_scores));
  const ValueId old_context = b.matmul(value_cache, old_part, false, true);
  const ValueId new_context = b.matmul(value, new_part, false, true);
  block.finish(b.add(old_context, new_context), rows);
  b.output(ordered(key), "key");
  b.output(ordered(value), "value");
  return std::move(b).finish();
}

mil::Function logits_function(const Config& config, DataType dtype, int64_t positions,
                              const AdapterShape& adapter) {
  Builder b("logits");
  b.output(logits(b, config, dtype, positions, adapter), "logits");
  return std::move(b).finish();
}

std::string head_part_port(size_t part) { return "head_weight_" + std::to_string(part); }
std::string head_part_logits(size_t part) { return "logits_" + std::to_string(part); }

mil::Function token_loss_function(const Config& config, DataType dtype, int64_t positions,
                                  const AdapterShape& adapter, std::span<const int64_t> head_rows) {
  Builder b("token_loss");
  b.output(token_losses(b, config, dtype, positions, adapter, head_rows), "losses");
  return std::move(b).finish();
}

mil::Function loss_function(const Config& config, DataType dtype, int64_t positions,
                            const AdapterShape& adapter, std::span<const int64_t> head_rows) {
  Builder b("loss");
  const ValueId losses = token_losses(b, config, dtype, positions, adapter, head_rows);
  b.output(b.reduce("reduce_sum", losses, {1, 2, 3}, false), "loss");
  return std::move(b).finish();
}

void rope_tables(const Config& config, std::span<const int32_t> positions, std::span<float> cosines,
                 std::span<float> sines) {
  const int64_t half = config.head_dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    const double frequency = rope_frequency(config, i);
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

void document_mask(std::span<const int32_t> positions, std::span<float> mask) {
  const size_t n = positions.size();
  size_t begin = 0; // of the query's document
  for (size_t query = 0; query < n; ++query) {
    if (positions[query] == 0) begin = query;
    const std::span<float> row = mask.subspan(query * n, n);
    std::fill(row.begin(), row.end(), masked_score);
    std::fill(row.begin() + static_cast<ptrdiff_t>(begin),
              row.begin() + static_cast<ptrdiff_t>(query) + 1, 0.0f);
  }
}

} // namespace anet::model
