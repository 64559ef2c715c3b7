// Surfaces: memory shared by the host and the engine.
#include "backend/ane/engine.h"
#include "base/status.h"
#include "support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

using namespace anet;
using namespace anet::backend::ane;
using anet::test::EngineFixture;

namespace {

template <typename Action>
Status status_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.status();
  }
  return Status::ok;
}

} // namespace

TEST_CASE("a new surface is zero and whole pages") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  for (const size_t size : {size_t{1}, size_t{16384}, size_t{16385}, size_t{100000}}) {
    CAPTURE(size);
    const auto surface = engine->make_surface(size);
    CHECK(surface->size_bytes() == (size + 16383) / 16384 * 16384);
    REQUIRE(surface->data() != nullptr);
    CHECK(std::all_of(surface->data(), surface->data() + surface->size_bytes(),
                      [](std::byte value) { return value == std::byte{0}; }));
  }
  CHECK(fixture.emulator.count("live_surfaces") == 0);
}

TEST_CASE("sizes that make no surface") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  CHECK(status_of([&] { engine->make_surface(0); }) == Status::invalid_argument);
  CHECK(status_of([&] { engine->make_surface(std::numeric_limits<size_t>::max()); }) ==
        Status::out_of_memory);
  fixture.emulator.set("fail_surface", "2");
  const auto first = engine->make_surface(64);
  CHECK(status_of([&] { engine->make_surface(64); }) == Status::out_of_memory);
  const auto third = engine->make_surface(64);
  CHECK(third->id() != first->id());
  CHECK(fixture.emulator.count("live_surfaces") == 2);
}

TEST_CASE("a surface is imported and found by its number, as the same memory") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  auto surface = engine->make_surface(128);
  const uint32_t id = surface->id();
  auto imported = engine->import_surface(surface->handle());
  auto found = engine->find_surface(id);
  CHECK(imported->data() == surface->data());
  CHECK(found->data() == surface->data());
  CHECK(found->id() == id);
  {
    const SurfaceLock lock(*surface, true);
    surface->data()[5] = std::byte{42};
  }
  surface.reset();
  imported.reset();
  {
    const SurfaceLock lock(*found, false);
    CHECK(found->data()[5] == std::byte{42});
  }
  CHECK(fixture.emulator.count("live_surfaces") == 1);
  found.reset();
  CHECK(fixture.emulator.count("live_surfaces") == 0);
  CHECK(status_of([&] { engine->find_surface(id); }) == Status::not_found);
  CHECK(status_of([&] { engine->import_surface(nullptr); }) == Status::invalid_argument);
}

TEST_CASE("locks nest, and one too many is an error") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  const auto surface = engine->make_surface(128);
  {
    const SurfaceLock outer(*surface, true);
    const SurfaceLock inner(*surface, true);
  }
  CHECK(status_of([&] { surface->unlock(true); }) == Status::device);
}
