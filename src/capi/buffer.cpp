#include "capi/buffer.h"

#include "capi/arguments.h"
#include "capi/guard.h"
#include "capi/structs.h"
#include "capi/tensor.h"

#include <cstdint>

namespace anet::capi {

namespace {

void check_memory(const void* data, size_t size, const backend::Layout& layout, size_t alignment) {
  const auto address =
      reinterpret_cast<uintptr_t>(&require(static_cast<const char*>(data), "data"));
  if (address % alignment != 0)
    fail(Status::invalid_argument, "expected memory aligned to ", alignment,
         " bytes, seen an address ", address % alignment, " past a multiple of it");
  const auto needed = static_cast<size_t>(layout.span_bytes());
  if (size < needed)
    fail(Status::out_of_range, "expected at least ", needed, " bytes for the tensor, seen ", size);
}

std::unique_ptr<anet_buffer> import(anet_device& device, void* data, size_t size,
                                    const anet_tensor_desc* desc, ReleaseCallback& memory) {
  const backend::Layout layout = layout_of(read_struct(desc, "desc"));
  check_memory(data, size, layout, device.device->capabilities().buffer_alignment);
  auto buffer = device.device->import(static_cast<std::byte*>(data), size, layout);
  return std::make_unique<anet_buffer>(device, std::move(buffer), std::move(memory));
}

// Maps for the time of one copy.
class Mapping {
public:
  Mapping(backend::Buffer& buffer, bool write) : buffer_(buffer) { buffer_.map(write); }
  ~Mapping() { buffer_.unmap(); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

private:
  backend::Buffer& buffer_;
};

void check_copy(const anet_buffer& handle, size_t size) {
  if (handle.mappings > 0)
    fail(Status::busy, "expected a buffer that is not mapped, seen ", handle.mappings, " mappings");
  const size_t expected = dense_bytes(handle.buffer->layout());
  if (size != expected)
    fail(Status::shape_mismatch, "expected ", expected, " bytes, all elements of shape ",
         mil::shape_to_string(handle.buffer->layout().shape), ", seen ", size);
}

anet_buffer_view view_of(backend::Buffer& buffer) {
  anet_buffer_view view{};
  view.data = buffer.data();
  view.size_bytes = buffer.size_bytes();
  view.desc = desc_of(buffer.layout());
  return view;
}

} // namespace

} // namespace anet::capi

using namespace anet::capi;
using anet::Status;

anet_status anet_buffer_create(anet_device* device, const anet_tensor_desc* desc,
                               anet_buffer** buffer, anet_error** error) {
  return guard_create(buffer, "buffer", error, [&] {
    anet_device& parent = check_handle(device, "device");
    const auto layout = layout_of(read_struct(desc, "desc"));
    return std::make_unique<anet_buffer>(parent, parent.device->allocate(layout));
  });
}

anet_status anet_buffer_import(anet_device* device, void* data, size_t size_bytes,
                               const anet_tensor_desc* desc, anet_release_callback release,
                               void* user_data, anet_buffer** buffer, anet_error** error) {
  // Made first and destroyed last: whatever fails below, the memory is given back.
  ReleaseCallback memory(release, user_data);
  return guard_create(buffer, "buffer", error, [&] {
    return import(check_handle(device, "device"), data, size_bytes, desc, memory);
  });
}

anet_status anet_buffer_get_desc(const anet_buffer* buffer, anet_tensor_desc* desc,
                                 anet_error** error) {
  return guard(error, [&] {
    const anet_buffer& handle = check_handle(buffer, "buffer");
    const OutputStruct output(desc, "desc");
    output.write(desc_of(handle.buffer->layout()));
  });
}

anet_status anet_buffer_map(anet_buffer* buffer, anet_map_access access, anet_buffer_view* view,
                            anet_error** error) {
  return guard(error, [&] {
    anet_buffer& handle = check_handle(buffer, "buffer");
    const OutputStruct output(view, "view");
    check_enumerator(access, ANET_MAP_READ, 3, Status::invalid_argument, "access");
    const auto call = enter_call(handle, "buffer");
    handle.buffer->map((access & ANET_MAP_WRITE) != 0);
    ++handle.mappings;
    output.write(view_of(*handle.buffer));
  });
}

anet_status anet_buffer_unmap(anet_buffer* buffer, anet_error** error) {
  return guard(error, [&] {
    anet_buffer& handle = check_handle(buffer, "buffer");
    const auto call = enter_call(handle, "buffer");
    if (handle.mappings == 0)
      fail(Status::invalid_state, "expected a buffer that is mapped, seen one that is not");
    handle.buffer->unmap();
    --handle.mappings;
  });
}

anet_status anet_buffer_write(anet_buffer* buffer, const void* data, size_t size_bytes,
                              anet_error** error) {
  return guard(error, [&] {
    anet_buffer& handle = check_handle(buffer, "buffer");
    const auto& bytes = require(static_cast<const std::byte*>(data), "data");
    const auto call = enter_call(handle, "buffer");
    check_copy(handle, size_bytes);
    const Mapping mapping(*handle.buffer, true);
    copy_from_dense(&bytes, handle.buffer->data(), handle.buffer->layout());
  });
}

anet_status anet_buffer_read(anet_buffer* buffer, void* data, size_t size_bytes,
                             anet_error** error) {
  return guard(error, [&] {
    anet_buffer& handle = check_handle(buffer, "buffer");
    auto& bytes = require(static_cast<std::byte*>(data), "data");
    const auto call = enter_call(handle, "buffer");
    check_copy(handle, size_bytes);
    const Mapping mapping(*handle.buffer, false);
    copy_to_dense(handle.buffer->data(), &bytes, handle.buffer->layout());
  });
}

void anet_buffer_retain(anet_buffer* buffer) { retain_handle(buffer); }

void anet_buffer_release(anet_buffer* buffer) { release_handle(buffer); }
