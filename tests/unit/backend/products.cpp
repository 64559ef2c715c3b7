// Our own products and those that the library makes ready, against plain loops. The operands are
// small integers, so that every sum is exact. The library's bf16 runs where the processor
// multiplies it, fp32 by the same code everywhere.
#include "backend/cpu/gemm.h"
#include "backend/cpu/library_product.h"
#include "backend/cpu/matmul.h"
#include "base/aligned_memory.h"
#include "base/float16.h"
#include "support.h"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <limits>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using cpu::LibraryMatmul;
using cpu::Operand;
using mil::Builder;
using mil::ValueId;

namespace {

// A tensor whose last two axes are in either order, with gaps between the rows, as storage `index`.
Operand random_operand(Random& random, DataType dtype, const Shape& shape, int32_t index) {
  Operand x;
  x.storage = index;
  x.dtype = dtype;
  x.shape = shape;
  x.strides.resize(shape.size());
  const size_t rank = shape.size();
  const bool transposed = random.coin();
  const size_t inner = transposed ? rank - 2 : rank - 1;
  const size_t outer = transposed ? rank - 1 : rank - 2;
  x.strides[inner] = 1;
  x.strides[outer] = shape[inner] + random.integer(0, 3);
  int64_t stride = x.strides[outer] * shape[outer];
  for (size_t d = rank - 2; d-- > 0;) {
    x.strides[d] = stride;
    stride *= shape[d];
  }
  x.offset = random.integer(0, 5);
  return x;
}

class Memory {
public:
  explicit Memory(const Operand& x)
      : x_(x), bytes_(static_cast<size_t>((x.offset + x.strides[0] * x.shape[0] +
                                           x.strides[1] * x.shape[1] + x.strides[2] * x.shape[2]) *
                                          cpu::element_size(x.dtype)),
                      std::byte{0x7f}) {}

  std::byte* data() { return bytes_.data(); }
  float get(int64_t i, int64_t row, int64_t column) const {
    const std::byte* from = bytes_.data() + place(i, row, column);
    if (x_.dtype == DataType::fp32) {
      float value;
      std::memcpy(&value, from, 4);
      return value;
    }
    uint16_t bits;
    std::memcpy(&bits, from, 2);
    return bfloat16_to_float(bits);
  }
  void set(int64_t i, int64_t row, int64_t column, float value) {
    std::byte* to = bytes_.data() + place(i, row, column);
    const uint16_t bits = float_to_bfloat16(value);
    if (x_.dtype == DataType::fp32)
      std::memcpy(to, &value, 4);
    else
      std::memcpy(to, &bits, 2);
  }
  const Operand& operand() const { return x_; }
  void fill(Random& random) {
    for (int64_t i = 0; i < x_.shape[0]; ++i)
      for (int64_t row = 0; row < x_.shape[1]; ++row)
        for (int64_t column = 0; column < x_.shape[2]; ++column)
          set(i, row, column, static_cast<float>(random.integer(-8, 8)));
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

private:
  size_t place(int64_t i, int64_t row, int64_t column) const {
    return static_cast<size_t>(
        (x_.offset + i * x_.strides[0] + row * x_.strides[1] + column * x_.strides[2]) *
        cpu::element_size(x_.dtype));
  }

  Operand x_;
  std::vector<std::byte> bytes_;
};

struct StepAndScratch {
  std::unique_ptr<cpu::Step> step;
  Operand scratch;
};

StepAndScratch own_step(const Operand& a, const Operand& b, const Operand& c, bool accumulate,
                        int threads) {
  Operand scratch;
  scratch.storage = 3;
  scratch.dtype = DataType::fp32;
  scratch.shape = {threads, cpu::matmul_scratch(a, b, c)};
  return {cpu::make_matmul_step(a, b, c, accumulate, scratch), scratch};
}

StepAndScratch library_step(const Operand& a, const Operand& b, const Operand& c, bool accumulate,
                            int threads) {
  auto matmul = LibraryMatmul::make(a, b, c, accumulate, threads);
  REQUIRE(matmul);
  Operand scratch;
  scratch.storage = 3;
  scratch.dtype = DataType::int8;
  scratch.shape = {matmul->slots(), matmul->scratch_bytes()};
  return {cpu::make_library_matmul_step(*std::move(matmul), scratch), scratch};
}

using MakeStep = StepAndScratch (*)(const Operand&, const Operand&, const Operand&, bool, int);

void run_step(MakeStep make, Memory& a, Memory& b, Memory& c, bool accumulate, int threads) {
  const StepAndScratch made = make(a.operand(), b.operand(), c.operand(), accumulate, threads);
  const auto memory =
      allocate_aligned(made.scratch.elements() * cpu::element_size(made.scratch.dtype));
  std::byte* const addresses[] = {a.data(), b.data(), c.data(), memory.get()};
  ThreadPool pool(threads);
  std::atomic<bool> overflowed = false;
  made.step->run({addresses, &pool, &overflowed});
}

// What c holds afterwards in the gaps and around it must be what it was.
struct ProductTypes {
  DataType a, b, c;
};
void check_product(Random& random, ProductTypes types, int threads, MakeStep make) {
  const int64_t batch = random.integer(1, 3);
  const int64_t most = random.coin() ? 40 : 300;
  const int64_t rows = random.integer(1, most), columns = random.integer(1, 2 * most);
  const int64_t depth = random.integer(1, 3 * most);
  const bool shared = random.coin(); // b is the same for the whole batch
  const bool accumulate = types.c == DataType::fp32 && random.coin();
  Memory left(random_operand(random, types.a, {batch, rows, depth}, 0));
  Memory right(random_operand(random, types.b, {shared ? 1 : batch, depth, columns}, 1));
  Memory sums(random_operand(random, types.c, {batch, rows, columns}, 2));
  left.fill(random);
  right.fill(random);
  sums.fill(random);
  Memory expected = sums;
  std::vector<float> line(static_cast<size_t>(depth)); // loops over it are fast
  for (int64_t i = 0; i < batch; ++i)
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t k = 0; k < depth; ++k) line[static_cast<size_t>(k)] = left.get(i, row, k);
      for (int64_t column = 0; column < columns; ++column) {
        float sum = accumulate ? sums.get(i, row, column) : 0;
        for (int64_t k = 0; k < depth; ++k)
          sum += line[static_cast<size_t>(k)] * right.get(shared ? 0 : i, k, column);
        expected.set(i, row, column, sum);
      }
    }
  run_step(make, left, right, sums, accumulate, threads);
  CAPTURE(rows);
  CAPTURE(columns);
  CAPTURE(depth);
  CAPTURE(accumulate);
  CHECK(sums.bytes() == expected.bytes());
}

