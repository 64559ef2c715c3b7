// Updates that go on beside the next step's forward pass, against updates within their steps.
#include "../unit/train/lora_support.h"
#include "train_support.h"

#include "base/random.h"
#include "generate/generator.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <thread>

using namespace anet;
using namespace anet::test;

namespace {

// Two sessions that differ in one thing: the second one's caller holds its weights, so that its
// updates are made within its steps.
struct Pair {
  std::unique_ptr<train::Session> beside;
  std::unique_ptr<train::Session> within;

  template <typename Make>
  explicit Pair(Make&& make) : beside(make()), within(make()) {
    within->share_weights();
  }

  // Of both; the same results.
  std::vector<train::StepResult> step(int steps, int first = 0) {
    auto seen = train_steps(*beside, steps, first);
    const auto expected = train_steps(*within, steps, first);
    for (size_t i = 0; i < seen.size(); ++i) {
      CHECK(seen[i].loss == expected[i].loss);
      REQUIRE(seen[i].skipped == expected[i].skipped);
      if (!seen[i].skipped) CHECK(seen[i].grad_norm == expected[i].grad_norm);
    }
    return seen;
  }
  void check_equal() { CHECK(copy(beside->weights()) == copy(within->weights())); }
};

} // namespace

TEST_CASE("an update beside the next step makes the bits of one within its step") {
  AneFixture f;
  train::SessionOptions options = half_options();
  model::Config config = small_config();
  SUBCASE("a shared embedding") {}
  SUBCASE("a head of its own") { config = odd_config(); }
  SUBCASE("an older chip, whose programs have no convolutions of weights") {
    f.emulator.set("profile", "m1");
    f.options.ane.cache_directory = f.temporary.path() + "/cache";
  }
  SUBCASE("an engine that takes its time") { f.emulator.set("latency_us", "300"); }
  SUBCASE("SGD") {
    options.optimizer = train::OptimizerKind::sgd;
    options.momentum = 0.9;
  }
  SUBCASE("some of the parameters") { options.trainable = {"model.layers.1.*"}; }
  SUBCASE("steps that are skipped") { options.initial_loss_scale = 1 << 22; }
  SUBCASE("everything on the host") {
    f.options.ane.placement.fill(backend::PlacementPolicy::host);
  }
  Pair pair([&] { return make_session(f.open(), options, config); });
  const TemporaryFolder folder("train-update");
  for (int step = 0; step < 12; ++step) {
    pair.step(1, step);
    if (step % 4 == 1) {
      const OwnedBatch unseen(9);
      CHECK(pair.beside->eval(unseen.view()).loss == pair.within->eval(unseen.view()).loss);
    }
    if (step % 4 == 2) {
      const OwnedBatch first(1), second(2);
      const train::Batch batches[] = {first.view(), second.view()};
      CHECK(pair.beside->step(batches).loss == pair.within->step(batches).loss);
    }
    if (step == 6) { // goes on as new sessions, which have read what was saved behind a step
      for (auto* session : {&pair.beside, &pair.within}) {
        const std::string path = folder.path(session == &pair.beside ? "beside" : "within");
        (*session)->save(path, 0, {});
        *session = train::resume((*session)->device(), path, nullptr);
      }
      pair.within->share_weights();
    }
  }
  pair.check_equal();
  CHECK(pair.beside->steps_done() == pair.within->steps_done());
}

TEST_CASE("adapters are updated beside the next step, and exchanged behind an update") {
  AneFixture f;
  model::LoraOptions lora;
  lora.rank = 4;
  SUBCASE("LoRA") {}
  SUBCASE("DoRA, whose norms are of all weights") { lora.dora = true; }
  const auto base = small_model();
  Pair pair([&] {
    return std::make_unique<train::Session>(f.open(), small_adapter(base, lora), half_options());
  });
  pair.step(3);
  for (train::Session* session : {pair.beside.get(), pair.within.get()}) {
    const auto first = session->adapter();
    session->swap_adapter(small_adapter(base, lora));
    train_steps(*session, 3, 3);
    session->swap_adapter(first);
  }
  pair.step(2, 6);
  pair.check_equal();
}

TEST_CASE("generators on both devices see the weights of the last step") {
  AneFixture f;
  const auto device = f.open();
  Pair pair([&] { return make_session(device, half_options()); });
  const auto open = [&](std::shared_ptr<backend::Device> on, train::Session& session,
                        mil::DataType dtype) {
    return generate::Generator(std::move(on), session.model(),
                               {.context_length = 0, .dtype = dtype});
  };
  // The CPU reads weights in fp32 where they are.
  generate::Generator seen[] = {open(device, *pair.beside, mil::DataType::fp16),
                                open(cpu_device(), *pair.beside, mil::DataType::fp32)};
  generate::Generator expected[] = {open(device, *pair.within, mil::DataType::fp16),
                                    open(cpu_device(), *pair.within, mil::DataType::fp32)};
  const auto prompt = patterned_tokens(5, 1);
  for (int step = 0; step < 6; ++step)
    for (size_t i = 0; i < 2; ++i) {
      pair.step(1, 2 * step + static_cast<int>(i));
      CHECK(copy(seen[i].logits(prompt)) == copy(expected[i].logits(prompt)));
    }
}

TEST_CASE("an evaluation that fails beside an update leaves what the update made") {
  AneFixture f;
  f.options.ane.audit_every = 1;
  f.options.ane.audit_action = backend::AuditAction::error;
  Pair pair([&] { return make_session(f.open(), half_options()); });
  pair.step(2);
  for (int round = 0; round < 4; ++round) {
    f.emulator.set("corrupt_evaluate", "1");
    CHECK_THROWS_AS(train_steps(*pair.beside, 1, 50 + round), Error);
    f.emulator.set("corrupt_evaluate", "0");
    pair.check_equal();
    pair.step(1, 2 + round);
  }
  pair.check_equal();
}

TEST_CASE("sessions on one device share its threads with each other's updates") {
  AneFixture f;
  const auto device = f.open();
  Pair pair([&] { return make_session(device, half_options()); });
  std::thread other([&] { train_steps(*pair.within, 20); });
  train_steps(*pair.beside, 20);
  other.join();
  pair.check_equal();
}
