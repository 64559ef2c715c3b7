#include "bridge.h"

#import <Foundation/Foundation.h>

#include <objc/runtime.h>
#include <string.h>

typedef struct __IOSurface* IOSurfaceRef;

extern IOSurfaceRef IOSurfaceCreate(NSDictionary* properties);
extern const void* CFDictionaryCreate(const void* allocator, const void** keys, const void** values,
                                      long count, const void* key_callbacks,
                                      const void* value_callbacks);
extern const void* CFNumberCreate(const void* allocator, long type, const void* value);
extern void CFRelease(const void* value);
extern NSString *const kIOSurfaceWidth,
    *const kIOSurfaceHeight, *const kIOSurfaceBytesPerElement, *const kIOSurfaceBytesPerRow,
                                                                   *const kIOSurfaceAllocSize,
                                                                       *const kIOSurfacePixelFormat;

/* The messages that the client sends, with their types. */
@interface NSObject (AppleNeuralEngine)
+ (id)modelWithMILText:(NSData*)text weights:(NSDictionary*)weights optionsPlist:(NSData*)options;
+ (id)inMemoryModelWithDescriptor:(id)descriptor;
+ (id)objectWithIOSurface:(IOSurfaceRef)surface;
+ (id)objectWithIOSurface:(IOSurfaceRef)surface startOffset:(NSNumber*)offset;
+ (id)requestWithInputs:(NSArray*)inputs
           inputIndices:(NSArray*)input_indices
                outputs:(NSArray*)outputs
          outputIndices:(NSArray*)output_indices
          weightsBuffer:(id)weights
              perfStats:(id)statistics
         procedureIndex:(NSNumber*)procedure;
+ (id)sharedConnection;
+ (id)modelAtURL:(NSURL*)url key:(NSString*)key;
- (BOOL)compileWithQoS:(unsigned)qos options:(NSDictionary*)options error:(NSError**)error;
- (BOOL)loadWithQoS:(unsigned)qos options:(NSDictionary*)options error:(NSError**)error;
- (BOOL)unloadWithQoS:(unsigned)qos error:(NSError**)error;
- (BOOL)evaluateWithQoS:(unsigned)qos
                options:(NSDictionary*)options
                request:(id)request
                  error:(NSError**)error;
- (void)setCompletionHandler:(void*)block;
- (BOOL)mapIOSurfacesWithRequest:(id)request cacheInference:(BOOL)cache error:(NSError**)error;
- (NSDictionary*)modelAttributes;
- (id)model;
- (id)program;
- (uint64_t)string_id;
- (NSIndexSet*)inputSymbolIndicesForProcedureIndex:(unsigned)procedure;
- (BOOL)compileModel:(id)model
             options:(NSDictionary*)options
                 qos:(unsigned)qos
               error:(NSError**)error;
- (BOOL)loadModel:(id)model options:(NSDictionary*)options qos:(unsigned)qos error:(NSError**)error;
- (BOOL)unloadModel:(id)model
            options:(NSDictionary*)options
                qos:(unsigned)qos
              error:(NSError**)error;
- (BOOL)evaluateWithModel:(id)model
                  options:(NSDictionary*)options
                  request:(id)request
                      qos:(unsigned)qos
                    error:(NSError**)error;
- (BOOL)doEvaluateDirectWithModel:(id)model
                          options:(NSDictionary*)options
                          request:(id)request
                              qos:(unsigned)qos
                            error:(NSError**)error;
- (BOOL)evaluateRealTimeWithModel:(id)model
                          options:(NSDictionary*)options
                          request:(id)request
                            error:(NSError**)error;
- (BOOL)prepareChainingWithModel:(id)model
                         options:(NSDictionary*)options
                     chainingReq:(id)request
                             qos:(unsigned)qos
                           error:(NSError**)error;
