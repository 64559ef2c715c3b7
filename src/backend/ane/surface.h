// One IOSurface: memory that the host and the engine share (ane-facts.md 2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace anet::backend::ane {

class Framework;

// Thread class: any thread; locks nest and may be held by several threads.
class Surface {
public:
  // Zero-filled, of at least `size` bytes, rounded up to whole pages. Throws out_of_memory, or
  // invalid_argument for no bytes at all.
  Surface(const std::shared_ptr<const Framework>& framework, size_t size);
  // Retains an existing surface, an IOSurfaceRef. Throws invalid_argument for null and for one
  // without memory.
  Surface(const std::shared_ptr<const Framework>& framework, void* surface);
  // The surface with this number, of any process that shares it. Throws not_found.
  static std::shared_ptr<Surface> find(const std::shared_ptr<const Framework>& framework,
                                       uint32_t id);
  ~Surface();
  Surface(const Surface&) = delete;
  Surface& operator=(const Surface&) = delete;

  // The base address is stable; reading and writing wants a lock, so that caches are coherent.
  std::byte* data() const { return data_; }
  size_t size_bytes() const { return size_; }
  uint32_t id() const;
  void* handle() const { return surface_; } // the IOSurfaceRef, borrowed

  // Throws Error(device) with the kern_return_t as its code.
  void lock(bool write) const;
  void unlock(bool write) const;

private:
  struct Adopt {
    void* surface;
  };
  Surface(std::shared_ptr<const Framework> framework, Adopt adopted);

  std::shared_ptr<const Framework> framework_;
  void* surface_ = nullptr;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// A surface, locked for as long as this object lives.
class SurfaceLock {
public:
  SurfaceLock(const Surface& surface, bool write) : surface_(surface), write_(write) {
    surface.lock(write);
  }
  ~SurfaceLock();
  SurfaceLock(const SurfaceLock&) = delete;
  SurfaceLock& operator=(const SurfaceLock&) = delete;

private:
  const Surface& surface_;
  bool write_;
};

} // namespace anet::backend::ane
