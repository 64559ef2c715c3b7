#include "train/seen_rows.h"

#include "support.h"
#include "train/optimizer.h"

#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

using namespace anet;
using namespace anet::test;

namespace {

// Rows that are no multiple of a vector.
model::Config untied_config() {
  model::Config config = small_config();
  config.vocab_size = 1000;
  config.hidden_size = 36;
  config.tie_embeddings = false;
  return model::resolve(config);
}

std::unique_ptr<train::Session> untied_session(const train::SessionOptions& options) {
  auto model = std::make_shared<model::Model>(untied_config());
  model::initialize(model->parameters(), model->config(), 1, model->weights());
  return std::make_unique<train::Session>(backend::open_device("cpu", {.threads = 2}), model,
                                          options);
}

// A few of the table's rows; some of them come again.
train::StepResult train_once(train::Session& session, uint64_t seed) {
  OwnedBatch batch(seed);
  for (int32_t& token : batch.tokens) token = token % 9 * 100 + static_cast<int32_t>(seed % 4);
  const train::Batch view = batch.view();
  return session.step({&view, 1});
}

std::vector<uint32_t> bits_of(std::span<const float> values) {
  std::vector<uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

} // namespace

TEST_CASE("runs of rows that were seen") {
  using Run = std::tuple<int64_t, int64_t, bool>;
  train::SeenRows rows(6);
  const auto runs = [&](int64_t begin, int64_t end) {
    std::vector<Run> result;
    rows.for_each_run(begin, end, [&](int64_t first, int64_t last, bool seen) {
      result.emplace_back(first, last, seen);
    });
    return result;
  };
  CHECK(runs(0, 6) == std::vector<Run>{{0, 6, false}});
  rows.add(std::vector<int32_t>{4, 3, 0, 3});
  CHECK(runs(0, 6) == std::vector<Run>{{0, 1, true}, {1, 3, false}, {3, 5, true}, {5, 6, false}});
  CHECK(runs(2, 4) == std::vector<Run>{{2, 3, false}, {3, 4, true}});
  CHECK(runs(2, 2).empty());
  rows.add_all();
  CHECK(runs(0, 6) == std::vector<Run>{{0, 6, true}});
}

TEST_CASE("rows that no batch has seen are left out, with the same bits") {
  for (const auto optimizer : {train::OptimizerKind::adamw, train::OptimizerKind::sgd}) {
    for (const double decay : {0.0, 0.1}) {
      CAPTURE(decay);
      train::SessionOptions options = small_options();
      options.optimizer = optimizer;
      options.weight_decay = decay;
      if (optimizer == train::OptimizerKind::sgd) options.momentum = 0.9;
      const auto sparse = untied_session(options);
      const auto dense = untied_session(options);
      dense->gradients(); // which its caller may write, so that all rows count
      for (uint64_t step = 0; step < 6; ++step) {
        const train::StepResult seen = train_once(*sparse, step);
        const train::StepResult expected = train_once(*dense, step);
        CHECK(seen.grad_norm == expected.grad_norm);
        CHECK(bits_of(sparse->weights()) == bits_of(dense->weights()));
      }
    }
  }
}

TEST_CASE("a resumed session knows the rows from the optimizer's state") {
  TemporaryFolder folder("anet-seen-rows");
  const auto straight = untied_session(small_options());
  const auto first = untied_session(small_options());
  for (uint64_t step = 0; step < 3; ++step) {
    train_once(*straight, step);
    train_once(*first, step);
  }
  first->save(folder.path(), 0, {});
  const auto second = train::resume(first->device(), folder.path(), nullptr);
  for (uint64_t step = 3; step < 8; ++step) {
    const train::StepResult seen = train_once(*second, step);
    const train::StepResult expected = train_once(*straight, step);
    CHECK(seen.grad_norm == expected.grad_norm);
  }
  CHECK(bits_of(second->weights()) == bits_of(straight->weights()));
}

TEST_CASE("gradients that the caller writes reach every row") {
  train::SessionOptions options = small_options();
  options.optimizer = train::OptimizerKind::sgd;
  options.weight_decay = 0;
  options.clip_norm = 0;
  const auto session = untied_session(options);
  train_once(*session, 1);
  OwnedBatch batch(2);
  session->forward_backward(batch.view());
  const auto row = static_cast<size_t>(999 * 36); // of a token that no batch has
  const float before = session->weights()[row];
  session->gradients()[row] = 1e4f;
  session->optimizer_step();
  CHECK(session->weights()[row] < before);
  CHECK(session->gradients()[row] == 0);
}

TEST_CASE("memory of rows that were never seen is not read") {
  const model::ParameterTable table(untied_config());
  train::SessionOptions options = train::resolve(small_options(), untied_config());
  options.weight_decay = 0;
  train::Optimizer optimizer(options, train::TrainedTensors(table.all(), {}), &table.embedding());
  optimizer.allocate();
  ThreadPool pool(2);
  const auto size = static_cast<size_t>(table.flat_size());
  std::vector<float> weights(size, 1.0f), gradients(size);
  // What no session does: it would be noticed.
  const size_t unseen = 7 * 36, seen = 8 * 36;
  gradients[unseen] = std::numeric_limits<float>::quiet_NaN();
  gradients[seen] = 3;
  optimizer.see_rows(std::vector<int32_t>{8});
  CHECK(optimizer.gradient_norm(pool, gradients) == 3);
  optimizer.update(pool, {0.01, 1}, {weights, gradients});
  CHECK(weights[unseen] == 1);
  CHECK(weights[seen] < 1);
}
