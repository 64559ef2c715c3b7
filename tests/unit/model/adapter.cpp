// Which modules an adapter has, and its values at the start.
#include "model/adapter.h"

#include "base/status.h"
#include "model_cases.h"

#include <cmath>
#include <doctest/doctest.h>
#include <string>

using namespace anet;
using model::Adapter;
using model::LoraOptions;

namespace {

std::vector<std::string> modules_of(const std::shared_ptr<model::Model>& base,
                                    const LoraOptions& options) {
  std::vector<std::string> names;
  const Adapter adapter(base, options, 1);
  for (const model::LoraModule& module : adapter.modules()) names.push_back(module.target.module);
  return names;
}

Status status_of(const std::shared_ptr<model::Model>& base, const LoraOptions& options) {
  try {
    const Adapter adapter(base, options, 1);
  } catch (const Error& error) {
    return error.status();
  }
  return Status::ok;
}

LoraOptions targeting(std::vector<std::string> targets) {
  LoraOptions options;
  options.targets = std::move(targets);
  return options;
}

} // namespace

TEST_CASE("without targets the seven projections of every layer are adapted") {
  const auto base = test::random_model(3, false);
  const Adapter adapter(base, {}, 1);
  CHECK(adapter.modules().size() == 21);
  CHECK(adapter.options().rank == 8);
  CHECK(adapter.options().alpha == 16);
  CHECK(adapter.find("model.layers.2.mlp.down_proj") != nullptr);
  CHECK(adapter.find("model.embed_tokens") == nullptr);
  CHECK(adapter.find("lm_head") == nullptr);
  CHECK(adapter.shape(0).modules.size() == 7);
  CHECK(adapter.shape(-1).modules.empty());
  // [8, in] and [out, 8] of each: hidden 32, intermediate 48, heads 4 x 8, kv heads 2 x 8.
  const int64_t one_layer = 8 * ((32 + 32) + 2 * (32 + 16) + (32 + 32) + 3 * (32 + 48));
  CHECK(adapter.weight_count() == 3 * one_layer);
}

TEST_CASE("targets and layers choose modules") {
  const auto base = test::random_model(4, false);
  using Names = std::vector<std::string>;
  CHECK(modules_of(base, targeting({"layers.1.self_attn.*"})).size() == 4);
  CHECK(modules_of(base, targeting({"v_proj", "layers.3.mlp.up_proj"})).size() == 5);
  CHECK(modules_of(base, targeting({"embed_tokens", "lm_head"})) ==
        Names{"model.embed_tokens", "lm_head"});
  LoraOptions options = targeting({"q_proj", "lm_head"});
  options.first_layer = -2;
  CHECK(modules_of(base, options) ==
        Names{"model.layers.2.self_attn.q_proj", "model.layers.3.self_attn.q_proj", "lm_head"});
  options.first_layer = 1;
  options.layer_count = 1;
  CHECK(modules_of(base, options) == Names{"model.layers.1.self_attn.q_proj", "lm_head"});
  options.targets.clear();
  CHECK(modules_of(base, options).size() == 7);
}

TEST_CASE("the last override that matches decides") {
  LoraOptions options = targeting({"q_proj", "v_proj"});
  options.rank = 4;
  options.alpha = 6;
  options.overrides = {
      {"v_proj", 2, 0}, {"layers.1.*", 0, 10}, {"layers.1.self_attn.v_proj", 3, 0}};
  const Adapter adapter(test::random_model(2, false), options, 1);
  const auto expect = [&](const char* name, int32_t rank, double alpha) {
    const model::LoraModule* module = adapter.find(name);
    REQUIRE(module != nullptr);
    CHECK(module->target.rank == rank);
    CHECK(module->target.alpha == alpha);
    CHECK(module->scale == alpha / rank);
    CHECK(adapter.parameters()[static_cast<size_t>(module->lora_a)].shape == mil::Shape{rank, 32});
  };
  expect("model.layers.0.self_attn.q_proj", 4, 6);
  expect("model.layers.0.self_attn.v_proj", 2, 6);
  expect("model.layers.1.self_attn.q_proj", 4, 10);
  expect("model.layers.1.self_attn.v_proj", 3, 10);
}

TEST_CASE("rsLoRA divides by the root of the rank") {
  LoraOptions options = targeting({"q_proj"});
  options.rank = 4;
  options.alpha = 6;
  options.rslora = true;
  CHECK(Adapter(test::random_model(1, false), options, 1).modules()[0].scale == 3);
}

