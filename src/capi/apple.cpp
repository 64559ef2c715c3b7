// Buffers on the platform's shared surfaces.
#include "capi/buffer.h"
#include "capi/guard.h"
#include "capi/structs.h"
#include "capi/tensor.h"

#include <ane_train_apple.h>

using namespace anet::capi;

anet_status anet_buffer_import_iosurface(anet_device* device, void* iosurface,
                                         const anet_tensor_desc* desc, anet_buffer** buffer,
                                         anet_error** error) {
  return guard_create(buffer, "buffer", error, [&] {
    anet_device& parent = check_handle(device, "device");
    if (iosurface == nullptr) fail_null("iosurface");
    const auto layout = layout_of(read_struct(desc, "desc"));
    return std::make_unique<anet_buffer>(parent, parent.device->import_native(iosurface, layout));
  });
}

anet_status anet_buffer_import_iosurface_id(anet_device* device, uint32_t id,
                                            const anet_tensor_desc* desc, anet_buffer** buffer,
                                            anet_error** error) {
  return guard_create(buffer, "buffer", error, [&] {
    anet_device& parent = check_handle(device, "device");
    const auto layout = layout_of(read_struct(desc, "desc"));
    return std::make_unique<anet_buffer>(parent, parent.device->import_native_id(id, layout));
  });
}

void* anet_buffer_get_iosurface(const anet_buffer* buffer) {
  return is_valid(buffer) ? buffer->buffer->native_handle() : nullptr;
}

uint32_t anet_buffer_get_iosurface_id(const anet_buffer* buffer) {
  return is_valid(buffer) ? buffer->buffer->native_id() : 0;
}
