#include "train/optimizer.h"

#include "base/float16.h"
#include "base/random.h"
#include "base/thread_pool.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

using namespace anet;
using train::Optimizer;
using train::SessionOptions;

namespace {

// Large enough for several segments of the optimizer.
model::Config config() {
  model::Config c;
  c.vocab_size = 700;
  c.hidden_size = 128;
  c.intermediate_size = 64;
  c.layer_count = 1;
  c.head_count = 2;
  c.tie_embeddings = true;
  return model::resolve(c);
}

std::vector<float> noise(int64_t size, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(size));
  Random random(seed);
  random.fill_normal(values, 0, 1);
  return values;
}

SessionOptions options_of(train::OptimizerKind kind) {
  SessionOptions options;
  options.optimizer = kind;
  options.weight_decay = 0.1;
  if (kind == train::OptimizerKind::sgd) options.momentum = 0.9;
  return train::resolve(options, config());
}

} // namespace

TEST_CASE("AdamW follows its paper, decay only on matrices") {
  const model::ParameterTable table(config());
  const SessionOptions options = options_of(train::OptimizerKind::adamw);
  Optimizer optimizer(options, train::TrainedTensors(table.all(), {}));
  optimizer.allocate();
  ThreadPool pool(2);
  std::vector<float> weights = noise(table.flat_size(), 1);
  std::vector<double> expected(weights.begin(), weights.end());
  std::vector<double> m(weights.size()), v(weights.size());
  for (int64_t step = 1; step <= 3; ++step) {
    const std::vector<float> gradients = noise(table.flat_size(), 10 + static_cast<uint64_t>(step));
    std::vector<float> used = gradients;
    optimizer.update(pool, {0.01, 0.5}, {weights, used});
    for (const model::Parameter& p : table.all())
      for (int64_t at = p.offset; at < p.offset + p.elements; ++at) {
        const auto i = static_cast<size_t>(at);
        const double g = 0.5 * gradients[i];
        m[i] = 0.9 * m[i] + 0.1 * g;
        v[i] = 0.999 * v[i] + 0.001 * g * g;
        const double mean = m[i] / (1 - std::pow(0.9, double(step)));
        const double variance = v[i] / (1 - std::pow(0.999, double(step)));
        const double decay = p.shape.size() > 1 ? 0.1 : 0.0;
        expected[i] -= 0.01 * decay * expected[i];
        expected[i] -= 0.01 * mean / (std::sqrt(variance) + 1e-8);
      }
  }
  double worst = 0;
  for (const model::Parameter& p : table.all())
    for (int64_t at = p.offset; at < p.offset + p.elements; ++at)
      worst = std::max(worst, std::abs(weights[size_t(at)] - expected[size_t(at)]));
  CHECK(worst < 1e-5);
}

TEST_CASE("SGD with momentum") {
  const model::ParameterTable table(config());
  const SessionOptions options = options_of(train::OptimizerKind::sgd);
  Optimizer optimizer(options, train::TrainedTensors(table.all(), {}));
  optimizer.allocate();
  ThreadPool pool(1);
  std::vector<float> weights = noise(table.flat_size(), 1);
  const size_t at = static_cast<size_t>(table.final_norm().offset); // a vector: no decay
  const size_t in_matrix = 5;                                       // the embedding decays
  const float start = weights[at];
  const float matrix_start = weights[in_matrix];
  const std::vector<float> gradients = noise(table.flat_size(), 2);
  for (int i = 0; i < 2; ++i) {
    std::vector<float> used = gradients;
    optimizer.update(pool, {0.1, 1}, {weights, used});
  }
  // b1 = g, b2 = 1.9 g.
  CHECK(weights[at] == doctest::Approx(start - 0.1 * 2.9 * gradients[at]));
  const double once = matrix_start * 0.99 - 0.1 * gradients[in_matrix];
  CHECK(weights[in_matrix] == doctest::Approx(once * 0.99 - 0.1 * 1.9 * gradients[in_matrix]));
}

TEST_CASE("the norm and the update have the same bits for any number of threads") {
  const model::ParameterTable table(config());
  const std::vector<float> gradients = noise(table.flat_size(), 3);
  const auto run = [&](int threads) {
    Optimizer optimizer(options_of(train::OptimizerKind::adamw),
                        train::TrainedTensors(table.all(), {}));
    optimizer.allocate();
    ThreadPool pool(threads);
    std::vector<float> weights = noise(table.flat_size(), 1);
    std::vector<float> used = gradients;
    const double norm = optimizer.gradient_norm(pool, used);
    optimizer.update(pool, {0.01, 1}, {weights, used});
    return std::pair(norm, weights);
  };
  const auto one = run(1);
  const auto three = run(3);
  CHECK(one.first == three.first);
  CHECK(one.second == three.second);
  double sum = 0;
  for (const model::Parameter& p : table.all())
    for (int64_t i = p.offset; i < p.offset + p.elements; ++i)
      sum += double(gradients[size_t(i)]) * gradients[size_t(i)];
  CHECK(one.first == doctest::Approx(std::sqrt(sum)).epsilon(1e-12));
}