- (BOOL)processRequest:(id)request
                 model:(id)model
                   qos:(unsigned)qos
                qIndex:(uint64_t)queue
         modelStringID:(uint64_t)string_id
               options:(NSDictionary*)options
           returnValue:(uint32_t*)value
                 error:(NSError**)error;
@end

enum { default_qos = 21 };

void* bridge_pool_push(void) { return [[NSAutoreleasePool alloc] init]; }
void bridge_pool_pop(void* pool) { [(NSAutoreleasePool*)pool release]; }

int bridge_has_class(const char* name) { return objc_getClass(name) != Nil; }
void* bridge_class(const char* name) { return objc_getClass(name); }

const char* bridge_encoding(const char* class_name, const char* selector, int meta) {
  Class class = objc_getClass(class_name);
  SEL name = sel_registerName(selector);
  Method method = meta ? class_getClassMethod(class, name) : class_getInstanceMethod(class, name);
  return method == NULL ? NULL : method_getTypeEncoding(method);
}

static IMP function_of(void* object, SEL selector) { return objc_msg_lookup((id)object, selector); }

void* bridge_object(void* object, const char* selector) {
  SEL name = sel_registerName(selector);
  return ((id(*)(id, SEL))function_of(object, name))((id)object, name);
}

const char* bridge_text(void* object, const char* selector) {
  return [(NSString*)bridge_object(object, selector) UTF8String];
}

unsigned long long bridge_number(void* object, const char* selector) {
  SEL name = sel_registerName(selector);
  return ((uint64_t(*)(id, SEL))(void (*)(void))function_of(object, name))((id)object, name);
}

int bridge_flag(void* object, const char* selector) {
  SEL name = sel_registerName(selector);
  return ((BOOL(*)(id, SEL))(void (*)(void))function_of(object, name))((id)object, name);
}

void bridge_send(void* object, const char* selector) {
  SEL name = sel_registerName(selector);
  ((void (*)(id, SEL))(void (*)(void))function_of(object, name))((id)object, name);
}

void bridge_release(void* object) { [(id)object release]; }

/* --- Errors -------------------------------------------------------------------------------------
 */

static void copy_text(char* target, size_t size, NSString* text) {
  const char* source = text == nil ? "" : [text UTF8String];
  strncpy(target, source, size - 1);
  target[size - 1] = '\0';
}

static int finish(BOOL succeeded, NSError* failure, bridge_error* error) {
  if (error == NULL) return succeeded;
  memset(error, 0, sizeof *error);
  if (succeeded || failure == nil) return succeeded;
  NSError* underlying = [[failure userInfo] objectForKey:NSUnderlyingErrorKey];
  error->code = (long)[failure code];
  copy_text(error->domain, sizeof error->domain, [failure domain]);
  copy_text(error->text, sizeof error->text,
            [[failure userInfo] objectForKey:NSLocalizedDescriptionKey]);
  copy_text(error->underlying, sizeof error->underlying,
            [[underlying userInfo] objectForKey:NSLocalizedDescriptionKey]);
  return succeeded;
}

/* --- Models -------------------------------------------------------------------------------------
 */

void* bridge_descriptor(const void* text, size_t size, const bridge_file* files, int count) {
  NSData* data = text == NULL ? nil : [NSData dataWithBytes:text length:size];
  NSMutableDictionary* weights = count < 0 ? nil : [NSMutableDictionary dictionary];
  for (int i = 0; i < count; ++i) {
    NSDictionary* entry = [NSDictionary
        dictionaryWithObjectsAndKeys:[NSNumber numberWithInt:0], @"offset",
                                     [NSData dataWithBytes:files[i].data length:files[i].size],
                                     @"data", nil];
    [weights setObject:entry forKey:[NSString stringWithUTF8String:files[i].key]];
  }
  return [(Class)objc_getClass("_ANEInMemoryModelDescriptor") modelWithMILText:data
                                                                       weights:weights
                                                                  optionsPlist:nil];
}

