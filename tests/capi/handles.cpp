// Handles: NULL, wrong types, releases in any order.
#include "support.h"

using namespace test;

namespace {

// One live handle of every type.
struct World {
  Device device = open_device();
  Model model = create_model();
  Session session = create_session(device.get(), model.get());
  Tokenizer tokenizer = [] {
    anet_tokenizer* made = nullptr;
    must(anet_tokenizer_create_bytes, &made);
    return Tokenizer(made);
  }();
  Dataset dataset = create_dataset(token_stream(200));
};

template <typename To, typename From>
To* disguise(From* handle) {
  return reinterpret_cast<To*>(handle);
}

} // namespace

TEST_CASE("NULL handles and pointers are named") {
  const World world;
  anet_buffer* buffer = nullptr;
  const auto desc = initialised<anet_tensor_desc>();
  Outcome outcome = attempt(anet_buffer_create, nullptr, &desc, &buffer);
  CHECK(outcome.status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome.says("'device'"));

  outcome = attempt(anet_buffer_create, world.device.get(), nullptr, &buffer);
  CHECK(outcome.status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome.says("'desc'"));

  outcome = attempt(anet_device_open, "cpu", nullptr, nullptr);
  CHECK(outcome.status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome.says("'device'"));

  anet_device* device = nullptr;
  outcome = attempt(anet_device_open, nullptr, nullptr, &device);
  CHECK(outcome.status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome.says("'name'"));

  outcome = attempt(anet_session_step, world.session.get(), nullptr, size_t{1}, nullptr);
  CHECK(outcome.status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome.says("'batches'"));

  outcome = attempt(anet_session_get_step, world.session.get(), nullptr);
  CHECK(outcome.status == ANET_E_INVALID_ARGUMENT);
  outcome = attempt(anet_session_get_step, nullptr, nullptr);
  CHECK(outcome.status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome.says("'session'"));
}

TEST_CASE("getters without a status answer 0 for NULL") {
  CHECK(anet_program_function_count(nullptr) == 0);
  CHECK(anet_program_function_name(nullptr, 0) == nullptr);
  CHECK(anet_kernel_port_count(nullptr, ANET_INPUT) == 0);
  CHECK(anet_model_weight_count(nullptr) == 0);
  CHECK(anet_model_parameter_count(nullptr) == 0);
  CHECK(anet_tokenizer_vocab_size(nullptr) == 0);
  CHECK(anet_dataset_window_count(nullptr) == 0);
  CHECK(anet_dataset_sequence_length(nullptr) == 0);
  anet_session_cancel(nullptr);
  anet_generator_cancel(nullptr);
}

TEST_CASE("release and retain accept NULL") {
  anet_device_release(nullptr);
  anet_buffer_release(nullptr);
  anet_program_release(nullptr);
  anet_kernel_release(nullptr);
  anet_model_release(nullptr);
  anet_tokenizer_release(nullptr);
  anet_dataset_release(nullptr);
  anet_session_release(nullptr);
  anet_generator_release(nullptr);
  anet_device_retain(nullptr);
  anet_session_retain(nullptr);
}

TEST_CASE("a handle of another type is refused and named") {
  const World world;
  auto info = initialised<anet_device_info>();
  Outcome outcome = attempt(anet_device_get_info, disguise<anet_device>(world.model.get()), &info);
  CHECK(outcome.status == ANET_E_INVALID_HANDLE);
  CHECK(outcome.says("anet_device"));
  CHECK(outcome.says("anet_model"));

  int64_t step = 0;
  CHECK(attempt(anet_session_get_step, disguise<anet_session>(world.dataset.get()), &step).status ==
        ANET_E_INVALID_HANDLE);
  anet_session* session = nullptr;
  CHECK(attempt(anet_session_create, world.device.get(),
                disguise<anet_model>(world.tokenizer.get()), nullptr, &session)
            .status == ANET_E_INVALID_HANDLE);
  CHECK(session == nullptr);
  CHECK(anet_dataset_window_count(disguise<anet_dataset>(world.device.get())) == 0);
  // A release of the wrong type does nothing either: the owner's still works.
  anet_model_release(disguise<anet_model>(world.device.get()));
  must(anet_device_get_info, world.device.get(), &info);
}

// A released handle's memory belongs to the allocator; the sanitizers rightly say so.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("a released handle is refused") {
  Device device = open_device();
  anet_device* stale = device.get();
  device.reset();
  auto info = initialised<anet_device_info>();
  CHECK(attempt(anet_device_get_info, stale, &info).status == ANET_E_INVALID_HANDLE);
}
#endif

TEST_CASE("retain keeps a handle alive") {
  Device device = open_device();
  anet_device_retain(device.get());
  anet_device* second = device.get();
  device.reset();
  auto info = initialised<anet_device_info>();
  must(anet_device_get_info, second, &info);
  CHECK(info.name == std::string("cpu"));
  anet_device_release(second);
}

TEST_CASE("parents may be released before their children") {
  Device device = open_device();
  Model model = create_model();
  anet_generator* generator_handle = nullptr;
  anet_tokenizer* tokenizer_handle = nullptr;
  must(anet_tokenizer_create_bytes, &tokenizer_handle);
  must(anet_generator_create, device.get(), model.get(), tokenizer_handle, nullptr,
       &generator_handle);
  const Generator generator(generator_handle);
  const Session session = create_session(device.get(), model.get());
  auto desc = initialised<anet_tensor_desc>();
  desc.dtype = ANET_DTYPE_FP32;
  desc.rank = 1;
  desc.shape[0] = 3;
  anet_buffer* buffer_handle = nullptr;
  must(anet_buffer_create, device.get(), &desc, &buffer_handle);
  const Buffer buffer(buffer_handle);

  anet_tokenizer_release(tokenizer_handle);
  model.reset();
  device.reset();

  step(session.get(), Tokens(1));
  const float values[3] = {1, 2, 3};
  float copy[3] = {};
  must(anet_buffer_write, buffer.get(), static_cast<const void*>(values), sizeof(values));
  must(anet_buffer_read, buffer.get(), static_cast<void*>(copy), sizeof(copy));
  CHECK(copy[2] == 3);
  const int32_t prompt[] = {1, 2};
  auto sampling = initialised<anet_sampling_options>();
  sampling.max_tokens = 2;
  int32_t ids[2] = {-1, -1};
  must(anet_generator_generate, generator.get(), prompt, size_t{2}, &sampling, nullptr, nullptr,
       ids, size_t{2}, nullptr);
  CHECK(ids[1] >= 0);
}

TEST_CASE("a session's model outlives the session and can be trained again") {
  const Device device = open_device();
  Model model = create_model();
  Session session = create_session(device.get(), model.get());
  anet_session* second = nullptr;
  CHECK(attempt(anet_session_create, device.get(), model.get(), nullptr, &second).status ==
        ANET_E_BUSY);
  CHECK(second == nullptr);

  anet_model* shared = nullptr;
  must(anet_session_get_model, session.get(), &shared);
  CHECK(shared == model.get());
  const Model reference(shared);
  model.reset();
  session.reset();
  const Session again = create_session(device.get(), reference.get());
  step(again.get(), Tokens(1));
}
