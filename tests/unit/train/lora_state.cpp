// Adapters over time: dropout, swapping, checkpoints.
#include "../allocation.h"
#include "base/status.h"
#include "lora_support.h"
#include "train/dropout.h"

#include <doctest/doctest.h>

using namespace anet;
using namespace anet::test;

namespace {

std::unique_ptr<io::WindowDataset> dataset() {
  return std::make_unique<io::WindowDataset>(
      std::make_shared<io::TokenArray>(patterned_tokens(2000, 2), 64), io::TokenRange{0, 2000}, 16,
      io::DatasetOrder{.shuffle = true, .seed = 8});
}

train::FitOptions steps(int64_t count) {
  train::FitOptions options;
  options.steps = count;
  return options;
}

model::LoraOptions dropping() {
  model::LoraOptions options;
  options.rank = 4;
  options.dropout = 0.25;
  return options;
}

void train_steps(train::Session& session, int count, uint64_t first = 0) {
  for (int step = 0; step < count; ++step) {
    const OwnedBatch batch(first + static_cast<uint64_t>(step));
    const train::Batch view = batch.view();
    session.step({&view, 1});
  }
}

} // namespace

TEST_CASE("a mask of dropout keeps its share, whatever the threads, and differs by moment") {
  const auto mask = [](int threads, const train::DropoutMoment& moment, int32_t layer,
                       const std::string& port) {
    ThreadPool pool(threads);
    std::vector<float> values(40001);
    train::fill_dropout(pool, moment, 0.2, layer, port, 0, values);
    return values;
  };
  const auto first = mask(1, {7, 3, 0}, 2, "mlp_dropout");
  CHECK(first == mask(3, {7, 3, 0}, 2, "mlp_dropout"));
  size_t dropped = 0;
  for (const float value : first) {
    CHECK((value == 0.0f || value == 1.25f));
    dropped += value == 0.0f ? 1 : 0;
  }
  // Within five standard deviations of a binomial distribution.
  CHECK(std::abs(double(dropped) - 8000.2) < 5 * std::sqrt(40001 * 0.16));
  CHECK(first != mask(1, {8, 3, 0}, 2, "mlp_dropout"));
  CHECK(first != mask(1, {7, 4, 0}, 2, "mlp_dropout"));
  CHECK(first != mask(1, {7, 3, 1}, 2, "mlp_dropout"));
  CHECK(first != mask(1, {7, 3, 0}, 1, "mlp_dropout"));
  CHECK(first != mask(1, {7, 3, 0}, 2, "gated_dropout"));
}

TEST_CASE("dropout is for training alone") {
  model::LoraOptions plain = dropping();
  plain.dropout = 0;
  train::Session with(cpu(), small_adapter(small_model(), dropping()), small_options());
  train::Session without(cpu(), small_adapter(small_model(), plain), small_options());
  const OwnedBatch batch(1);
  CHECK(with.eval(batch.view()).loss == without.eval(batch.view()).loss);
  const double first = with.forward_backward(batch.view()).loss;
  CHECK(first != without.forward_backward(batch.view()).loss);
  // The second micro-batch has masks of its own.
  const train::StepResult both = with.forward_backward(batch.view());
  CHECK(both.loss != first);
  with.zero_gradients();
  CHECK(with.forward_backward(batch.view()).loss == first);
}

TEST_CASE("a resumed adapter goes on bit for bit") {
  TemporaryFolder folder("anet-lora-resume");
  const auto data = dataset();
  for (const auto precision : {train::PrecisionMode::f32, train::PrecisionMode::f16}) {
    for (const bool dora : {false, true}) {
      CAPTURE(dora);
      model::LoraOptions lora = dropping();
      lora.dora = dora;
      lora.targets = {"q_proj", "mlp.*"};
      lora.overrides = {{"layers.0.*", 2, 3}};
      train::SessionOptions options = small_options();
      options.precision = precision;
      options.accumulation_steps = 2;
      train::Session straight(cpu(), small_adapter(small_model(), lora), options);
      straight.fit(*data, nullptr, steps(8));

      train::Session first(cpu(), small_adapter(small_model(), lora), options);
      first.set_property("who", "me");
      first.fit(*data, nullptr, steps(3));
      const std::string root = folder.path(std::to_string(int(precision)) + (dora ? "d" : "l"));
      first.save(root, 0, {});
      const auto second = train::resume_adapter(cpu(), small_model(), root, nullptr);
      CHECK(second->steps_done() == 3);
      CHECK(second->options() == first.options());
      CHECK(*second->property("who") == "me");
      CHECK(second->adapter()->options().dropout == 0.25);
      second->fit(*data, nullptr, steps(5));
      CHECK(copy(second->weights()) == copy(straight.weights()));
    }
  }
}

