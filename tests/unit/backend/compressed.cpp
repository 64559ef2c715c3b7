// Constants in few bits on the CPU device: every compression in every place that keeps it, against
// the reference interpreter, and the memory that this saves.
#include "support.h"

#include "backend/cpu/library_product.h"
#include "base/float16.h"
#include "base/thread_pool.h"
#include "mil/compressed_weight.h"

#include <algorithm>
#include <cstring>
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using mil::Builder;
using mil::CompressedWeight;
using mil::Compression;
using mil::ValueId;

namespace {

const bool library_multiplies_bf16 = cpu::why_no_bf16_products().empty();

constexpr Compression compressions[] = {Compression::int8_channel, Compression::int8_block,
                                        Compression::int4_block, Compression::palette4};

mil::Bytes random_bytes(Random& random, int64_t size) {
  std::vector<std::byte> bytes(static_cast<size_t>(size));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.integer(0, 255));
  return mil::Bytes(std::move(bytes));
}

mil::Bytes random_halves(Random& random, int64_t count, double scale) {
  std::vector<std::byte> bytes(static_cast<size_t>(count) * 2);
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t half = double_to_half(random.real(0.25, 1) * scale);
    std::memcpy(bytes.data() + i * 2, &half, 2);
  }
  return mil::Bytes(std::move(bytes));
}

// Values of at most about 1.
CompressedWeight random_weight(Random& random, Compression compression, int64_t rows,
                               int64_t columns, int64_t block_size) {
  CompressedWeight weight{compression, rows, columns, block_size, {}, {}};
  if (compression == Compression::int8_channel) weight.block_size = 0;
  const bool bytes = mil::compression_bits(compression) == 8;
  const double scale = bytes ? 1.0 / 128 : 1.0 / 8;
  weight.codes = random_bytes(random, weight.code_bytes());
  weight.scales = random_halves(random, weight.scale_count(),
                                compression == Compression::palette4 ? 1.0 : scale);
  mil::check_compressed_weight(weight);
  return weight;
}

// A block size that divides the columns, or the rows for palettes.
CompressedWeight random_weight(Random& random, Compression compression, int64_t rows,
                               int64_t columns) {
  const int64_t divided = compression == Compression::palette4 ? rows : columns;
  int64_t block = random.integer(1, divided);
  while (divided % block != 0) --block;
  return random_weight(random, compression, rows, columns, block);
}

// The places that a weight [rows, columns] is read from.
enum class Place : uint8_t {
  matmul_left,
  matmul_left_transposed,
  matmul_right,
  matmul_right_transposed,
  linear,
  convolution,
  input_gradient, // of a convolution: by the transposed weight
  gather,
};
constexpr Place products[] = {Place::matmul_left,   Place::matmul_left_transposed,
                              Place::matmul_right,  Place::matmul_right_transposed,
                              Place::linear,        Place::convolution,
                              Place::input_gradient};

struct Program {
  Function function;
  std::map<std::string, Range> ranges;
};

TensorMap widened(TensorMap tensors) {
  for (auto& [name, tensor] : tensors)
    if (tensor.type.dtype == DataType::bf16) tensor.type.dtype = DataType::fp32;
  return tensors;
}

// linear takes constants alone, so the weight is bound first.
Program linear_program(const CompressedWeight& weight, DataType dtype, const Shape& x) {
  Builder before;
  before.output(
      before.unary("identity", before.input("w", {dtype, {weight.rows, weight.columns}, {}})),
      "kept");
  Function bound = mil::bind_constants(std::move(before).finish(), {{"w", weight}});
  bound.outputs.clear();
  const ValueId w = bound.find("w");
  Builder b(std::move(bound));
  b.output(b.add("linear", {{"x", b.input("x", {dtype, x, {}})}, {"weight", w}}), "y");
  return {std::move(b).finish(), {}};
}

