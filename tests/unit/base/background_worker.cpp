#include "base/background_worker.h"

#include "base/pending_write.h"

#include <atomic>
#include <chrono>
#include <doctest/doctest.h>
#include <future>
#include <stdexcept>
#include <thread>
#include <vector>

using anet::BackgroundWorker;
using anet::PendingWrite;

TEST_CASE("background worker: tasks are done in order, and those asked for are waited for") {
  std::vector<size_t> done;
  std::promise<void> may_go_on;
  const std::shared_future<void> signal(may_go_on.get_future());
  BackgroundWorker worker([&](size_t task) {
    if (task == 3) signal.wait();
    done.push_back(task);
  });
  worker.start(5);
  worker.wait(3); // would hang if it waited for more
  CHECK(std::vector<size_t>(done.begin(), done.begin() + 3) == std::vector<size_t>{0, 1, 2});
  may_go_on.set_value();
  worker.finish();
  CHECK(done == std::vector<size_t>{0, 1, 2, 3, 4});
  worker.wait(9); // there are no more
  worker.start(0);
  worker.add();
  worker.add();
  worker.settle();
  CHECK(done == std::vector<size_t>{0, 1, 2, 3, 4, 0, 1});
}

TEST_CASE("background worker: an error is thrown until it is taken, and the tasks go on") {
  std::atomic<int> done{0};
  BackgroundWorker worker([&](size_t task) {
    done += 1;
    if (task == 1 || task == 2) throw std::runtime_error(std::to_string(task));
  });
  for (int round = 0; round < 100; ++round) {
    done = 0;
    worker.start(4);
    worker.settle();
    CHECK(done == 4);
    CHECK_THROWS_WITH(worker.wait(4), "1");
    CHECK_THROWS_WITH(worker.wait(0), "1");
    CHECK_THROWS_WITH(worker.finish(), "1");
    worker.finish();
  }
  worker.start(2);
  worker.settle();
  worker.start(1); // forgets that of task 1
  worker.finish();
}

TEST_CASE("background worker: its end waits for all tasks") {
  std::atomic<int> done{0};
  {
    BackgroundWorker worker([&](size_t) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      done += 1;
    });
    worker.start(4);
  }
  CHECK(done == 4);
}

TEST_CASE("a pending write is waited for by everybody") {
  PendingWrite pending;
  pending.wait();
  int value = 0;
  for (int round = 1; round <= 200; ++round) {
    pending.begin();
    std::vector<std::thread> readers;
    std::atomic<int> seen{0};
    for (int reader = 0; reader < 2; ++reader)
      readers.emplace_back([&] {
        pending.wait();
        seen += value == round ? 1 : 0;
      });
    value = round;
    pending.end();
    for (std::thread& reader : readers) reader.join();
    REQUIRE(seen == 2);
  }
}