// w x for a bf16 w and x, whose type is all that differs from fp32.
Function product_function(DataType dtype, int64_t rows, int64_t depth, int64_t columns) {
  Builder b;
  const ValueId w = b.input("w", {dtype, {rows, depth}, {}});
  const ValueId x = b.input("x", {dtype, {depth, columns}, {}});
  b.output(b.cast(b.matmul(w, x, false, false), DataType::fp32), "y");
  return std::move(b).finish();
}

} // namespace

TEST_CASE("our own products against plain loops") {
  Random random(20);
  for (int i = 0; i < 100; ++i)
    check_product(random, {DataType::fp32, DataType::fp32, DataType::fp32}, 1 + i % 4, own_step);
}

TEST_CASE("our own products of bf16 against plain loops") {
  if (!cpu::gemm_reads(DataType::bf16)) {
    MESSAGE(cpu::gemm_library(), " reads fp32 alone");
    return;
  }
  Random random(24);
  for (int i = 0; i < 100; ++i) {
    const auto either = [&] { return random.coin() ? DataType::bf16 : DataType::fp32; };
    check_product(random, {either(), either(), DataType::fp32}, 1 + i % 4, own_step);
  }
}

// Both of bf16, with whole pairs along the depth or not.
TEST_CASE("our own products of pairs of bf16 against plain loops") {
  if (!cpu::gemm_has_bf16()) {
    MESSAGE("this processor multiplies no pairs of bf16: such operands are widened");
  }
  if (!cpu::gemm_reads(DataType::bf16)) return;
  Random random(25);
  for (int i = 0; i < 120; ++i)
    check_product(random, {DataType::bf16, DataType::bf16, DataType::fp32}, 1 + i % 4, own_step);
}