void* bridge_model(void* descriptor) {
  return [[(Class)objc_getClass("_ANEInMemoryModel") inMemoryModelWithDescriptor:(id)descriptor]
      retain];
}

int bridge_compile(void* model, bridge_error* error) {
  NSError* failure = nil;
  const BOOL succeeded = [(id)model compileWithQoS:default_qos
                                           options:[NSDictionary dictionary]
                                             error:&failure];
  return finish(succeeded, failure, error);
}

int bridge_load(void* model, bridge_error* error) {
  NSError* failure = nil;
  const BOOL succeeded = [(id)model loadWithQoS:default_qos
                                        options:[NSDictionary dictionary]
                                          error:&failure];
  return finish(succeeded, failure, error);
}

int bridge_unload(void* model, bridge_error* error) {
  NSError* failure = nil;
  const BOOL succeeded = [(id)model unloadWithQoS:default_qos error:&failure];
  return finish(succeeded, failure, error);
}

int bridge_evaluate(void* model, void* request, bridge_error* error) {
  NSError* failure = nil;
  const BOOL succeeded = [(id)model evaluateWithQoS:default_qos
                                            options:[NSDictionary dictionary]
                                            request:(id)request
                                              error:&failure];
  return finish(succeeded, failure, error);
}

int bridge_map(void* model, void* request, bridge_error* error) {
  NSError* failure = nil;
  const BOOL succeeded = [(id)model mapIOSurfacesWithRequest:(id)request
                                              cacheInference:YES
                                                       error:&failure];
  return finish(succeeded, failure, error);
}

static int64_t number(NSDictionary* dictionary, NSString* key) {
  return [[dictionary objectForKey:key] longLongValue];
}

int bridge_ports(void* model, int procedure, int output, bridge_port* ports, int capacity) {
  NSDictionary* attributes = [(id)model modelAttributes];
  NSArray* networks = [attributes objectForKey:@"NetworkStatusList"];
  NSArray* procedures =
      [[attributes objectForKey:@"ANEFModelDescription"] objectForKey:@"ANEFModelProcedures"];
  NSArray* list = [[networks objectAtIndex:(NSUInteger)procedure]
      objectForKey:output ? @"LiveOutputList" : @"LiveInputList"];
  NSArray* symbols = [[procedures objectAtIndex:(NSUInteger)procedure]
      objectForKey:output ? @"ANEFModelOutputSymbolIndexArray" : @"ANEFModelInputSymbolIndexArray"];
  int count = 0;
  for (NSDictionary* item in list) {
    if (count == capacity) break;
    bridge_port* port = &ports[count];
    copy_text(port->name, sizeof port->name, [item objectForKey:@"Name"]);
    copy_text(port->type, sizeof port->type, [item objectForKey:@"Type"]);
    port->symbol = [[symbols objectAtIndex:(NSUInteger)count] longLongValue];
    port->batches = number(item, @"Batches");
    port->channels = number(item, @"Channels");
    port->depth = number(item, @"Depth");
    port->height = number(item, @"Height");
    port->width = number(item, @"Width");
    port->batch_stride = number(item, @"BatchStride");
    port->depth_stride = number(item, @"DepthStride");
    port->plane_stride = number(item, @"PlaneStride");
    port->row_stride = number(item, @"RowStride");
    ++count;
  }
  return count;
}

int bridge_symbols(void* model, int output, char names[][64], int capacity) {
  NSDictionary* description = [[(id)model modelAttributes] objectForKey:@"ANEFModelDescription"];
  NSArray* symbols = [description
      objectForKey:output ? @"kANEFModelOutputSymbolsArrayKey" : @"kANEFModelInputSymbolsArrayKey"];
  int count = 0;
  for (NSString* name in symbols) {
    if (count == capacity) break;
    copy_text(names[count++], 64, name);
  }
  return count;
}

