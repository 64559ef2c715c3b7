// The limits of this machine: how fast oneDNN multiplies matrices of given shapes, and how fast
// memory is read, copied and updated. Prints one JSON object.
//   machine matmul f32|bf16|int8 THREADS ROWS:COLUMNS:DEPTH...
//   machine bandwidth THREADS MEGABYTES
#include "base/flat_array.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#if defined(__APPLE__)
#include "backend/cpu/gemm.h"
#else
#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Seconds of one run: the best of those that fit into `budget`, and of three at least.
double best_seconds(double budget, const std::function<void()>& run) {
  run();
  double best = 1e30;
  const double end = now() + budget;
  for (int count = 0; count < 3 || now() < end; ++count) {
    const double start = now();
    run();
    best = std::min(best, now() - start);
  }
  return best;
}

struct Product {
  int64_t rows = 0, columns = 0, depth = 0;
  double flops() const {
    return 2.0 * static_cast<double>(rows * columns) * static_cast<double>(depth);
  }
};

constexpr double product_budget = 0.15;

#if defined(__APPLE__)

const char* product_library() { return anet::backend::cpu::gemm_library(); }

// Accelerate chooses its threads itself.
double product_seconds(const std::string& precision, int, const Product& p) {
  if (precision != "f32") throw std::runtime_error("only f32 is measured on macOS");
  using namespace anet::backend::cpu;
  std::vector<float> x(p.rows * p.depth, 0.5f), w(p.columns * p.depth, 0.5f), y(p.rows * p.columns);
  std::vector<float> scratch(gemm_scratch(p.rows, p.columns, p.depth));
  return best_seconds(product_budget, [&] {
    gemm_f32(p.rows, p.columns, p.depth, 1.0f, {x.data(), p.depth, false},
             {w.data(), p.depth, true}, false, y.data(), p.columns, scratch.data());
  });
}

#else

using Memory = dnnl::memory;
using Type = Memory::data_type;

std::string product_library() {
  const dnnl_version_t* version = dnnl_version();
  return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}

dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, const Memory::desc& x,
                                      const Memory::desc& w, const Memory::desc& y) {
#if DNNL_VERSION_MAJOR == 2
  return {{x, w, y}, engine};
#else
  return {engine, x, w, y};
#endif
}

// A matrix of small numbers in the given layout.
Memory filled(const Memory::desc& desc, const dnnl::engine& engine, Type type) {
  Memory memory(desc, engine);
  const size_t size = desc.get_size();
  auto* bytes = static_cast<uint8_t*>(memory.get_data_handle());
  if (type == Type::f32) {
    std::fill_n(reinterpret_cast<float*>(bytes), size / sizeof(float), 0.5f);
  } else if (type == Type::bf16) {
    std::fill_n(reinterpret_cast<uint16_t*>(bytes), size / 2, uint16_t{0x3F00}); // 0.5
  } else {
    std::memset(bytes, 1, size);
  }
  return memory;
}

// The weights have the layout that oneDNN likes best. Throws with the reason when this processor
// has no kernel for the precision.
double product_seconds(const std::string& precision, int threads, const Product& p) {
  omp_set_num_threads(threads);
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const Type type = precision == "bf16" ? Type::bf16 : precision == "int8" ? Type::s8 : Type::f32;
  const Type result = precision == "int8" ? Type::s32 : Type::f32;
  const Memory::desc x({p.rows, p.depth}, type, Memory::format_tag::ab);
  const Memory::desc w({p.depth, p.columns}, type, Memory::format_tag::any);
  const Memory::desc y({p.rows, p.columns}, result, Memory::format_tag::ab);
  std::optional<dnnl::matmul::primitive_desc> description;
  try {
    description = describe(engine, x, w, y);
  } catch (const dnnl::error&) {
    throw std::runtime_error("oneDNN has no " + precision + " product for this processor");
  }
  const std::string implementation = description->impl_info_str();
  if (implementation.find("ref") != std::string::npos)
    throw std::runtime_error("oneDNN has only its reference " + precision +
                             " product for this processor");
  const dnnl::matmul product(*description);
  Memory source = filled(description->src_desc(), engine, type);
  Memory weights = filled(description->weights_desc(), engine, type);
  Memory target = filled(description->dst_desc(), engine, result);
  return best_seconds(product_budget, [&] {
    product.execute(stream,
                    {{DNNL_ARG_SRC, source}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, target}});
    stream.wait();
  });
}

#endif

// Runs `part(thread)` on so many threads.
void on_threads(int threads, const std::function<void(int)>& part) {
  std::vector<std::thread> others;
  others.reserve(threads - 1);
  for (int i = 1; i < threads; ++i) others.emplace_back(part, i);
  part(0);
  for (std::thread& other : others) other.join();
}

