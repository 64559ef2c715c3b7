// Session options, their JSON, and memory plans.
#include "support.h"

using namespace test;

namespace {

Outcome from_json(const std::string& json, anet_session_options& options) {
  return attempt(anet_session_options_from_json, json.c_str(), &options);
}

Outcome create_outcome(const anet_session_options& options) {
  const Device device = open_device();
  const Model model = create_model();
  anet_session* session = nullptr;
  const Outcome outcome =
      attempt(anet_session_create, device.get(), model.get(), &options, &session);
  CHECK((session != nullptr) == (outcome.status == ANET_OK));
  anet_session_release(session);
  return outcome;
}

} // namespace

TEST_CASE("JSON sets the options that it names") {
  anet_session_options options = session_options();
  CHECK(from_json(R"({"precision": "f16", "optimizer": "sgd", "schedule": "cosine",
                      "learning_rate": 0.5, "total_steps": 100, "seed": 18446744073709551615,
                      "activation_checkpointing": true})",
                  options)
            .status == ANET_OK);
  CHECK(options.precision == ANET_PRECISION_F16);
  CHECK(options.optimizer == ANET_OPTIMIZER_SGD);
  CHECK(options.schedule == ANET_SCHEDULE_COSINE);
  CHECK(options.learning_rate == 0.5);
  CHECK(options.total_steps == 100);
  CHECK(options.seed == UINT64_MAX);
  CHECK(options.activation_checkpointing == 1);
  CHECK(options.batch_size == batch_size); // had no key
}

TEST_CASE("the default precision is the device's") {
  const Device device = open_device();
  const Model model = create_model();
  for (const anet_precision asked :
       {ANET_PRECISION_DEFAULT, ANET_PRECISION_F32, ANET_PRECISION_BF16}) {
    anet_session_options options = session_options();
    options.precision = asked;
    anet_session* handle = nullptr;
    must(anet_session_create, device.get(), model.get(), &options, &handle);
    const Session session(handle);
    must(anet_session_get_options, session.get(), &options);
    CHECK(options.precision ==
          (asked == ANET_PRECISION_BF16 ? ANET_PRECISION_BF16 : ANET_PRECISION_F32));
  }
}

TEST_CASE("bad option JSON") {
  anet_session_options options = session_options();
  Outcome outcome = from_json(R"({"lerning_rate": 0.1})", options);
  CHECK(outcome.status == ANET_E_INVALID_CONFIG);
  CHECK(outcome.says("'learning_rate'"));
  outcome = from_json(R"({"schedule": "sawtooth"})", options);
  CHECK(outcome.status == ANET_E_INVALID_CONFIG);
  CHECK(outcome.says("cosine"));
  outcome = from_json("{\n\n\"seed\": 1,}", options);
  CHECK(outcome.status == ANET_E_INVALID_CONFIG);
  CHECK(outcome.line == 3);
  CHECK(from_json(R"({"seed": -1})", options).status == ANET_E_INVALID_CONFIG);
  CHECK(from_json(R"({"seed": 1, "seed": 2})", options).status == ANET_E_INVALID_CONFIG);
  CHECK(options.seed == 0);
}

TEST_CASE("a session tells its options with the defaults filled in") {
  const Device device = open_device();
  const Model model = create_model();
  anet_session* handle = nullptr;
  must(anet_session_create, device.get(), model.get(), nullptr, &handle);
  const Session session(handle);
  auto options = initialised<anet_session_options>();
  must(anet_session_get_options, session.get(), &options);
  CHECK(options.batch_size == 1);
  CHECK(options.sequence_length == 32);
  CHECK(options.accumulation_steps == 1);
  CHECK(options.learning_rate == 3e-4);
  CHECK(options.beta1 == 0.9);
  CHECK(options.beta2 == 0.999);
  CHECK(options.epsilon == 1e-8);
  CHECK(options.optimizer_precision == ANET_PRECISION_F32);
}

