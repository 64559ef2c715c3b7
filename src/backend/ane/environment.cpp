#include "backend/ane/environment.h"

#include "backend/ane/buffer.h"

namespace anet::backend::ane {

void PlacementRecord::set(Placement placement) {
  const std::lock_guard lock(mutex_);
  placement_ = std::move(placement);
}

Placement PlacementRecord::get() const {
  const std::lock_guard lock(mutex_);
  return placement_;
}

Environment::Environment(const AneOptions& options, std::shared_ptr<Engine> engine,
                         std::shared_ptr<Device> host, std::shared_ptr<Device> background_host)
    : options_(options), engine_(std::move(engine)),
      slots_(std::make_shared<SlotManager>(engine_, options.compile_budget)),
      host_(std::move(host)), background_host_(std::move(background_host)),
      background_(std::make_shared<Background>()) {}

std::unique_ptr<Buffer> Environment::allocate(const Layout& layout) const {
  if (!is_engine_type(layout.dtype))
    return std::make_unique<PlainBuffer>(host_->allocate(layout), background_);
  return wrap(layout, engine_->make_surface(static_cast<size_t>(layout.span_bytes())));
}

std::unique_ptr<Buffer> Environment::wrap(const Layout& layout,
                                          std::shared_ptr<Surface> surface) const {
  return std::make_unique<SurfaceBuffer>(layout, std::move(surface), engine_, background_);
}

std::shared_ptr<PlacementRecord> Environment::make_record(const std::string& label) {
  auto record = std::make_shared<PlacementRecord>(label);
  const std::lock_guard lock(mutex_);
  std::erase_if(records_, [](const auto& entry) { return entry.expired(); });
  records_.push_back(record);
  return record;
}

std::vector<std::shared_ptr<PlacementRecord>> Environment::records() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<PlacementRecord>> result;
  for (const auto& entry : records_)
    if (auto record = entry.lock()) result.push_back(std::move(record));
  return result;
}

} // namespace anet::backend::ane
