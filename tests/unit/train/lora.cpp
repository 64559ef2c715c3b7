// Adapters and partial fine-tuning: what is trained, what stays as it is.
#include "base/status.h"
#include "lora_support.h"

#include <doctest/doctest.h>

#include <fstream>

using namespace anet;
using namespace anet::test;

namespace {

train::SessionOptions exact_options() {
  train::SessionOptions options = small_options();
  options.clip_norm = 0;
  options.weight_decay = 0;
  return options;
}

double loss_at(train::Session& session, const OwnedBatch& batch) {
  session.weights_changed();
  const double loss = session.forward_backward(batch.view()).loss;
  session.zero_gradients();
  return loss;
}

// Each tensor's gradient along a random direction against a central difference.
void check_differences(train::Session& session, double tolerance) {
  const OwnedBatch batch(1);
  const auto tokens = static_cast<double>(session.forward_backward(batch.view()).tokens);
  const std::vector<float> gradients = copy(session.gradients());
  session.zero_gradients();
  uint64_t seed = 0;
  for (const auto& [parameter, offset] : session.trained().all()) {
    CAPTURE(parameter->name);
    const auto size = static_cast<size_t>(parameter->elements);
    const auto weights = session.weights().subspan(static_cast<size_t>(parameter->offset), size);
    const std::vector<float> before = copy(weights);
    std::vector<float> direction(size);
    Random(++seed).fill_normal(direction, 0.0f, 1.0f);
    // With the gradient, so that there is a difference to see.
    double slope = 0;
    for (size_t i = 0; i < size; ++i) {
      const float gradient = gradients[static_cast<size_t>(offset) + i];
      direction[i] = std::copysign(direction[i], gradient);
      slope += double{gradient} * direction[i] / tokens;
    }
    const double step = 1e-3 / std::max(slope, 1.0);
    double losses[2];
    for (const int side : {0, 1}) {
      for (size_t i = 0; i < size; ++i)
        weights[i] = before[i] + static_cast<float>(side == 0 ? -step : step) * direction[i];
      losses[side] = loss_at(session, batch);
    }
    std::copy(before.begin(), before.end(), weights.begin());
    CHECK((losses[1] - losses[0]) / (2 * step) == doctest::Approx(slope).epsilon(tolerance));
  }
  session.weights_changed();
}

model::LoraOptions everywhere() {
  model::LoraOptions options;
  options.rank = 3;
  options.targets = {"self_attn.*", "mlp.*", "embed_tokens"};
  return options;
}

} // namespace

TEST_CASE("gradients of an adapter are the slopes of the loss") {
  model::LoraOptions options = everywhere();
  SUBCASE("LoRA") {}
  SUBCASE("rsLoRA") { options.rslora = true; }
  SUBCASE("dropout, whose masks the step decides") { options.dropout = 0.3; }
  SUBCASE("ranks by module") { options.overrides = {{"o_proj", 7, 3}, {"layers.1.*", 1, 0}}; }
  train::Session session(cpu(), small_adapter(small_model(), options), exact_options());
  check_differences(session, 0.02);
}

TEST_CASE("gradients of some parameters are the slopes of the loss") {
  train::SessionOptions options = exact_options();
  options.trainable = {"layers.1.self_attn.*", "norm"};
  train::Session session(cpu(), small_model(), options);
  CHECK(session.trained().all().size() == 5);
  check_differences(session, 0.02);
}

TEST_CASE("what is not trained is staged once") {
  train::SessionOptions options = small_options();
  options.trainable = {"*norm"};
  options.precision = train::PrecisionMode::bf16;
  train::Session session(cpu(), small_model(), options);
  const OwnedBatch batch(1);
  const train::Batch view = batch.view();
  const size_t trained = session.trained().flat_size() * sizeof(float);
  CHECK(session.step({&view, 1}).bytes_staged > 4 * trained);
  CHECK(session.step({&view, 1}).bytes_staged <= trained);
  session.weights_changed();
  CHECK(session.step({&view, 1}).bytes_staged > 4 * trained);
}

