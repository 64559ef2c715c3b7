#include "base/float16.h"
#include "base/status.h"
#include "io/model_file/checkpoint_model.h"
#include "support.h"
#include "train/session.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace anet;
using namespace anet::test;

namespace {

std::unique_ptr<io::WindowDataset> dataset(uint64_t seed = 2) {
  return std::make_unique<io::WindowDataset>(
      std::make_shared<io::TokenArray>(patterned_tokens(2000, seed), 64), io::TokenRange{0, 2000},
      16, io::DatasetOrder{.shuffle = true, .seed = 8});
}

train::FitOptions steps(int64_t count) {
  train::FitOptions options;
  options.steps = count;
  return options;
}

train::SessionOptions scheduled(train::OptimizerKind optimizer) {
  train::SessionOptions options = small_options();
  options.optimizer = optimizer;
  if (optimizer == train::OptimizerKind::sgd) options.momentum = 0.9;
  options.schedule = train::ScheduleKind::cosine;
  options.warmup_steps = 3;
  options.total_steps = 20;
  options.accumulation_steps = 2;
  return options;
}

} // namespace

TEST_CASE("N steps equal k steps, save, load and N-k steps, bit for bit") {
  TemporaryFolder folder("anet-resume");
  const auto device = backend::open_device("cpu", {.threads = 2});
  using train::PrecisionMode;
  struct Precisions {
    PrecisionMode programs, state;
  };
  constexpr Precisions precisions[] = {{PrecisionMode::f32, PrecisionMode::f32},
                                       {PrecisionMode::f16, PrecisionMode::f32},
                                       {PrecisionMode::f32, PrecisionMode::bf16}};
  for (const auto optimizer : {train::OptimizerKind::adamw, train::OptimizerKind::sgd}) {
    for (const Precisions& precision : precisions) {
      for (const int64_t k : {1, 4, 9}) {
        CAPTURE(k);
        const auto data = dataset();
        train::SessionOptions options = scheduled(optimizer);
        options.precision = precision.programs;
        options.optimizer_precision = precision.state;
        const auto straight = small_session(options);
        straight->fit(*data, nullptr, steps(10));

        const auto first = small_session(options);
        first->set_property("epoch", "\"3\" \xc3\xa9");
        first->fit(*data, nullptr, steps(k));
        const std::string root =
            folder.path(std::to_string(int(optimizer)) + std::to_string(int(precision.programs)) +
                        std::to_string(int(precision.state)) + std::to_string(k));
        first->save(root, 0, {});
        const auto second = train::resume(device, root, nullptr);
        CHECK(second->steps_done() == k);
        CHECK(second->cursor() == static_cast<uint64_t>(k) * 4);
        CHECK(second->options() == first->options());
        REQUIRE(second->property("epoch") != nullptr);
        CHECK(*second->property("epoch") == "\"3\" \xc3\xa9");
        const train::StepResult last = second->fit(*data, nullptr, steps(10 - k)).step;
        CHECK(last.step == 10);
        CHECK(copy(second->weights()) == copy(straight->weights()));
      }
    }
  }
}

TEST_CASE("a resumed run has the loss scale that it had, however small, and grows it in time") {
  TemporaryFolder folder("anet-resume-scale");
  const auto device = backend::open_device("cpu", {.threads = 2});
  const auto data = dataset();
  train::SessionOptions options = small_options();
  options.precision = train::PrecisionMode::f16;
  options.loss_scale_growth_steps = 3;
  for (const double initial : {0.25, 1.0}) {
    options.initial_loss_scale = initial;
    const auto session = small_session(options);
    session->fit(*data, nullptr, steps(5)); // doubled once, and two good steps since
    session->save(folder.path(std::to_string(initial)), 0, {});
    const auto resumed = train::resume(device, folder.path(std::to_string(initial)), nullptr);
    for (const double factor : {2, 4}) {
      CHECK(session->fit(*data, nullptr, steps(1)).step.loss_scale == factor * initial);
      CHECK(resumed->fit(*data, nullptr, steps(1)).step.loss_scale == factor * initial);
    }
    CHECK(copy(resumed->weights()) == copy(session->weights()));
  }
}

