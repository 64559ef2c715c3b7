// Updates that go on when the step has returned, on a device that says so: the CPU, with buffers
// that let the update wait or fail.
#include "train/background_update.h"

#include "base/float16.h"
#include "base/status.h"
#include "io/model_file/saved_model.h"
#include "support.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <doctest/doctest.h>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

using namespace anet;
using namespace anet::test;
using backend::Buffer;
using backend::Layout;
using mil::DataType;

namespace {

// What happens to the threads that map a buffer of the device for writing, or let go of one that
// they have read.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  std::thread::id caller; // is let through
  bool closed = false;
  int64_t fail_at = 0; // the n-th from now on of the other threads; 0: none
  int64_t failures = 0;
  int64_t hold_at = 0; // the n-th of the other threads to let go, and whoever is behind it
  bool holding = false;

  void pass() {
    std::unique_lock lock(mutex);
    if (std::this_thread::get_id() == caller) return;
    changed.wait(lock, [&] { return !closed; });
    if (fail_at > 0 && --fail_at == 0) {
      failures += 1;
      fail(Status::device, "expected a lock");
    }
  }
  void leave() {
    std::unique_lock lock(mutex);
    if (std::this_thread::get_id() == caller) return;
    if (hold_at > 0 && --hold_at == 0) holding = true;
    changed.wait(lock, [&] { return !holding; });
  }
  void set(bool close, int64_t hold = 0) {
    {
      const std::lock_guard lock(mutex);
      closed = close;
      hold_at = hold;
      holding = false;
    }
    changed.notify_all();
  }
};

class GateBuffer final : public Buffer {
public:
  GateBuffer(std::unique_ptr<Buffer> inner, std::shared_ptr<Gate> gate)
      : Buffer(inner->layout(), inner->size_bytes()), inner_(std::move(inner)),
        gate_(std::move(gate)) {}
  std::byte* data() override { return inner_->data(); }
  void map(bool write) override {
    if (write && layout().dtype == DataType::fp16) gate_->pass();
    inner_->map(write);
    mappings_ += 1;
    read_ = !write;
  }
  void unmap() override {
    const bool read = read_;
    mappings_ -= 1;
    inner_->unmap();
    if (read && layout().dtype == DataType::fp16) gate_->leave();
  }

private:
  bool read_ = false;
  std::unique_ptr<Buffer> inner_;
  std::shared_ptr<Gate> gate_;
};

class BesideDevice final : public backend::Device {
public:
  explicit BesideDevice(bool narrow)
      : inner_(backend::open_device("cpu", {.threads = 2})), gate(std::make_shared<Gate>()),
        capabilities_(inner_->capabilities()) {
    capabilities_.leaves_host_free = true;
    capabilities_.narrow_gradients = narrow;
    gate->caller = std::this_thread::get_id();
  }
  const backend::Capabilities& capabilities() const override { return capabilities_; }
  ThreadPool& thread_pool() override { return inner_->thread_pool(); }
  backend::Support supports(const mil::Function& function,
                            const mil::Operation& op) const override {
    return inner_->supports(function, op);
  }
  std::unique_ptr<Buffer> allocate(const Layout& layout) override {
    return std::make_unique<GateBuffer>(inner_->allocate(layout), gate);
  }
  std::unique_ptr<Buffer> import(std::byte* data, size_t size, const Layout& layout) override {
    return inner_->import(data, size, layout);
  }
  std::unique_ptr<Buffer> import_native(void* handle, const Layout& layout) override {
    return inner_->import_native(handle, layout);
  }
  std::shared_ptr<backend::Workspace> make_workspace() override { return inner_->make_workspace(); }
  std::unique_ptr<backend::Kernel> compile(const mil::Function& function,
                                           const backend::CompileOptions& options) override {
    return inner_->compile(function, options);
  }
  std::string report() const override { return inner_->report(); }

private:
  std::shared_ptr<backend::Device> inner_;

public:
  std::shared_ptr<Gate> gate;

private:
  backend::Capabilities capabilities_;
};

train::SessionOptions half_options() {
  train::SessionOptions options = small_options();
  options.precision = train::PrecisionMode::f16;
  return options;
}

model::Config config_of(bool tied) {
  model::Config config = small_config();
  config.tie_embeddings = tied;
  return model::resolve(config);
}