TEST_CASE("sharing a product out changes no bit") {
  if (std::string_view(cpu::gemm_library()) != "own kernels") {
    MESSAGE(cpu::gemm_library(), " makes no such promise");
    return;
  }
  Random random(23);
  const auto filled = [&](const Shape& shape, int32_t index, DataType dtype = DataType::fp32) {
    Memory memory(random_operand(random, dtype, shape, index));
    for (int64_t row = 0; row < shape[1]; ++row)
      for (int64_t column = 0; column < shape[2]; ++column)
        memory.set(0, row, column, static_cast<float>(random.real(-1, 1)));
    return memory;
  };
  for (int i = 0; i < 20; ++i) {
    const DataType dtype = i < 10 ? DataType::fp32 : DataType::bf16;
    const int64_t rows = random.integer(50, 400), columns = random.integer(50, 700);
    const int64_t depth = random.integer(1, 900);
    Memory a = filled({1, rows, depth}, 0, dtype), b = filled({1, depth, columns}, 1, dtype);
    const Memory before = filled({1, rows, columns}, 2);
    Memory alone = before;
    run_step(own_step, a, b, alone, i % 2 == 0, 1);
    for (const int threads : {2, 3, 5}) {
      Memory shared = before;
      run_step(own_step, a, b, shared, i % 2 == 0, threads);
      CHECK(shared.bytes() == alone.bytes());
    }
  }
}

TEST_CASE("fp32 products of the library against plain loops") {
  Random random(21);
  for (int i = 0; i < 60; ++i)
    check_product(random, {DataType::fp32, DataType::fp32, DataType::fp32}, 1 + i % 3,
                  library_step);
}

TEST_CASE("bf16 products of the library against plain loops") {
  Random random(22);
  if (const std::string reason = cpu::why_no_bf16_products(); !reason.empty()) {
    MESSAGE(reason);
    const Operand square = random_operand(random, DataType::bf16, {1, 8, 8}, 0);
    CHECK_FALSE(LibraryMatmul::make(square, square, square, false, 1));
    return;
  }
  for (int i = 0; i < 60; ++i)
    check_product(random,
                  {DataType::bf16, DataType::bf16, i % 2 == 0 ? DataType::fp32 : DataType::bf16},
                  1 + i % 3, library_step);
}

TEST_CASE("a kernel says when its bf16 products run in fp32") {
  const auto device = open_device("cpu", {.threads = 2});
  Runner narrow(*device, product_function(DataType::bf16, 13, 4, 15));
  CHECK(narrow.kernel().placement().where == "cpu");
  CHECK(narrow.kernel().placement().reason == cpu::why_no_bf16_products());
  Runner wide(*device, product_function(DataType::fp32, 13, 4, 15));
  CHECK(wide.kernel().placement().reason.empty());
}

TEST_CASE("a sum of bf16 products that is cast to fp32 is not rounded to bf16") {
  const auto device = open_device("cpu", {.threads = 2});
  CompileOptions options;
  options.accumulate = {"y"};
  Runner runner(*device, product_function(DataType::bf16, 1, 2, 1), options);
  const Type one{DataType::fp32, {1, 1}, {}};
  runner.write_output("y", {one, {0.25}});
  const TensorMap inputs = {{"w", {{DataType::bf16, {1, 2}, {}}, {16, 1}}},
                            {"x", {{DataType::bf16, {2, 1}, {}}, {16, 1}}}};
  CHECK(runner.run(inputs).at("y").values.front() == 257.25); // bf16 has 256 and 258
  CHECK(runner.run(inputs).at("y").values.front() == 514.25);
}

TEST_CASE("rows that bf16 adds to a table are summed in fp32") {
  const auto device = open_device("cpu", {.threads = 2});
  Builder b;
  const ValueId ids = b.input("ids", {DataType::int32, {3}, {}});
  const ValueId rows = b.input("rows", {DataType::bf16, {3, 2}, {}});
  const ValueId zeros =
      b.constant(mil::Literal::numbers({DataType::bf16, {4, 2}, {}}, std::vector<double>(8, 0.0)));
  const ValueId sums = b.add("scatter", {{"data", zeros},
                                         {"indices", ids},
                                         {"updates", rows},
                                         {"axis", b.constant(mil::Literal::int32(0))},
                                         {"mode", b.constant(mil::Literal::string("add"))}});
  b.output(b.cast(sums, DataType::fp32), "table");
  CompileOptions options;
  options.accumulate = {"table"};
  Runner runner(*device, std::move(b).finish(), options);
  runner.write_output("table", {{DataType::fp32, {4, 2}, {}}, std::vector<double>(8, 1.0)});
  const TensorMap inputs = {{"ids", {{DataType::int32, {3}, {}}, {2, 0, 2}}},
                            {"rows", {{DataType::bf16, {3, 2}, {}}, {256, 1, 2, 3, 1, 4}}}};
  CHECK(runner.run(inputs).at("table").values == std::vector<double>{3, 4, 1, 1, 258, 6, 1, 1});
}
