/* What is this library, and what can it run on here?
 *
 *     build/release/examples/01_devices
 */
#include <ane_train.h>

#include <stdio.h>
#include <stdlib.h>

/* Every call that can fail returns a status and fills an error object that the caller releases. */
/* By its address: C may read the second argument before it makes the call in the first. */
static void check(anet_status status, anet_error **error) {
  if (status == ANET_OK) return;
  fprintf(stderr, "%s: %s\n", anet_status_name(status), anet_error_message(*error));
  anet_error_release(*error);
  exit(1);
}

int main(void) {
  anet_error *error = NULL;

  /* A binding compares these two before its first call: the number in the library's file name
   * changes whenever an old program could no longer use it. */
  if (anet_abi_version() != ANET_ABI_VERSION) {
    fprintf(stderr, "this program was compiled for ABI %d, the library has %u\n", ANET_ABI_VERSION,
            (unsigned)anet_abi_version());
    return 1;
  }
  printf("libane_train %s\n%s\n\n", anet_version_string(), anet_build_info());

  /* Every device that this build knows, with the reason when it is not usable here. */
  for (size_t i = 0; i < anet_device_listing_count(); ++i) {
    anet_device_listing listing;
    anet_struct_init(&listing, sizeof listing); /* every struct says how large it is */
    check(anet_device_listing_get(i, &listing, &error), &error);
    printf("%-6s %-14s %s%s%s\n", listing.name, listing.available ? "available" : "not available",
           listing.description, listing.available ? "" : ": ", listing.reason);
  }

  /* "auto" is the fastest of those that are available. NULL options are the defaults. */
  anet_device *device = NULL;
  check(anet_device_open("auto", NULL, &device, &error), &error);
  anet_device_info info;
  anet_struct_init(&info, sizeof info);
  check(anet_device_get_info(device, &info, &error), &error);
  printf("\nopened %s: %s, %u threads\n", info.name, info.description, (unsigned)info.threads);

  /* An error names what was expected and what was seen; it is a value, nothing is printed. */
  anet_device *unknown = NULL;
  if (anet_device_open("abacus", NULL, &unknown, &error) != ANET_OK) {
    printf("opening an abacus: %s\n", anet_error_message(error));
    anet_error_release(error);
  }

  printf("\nbuilt-in model configurations:");
  for (size_t i = 0; i < anet_model_config_count(); ++i) printf(" %s", anet_model_config_name(i));
  printf("\n");

  anet_device_release(device);
  return 0;
}
