/* What the Objective-C files share. The public classes (_ANE...) are made when the library is
 * loaded from tables of functions, so that their type encodings are exactly Apple's
 * (ane-facts.md 1.2) and a fault can leave one out; what their objects hold is declared here, as
 * ordinary classes. */
#import <Foundation/Foundation.h>

#include "engine.h"

#include <objc/runtime.h>

typedef struct __IOSurface* IOSurfaceRef;
typedef const void* CFTypeRef;

#define EMULATOR_EXPORT __attribute__((visibility("default")))

typedef void (*EmulatorFunction)(void);

typedef struct EmulatorMethod {
  const char* selector;
  const char* encoding;
  EmulatorFunction function;
} EmulatorMethod;

typedef struct EmulatorClass {
  const char* name;
  const char* state; /* the class that holds the ivars */
  const EmulatorMethod* class_methods;
  size_t class_method_count;
  const EmulatorMethod* methods;
  size_t method_count;
} EmulatorClass;

#define EMULATOR_COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* The tables, one a file. */
extern const EmulatorClass emulator_descriptor_class;
extern const EmulatorClass emulator_in_memory_model_class;
extern const EmulatorClass emulator_model_classes[2];
extern const EmulatorClass emulator_client_class;
extern const EmulatorClass emulator_request_classes[8];
extern const EmulatorClass emulator_device_classes[8];

/* Called once, by load.c. */
void emulator_make_classes(void);

/* An object of a public class; not initialized: -init is a public method too, and may give nil. */
id emulator_new(const char* class_name);

/* Messages to public classes. */
@interface NSObject (EmulatorMessages)
+ (id)sharedConnection;
- (NSString*)hexStringIdentifier;
- (id)program;
@end

/* --- Errors (ane-facts.md 5.1) -----------------------------------------------------------------
 */

extern NSString* const emulator_generic_domain;
extern NSString* const emulator_compiler_domain;

NSError* emulator_error(NSInteger code, NSString* description);
BOOL emulator_fail(NSError** error, NSInteger code, NSString* description); /* NO */
BOOL emulator_fail_compile(NSError** error, int verdict, NSString* directory);
BOOL emulator_fail_evaluate(NSError** error, int status);

/* --- Surfaces -----------------------------------------------------------------------------------
 */

@interface EmulatorSurface : NSObject {
@public
  void* base;
  size_t size;
  size_t width, height, bytes_per_row, bytes_per_element;
  uint32_t identifier, seed, pixel_format;
  int locks;
}
@end

/* --- Models -------------------------------------------------------------------------------------
 */

/* A compiled model on its way to the device. Shared by _ANEInMemoryModel, its _ANEModel and its
 * program. */
@interface EmulatorCore : NSObject {
@public
  NSString* identifier;
  NSString* directory;
  NSString* text_file; /* "model.mil" */
  NSDictionary* attributes;
  uint64_t handle; /* 0: not loaded */
  uint64_t state;  /* 1 created, 3 loaded, 5 failed */
  uint64_t string_id;
  BOOL compiled;
}
- (BOOL)compile:(NSError**)error;
- (BOOL)load:(NSError**)error;
- (BOOL)unload:(NSError**)error;
- (BOOL)evaluate:(id)request error:(NSError**)error;
- (BOOL)compiledModelExists;
- (void)purge;
@end

@interface EmulatorDescriptor : NSObject {
@public
  NSData* text;
  NSDictionary* weights;
  NSData* options;
  BOOL is_mil;
}
@end

@interface EmulatorInMemoryModel : NSObject {
@public
  EmulatorCore* core;
  id descriptor;
  id model;
  uint32_t statistics_mask;
}
@end

/* _ANEModel and _ANEProgramForEvaluation. */
@interface EmulatorModel : NSObject {
@public
  EmulatorCore* core;
  NSURL* url;
  NSString* key;
  NSUUID* uuid;
  uint32_t statistics_mask;
}
@end

/* --- Requests -----------------------------------------------------------------------------------
 */

@interface EmulatorRequest : NSObject {
@public
  NSArray *inputs, *input_indices, *outputs, *output_indices;
  id weights_buffer, statistics, procedure, shared_events, transaction;
  void* completion; /* a copied block */
  BOOL counted;     /* in live_requests */
}
@end

@interface EmulatorSurfaceObject : NSObject {
@public
  IOSurfaceRef surface;
  NSNumber* offset;
  BOOL retained;
}
@end

/* Small objects that only carry values. */
@interface EmulatorRecord : NSObject {
@public
  NSArray* fields;
}
@end

BOOL emulator_request_valid(EmulatorRequest* request);

/* --- Completion handlers ------------------------------------------------------------------------
 */

/* As Block_copy and Block_release would; NULL stays NULL. */
void* emulator_block_copy(void* block);
void emulator_block_release(void* block);
/* Calls the handler, if there is one, a little later and on another thread. */
void emulator_complete(void* handler, BOOL succeeded, NSError* error);
