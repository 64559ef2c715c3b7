// A fixed set of worker threads that share out index ranges. The partition depends only on the
// count, the grain and the number of threads, so results are the same from run to run.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace anet {

// A reference to a callable (int64_t begin, int64_t end), valid while the callable lives. Unlike
// std::function it never allocates.
class RangeFunction {
public:
  template <typename Callable, typename = std::enable_if_t<
                                   !std::is_same_v<std::remove_cvref_t<Callable>, RangeFunction>>>
  RangeFunction(Callable&& callable)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        call_([](void* object, int64_t begin, int64_t end) {
          (*static_cast<std::remove_reference_t<Callable>*>(object))(begin, end);
        }) {}

  void operator()(int64_t begin, int64_t end) const { call_(object_, begin, end); }

private:
  void* object_;
  void (*call_)(void*, int64_t, int64_t);
};

// Thread class: any thread may call; concurrent calls take turns. A call from inside a task runs
// on the calling thread alone.
class ThreadPool {
public:
  // `threads` counts the caller, who works too; 1 starts no thread. 0 means one per core. Throws
  // out_of_memory where the system makes no more threads.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Splits [0, count) into at most `threads()` ranges, each a multiple of `grain` long except the
  // last, and waits for all. The first exception of the lowest range is rethrown.
  void parallel_for(int64_t count, int64_t grain, RangeFunction function);
  // Runs function(i, i + 1) for each of n tasks, contiguous ones after another.
  void run(int64_t tasks, RangeFunction function);
  // The same, unless somebody has the pool or waits for it: then false, and nothing is run. So work
  // in the background neither holds up other callers for longer than one call nor depends on them.
  bool try_run(int64_t tasks, RangeFunction function);

private:
  struct Job {
    const RangeFunction* function = nullptr;
    int64_t count = 0;
    int64_t chunk = 0;   // length of every range but the last
    bool single = false; // call the function once for each index

    int ranges() const { return static_cast<int>((count + chunk - 1) / chunk); }
  };

  void work();
  void stop();
  bool runs_alone(int64_t tasks) const;
  Job job_of(const RangeFunction& function, int64_t tasks) const;
  void dispatch(const Job& job);
  void execute_job(const Job& job); // by whoever holds callers_
  void take_ranges(const Job& job, uint32_t generation);
  void execute(const Job& job, uint32_t range);

  const bool spins_; // each thread has a core of its own
  std::vector<std::thread> workers_;
  std::vector<std::exception_ptr> errors_;
  std::mutex callers_; // held for the length of one job
  std::atomic<int> waiting_callers_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  Job job_;
  std::atomic<uint32_t> generation_{0};
  std::atomic<uint64_t> ticket_{0}; // generation and, in the low half, the next range to take
  std::atomic<int> unfinished_{0};
  std::atomic<bool> stop_{false};
};

// Calls work(task, lane) for each task. Lanes run at once, each one task after another, so that
// one that takes long holds up nobody; which lane gets a task must not matter.
template <typename Work>
void for_each_task(ThreadPool& pool, int64_t tasks, int64_t lanes, const Work& work) {
  std::atomic<int64_t> next{0};
  pool.run(std::min(tasks, lanes), [&](int64_t lane, int64_t) {
    for (int64_t task = next++; task < tasks; task = next++) work(task, lane);
  });
}

// Calls work(task) for each task, in the background of other callers: with the pool as long as it
// is free, a few tasks at a time, else on this thread.
template <typename Work>
void for_each_task_between(ThreadPool& pool, int64_t tasks, const Work& work) {
  const int64_t threads = pool.threads();
  std::atomic<int64_t> next{0};
  for (int64_t end = 0; end < tasks;) {
    end = std::min(tasks, end + 8 * threads); // enough that threads end together
    const bool shared = pool.try_run(std::min(end - next.load(), threads), [&](int64_t, int64_t) {
      for (int64_t task = next++; task < end; task = next++) work(task);
    });
    if (shared) {
      next = end; // each thread took a number too many
    } else {
      work(next++);
      end = next;
    }
  }
}

} // namespace anet
