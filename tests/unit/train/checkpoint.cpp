#include "base/status.h"
#include "support.h"
#include "train/session.h"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
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
  for (const auto optimizer : {train::OptimizerKind::adamw, train::OptimizerKind::sgd}) {
    for (const auto precision : {train::PrecisionMode::f32, train::PrecisionMode::f16}) {
      for (const int64_t k : {1, 4, 9}) {
        CAPTURE(k);
        const auto data = dataset();
        train::SessionOptions options = scheduled(optimizer);
        options.precision = precision;
        const auto straight = small_session(options);
        straight->fit(*data, nullptr, steps(10));

        const auto first = small_session(options);
        first->set_property("epoch", "\"3\" \xc3\xa9");
        first->fit(*data, nullptr, steps(k));
        const std::string root = folder.path(std::to_string(int(optimizer)) +
                                             std::to_string(int(precision)) + std::to_string(k));
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
