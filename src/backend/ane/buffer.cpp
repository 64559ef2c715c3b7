#include "backend/ane/buffer.h"

#include "backend/ane/engine.h"
#include "base/status.h"

namespace anet::backend::ane {

bool is_engine_type(DataType dtype) {
  return dtype == DataType::fp16 || dtype == DataType::int8 || dtype == DataType::uint8;
}

SurfaceBuffer::SurfaceBuffer(const Layout& layout, std::shared_ptr<Surface> surface,
                             std::shared_ptr<const Engine> engine,
                             std::shared_ptr<Background> background)
    : Buffer(layout, surface->size_bytes()), surface_(std::move(surface)),
      engine_(std::move(engine)), background_(std::move(background)),
      life_(std::make_shared<char>()) {
  mapped_for_writing_.reserve(8);
}

SurfaceBuffer::~SurfaceBuffer() {
  while (is_mapped()) unmap();
}

void SurfaceBuffer::map(bool write) {
  if (background_) background_->drain();
  surface_->lock(write);
  mapped_for_writing_.push_back(write);
  mappings_.fetch_add(1, std::memory_order_acq_rel);
}

void SurfaceBuffer::unmap() {
  if (mapped_for_writing_.empty()) fail(Status::invalid_state, "expected a mapped buffer to unmap");
  surface_->unlock(mapped_for_writing_.back());
  mapped_for_writing_.pop_back();
  mappings_.fetch_sub(1, std::memory_order_acq_rel);
}

PlainBuffer::PlainBuffer(std::unique_ptr<Buffer> memory, std::shared_ptr<Background> background)
    : Buffer(memory->layout(), memory->size_bytes()), memory_(std::move(memory)),
      background_(std::move(background)) {}

void PlainBuffer::map(bool write) {
  if (background_) background_->drain();
  memory_->map(write);
  mappings_.fetch_add(1, std::memory_order_acq_rel);
}

void PlainBuffer::unmap() {
  memory_->unmap(); // throws when it is not mapped
  mappings_.fetch_sub(1, std::memory_order_acq_rel);
}

SurfaceBuffer* surface_buffer(const View& view) {
  return dynamic_cast<SurfaceBuffer*>(view.buffer);
}

// The delegated constructor has made the object whole, so its destructor runs when a lock throws.
HostAccess::HostAccess(std::span<const View> read, std::span<const View> written) : HostAccess() {
  read_ = read;
  written_ = written;
  for (const View& view : read_) {
    if (SurfaceBuffer* buffer = surface_buffer(view)) buffer->surface()->lock(false);
    ++locked_;
  }
  for (const View& view : written_) {
    if (SurfaceBuffer* buffer = surface_buffer(view)) buffer->surface()->lock(true);
    ++locked_;
  }
}

void HostAccess::release() noexcept {
  while (locked_ > 0) {
    --locked_;
    const bool write = locked_ >= read_.size();
    const View& view = write ? written_[locked_ - read_.size()] : read_[locked_];
    SurfaceBuffer* buffer = surface_buffer(view);
    if (buffer == nullptr) continue;
    try {
      buffer->surface()->unlock(write);
    } catch (...) { // a destructor cannot report it, and the next lock will
    }
  }
}

} // namespace anet::backend::ane
