// A small model, its data and a session on the CPU, for tests of training.
#pragma once

#include "backend/backend.h"
#include "base/random.h"
#include "base/status.h"
#include "io/dataset/dataset.h"
#include "io/dataset/token_file.h"
#include "train/session.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

namespace anet::test {

inline model::Config small_config() {
  model::Config config;
  config.vocab_size = 64;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.layer_count = 2;
  config.head_count = 4;
  config.kv_head_count = 2;
  config.context_length = 16;
  config.tie_embeddings = true;
  return model::resolve(config);
}

inline train::SessionOptions small_options() {
  train::SessionOptions options;
  options.batch_size = 2;
  options.sequence_length = 16;
  options.learning_rate = 1e-2;
  options.weight_decay = 0.1;
  options.clip_norm = 1.0;
  options.seed = 3;
  return options;
}

inline std::shared_ptr<model::Model> small_model(uint64_t seed = 1) {
  auto model = std::make_shared<model::Model>(small_config());
  model::initialize(model->parameters(), model->config(), seed, model->weights());
  return model;
}

inline std::unique_ptr<train::Session> small_session(train::SessionOptions options,
                                                     int threads = 2) {
  return std::make_unique<train::Session>(backend::open_device("cpu", {.threads = threads}),
                                          small_model(), options);
}

// Tokens with something to learn: each follows from the one before, with a little noise.
inline std::vector<int32_t> patterned_tokens(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens(count);
  int32_t last = 0;
  for (int32_t& token : tokens) {
    last = random.uniform() < 0.1 ? static_cast<int32_t>(random.below(64)) : (last * 5 + 7) % 64;
    token = last;
  }
  return tokens;
}

// Owns the ids that a train::Batch refers to.
struct OwnedBatch {
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;
  int64_t sequences;
  int64_t length;

  OwnedBatch(uint64_t seed, int64_t sequence_count = 2, int64_t sequence_length = 16)
      : sequences(sequence_count), length(sequence_length) {
    const auto all = patterned_tokens(static_cast<size_t>(sequences * length + 1), seed);
    tokens.assign(all.begin(), all.end() - 1);
    targets.assign(all.begin() + 1, all.end());
  }
  train::Batch view() const { return {sequences, length, tokens, targets}; }
};

// A folder that goes when the test ends.
class TemporaryFolder {
public:
  explicit TemporaryFolder(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / (name + "-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string path(const std::string& name = "") const { return (path_ / name).string(); }

private:
  std::filesystem::path path_;
};

// Status::ok, or that of the error.
template <typename Action>
Status status_of(Action&& action) {
  try {
    action();
    return Status::ok;
  } catch (const Error& error) {
    return error.status();
  }
}

inline std::vector<float> copy(std::span<const float> values) {
  return {values.begin(), values.end()};
}

} // namespace anet::test
