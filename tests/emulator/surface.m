/* IOSurface and the part of CoreFoundation that its clients need (ane-facts.md 2.1). Surfaces are
 * Objective-C objects, as on macOS, and dictionaries and numbers are Foundation's: toll-free. */
#import "framework.h"

#include <stdlib.h>
#include <string.h>

EMULATOR_EXPORT NSString* const kIOSurfaceWidth = @"IOSurfaceWidth";
EMULATOR_EXPORT NSString* const kIOSurfaceHeight = @"IOSurfaceHeight";
EMULATOR_EXPORT NSString* const kIOSurfaceBytesPerElement = @"IOSurfaceBytesPerElement";
EMULATOR_EXPORT NSString* const kIOSurfaceBytesPerRow = @"IOSurfaceBytesPerRow";
EMULATOR_EXPORT NSString* const kIOSurfaceAllocSize = @"IOSurfaceAllocSize";
EMULATOR_EXPORT NSString* const kIOSurfacePixelFormat = @"IOSurfacePixelFormat";

enum { page_size = 16384, not_locked_error = (int)0xe00002c2, null_error = (int)0xe00002c2 };

/* Surfaces that exist, by identifier; guarded by itself. Unretained values. */
static NSMapTable* surfaces(void) {
  static NSMapTable* table;
  @synchronized([EmulatorSurface class]) {
    if (table == nil) {
      table = [[NSMapTable alloc]
          initWithKeyOptions:NSPointerFunctionsIntegerPersonality | NSPointerFunctionsOpaqueMemory
                valueOptions:NSPointerFunctionsOpaquePersonality | NSPointerFunctionsOpaqueMemory
                    capacity:64];
    }
  }
  return table;
}

@implementation EmulatorSurface

- (void)dealloc {
  NSMapTable* table = surfaces();
  @synchronized(table) {
    NSMapRemove(table, (void*)(uintptr_t)identifier);
  }
  free(base);
  engine_count("live_surfaces", -1);
  [super dealloc];
}

@end

static EmulatorSurface* object(IOSurfaceRef surface) { return (EmulatorSurface*)surface; }

static size_t number(NSDictionary* properties, NSString* key, size_t otherwise) {
  NSNumber* value = [properties objectForKey:key];
  return value == nil ? otherwise : (size_t)[value unsignedLongLongValue];
}

EMULATOR_EXPORT IOSurfaceRef IOSurfaceCreate(NSDictionary* properties) {
  if (properties == nil) return NULL;
  if (engine_strikes("fail_surface")) {
    engine_count("failed_surfaces", 1);
    return NULL;
  }
  static uint32_t next = 1;
  EmulatorSurface* surface = [[EmulatorSurface alloc] init];
  engine_count("live_surfaces", 1);
  surface->width = number(properties, kIOSurfaceWidth, 0);
  surface->height = number(properties, kIOSurfaceHeight, 1);
  surface->bytes_per_element = number(properties, kIOSurfaceBytesPerElement, 1);
  surface->bytes_per_row =
      number(properties, kIOSurfaceBytesPerRow, surface->width * surface->bytes_per_element);
  surface->pixel_format = (uint32_t)number(properties, kIOSurfacePixelFormat, 0);
  const size_t wanted =
      number(properties, kIOSurfaceAllocSize, surface->bytes_per_row * surface->height);
  const size_t rows = surface->bytes_per_row * surface->height;
  const size_t limit = (size_t)1 << 40;
  surface->identifier = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
  if (wanted == 0 || wanted > limit || rows > wanted) {
    [surface release];
    engine_count("failed_surfaces", 1);
    return NULL;
  }
  surface->size = (wanted + page_size - 1) / page_size * page_size;
  if (posix_memalign(&surface->base, page_size, surface->size) != 0) {
    surface->base = NULL;
    [surface release];
    engine_count("failed_surfaces", 1);
    return NULL;
  }
  memset(surface->base, 0, surface->size);
  NSMapTable* table = surfaces();
  @synchronized(table) {
    NSMapInsert(table, (void*)(uintptr_t)surface->identifier, surface);
  }
  return (IOSurfaceRef)surface;
}

EMULATOR_EXPORT IOSurfaceRef IOSurfaceLookup(uint32_t identifier) {
  NSMapTable* table = surfaces();
  @synchronized(table) {
    return (IOSurfaceRef)[(id)NSMapGet(table, (void*)(uintptr_t)identifier) retain];
  }
}

EMULATOR_EXPORT IOSurfaceRef IOSurfaceLookupFromID(uint32_t identifier) {
  return IOSurfaceLookup(identifier);
}

/* Locks count; a lock that is not read-only changes the seed when it ends. */
EMULATOR_EXPORT int IOSurfaceLock(IOSurfaceRef surface, uint32_t options, uint32_t* seed) {
  (void)options;
  if (surface == NULL) return null_error;
  EmulatorSurface* self = object(surface);
  @synchronized(self) {
    ++self->locks;
    if (seed != NULL) *seed = self->seed;
  }
  return 0;
}

EMULATOR_EXPORT int IOSurfaceUnlock(IOSurfaceRef surface, uint32_t options, uint32_t* seed) {
  if (surface == NULL) return null_error;
  EmulatorSurface* self = object(surface);
  @synchronized(self) {
    if (self->locks == 0) return not_locked_error;
    --self->locks;
    if ((options & 1) == 0) ++self->seed;
    if (seed != NULL) *seed = self->seed;
  }
  return 0;
}

