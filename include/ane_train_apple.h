/**
 * @file ane_train_apple.h
 * Buffers that share memory with other parts of an application through IOSurfaces.
 *
 * Plain C that needs no header of Apple's: an IOSurfaceRef is passed as `void *`. Where there are
 * no IOSurfaces, or on the device "cpu", the imports fail with ANET_E_UNSUPPORTED.
 *
 * Rows of a surface that the Neural Engine reads are padded to 64 bytes: take the strides of `desc`
 * from anet_kernel_get_port.
 */
#ifndef ANE_TRAIN_APPLE_H
#define ANE_TRAIN_APPLE_H

#include "ane_train.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Wraps a surface without copying.
 * @param iosurface an IOSurfaceRef; retained until the buffer is released.
 * @param desc the tensor in the surface, from its first byte on.
 * @return ANET_E_UNSUPPORTED where the device has no surfaces, ANET_E_TYPE_MISMATCH or
 *         ANET_E_SHAPE_MISMATCH for a bad `desc`, ANET_E_OUT_OF_RANGE when the surface is smaller
 *         than `desc` needs.
 */
ANET_API anet_status anet_buffer_import_iosurface(anet_device *device, void *iosurface,
                                                  const anet_tensor_desc *desc,
                                                  anet_buffer **buffer,
                                                  anet_error **error) ANET_CHECK;
/** The same for a surface of another process, by the number that IOSurfaceGetID gave there.
 * @return ANET_E_NOT_FOUND too. */
ANET_API anet_status anet_buffer_import_iosurface_id(anet_device *device, uint32_t id,
                                                     const anet_tensor_desc *desc,
                                                     anet_buffer **buffer,
                                                     anet_error **error) ANET_CHECK;
/** The buffer's IOSurfaceRef, borrowed from the buffer; NULL for ordinary memory and for NULL.
 * Lock it around accesses, as every surface. */
ANET_API void *anet_buffer_get_iosurface(const anet_buffer *buffer);
/** Its number; 0 for ordinary memory and for NULL. */
ANET_API uint32_t anet_buffer_get_iosurface_id(const anet_buffer *buffer);

#ifdef __cplusplus
}
#endif

#endif /* ANE_TRAIN_APPLE_H */