TEST_CASE("options that cannot be honoured name their field") {
  anet_session_options options = session_options();
  options.precision = 5;
  Outcome outcome = create_outcome(options);
  CHECK(outcome.status == ANET_E_UNSUPPORTED_OPTION);
  CHECK(outcome.says("precision"));
  options = session_options();
  options.schedule = -1;
  CHECK(create_outcome(options).says("schedule"));
  options = session_options();
  options.momentum = 0.9; // AdamW has none
  outcome = create_outcome(options);
  CHECK(outcome.status == ANET_E_UNSUPPORTED_OPTION);
  CHECK(outcome.says("momentum"));
  options = session_options();
  options.schedule = ANET_SCHEDULE_LINEAR;
  outcome = create_outcome(options);
  CHECK(outcome.status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome.says("total_steps"));
  options = session_options();
  options.sequence_length = 33;
  outcome = create_outcome(options);
  CHECK(outcome.status == ANET_E_INVALID_ARGUMENT);
  CHECK(outcome.says("sequence_length"));
  options = session_options();
  options.batch_size = -1;
  CHECK(create_outcome(options).status == ANET_E_INVALID_ARGUMENT);
  options = session_options();
  options.activation_checkpointing = 3;
  CHECK(create_outcome(options).status == ANET_E_UNSUPPORTED_OPTION);
  options = session_options();
  options.optimizer_precision = ANET_PRECISION_F16;
  outcome = create_outcome(options);
  CHECK(outcome.status == ANET_E_UNSUPPORTED_OPTION);
  CHECK(outcome.says("optimizer_precision"));
  options.optimizer_precision = 7;
  CHECK(create_outcome(options).says("optimizer_precision"));
  options = session_options();
  options.reserved2 = 1;
  CHECK(create_outcome(options).status == ANET_E_UNSUPPORTED_OPTION);
  options = session_options();
  options.reserved = 1;
  CHECK(create_outcome(options).status == ANET_E_UNSUPPORTED_OPTION);
}

TEST_CASE("the memory plan is the session's and can be limited") {
  const Device device = open_device();
  const anet_model_config config = tiny_config();
  anet_session_options options = session_options();
  auto plan = initialised<anet_memory_plan>();
  must(anet_session_plan_memory, device.get(), &config, &options, &plan);
  const Model model = create_model();
  // Padding aside, one float a weight for itself and its gradient, two for AdamW.
  const uint64_t weights = 4 * anet_model_weight_count(model.get());
  CHECK(plan.weights >= weights);
  CHECK(plan.weights <= weights + 64 * anet_model_parameter_count(model.get()));
  CHECK(plan.gradients == plan.weights);
  CHECK(plan.optimizer == 2 * plan.weights);
  CHECK(plan.staged == 0);
  CHECK(plan.activations > 0);
  CHECK(plan.total == plan.weights + plan.gradients + plan.optimizer + plan.staged +
                          plan.activations + plan.workspace);
  {
    const Session session = create_session(device.get(), model.get(), options);
    auto actual = initialised<anet_memory_plan>();
    must(anet_session_get_memory_plan, session.get(), &actual);
    CHECK(std::memcmp(&plan, &actual, sizeof(plan)) == 0);
  }

  options.max_memory = plan.total;
  CHECK(create_outcome(options).status == ANET_OK);
  options.max_memory = plan.total - 1;
  const Outcome outcome = create_outcome(options);
  CHECK(outcome.status == ANET_E_MEMORY_LIMIT);
  CHECK(outcome.says(std::to_string(plan.total)));
  // Planning itself is not limited.
  must(anet_session_plan_memory, device.get(), &config, &options, &plan);

  options = session_options();
  options.optimizer_precision = ANET_PRECISION_BF16;
  auto narrow = initialised<anet_memory_plan>();
  must(anet_session_plan_memory, device.get(), &config, &options, &narrow);
  CHECK(narrow.optimizer * 2 == plan.optimizer);
  options = session_options();
  options.activation_checkpointing = 1;
  auto lean = initialised<anet_memory_plan>();
  must(anet_session_plan_memory, device.get(), &config, &options, &lean);
  CHECK(lean.activations < plan.activations);
}