TEST_CASE("some parameters go on bit for bit, and the checkpoint holds the whole model") {
  TemporaryFolder folder("anet-partial-resume");
  const auto data = dataset();
  train::SessionOptions options = small_options();
  options.trainable = {"layers.1.mlp.*"};
  const auto straight = small_session(options);
  straight->fit(*data, nullptr, steps(6));
  const auto first = small_session(options);
  first->fit(*data, nullptr, steps(2));
  first->save(folder.path("run"), 0, {});
  const auto second = train::resume(cpu(), folder.path("run"), nullptr);
  CHECK(second->options().trainable == options.trainable);
  second->fit(*data, nullptr, steps(4));
  CHECK(copy(second->weights()) == copy(straight->weights()));
}

TEST_CASE("another base is refused by what differs") {
  TemporaryFolder folder("anet-lora-base");
  const std::string root = folder.path("run");
  train::Session session(cpu(), small_adapter(small_model()), small_options());
  session.save(root, 0, {});
  const auto refusal = [&](std::shared_ptr<const model::Model> base) {
    return error_of([&] { train::resume_adapter(cpu(), std::move(base), root, nullptr); },
                    Status::invalid_argument);
  };
  model::Config config = small_config();
  config.rope_theta = 5e5;
  CHECK(refusal(std::make_shared<model::Model>(config)).find("rope_theta") != std::string::npos);
  const auto other = small_model();
  other->values(other->parameters().layer(1)[3])[5] += 1;
  CHECK(refusal(other).find("'model.layers.1.self_attn.v_proj.weight'") != std::string::npos);
  CHECK(refusal(compressed_copy(*small_model())).find("embed_tokens") != std::string::npos);
  CHECK(error_of([&] { train::resume(cpu(), root, nullptr); }, Status::invalid_argument)
            .find("adapter") != std::string::npos);
  small_session(small_options())->save(folder.path("model"), 0, {});
  error_of([&] { train::resume_adapter(cpu(), small_model(), folder.path("model"), nullptr); },
           Status::invalid_argument);
}

TEST_CASE("a checkpoint whose adapter makes no sense is refused") {
  TemporaryFolder folder("anet-lora-damage");
  train::Session session(cpu(), small_adapter(small_model()), small_options());
  const io::CheckpointReader reader(session.save(folder.path("run"), 0, {}).path);
  std::vector<io::TensorView> weights, states;
  for (const model::Parameter& parameter : session.adapter()->parameters())
    weights.push_back(reader.weights().tensor(parameter.name));
  for (const auto& [parameter, offset] : session.trained().all())
    for (const char* state : {".exp_avg", ".exp_avg_sq"})
      states.push_back(reader.optimizer().tensor(parameter->name + state));
  const std::string damaged = folder.path("damaged");
  const auto refusal = [&](const char* key, Json value, size_t tensors) {
    Json sections = reader.sections();
    Json adapter = *sections.find("adapter");
    adapter.set(key, std::move(value));
    sections.set("adapter", std::move(adapter));
    io::save_checkpoint(damaged, {.step = 0,
                                  .library_version = "0",
                                  .weights = std::span(weights).first(tensors),
                                  .optimizer = states,
                                  .sections = std::move(sections)});
    return error_of([&] { train::resume_adapter(cpu(), small_model(), damaged, nullptr); },
                    Status::invalid_checkpoint);
  };
  CHECK(refusal("rank", Json(8), weights.size() - 1).find("lora_B") != std::string::npos);
  CHECK(refusal("dropout", Json(1.5), weights.size()).find("dropout") != std::string::npos);
  CHECK(refusal("dora", Json(true), weights.size()).find("magnitude") != std::string::npos);
  Json module = Json::object();
  module.set("module", Json("model.layers.9.self_attn.q_proj"));
  module.set("rank", Json(8));
  module.set("alpha", Json(16));
  Json modules = Json::array();
  modules.push_back(module);
  CHECK(refusal("modules", modules, weights.size()).find("layers.9") != std::string::npos);
  refusal("modules", Json("all"), weights.size());
}