// One reader of the weight; n is the extent of the other operand, which has a batch of two at
// times.
Program program_with(Random& random, Place place, const CompressedWeight& weight, DataType dtype,
                     int64_t n) {
  const int64_t rows = weight.rows, columns = weight.columns;
  const bool batched = random.coin();
  const auto type = [&](Shape shape, bool is_batched) {
    if (is_batched) shape.insert(shape.begin(), 2);
    return Type{dtype, std::move(shape), {}};
  };
  if (place == Place::linear)
    return linear_program(weight, dtype, type({n, columns}, batched).shape);
  const bool is_conv = place == Place::convolution || place == Place::input_gradient;
  Builder b;
  const ValueId w =
      b.input("w", {dtype, is_conv ? Shape{rows, columns, 1, 1} : Shape{rows, columns}, {}});
  const auto x = [&](Shape shape) { return b.input("x", type(std::move(shape), batched)); };
  ValueId y = mil::no_value;
  switch (place) {
  case Place::matmul_left:
    y = b.matmul(w, x({columns, n}), false, false);
    break;
  case Place::matmul_left_transposed:
    y = b.matmul(w, x({n, rows}), true, true);
    break;
  case Place::matmul_right:
    y = b.matmul(x({n, rows}), w, false, false);
    break;
  case Place::matmul_right_transposed:
    y = b.matmul(x({columns, n}), w, true, true);
    break;
  case Place::linear:
    break;
  case Place::convolution:
    y = b.linear(b.input("x", {dtype, {batched ? 2 : 1, columns, 1, n}, {}}), w);
    break;
  case Place::input_gradient:
    y = b.linear(b.input("x", {dtype, {1, rows, 1, n}, {}}), b.transpose(w, {1, 0, 2, 3}));
    break;
  case Place::gather: {
    const ValueId ids = b.input("ids", {DataType::int32, {n}, {}});
    y = b.gather(w, ids, 0);
    if (batched) y = b.reshape(b.transpose(y, {1, 0}), {1, columns, 1, n});
    break;
  }
  }
  b.output(y, "y");
  return {mil::bind_constants(std::move(b).finish(), {{"w", weight}}),
          {{"ids", {-static_cast<double>(rows), static_cast<double>(rows) - 1}}}};
}

void check_program(Device& device, const Program& program, const CompressedWeight& weight,
                   uint64_t seed, Tolerance tolerance, const std::string& what,
                   const Function* wide = nullptr) {
  INFO(what);
  Random random(seed);
  const TensorMap inputs = random_inputs(random, program.function, program.ranges);
  const bool half = program.function.type(program.function.outputs[0]).dtype == DataType::fp16;
  const TensorMap expected =
      mil::interpret(program.function, inputs, half ? mil::Precision::f16 : mil::Precision::f32);
  CompileOptions options;
  options.port_layouts = random_layouts(random, program.function);
  Runner runner(device, program.function, options);
  CHECK(runner.kernel().statistics().constant_bytes == weight.bytes());
  const TensorMap actual = runner.run(inputs);
  // The cast of a matrix to bf16 is left out, but where the library multiplies bf16: then the
  // product is what fp32 makes of the same numbers.
  const bool unrounded =
      wide != nullptr &&
      difference(actual, mil::interpret(*wide, widened(inputs)), tolerance).empty();
  if (!unrounded) check_close(actual, expected, tolerance, what);
  CHECK((wide == nullptr || unrounded || library_multiplies_bf16));
  CHECK(runner.gaps_are_untouched());
  const std::vector<std::byte> first = runner.output_bytes();
  const int64_t allocations = allocation_count();
  runner.kernel().run(runner.inputs(), runner.outputs());
  // oneDNN keeps the addresses of a call in a map.
  if (wide == nullptr || !library_multiplies_bf16) CHECK(allocation_count() == allocations);
  CHECK(runner.output_bytes() == first);
}

std::string name_of(Place place, Compression compression, DataType dtype, uint64_t seed) {
  return "place " + std::to_string(static_cast<int>(place)) + " " +
         mil::compression_name(compression) + " " + mil::data_type_name(dtype) + " seed " +
         std::to_string(seed);
}

// Sums of up to a few hundred products of numbers up to 2.
Tolerance tolerance_of(DataType dtype) {
  if (dtype == DataType::bf16) return {0x1.01p-7, 1e-3};
  return dtype == DataType::fp16 ? Tolerance{0x1.01p-10, 1e-3} : Tolerance{1e-5, 1e-4};
}

TEST_CASE("products with matrices in few bits agree with the interpreter") {
  const auto one = open_device("cpu", {.threads = 1});
  const auto two = open_device("cpu", {.threads = 2});
  for (const Compression compression : compressions) {
    for (const Place place : products) {
      for (const DataType dtype : {DataType::fp32, DataType::fp16, DataType::bf16}) {
        // The cast behind a matrix in few bits is not the constant that linear asks for.
        if (dtype == DataType::bf16 && place == Place::linear) continue;
        for (uint64_t seed = 1; seed <= 12; ++seed) {
          Random random(seed);
          const int64_t columns = 2 * random.integer(1, 40);
          const CompressedWeight weight =
              random_weight(random, compression, random.integer(1, 90), columns);
          const int64_t n = random.integer(1, seed < 6 ? 9 : 40);
          Random same = random;
          const Program program = program_with(random, place, weight, dtype, n);
          const Program wide = program_with(same, place, weight, DataType::fp32, n);
          check_program(seed % 2 == 0 ? *two : *one, program, weight, seed, tolerance_of(dtype),
                        name_of(place, compression, dtype, seed),
                        dtype == DataType::bf16 ? &wide.function : nullptr);
        }
      }
    }
  }
}

