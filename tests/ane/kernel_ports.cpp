// How ports meet surfaces, and what the background does with jobs.
#include "backend/ane/background.h"
#include "backend/ane/ports.h"
#include "base/status.h"

#include <atomic>
#include <chrono>
#include <doctest/doctest.h>
#include <thread>
#include <vector>

using namespace anet;
using namespace anet::backend;
using namespace anet::backend::ane;
using Strides = std::vector<int64_t>;

namespace {

// Rows of 64 bytes, as the engine has them (ane-facts.md 0.1).
EnginePort engine_port(const std::string& name, Shape shape) {
  EnginePort port;
  port.name = name;
  const int64_t row = (shape[3] * 2 + 63) / 64 * 64;
  port.strides = {row * shape[2] * shape[1], row * shape[2], row, 2};
  port.size_bytes = static_cast<size_t>(port.strides[0] * shape[0]);
  port.shape = std::move(shape);
  return port;
}

LoweredPort lowered(const std::string& symbol, Shape shape, int64_t column = 0, int64_t row = 0) {
  return {symbol, symbol, {DataType::fp16, std::move(shape), {}}, column, row};
}

PortBinding bind_one(const Shape& source, const Shape& engine) {
  const std::vector<mil::Type> sources = {{DataType::fp16, source, {}}};
  const std::vector<LoweredPort> ports = {lowered("i000_x", engine)};
  const std::vector<EnginePort> compiled = {engine_port("i000_x", engine)};
  return bind_ports(sources, ports, compiled).front();
}

class RecordingJob final : public Background::Job {
public:
  RecordingJob(std::vector<int>& log, int number) : log_(log), number_(number) {}

protected:
  void run() noexcept override {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    log_.push_back(number_);
  }

private:
  std::vector<int>& log_;
  int number_;
};

} // namespace

TEST_CASE("a padded layout is told in the source's shape") {
  CHECK(bind_one({1, 64, 1, 30}, {1, 64, 1, 30}).layout.strides == Strides{4096, 64, 64, 2});
  // The same bytes, whichever of the four axes the engine sees.
  CHECK(bind_one({1, 64, 1, 30}, {1, 1, 64, 30}).layout.strides == Strides{4096, 64, 64, 2});
  CHECK(bind_one({48, 30, 1, 1}, {1, 1, 48, 30}).layout.strides == Strides{64, 2, 2, 2});
  CHECK(bind_one({30}, {1, 1, 1, 30}).layout.strides == Strides{2});
  CHECK(bind_one({2, 3, 5, 30}, {1, 30, 1, 30}).layout.strides == Strides{960, 320, 64, 2});
  CHECK(bind_one({1, 8, 1, 1}, {1, 8, 1, 1}).layout.strides == Strides{512, 64, 64, 2});
  CHECK(bind_one({1, 64, 1, 30}, {1, 1, 64, 30}).direct);
}

TEST_CASE("a dense native layout equals a contiguous one") {
  for (const Shape& shape : {Shape{1, 64, 1, 32}, Shape{4, 1, 8, 64}, Shape{2, 3, 1, 96}}) {
    const PortBinding binding =
        bind_one(shape, {1, 1, mil::element_count(shape) / shape[3], shape[3]});
    CHECK(binding.layout == Layout::contiguous(DataType::fp16, shape));
  }
}

TEST_CASE("rows that the source's shape cannot tell are copied through another") {
  const PortBinding binding = bind_one({4, 3}, {1, 1, 2, 6}); // rows of 6, the source has 3
  CHECK_FALSE(binding.direct);
  CHECK(binding.layout.shape == Shape{1, 1, 2, 6});
  const Layout dense = Layout::contiguous(DataType::fp16, {4, 3});
  const auto [outside, inside] = in_common_shape(dense, binding.layout);
  CHECK(outside.shape == inside.shape);
  CHECK(mil::element_count(outside.shape) == 12);
}

TEST_CASE("layouts without rows in common are refused") {
  Layout a = Layout::contiguous(DataType::fp16, {2, 3});
  Layout b = Layout::contiguous(DataType::fp16, {3, 2});
  a.strides[0] = 64;
  b.strides[0] = 64;
  CHECK_THROWS_AS(in_common_shape(a, b), Error);
}

TEST_CASE("packed ports are columns and rows of one surface") {
  const std::vector<mil::Type> sources = {{DataType::fp16, {1, 16, 1, 40}, {}},
                                          {DataType::fp16, {24, 16, 1, 1}, {}}};
  const std::vector<LoweredPort> ports = {lowered("i000_packed", {1, 1, 16, 40}),
                                          lowered("i000_packed", {1, 1, 24, 16}, 40, 2)};
  const std::vector<EnginePort> compiled = {engine_port("i000_packed", {1, 1, 26, 56})};
  const auto bindings = bind_ports(sources, ports, compiled);
  CHECK(bindings[0].offset == 0);
  CHECK(bindings[0].layout.strides == Strides{2048, 128, 128, 2});
  CHECK(bindings[1].offset == 2 * 128 + 40 * 2);
  CHECK(bindings[1].layout.strides == Strides{128, 2, 2, 2});
  CHECK_FALSE(bindings[0].direct);
  CHECK_FALSE(bindings[1].direct);
}

TEST_CASE("a compiled program with other ports than were asked for is an error") {
  const std::vector<mil::Type> sources = {{DataType::fp16, {1, 8, 1, 32}, {}}};
  const std::vector<LoweredPort> ports = {lowered("i000_x", {1, 8, 1, 32})};
  const std::vector<EnginePort> renamed = {engine_port("i000_y", {1, 8, 1, 32})};
  CHECK_THROWS_AS(bind_ports(sources, ports, renamed), Error);
  std::vector<EnginePort> retyped = {engine_port("i000_x", {1, 8, 1, 32})};
  retyped[0].dtype = DataType::fp32;
  CHECK_THROWS_AS(bind_ports(sources, ports, retyped), Error);
}

TEST_CASE("background jobs run in order, and waiting means done") {
  std::vector<int> log;
  Background background;
  RecordingJob first(log, 1), second(log, 2), third(log, 3);
  background.submit(first);
  background.submit(second);
  background.submit(third);
  background.wait(second);
  CHECK(log.size() >= 2);
  background.drain();
  CHECK(log == std::vector<int>{1, 2, 3});
  background.submit(first); // again
  background.wait(first);
  CHECK(log.back() == 1);
  background.drain(); // nothing to wait for
}

TEST_CASE("what is queued runs before the background goes") {
  std::vector<int> log;
  RecordingJob first(log, 1), second(log, 2);
  {
    Background background;
    background.submit(first);
    background.submit(second);
  }
  CHECK(log == std::vector<int>{1, 2});
}
