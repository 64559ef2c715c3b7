// One worker thread for what a kernel leaves to do after its run: sums that nothing waits for.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

namespace anet::backend::ane {

// Jobs run one after another in the order of submission, so sums into one place keep their order.
// Thread class: any thread.
class Background {
public:
  // Belongs to its kernel and is submitted again and again; submission allocates nothing.
  class Job {
  public:
    virtual ~Job() = default;

  protected:
    virtual void run() noexcept = 0; // keeps its errors for whoever asks it

  private:
    friend class Background;
    Job* next_ = nullptr;
    bool pending_ = false;
  };

  Background() = default;
  ~Background(); // runs what is queued
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // The job is not pending. The thread starts with the first one.
  void submit(Job& job);
  // Returns when the job is not pending.
  void wait(const Job& job);
  // Waits for everything.
  void drain();

private:
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  Job* first_ = nullptr;
  Job* last_ = nullptr;
  bool busy_ = false;
  bool stop_ = false;
  std::thread thread_;
};

} // namespace anet::backend::ane
