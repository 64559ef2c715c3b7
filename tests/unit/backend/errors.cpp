// Every refusal of a device, a kernel and a buffer.
#include "support.h"

#include "backend/view_checks.h"
#include "base/status.h"

#include <doctest/doctest.h>

// More memory than there is makes the sanitizers' allocators fail as malloc does, not abort. Their
// run-time libraries look these up.
extern "C" {
[[gnu::visibility("default")]] const char* __asan_default_options() {
  return "allocator_may_return_null=1";
}
[[gnu::visibility("default")]] const char* __tsan_default_options() {
  return "allocator_may_return_null=1";
}
}

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::testing;
using mil::Builder;
using mil::Literal;

namespace {

template <typename F>
void check_refusal(F&& action, Status status, const std::string& phrase) {
  try {
    action();
    FAIL_CHECK("expected a refusal with '" << phrase << "'");
  } catch (const Error& error) {
    CHECK_MESSAGE(error.status() == status, status_name(error.status()));
    CHECK_MESSAGE(error.message().find(phrase) != std::string::npos, error.message());
  }
}

Function add_function() {
  Builder b;
  const auto x = b.input("x", {DataType::fp32, {4, 6}, {}});
  const auto y = b.input("y", {DataType::fp32, {4, 6}, {}});
  b.output(b.add(x, y), "sum");
  b.output(b.mul(x, y), "product");
  return std::move(b).finish();
}

struct Bound {
  std::shared_ptr<Device> device = open_device("cpu", {.threads = 1});
  Runner runner{*device, add_function()};
  std::vector<View> inputs = runner.inputs();
  std::vector<View> outputs = runner.outputs();
  void run() { runner.kernel().run(inputs, outputs); }
};

} // namespace

TEST_CASE("devices are opened by name") {
  check_refusal([] { open_device("gpu", {}); }, Status::not_found, "got 'gpu'");
  check_refusal([] { open_device("ane", {}); }, Status::unavailable, "Neural Engine");
  check_refusal([] { open_device("cpu", {.threads = -1}); }, Status::invalid_argument, "got -1");
  const auto devices = list_devices();
  REQUIRE(devices.size() == 2);
  CHECK(devices[0].name == "cpu");
  CHECK(devices[0].available);
  CHECK(devices[0].description.find("thread") != std::string::npos);
  CHECK(devices[1].name == "ane");
  CHECK_FALSE(devices[1].available);
  CHECK_FALSE(devices[1].reason.empty());
}

TEST_CASE("views must fit their ports") {
  Bound bound;
  CHECK_NOTHROW(bound.run());
  SUBCASE("count") {
    bound.inputs.pop_back();
    check_refusal([&] { bound.run(); }, Status::invalid_argument, "expected 2 inputs, got 1");
  }
  SUBCASE("no buffer") {
    bound.outputs[0].buffer = nullptr;
    check_refusal([&] { bound.run(); }, Status::invalid_argument, "output sum has no buffer");
  }
  SUBCASE("element type") {
    bound.inputs[1].layout.dtype = DataType::int32;
    check_refusal([&] { bound.run(); }, Status::type_mismatch, "input y expects fp32, got int32");
  }
  SUBCASE("shape") {
    bound.inputs[0].layout = Layout::contiguous(DataType::fp32, {6, 4});
    check_refusal([&] { bound.run(); }, Status::shape_mismatch, "expects shape [4, 6], got [6, 4]");
  }
  SUBCASE("strides") {
    bound.inputs[0].layout.strides[0] = 32;
    check_refusal([&] { bound.run(); }, Status::shape_mismatch, "expects byte strides [24, 4]");
  }
  SUBCASE("size") {
    bound.inputs[0].offset = 4;
    check_refusal([&] { bound.run(); }, Status::invalid_argument, "needs 96 bytes at offset 4");
  }
  SUBCASE("alignment") {
    const auto big = bound.device->allocate(Layout::contiguous(DataType::fp32, {100}));
    bound.inputs[0] = View(*big, 2, bound.inputs[0].layout);
    check_refusal([&] { bound.run(); }, Status::invalid_argument, "multiple of 4, got 2");
  }
  SUBCASE("mapped") {
    bound.outputs[1].buffer->map(false);
    check_refusal([&] { bound.run(); }, Status::busy, "output product");
    bound.outputs[1].buffer->unmap();
    CHECK_NOTHROW(bound.run());
    check_refusal([&] { bound.outputs[1].buffer->unmap(); }, Status::invalid_state, "mapped");
  }
}

TEST_CASE("outputs may not overlap, unless rows interleave") {
  Bound bound;
  SUBCASE("output and input") {
    bound.outputs[0] = bound.inputs[1];
    check_refusal([&] { bound.run(); }, Status::invalid_argument, "output sum overlaps input y");
  }
  SUBCASE("two outputs") {
    bound.outputs[1] = bound.outputs[0];
    check_refusal([&] { bound.run(); }, Status::invalid_argument, "overlaps output sum");
  }
  SUBCASE("columns of one matrix are apart") {
    const auto matrix = bound.device->allocate(Layout::contiguous(DataType::fp32, {4, 12}));
    const Layout half{DataType::fp32, {4, 6}, {48, 4}};
    const Port port{"p", half};
    const View left(*matrix, 0, half), right(*matrix, 24, half), middle(*matrix, 12, half);
    CHECK_NOTHROW(check_overlap({}, {}, std::vector{port, port}, std::vector{left, right}));
    check_refusal(
        [&] {
          check_overlap({}, {}, std::vector{port, port}, std::vector{left, middle});
        },
        Status::invalid_argument, "overlaps");
  }
}

