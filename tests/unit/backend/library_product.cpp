// Products that the library makes ready, against plain loops. The operands are small integers, so
// that every sum is exact. bf16 runs where the processor multiplies it, fp32 by the same code
// everywhere.
#include "backend/cpu/library_product.h"

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

// What c holds afterwards in the gaps and around it must be what it was.
void check_product(Random& random, DataType operands, DataType result, int threads) {
  const int64_t batch = random.integer(1, 3);
  const int64_t most = random.coin() ? 40 : 300;
  const int64_t rows = random.integer(1, most), columns = random.integer(1, most);
  const int64_t depth = random.integer(1, 150);
  const bool shared = random.coin(); // b is the same for the whole batch
  const bool accumulate = result == DataType::fp32 && random.coin();
  const Operand a = random_operand(random, operands, {batch, rows, depth}, 0);
  const Operand b = random_operand(random, operands, {shared ? 1 : batch, depth, columns}, 1);
  const Operand c = random_operand(random, result, {batch, rows, columns}, 2);
  Memory left(a), right(b), sums(c);
  left.fill(random);
  right.fill(random);
  sums.fill(random);
  Memory expected = sums;
  for (int64_t i = 0; i < batch; ++i)
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column) {
        float sum = accumulate ? sums.get(i, row, column) : 0;
        for (int64_t k = 0; k < depth; ++k)
          sum += left.get(i, row, k) * right.get(shared ? 0 : i, k, column);
        expected.set(i, row, column, sum);
      }

  auto matmul = LibraryMatmul::make(a, b, c, accumulate, threads);
  REQUIRE(matmul);
  Operand scratch;
  scratch.storage = 3;
  scratch.dtype = DataType::int8;
  scratch.shape = {matmul->slots(), matmul->scratch_bytes()};
  const auto memory = allocate_aligned(scratch.elements());
  std::byte* const addresses[] = {left.data(), right.data(), sums.data(), memory.get()};
  ThreadPool pool(threads);
  std::atomic<bool> overflowed = false;
  const auto step = cpu::make_library_matmul_step(*std::move(matmul), scratch);
  step->run({addresses, &pool, &overflowed});
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

TEST_CASE("fp32 products of the library against plain loops") {
  Random random(21);
  for (int i = 0; i < 150; ++i) check_product(random, DataType::fp32, DataType::fp32, 1 + i % 3);
}

TEST_CASE("bf16 products of the library against plain loops") {
  Random random(22);
  if (const std::string reason = cpu::why_no_bf16_products(); !reason.empty()) {
    MESSAGE(reason);
    const Operand square = random_operand(random, DataType::bf16, {1, 8, 8}, 0);
    CHECK_FALSE(LibraryMatmul::make(square, square, square, false, 1));
    return;
  }
  for (int i = 0; i < 150; ++i)
    check_product(random, DataType::bf16, i % 2 == 0 ? DataType::fp32 : DataType::bf16, 1 + i % 3);
}

TEST_CASE("a kernel says when its bf16 products run in fp32") {
  const auto device = open_device("cpu", {.threads = 2});
  Runner narrow(*device, product_function(DataType::bf16, 3, 4, 5));
  CHECK(narrow.kernel().placement().where == "cpu");
  CHECK(narrow.kernel().placement().reason == cpu::why_no_bf16_products());
  Runner wide(*device, product_function(DataType::fp32, 3, 4, 5));
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