// Four arrays that do not fit into the caches, each thread with its own part of them; in pages of
// the size that the library's weights are in.
class Bandwidth {
public:
  Bandwidth(int threads, size_t bytes)
      : threads_(threads), count_(bytes / sizeof(float) / threads * threads) {
    for (int i = 0; i < 4; ++i) {
      arrays_.emplace_back(static_cast<int64_t>(count_));
      std::ranges::fill(arrays_.back().values(), 0.5f);
    }
    sums_.resize(threads);
  }

  // Bytes a second.
  double read() {
    return rate(1, [&](size_t first, size_t last, int thread) {
      const float* a = array(0);
      constexpr size_t lanes = 32;
      float sums[lanes] = {};
      for (size_t i = first; i + lanes <= last; i += lanes)
        for (size_t lane = 0; lane < lanes; ++lane) sums[lane] += a[i + lane];
      sums_[thread] = sums[0];
      for (const float sum : sums) sums_[thread] += sum;
    });
  }

  // One read and one write; what the processor reads before it writes is not counted.
  double copy() {
    return rate(2, [&](size_t first, size_t last, int) {
      std::memcpy(array(1) + first, array(0) + first, (last - first) * sizeof(float));
    });
  }

  // Four reads and three writes a weight, as AdamW has them: 28 bytes.
  double adamw() {
    return rate(7, [&](size_t first, size_t last, int) {
      float* __restrict weight = array(0);
      const float* __restrict gradient = array(1);
      float* __restrict mean = array(2);
      float* __restrict square = array(3);
      for (size_t i = first; i < last; ++i) {
        mean[i] = 0.9f * mean[i] + 0.1f * gradient[i];
        square[i] = 0.9f * square[i] + 0.1f * gradient[i];
        weight[i] -= 1e-4f * (mean[i] + square[i]);
      }
    });
  }

private:
  float* array(size_t index) { return arrays_[index].values().data(); }

  double rate(int passes, const std::function<void(size_t, size_t, int)>& sweep) {
    const size_t part = count_ / threads_;
    const double seconds = best_seconds(0.3, [&] {
      on_threads(threads_, [&](int thread) { sweep(thread * part, (thread + 1) * part, thread); });
    });
    return static_cast<double>(passes * count_ * sizeof(float)) / seconds;
  }

  int threads_;
  size_t count_;
  std::vector<anet::FlatArray> arrays_;
  std::vector<float> sums_; // so that the reads have a use
};

int64_t positive(const char* text) {
  char* end = nullptr;
  const long long value = std::strtoll(text, &end, 10);
  if (value <= 0 || (*end != '\0' && *end != ':'))
    throw std::invalid_argument(std::string("expected a positive number, seen ") + text);
  return value;
}

Product parse_product(const std::string& text) {
  const size_t first = text.find(':'), second = text.find(':', first + 1);
  if (first == std::string::npos || second == std::string::npos)
    throw std::invalid_argument("expected ROWS:COLUMNS:DEPTH, seen " + text);
  return {positive(text.c_str()), positive(text.c_str() + first + 1),
          positive(text.c_str() + second + 1)};
}

void measure_products(const std::string& precision, int threads, char** first, char** last) {
  if (precision != "f32" && precision != "bf16" && precision != "int8")
    throw std::invalid_argument("expected f32, bf16 or int8, seen " + precision);
  std::vector<Product> products;
  for (; first != last; ++first) products.push_back(parse_product(*first));
  std::printf("{\"library\": \"%s\", \"products\": [", std::string(product_library()).c_str());
  const char* separator = "";
  for (const Product& p : products) {
    try {
      const double rate = p.flops() / product_seconds(precision, threads, p);
      std::printf("%s{\"shape\": [%lld, %lld, %lld], \"flops_per_second\": %.6g}", separator,
                  static_cast<long long>(p.rows), static_cast<long long>(p.columns),
                  static_cast<long long>(p.depth), rate);
      separator = ", ";
    } catch (const std::runtime_error& error) {
      std::printf("], \"reason\": \"%s\"}\n", error.what());
      return;
    }
  }
  std::printf("]}\n");
}

void measure_bandwidth(int threads, int64_t megabytes) {
  Bandwidth bandwidth(threads, static_cast<size_t>(megabytes) << 20);
  const double read = bandwidth.read(), copy = bandwidth.copy(), adamw = bandwidth.adamw();
  std::printf("{\"read\": %.6g, \"copy\": %.6g, \"adamw\": %.6g}\n", read, copy, adamw);
}

} // namespace

int main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  try {
    if (command == "matmul" && argc > 4) {
      measure_products(argv[2], static_cast<int>(positive(argv[3])), argv + 4, argv + argc);
    } else if (command == "bandwidth" && argc == 4) {
      measure_bandwidth(static_cast<int>(positive(argv[2])), positive(argv[3]));
    } else {
      std::fprintf(stderr, "usage: machine matmul f32|bf16|int8 THREADS ROWS:COLUMNS:DEPTH...\n"
                           "       machine bandwidth THREADS MEGABYTES\n");
      return 2;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "machine: %s\n", error.what());
    return 1;
  }
  return 0;
}