TEST_CASE("options must fit the function") {
  const auto device = open_device("cpu", {.threads = 1});
  const Function function = add_function();
  const auto compile = [&](const CompileOptions& options) { device->compile(function, options); };
  CompileOptions options;
  SUBCASE("unknown port") {
    options.port_layouts["z"] = Layout::contiguous(DataType::fp32, {4, 6});
    check_refusal([&] { compile(options); }, Status::not_found, "port_layouts names z");
  }
  SUBCASE("layout of another shape") {
    options.port_layouts["x"] = Layout::contiguous(DataType::fp32, {4, 7});
    check_refusal([&] { compile(options); }, Status::shape_mismatch, "port x");
  }
  SUBCASE("overlapping strides") {
    options.port_layouts["x"] = Layout{DataType::fp32, {4, 6}, {20, 4}};
    check_refusal([&] { compile(options); }, Status::invalid_argument, "at least 24 bytes");
  }
  SUBCASE("unaligned strides") {
    options.port_layouts["x"] = Layout{DataType::fp32, {4, 6}, {26, 4}};
    check_refusal([&] { compile(options); }, Status::invalid_argument, "multiple of 4");
  }
  SUBCASE("gaps inside a row") {
    options.port_layouts["x"] = Layout{DataType::fp32, {4, 6}, {48, 8}};
    check_refusal([&] { compile(options); }, Status::invalid_argument, "innermost");
  }
  SUBCASE("accumulation into what is no output") {
    options.accumulate = {"x"};
    check_refusal([&] { compile(options); }, Status::not_found, "accumulate names x");
  }
  SUBCASE("another device's workspace") {
    struct Other : Workspace {
      size_t size_bytes() const override { return 0; }
      void reserve() override {}
    };
    options.workspace = std::make_shared<Other>();
    check_refusal([&] { compile(options); }, Status::invalid_argument, "workspace of the cpu");
  }
}

TEST_CASE("accumulation needs a floating output") {
  Builder b;
  const auto x = b.input("x", {DataType::int32, {3}, {}});
  b.output(b.add(x, x), "sum");
  const Function function = std::move(b).finish();
  const auto device = open_device("cpu", {.threads = 1});
  check_refusal(
      [&] {
        device->compile(function,
                        {.port_layouts = {}, .accumulate = {"sum"}, .workspace = {}, .label = {}});
      },
      Status::type_mismatch, "floating");
}

TEST_CASE("memory that is imported must hold its layout") {
  const auto device = open_device("cpu", {.threads = 1});
  const Layout layout = Layout::contiguous(DataType::fp32, {4});
  alignas(64) std::byte memory[32] = {};
  check_refusal([&] { device->import(nullptr, 32, layout); }, Status::invalid_argument, "null");
  check_refusal([&] { device->import(memory, 15, layout); }, Status::invalid_argument, "got 15");
  check_refusal([&] { device->import(memory + 1, 20, layout); }, Status::invalid_argument,
                "aligned to 4");
  const auto buffer = device->import(memory, 32, layout);
  CHECK(buffer->data() == memory);
  CHECK(buffer->size_bytes() == 32);
}

TEST_CASE("ports of packed types are refused") {
  Builder b;
  const auto x = b.input("x", {DataType::int4, {4}, {}});
  b.output(b.add("identity", {{"x", x}}), "out");
  const Function function = std::move(b).finish();
  const auto device = open_device("cpu", {.threads = 1});
  check_refusal([&] { device->compile(function, {}); }, Status::unsupported, "int4");
}

TEST_CASE("indices outside their axis stop the run") {
  const auto device = open_device("cpu", {.threads = 2});
  Builder b;
  const auto x = b.input("x", {DataType::fp32, {5, 3}, {}});
  const auto i = b.input("i", {DataType::int32, {2}, {}});
  const auto j = b.input("j", {DataType::int32, {2, 3}, {}});
  const auto zeros = b.constant(Literal::fill({DataType::fp32, {5, 3}, {}}, 0));
  b.output(b.gather(x, i, 0), "g");
  b.output(b.gather_along_axis(x, j, 0), "a");
  const auto updates = b.input("u", {DataType::fp32, {2, 3}, {}});
  const auto scatter = [&](const char* op, mil::ValueId indices) {
    return b.add(op, {{"data", zeros},
                      {"indices", indices},
                      {"updates", updates},
                      {"axis", b.constant(Literal::int32(0))},
                      {"mode", b.constant(Literal::string("add"))}});
  };
  b.output(scatter("scatter", i), "s");
  b.output(scatter("scatter_along_axis", j), "t");
  const Function function = std::move(b).finish();
  Random random(1);
  Runner runner(*device, function);
  TensorMap inputs = random_inputs(random, function, {{"i", {-5, 4}}, {"j", {-5, 4}}});
  CHECK_NOTHROW(runner.run(inputs));
  inputs["i"].values[1] = 5;
  check_refusal([&] { runner.run(inputs); }, Status::out_of_range, "index 5 is outside");
  inputs["i"].values[1] = -6;
  check_refusal([&] { runner.run(inputs); }, Status::out_of_range, "index -6 is outside");
  inputs["i"].values[1] = 0;
  inputs["j"].values[5] = 7;
  check_refusal([&] { runner.run(inputs); }, Status::out_of_range, "gather_along_axis index 7");
  inputs["j"].values[5] = 0;
  CHECK_NOTHROW(runner.run(inputs));
}

