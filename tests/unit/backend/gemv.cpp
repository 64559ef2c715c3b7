// Products of a matrix with few vectors against the reference interpreter. Those with matrices in
// few bits are in compressed.cpp.
#include "backend/cpu/gemv.h"

#include "support.h"

#include <doctest/doctest.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using cpu::Gemv;
using cpu::Operand;
using mil::Builder;

namespace {

struct Product {
  DataType dtype = DataType::fp32;
  int64_t rows = 1, depth = 1, columns = 1;
  bool matrix_transposed = false, vectors_transposed = false;
  bool matrix_left = true; // else c^T = x^T matrix^T
  int64_t batch = 1;
  bool shared = false; // by all of the batch
};

Product random_product(Random& random, DataType dtype) {
  const int64_t most = random.coin() ? 40 : 600;
  return {dtype,         random.integer(1, most), random.integer(1, most), random.integer(1, 9),
          random.coin(), random.coin(),           random.coin(),           random.integer(1, 3),
          random.coin()};
}

std::string text_of(const Product& p) {
  return std::string(mil::data_type_name(p.dtype)) + " " + std::to_string(p.batch) + " x " +
         std::to_string(p.rows) + " x " + std::to_string(p.depth) + " x " +
         std::to_string(p.columns) + (p.matrix_left ? "" : " right") +
         (p.matrix_transposed ? " transposed" : "") + (p.shared ? " shared" : "");
}

Function function_of(const Product& p) {
  const auto shape = [&](int64_t batch, int64_t rows, int64_t columns, bool transposed) {
    return transposed ? Shape{batch, columns, rows} : Shape{batch, rows, columns};
  };
  Builder b;
  const auto matrix = b.input(
      "matrix", {p.dtype, shape(p.shared ? 1 : p.batch, p.rows, p.depth, p.matrix_transposed), {}});
  const auto x =
      b.input("x", {p.dtype, shape(p.batch, p.depth, p.columns, p.vectors_transposed), {}});
  b.output(p.matrix_left ? b.matmul(matrix, x, p.matrix_transposed, p.vectors_transposed)
                         : b.matmul(x, matrix, !p.vectors_transposed, !p.matrix_transposed),
           "y");
  return std::move(b).finish();
}

// Sums of up to 600 products of numbers up to 2.
Tolerance tolerance_of(DataType dtype) {
  return dtype == DataType::bf16 ? Tolerance{0x1.01p-7, 1e-3} : Tolerance{1e-5, 1e-3};
}

Operand matrix_operand(DataType dtype, int64_t rows, int64_t columns, int64_t row_stride,
                       int64_t column_stride) {
  Operand x;
  x.storage = 0;
  x.dtype = dtype;
  x.shape = {rows, columns};
  x.strides = {row_stride, column_stride};
  return x;
}

} // namespace

TEST_CASE("products with few vectors agree with the interpreter") {
  const auto one = open_device("cpu", {.threads = 1});
  const auto three = open_device("cpu", {.threads = 3});
  Random random(31);
  for (int i = 0; i < 240; ++i) {
    const Product product = random_product(random, i % 2 == 0 ? DataType::fp32 : DataType::bf16);
    const std::string text = text_of(product);
    CAPTURE(text);
    const Function function = function_of(product);
    const TensorMap inputs = random_inputs(random, function);
    const bool accumulate = random.integer(0, 2) == 0;
    TensorMap expected = mil::interpret(function, inputs);
    CompileOptions options;
    options.port_layouts = random_layouts(random, function);
    if (accumulate && product.dtype == DataType::fp32) options.accumulate = {"y"};
    Runner a(*one, function, options), b(*three, function, options);
    if (!options.accumulate.empty()) {
      for (Runner* runner : {&a, &b})
        runner->write_output("y", mil::make_tensor(expected.at("y").type, 3));
      for (double& value : expected.at("y").values) value += 3;
    }
    check_close(a.run(inputs), expected, tolerance_of(product.dtype), text);
    CHECK(a.gaps_are_untouched());
    b.run(inputs);
    // Larger products are the library's.
    const int64_t columns = product.columns * (product.shared ? product.batch : 1);
    if (columns <= cpu::max_gemv_columns) CHECK(a.output_bytes() == b.output_bytes());
  }
}

TEST_CASE("a run of a product with few vectors allocates nothing") {
  const auto device = open_device("cpu", {.threads = 2});
  const Function function =
      function_of({.dtype = DataType::bf16, .rows = 300, .depth = 500, .columns = 3});
  Random random(32);
  Runner runner(*device, function);
  runner.run(random_inputs(random, function));
  const int64_t allocations = allocation_count();
  runner.kernel().run(runner.inputs(), runner.outputs());
  CHECK(allocation_count() == allocations);
}

TEST_CASE("products with the same few vectors are one step") {
  const auto one = open_device("cpu", {.threads = 1});
  const auto three = open_device("cpu", {.threads = 3});
  Random random(33);
  for (int i = 0; i < 60; ++i) {
    const DataType dtype = i % 2 == 0 ? DataType::fp32 : DataType::bf16;
    const int64_t depth = random.integer(1, 600);
    const int64_t columns = random.integer(1, cpu::max_gemv_columns + 1);
    Builder b;
    const auto x = b.input("x", {dtype, {1, depth, 1, columns}, {}});
    const int64_t count = random.integer(2, 4);
    for (int64_t k = 0; k < count; ++k) {
      const std::string name = std::to_string(k);
      const int64_t rows = random.integer(1, 300);
      b.output(b.linear(x, b.input("w" + name, {dtype, {rows, depth, 1, 1}, {}})), "y" + name);
    }
    const Function function = std::move(b).finish();
    CAPTURE(i);
    const TensorMap inputs = random_inputs(random, function);
    CompileOptions options;
    options.port_layouts = random_layouts(random, function);
    Runner single(*one, function, options), shared(*three, function, options);
    CHECK(single.kernel().statistics().op_count == (columns <= cpu::max_gemv_columns ? 1 : count));
    check_close(single.run(inputs), mil::interpret(function, inputs), tolerance_of(dtype),
                std::to_string(i));
    CHECK(single.gaps_are_untouched());
    shared.run(inputs);
    CHECK(single.output_bytes() == shared.output_bytes());
  }
}

TEST_CASE("which products have few vectors") {
  const auto fits = [](const Operand& matrix, int64_t columns, DataType result, bool accumulate) {
    const int64_t rows = matrix.shape[0], depth = matrix.shape[1];
    return Gemv::make(matrix, std::nullopt,
                      matrix_operand(DataType::fp32, depth, columns, columns, 1),
                      matrix_operand(result, rows, columns, columns, 1), accumulate)
        .has_value();
  };
  const Operand matrix = matrix_operand(DataType::bf16, 20, 30, 30, 1);
  CHECK(fits(matrix, 1, DataType::fp32, false));
  CHECK(fits(matrix, cpu::max_gemv_columns, DataType::bf16, false));
  CHECK_FALSE(fits(matrix, cpu::max_gemv_columns + 1, DataType::fp32, false));
  CHECK_FALSE(fits(matrix, 1, DataType::bf16, true)); // it would be rounded twice
  CHECK(fits(matrix_operand(DataType::fp32, 20, 30, 1, 25), 2, DataType::fp32, true));
  CHECK_FALSE(fits(matrix_operand(DataType::fp32, 20, 30, 80, 2), 2, DataType::fp32, false));
  CHECK_FALSE(fits(matrix_operand(DataType::fp16, 20, 30, 30, 1), 2, DataType::fp32, false));
}