int bridge_procedure_id(void* model, const char* name) {
  NSDictionary* description = [[(id)model modelAttributes] objectForKey:@"ANEFModelDescription"];
  NSNumber* identifier = [[description objectForKey:@"kANEFModelProcedureNameToIDMapKey"]
      objectForKey:[NSString stringWithUTF8String:name]];
  return identifier == nil ? -1 : [identifier intValue];
}

int bridge_has_symbol_index(void* model, int procedure, int index) {
  return [[[(id)model model] inputSymbolIndicesForProcedureIndex:(unsigned)procedure]
      containsIndex:(NSUInteger)index];
}

/* --- Surfaces and requests ----------------------------------------------------------------------
 */

static NSNumber* integer(int64_t value) { return [NSNumber numberWithLongLong:value]; }

void* bridge_surface(int64_t width, int64_t height, int64_t bytes_per_element,
                     int64_t bytes_per_row, int64_t size) {
  NSDictionary* properties = [NSDictionary
      dictionaryWithObjectsAndKeys:integer(width), kIOSurfaceWidth, integer(height),
                                   kIOSurfaceHeight, integer(bytes_per_element),
                                   kIOSurfaceBytesPerElement, integer(bytes_per_row),
                                   kIOSurfaceBytesPerRow, integer(size), kIOSurfaceAllocSize,
                                   integer(0), kIOSurfacePixelFormat, nil];
  return IOSurfaceCreate(properties);
}

void* bridge_surface_core_foundation(int64_t bytes) {
  const int64_t values[] = {bytes, 1, 1, bytes, bytes, 0};
  const void* keys[] = {kIOSurfaceWidth,       kIOSurfaceHeight,    kIOSurfaceBytesPerElement,
                        kIOSurfaceBytesPerRow, kIOSurfaceAllocSize, kIOSurfacePixelFormat};
  const void* numbers[6];
  for (int i = 0; i < 6; ++i) numbers[i] = CFNumberCreate(NULL, 4, &values[i]);
  const void* properties = CFDictionaryCreate(NULL, keys, numbers, 6, NULL, NULL);
  IOSurfaceRef surface = IOSurfaceCreate((NSDictionary*)properties);
  for (int i = 0; i < 6; ++i) CFRelease(numbers[i]);
  CFRelease(properties);
  return surface;
}

static NSArray* wrapped(void* const* surfaces, int count, long offset) {
  NSMutableArray* list = [NSMutableArray array];
  Class class = objc_getClass("_ANEIOSurfaceObject");
  for (int i = 0; i < count; ++i) {
    [list addObject:offset < 0 ? [class objectWithIOSurface:surfaces[i]]
                               : [class objectWithIOSurface:surfaces[i]
                                                startOffset:[NSNumber numberWithLong:offset]]];
  }
  return list;
}

static NSArray* numbers_of(const int64_t* values, int count) {
  NSMutableArray* list = [NSMutableArray array];
  for (int i = 0; i < count; ++i) [list addObject:integer(values[i])];
  return list;
}

void* bridge_request(void* const* inputs, const int64_t* input_symbols, int input_count,
                     void* const* outputs, const int64_t* output_symbols, int output_count,
                     int procedure, long offset) {
  return [(Class)objc_getClass("_ANERequest")
      requestWithInputs:wrapped(inputs, input_count, offset)
           inputIndices:numbers_of(input_symbols, input_count)
                outputs:wrapped(outputs, output_count, offset)
          outputIndices:numbers_of(output_symbols, output_count)
          weightsBuffer:nil
              perfStats:nil
         procedureIndex:[NSNumber numberWithInt:procedure]];
}

/* --- The client's path --------------------------------------------------------------------------
 */

static id connection(void) { return [(Class)objc_getClass("_ANEClient") sharedConnection]; }

void* bridge_model_at(const char* directory, const char* key) {
  NSURL* url = [NSURL fileURLWithPath:[NSString stringWithUTF8String:directory] isDirectory:YES];
  return [[(Class)objc_getClass("_ANEModel") modelAtURL:url key:[NSString stringWithUTF8String:key]]
      retain];
}

