// Faults of the engine during training: the run without them is the measure.
#include "train_support.h"

#include "backend/run_totals.h"
#include "base/status.h"

#include <doctest/doctest.h>

#include <cmath>
#include <optional>

using namespace anet;
using namespace anet::test;
using backend::AuditAction;

namespace {

constexpr int steps = 12;

std::vector<double> losses_of(std::span<const train::StepResult> results) {
  std::vector<double> losses;
  for (const train::StepResult& result : results) losses.push_back(result.loss);
  return losses;
}

// On the CPU: no fault of the engine can be in it.
const std::vector<double>& expected_losses() {
  static const std::vector<double> losses = losses_of(train_steps(
      *make_session(backend::open_device("cpu", {.threads = 2}), half_options()), steps));
  return losses;
}

void check_losses(std::span<const train::StepResult> results) {
  REQUIRE(results.size() == expected_losses().size());
  for (size_t i = 0; i < results.size(); ++i) {
    CAPTURE(i);
    CHECK(results[i].loss == doctest::Approx(expected_losses()[i]).epsilon(0.01));
  }
}

backend::RunTotals sum_of(std::span<const train::StepResult> results) {
  backend::RunTotals sum;
  for (const train::StepResult& result : results) backend::add_totals(sum, result.work);
  return sum;
}

bool mentions(const train::Session& session, const std::string& words) {
  for (size_t i = 0; i < session.kernel_count(); ++i)
    if (session.kernel_report(i).placement.reason.find(words) != std::string::npos) return true;
  return false;
}

// Trains with a fault that begins after the session was made.
struct Faulty {
  AneFixture f;
  std::unique_ptr<train::Session> session;

  void begin(const std::string& fault, const std::string& when) {
    session = make_session(f.open(), half_options());
    f.emulator.set(fault, when);
  }
};

} // namespace

TEST_CASE("an evaluation that fails once is repeated") {
  for (const std::string fault : {"fail_evaluate", "raise_evaluate"}) {
    CAPTURE(fault);
    Faulty faulty;
    faulty.begin(fault, "9");
    const auto results = train_steps(*faulty.session, steps);
    check_losses(results);
    CHECK(sum_of(results).retries == 1);
    CHECK(sum_of(results).fallbacks == 0);
  }
}

TEST_CASE("evaluations that go on failing move the work to the CPU") {
  for (const std::string fault : {"fail_evaluate", "raise_evaluate"}) {
    CAPTURE(fault);
    Faulty faulty;
    faulty.begin(fault, "20+");
    const auto results = train_steps(*faulty.session, steps);
    check_losses(results);
    CHECK(sum_of(results).fallbacks > 0);
    CHECK(results.back().work.evaluations == 0);
    CHECK(results.back().work.engine_flops == 0);
    CHECK(results.back().work.host_flops > 0);
    bool explained = false;
    for (size_t i = 0; i < faulty.session->kernel_count(); ++i) {
      const backend::Placement placement = faulty.session->kernel_report(i).placement;
      if (faulty.session->kernel_report(i).label == std::string("block_forward")) {
        CHECK(placement.where == "cpu");
        explained = !placement.reason.empty();
      }
    }
    CHECK(explained);
  }
}

TEST_CASE("zeros that the engine returns for nothing are seen without an audit") {
  Faulty faulty;
  faulty.begin("zero_evaluate", "every:11");
  const auto results = train_steps(*faulty.session, steps);
  check_losses(results);
  CHECK(sum_of(results).fallbacks > 0);
  CHECK(mentions(*faulty.session, "zeros"));
}

TEST_CASE("an audit of every run sees one wrong value") {
  Faulty faulty;
  faulty.f.options.ane.audit_every = 1;
  SUBCASE("and goes on with the CPU's") {
    faulty.begin("corrupt_evaluate", "every:10");
    const auto results = train_steps(*faulty.session, steps);
    check_losses(results);
    CHECK(sum_of(results).audits > 0);
    CHECK(sum_of(results).fallbacks > 0);
    CHECK(sum_of(results).audit_error > 0.05);
  }
  SUBCASE("or fails the step, which leaves weights and optimizer as they were") {
    faulty.f.options.ane.audit_action = AuditAction::error;
    faulty.begin("corrupt_evaluate", "20");
    std::vector<train::StepResult> results;
    int failures = 0;
    while (results.size() < static_cast<size_t>(steps)) {
      const std::vector<float> before = copy(faulty.session->weights());
      try {
        results.push_back(
            train_steps(*faulty.session, 1, static_cast<int>(results.size())).front());
      } catch (const Error& error) {
        CHECK(error.status() == Status::numeric);
        CHECK(copy(faulty.session->weights()) == before);
        REQUIRE(++failures < 3);
      }
    }
    CHECK(failures == 1);
    check_losses(results);
  }
}

