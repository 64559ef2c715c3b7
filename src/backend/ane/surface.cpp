#include "backend/ane/surface.h"

#include "backend/ane/foundation.h"
#include "backend/ane/framework.h"
#include "base/status.h"

#include <array>
#include <cstring>
#include <limits>

namespace anet::backend::ane {

namespace {

constexpr size_t page = 16384; // of Apple's processors (ane-facts.md 2.1, R)
constexpr size_t largest = std::numeric_limits<int64_t>::max() - page;

SurfaceReference reference(void* surface) { return static_cast<SurfaceReference>(surface); }

// kIOSurfaceLockReadOnly is 1; a lock without it is for writing too (ane-facts.md 2.1, R).
uint32_t lock_options(bool write) { return write ? 0 : 1; }

// One row of bytes without a pixel format: the engine looks only at the bytes from the base
// address (ane-facts.md 2.1, R). A dictionary of Foundation is one of CoreFoundation too.
void* create(const Framework& framework, size_t size) {
  if (size == 0) fail(Status::invalid_argument, "a surface of 0 bytes, expected at least one");
  if (size > largest) fail(Status::out_of_memory, "cannot create a surface of ", size, " bytes");
  const size_t whole_pages = (size + page - 1) / page * page;
  const SurfaceReference surface = framework.guarded("create a surface", [&] {
    const Id bytes = make_number(framework, static_cast<int64_t>(whole_pages));
    const Id one = make_number(framework, 1);
    const std::array<std::pair<std::string, Id>, 6> properties = {{
        {"IOSurfaceWidth", bytes},
        {"IOSurfaceHeight", one},
        {"IOSurfaceBytesPerElement", one},
        {"IOSurfaceBytesPerRow", bytes},
        {"IOSurfaceAllocSize", bytes},
        {"IOSurfacePixelFormat", make_number(framework, 0)},
    }};
    return framework.surfaces().create(make_dictionary(framework, properties));
  });
  if (surface == nullptr)
    fail(Status::out_of_memory, "cannot create a surface of ", whole_pages, " bytes");
  return surface;
}

void* retained(const Framework& framework, void* surface) {
  if (surface == nullptr) fail(Status::invalid_argument, "the surface is null");
  framework.surfaces().retain(surface);
  return surface;
}

} // namespace

Surface::Surface(std::shared_ptr<const Framework> framework, Adopt adopted)
    : framework_(std::move(framework)), surface_(adopted.surface),
      data_(static_cast<std::byte*>(framework_->surfaces().base_address(reference(surface_)))),
      size_(framework_->surfaces().alloc_size(reference(surface_))) {}

// The delegated constructor has made the object whole, so its destructor runs when this one throws.
Surface::Surface(const std::shared_ptr<const Framework>& framework, size_t size)
    : Surface(framework, Adopt{create(*framework, size)}) {
  if (data_ == nullptr || size_ < size)
    fail(Status::device, "a new surface has ", size_, " bytes, expected at least ", size);
  const SurfaceLock lock(*this, true);
  std::memset(data_, 0, size_);
}

Surface::Surface(const std::shared_ptr<const Framework>& framework, void* surface)
    : Surface(framework, Adopt{retained(*framework, surface)}) {
  if (data_ == nullptr || size_ == 0) fail(Status::invalid_argument, "the surface has no memory");
}

std::shared_ptr<Surface> Surface::find(const std::shared_ptr<const Framework>& framework,
                                       uint32_t id) {
  void* const found = framework->surfaces().look_up(id);
  if (found == nullptr) fail(Status::not_found, "there is no surface with the number ", id);
  // The look-up retained it, and so does the object.
  const std::shared_ptr<const void> looked_up(found, framework->surfaces().release);
  return std::make_shared<Surface>(framework, found);
}

Surface::~Surface() { framework_->surfaces().release(surface_); }

uint32_t Surface::id() const { return framework_->surfaces().id(reference(surface_)); }

void Surface::lock(bool write) const {
  const int result = framework_->surfaces().lock(reference(surface_), lock_options(write), nullptr);
  if (result != 0)
    throw Error(Status::device, concat("cannot lock surface ", id(), ": error ", result),
                ErrorDetail{.domain = "kern_return_t", .code = result});
}

void Surface::unlock(bool write) const {
  const int result =
      framework_->surfaces().unlock(reference(surface_), lock_options(write), nullptr);
  if (result != 0)
    throw Error(Status::device, concat("cannot unlock surface ", id(), ": error ", result),
                ErrorDetail{.domain = "kern_return_t", .code = result});
}

SurfaceLock::~SurfaceLock() {
  try {
    surface_.unlock(write_);
  } catch (const Error&) {
    // A destructor has nobody to tell; the next lock reports what is wrong.
  }
}

} // namespace anet::backend::ane
