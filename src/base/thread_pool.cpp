#include "base/thread_pool.h"

#include "base/available_cores.h"
#include "base/status.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace anet {

namespace {

// Threads seldom end a step of a kernel together, and one that sleeps takes some 0.1 ms to come
// back (measured under a hypervisor). Short enough not to starve other processes.
constexpr std::chrono::microseconds spin_time{500};

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Whether it came true meanwhile.
template <typename Condition>
bool spin_until(const Condition& condition) {
  constexpr int turns = 64; // between two looks at the clock
  const auto end = std::chrono::steady_clock::now() + spin_time;
  do {
    for (int i = 0; i < turns; ++i) {
      if (condition()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// True on a thread that is inside a task: nested calls must not wait for the pool they occupy.
thread_local bool inside_task = false;

class TaskScope {
public:
  TaskScope() : outer_(inside_task) { inside_task = true; }
  ~TaskScope() { inside_task = outer_; }
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;

private:
  bool outer_;
};

} // namespace

// Threads that share cores do not spin: they would keep from work whom they wait for.
ThreadPool::ThreadPool(int threads) : spins_(threads <= available_cores()) {
  // Workers are not pinned: which cores are free is known to the system, and which ones are the
  // library's to take to the application alone.
  if (threads <= 0) threads = available_cores();
  errors_.resize(static_cast<size_t>(threads));
  workers_.reserve(static_cast<size_t>(threads - 1));
  try {
    for (int index = 1; index < threads; ++index) workers_.emplace_back([this] { work(); });
  } catch (const std::system_error& error) {
    stop(); // those that run use what is about to go
    fail(Status::out_of_memory, "expected the system to make ", threads - 1, " threads, seen ",
         workers_.size(), ": ", error.what(), "; fewer threads or a higher limit may help");
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::parallel_for(int64_t count, int64_t grain, RangeFunction function) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t grains = (count + grain - 1) / grain;
  const int64_t ranges = std::min<int64_t>(threads(), grains);
  if (ranges == 1 || inside_task) return function(0, count);
  const int64_t chunk = (grains + ranges - 1) / ranges * grain;
  dispatch({&function, count, chunk, false});
}

void ThreadPool::run(int64_t tasks, RangeFunction function) {
  if (!runs_alone(tasks)) return dispatch(job_of(function, tasks));
  for (int64_t task = 0; task < tasks; ++task) function(task, task + 1);
}

bool ThreadPool::try_run(int64_t tasks, RangeFunction function) {
  if (runs_alone(tasks)) {
    run(tasks, function);
    return true;
  }
  if (waiting_callers_.load(std::memory_order_relaxed) > 0) return false;
  const std::unique_lock caller(callers_, std::try_to_lock);
  if (caller) execute_job(job_of(function, tasks));
  return bool(caller);
}

bool ThreadPool::runs_alone(int64_t tasks) const {
  return tasks <= 1 || threads() == 1 || inside_task;
}

ThreadPool::Job ThreadPool::job_of(const RangeFunction& function, int64_t tasks) const {
  return {&function, tasks, (tasks + threads() - 1) / threads(), true};
}

void ThreadPool::dispatch(const Job& job) {
  waiting_callers_.fetch_add(1, std::memory_order_relaxed);
  const std::lock_guard caller(callers_);
  waiting_callers_.fetch_sub(1, std::memory_order_relaxed);
  execute_job(job);
}

void ThreadPool::execute_job(const Job& job) {
  uint32_t generation = 0;
  {
    const std::lock_guard lock(mutex_);
    job_ = job;
    generation = generation_.load(std::memory_order_relaxed) + 1;
    unfinished_.store(job.ranges(), std::memory_order_relaxed);
    ticket_.store(uint64_t{generation} << 32, std::memory_order_release);
    generation_.store(generation, std::memory_order_release);
  }
  wake_.notify_all();
  take_ranges(job, generation);
  const auto is_done = [this] { return unfinished_.load(std::memory_order_acquire) == 0; };
  if (!spins_ || !spin_until(is_done)) {
    std::unique_lock lock(mutex_);
    done_.wait(lock, is_done);
  }
  std::exception_ptr first;
  for (std::exception_ptr& error : errors_) {
    if (error && !first) first = error;
    error = nullptr;
  }
  if (first) std::rethrow_exception(first);
}

// A range belongs to no thread: one that was not given its core in time leaves it to the others.
// The generation in the ticket keeps a late worker from claiming ranges of a job it has not read.
void ThreadPool::take_ranges(const Job& job, uint32_t generation) {
  const auto ranges = static_cast<uint32_t>(job.ranges());
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (ticket >> 32 == generation && static_cast<uint32_t>(ticket) < ranges) {
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
    execute(job, static_cast<uint32_t>(ticket));
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      // The empty critical section keeps the caller from missing the notification.
      { const std::lock_guard lock(mutex_); }
      done_.notify_one();
    }
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::execute(const Job& job, uint32_t range) {
  const int64_t begin = range * job.chunk;
  const int64_t end = std::min(job.count, begin + job.chunk);
  const TaskScope scope;
  try {
    if (job.single) {
      for (int64_t task = begin; task < end; ++task) (*job.function)(task, task + 1);
    } else {
      (*job.function)(begin, end);
    }
  } catch (...) {
    errors_[range] = std::current_exception();
  }
}

void ThreadPool::work() {
  uint32_t seen = 0;
  const auto has_news = [&] {
    return generation_.load(std::memory_order_acquire) != seen ||
           stop_.load(std::memory_order_acquire);
  };
  while (true) {
    if (spins_) spin_until(has_news);
    Job job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, has_news);
      if (stop_.load(std::memory_order_acquire)) return;
      seen = generation_.load(std::memory_order_acquire);
      job = job_;
    }
    take_ranges(job, seen);
  }
}

} // namespace anet
