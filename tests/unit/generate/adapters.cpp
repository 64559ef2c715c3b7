#include "backend/backend.h"
#include "base/random.h"
#include "generate/generator.h"
#include "support.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <map>
#include <vector>

using namespace anet;

namespace {

std::shared_ptr<model::Model> make_model(bool tied = false) {
  return sharp_model(small_config(tied));
}

// One with something in B, and magnitudes that are not the norms.
std::shared_ptr<model::Adapter> make_adapter(const std::shared_ptr<const model::Model>& model,
                                             model::LoraOptions options, uint64_t seed) {
  if (options.rank == 0) options.rank = 2;
  auto adapter = std::make_shared<model::Adapter>(model, options, seed);
  Random random(seed, 99);
  for (const model::Parameter& parameter : adapter->parameters())
    for (float& value : adapter->values(parameter))
      value = parameter.shape.size() == 1 ? value * float(0.7 + 0.6 * random.uniform())
                                          : float(0.4 * random.uniform() - 0.2);
  return adapter;
}

// W + sum of weight * scale * B A, with DoRA brought to its magnitudes: in double, straight from
// the definition.
std::shared_ptr<model::Model> merged(const model::Model& base,
                                     const std::vector<model::WeightedAdapter>& adapters) {
  auto result = std::make_shared<model::Model>(base.config());
  for (const model::Parameter& parameter : result->parameters().all()) {
    std::vector<float> values(static_cast<size_t>(parameter.elements));
    base.read(*base.parameters().find(parameter.name), values);
    std::copy(values.begin(), values.end(), result->values(parameter).begin());
  }
  for (const model::WeightedAdapter& added : adapters) {
    const model::Adapter& adapter = *added.adapter;
    for (const model::LoraModule& module : adapter.modules()) {
      const auto value = [&](int32_t index, int64_t row, int64_t column) {
        const model::Parameter& parameter = adapter.parameters()[static_cast<size_t>(index)];
        const int64_t columns = parameter.shape.size() == 2 ? parameter.shape[1] : 1;
        return double{adapter.values(parameter)[static_cast<size_t>(row * columns + column)]};
      };
      const auto& target = *result->parameters().find(module.target.module + ".weight");
      const bool embedding = module.port == "embed_tokens";
      const auto weights = result->values(target);
      const int64_t rows = target.shape[0], columns = target.shape[1];
      for (int64_t i = 0; i < rows; ++i) {
        double norm = 0;
        std::vector<double> row(static_cast<size_t>(columns));
        for (int64_t k = 0; k < columns; ++k) {
          double sum = 0;
          for (int64_t r = 0; r < module.target.rank; ++r)
            sum += embedding ? value(module.lora_b, k, r) * value(module.lora_a, r, i)
                             : value(module.lora_b, i, r) * value(module.lora_a, r, k);
          row[size_t(k)] = weights[size_t(i * columns + k)] + added.weight * module.scale * sum;
          norm += row[size_t(k)] * row[size_t(k)];
        }
        const double gain =
            module.magnitude < 0 ? 1 : value(module.magnitude, i, 0) / std::sqrt(norm);
        for (int64_t k = 0; k < columns; ++k)
          weights[size_t(i * columns + k)] = float(gain * row[size_t(k)]);
      }
    }
  }
  return result;
}

// A device that counts what it compiles.
class CountingDevice : public backend::Device {
public:
  explicit CountingDevice(int& count) : count_(count) {}
  const backend::Capabilities& capabilities() const override { return inner_->capabilities(); }
  ThreadPool& thread_pool() override { return inner_->thread_pool(); }
  backend::Support supports(const mil::Function& function,
                            const mil::Operation& op) const override {
    return inner_->supports(function, op);
  }
  std::unique_ptr<backend::Buffer> allocate(const backend::Layout& layout) override {
    return inner_->allocate(layout);
  }
  std::unique_ptr<backend::Buffer> import(std::byte* data, size_t size,
                                          const backend::Layout& layout) override {
    return inner_->import(data, size, layout);
  }
  std::shared_ptr<backend::Workspace> make_workspace() override { return inner_->make_workspace(); }
  std::unique_ptr<backend::Kernel> compile(const mil::Function& function,
                                           const backend::CompileOptions& options) override {
    ++count_;
    return inner_->compile(function, options);
  }
  std::unique_ptr<backend::Buffer> import_native(void* handle,
                                                 const backend::Layout& layout) override {
    return inner_->import_native(handle, layout);
  }
  std::string report() const override { return inner_->report(); }

private:
  std::shared_ptr<backend::Device> inner_ = backend::open_device("cpu", {.threads = 2});
  int& count_;
};

const std::vector<int32_t> prompt = {3, 14, 15, 9, 26, 5, 35, 8};

std::vector<float> logits(generate::Generator& generator) {
  const auto values = generator.logits(prompt);
  return {values.begin(), values.end()};
}

std::vector<float> plain_logits(std::shared_ptr<model::Model> model) {
  generate::Generator generator(backend::open_device("cpu", {.threads = 2}), std::move(model), {});
  return logits(generator);
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, double{std::abs(a[i] - b[i])});
  return largest;
}

