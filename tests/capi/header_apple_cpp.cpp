// The header comes first and alone, and its functions have C linkage.
#include "ane_train_apple.h"

anet_status header_apple_cpp_compiles(anet_device* device, anet_buffer** buffer);

anet_status header_apple_cpp_compiles(anet_device* device, anet_buffer** buffer) {
  anet_tensor_desc desc;
  anet_struct_init(&desc, sizeof desc);
  return anet_buffer_import_iosurface_id(device, 1, &desc, buffer, nullptr);
}
