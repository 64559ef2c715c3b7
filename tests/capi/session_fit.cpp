// anet_session_fit: events, stopping, failing, and what its callback may do.
#include "support.h"

#include <functional>

using namespace test;

namespace {

struct Training {
  Device device = open_device();
  Model model = create_model();
  Session session;
  Dataset train = create_dataset(token_stream(500));
  Dataset validation = create_dataset(token_stream(120, 8));
  explicit Training(const anet_session_options& options = session_options())
      : session(create_session(device.get(), model.get(), options)) {}
};

using Callback = std::function<int32_t(const anet_fit_event&)>;

int32_t forward(const anet_fit_event* event, void* user_data) {
  return (*static_cast<Callback*>(user_data))(*event);
}

anet_fit_options fit_options(int64_t steps, Callback* callback = nullptr) {
  auto options = initialised<anet_fit_options>();
  options.steps = steps;
  if (callback != nullptr) {
    options.callback = forward;
    options.user_data = callback;
  }
  return options;
}

Outcome fit(const Training& training, const anet_fit_options& options,
            anet_fit_result* result = nullptr) {
  return attempt(anet_session_fit, training.session.get(), training.train.get(),
                 training.validation.get(), &options, result);
}

int64_t steps_of(anet_session* session) {
  int64_t step = -1;
  must(anet_session_get_step, session, &step);
  return step;
}

} // namespace

TEST_CASE("fit equals steps over the same windows") {
  anet_session_options options = session_options();
  options.accumulation_steps = 2;
  Training fitted(options);
  Training stepped(options);
  auto result = initialised<anet_fit_result>();
  CHECK(fit(fitted, fit_options(5), &result).status == ANET_OK);
  CHECK(result.end == ANET_FIT_STEPS);
  CHECK(result.step.step == 5);
  CHECK(result.step.tokens == 2 * 32);
  CHECK(result.has_best == 0);
  uint64_t cursor = 0;
  must(anet_session_get_cursor, fitted.session.get(), &cursor);
  CHECK(cursor == 5 * 2 * batch_size);

  for (uint64_t i = 0; i < 5; ++i) {
    Tokens parts[] = {Tokens(0), Tokens(0)};
    for (uint64_t part = 0; part < 2; ++part)
      must(anet_dataset_read, stepped.train.get(), (2 * i + part) * batch_size, size_t{batch_size},
           parts[part].inputs.data(), parts[part].targets.data(), nullptr, nullptr);
    const anet_batch batches[] = {parts[0].batch(), parts[1].batch()};
    must(anet_session_step, stepped.session.get(), batches, size_t{2}, nullptr);
  }
  CHECK(same_bits(weights_of(fitted.session.get()), weights_of(stepped.session.get())));
}

TEST_CASE("fit goes on from the cursor") {
  Training once;
  Training twice;
  CHECK(fit(once, fit_options(6)).status == ANET_OK);
  CHECK(fit(twice, fit_options(2)).status == ANET_OK);
  CHECK(fit(twice, fit_options(4)).status == ANET_OK);
  CHECK(same_bits(weights_of(once.session.get()), weights_of(twice.session.get())));
  must(anet_session_set_cursor, twice.session.get(), uint64_t{100});
  uint64_t cursor = 0;
  must(anet_session_get_cursor, twice.session.get(), &cursor);
  CHECK(cursor == 100);
  CHECK(attempt(anet_session_set_cursor, twice.session.get(), UINT64_MAX).status ==
        ANET_E_OUT_OF_RANGE);
}