TEST_CASE("products whose sides are longer than a tile") {
  const auto device = open_device("cpu", {.threads = 2});
  for (const Compression compression : compressions) {
    for (const Place place : {Place::convolution, Place::input_gradient, Place::matmul_right}) {
      Random random(static_cast<uint64_t>(place));
      const CompressedWeight weight = random_weight(random, compression, 266, 520, 2);
      Random same = random;
      const Program program = program_with(random, place, weight, DataType::fp32, 530);
      check_program(*device, program, weight, 1, {1e-4, 1e-3},
                    name_of(place, compression, DataType::fp32, 0));
      const Program narrow = program_with(same, place, weight, DataType::bf16, 530);
      check_program(*device, narrow, weight, 1, {0x1.01p-7, 1e-2},
                    name_of(place, compression, DataType::bf16, 0), &program.function);
    }
  }
}

TEST_CASE("rows that are longer than a piece of an expansion") {
  const auto device = open_device("cpu", {.threads = 2});
  for (const Compression compression : compressions) {
    Random random(3);
    const CompressedWeight weight = random_weight(random, compression, 3, 2222, 1);
    Random same = random;
    const Program program = program_with(random, Place::matmul_left, weight, DataType::bf16, 12);
    const Program wide = program_with(same, Place::matmul_left, weight, DataType::fp32, 12);
    check_program(*device, program, weight, 1, {0x1.01p-7, 1e-2},
                  name_of(Place::matmul_left, compression, DataType::bf16, 0), &wide.function);
  }
}

TEST_CASE("a large matrix is expanded in pieces for products in bf16") {
  const auto device = open_device("cpu", {.threads = 2});
  constexpr int64_t rows = 17000, columns = 1000;
  for (const Place place : {Place::matmul_left, Place::matmul_right}) {
    Random random(4);
    const CompressedWeight weight =
        random_weight(random, Compression::int4_block, rows, columns, 100);
    const Program program = program_with(random, place, weight, DataType::bf16, 9);
    Runner runner(*device, program.function);
    const TensorMap inputs = random_inputs(random, program.function);
    check_close(runner.run(inputs), mil::interpret(program.function, inputs), {0x1p-6, 0.5},
                name_of(place, weight.compression, DataType::bf16, 0));
    if (library_multiplies_bf16)
      CHECK(runner.kernel().statistics().workspace_bytes < size_t{rows * columns * 2});
  }
}

TEST_CASE("long sums for few columns") {
  const auto device = open_device("cpu", {.threads = 2});
  for (const Place place : {Place::matmul_left, Place::matmul_right_transposed}) {
    Random random(2);
    const CompressedWeight weight = random_weight(random, Compression::palette4, 3, 60000, 3);
    const Program program = program_with(random, place, weight, DataType::fp32, 3);
    check_program(*device, program, weight, 1, {1e-3, 1e-2}, "60000 terms");
  }
}

TEST_CASE("rows of a table in few bits") {
  const auto device = open_device("cpu", {.threads = 2});
  for (const Compression compression : compressions) {
    for (const DataType dtype : {DataType::fp32, DataType::fp16, DataType::bf16}) {
      for (uint64_t seed = 1; seed <= 6; ++seed) {
        Random random(seed);
        const CompressedWeight weight = random_weight(random, compression, 30, seed < 3 ? 600 : 14);
        const Program program = program_with(random, Place::gather, weight, dtype, 21);
        // A row's values are exact: nothing is summed.
        check_program(*device, program, weight, seed, {0, 0},
                      name_of(Place::gather, compression, dtype, seed));
      }
    }
  }
}

TEST_CASE("the number of threads does not change a bit") {
  const auto one = open_device("cpu", {.threads = 1});
  const auto four = open_device("cpu", {.threads = 4});
  for (const Compression compression : compressions) {
    for (const Place place : {Place::convolution, Place::input_gradient, Place::matmul_right}) {
      for (const int64_t n : {1, 3, 70}) {
        for (const DataType dtype : {DataType::fp32, DataType::bf16}) {
          Random random(static_cast<uint64_t>(n));
          const CompressedWeight weight = random_weight(random, compression, 300, 340);
          const Program program = program_with(random, place, weight, dtype, n);
          const TensorMap inputs = random_inputs(random, program.function);
          Runner a(*one, program.function), b(*four, program.function);
          a.run(inputs);
          b.run(inputs);
          CHECK(a.output_bytes() == b.output_bytes());
        }
      }
    }
  }
}