// Two sessions with the same weights: one whose updates go on after its steps, and one that has
// shared its weights with its caller, so that they do not.
struct Pair {
  std::shared_ptr<BesideDevice> device;
  std::unique_ptr<train::Session> beside;
  std::unique_ptr<train::Session> measure;

  explicit Pair(bool narrow = true, bool tied = true,
                const train::SessionOptions& options = half_options())
      : device(std::make_shared<BesideDevice>(narrow)) {
    const auto make = [&](std::shared_ptr<backend::Device> on) {
      auto model = std::make_shared<model::Model>(config_of(tied));
      model::initialize(model->parameters(), model->config(), 1, model->weights());
      return std::make_unique<train::Session>(std::move(on), model, options);
    };
    beside = make(device);
    measure = make(std::make_shared<BesideDevice>(narrow));
    measure->share_weights();
  }
  ~Pair() { device->gate->set(false); }

  // The same step of both.
  void step(uint64_t seed) {
    const OwnedBatch owned(seed);
    const train::Batch batch = owned.view();
    const train::StepResult expected = measure->step({&batch, 1});
    const train::StepResult seen = beside->step({&batch, 1});
    CHECK(seen.loss == expected.loss);
    REQUIRE(seen.skipped == expected.skipped);
    if (!seen.skipped) CHECK(seen.grad_norm == expected.grad_norm);
  }
  void check_equal() { CHECK(copy(beside->weights()) == copy(measure->weights())); }
  // From now on updates do not end; the last one has.
  void hold_updates() {
    check_equal();
    device->gate->set(true);
  }
  // Whether `action` waits for an update that is held up, and ends when it does.
  template <typename Action>
  void check_waits(Action&& action) {
    hold_updates();
    step(7);
    std::promise<void> begun;
    auto end = std::async(std::launch::async, [&] {
      begun.set_value();
      action();
    });
    begun.get_future().wait();
    CHECK(end.wait_for(std::chrono::milliseconds(20)) == std::future_status::timeout);
    device->gate->set(false);
    end.get();
    check_equal();
  }
};

} // namespace

TEST_CASE("steps whose updates go on beside the next ones make the same bits") {
  for (const bool narrow : {false, true})
    for (const bool tied : {false, true}) {
      CAPTURE(narrow);
      CAPTURE(tied);
      train::SessionOptions options = half_options();
      options.optimizer = narrow == tied ? train::OptimizerKind::adamw : train::OptimizerKind::sgd;
      if (narrow) options.optimizer_precision = train::PrecisionMode::bf16;
      if (options.optimizer == train::OptimizerKind::sgd) options.momentum = 0.9;
      Pair pair(narrow, tied, options);
      for (uint64_t seed = 0; seed < 12; ++seed) {
        pair.step(seed);
        if (seed % 4 == 1) {
          const OwnedBatch unseen(99);
          CHECK(pair.beside->eval(unseen.view()).loss == pair.measure->eval(unseen.view()).loss);
        }
        if (seed % 4 == 2) {
          const OwnedBatch first(100 + seed), second(200 + seed);
          const train::Batch batches[] = {first.view(), second.view()};
          CHECK(pair.beside->step(batches).grad_norm == pair.measure->step(batches).grad_norm);
        }
      }
      pair.check_equal();
      CHECK(pair.beside->steps_done() >= 12);
    }
}