struct Fixture {
  int compiled = 0;
  std::shared_ptr<model::Model> model;
  generate::Generator generator;

  explicit Fixture(bool tied = false, generate::GeneratorOptions options = {})
      : model(make_model(tied)),
        generator(std::make_shared<CountingDevice>(compiled), model, options) {}
  void check(const std::vector<model::WeightedAdapter>& adapters) {
    generator.set_adapters(adapters);
    CHECK(difference(logits(generator), plain_logits(merged(*model, adapters))) < 1e-5);
  }
};

} // namespace

TEST_CASE("an adapter gives the logits of the merged model") {
  Fixture f;
  f.check({{make_adapter(f.model, {}, 1), 1}});
  f.check({{make_adapter(f.model, {.rank = 3, .alpha = 5, .rslora = true}, 2), 0.5}});
  f.check({{make_adapter(f.model, {.targets = {"q_proj", "down_proj"}, .first_layer = 1}, 3), 2}});
}

TEST_CASE("embedding and head can be adapted") {
  Fixture f;
  f.check({{make_adapter(f.model, {.targets = {"embed_tokens", "lm_head", "v_proj"}}, 4), 1}});
  Fixture tied(true);
  // The adapted embedding alone: the head keeps the matrix that it shares.
  tied.generator.set_adapters({{make_adapter(tied.model, {.targets = {"embed_tokens"}}, 5), 1}});
  CHECK(difference(logits(tied.generator), plain_logits(tied.model)) > 1e-3);
}

TEST_CASE("DoRA gives the logits of the merged model") {
  Fixture f;
  f.check({{make_adapter(f.model, {.dora = true}, 6), 1}});
  // The room for magnitudes stays, and does nothing.
  f.check({{make_adapter(f.model, {}, 7), 1}});
}

TEST_CASE("DoRA follows a base that changes") {
  Fixture f;
  const std::vector<model::WeightedAdapter> adapters = {
      {make_adapter(f.model, {.dora = true}, 6), 1}};
  f.check(adapters);
  const model::Parameter& down = *f.model->parameters().find("model.layers.1.mlp.down_proj.weight");
  const auto matrix = f.model->values(down);
  for (size_t i = 0; i < matrix.size(); i += 3) matrix[i] *= 2;
  f.model->touch();
  CHECK(difference(logits(f.generator), plain_logits(merged(*f.model, adapters))) < 1e-5);
}

TEST_CASE("shares of several adapters are added") {
  Fixture f;
  f.check({{make_adapter(f.model, {.rank = 4}, 8), 0.3},
           {make_adapter(f.model, {.rank = 1, .targets = {"mlp.*"}}, 9), 1.5},
           {make_adapter(f.model, {.rank = 2, .targets = {"layers.0.*"}}, 10), -1}});
}

TEST_CASE("detached, the model is as it was") {
  Fixture f;
  const std::vector<float> before = logits(f.generator);
  f.generator.set_adapters({{make_adapter(f.model, {}, 11), 1}});
  CHECK(difference(logits(f.generator), before) > 1e-3);
  f.generator.set_adapters({});
  CHECK(logits(f.generator) == before);
}