TEST_CASE("options that cannot be honoured are refused") {
  const auto base = test::random_model(2, false);
  CHECK(status_of(base, targeting({"q_porj"})) == Status::invalid_argument);
  CHECK(status_of(base, targeting({"q_proj", "input_layernorm"})) == Status::invalid_argument);
  CHECK(status_of(test::random_model(2, true), targeting({"lm_head"})) == Status::invalid_argument);
  LoraOptions options;
  options.overrides = {{"x_proj", 1, 0}};
  CHECK(status_of(base, options) == Status::invalid_argument);
  const auto with = [&](auto change) {
    LoraOptions changed;
    change(changed);
    return status_of(base, changed);
  };
  CHECK(with([](LoraOptions& o) { o.rank = -1; }) == Status::invalid_argument);
  CHECK(with([](LoraOptions& o) { o.alpha = -1; }) == Status::invalid_argument);
  CHECK(with([](LoraOptions& o) { o.alpha = NAN; }) == Status::invalid_argument);
  CHECK(with([](LoraOptions& o) { o.dropout = 1; }) == Status::invalid_argument);
  CHECK(with([](LoraOptions& o) { o.first_layer = 2; }) == Status::invalid_argument);
  CHECK(with([](LoraOptions& o) { o.first_layer = -3; }) == Status::invalid_argument);
  CHECK(with([](LoraOptions& o) { o.layer_count = 3; }) == Status::invalid_argument);
  CHECK(with([](LoraOptions& o) { o.layer_count = -1; }) == Status::invalid_argument);
  LoraOptions dora = targeting({"embed_tokens"});
  dora.dora = true;
  CHECK(status_of(base, dora) == Status::unsupported_option);
  dora.targets = {"lm_head"};
  CHECK(status_of(base, dora) == Status::unsupported_option);
}

TEST_CASE("at the start B is zero, A is uniform and magnitudes are row norms") {
  const auto base = test::random_model(1, false);
  LoraOptions options;
  options.rank = 64;
  options.dora = true;
  const Adapter adapter(base, options, 5);
  for (const model::LoraModule& module : adapter.modules()) {
    const auto values = [&](int32_t index) {
      return adapter.values(adapter.parameters()[static_cast<size_t>(index)]);
    };
    for (const float value : values(module.lora_b)) REQUIRE(value == 0);
    const int64_t rows = module.base->shape[0], columns = module.base->shape[1];
    // Uniform in +-1 / sqrt(in): the variance is a third of the bound's square.
    double squares = 0;
    const double bound = 1 / std::sqrt(static_cast<double>(columns));
    for (const float value : values(module.lora_a)) {
      REQUIRE(std::fabs(value) <= bound);
      squares += double{value} * value;
    }
    CHECK(squares / static_cast<double>(64 * columns) ==
          doctest::Approx(bound * bound / 3).epsilon(0.1));
    const auto weights = std::as_const(*base).values(*module.base);
    for (int64_t i = 0; i < rows; ++i) {
      double norm = 0;
      for (const float w :
           weights.subspan(static_cast<size_t>(i * columns), static_cast<size_t>(columns)))
        norm += double{w} * w;
      REQUIRE(values(module.magnitude)[static_cast<size_t>(i)] ==
              doctest::Approx(std::sqrt(norm)).epsilon(1e-6));
    }
  }
}

TEST_CASE("a seed gives the same values, another seed others") {
  const auto base = test::random_model(1, false);
  const Adapter a(base, {}, 5), b(base, {}, 5), c(base, {}, 6);
  CHECK(std::equal(a.weights().begin(), a.weights().end(), b.weights().begin()));
  CHECK_FALSE(std::equal(a.weights().begin(), a.weights().end(), c.weights().begin()));
}

TEST_CASE("the embedding's matrices are those of PEFT") {
  const Adapter adapter(test::random_model(1, true), targeting({"embed_tokens"}), 1);
  REQUIRE(adapter.parameters().size() == 2);
  CHECK(adapter.parameters()[0].name == "model.embed_tokens.lora_embedding_A");
  CHECK(adapter.parameters()[0].shape == mil::Shape{8, 24});
  CHECK(adapter.parameters()[1].name == "model.embed_tokens.lora_embedding_B");
  CHECK(adapter.parameters()[1].shape == mil::Shape{32, 8});
  CHECK(adapter.shape(-1).find("embed_tokens") != nullptr);
}

TEST_CASE("readers of files get zeros of the shapes they name") {
  const auto base = test::random_model(2, false);
  const Adapter adapter(base, {}, {{"model.layers.1.mlp.up_proj", 3, 6}});
  REQUIRE(adapter.modules().size() == 1);
  CHECK(adapter.modules()[0].scale == 2);
  for (const float value : adapter.weights()) CHECK(value == 0);
  const auto unknown = [&] {
    const Adapter other(base, {}, {{"model.layers.9.mlp.up_proj", 3, 6}});
  };
  CHECK_THROWS_AS(unknown(), Error);
}
