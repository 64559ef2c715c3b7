// The programs of a step: forward, the gradients derived from it, constants bound in.
#pragma once

#include "mil/differentiate.h"
#include "mil/passes.h"
#include "mil/program.h"
#include "model/transformer.h"
#include "train/step_weights.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace anet::train {

// "d_<port>": the gradient of a port.
std::string gradient_port(const std::string& port);
std::vector<std::string> gradient_ports(std::span<const std::string> ports);
// The same in the type that programs compute in, where it leaves a kernel so.
std::string narrow_gradient_port(const std::string& port);
// A port's matrix transposed, where a kernel reads that.
std::string transposed_port(const std::string& port);
// The port of one of several layers in a program, the first of which is 0 and has ports as alone.
// Tables are the same for all. Not for gradients: theirs are those of this port.
std::string placed_port(size_t place, const std::string& port);

// What the kernels of a layer, of the embedding or of the head are made for, besides sizes.
struct PartShape {
  model::AdapterShape adapter;
  std::vector<std::string> trained;    // ports that have gradients
  bool backward = true;                // there is something to train here or below
  bool hidden_gradient = true;         // there is below
  std::vector<int64_t> head_rows = {}; // of the ports that the head's matrix is in; empty: of one
  bool wide_table = false;             // the embedding's rows are in fp32, whatever the rest is
  model::FoldedNorms folded = {};      // whose weights are in the constants behind them
  std::vector<std::string> joinable = {}; // ports of matrices that an adapter's can be joined to
  bool operator==(const PartShape&) const = default;
};

struct BlockSizes {
  int64_t batch = 1;
  int64_t sequence = 1;
  model::Attention attention = model::Attention::causal;
  mil::Taps taps = mil::Taps::automatic;
  mil::TapCosts tap_costs = {};
  mil::TransposedOperands transposed_operands = {};
  model::AttentionForm form = model::AttentionForm::products;
  bool transposed_weights = false; // backward has them as inputs of their own
  bool narrow_gradients = false;   // makes a function for them, too
};

// What the forward pass of a layer hands to its backward pass.
struct BlockTap {
  std::string port;
  size_t place = 0; // of the layer among those of the program
};

struct BlockFunctions {
  mil::Function forward;                        // returns the taps as well
  std::optional<mil::Function> backward;        // with gradients in fp32
  std::optional<mil::Function> narrow_backward; // with gradients as they are; of fp16 programs
  std::optional<mil::Function> evaluation;      // where it is not `forward`: without dropout
  std::vector<BlockTap> taps;
  std::vector<mil::JoinedInput> joined; // of any of the functions
};

BlockFunctions block_functions(const model::Config& config, mil::DataType dtype,
                               const BlockSizes& sizes, const PartShape& shape);

// Consecutive layers without dropout as one. Either all have a backward function or none. What goes
// from one to the next, their hidden states, is returned for the backward function under the placed
// port "hidden".
BlockFunctions chain_blocks(std::span<const BlockFunctions> layers);

// Loss and gradients of `columns` positions; loss alone when nothing is to be trained. `narrow`:
// the gradients of parameters as they are, else in fp32.
mil::Function head_training_function(const model::Config& config, mil::DataType dtype,
                                     int64_t columns, const PartShape& shape, bool narrow = false);
mil::Function head_evaluation_function(const model::Config& config, mil::DataType dtype,
                                       int64_t columns, const PartShape& shape);

struct EmbeddingFunctions {
  mil::Function forward;
  std::optional<mil::Function> backward;
};
EmbeddingFunctions embedding_functions(const model::Config& config, mil::DataType dtype,
                                       int64_t positions, const PartShape& shape);

// Those of the constants that the function has ports for.
mil::Function bound(const mil::Function& function, const Constants& constants);
BlockFunctions bound(const BlockFunctions& functions, const Constants& constants);

} // namespace anet::train