TEST_CASE("training an adapter leaves the model alone, and nobody may write to it meanwhile") {
  const auto model = small_model();
  const std::vector<float> before = copy(model->weights());
  {
    train::Session session(cpu(), small_adapter(model), small_options());
    CHECK(session.model() == model);
    CHECK(session.adapter() != nullptr);
    const OwnedBatch batch(1);
    const train::Batch view = batch.view();
    const double first = session.step({&view, 1}).loss;
    for (int i = 0; i < 30; ++i) session.step({&view, 1});
    CHECK(session.eval(view).loss < 0.9 * first);
    CHECK(copy(model->weights()) == before);
    error_of([&] { model->check_writable(); }, Status::busy);
    error_of([&] { train::Session other(cpu(), model, small_options()); }, Status::busy);
    error_of([&] { train::Session other(cpu(), session.adapter(), small_options()); },
             Status::busy);
  }
  model->check_writable();
  const train::Session full(cpu(), model, small_options());
  error_of([&] { train::Session other(cpu(), small_adapter(model), small_options()); },
           Status::busy);
}

TEST_CASE("several adapters are trained on one model at once") {
  const auto model = small_model();
  const auto run = [&](train::Session& session, int first) {
    const OwnedBatch batch(static_cast<uint64_t>(first));
    const train::Batch view = batch.view();
    session.step({&view, 1});
  };
  train::Session one(cpu(), small_adapter(model, {}, 1), small_options());
  train::Session two(cpu(), small_adapter(model, {}, 2), small_options());
  train::Session alone(cpu(), small_adapter(small_model(), {}, 1), small_options());
  for (int step = 0; step < 4; ++step) {
    run(one, step);
    run(two, step + 50);
    run(alone, step);
  }
  CHECK(copy(one.weights()) == copy(alone.weights()));
  CHECK(copy(one.weights()) != copy(two.weights()));
}

TEST_CASE("a compressed base trains as the values that its codes stand for") {
  const auto compressed = compressed_copy(*small_model());
  const auto expanded = expanded_copy(*compressed);
  model::LoraOptions options;
  train::SessionOptions session = small_options();
  double tolerance = 1e-5;
  SUBCASE("LoRA") {}
  SUBCASE("DoRA") { options.dora = true; }
  SUBCASE("the embedding too") { options = everywhere(); }
  SUBCASE("in fp16") {
    session.precision = train::PrecisionMode::f16;
    tolerance = 1e-3;
  }
  train::Session quantized(cpu(), small_adapter(compressed, options), session);
  train::Session plain(cpu(), small_adapter(expanded, options), session);
  for (int step = 0; step < 10; ++step) {
    const OwnedBatch batch(static_cast<uint64_t>(step));
    const train::Batch view = batch.view();
    CHECK(quantized.step({&view, 1}).loss ==
          doctest::Approx(plain.step({&view, 1}).loss).epsilon(tolerance));
    CHECK(quantized.eval(view).loss == doctest::Approx(plain.eval(view).loss).epsilon(tolerance));
  }
  // Weights as they are held: codes and scales.
  CHECK(quantized.memory_plan().weights < plain.memory_plan().weights / 2);
}

TEST_CASE("some parameters are trained as in training all, the others stay as they are") {
  train::SessionOptions options = exact_options();
  options.trainable = {"layers.1.*", "embed_tokens"};
  train::Session some(cpu(), small_model(), options);
  train::Session all(cpu(), small_model(), exact_options());
  const OwnedBatch batch(1);
  some.forward_backward(batch.view());
  all.forward_backward(batch.view());
  for (const auto& [parameter, offset] : some.trained().all()) {
    CAPTURE(parameter->name);
    for (int64_t i = 0; i < parameter->elements; ++i)
      CHECK(some.gradients()[static_cast<size_t>(offset + i)] ==
            doctest::Approx(all.gradients()[static_cast<size_t>(parameter->offset + i)]));
  }
  const std::vector<float> before = copy(some.weights());
  some.optimizer_step();
  for (const model::Parameter& parameter : some.model()->parameters().all()) {
    CAPTURE(parameter.name);
    const auto at = static_cast<size_t>(parameter.offset);
    const bool trained = some.trained().find(parameter) != nullptr;
    CHECK((some.weights()[at] != before[at]) == trained);
  }
  CHECK(some.memory_plan().gradients < all.memory_plan().gradients);
  CHECK(some.memory_plan().optimizer == 2 * some.memory_plan().gradients);
}

