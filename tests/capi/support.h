// What the tests of the C ABI share: owners of handles, calls that check themselves, and a model
// that trains in milliseconds.
#pragma once

#include <ane_train.h>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace test {

template <typename T, void (*Release)(T*)>
struct Releaser {
  void operator()(T* handle) const { Release(handle); }
};
template <typename T, void (*Release)(T*)>
using Owner = std::unique_ptr<T, Releaser<T, Release>>;

using Device = Owner<anet_device, anet_device_release>;
using Buffer = Owner<anet_buffer, anet_buffer_release>;
using Program = Owner<anet_program, anet_program_release>;
using Kernel = Owner<anet_kernel, anet_kernel_release>;
using Model = Owner<anet_model, anet_model_release>;
using Adapter = Owner<anet_adapter, anet_adapter_release>;
using Tokenizer = Owner<anet_tokenizer, anet_tokenizer_release>;
using Dataset = Owner<anet_dataset, anet_dataset_release>;
using Examples = Owner<anet_examples, anet_examples_release>;
using ChatTemplate = Owner<anet_chat_template, anet_chat_template_release>;
using TextDecoder = Owner<anet_text_decoder, anet_text_decoder_release>;
using Session = Owner<anet_session, anet_session_release>;
using Generator = Owner<anet_generator, anet_generator_release>;

template <typename Struct>
Struct initialised() {
  Struct value;
  anet_struct_init(&value, sizeof(value));
  return value;
}

// What a call answered.
struct Outcome {
  anet_status status = ANET_OK;
  std::string message;
  std::string domain;
  int64_t native_code = 0;
  int32_t line = 0;
  int32_t column = 0;

  bool says(const std::string& words) const { return message.find(words) != std::string::npos; }
};

// Checks what holds for every outcome: an error object if and only if the call failed, with the
// same status and one line of message.
Outcome take(anet_status status, anet_error* error);

template <typename Call, typename... Arguments>
Outcome attempt(Call call, Arguments... arguments) {
  anet_error* error = nullptr;
  const anet_status status = call(arguments..., &error);
  return take(status, error);
}

// For calls that must succeed.
template <typename Call, typename... Arguments>
void must(Call call, Arguments... arguments) {
  const Outcome outcome = attempt(call, arguments...);
  REQUIRE_MESSAGE(outcome.status == ANET_OK, outcome.message);
}

Device open_device(uint32_t threads = 1);

// Vocabulary 258 (bytes), 2 layers of 32 channels, 32 tokens of context.
anet_model_config tiny_config();
Model create_model(uint64_t seed = 1);

inline constexpr int32_t batch_size = 2;
inline constexpr int32_t sequence_length = 16;
// AdamW, batches of 2 x 16.
anet_session_options session_options();
Session create_session(anet_device* device, anet_model* model,
                       const anet_session_options& options = session_options());

// A micro-batch of learnable tokens (each id follows from the one before it).
class Tokens {
public:
  explicit Tokens(uint64_t seed, int32_t sequences = batch_size);
  anet_batch batch() const;
  std::vector<int32_t> inputs;
  std::vector<int32_t> targets;

private:
  int32_t sequences_;
};

void step(anet_session* session, const Tokens& tokens);
double eval(anet_session* session, const Tokens& tokens);
std::vector<float> weights_of(anet_session* session);
std::vector<float> gradients_of(anet_session* session);
bool same_bits(const std::vector<float>& a, const std::vector<float>& b);

// `count` ids of the same kind, as a dataset of windows of sequence_length.
std::vector<int32_t> token_stream(size_t count, uint64_t seed = 5);
Dataset create_dataset(const std::vector<int32_t>& ids, uint64_t seed = 3);

// An empty folder, removed at the end.
class Folder {
public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path(const std::string& name = {}) const;

private:
  std::filesystem::path path_;
};

void write_file(const std::string& path, const std::string& bytes);
std::string read_file(const std::string& path);

template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

} // namespace test
