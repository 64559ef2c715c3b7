#include "support.h"

#include <unistd.h>

#include <fstream>
#include <sstream>

namespace test {

Outcome take(anet_status status, anet_error* error) {
  CHECK((status == ANET_OK) == (error == nullptr));
  Outcome outcome;
  outcome.status = status;
  if (error == nullptr) return outcome;
  CHECK(anet_error_status(error) == status);
  outcome.message = anet_error_message(error);
  outcome.domain = anet_error_domain(error);
  outcome.native_code = anet_error_native_code(error);
  outcome.line = anet_error_line(error);
  outcome.column = anet_error_column(error);
  anet_error_release(error);
  CHECK_FALSE(outcome.message.empty());
  CHECK_MESSAGE(outcome.message.find('\n') == std::string::npos, outcome.message);
  CHECK_MESSAGE(outcome.message.back() != '.', outcome.message);
  return outcome;
}

Device open_device(uint32_t threads) {
  auto options = initialised<anet_device_options>();
  options.threads = threads;
  anet_device* device = nullptr;
  must(anet_device_open, "cpu", &options, &device);
  return Device(device);
}

anet_model_config tiny_config() {
  auto config = initialised<anet_model_config>();
  config.vocab_size = 258;
  config.hidden_size = 32;
  config.intermediate_size = 64;
  config.layer_count = 2;
  config.head_count = 4;
  config.kv_head_count = 2;
  config.context_length = 32;
  config.tie_embeddings = 1;
  return config;
}

Model create_model(uint64_t seed) {
  const anet_model_config config = tiny_config();
  anet_model* model = nullptr;
  must(anet_model_create, &config, seed, &model);
  return Model(model);
}

anet_session_options session_options() {
  auto options = initialised<anet_session_options>();
  options.batch_size = batch_size;
  options.sequence_length = sequence_length;
  options.learning_rate = 1e-2;
  options.clip_norm = 1;
  options.weight_decay = 0.1;
  return options;
}

Session create_session(anet_device* device, anet_model* model,
                       const anet_session_options& options) {
  anet_session* session = nullptr;
  must(anet_session_create, device, model, &options, &session);
  return Session(session);
}

std::vector<int32_t> token_stream(size_t count, uint64_t seed) {
  std::vector<int32_t> ids(count);
  uint64_t state = seed * 7 + 1;
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(state % 97);
    state = (state * 31 + 17) % 8191;
  }
  return ids;
}

Tokens::Tokens(uint64_t seed, int32_t sequences) : sequences_(sequences) {
  const auto count = static_cast<size_t>(sequences) * static_cast<size_t>(sequence_length);
  const std::vector<int32_t> ids = token_stream(count + 1, seed);
  inputs.assign(ids.begin(), ids.end() - 1);
  targets.assign(ids.begin() + 1, ids.end());
}

anet_batch Tokens::batch() const {
  auto batch = initialised<anet_batch>();
  batch.sequence_count = sequences_;
  batch.sequence_length = sequence_length;
  batch.tokens = inputs.data();
  batch.targets = targets.data();
  return batch;
}

void step(anet_session* session, const Tokens& tokens) {
  const anet_batch batch = tokens.batch();
  must(anet_session_step, session, &batch, size_t{1}, nullptr);
}

double eval(anet_session* session, const Tokens& tokens) {
  const anet_batch batch = tokens.batch();
  auto result = initialised<anet_eval_result>();
  must(anet_session_eval, session, &batch, &result);
  return result.loss;
}

std::vector<float> weights_of(anet_session* session) {
  float* values = nullptr;
  size_t count = 0;
  must(anet_session_get_weights, session, &values, &count);
  return {values, values + count};
}

std::vector<float> gradients_of(anet_session* session) {
  float* values = nullptr;
  size_t count = 0;
  must(anet_session_get_gradients, session, &values, &count);
  return {values, values + count};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

Dataset create_dataset(const std::vector<int32_t>& ids, uint64_t seed) {
  auto options = initialised<anet_dataset_options>();
  options.sequence_length = sequence_length;
  options.vocab_size = 258;
  options.seed = seed;
  anet_dataset* dataset = nullptr;
  must(anet_dataset_create_tokens, ids.data(), ids.size(), &options, &dataset);
  return Dataset(dataset);
}

Folder::Folder() {
  std::string name = (std::filesystem::temp_directory_path() / "anet-capi-XXXXXX").string();
  REQUIRE(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Folder::path(const std::string& name) const {
  return name.empty() ? path_.string() : (path_ / name).string();
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string read_file(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path, std::ios::binary).rdbuf();
  return content.str();
}

} // namespace test