TEST_CASE("backward ends at the lowest layer with anything to train") {
  const auto backward = [](const std::vector<std::string>& trainable) {
    train::SessionOptions options = small_options();
    options.trainable = trainable;
    train::Session session(cpu(), small_model(), options);
    const OwnedBatch batch(1);
    const train::Batch view = batch.view();
    session.step({&view, 1});
    uint64_t runs = 0;
    for (size_t i = 0; i < session.kernel_count(); ++i) {
      const train::KernelReport report = session.kernel_report(i);
      if (std::string(report.label).find("backward") != std::string::npos)
        runs += report.totals.runs;
    }
    return std::pair(runs, session.memory_plan().activations);
  };
  const auto all = backward({}), first = backward({"layers.0.*"}), last = backward({"layers.1.*"}),
             head = backward({"model.norm"});
  CHECK(all.first == 3); // two layers and the embedding
  CHECK(first.first == 2);
  CHECK(last.first == 1);
  CHECK(head.first == 0);
  CHECK(head.second < last.second);
  CHECK(last.second < first.second);
}

TEST_CASE("what cannot be trained is refused by name") {
  train::SessionOptions options = small_options();
  options.trainable = {"layers.1.*", "layers.7.*"};
  CHECK(error_of([&] { train::Session session(cpu(), small_model(), options); },
                 Status::invalid_argument)
            .find("layers.7.*") != std::string::npos);
  CHECK(error_of([&] { train::Session session(cpu(), small_adapter(small_model()), options); },
                 Status::unsupported_option)
            .find("adapter") != std::string::npos);
  options.trainable = {"layers.1.mlp.*"};
  const auto compressed = compressed_copy(*small_model());
  CHECK(error_of([&] { train::Session session(cpu(), compressed, options); }, Status::unsupported)
            .find("layers.1.mlp.gate_proj") != std::string::npos);
}

TEST_CASE("a compressed model is evaluated, and its vectors are trained when they are named") {
  const auto compressed = compressed_copy(*small_model());
  const OwnedBatch batch(1);
  {
    train::Session session(cpu(), compressed, small_options());
    train::Session plain(cpu(), expanded_copy(*compressed), small_options());
    CHECK(session.eval(batch.view()).loss ==
          doctest::Approx(plain.eval(batch.view()).loss).epsilon(1e-5));
    error_of([&] { session.forward_backward(batch.view()); }, Status::unsupported);
    error_of([&] { session.save("/nonexistent", 0, {}); }, Status::unsupported);
  }
  train::SessionOptions options = small_options();
  options.trainable = {"*norm"};
  train::Session session(cpu(), compressed, options);
  const train::Batch view = batch.view();
  const double first = session.step({&view, 1}).loss;
  for (int i = 0; i < 20; ++i) session.step({&view, 1});
  CHECK(session.eval(view).loss < first);
}

TEST_CASE("the plan of an adapter counts the adapter alone") {
  const auto model = small_model();
  const auto adapter = small_adapter(model);
  const auto device = cpu();
  train::SessionOptions options = small_options();
  const auto plan = train::Session::plan_memory(*device, *model, adapter.get(), options);
  CHECK(plan.weights == model->weight_bytes() + adapter->weights().size_bytes());
  CHECK(plan.gradients == adapter->weights().size_bytes());
  CHECK(plan.optimizer == 2 * adapter->weights().size_bytes());
  CHECK(plan.staged == 0);
  CHECK(train::Session(device, adapter, options).memory_plan().total() == plan.total());
  options.max_memory = plan.total() - 1;
  error_of([&] { train::Session session(device, adapter, options); }, Status::memory_limit);
  model->check_writable(); // the refusal let go of it
}

TEST_CASE("a session that only evaluates allocates no gradients") {
  const auto resident = [] {
    std::ifstream file("/proc/self/statm");
    uint64_t pages = 0;
    file >> pages >> pages;
    return pages * 4096;
  };
  model::Config config = small_config();
  config.vocab_size = 20000;
  config.hidden_size = 256;
  config.head_dim = 64;
  config.context_length = 16;
  auto model = std::make_shared<model::Model>(config);
  model::initialize(model->parameters(), model->config(), 1, model->weights());
  const uint64_t before = resident();
  train::Session session(cpu(), model, small_options());
  const OwnedBatch batch(1);
  session.eval(batch.view());
  const uint64_t evaluated = resident() - before;
  session.forward_backward(batch.view());
  const uint64_t trained = resident() - before;
  CHECK(evaluated < model->weight_bytes());
  CHECK(trained >= evaluated + 3 * model->weight_bytes());
}
