#include "backend/ane/scratch.h"

#include "backend/ane/buffer.h"
#include "base/status.h"

#include <algorithm>
#include <numeric>

namespace anet::backend::ane {

namespace {

constexpr size_t page = 16384; // surfaces are whole pages (ane-facts.md 2.1, R)

size_t size_of(const Layout& layout) { return static_cast<size_t>(layout.span_bytes()); }

size_t rounded(size_t size) { return (size + page - 1) / page * page; }

// Ordinary memory that another buffer owns.
class Borrowed final : public Buffer {
public:
  Borrowed(const Layout& layout, std::shared_ptr<Buffer> memory)
      : Buffer(layout, memory->size_bytes()), memory_(std::move(memory)) {}
  std::byte* data() override { return memory_->data(); }
  void map(bool) override { mappings_.fetch_add(1, std::memory_order_acq_rel); }
  void unmap() override { mappings_.fetch_sub(1, std::memory_order_acq_rel); }

private:
  std::shared_ptr<Buffer> memory_;
};

} // namespace

Scratch::Scratch(std::vector<Value> values, size_t extra)
    : values_(std::move(values)), extra_(extra), buffers_(values_.size()) {}

void AneWorkspace::Pool::require(std::vector<size_t> wanted) {
  std::sort(wanted.rbegin(), wanted.rend());
  if (wanted.size() > sizes.size()) sizes.resize(wanted.size(), 0);
  for (size_t i = 0; i < wanted.size(); ++i) sizes[i] = std::max(sizes[i], wanted[i]);
}

size_t AneWorkspace::Pool::bytes() const {
  return std::accumulate(sizes.begin(), sizes.end(), size_t{0});
}

AneWorkspace::AneWorkspace(std::shared_ptr<Environment> environment)
    : environment_(std::move(environment)), host_(environment_->host().make_workspace()),
      background_(environment_->background_host().make_workspace()) {}

bool AneWorkspace::is_surface(const Scratch::Value& value) {
  return is_engine_type(value.layout.dtype);
}

std::vector<size_t> AneWorkspace::pooled(const Scratch& scratch, bool surfaces) const {
  std::vector<size_t> sizes;
  for (const Scratch::Value& value : scratch.values_) {
    if (value.twice || is_surface(value) != surfaces) continue;
    sizes.push_back(surfaces ? rounded(size_of(value.layout)) : size_of(value.layout));
  }
  return sizes;
}

size_t AneWorkspace::size_bytes() const {
  size_t total =
      host_->size_bytes() + background_->size_bytes() + surface_pool_.bytes() + plain_pool_.bytes();
  for (const std::weak_ptr<Scratch>& user : users_) {
    const std::shared_ptr<Scratch> scratch = user.lock();
    if (!scratch) continue;
    total += scratch->extra_;
    for (const Scratch::Value& value : scratch->values_)
      if (value.twice) total += 2 * rounded(size_of(value.layout));
  }
  return total;
}

void AneWorkspace::add(const std::shared_ptr<Scratch>& scratch) {
  std::erase_if(users_, [](const auto& user) { return user.expired(); });
  users_.push_back(scratch);
  surface_pool_.require(pooled(*scratch, true));
  plain_pool_.require(pooled(*scratch, false));
}

void AneWorkspace::reserve() {
  host_->reserve();
  background_->reserve();
  allocate_pools();
  for (const std::weak_ptr<Scratch>& user : users_)
    if (const std::shared_ptr<Scratch> scratch = user.lock()) allocate(*scratch);
}

void AneWorkspace::allocate_pools() {
  surfaces_.resize(surface_pool_.sizes.size());
  for (size_t i = 0; i < surfaces_.size(); ++i) {
    const size_t size = surface_pool_.sizes[i];
    if (!surfaces_[i] || surfaces_[i]->size_bytes() < size)
      surfaces_[i] = environment_->engine()->make_surface(size);
  }
  plain_.resize(plain_pool_.sizes.size());
  for (size_t i = 0; i < plain_.size(); ++i) {
    const size_t size = plain_pool_.sizes[i];
    if (plain_[i] && plain_[i]->size_bytes() >= size) continue;
    const auto bytes = Layout::contiguous(DataType::uint8, {static_cast<int64_t>(size)});
    plain_[i] = environment_->host().allocate(bytes);
  }
}

// Gives every value its buffer; in the order of sizes, as the pools were planned.
void AneWorkspace::allocate(Scratch& scratch) {
  std::vector<size_t> order(scratch.values_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return size_of(scratch.values_[a].layout) > size_of(scratch.values_[b].layout);
  });
  size_t next_surface = 0, next_plain = 0;
  for (const size_t i : order) {
    const Scratch::Value& value = scratch.values_[i];
    auto& copies = scratch.buffers_[i];
    if (value.twice) {
      for (auto& copy : copies)
        if (!copy) copy = environment_->allocate(value.layout);
    } else if (is_surface(value)) {
      copies[0] = environment_->wrap(value.layout, surfaces_[next_surface++]);
    } else {
      copies[0] = std::make_unique<Borrowed>(value.layout, plain_[next_plain++]);
    }
  }
  scratch.ready_ = true;
}

} // namespace anet::backend::ane
