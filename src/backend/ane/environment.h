// What a device "ane", its buffers and its kernels share; it lives as long as the last of them.
#pragma once

#include "backend/ane/background.h"
#include "backend/ane/engine.h"
#include "backend/ane/probe.h"
#include "backend/ane/slots.h"
#include "backend/backend.h"

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace anet::backend::ane {

// What became of one kernel, for the device's report. Thread class: any thread.
class PlacementRecord {
public:
  explicit PlacementRecord(std::string label) : label_(std::move(label)) {}
  const std::string& label() const { return label_; }
  void set(Placement placement);
  Placement get() const;

private:
  std::string label_;
  mutable std::mutex mutex_;
  Placement placement_;
};

class Environment : public std::enable_shared_from_this<Environment> {
public:
  // `options` are resolved: no zeros that mean a default. `host` runs in the foreground,
  // `background_host` on the background's thread.
  Environment(const AneOptions& options, std::shared_ptr<Engine> engine,
              std::shared_ptr<Device> host, std::shared_ptr<Device> background_host);

  const AneOptions& options() const { return options_; }
  const std::shared_ptr<Engine>& engine() const { return engine_; }
  const std::shared_ptr<SlotManager>& slots() const { return slots_; }
  Device& host() const { return *host_; }
  Device& background_host() const { return *background_host_; }
  const std::shared_ptr<Background>& background() const { return background_; }
  const Rules& rules() const { return probed_.rules; }
  const Probed& probed() const { return probed_; }
  void set_probed(Probed probed) { probed_ = std::move(probed); }

  // A surface where the element type allows one, else ordinary memory; zero-filled.
  std::unique_ptr<Buffer> allocate(const Layout& layout) const;
  // A surface of at least the layout's size, as a buffer.
  std::unique_ptr<Buffer> wrap(const Layout& layout, std::shared_ptr<Surface> surface) const;

  std::shared_ptr<PlacementRecord> make_record(const std::string& label);
  std::vector<std::shared_ptr<PlacementRecord>> records() const; // of kernels alive

private:
  AneOptions options_;
  std::shared_ptr<Engine> engine_;
  std::shared_ptr<SlotManager> slots_;
  std::shared_ptr<Device> host_;
  std::shared_ptr<Device> background_host_;
  std::shared_ptr<Background> background_;
  Probed probed_;
  mutable std::mutex mutex_;
  std::vector<std::weak_ptr<PlacementRecord>> records_;
};

} // namespace anet::backend::ane