TEST_CASE("swapping adapters equals training each alone") {
  const auto model = small_model();
  const auto one = small_adapter(model, {}, 1), two = small_adapter(model, {}, 2);
  train::Session session(cpu(), one, small_options());
  const size_t kernels = session.kernel_count();
  const OwnedBatch unseen(99);
  train_steps(session, 3, 10);
  session.swap_adapter(two);
  CHECK(session.adapter() == two);
  train_steps(session, 2, 20);
  const double loss_of_two = session.eval(unseen.view()).loss;
  session.swap_adapter(one);
  train_steps(session, 3, 13);
  CHECK(session.eval(unseen.view()).loss != loss_of_two);
  session.swap_adapter(two);
  CHECK(session.eval(unseen.view()).loss == loss_of_two);
  CHECK(session.kernel_count() == kernels);

  train::Session first(cpu(), small_adapter(small_model(), {}, 1), small_options());
  train_steps(first, 6, 10);
  CHECK(copy(one->weights()) == copy(first.weights()));
  train::Session second(cpu(), small_adapter(small_model(), {}, 2), small_options());
  train_steps(second, 2, 20);
  CHECK(copy(two->weights()) == copy(second.weights()));
}

namespace {

// Swaps `adapter` in again and again: each time another allocation fails, once with all that come
// after it, until there are no more. Returns how many failed.
template <typename Check>
int64_t swap_without_memory(train::Session& session, const std::shared_ptr<model::Adapter>& adapter,
                            Check&& check) {
  for (int64_t before = 0;; ++before)
    for (const bool stays : {true, false}) {
      CAPTURE(before);
      CAPTURE(stays);
      bool refused = false;
      {
        const FailingAllocation failing(before, stays);
        try {
          session.swap_adapter(adapter);
        } catch (const std::bad_alloc&) {
          refused = true;
        } catch (const Error& error) {
          refused = error.status() == Status::out_of_memory;
        }
        REQUIRE(refused == failing.failed());
      }
      if (!refused) return before;
      check();
    }
}

} // namespace

TEST_CASE("a swap that memory does not suffice for has not begun") {
  train::SessionOptions options = small_options();
  SUBCASE("weights in place") {}
  SUBCASE("copies of weights") { options.precision = train::PrecisionMode::bf16; }
  SUBCASE("state of one array") {
    options.optimizer = train::OptimizerKind::sgd;
    options.momentum = 0.9;
  }
  model::LoraOptions lora;
  SUBCASE("norms of weights") { lora.dora = true; }
  const auto model = small_model(), same_model = small_model();
  const auto one = small_adapter(model, lora, 1), two = small_adapter(model, lora, 2);
  train::Session session(cpu(), one, options);
  const auto other_one = small_adapter(same_model, lora, 1),
             other_two = small_adapter(same_model, lora, 2);
  train::Session control(cpu(), other_one, options);
  const OwnedBatch unseen(99);

  const auto swap = [&](const std::shared_ptr<model::Adapter>& next,
                        const std::shared_ptr<model::Adapter>& control_next) {
    const auto before = session.adapter();
    const auto users = next.use_count();
    const double loss = control.eval(unseen.view()).loss;
    const int64_t failures = swap_without_memory(session, next, [&] {
      CHECK(session.adapter() == before);
      CHECK(session.eval(unseen.view()).loss == loss);
      CHECK(next.use_count() == users);
      const train::TrainingClaim nobody_trains(next);
    });
    CHECK(failures > 1);
    CHECK(session.adapter() == next);
    control.swap_adapter(control_next);
  };
  const auto train = [&](int64_t count, uint64_t seed) {
    train_steps(session, count, seed);
    train_steps(control, count, seed);
    CHECK(copy(session.weights()) == copy(control.weights()));
  };
  swap(two, other_two); // before anything is trained
  train(2, 20);
  swap(one, other_one); // new to training
  train(2, 10);
  swap(two, other_two); // known
  train(2, 22);
  CHECK(copy(one->weights()) == copy(other_one->weights()));
  CHECK(copy(two->weights()) == copy(other_two->weights()));
}

TEST_CASE("adapters of other shapes, models or sessions cannot be swapped in") {
  const auto model = small_model();
  const auto one = small_adapter(model);
  train::Session session(cpu(), one, small_options());
  model::LoraOptions wider;
  wider.rank = 16;
  const auto refused = [&](std::shared_ptr<model::Adapter> adapter, Status status) {
    return error_of([&] { session.swap_adapter(std::move(adapter)); }, status);
  };
  CHECK(refused(small_adapter(model, wider), Status::shape_mismatch)
            .find("layers.0.self_attn.q_proj") != std::string::npos);
  refused(small_adapter(small_model()), Status::invalid_argument);
  refused(small_adapter(model, dropping()), Status::invalid_argument);
  refused(nullptr, Status::invalid_argument);
  train::Session other(cpu(), small_adapter(model), small_options());
  refused(other.adapter(), Status::busy);
  const OwnedBatch batch(1);
  session.forward_backward(batch.view());
  refused(small_adapter(model), Status::invalid_state);
  session.zero_gradients();
  CHECK(session.adapter() == one);
  session.swap_adapter(one); // itself: nothing happens
  train_steps(session, 1);
}
