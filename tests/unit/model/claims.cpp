// Who may train a model, and who may hold it frozen.
#include "base/status.h"
#include "model_cases.h"

#include <atomic>
#include <doctest/doctest.h>
#include <thread>

using namespace anet;

namespace {

template <typename Action>
bool is_busy(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.status() == Status::busy;
  }
  return false;
}

} // namespace

TEST_CASE("a model is trained by one or held frozen by many") {
  const auto model = test::random_model(1, false);
  model->begin_training();
  CHECK(is_busy([&] { model->begin_training(); }));
  CHECK(is_busy([&] { model->freeze(); }));
  model->end_training();
  model->freeze();
  model->freeze();
  CHECK(is_busy([&] { model->begin_training(); }));
  model->thaw();
  CHECK(is_busy([&] { model->check_writable(); }));
  model->thaw();
  model->check_writable();
  model->begin_training(); // what was refused has left nothing behind
  model->end_training();
}

TEST_CASE("of two threads that want a model trained and frozen at most one has it") {
  const auto model = test::random_model(1, false);
  constexpr int rounds = 50'000;
  std::atomic<int> ready{0}, tried{0}, left{0};
  bool frozen = false;
  const auto meet = [](std::atomic<int>& count, int all) {
    count.fetch_add(1);
    while (count.load() < all) continue;
  };
  std::thread other([&] {
    for (int round = 1; round <= rounds; ++round) {
      meet(ready, 2 * round);
      frozen = !is_busy([&] { model->freeze(); });
      meet(tried, 2 * round);
      meet(left, 2 * round);
    }
  });
  int both = 0;
  for (int round = 1; round <= rounds; ++round) {
    meet(ready, 2 * round);
    const bool trained = !is_busy([&] { model->begin_training(); });
    meet(tried, 2 * round);
    if (trained && frozen) ++both;
    if (trained) model->end_training();
    if (frozen) model->thaw();
    meet(left, 2 * round);
  }
  other.join();
  CHECK(both == 0);
}