TEST_CASE("events come in order with their contents") {
  Training training;
  const Folder folder;
  const std::string root = folder.path("run");
  std::string kinds;
  Callback callback = [&](const anet_fit_event& event) {
    CHECK(event.struct_size == sizeof(event));
    CHECK(event.step.step == steps_of(training.session.get()));
    if (event.kind == ANET_EVENT_STEP) kinds += 's';
    if (event.kind == ANET_EVENT_EVAL) {
      kinds += 'e';
      CHECK(event.eval.tokens == 3 * sequence_length);
      CHECK(event.eval.loss > 0);
    }
    if (event.kind == ANET_EVENT_SAVE) {
      kinds += 'c';
      CHECK(std::filesystem::exists(std::string(event.checkpoint) + "/state.json"));
    } else {
      CHECK(event.checkpoint == nullptr);
    }
    return 0;
  };
  anet_fit_options options = fit_options(4, &callback);
  options.eval_every = 2;
  options.eval_windows = 3;
  options.save_every = 4;
  options.checkpoint_root = root.c_str();
  CHECK(fit(training, options).status == ANET_OK);
  CHECK(kinds == "ssesse"
                 "c");
}

TEST_CASE("a callback can stop or fail a fit; done steps stand") {
  Training training;
  Callback callback = [](const anet_fit_event& event) { return event.step.step == 3 ? 1 : 0; };
  auto result = initialised<anet_fit_result>();
  CHECK(fit(training, fit_options(10, &callback), &result).status == ANET_OK);
  CHECK(result.end == ANET_FIT_CALLBACK);
  CHECK(result.step.step == 3);
  callback = [](const anet_fit_event& event) { return event.step.step == 5 ? -7 : 0; };
  const Outcome outcome = fit(training, fit_options(10, &callback));
  CHECK(outcome.status == ANET_E_CALLBACK);
  CHECK(outcome.says("-7"));
  CHECK(steps_of(training.session.get()) == 5);
  Training control;
  CHECK(fit(control, fit_options(5)).status == ANET_OK);
  CHECK(same_bits(weights_of(training.session.get()), weights_of(control.session.get())));
}

TEST_CASE("bad fit options") {
  Training training;
  CHECK(fit(training, fit_options(0)).status == ANET_E_INVALID_ARGUMENT);
  CHECK(fit(training, fit_options(-1)).status == ANET_E_INVALID_ARGUMENT);
  anet_fit_options options = fit_options(1);
  options.save_every = 1;
  CHECK(fit(training, options).status == ANET_E_INVALID_ARGUMENT);
  options = fit_options(1);
  options.keep_last = -1;
  CHECK(fit(training, options).status == ANET_E_INVALID_ARGUMENT);
  options = fit_options(1);
  options.eval_every = 1;
  CHECK(attempt(anet_session_fit, training.session.get(), training.train.get(), nullptr, &options,
                nullptr)
            .status == ANET_E_INVALID_ARGUMENT);
  CHECK(attempt(anet_session_fit, training.session.get(), nullptr, nullptr, &options, nullptr)
            .status == ANET_E_INVALID_ARGUMENT);
  CHECK(steps_of(training.session.get()) == 0);

  anet_session_options other = session_options();
  other.sequence_length = 8;
  Training shorter(other);
  CHECK(fit(shorter, fit_options(1)).status == ANET_E_SHAPE_MISMATCH);
}

