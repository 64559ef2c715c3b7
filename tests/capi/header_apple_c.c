/* The header comes first and alone. */
#include "ane_train_apple.h"
#include "ane_train_apple.h" /* twice is as good as once */

anet_status header_apple_c_compiles(const anet_buffer* buffer);

anet_status header_apple_c_compiles(const anet_buffer* buffer) {
  return anet_buffer_get_iosurface(buffer) == NULL ? ANET_OK : ANET_E_UNSUPPORTED;
}