TEST_CASE("an audit of a good engine finds nothing") {
  AneFixture f;
  f.options.ane.audit_every = 2;
  const auto session = make_session(f.open(), half_options());
  const auto results = train_steps(*session, steps);
  check_losses(results);
  const backend::RunTotals sum = sum_of(results);
  CHECK(sum.audits > 0);
  CHECK(sum.audit_error > 0);
  CHECK(sum.audit_error < 0.05);
  CHECK(sum.fallbacks == 0);
  CHECK(engine_share(results.back().work) > 0.6); // the rest is the audits'
}

TEST_CASE("an evaluation that takes long is waited for") {
  Faulty faulty;
  faulty.f.emulator.set("hang_ms", "300");
  faulty.begin("hang_evaluate", "5");
  const auto results = train_steps(*faulty.session, steps);
  check_losses(results);
  CHECK(results.front().work.engine_seconds >= 0.3);
  CHECK(sum_of(results).fallbacks == 0);
}

TEST_CASE("programs that do not compile run on the CPU, and say why") {
  for (const std::string when : {"1", "2", "3", "1+"}) {
    CAPTURE(when);
    AneFixture f;
    const auto device = f.open();
    f.emulator.set("fail_compile", when);
    const auto session = make_session(device, half_options());
    // Two micro-batches, whose gradients are added up: the kernels of one asked again for a program
    // that those of sums failed to get.
    std::vector<train::StepResult> results;
    for (uint64_t step = 0; step < steps; ++step) {
      const train::SessionOptions& options = session->options();
      const OwnedBatch batch(100 + step, options.batch_size, options.sequence_length);
      const train::Batch pair[] = {batch.view(), batch.view()};
      results.push_back(session->step(pair));
    }
    check_losses(results);
    CHECK(sum_of(results).host_flops > 0);
    CHECK((sum_of(results).engine_flops > 0) == (when != "1+"));
    CHECK(mentions(*session, "CompilationFailure"));
  }
}

TEST_CASE("loads that fail at first are tried again") {
  AneFixture f;
  const auto device = f.open();
  f.emulator.set("transient_load", "2");
  const auto session = make_session(device, half_options());
  const auto results = train_steps(*session, steps);
  check_losses(results);
  CHECK(engine_share(results.back().work) >= 0.95);
}

TEST_CASE("a budget too small for a session is a recoverable status or the CPU, as placed") {
  AneFixture f;
  f.options.ane.compile_budget = 2;
  const auto device = f.open();
  try {
    make_session(device, half_options());
    FAIL("expected a refusal");
  } catch (const Error& error) {
    CHECK(error.status() == Status::compile_budget);
  }
  f.options.ane.placement.fill(backend::PlacementPolicy::host);
  check_losses(train_steps(*make_session(f.open(), half_options()), steps));
}

TEST_CASE("surfaces that cannot be made leave a session that was not, and no memory") {
  AneFixture f;
  const auto device = f.open();
  for (int nth = 1; nth < 60; nth += 7) {
    CAPTURE(nth);
    const int64_t surfaces = f.emulator.count("live_surfaces");
    f.emulator.set("fail_surface", std::to_string(nth));
    try {
      const auto session = make_session(device, half_options());
      check_losses(train_steps(*session, steps)); // the fault came later, and was answered
    } catch (const Error& error) {
      CHECK(error.status() == Status::out_of_memory);
    }
    f.emulator.set("fail_surface", "0");
    CHECK(f.emulator.count("live_surfaces") == surfaces);
  }
  check_losses(train_steps(*make_session(device, half_options()), steps));
}

TEST_CASE("faults at random for 200 steps") {
  const int many = 200;
  const auto measure =
      train_steps(*make_session(backend::open_device("cpu", {.threads = 2}), half_options()), many);
  for (const std::string fault :
       {"fail_evaluate", "raise_evaluate", "zero_evaluate", "corrupt_evaluate"}) {
    CAPTURE(fault);
    Faulty faulty;
    faulty.f.options.ane.audit_every = fault == "corrupt_evaluate" ? 1 : 0;
    faulty.begin(fault, "random:0.003:" + std::to_string(fault.size()));
    const auto results = train_steps(*faulty.session, many);
    double seen = 0, expected = 0;
    for (size_t i = results.size() - 20; i < results.size(); ++i) {
      seen += results[i].loss;
      expected += measure[i].loss;
    }
    CHECK(seen == doctest::Approx(expected).epsilon(0.01));
    CHECK(sum_of(results).retries + sum_of(results).fallbacks > 0);
  }
}