TEST_CASE("a checkpoint whose counts or loss scale make no sense is refused") {
  TemporaryFolder folder("anet-damaged-state");
  const auto device = backend::open_device("cpu", {.threads = 2});
  train::SessionOptions options = small_options();
  options.precision = train::PrecisionMode::f16;
  const auto session = small_session(options);
  const io::CheckpointReader reader(session->save(folder.path("run"), 0, {}).path);
  std::vector<io::TensorView> weights, states;
  for (const io::SafetensorsEntry& entry : reader.weights().entries())
    weights.push_back(reader.weights().tensor(entry));
  for (const io::SafetensorsEntry& entry : reader.optimizer().entries())
    states.push_back(reader.optimizer().tensor(entry));
  const std::string damaged = folder.path("damaged");
  const auto status = [&](const char* section, const char* key, Json value, int64_t step = 0) {
    Json sections = reader.sections();
    Json changed = *sections.find(section);
    changed.set(key, std::move(value));
    sections.set(section, std::move(changed));
    io::save_checkpoint(damaged, {.step = step,
                                  .library_version = "0",
                                  .weights = weights,
                                  .optimizer = states,
                                  .sections = std::move(sections)});
    return status_of([&] { train::resume(device, damaged, nullptr); });
  };
  constexpr int64_t huge = std::numeric_limits<int64_t>::max();
  CHECK(status("optimizer", "updates", Json(7)) == Status::ok);
  for (const int64_t count : {int64_t{-1}, huge}) {
    CHECK(status("optimizer", "updates", Json(count)) == Status::invalid_checkpoint);
    CHECK(status("loss_scale", "good_steps", Json(count)) == Status::invalid_checkpoint);
    CHECK(status("data", "cursor", Json(count)) == Status::invalid_checkpoint);
  }
  for (const double scale : {0.0, -2.0})
    CHECK(status("loss_scale", "scale", Json(scale)) == Status::invalid_checkpoint);
  CHECK(status("optimizer", "updates", Json(7), huge) == Status::invalid_checkpoint);
}

TEST_CASE("optimizer state in bf16: half the bytes in memory and file, resumed as either type") {
  using train::PrecisionMode;
  TemporaryFolder folder("anet-narrow-state");
  const auto device = backend::open_device("cpu", {.threads = 2});
  train::SessionOptions options = small_options();
  const auto wide = small_session(options);
  options.optimizer_precision = PrecisionMode::bf16;
  const auto narrow = small_session(options);
  CHECK(narrow->memory_plan().optimizer * 2 == wide->memory_plan().optimizer);
  const OwnedBatch owned(4);
  const train::Batch batch = owned.view();
  for (int step = 0; step < 3; ++step)
    for (auto* session : {wide.get(), narrow.get()}) session->step({&batch, 1});
  narrow->save(folder.path("narrow"), 0, {});
  wide->save(folder.path("wide"), 0, {});

  const auto states = [&](const std::string& root) {
    const io::CheckpointReader reader = io::open_checkpoint(folder.path(root));
    std::map<std::string, std::vector<float>> values;
    for (const io::SafetensorsEntry& entry : reader.optimizer().entries()) {
      CHECK(entry.dtype == (root == "wide" || root == "widened" ? "F32" : "BF16"));
      values[entry.name] = io::to_float(reader.optimizer().tensor(entry));
    }
    return values;
  };
  const auto narrow_states = states("narrow"), wide_states = states("wide");
  for (const auto& [name, values] : wide_states) {
    CAPTURE(name);
    double error = 0, size = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      error += std::pow(double{narrow_states.at(name)[i]} - values[i], 2);
      size += std::pow(double{values[i]}, 2);
    }
    // Three roundings, each by up to 1/128 of a number.
    CHECK(error > 1e-8 * size);
    CHECK(error < 1e-3 * size);
  }

  // Widening is exact; narrowing rounds each number once.
  options.optimizer_precision = PrecisionMode::f32;
  train::resume(device, folder.path("narrow"), &options)->save(folder.path("widened"), 0, {});
  CHECK(states("widened") == narrow_states);
  options.optimizer_precision = PrecisionMode::bf16;
  train::resume(device, folder.path("wide"), &options)->save(folder.path("narrowed"), 0, {});
  for (const auto& [name, values] : states("narrowed"))
    for (size_t i = 0; i < values.size(); ++i)
      if (values[i] != bfloat16_to_float(float_to_bfloat16(wide_states.at(name)[i])))
        FAIL("expected ", name, " rounded to nearest at ", i);
}