TEST_CASE("a compressed base with an adapter") {
  auto base = std::make_shared<model::Model>(
      small_config(), [](const model::Parameter& p) { return p.shape.size() == 2; });
  const auto source = make_model();
  for (const model::Parameter& parameter : base->parameters().all()) {
    const auto values = source->values(*source->parameters().find(parameter.name));
    if (!parameter.is_compressed()) {
      std::copy(values.begin(), values.end(), base->values(parameter).begin());
      continue;
    }
    const int64_t rows = parameter.shape[0], columns = parameter.shape[1];
    std::vector<std::byte> codes(static_cast<size_t>(rows * columns));
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = std::byte(uint8_t(i * 37 % 255));
    std::vector<uint16_t> scales(static_cast<size_t>(rows), 0x1400); // fp16: 2^-10
    const auto bytes = std::as_bytes(std::span(scales));
    base->set_compressed(parameter, {.compression = mil::Compression::int8_channel,
                                     .rows = rows,
                                     .columns = columns,
                                     .codes = mil::Bytes(codes),
                                     .scales = mil::Bytes({bytes.begin(), bytes.end()})});
  }
  const auto dense = merged(*base, {});
  generate::Generator generator(backend::open_device("cpu", {.threads = 2}), base,
                                {.batch_size = 2});
  CHECK(difference(logits(generator), plain_logits(dense)) < 1e-5);
  const auto adapter = make_adapter(base, {.dora = true}, 12);
  generator.set_adapters({{adapter, 1}});
  CHECK(difference(logits(generator), plain_logits(merged(*base, {{adapter, 1}}))) < 1e-5);
}

TEST_CASE("swapping compiles nothing, also while text is written") {
  Fixture f(false, {.adapter_rank = 6});
  std::vector<std::shared_ptr<model::Adapter>> adapters;
  for (uint64_t seed = 0; seed < 3; ++seed)
    adapters.push_back(make_adapter(f.model, {.rank = int32_t(seed) + 1}, seed));
  f.generator.set_adapters({{adapters[2], 1}});
  const int compiled = f.compiled;
  CHECK(compiled > 0);
  for (int i = 0; i < 1000; ++i) {
    if (i % 50 == 0) {
      int swaps = 0;
      f.generator.generate(prompt, {.max_tokens = 20}, [&](int32_t) {
        f.generator.set_adapters({{adapters[size_t(swaps++ % 3)], 1.0 / (swaps + 1)}});
        return true;
      });
      CHECK(swaps == 20);
    }
    f.generator.set_adapters({{adapters[size_t(i % 3)], 1}, {adapters[size_t(i % 2)], -0.5}});
  }
  CHECK(f.compiled == compiled);
  // The last one attached counts, and nobody else holds the others.
  f.check({{adapters[1], 1}});
  CHECK(adapters[0].use_count() == 1);
  CHECK(adapters[2].use_count() == 1);
}

TEST_CASE("a larger adapter compiles once, but not while text is written") {
  Fixture f;
  f.generator.set_adapters({{make_adapter(f.model, {.rank = 2}, 1), 1}});
  const auto large = make_adapter(f.model, {.rank = 5}, 2);
  Status status = Status::ok;
  const auto before = logits(f.generator);
  f.generator.generate(prompt, {.max_tokens = 2}, [&](int32_t) {
    status = status_of([&] { f.generator.set_adapters({{large, 1}}); });
    return true;
  });
  CHECK(status == Status::busy);
  CHECK(logits(f.generator) == before);
  f.check({{large, 1}});
}

TEST_CASE("adapters that have been trained since are seen") {
  Fixture f;
  const auto adapter = make_adapter(f.model, {}, 13);
  f.generator.set_adapters({{adapter, 1}});
  const auto before = logits(f.generator);
  for (float& value : adapter->weights()) value *= 2;
  CHECK(logits(f.generator) == before); // nobody has said so
  adapter->touch();
  CHECK(difference(logits(f.generator), plain_logits(merged(*f.model, {{adapter, 1}}))) < 1e-5);
}

TEST_CASE("adapters that cannot be attached") {
  Fixture f;
  const auto dora = make_adapter(f.model, {.dora = true}, 1);
  const auto plain = make_adapter(f.model, {}, 2);
  const auto other = make_adapter(make_model(true), {}, 2);
  const auto status = [&](std::vector<model::WeightedAdapter> adapters) {
    return status_of([&] { f.generator.set_adapters(std::move(adapters)); });
  };
  CHECK(status({{dora, 0.5}}) == Status::unsupported);
  CHECK(status({{dora, 1}, {plain, 1}}) == Status::unsupported);
  CHECK(status({{plain, NAN}}) == Status::invalid_argument);
  CHECK(status({{other, 1}}) == Status::invalid_argument);
  CHECK(status_of([&] { Fixture(false, {.adapter_rank = -1}); }) == Status::out_of_range);
}
