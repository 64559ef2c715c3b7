// What happened in a run: kept in memory for the report, written to the log line by line.
#pragma once

#include "json.h"
#include "kernel_places.h"

#include <ane_train.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace cli {

struct Evaluation {
  int64_t step = 0;
  double loss = 0;
  double seconds = 0;
};

struct Sample {
  int64_t step = 0;
  std::string text;
};

struct History {
  std::vector<std::pair<std::string, std::string>> settings; // for the report's table
  std::vector<anet_step_result> steps;
  std::vector<Evaluation> evaluations;
  std::vector<Sample> samples;
  std::vector<KernelPlace> kernels; // as they were last asked
};

// Adds the records of an earlier run's log up to `last_step`; lines that are not ours are errors.
void read_log(const std::string& path, int64_t last_step, History& history);

// One JSON object a line, flushed at once so that others can follow. Without a path it is silent.
class Log {
public:
  Log(const std::string& path, bool append);
  bool is_open() const { return !path_.empty(); }
  // Before the first step of this process, with what its session has planned to use.
  void start(int64_t first_step, const std::vector<std::pair<std::string, std::string>>& settings,
             const anet_memory_plan& plan);
  void step(const anet_step_result& result);
  void evaluation(const Evaluation& evaluation);
  void save(int64_t step, const std::string& path);
  void sample(const Sample& sample);
  // Where the programs run, once known and whenever that changes.
  void kernels(int64_t step, const std::vector<KernelPlace>& kernels);
  // With the kernels of the run, which tell where the work was done.
  void end(int64_t step, bool interrupted, const std::string& reason,
           const std::vector<KernelPlace>& kernels);

private:
  void write(const Json& object);

  std::string path_;
  std::ofstream file_;
};

} // namespace cli
