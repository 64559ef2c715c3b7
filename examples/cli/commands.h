// The commands. Each takes the words after its name and returns the exit code.
#pragma once

#include <string>
#include <vector>

namespace cli {

using Arguments = std::vector<std::string>;

inline constexpr int exit_ok = 0;
inline constexpr int exit_failure = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_no_engine = 3;     // doctor: there is none, and the CPU works
inline constexpr int exit_interrupted = 130; // 128 + SIGINT, as shells report it

int run_train(const Arguments& arguments);
int run_finetune(const Arguments& arguments);
int run_quantize(const Arguments& arguments);
int run_adapters(const Arguments& arguments);
int run_generate(const Arguments& arguments);
int run_eval(const Arguments& arguments);
int run_export(const Arguments& arguments);
int run_tokenize(const Arguments& arguments);
int run_data(const Arguments& arguments);
int run_info(const Arguments& arguments);
int run_devices(const Arguments& arguments);
int run_doctor(const Arguments& arguments);
int run_bench_device(const Arguments& arguments);

} // namespace cli
