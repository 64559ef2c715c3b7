// Memory of the device "ane": surfaces for what the engine reads and writes, ordinary memory for
// the rest. Both are host-addressable.
#pragma once

#include "backend/ane/background.h"
#include "backend/ane/surface.h"
#include "backend/backend.h"

#include <memory>
#include <span>
#include <vector>

namespace anet::backend::ane {

class Engine;

// True for element types that the engine's ports can have.
bool is_engine_type(DataType dtype);

// Mapping waits for the device's background work and locks the surface.
class SurfaceBuffer final : public Buffer {
public:
  // `engine` is whose ports the surface can be bound to; `background` may be null.
  SurfaceBuffer(const Layout& layout, std::shared_ptr<Surface> surface,
                std::shared_ptr<const Engine> engine, std::shared_ptr<Background> background);
  ~SurfaceBuffer() override;

  std::byte* data() override { return surface_->data(); }
  void map(bool write) override;
  void unmap() override;
  void* native_handle() override { return surface_->handle(); }
  uint32_t native_id() override { return surface_->id(); }

  const std::shared_ptr<Surface>& surface() const { return surface_; }
  const Engine* engine() const { return engine_.get(); }
  // Expires with the buffer, while requests may keep the surface.
  std::weak_ptr<const void> life() const { return life_; }

private:
  std::shared_ptr<Surface> surface_;
  std::shared_ptr<const Engine> engine_;
  std::shared_ptr<Background> background_;
  std::shared_ptr<const void> life_;
  std::vector<bool> mapped_for_writing_; // innermost last
};

// Ordinary memory: of a buffer of the host device, whose mapping waits for the background.
class PlainBuffer final : public Buffer {
public:
  PlainBuffer(std::unique_ptr<Buffer> memory, std::shared_ptr<Background> background);

  std::byte* data() override { return memory_->data(); }
  void map(bool write) override;
  void unmap() override;

private:
  std::unique_ptr<Buffer> memory_;
  std::shared_ptr<Background> background_;
};

// The surface of a view's buffer, or null for ordinary memory.
SurfaceBuffer* surface_buffer(const View& view);

// Locks the surfaces behind views for the host, as long as this object lives; allocates nothing.
class HostAccess {
public:
  HostAccess(std::span<const View> read, std::span<const View> written);
  ~HostAccess() { release(); }
  HostAccess(const HostAccess&) = delete;
  HostAccess& operator=(const HostAccess&) = delete;

private:
  HostAccess() = default;
  void release() noexcept;

  std::span<const View> read_;
  std::span<const View> written_;
  size_t locked_ = 0; // of read_, then of written_
};

} // namespace anet::backend::ane