TEST_CASE("late state comes behind the copies, in its order, and the whole has the same bits") {
  const model::ParameterTable table(config_of(false));
  const train::TrainedTensors tensors(table.all(), {});
  const auto device = backend::open_device("cpu", {.threads = 2});
  std::vector<backend::StagedPart> parts;
  for (const model::Parameter& parameter : table.all())
    if (parameter.shape.size() == 2)
      parts.push_back({parameter.offset, Layout::contiguous(DataType::fp16, parameter.shape)});
  const auto offset = [&](const char* name) {
    return tensors.find(*table.find(std::string("model.layers.0.") + name + ".weight"))->offset;
  };
  const int64_t late[] = {offset("mlp.up_proj"), offset("self_attn.q_proj")};

  const auto values = [&](float scale) {
    std::vector<float> result(static_cast<size_t>(table.flat_size()));
    for (size_t i = 0; i < result.size(); ++i)
      result[i] = scale * std::sin(static_cast<float>(i) + scale);
    return result;
  };
  const train::SessionOptions options = train::resolve(small_options(), config_of(false));
  train::Optimizer optimizer(options, tensors), expected(options, tensors);
  optimizer.allocate();
  expected.allocate();
  FlatArray weights(table.flat_size());
  std::vector<float> expected_weights = values(1);
  std::copy(expected_weights.begin(), expected_weights.end(), weights.values().begin());
  backend::StagedArray array(*device, weights.values(), parts);
  train::BackgroundUpdate update(array, {}, late, tensors, device->thread_pool());

  CHECK(update.copies_until_read(late[0], late[0] + 1) == array.copy_count() + 1);
  CHECK(update.copies_until_read(late[1], late[1] + 1) == array.copy_count() + 2);
  CHECK(update.copies_until_read(0, tensors.flat_size()) == array.copy_count() + 2);
  const int64_t other = offset("mlp.gate_proj");
  CHECK(update.copies_until_read(other, other + 1) <= array.copy_count());

  for (int step = 1; step < 4; ++step) {
    std::vector<float> gradients = values(0.1f * static_cast<float>(step)), same = gradients;
    expected.update(device->thread_pool(), {0.01, 0.5}, {expected_weights, same});
    optimizer.begin_update({0.01, 0.5}, {weights.values(), gradients});
    PendingWrite pending;
    update.update(optimizer, std::nullopt, pending);
    update.wait(array.copy_count());
    for (size_t copy = 0; copy < array.copy_count(); ++copy) {
      const backend::StagedPart& part = array.part(copy);
      const auto count = static_cast<size_t>(mil::element_count(part.layout.shape));
      const backend::View view = array.view(part);
      const auto* seen = reinterpret_cast<const uint16_t*>(view.buffer->data());
      for (size_t i = 0; i < count; ++i)
        REQUIRE(seen[i] == float_to_half(expected_weights[static_cast<size_t>(part.offset) + i]));
    }
    update.finish();
    pending.wait();
    CHECK(copy(weights.values()) == expected_weights);
    CHECK(gradients == same);
    for (size_t index = 0; index < 2; ++index) {
      const auto bytes = [&](const train::Optimizer& of) {
        const auto seen = of.state(index).bytes(0, tensors.flat_size());
        return std::vector<std::byte>(seen.begin(), seen.end());
      };
      CHECK(bytes(optimizer) == bytes(expected));
    }
  }
}

TEST_CASE("a step returns before its update ends, and whoever sees what it writes waits") {
  Pair pair;
  pair.step(1);
  train::Session& session = *pair.beside;
  const TemporaryFolder folder("background-update");
  const OwnedBatch unseen(9);
  float read = 0;
  SUBCASE("weights of the session") {
    pair.check_waits([&] { read = session.weights()[5]; });
    CHECK(read == pair.measure->weights()[5]);
  }
  SUBCASE("weights of the model") {
    const model::Model& model = *session.model();
    pair.check_waits([&] { read = model.weights()[5]; });
    CHECK(read == pair.measure->weights()[5]);
  }
  SUBCASE("one of its tensors") {
    const model::Parameter& last = session.model()->parameters().final_norm();
    pair.check_waits([&] { read = session.model()->values(last)[3]; });
    CHECK(read == pair.measure->model()->values(last)[3]);
  }
  SUBCASE("gradients") {
    pair.check_waits([&] {
      for (const float value : session.gradients()) read += std::abs(value);
    });
    CHECK(read == 0);
    CHECK_FALSE(session.gradients().empty());
  }
  SUBCASE("zeroing gradients") {
    pair.check_waits([&] { session.zero_gradients(); });
  }
  SUBCASE("a checkpoint") {
    pair.check_waits([&] { session.save(folder.path("a"), 0, {}); });
    pair.measure->save(folder.path("b"), 0, {});
    const auto cpu = backend::open_device("cpu", {.threads = 2});
    const auto a = train::resume(cpu, folder.path("a"), nullptr);
    const auto b = train::resume(cpu, folder.path("b"), nullptr);
    const OwnedBatch owned(3);
    const train::Batch batch = owned.view();
    CHECK(a->step({&batch, 1}).loss == b->step({&batch, 1}).loss);
    CHECK(copy(a->weights()) == copy(b->weights())); // of equal states of the optimizer
  }
  SUBCASE("the model in a file") {
    pair.check_waits([&] { io::save_model(*session.model(), folder.path("model")); });
    CHECK(copy(train::load_model(folder.path("model"))->weights()) ==
          copy(pair.measure->weights()));
  }
  SUBCASE("an evaluation") {
    double loss = 0;
    pair.check_waits([&] { loss = session.eval(unseen.view()).loss; });
    CHECK(loss == pair.measure->eval(unseen.view()).loss);
  }
  SUBCASE("the next step") {
    const OwnedBatch owned(30);
    const train::Batch batch = owned.view();
    pair.check_waits([&] {
      for (train::Session* one : {&session, pair.measure.get()}) one->step({&batch, 1});
    });
  }
}

