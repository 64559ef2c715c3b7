/* The header comes first and alone, as in a C program that includes nothing else before it. */
#include "ane_train.h"
#include "ane_train.h" /* twice is as good as once */

anet_status header_c_compiles(anet_error** error);

anet_status header_c_compiles(anet_error** error) {
  anet_device_options options;
  anet_device* device = NULL;
  anet_status status;
  anet_struct_init(&options, sizeof options);
  options.log_level = ANET_LOG_OFF;
  status = anet_device_open("cpu", &options, &device, error);
  anet_device_release(device);
  return status;
}