TEST_CASE("a product with a matrix in few bits is added to its port") {
  const auto device = open_device("cpu", {.threads = 2});
  const auto check = [&](Place place, DataType dtype, int64_t n, Tolerance tolerance) {
    Random random(5);
    const CompressedWeight weight = random_weight(random, Compression::int4_block, 20, 300, 30);
    const Program program = program_with(random, place, weight, dtype, n);
    const TensorMap inputs = random_inputs(random, program.function);
    TensorMap expected = mil::interpret(program.function, inputs);
    CompileOptions options;
    options.accumulate = {"y"};
    Runner runner(*device, program.function, options);
    Tensor before = mil::make_tensor(expected.at("y").type, 3);
    runner.write_output("y", before);
    for (double& value : expected.at("y").values) value += 3;
    check_close(runner.run(inputs), expected, tolerance, "accumulated");
  };
  for (const int64_t n : {2, 9}) {
    for (const Place place : {Place::convolution, Place::matmul_right_transposed}) {
      check(place, DataType::fp32, n, {1e-5, 1e-4});
      check(place, DataType::bf16, n, {0x1p-7, 0.1}); // the matrix may be rounded, or not
    }
  }
}

TEST_CASE("products and rows share one matrix") {
  const auto device = open_device("cpu", {.threads = 2});
  Random random(8);
  const CompressedWeight weight = random_weight(random, Compression::int8_channel, 50, 24);
  Builder b;
  const ValueId table = b.input("table", {DataType::fp32, {50, 24}, {}});
  const ValueId ids = b.input("ids", {DataType::int32, {7}, {}});
  const ValueId hidden = b.reshape(b.transpose(b.gather(table, ids, 0), {1, 0}), {1, 24, 1, 7});
  b.output(b.linear(hidden, b.reshape(table, {50, 24, 1, 1})), "logits");
  const Function function = mil::bind_constants(std::move(b).finish(), {{"table", weight}});
  check_program(*device, {function, {{"ids", {0, 49}}}}, weight, 3, {1e-5, 1e-5}, "tied");
}

TEST_CASE("other readers of a matrix in few bits get a dense one") {
  const auto device = open_device("cpu", {.threads = 2});
  for (const Compression compression : compressions) {
    for (const DataType dtype : {DataType::fp32, DataType::fp16, DataType::bf16}) {
      Random random(4);
      const CompressedWeight weight = random_weight(random, compression, 12, 20);
      const Shape shape = {12, 20};
      Builder b;
      const ValueId w = b.input("w", {dtype, shape, {}});
      const ValueId x = b.input("x", {dtype, shape, {}});
      b.output(b.add(w, x), "sum");
      b.output(b.matmul(w, x, false, true), "product");
      b.output(b.transpose(w, {1, 0}), "turned");
      b.output(b.reshape(b.transpose(w, {1, 0}), {6, 40}), "reshaped");
      b.output(b.slice_by_size(w, {1, 2}, {5, 7}), "part");
      b.output(b.gather(w, b.constant(mil::Literal::int32s(std::vector<int64_t>{3, 1})), 1),
               "columns");
      b.output(b.concat({w, x}, 1), "joined");
      b.output(b.matmul(w, w, false, true), "square");
      const Function function = mil::bind_constants(std::move(b).finish(), {{"w", weight}});
      const TensorMap inputs = random_inputs(random, function);
      const bool half = dtype == DataType::fp16;
      Runner runner(*device, function);
      check_close(
          runner.run(inputs),
          mil::interpret(function, inputs, half ? mil::Precision::f16 : mil::Precision::f32),
          tolerance_of(dtype), mil::compression_name(compression));
    }
  }
}

// Memory of which only the first and the last page can be read.
mil::Bytes unreadable_bytes(size_t size) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* const memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANON, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  auto* const bytes = static_cast<std::byte*>(memory);
  REQUIRE(mprotect(bytes + page, size - 2 * page, PROT_NONE) == 0);
  std::shared_ptr<void> owner(memory, [size](void* mapped) { munmap(mapped, size); });
  return {std::move(owner), {bytes, size}};
}

TEST_CASE("compiling neither copies nor reads large codes") {
  const auto device = open_device("cpu", {.threads = 2});
  Random random(1);
  CompressedWeight weight{Compression::int8_channel, 4096, 16384, 0, {}, {}};
  weight.codes = unreadable_bytes(static_cast<size_t>(weight.code_bytes()));
  weight.scales = random_halves(random, weight.scale_count(), 1.0 / 128);
  for (const Place place : {Place::convolution, Place::input_gradient, Place::gather}) {
    const Program program = program_with(random, place, weight, DataType::fp32, 4);
    const auto kernel = device->compile(program.function, {});
    CHECK(kernel->statistics().constant_bytes == weight.bytes());
    CHECK(kernel->statistics().workspace_bytes < 2u << 20);
  }
}

} // namespace
