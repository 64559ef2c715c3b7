// Handles: what is behind the opaque pointers of the C ABI.
//
// Every handle begins with a tag that names its type, and that destruction overwrites: a pointer
// to another handle or to a released one is told apart from a good one before it is used. For a
// released handle this is an aid, not a guarantee, because its memory may hold something new.
#pragma once

#include "base/status.h"

#include <ane_train.h>

#include <atomic>
#include <cstdint>
#include <utility>

namespace anet::capi {

// The values are arbitrary, unlikely in other memory, and never reused.
enum class HandleKind : uint64_t {
  dead = 0x616e65745f303030,
  device,
  buffer,
  program,
  kernel,
  model,
  tokenizer,
  dataset,
  session,
  generator,
  text_decoder,
  chat_template,
  examples,
  adapter,
};

// "anet_device"; for anything else, words that fit an error message.
const char* handle_kind_name(HandleKind kind);

struct HandleHeader {
  explicit HandleHeader(HandleKind kind) : tag(kind) {}
  HandleHeader(const HandleHeader&) = delete;
  HandleHeader& operator=(const HandleHeader&) = delete;

  mutable std::atomic<HandleKind> tag;
  mutable std::atomic<int64_t> references{1};
};

template <HandleKind Kind>
struct Handle : HandleHeader {
  static constexpr HandleKind kind = Kind;
  Handle() : HandleHeader(Kind) {}
};

[[noreturn]] void fail_handle(const char* argument, HandleKind expected, HandleKind seen);

template <typename T>
bool is_valid(const T* handle) noexcept {
  const HandleHeader* header = handle;
  return header != nullptr && header->tag.load(std::memory_order_acquire) == T::kind;
}

// The handle behind an argument of this name. Throws invalid_argument, invalid_handle.
template <typename T>
T& check_handle(T* handle, const char* argument) {
  if (handle == nullptr)
    fail(Status::invalid_argument, "expected a handle in '", argument, "', seen NULL");
  if (!is_valid(handle)) fail_handle(argument, T::kind, handle->tag.load());
  return *handle;
}

template <typename T>
void retain_handle(const T* handle) noexcept {
  if (is_valid(handle)) handle->references.fetch_add(1, std::memory_order_relaxed);
}

template <typename T>
void release_handle(T* handle) noexcept {
  if (!is_valid(handle)) return;
  if (handle->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  handle->tag.store(HandleKind::dead, std::memory_order_release);
  delete handle;
}

// A counted reference, by which a child keeps its parent alive.
template <typename T>
class Ref {
public:
  Ref() = default;
  explicit Ref(T& handle) : handle_(&handle) { retain_handle(handle_); }
  // Takes over the reference that a new handle is born with.
  static Ref adopt(T* handle) {
    Ref ref;
    ref.handle_ = handle;
    return ref;
  }
  Ref(const Ref& other) : handle_(other.handle_) { retain_handle(handle_); }
  Ref(Ref&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Ref() {
    if (handle_ != nullptr) release_handle(handle_);
  }

  T* get() const { return handle_; }
  T* operator->() const { return handle_; }
  T& operator*() const { return *handle_; }
  explicit operator bool() const { return handle_ != nullptr; }
  T* release() { return std::exchange(handle_, nullptr); }

private:
  T* handle_ = nullptr;
};

} // namespace anet::capi