TEST_CASE("weights saved alone come back with their configuration") {
  TemporaryFolder folder("anet-weights");
  const auto model = small_model(5);
  train::save_model(*model, folder.path("model.safetensors"));
  const auto read = train::load_model(folder.path("model.safetensors"));
  CHECK(read->config() == model->config());
  CHECK(copy(read->weights()) == copy(model->weights()));
}

TEST_CASE("keep_last and the best checkpoint") {
  TemporaryFolder folder("anet-keep");
  const auto session = small_session(small_options());
  const auto data = dataset();
  const double losses[] = {3.0, 1.0, 2.0, 4.0};
  for (const double loss : losses) {
    session->fit(*data, nullptr, steps(1));
    session->save(folder.path("run"), 1, loss);
  }
  const io::CheckpointStore store(folder.path("run"));
  REQUIRE(store.best());
  CHECK(store.best()->entry.step == 2);
  CHECK(store.latest()->step == 4);
  CHECK(store.list().size() == 2); // the newest and the best
}

TEST_CASE("resuming from what is not there, or of another shape, is refused") {
  TemporaryFolder folder("anet-refuse");
  const auto device = backend::open_device("cpu", {.threads = 1});
  CHECK_THROWS_AS(train::resume(device, folder.path("none"), nullptr), Error);
  CHECK_THROWS_AS(train::load_model(folder.path("none.safetensors")), Error);
  const auto session = small_session(small_options());
  session->save(folder.path("run"), 0, {});
  train::SessionOptions other = small_options();
  other.optimizer = train::OptimizerKind::sgd;
  other.momentum = 0.9;
  CHECK_THROWS_WITH_AS(train::resume(device, folder.path("run"), &other),
                       doctest::Contains("momentum_buffer"), Error);
  // Other hyperparameters are fine.
  other = small_options();
  other.learning_rate = 5e-3;
  CHECK(train::resume(device, folder.path("run"), &other)->options().learning_rate == 5e-3);
}

namespace {

// Resumes what is at `root` and trains on, with a checkpoint in `to` after every step.
void resume_and_save(const std::string& root, const std::string& to, int64_t count) {
  const auto session = train::resume(backend::open_device("cpu", {.threads = 1}), root, nullptr);
  train::FitOptions options = steps(count);
  options.save_every = 1;
  options.checkpoint_root = to;
  options.keep_last = 2;
  session->fit(*dataset(), nullptr, options);
}

} // namespace

TEST_CASE("a process killed at any moment leaves a loadable checkpoint") {
  TemporaryFolder folder("anet-kill");
  const std::string root = folder.path("run");
  {
    const auto session = small_session(small_options(), 1);
    session->save(root, 2, {});
  }
  // Moments from before the first step to after a few, however fast the machine is.
  const auto start = std::chrono::steady_clock::now();
  resume_and_save(root, folder.path("measured"), 2);
  const std::chrono::duration<double, std::micro> life = std::chrono::steady_clock::now() - start;
  constexpr int kills = 50;
  int64_t furthest = 0;
  for (int i = 0; i < kills; ++i) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      // Nothing of doctest runs in the child.
      try {
        resume_and_save(root, root, 1'000'000);
      } catch (...) {
      }
      _exit(1);
    }
    Random random(static_cast<uint64_t>(i));
    usleep(static_cast<useconds_t>(random.below(static_cast<uint64_t>(4 * life.count()))));
    kill(child, SIGKILL);
    int state = 0;
    waitpid(child, &state, 0);
    CHECK(WIFSIGNALED(state)); // it was still at work, not gone by itself
    const io::CheckpointStore store(root);
    const auto latest = store.open_latest();
    REQUIRE(latest);
    CHECK(latest->step() >= furthest);
    furthest = latest->step();
  }
  MESSAGE("reached step " << furthest << " in " << kills << " lives");
  CHECK(furthest > 0);
}
