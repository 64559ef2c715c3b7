// Shared by the backend tests: random programs' inputs, and one program run on the CPU device and
// by the reference interpreter.
#pragma once

#include "../allocation.h"

#include "backend/backend.h"
#include "mil/builder.h"
#include "mil/interpreter.h"

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace anet::backend::testing {

using mil::Function;
using mil::Tensor;
using mil::TensorMap;
using mil::Type;

class Random {
public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int64_t integer(int64_t low, int64_t high) { // both included
    return low + static_cast<int64_t>(engine_() % static_cast<uint64_t>(high - low + 1));
  }
  double real(double low, double high) {
    return low + (high - low) * static_cast<double>(engine_() >> 11) * 0x1p-53;
  }
  bool coin() { return (engine_() >> 32 & 1) != 0; }
  int64_t extent() {
    static constexpr int64_t extents[] = {1, 2, 3, 4, 5, 7, 8, 15, 17, 33};
    return extents[integer(0, 9)];
  }
  // A shape of the given rank with at most about `limit` elements.
  Shape shape(int64_t rank, int64_t limit = 3000) {
    Shape result;
    int64_t elements = 1;
    for (int64_t d = 0; d < rank; ++d) {
      const int64_t chosen = extent();
      result.push_back(elements * chosen <= limit ? chosen : 1);
      elements *= result.back();
    }
    for (size_t d = result.size(); d > 1; --d) {
      std::swap(result[d - 1],
                result[static_cast<size_t>(integer(0, static_cast<int64_t>(d) - 1))]);
    }
    return result;
  }

private:
  std::mt19937_64 engine_;
};

struct Range {
  double low = -2;
  double high = 2;
};

// Values that the type holds exactly; integers and booleans in their own ranges.
Tensor random_tensor(Random& random, const Type& type, Range range = {});
// One tensor for each input; `ranges` by input name.
TensorMap random_inputs(Random& random, const Function& function,
                        const std::map<std::string, Range>& ranges = {});

// Layouts with gaps between rows for about half of the ports.
std::map<std::string, Layout> random_layouts(Random& random, const Function& function);

void write_tensor(const View& view, const Tensor& tensor);
Tensor read_tensor(const View& view);

// A kernel with a buffer for each port.
class Runner {
public:
  Runner(Device& device, const Function& function, const CompileOptions& options = {});

  // Writes the inputs, runs, reads the outputs.
  TensorMap run(const TensorMap& inputs);
  void write_output(const std::string& name, const Tensor& tensor); // what accumulation adds to
  // Elements outside the layouts still hold what they were filled with.
  bool gaps_are_untouched() const;
  std::vector<std::byte> output_bytes() const;

  Kernel& kernel() { return *kernel_; }
  const std::vector<View>& inputs() const { return inputs_; }
  const std::vector<View>& outputs() const { return outputs_; }

private:
  std::unique_ptr<Kernel> kernel_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::vector<View> inputs_;
  std::vector<View> outputs_;
};

struct Tolerance {
  double relative = 0; // of the expected value
  double absolute = 0;
};

// Checks each output with doctest; `what` goes into messages.
// What differs by more, in words; empty: nothing does.
std::string difference(const TensorMap& actual, const TensorMap& expected, Tolerance tolerance);
void check_close(const TensorMap& actual, const TensorMap& expected, Tolerance tolerance,
                 const std::string& what);

using test::allocation_count;

} // namespace anet::backend::testing