int bridge_client_compile(void* model, int options, bridge_error* error) {
  NSDictionary* values = [NSDictionary dictionary];
  if (options) {
    values =
        [NSDictionary dictionaryWithObjectsAndKeys:@"kANEFModelMIL", @"kANEFModelType",
                                                   @"model.mil", @"kANEFNetPlistFilenameKey", nil];
  }
  NSError* failure = nil;
  const BOOL succeeded = [connection() compileModel:(id)model
                                            options:values
                                                qos:default_qos
                                              error:&failure];
  return finish(succeeded, failure, error);
}

int bridge_client_load(void* model, bridge_error* error) {
  NSError* failure = nil;
  const BOOL succeeded = [connection() loadModel:(id)model
                                         options:[NSDictionary dictionary]
                                             qos:default_qos
                                           error:&failure];
  return finish(succeeded, failure, error);
}

int bridge_client_unload(void* model, bridge_error* error) {
  NSError* failure = nil;
  const BOOL succeeded = [connection() unloadModel:(id)model
                                           options:[NSDictionary dictionary]
                                               qos:default_qos
                                             error:&failure];
  return finish(succeeded, failure, error);
}

int bridge_client_evaluate(int how, void* model, void* request, bridge_error* error) {
  NSError* failure = nil;
  NSDictionary* options = [NSDictionary dictionary];
  BOOL succeeded = NO;
  if (how == BRIDGE_EVALUATE) {
    succeeded = [connection() evaluateWithModel:(id)model
                                        options:options
                                        request:(id)request
                                            qos:default_qos
                                          error:&failure];
  } else if (how == BRIDGE_DIRECT) {
    succeeded = [connection() doEvaluateDirectWithModel:(id)model
                                                options:options
                                                request:(id)request
                                                    qos:default_qos
                                                  error:&failure];
  } else if (how == BRIDGE_REAL_TIME) {
    succeeded = [connection() evaluateRealTimeWithModel:(id)model
                                                options:options
                                                request:(id)request
                                                  error:&failure];
  } else {
    uint32_t value = 99;
    id inner = [(id)model model];
    succeeded = [[inner program] processRequest:(id)request
                                          model:inner
                                            qos:default_qos
                                         qIndex:0
                                  modelStringID:[inner string_id]
                                        options:options
                                    returnValue:&value
                                          error:&failure];
    if (succeeded && value != 0) succeeded = NO;
  }
  return finish(succeeded, failure, error);
}

int bridge_chain(void* model, bridge_error* error) {
  NSError* failure = nil;
  const BOOL succeeded = [connection() prepareChainingWithModel:(id)model
                                                        options:[NSDictionary dictionary]
                                                    chainingReq:nil
                                                            qos:default_qos
                                                          error:&failure];
  return finish(succeeded, failure, error);
}

/* What clang makes of ^(BOOL succeeded, NSError* error) { call(context, ...); }. */
struct completion_block {
  void* isa;
  int flags;
  int reserved;
  void (*invoke)(struct completion_block* block, bool succeeded, NSError* error);
  const unsigned long* descriptor; /* reserved, size */
  bridge_completion call;
  void* context;
};

static void invoke_completion(struct completion_block* block, bool succeeded, NSError* error) {
  block->call(block->context, succeeded, error == nil ? 0 : (long)[error code]);
}

void bridge_set_completion(void* request, bridge_completion call, void* context) {
  static const unsigned long descriptor[2] = {0, sizeof(struct completion_block)};
  struct completion_block block = {
      .invoke = invoke_completion, .descriptor = descriptor, .call = call, .context = context};
  [(id)request setCompletionHandler:&block];
  memset(&block, 0, sizeof(block)); /* as the stack would be used again */
}

int bridge_evaluate_raises(void* model, void* request) {
  @try {
    bridge_evaluate(model, request, NULL);
  } @catch (NSException* exception) {
    return 1;
  }
  return 0;
}
