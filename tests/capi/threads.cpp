// Overlapping calls, cancellation, and two threads that have nothing to do with each other.
#include "support.h"

#include <atomic>
#include <functional>
#include <thread>

using namespace test;

namespace {

struct Training {
  Device device = open_device();
  Model model = create_model();
  Session session = create_session(device.get(), model.get());
};

using Callback = std::function<int32_t(const anet_fit_event&)>;

int32_t forward(const anet_fit_event* event, void* user_data) {
  return (*static_cast<Callback*>(user_data))(*event);
}

// Doctest's assertions are safe on any thread, so other threads may check on their own.
void on_another_thread(const std::function<void()>& body) { std::thread(body).join(); }

} // namespace

TEST_CASE("during a fit other threads may only cancel") {
  Training training;
  const Dataset dataset = create_dataset(token_stream(200));
  const Tokens tokens(1);
  const anet_batch batch = tokens.batch();
  const Folder folder;
  Callback callback = [&](const anet_fit_event&) {
    on_another_thread([&] {
      anet_session* session = training.session.get();
      int64_t step = 0;
      float* values = nullptr;
      size_t count = 0;
      auto result = initialised<anet_eval_result>();
      anet_model* model = nullptr;
      CHECK(attempt(anet_session_get_step, session, &step).status == ANET_E_BUSY);
      CHECK(attempt(anet_session_get_weights, session, &values, &count).status == ANET_E_BUSY);
      CHECK(attempt(anet_session_eval, session, &batch, &result).status == ANET_E_BUSY);
      CHECK(attempt(anet_session_step, session, &batch, size_t{1}, nullptr).status == ANET_E_BUSY);
      CHECK(attempt(anet_session_save, session, folder.path().c_str(), nullptr).status ==
            ANET_E_BUSY);
      CHECK(attempt(anet_session_get_model, session, &model).status == ANET_E_BUSY);
      float weights[32];
      size_t index = 0;
      must(anet_model_find_parameter, training.model.get(), "model.norm.weight", &index);
      CHECK(attempt(anet_model_read_parameter, training.model.get(), index, weights, size_t{32})
                .status == ANET_E_BUSY);
      anet_session_cancel(session);
    });
    return 0;
  };
  auto options = initialised<anet_fit_options>();
  options.steps = 5;
  options.callback = forward;
  options.user_data = &callback;
  CHECK(attempt(anet_session_fit, training.session.get(), dataset.get(), nullptr, &options, nullptr)
            .status == ANET_E_CANCELLED);
  int64_t step = 0;
  must(anet_session_get_step, training.session.get(), &step);
  CHECK(step == 1);
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("of two overlapping calls one is refused, and a cancelled step undoes itself") {
  Training training;
  Training control;
  for (uint64_t seed = 1; seed < 4; ++seed) {
    step(training.session.get(), Tokens(seed));
    step(control.session.get(), Tokens(seed));
  }
  // Far more micro-batches than anybody waits for.
  const Tokens tokens(4);
  const std::vector<anet_batch> batches(1 << 16, tokens.batch());
  std::atomic<bool> finished{false};
  Outcome outcome;
  std::thread stepping([&] {
    // The other thread's question may be in the way at first.
    do
      outcome = attempt(anet_session_step, training.session.get(), batches.data(), batches.size(),
                        nullptr);
    while (outcome.status == ANET_E_BUSY);
    finished = true;
  });
  bool busy = false;
  while (!busy && !finished) {
    int64_t ignored = 0;
    busy = attempt(anet_session_get_step, training.session.get(), &ignored).status == ANET_E_BUSY;
  }
  CHECK(busy);
  // Whoever cancels cannot know how far the call has come: it may just be reading its arguments.
  while (!finished) {
    anet_session_cancel(training.session.get());
    std::this_thread::yield();
  }
  stepping.join();
  CHECK(outcome.status == ANET_E_CANCELLED);

  CHECK(same_bits(weights_of(training.session.get()), weights_of(control.session.get())));
  const Folder folders[2];
  std::string optimizers[2];
  const Training* trainings[] = {&training, &control};
  for (size_t i = 0; i < 2; ++i) {
    must(anet_session_save, trainings[i]->session.get(), folders[i].path().c_str(), nullptr);
    optimizers[i] = read_file(folders[i].path("step-00000003/optimizer.safetensors"));
    CHECK_FALSE(optimizers[i].empty());
  }
  CHECK(optimizers[0] == optimizers[1]);
  step(training.session.get(), tokens);
  step(control.session.get(), tokens);
  CHECK(same_bits(weights_of(training.session.get()), weights_of(control.session.get())));
}

TEST_CASE("a cancel without a running call does nothing") {
  Training training;
  anet_session_cancel(training.session.get());
  step(training.session.get(), Tokens(1));
}

TEST_CASE("sessions of two models train on one device at the same time") {
  const Device device = open_device(2);
  const Model models[] = {create_model(), create_model()};
  Session sessions[] = {create_session(device.get(), models[0].get()),
                        create_session(device.get(), models[1].get())};
  const auto train = [&](size_t which) {
    for (uint64_t seed = 1; seed < 8; ++seed) step(sessions[which].get(), Tokens(seed));
  };
  std::thread other([&] { train(1); });
  train(0);
  other.join();
  CHECK(same_bits(weights_of(sessions[0].get()), weights_of(sessions[1].get())));
}

TEST_CASE("retain and release work on every thread") {
  Training training;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([session = training.session.get()] {
      for (int k = 0; k < 1000; ++k) {
        anet_session_retain(session);
        anet_session_release(session);
      }
    });
  for (std::thread& thread : threads) thread.join();
  step(training.session.get(), Tokens(1));
}

TEST_CASE("a mapped buffer does not belong to one thread") {
  const Device device = open_device();
  auto desc = initialised<anet_tensor_desc>();
  desc.dtype = ANET_DTYPE_INT32;
  desc.rank = 1;
  desc.shape[0] = 4;
  anet_buffer* handle = nullptr;
  must(anet_buffer_create, device.get(), &desc, &handle);
  const Buffer buffer(handle);
  auto view = initialised<anet_buffer_view>();
  must(anet_buffer_map, buffer.get(), anet_map_access{ANET_MAP_WRITE}, &view);
  on_another_thread([&] { must(anet_buffer_unmap, buffer.get()); });
  CHECK(attempt(anet_buffer_unmap, buffer.get()).status == ANET_E_INVALID_STATE);
}

namespace {

struct Meanwhile {
  std::function<void()> body;
  bool done = false;
};

int32_t once(int32_t, const char*, size_t, void* user_data) {
  auto* meanwhile = static_cast<Meanwhile*>(user_data);
  if (!meanwhile->done) meanwhile->body();
  meanwhile->done = true;
  return 0;
}

Generator create_generator(const Training& training) {
  anet_generator* handle = nullptr;
  must(anet_generator_create, training.device.get(), training.model.get(), nullptr, nullptr,
       &handle);
  return Generator(handle);
}

Outcome generate(anet_generator* generator, anet_token_callback callback, void* user_data) {
  const int32_t prompt[] = {1, 2, 3};
  auto sampling = initialised<anet_sampling_options>();
  sampling.max_tokens = 4;
  return attempt(anet_generator_generate, generator, prompt, size_t{3}, &sampling, callback,
                 user_data, nullptr, size_t{0}, nullptr);
}

} // namespace

TEST_CASE("while a model generates it may be read but not changed") {
  Training training;
  const Generator generator = create_generator(training);
  const Generator second = create_generator(training);
  const Tokens tokens(1);
  const anet_batch batch = tokens.batch();
  Meanwhile meanwhile;
  meanwhile.body = [&] {
    CHECK(generate(generator.get(), nullptr, nullptr).status == ANET_E_BUSY);
    on_another_thread([&] {
      CHECK(generate(generator.get(), nullptr, nullptr).status == ANET_E_BUSY);
      CHECK(generate(second.get(), nullptr, nullptr).status == ANET_OK);
      CHECK(eval(training.session.get(), tokens) > 0);
      CHECK(attempt(anet_session_step, training.session.get(), &batch, size_t{1}, nullptr).status ==
            ANET_E_BUSY);
      std::vector<float> ones(32, 1.0f);
      size_t index = 0;
      must(anet_model_find_parameter, training.model.get(), "model.norm.weight", &index);
      CHECK(
          attempt(anet_model_write_parameter, training.model.get(), index, ones.data(), ones.size())
              .status == ANET_E_BUSY);
    });
  };
  CHECK(generate(generator.get(), once, &meanwhile).status == ANET_OK);
  CHECK(meanwhile.done);
  step(training.session.get(), tokens);
}

TEST_CASE("a generation can be cancelled from anywhere") {
  Training training;
  const Generator generator = create_generator(training);
  Meanwhile meanwhile;
  meanwhile.body = [&] { on_another_thread([&] { anet_generator_cancel(generator.get()); }); };
  CHECK(generate(generator.get(), once, &meanwhile).status == ANET_E_CANCELLED);
  CHECK(generate(generator.get(), nullptr, nullptr).status == ANET_OK);
}
