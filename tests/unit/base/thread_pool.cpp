#include "base/thread_pool.h"
#include "base/available_cores.h"
#include "base/status.h"

#include <atomic>
#include <chrono>
#include <ctime>
#include <doctest/doctest.h>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

using anet::ThreadPool;

TEST_CASE("thread pool: every index is visited once, whatever the count and the grain") {
  for (const int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (const int64_t count : {0, 1, 2, 3, 16, 17, 1000}) {
      for (const int64_t grain : {1, 7, 16, 5000}) {
        std::vector<int> visits(static_cast<size_t>(count), 0);
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
          CHECK(begin % grain == 0);
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        CHECK(std::accumulate(visits.begin(), visits.end(), int64_t{0}) == count);
        for (const int visit : visits) CHECK(visit == 1);
      }
    }
  }
}

#if defined(__linux__)
TEST_CASE("thread pool: by default a thread for each core that the caller may run on") {
  cpu_set_t all;
  REQUIRE(sched_getaffinity(0, sizeof(all), &all) == 0);
  CHECK(ThreadPool(0).threads() == CPU_COUNT(&all));
  int core = 0;
  while (!CPU_ISSET(core, &all)) ++core;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  REQUIRE(sched_setaffinity(0, sizeof(one), &one) == 0);
  const int threads = ThreadPool(0).threads();
  REQUIRE(sched_setaffinity(0, sizeof(all), &all) == 0);
  CHECK(threads == 1);
}
#endif

TEST_CASE("thread pool: run calls the function once a task") {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    std::vector<int> visits(17, 0);
    pool.run(17, [&](int64_t begin, int64_t end) {
      CHECK(end == begin + 1);
      ++visits[static_cast<size_t>(begin)];
    });
    CHECK(visits == std::vector<int>(17, 1));
  }
}

TEST_CASE("thread pool: the partition is the same every time") {
  ThreadPool pool(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<int64_t> ends(100, 0);
    pool.parallel_for(100, 8,
                      [&](int64_t begin, int64_t end) { ends[static_cast<size_t>(begin)] = end; });
    // 13 grains over 3 threads: 5, 5 and 3 of them.
    CHECK(ends[0] == 40);
    CHECK(ends[40] == 80);
    CHECK(ends[80] == 100);
  }
}

TEST_CASE("thread pool: work is shared between threads") {
  ThreadPool pool(2);
  std::vector<std::thread::id> ids(2);
  std::atomic<int> arrived{0};
  pool.run(2, [&](int64_t i, int64_t) {
    ids[static_cast<size_t>(i)] = std::this_thread::get_id();
    // Neither task ends before the other has begun, so one thread cannot do both.
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (++arrived; arrived < 2 && std::chrono::steady_clock::now() < limit;)
      std::this_thread::yield();
  });
  CHECK(arrived == 2);
  CHECK(ids[0] != ids[1]);
}

TEST_CASE("thread pool: short jobs in a row are each done once") {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> visits(7);
  constexpr int rounds = 20000;
  for (int round = 0; round < rounds; ++round)
    pool.run(7, [&](int64_t i, int64_t) {
      visits[static_cast<size_t>(i)].fetch_add(1, std::memory_order_relaxed);
    });
  for (const std::atomic<int>& count : visits) CHECK(count == rounds);
}

TEST_CASE("thread pool: threads that share cores sleep while there is no work") {
  const int threads = 16 * anet::available_cores();
  ThreadPool pool(threads);
  const auto nothing = [](int64_t, int64_t) {};
  pool.run(threads, nothing);
  std::this_thread::sleep_for(std::chrono::milliseconds(50)); // the threads' beginnings are over
  constexpr int jobs = 20;
  const std::clock_t before = std::clock(); // of all threads
  for (int job = 0; job < jobs; ++job) {
    pool.run(threads, nothing);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  CHECK(seconds / jobs / threads < 150e-6); // one that wakes up and sleeps again needs some 10 us
}

TEST_CASE("thread pool: the first exception reaches the caller, and the pool goes on") {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    const auto failing = [&](int64_t begin, int64_t) {
      if (begin > 0) throw std::runtime_error("range " + std::to_string(begin));
    };
    CHECK_THROWS_WITH_AS(pool.parallel_for(30, 1, failing), "range 10", std::runtime_error);
    std::atomic<int> visited{0};
    pool.parallel_for(
        30, 1, [&](int64_t begin, int64_t end) { visited += static_cast<int>(end - begin); });
    CHECK(visited == 30);
  }
}

TEST_CASE("thread pool: a call from inside a task does not wait for itself") {
  ThreadPool pool(2);
  std::atomic<int64_t> sum{0};
  pool.run(4, [&](int64_t, int64_t) {
    pool.parallel_for(10, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
  });
  CHECK(sum == 40);
}

TEST_CASE("thread pool: several threads may call at once") {
  ThreadPool pool(2);
  std::vector<int64_t> sums(4, 0);
  std::vector<std::thread> callers;
  for (size_t caller = 0; caller < sums.size(); ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < 100; ++round) {
        std::vector<int64_t> parts(2, 0);
        pool.run(2, [&](int64_t i, int64_t) { parts[static_cast<size_t>(i)] = 1; });
        sums[caller] += parts[0] + parts[1];
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(sums == std::vector<int64_t>(4, 200));
}

TEST_CASE("thread pool: work in the background waits for nobody") {
  for (const int threads : {1, 2, 4}) {
    CAPTURE(threads);
    ThreadPool pool(threads);
    std::vector<int> visits(1000, 0);
    const auto visit = [&](int64_t task) { ++visits[static_cast<size_t>(task)]; };
    anet::for_each_task_between(pool, 1000, visit);
    CHECK(visits == std::vector<int>(1000, 1));
    anet::for_each_task_between(pool, 0, visit);

    // Somebody has the pool, and goes on only when the background is through.
    std::atomic<bool> through{false};
    std::atomic<bool> busy{false};
    std::thread background([&] {
      while (!busy.load()) std::this_thread::yield();
      CHECK(pool.try_run(2, [](int64_t, int64_t) {}) == (threads == 1));
      anet::for_each_task_between(pool, 1000, visit);
      through = true;
    });
    pool.run(2, [&](int64_t, int64_t) {
      busy = true;
      while (!through.load()) std::this_thread::yield();
    });
    background.join();
    CHECK(visits == std::vector<int>(1000, 2));
    CHECK(pool.try_run(2, [](int64_t, int64_t) {}));
  }
}

TEST_CASE("thread pool: callers and the background share it") {
  ThreadPool pool(3);
  std::vector<int> visits(20000, 0);
  std::thread background([&] {
    anet::for_each_task_between(pool, 20000,
                                [&](int64_t task) { ++visits[static_cast<size_t>(task)]; });
  });
  std::atomic<int64_t> sum{0};
  for (int call = 0; call < 500; ++call) pool.run(7, [&](int64_t task, int64_t) { sum += task; });
  background.join();
  CHECK(sum == 500 * 21);
  CHECK(visits == std::vector<int>(20000, 1));
}

// Sanitizers want more addresses than any limit leaves.
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("thread pool: threads that the system does not make are an error") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(60);                                       // ends a pool that waits for ever
    const rlimit addresses = {512 << 20, 512 << 20}; // the stacks of a part of the threads
    setrlimit(RLIMIT_AS, &addresses);
    try {
      const ThreadPool pool(256);
    } catch (const anet::Error& error) {
      _exit(error.status() == anet::Status::out_of_memory && ThreadPool(2).threads() == 2 ? 0 : 2);
    }
    _exit(1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
#endif