TEST_CASE("inside the callback a session may be used but not stepped") {
  Training training;
  Training control;
  const Folder folder;
  const Tokens tokens(1);
  const anet_batch batch = tokens.batch();
  anet_generator* generator_handle = nullptr;
  must(anet_generator_create, training.device.get(), training.model.get(), nullptr, nullptr,
       &generator_handle);
  const Generator generator(generator_handle);
  int calls = 0;
  Callback callback = [&](const anet_fit_event&) {
    anet_session* session = training.session.get();
    ++calls;
    CHECK(attempt(anet_session_step, session, &batch, size_t{1}, nullptr).status == ANET_E_BUSY);
    CHECK(attempt(anet_session_forward_backward, session, &batch, nullptr).status == ANET_E_BUSY);
    CHECK(attempt(anet_session_optimizer_step, session, nullptr).status == ANET_E_BUSY);
    CHECK(attempt(anet_session_zero_gradients, session).status == ANET_E_BUSY);
    const anet_fit_options nested = fit_options(1);
    CHECK(fit(training, nested).status == ANET_E_BUSY);

    CHECK(eval(session, tokens) > 0);
    auto result = initialised<anet_eval_result>();
    must(anet_session_evaluate, session, training.validation.get(), uint64_t{2}, &result);
    must(anet_session_set_property, session, "calls", std::to_string(calls).c_str());
    must(anet_session_save, session, folder.path().c_str(), nullptr);
    CHECK(steps_of(session) == calls);
    CHECK_FALSE(weights_of(session).empty());
    const int32_t prompt[] = {1, 2};
    int32_t ids[2] = {-1, -1};
    auto sampling = initialised<anet_sampling_options>();
    sampling.max_tokens = 2;
    must(anet_generator_generate, generator.get(), prompt, size_t{2}, &sampling, nullptr, nullptr,
         ids, size_t{2}, nullptr);
    CHECK(ids[1] >= 0);
    size_t index = 0;
    must(anet_model_find_parameter, training.model.get(), "model.norm.weight", &index);
    std::vector<float> values(32);
    must(anet_model_read_parameter, training.model.get(), index, values.data(), values.size());
    return 0;
  };
  CHECK(fit(training, fit_options(3, &callback)).status == ANET_OK);
  CHECK(calls == 3);
  // None of that disturbed the training.
  CHECK(fit(control, fit_options(3)).status == ANET_OK);
  CHECK(same_bits(weights_of(training.session.get()), weights_of(control.session.get())));
}

TEST_CASE("a cancel from the callback ends the fit") {
  Training training;
  Callback callback = [&](const anet_fit_event& event) {
    if (event.step.step == 2) anet_session_cancel(training.session.get());
    return 0;
  };
  CHECK(fit(training, fit_options(10, &callback)).status == ANET_E_CANCELLED);
  CHECK(steps_of(training.session.get()) == 2);
  // The next call begins afresh.
  CHECK(fit(training, fit_options(1)).status == ANET_OK);
}

TEST_CASE("everything may be released from the callback") {
  Training training;
  anet_session* session = training.session.get();
  anet_dataset* train = training.train.get();
  bool released = false;
  Callback callback = [&](const anet_fit_event&) {
    if (!released) {
      training.session.reset();
      training.train.reset();
      training.model.reset();
      training.device.reset();
      released = true;
    }
    return 0;
  };
  const anet_fit_options options = fit_options(3, &callback);
  CHECK(attempt(anet_session_fit, session, train, nullptr, &options, nullptr).status == ANET_OK);
  CHECK(released);
}

TEST_CASE("evaluation over a dataset counts partial batches") {
  Training training;
  const uint64_t windows = anet_dataset_window_count(training.validation.get());
  REQUIRE(windows % batch_size == 1);
  auto all = initialised<anet_eval_result>();
  must(anet_session_evaluate, training.session.get(), training.validation.get(), uint64_t{0}, &all);
  CHECK(all.tokens == windows * sequence_length);
  auto three = initialised<anet_eval_result>();
  must(anet_session_evaluate, training.session.get(), training.validation.get(), uint64_t{3},
       &three);
  CHECK(three.tokens == 3 * sequence_length);

  // By hand: two batches, the second with only its first sequence counted.
  Tokens first(0);
  Tokens second(0);
  must(anet_dataset_read, training.validation.get(), uint64_t{0}, size_t{2}, first.inputs.data(),
       first.targets.data(), nullptr, nullptr);
  must(anet_dataset_read, training.validation.get(), uint64_t{2}, size_t{2}, second.inputs.data(),
       second.targets.data(), nullptr, nullptr);
  for (size_t i = sequence_length; i < second.targets.size(); ++i) second.targets[i] = -1;
  const double expected =
      (2 * eval(training.session.get(), first) + eval(training.session.get(), second)) / 3;
  CHECK(three.loss == doctest::Approx(expected).epsilon(1e-9));
}