TEST_CASE("squares of gradients in fp16 are summed ahead, but for rows of a shared table") {
  const model::ParameterTable table(config());
  const train::TrainedTensors tensors(table.all(), {});
  Optimizer optimizer(options_of(train::OptimizerKind::adamw), tensors, &table.embedding(), true);
  ThreadPool pool(2);
  std::vector<std::vector<uint16_t>> halves;
  std::vector<const uint16_t*> pointers;
  for (const train::TrainedTensor& tensor : tensors.all()) {
    auto& values = halves.emplace_back();
    const auto seed = static_cast<uint64_t>(tensor.offset);
    for (const float value : noise(tensor.parameter->elements, seed))
      values.push_back(float_to_half(value));
    pointers.push_back(values.data());
  }
  const int32_t rows[] = {2, 3, 17};
  optimizer.see_rows(rows);
  const int64_t width = table.embedding().shape[1];
  const auto norm = [&] {
    std::vector<float> sums(static_cast<size_t>(tensors.flat_size()));
    return optimizer.gradient_norm(pool, sums, pointers);
  };
  const double expected = norm();
  for (size_t tensor = 0; tensor < halves.size(); ++tensor)
    optimizer.sum_squares(pool, tensor, pointers);
  // What was summed is not read again.
  std::vector<std::vector<uint16_t>> kept = halves;
  for (size_t tensor = 0; tensor < halves.size(); ++tensor)
    for (size_t i = 0; i < halves[tensor].size(); ++i) {
      const bool in_table = tensors.all()[tensor].parameter == &table.embedding();
      const auto row = static_cast<int32_t>(static_cast<int64_t>(i) / width);
      if (!in_table || std::find(std::begin(rows), std::end(rows), row) == std::end(rows))
        halves[tensor][i] = 0;
    }
  CHECK(norm() == expected);
  CHECK(norm() < expected); // forgotten
  // Nor is what was forgotten before.
  for (size_t tensor = 0; tensor < halves.size(); ++tensor)
    optimizer.sum_squares(pool, tensor, pointers);
  optimizer.forget_squares();
  for (size_t tensor = 0; tensor < halves.size(); ++tensor)
    std::copy(kept[tensor].begin(), kept[tensor].end(), halves[tensor].begin());
  CHECK(norm() == expected);
}

TEST_CASE("a gradient in parts updates as a whole one does") {
  const model::ParameterTable table(config());
  train::TrainedTensors whole(table.all(), {}), divided(table.all(), {});
  const int64_t width = table.embedding().shape[1];
  divided.divide(table.embedding(), 300 * width); // of 700 rows
  REQUIRE(divided.parts().size() == whole.parts().size() + 2);
  for (const bool shared : {false, true}) {
    const SessionOptions options = options_of(train::OptimizerKind::adamw);
    // An embedding that the head shares is looked up, too; else it is any tensor.
    const auto make = [&](const train::TrainedTensors& tensors) {
      Optimizer optimizer(options, tensors, shared ? &table.embedding() : nullptr, shared);
      optimizer.allocate();
      return optimizer;
    };
    const std::vector<float> gradients = noise(whole.flat_size(), 5);
    std::vector<uint16_t> halves;
    for (const float value : gradients) halves.push_back(float_to_half(value));
    const auto pointers = [&](const train::TrainedTensors& tensors) {
      std::vector<const uint16_t*> result;
      for (const train::GradientPart& part : tensors.parts())
        result.push_back(halves.data() + tensors.all()[part.tensor].offset + part.begin);
      return result;
    };
    ThreadPool pool(2);
    const auto run = [&](const train::TrainedTensors& tensors) {
      Optimizer optimizer = make(tensors);
      const int32_t rows[] = {3, 299, 300, 699};
      if (shared) optimizer.see_rows(rows);
      std::vector<float> weights = noise(table.flat_size(), 1);
      std::vector<float> sums(static_cast<size_t>(tensors.flat_size()));
      const auto narrow = pointers(tensors);
      for (size_t part = 0; part < narrow.size(); ++part) optimizer.sum_squares(pool, part, narrow);
      const double norm = optimizer.gradient_norm(pool, sums, narrow);
      optimizer.update(pool, {0.01, 0.5},
                       {.weights = weights, .gradients = sums, .float16_gradients = narrow});
      return std::pair(norm, weights);
    };
    const auto expected = run(whole), seen = run(divided);
    CHECK(seen.first == doctest::Approx(expected.first).epsilon(1e-9));
    CHECK(seen.second == expected.second);
  }
}