TEST_CASE("gradients that the last update has not read yet are not written") {
  for (int64_t at = 1; at <= 24; ++at) { // more than there are parts
    CAPTURE(at);
    Pair pair;
    pair.step(1);
    pair.hold_updates();
    pair.step(2);
    pair.device->gate->set(false, at);
    const auto opened = std::async(std::launch::async, [&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      pair.device->gate->set(false);
    });
    pair.step(3);
    opened.wait();
    pair.check_equal();
  }
}

TEST_CASE("the end of a session waits for its update") {
  Pair pair;
  pair.step(1);
  const auto model = pair.beside->model();
  pair.hold_updates();
  pair.step(2);
  auto end = std::async(std::launch::async, [&] { pair.beside.reset(); });
  CHECK(end.wait_for(std::chrono::milliseconds(20)) == std::future_status::timeout);
  pair.device->gate->set(false);
  end.get();
  CHECK(copy(model->weights()) == copy(pair.measure->weights()));
}

TEST_CASE("steps that are skipped or fail leave what the last update made") {
  train::SessionOptions options = half_options();
  options.initial_loss_scale = 1 << 20; // too much at first
  Pair pair(true, true, options);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    pair.step(seed);
    if (seed % 5 != 4) continue;
    // Refused before anything runs, and cancelled in the midst of it.
    OwnedBatch wrong(seed);
    wrong.tokens[3] = 64;
    const train::Batch refused = wrong.view();
    CHECK(status_of([&] { pair.beside->step({&refused, 1}); }) == Status::out_of_range);
    const OwnedBatch again(seed);
    const std::vector<train::Batch> endless(100000, again.view());
    std::atomic<bool> done{false};
    std::thread canceller([&] {
      while (!done.load()) {
        pair.beside->cancel();
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
    });
    CHECK(status_of([&] { pair.beside->step(endless); }) == Status::cancelled);
    done = true;
    canceller.join();
    pair.check_equal();
  }
  CHECK(pair.beside->steps_done() < 20);
  CHECK(pair.beside->steps_done() > 3);
}

TEST_CASE(
    "a copy that cannot be written fails the next step, and the update is made all the same") {
  int64_t failures = 0;
  for (int64_t at = 1; at < 40; at += 3) {
    CAPTURE(at);
    Pair pair;
    pair.step(1);
    pair.check_equal();
    pair.device->gate->fail_at = at;
    pair.step(2);
    pair.check_equal();
    pair.device->gate->fail_at = 0;
    failures += pair.device->gate->failures;
    const OwnedBatch owned(3);
    const train::Batch batch = owned.view();
    if (pair.device->gate->failures > 0)
      CHECK(status_of([&] { pair.beside->step({&batch, 1}); }) == Status::device);
    pair.check_equal();
    for (uint64_t seed = 3; seed < 6; ++seed) pair.step(seed);
    pair.check_equal();
  }
  CHECK(failures > 3);
}

TEST_CASE("weights that are changed between an update and the next step are seen") {
  Pair pair;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    pair.step(seed);
    for (train::Session* session : {pair.beside.get(), pair.measure.get()}) {
      session->weights()[40] += 0.5f;
      session->weights_changed();
    }
  }
  pair.check_equal();
}

TEST_CASE("memory that is the caller's is written before a step returns") {
  for (const bool weights : {true, false}) {
    Pair pair;
    pair.step(0);
    const float* shared =
        weights ? pair.beside->share_weights().data() : pair.beside->gradients().data();
    pair.hold_updates();
    pair.step(1);
    CHECK(*shared == (weights ? pair.measure->weights()[0] : 0.0f));
    pair.device->gate->set(false);
    pair.check_equal();
  }
}
