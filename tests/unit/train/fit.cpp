// The training loop over packed, shuffled data: resuming, other data, early stopping, events.
#include "base/status.h"
#include "support.h"
#include "train/session.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

using namespace anet;
using namespace anet::test;

namespace {

// Cuts a stream into documents of 3 to 9 tokens and packs as many as fit into each row.
class PackedTokens final : public io::Dataset {
public:
  PackedTokens(std::shared_ptr<const io::TokenSource> tokens, std::string name, uint64_t seed = 8)
      : Dataset({.shuffle = true, .seed = seed}), tokens_(std::move(tokens)),
        name_(std::move(name)) {
    Random random(seed, 77);
    int64_t used = row_length;
    for (int64_t begin = 0; begin + 10 <= tokens_->size();) {
      const auto length = static_cast<int64_t>(3 + random.below(7));
      if (used + length > row_length) {
        rows_.emplace_back();
        used = 0;
      }
      rows_.back().push_back({begin, begin + length});
      begin += length;
      used += length;
    }
  }
  int64_t count() const override { return static_cast<int64_t>(rows_.size()); }
  int64_t sequence_length() const override { return row_length; }
  std::string fingerprint() const override { return name_; }
  void read_example(int64_t index, const io::ExampleRow& row) const override {
    std::fill(row.inputs.begin(), row.inputs.end(), 0);
    std::fill(row.targets.begin(), row.targets.end(), io::ignored_target);
    std::fill(row.positions.begin(), row.positions.end(), 0);
    size_t column = 0;
    for (const io::TokenRange& document : rows_[static_cast<size_t>(index)]) {
      const auto size = static_cast<size_t>(document.size());
      tokens_->read(document.begin, row.inputs.subspan(column, size));
      tokens_->read(document.begin + 1, row.targets.subspan(column, size));
      for (size_t i = 0; i < size; ++i) row.positions[column + i] = static_cast<int32_t>(i);
      column += size;
    }
  }

private:
  static constexpr int64_t row_length = 16;
  std::shared_ptr<const io::TokenSource> tokens_;
  std::string name_;
  std::vector<std::vector<io::TokenRange>> rows_;
};

PackedTokens packed(const std::string& name = "packed", uint64_t seed = 8) {
  return PackedTokens(std::make_shared<io::TokenArray>(patterned_tokens(700, 2), 64), name, seed);
}

train::SessionOptions packed_options() {
  train::SessionOptions options = small_options();
  options.documents = true;
  options.accumulation_steps = 2;
  options.schedule = train::ScheduleKind::cosine;
  options.warmup_steps = 3;
  options.total_steps = 60;
  return options;
}

train::FitOptions steps(int64_t count) {
  train::FitOptions options;
  options.steps = count;
  return options;
}

// A session whose validation loss cannot improve: it does not learn.
std::unique_ptr<train::Session> idle_session() {
  train::SessionOptions options = small_options();
  options.documents = true;
  options.learning_rate = 1e-12;
  options.weight_decay = 0;
  return small_session(options);
}

} // namespace

TEST_CASE("a run over packed, shuffled data goes on bit for bit, across epochs") {
  const TemporaryFolder folder("anet-packed-resume");
  const auto device = backend::open_device("cpu", {.threads = 2});
  const PackedTokens data = packed();
  REQUIRE(data.count() < 24 * 4); // the run below enters its second epoch
  for (const auto precision : {train::PrecisionMode::f32, train::PrecisionMode::f16}) {
    train::SessionOptions options = packed_options();
    options.precision = precision;
    const auto straight = small_session(options);
    const train::FitResult expected = straight->fit(data, nullptr, steps(24));
    CHECK(expected.step.tokens_seen > 24 * 4 * 8); // most of the columns hold a target
    for (const int64_t k : {1, 9, 20}) {
      CAPTURE(k);
      const auto first = small_session(options);
      first->fit(data, nullptr, steps(k));
      const std::string root = folder.path(std::to_string(int(precision)) + std::to_string(k));
      first->save(root, 0, {});
      const auto second = train::resume(device, root, nullptr);
      CHECK(second->options().documents);
      const train::FitResult last = second->fit(data, nullptr, steps(24 - k));
      CHECK(last.end == train::FitEnd::steps);
      CHECK(last.step.loss == expected.step.loss);
      CHECK(last.step.tokens_seen == expected.step.tokens_seen);
      CHECK(copy(second->weights()) == copy(straight->weights()));
    }
  }
}

TEST_CASE("a resumed run refuses other data until it is told to begin anew") {
  const TemporaryFolder folder("anet-other-data");
  const auto device = backend::open_device("cpu", {.threads = 1});
  const PackedTokens data = packed();
  const PackedTokens other = packed("other", 9);
  const auto session = small_session(packed_options());
  session->fit(data, nullptr, steps(2));
  session->fit(other, nullptr, steps(1)); // whose loop it is knows what it does
  session->fit(data, nullptr, steps(1));
  session->save(folder.path("run"), 0, {});

  const auto resumed = train::resume(device, folder.path("run"), nullptr);
  const std::vector<float> before = copy(resumed->weights());
  try {
    resumed->fit(other, nullptr, steps(1));
    FAIL("expected a refusal");
  } catch (const Error& error) {
    CHECK(error.status() == Status::invalid_data);
    CHECK(error.message().find("set the cursor to 0") != std::string::npos);
  }
  CHECK(copy(resumed->weights()) == before);
  CHECK(resumed->steps_done() == 4);
  resumed->set_cursor(0);
  CHECK(resumed->fit(other, nullptr, steps(1)).step.step == 5);
  CHECK(resumed->cursor() == 4);
}

