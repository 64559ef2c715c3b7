// Forward programs of the Llama family. Gradients come from mil::differentiate; nothing here knows
// devices, files or training.
//
// Activations are channel-first, [1, channels, 1, positions]: the ANE's layout (DESIGN: Numbers).
// A batch of B sequences of S tokens lies along the positions, B * S of them, so that every
// projection is one matrix product. Matrices are ports [out, in, 1, 1], vectors [1, size, 1, 1].
// RoPE is half-split (rotate-half), as in Hugging Face files.
//
// An adapted module "q_proj" has further ports q_proj_lora_a [rank, in, 1, 1] and q_proj_lora_b
// [out, rank, 1, 1], with DoRA q_proj_magnitude and q_proj_inverse_norm [1, out, 1, 1]. With
// dropout the input of its adapter is multiplied by a port that adapters of the same input share:
// attention_dropout (q, k, v), context_dropout (o), mlp_dropout (gate, up), gated_dropout (down),
// head_dropout, each like that input, 0 or 1 / (1 - p). Where `stacked`, the matrices A of q, k and
// v are one in the product with their input, and so are those of gate and up.
#pragma once

#include "mil/program.h"
#include "model/adapter.h"
#include "model/config.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

namespace anet::model {

// tokens int32 [n], embedding_weight [V, D], of an adapter embed_tokens_lora_a [rank, V] ->
// hidden [1, D, 1, n]. The rows of a `table` in another type are converted.
mil::Function embedding_function(const Config& config, mil::DataType dtype, int64_t positions,
                                 const AdapterShape& adapter, mil::DataType table);
mil::Function embedding_function(const Config& config, mil::DataType dtype, int64_t positions,
                                 const AdapterShape& adapter = {});

// What a position may attend to: all before it in its sequence, or all before it in its document.
enum class Attention : uint8_t { causal, documents };

// What attention is written with: products and a softmax, which any device runs, or one op
// (scaled_dot_product_attention), of which derivatives keep no scores.
enum class AttentionForm : uint8_t { products, fused };

// A norm of a block by the port of its weight, and the modules that alone read what it returns.
struct BlockNorm {
  const char* weight;
  std::span<const char* const> modules;
};
std::span<const BlockNorm> block_norms();
inline constexpr std::array head_norms = {"q_norm_weight", "k_norm_weight"};

// Norms whose weights are elsewhere, by port. Those of block_norms() are in the matrices behind
// them, with a factor that stays: what a norm multiplies by instead. A matrix comes with its
// columns multiplied by what the norm lacks, weight / factor. The port then stands for that, and
// exists where an adapter of those modules needs it: a matrix A is multiplied inside. Those of
// head_norms are in RoPE's tables in fp16, whose tables are of whole heads; their factor is 1.
using FoldedNorms = std::map<std::string, double, std::less<>>;

// hidden [1, D, 1, B*S], rope_cos and rope_sin [1, head_dim/2, 1, B*S], mask [1, 1, S, S], or with
// documents [B, 1, S, S] (added to the scores), the layer's parameters by port name
// -> hidden_out like hidden
mil::Function block_function(const Config& config, mil::DataType dtype, int64_t batch,
                             int64_t sequence, Attention attention = Attention::causal,
                             const AdapterShape& adapter = {},
                             AttentionForm form = AttentionForm::products,
                             const FoldedNorms& folded = {});

// The last two axes of cached keys and values: head_dim and positions, or the other way round.
enum class CacheOrder : uint8_t { channels_first, positions_first };

// The block for generation: n new positions in each of R rows attend to the row's T cached ones and
// to each other. hidden [1, D, 1, R*n], rope_cos and rope_sin [1, head_dim/2, 1, R*n], cache_mask
// [R, 1, n, T], mask [1, 1, n, n], key_cache and value_cache [R*kv_heads, 1, head_dim, T],
// parameters -> hidden_out, key and value [R*kv_heads, 1, head_dim, n]; of these and the caches the
// last two axes are in the given order.
mil::Function cached_block_function(const Config& config, mil::DataType dtype, int64_t positions,
                                    int64_t capacity, int64_t rows = 1,
                                    const AdapterShape& adapter = {},
                                    CacheOrder order = CacheOrder::channels_first);

// hidden [1, D, 1, n], final_norm_weight, head_weight [V, D, 1, 1] -> logits fp32 [1, V, 1, n]
mil::Function logits_function(const Config& config, mil::DataType dtype, int64_t positions,
                              const AdapterShape& adapter = {});

// The same, then cross-entropy: targets int32 [1, 1, 1, n] (any valid id where not counted),
// target_weight fp32 [1, 1, 1, n] -> loss fp32 [1], the weighted sum in nats. In fp32 whatever the
// dtype of the rest: fp16 cannot hold such sums. Unless `head_rows` is empty, the head's matrix is
// in ports of so many rows, head_part_port(0), head_part_port(1) and so on, and logits are never
// together; not where the head has an adapter.
mil::Function loss_function(const Config& config, mil::DataType dtype, int64_t positions,
                            const AdapterShape& adapter = {},
                            std::span<const int64_t> head_rows = {});
std::string head_part_port(size_t part);
// The value inside that a part of the matrix makes, in the type of the rest.
std::string head_part_logits(size_t part);

// The same inputs -> losses fp32 [1, 1, 1, n], weighted, not summed.
mil::Function token_loss_function(const Config& config, mil::DataType dtype, int64_t positions,
                                  const AdapterShape& adapter = {},
                                  std::span<const int64_t> head_rows = {});

// Row i of either table is frequency theta^(-2i/head_dim), column j is positions[j]; both
// [head_dim/2, positions].
void rope_tables(const Config& config, std::span<const int32_t> positions, std::span<float> cosines,
                 std::span<float> sines);

// [positions, positions], row-major: 0 where a query (row) may see a key (column), else
// masked_score.
void causal_mask(int64_t positions, std::span<float> mask);

// The same for a row of documents: a query sees nothing before the last position that is 0.
void document_mask(std::span<const int32_t> positions, std::span<float> mask);

// Added to a score to hide it. Within fp16's range; exp(x - max) is exactly 0 in fp16 and fp32.
inline constexpr float masked_score = -30000.0f;

} // namespace anet::model