TEST_CASE("a shared workspace must be reserved before a run") {
  const auto device = open_device("cpu", {.threads = 1});
  Builder b;
  const auto x = b.input("x", {DataType::fp32, {8, 8}, {}});
  b.output(b.matmul(b.unary("exp", x), b.unary("tanh", x), false, false), "y");
  const Function function = std::move(b).finish();
  CompileOptions options;
  options.workspace = device->make_workspace();
  Random random(2);
  const TensorMap inputs = random_inputs(random, function);
  Runner runner(*device, function, options);
  CHECK(options.workspace->size_bytes() == runner.kernel().statistics().workspace_bytes);
  CHECK(options.workspace->size_bytes() >= 2 * 8 * 8 * sizeof(float));
  check_refusal([&] { runner.run(inputs); }, Status::invalid_state, "reserved");
  options.workspace->reserve();
  check_close(runner.run(inputs), mil::interpret(function, inputs), {1e-5, 1e-5}, "reserved");
}

TEST_CASE("memory that is not there is refused") {
  const auto device = open_device("cpu", {.threads = 1});
  // 2^48 bytes: a process on x86-64 or arm64 cannot address more than half of that.
  const int64_t side = int64_t{1} << 23;
  check_refusal(
      [&] {
        device->allocate(Layout::contiguous(DataType::fp32, {side, side}));
      },
      Status::out_of_memory, "281474976710656 bytes");
  Builder b;
  const auto x = b.input("x", {DataType::fp32, {side, 1}, {}});
  const auto y = b.input("y", {DataType::fp32, {1, side}, {}});
  b.output(b.reduce("reduce_sum", b.add(x, y), {0, 1}, false), "sum");
  const Function function = std::move(b).finish();
  check_refusal([&] { device->compile(function, {}); }, Status::out_of_memory, "cannot allocate");
  // A shared workspace refuses when it is reserved, and stays usable for what fits.
  CompileOptions options;
  options.workspace = device->make_workspace();
  const auto kernel = device->compile(function, options);
  CHECK(options.workspace->size_bytes() >= size_t{1} << 48);
  check_refusal([&] { options.workspace->reserve(); }, Status::out_of_memory, "cannot allocate");
}

TEST_CASE("interleaved buffers are refused, strided ones are not") {
  const auto device = open_device("cpu", {.threads = 1});
  const auto function = [](std::vector<int64_t> factors) {
    Builder b("main", "ios18");
    Type type{DataType::fp16, {1, 4, 1, 8}, {}};
    type.buffer = mil::BufferLayout{{64, 16, 16, 1}, std::move(factors)};
    const auto x = b.input("x", type);
    b.output(b.add("tensor_buffer_to_tensor", {{"input", x}}), "y");
    return std::move(b).finish();
  };
  CHECK_NOTHROW(device->compile(function({1, 1, 1, 1}), {}));
  check_refusal(
      [&] {
        device->compile(function({1, 4, 1, 1}), {});
      },
      Status::unsupported, "port x: the cpu device has no interleaved buffers, got factor 4");
}

TEST_CASE("tensors of more than eight dimensions are refused") {
  const auto device = open_device("cpu", {.threads = 1});
  const auto function = [](size_t rank) {
    Builder b;
    const auto x = b.input("x", {DataType::fp32, {6}, {}});
    Shape shape(rank, 1);
    shape.back() = 6;
    b.output(b.unary("exp", b.reshape(x, shape)), "y");
    return std::move(b).finish();
  };
  CHECK(device->capabilities().max_rank == 8);
  CHECK_NOTHROW(device->compile(function(8), {}));
  // The IR stops there too, so only a function made by hand gets as far as the device.
  Function nine = function(8);
  const mil::Operation& op = nine.ops.back();
  Shape& shape = nine.values[static_cast<size_t>(op.outputs.front())].type.shape;
  shape.insert(shape.begin(), 1);
  const Support support = device->supports(nine, op);
  CHECK_FALSE(support.supported);
  CHECK(support.reason.find("tensors of up to 8 dimensions, got 9") != std::string::npos);
  check_refusal([&] { device->compile(nine, {}); }, Status::invalid_program, "rank");
}
