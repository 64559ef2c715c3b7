// Memory for the values between a kernel's segments.
#pragma once

#include "backend/ane/environment.h"
#include "backend/backend.h"

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

namespace anet::backend::ane {

class AneWorkspace;

// One kernel's values. Those that background work reads exist twice: a run fills one set while the
// background reads the other.
class Scratch {
public:
  struct Value {
    Layout layout;
    bool twice = false;
  };
  // `extra` bytes are counted and allocated elsewhere.
  Scratch(std::vector<Value> values, size_t extra);

  bool is_ready() const { return ready_; }
  Buffer& buffer(size_t value, size_t set) const {
    const auto& copies = buffers_[value];
    return copies[set] ? *copies[set] : *copies[0];
  }

private:
  friend class AneWorkspace;
  std::vector<Value> values_;
  size_t extra_;
  std::vector<std::array<std::unique_ptr<Buffer>, 2>> buffers_;
  bool ready_ = false;
};

// Kernels of one workspace never run at once, so they share the memory of values that exist once.
class AneWorkspace final : public Workspace {
public:
  explicit AneWorkspace(std::shared_ptr<Environment> environment);

  size_t size_bytes() const override;
  void reserve() override;

  // Raises what reserve() will allocate, and allocates it for this kernel too.
  void add(const std::shared_ptr<Scratch>& scratch);
  // Of the kernels on the host, in the foreground and in the background.
  const std::shared_ptr<Workspace>& host() const { return host_; }
  const std::shared_ptr<Workspace>& background() const { return background_; }

private:
  // Memory of one kind that values of different kernels take turns in: the largest of each kernel
  // in the first place, the next in the second, and so on.
  struct Pool {
    std::vector<size_t> sizes;
    void require(std::vector<size_t> wanted);
    size_t bytes() const;
  };

  static bool is_surface(const Scratch::Value& value);
  std::vector<size_t> pooled(const Scratch& scratch, bool surfaces) const;
  void allocate_pools();
  void allocate(Scratch& scratch);

  std::shared_ptr<Environment> environment_;
  std::shared_ptr<Workspace> host_;
  std::shared_ptr<Workspace> background_;
  Pool surface_pool_;
  Pool plain_pool_;
  std::vector<std::shared_ptr<Surface>> surfaces_;
  std::vector<std::shared_ptr<Buffer>> plain_;
  std::vector<std::weak_ptr<Scratch>> users_;
};

} // namespace anet::backend::ane