TEST_CASE("training that no longer improves ends early, and a resumed run goes on counting") {
  const TemporaryFolder folder("anet-patience");
  const PackedTokens data = packed();
  train::FitOptions options = steps(40);
  options.eval_every = 2;
  options.eval_windows = 4;
  options.patience = 3;
  options.min_delta = 1e-3;
  const auto session = idle_session();
  const train::FitResult result = session->fit(data, &data, options);
  CHECK(result.end == train::FitEnd::no_improvement);
  CHECK(result.step.step == 8); // the best at 2, then 4, 6 and 8 are no better
  CHECK(result.best_step == 2);
  REQUIRE(result.evaluation);
  CHECK(*result.best_loss == doctest::Approx(result.evaluation->loss).epsilon(1e-6));

  const auto first = idle_session();
  options.steps = 5;
  options.save_every = 5;
  options.checkpoint_root = folder.path("run");
  CHECK(first->fit(data, &data, options).end == train::FitEnd::steps);
  const auto second =
      train::resume(backend::open_device("cpu", {.threads = 2}), folder.path("run"), nullptr);
  options.steps = 40;
  const train::FitResult resumed = second->fit(data, &data, options);
  CHECK(resumed.end == train::FitEnd::no_improvement);
  CHECK(resumed.step.step == 8);
  CHECK(resumed.best_step == 2);

  // While it learns it goes on.
  train::SessionOptions learning = packed_options();
  const auto other = small_session(learning);
  options.steps = 12;
  options.save_every = 0;
  CHECK(other->fit(data, &data, options).end == train::FitEnd::steps);
}

TEST_CASE("a fit that would save beside another run's later checkpoints does not begin") {
  const PackedTokens data = packed();
  const TemporaryFolder folder("anet-abandoned");
  const auto device = backend::open_device("cpu", {.threads = 2});
  train::FitOptions options = steps(6);
  options.save_every = 2;
  options.checkpoint_root = folder.path("run");
  small_session(packed_options())->fit(data, nullptr, options);
  const auto earlier = train::resume(device, folder.path("run/step-00000002"), nullptr);
  options.steps = 2; // its first checkpoint would replace one
  CHECK_THROWS_WITH_AS(earlier->fit(data, nullptr, options), doctest::Contains("step-00000006"),
                       Error);
  CHECK(earlier->steps_done() == 2);
  CHECK(status_of([&] { earlier->save(folder.path("run"), 0, {}); }) == Status::invalid_argument);
  CHECK(train::resume(device, folder.path("run"), nullptr)->steps_done() == 6);
  // The run goes on where nobody else's are, and the latest goes on where it is.
  options.checkpoint_root = folder.path("other");
  CHECK(earlier->fit(data, nullptr, options).step.step == 4);
  const auto latest = train::resume(device, folder.path("run"), nullptr);
  options.checkpoint_root = folder.path("run");
  CHECK(latest->fit(data, nullptr, options).step.step == 8);
}

TEST_CASE("events come when they are due, the last evaluation too") {
  const PackedTokens data = packed();
  const auto session = small_session(packed_options());
  std::vector<int> kinds;
  int improved = 0;
  train::FitOptions options = steps(5);
  options.eval_every = 2;
  options.eval_at_end = true;
  options.sample_every = 3;
  options.callback = [&](const train::FitEvent& event) {
    kinds.push_back(static_cast<int>(event.kind));
    if (event.kind == train::FitEvent::Kind::eval) improved += event.improved;
    return 0;
  };
  const train::FitResult result = session->fit(data, &data, options);
  CHECK(kinds == std::vector<int>{1, 1, 2, 1, 4, 1, 2, 1, 2});
  CHECK(improved == 3);
  CHECK(result.end == train::FitEnd::steps);
  REQUIRE(result.evaluation);
  CHECK(result.evaluation->loss == session->evaluate(data, 0).loss);

  kinds.clear();
  options.callback = [&](const train::FitEvent& event) {
    kinds.push_back(static_cast<int>(event.kind));
    return event.kind == train::FitEvent::Kind::sample ? 1 : 0;
  };
  CHECK(session->fit(data, &data, options).end == train::FitEnd::callback);
  CHECK(session->steps_done() == 6);
  CHECK(kinds == std::vector<int>{1, 2, 4});
}

TEST_CASE("fit options that would do nothing are refused") {
  const PackedTokens data = packed();
  const auto session = small_session(packed_options());
  const auto refusal = [&](auto&& edit, const io::Dataset* validation) {
    train::FitOptions options = steps(1);
    edit(options);
    return status_of([&] { session->fit(data, validation, options); });
  };
  using O = train::FitOptions;
  CHECK(refusal([](O& o) { o.eval_at_end = true; }, nullptr) == Status::invalid_argument);
  CHECK(refusal([](O& o) { o.patience = 1; }, &data) == Status::invalid_argument);
  CHECK(refusal([](O& o) { o.patience = -1; }, &data) == Status::invalid_argument);
  CHECK(refusal([](O& o) { o.min_delta = 0.1; }, &data) == Status::unsupported_option);
  CHECK(refusal([](O& o) { o.min_delta = -0.1; }, &data) == Status::invalid_argument);
  CHECK(refusal([](O& o) { o.sample_every = 2; }, &data) == Status::invalid_argument);
  CHECK(session->steps_done() == 0);
}

TEST_CASE("any number of steps may be asked for, also by a session that has made some") {
  const auto session = small_session(packed_options());
  const PackedTokens data = packed();
  session->fit(data, nullptr, steps(2));
  train::FitOptions forever = steps(std::numeric_limits<int64_t>::max());
  forever.callback = [](const train::FitEvent& event) { return event.step.step == 5 ? 1 : 0; };
  const train::FitResult result = session->fit(data, nullptr, forever);
  CHECK(result.end == train::FitEnd::callback);
  CHECK(session->steps_done() == 5);
}