EMULATOR_EXPORT void* IOSurfaceGetBaseAddress(IOSurfaceRef surface) {
  return surface ? object(surface)->base : NULL;
}
EMULATOR_EXPORT size_t IOSurfaceGetAllocSize(IOSurfaceRef surface) {
  return surface ? object(surface)->size : 0;
}
EMULATOR_EXPORT uint32_t IOSurfaceGetID(IOSurfaceRef surface) {
  return surface ? object(surface)->identifier : 0;
}
EMULATOR_EXPORT uint32_t IOSurfaceGetSeed(IOSurfaceRef surface) {
  return surface ? object(surface)->seed : 0;
}
EMULATOR_EXPORT size_t IOSurfaceGetWidth(IOSurfaceRef surface) {
  return surface ? object(surface)->width : 0;
}
EMULATOR_EXPORT size_t IOSurfaceGetHeight(IOSurfaceRef surface) {
  return surface ? object(surface)->height : 0;
}
EMULATOR_EXPORT size_t IOSurfaceGetBytesPerRow(IOSurfaceRef surface) {
  return surface ? object(surface)->bytes_per_row : 0;
}
EMULATOR_EXPORT size_t IOSurfaceGetBytesPerElement(IOSurfaceRef surface) {
  return surface ? object(surface)->bytes_per_element : 0;
}
EMULATOR_EXPORT uint32_t IOSurfaceGetPixelFormat(IOSurfaceRef surface) {
  return surface ? object(surface)->pixel_format : 0;
}

/* --- CoreFoundation ------------------------------------------------------------------------------
 */

EMULATOR_EXPORT CFTypeRef CFRetain(CFTypeRef value) { return [(id)value retain]; }
EMULATOR_EXPORT void CFRelease(CFTypeRef value) { [(id)value release]; }
EMULATOR_EXPORT long CFGetRetainCount(CFTypeRef value) { return (long)[(id)value retainCount]; }

/* What is behind the callbacks is not looked at: keys and values are objects. */
typedef struct CFDictionaryCallBacks {
  long version;
  const void* callbacks[6];
} CFDictionaryCallBacks;

EMULATOR_EXPORT const CFDictionaryCallBacks kCFTypeDictionaryKeyCallBacks = {0, {NULL}};
EMULATOR_EXPORT const CFDictionaryCallBacks kCFTypeDictionaryValueCallBacks = {0, {NULL}};
EMULATOR_EXPORT const void* const kCFAllocatorDefault = NULL;

EMULATOR_EXPORT NSDictionary* CFDictionaryCreate(const void* allocator, const void** keys,
                                                 const void** values, long count,
                                                 const void* key_callbacks,
                                                 const void* value_callbacks) {
  (void)allocator;
  (void)key_callbacks;
  (void)value_callbacks;
  return [[NSDictionary alloc] initWithObjects:(const id*)values
                                       forKeys:(const id*)keys
                                         count:(NSUInteger)count];
}

EMULATOR_EXPORT NSMutableDictionary* CFDictionaryCreateMutable(const void* allocator, long capacity,
                                                               const void* key_callbacks,
                                                               const void* value_callbacks) {
  (void)allocator;
  (void)key_callbacks;
  (void)value_callbacks;
  return [[NSMutableDictionary alloc] initWithCapacity:(NSUInteger)capacity];
}

EMULATOR_EXPORT void CFDictionarySetValue(NSMutableDictionary* dictionary, const void* key,
                                          const void* value) {
  [dictionary setObject:(id)value forKey:(id)key];
}

EMULATOR_EXPORT const void* CFDictionaryGetValue(NSDictionary* dictionary, const void* key) {
  return [dictionary objectForKey:(id)key];
}
EMULATOR_EXPORT long CFDictionaryGetCount(NSDictionary* dictionary) {
  return (long)[dictionary count];
}

/* CFNumberType: the fixed widths 1 to 6 and the C types 7 to 13. */
EMULATOR_EXPORT NSNumber* CFNumberCreate(const void* allocator, long type, const void* value) {
  (void)allocator;
  switch (type) {
  case 1:
  case 7:
    return [[NSNumber alloc] initWithChar:*(const signed char*)value];
  case 2:
  case 8:
    return [[NSNumber alloc] initWithShort:*(const short*)value];
  case 3:
  case 9:
    return [[NSNumber alloc] initWithInt:*(const int*)value];
  case 4:
  case 10:
  case 11:
  case 14:
  case 15:
    return [[NSNumber alloc] initWithLongLong:*(const long long*)value];
  case 5:
  case 12:
    return [[NSNumber alloc] initWithFloat:*(const float*)value];
  case 6:
  case 13:
  case 16:
    return [[NSNumber alloc] initWithDouble:*(const double*)value];
  default:
    return nil;
  }
}

EMULATOR_EXPORT unsigned char CFNumberGetValue(NSNumber* number_value, long type, void* value) {
  switch (type) {
  case 3:
  case 9:
    *(int*)value = [number_value intValue];
    return 1;
  case 4:
  case 10:
  case 11:
  case 14:
  case 15:
    *(long long*)value = [number_value longLongValue];
    return 1;
  case 5:
  case 12:
    *(float*)value = [number_value floatValue];
    return 1;
  case 6:
  case 13:
  case 16:
    *(double*)value = [number_value doubleValue];
    return 1;
  default:
    return 0;
  }
}

EMULATOR_EXPORT NSString* CFStringCreateWithCString(const void* allocator, const char* text,
                                                    uint32_t encoding) {
  (void)allocator;
  (void)encoding; /* UTF-8 and ASCII are what clients have */
  return [[NSString alloc] initWithUTF8String:text];
}

/* The GNU runtime has none of these; Apple's exports them for automatic reference counting. */
EMULATOR_EXPORT void* objc_autoreleasePoolPush(void) { return [[NSAutoreleasePool alloc] init]; }
EMULATOR_EXPORT void objc_autoreleasePoolPop(void* pool) { [(NSAutoreleasePool*)pool drain]; }
