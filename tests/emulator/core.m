/* A model between its files, the compiler and the device. */
#import "framework.h"

#include <stdlib.h>

static NSNumber* integer(int64_t value) { return [NSNumber numberWithLongLong:value]; }

/* One entry of LiveInputList or LiveOutputList (ane-facts.md 1.4). */
static NSDictionary* port_dictionary(engine_port port) {
  NSString* name = [NSString stringWithUTF8String:port.name];
  return [NSDictionary
      dictionaryWithObjectsAndKeys:name, @"Name", name, @"Symbol",
                                   [NSString stringWithUTF8String:port.type], @"Type",
                                   integer(port.batches), @"Batches", integer(port.channels),
                                   @"Channels", integer(port.depth), @"Depth", integer(port.height),
                                   @"Height", integer(port.width), @"Width", integer(1),
                                   @"Interleave", integer(1), @"PlaneCount",
                                   integer(port.batch_stride), @"BatchStride",
                                   integer(port.depth_stride), @"DepthStride",
                                   integer(port.plane_stride), @"PlaneStride",
                                   integer(port.row_stride), @"RowStride", nil];
}

typedef struct Side {
  NSMutableArray* symbols; /* of the program */
  NSMutableArray* indices; /* of one procedure */
  NSMutableArray* ports;   /* of one procedure */
} Side;

static Side describe_side(uint64_t handle, int procedure, int output, NSMutableArray* symbols) {
  Side side = {symbols, [NSMutableArray array], [NSMutableArray array]};
  const int count = engine_port_count(handle, procedure, output);
  for (int i = 0; i < count; ++i) {
    const engine_port port = engine_get_port(handle, procedure, output, i);
    [symbols addObject:[NSString stringWithFormat:output ? @"%s@output" : @"%s", port.name]];
    [side.indices addObject:integer(port.symbol)];
    [side.ports addObject:port_dictionary(port)];
  }
  return side;
}

static NSDictionary* describe(uint64_t handle) {
  NSMutableArray* inputs = [NSMutableArray array];
  NSMutableArray* outputs = [NSMutableArray array];
  NSMutableArray* procedures = [NSMutableArray array];
  NSMutableArray* networks = [NSMutableArray array];
  NSMutableDictionary* names = [NSMutableDictionary dictionary];
  for (int i = 0; i < engine_procedure_count(handle); ++i) {
    NSString* name = [NSString stringWithUTF8String:engine_procedure_name(handle, i)];
    const Side in = describe_side(handle, i, 0, inputs);
    const Side out = describe_side(handle, i, 1, outputs);
    [names setObject:integer(i) forKey:name];
    [procedures
        addObject:[NSDictionary
                      dictionaryWithObjectsAndKeys:integer(i), @"ANEFModelProcedureID", in.indices,
                                                   @"ANEFModelInputSymbolIndexArray", out.indices,
                                                   @"ANEFModelOutputSymbolIndexArray", nil]];
    [networks addObject:[NSDictionary dictionaryWithObjectsAndKeys:name, @"Name", in.ports,
                                                                   @"LiveInputList", out.ports,
                                                                   @"LiveOutputList", nil]];
  }
  NSDictionary* description =
      [NSDictionary dictionaryWithObjectsAndKeys:procedures, @"ANEFModelProcedures", inputs,
                                                 @"kANEFModelInputSymbolsArrayKey", outputs,
                                                 @"kANEFModelOutputSymbolsArrayKey", names,
                                                 @"kANEFModelProcedureNameToIDMapKey", nil];
  return [NSDictionary dictionaryWithObjectsAndKeys:description, @"ANEFModelDescription", networks,
                                                    @"NetworkStatusList", nil];
}

/* Surfaces and their symbols; NO when an element is not a wrapped surface. */
static BOOL collect(NSArray* surfaces, NSArray* indices, engine_binding* bindings) {
  for (NSUInteger i = 0; i < [surfaces count]; ++i) {
    id entry = [surfaces objectAtIndex:i];
    if (![entry isKindOfClass:[EmulatorSurfaceObject class]]) return NO;
    EmulatorSurface* surface = (EmulatorSurface*)((EmulatorSurfaceObject*)entry)->surface;
    if (surface == nil) return NO;
    /* startOffset has no effect on this path (1.5). */
    bindings[i] =
        (engine_binding){[[indices objectAtIndex:i] longLongValue], surface->base, surface->size};
  }
  return YES;
}

static BOOL evaluate_request(uint64_t handle, EmulatorRequest* request, NSError** error) {
  const NSUInteger inputs = [request->inputs count];
  const NSUInteger outputs = [request->outputs count];
  engine_binding bindings[2][255];
  if (!collect(request->inputs, request->input_indices, bindings[0]) ||
      !collect(request->outputs, request->output_indices, bindings[1])) {
    return emulator_fail(error, 26,
                         @"evaluateWithModel:options:request:qos:error:: Bad argument error");
  }
  const int status = engine_evaluate(handle, [request->procedure longLongValue], bindings[0],
                                     inputs, bindings[1], outputs);
  return status == ENGINE_OK ? YES : emulator_fail_evaluate(error, status);
}

@implementation EmulatorCore

- (id)init {
  self = [super init];
  static uint64_t next = 1;
  state = 1;
  string_id = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
  text_file = @"model.mil";
  engine_count("live_models", 1);
  return self;
}

- (void)dealloc {
  if (handle != 0) engine_unload(handle);
  [identifier release];
  [directory release];
  [text_file release];
  [attributes release];
  engine_count("live_models", -1);
  [super dealloc];
}

- (BOOL)compile:(NSError**)error {
  const int verdict = engine_compile([identifier UTF8String], [directory fileSystemRepresentation],
                                     [text_file UTF8String]);
  if (verdict == ENGINE_COMPILED) {
    compiled = YES;
    return YES;
  }
  state = 5;
  return emulator_fail_compile(error, verdict, directory);
}

- (BOOL)load:(NSError**)error {
  @synchronized(self) {
    if (handle != 0) return YES;
    uint32_t failure = 0;
    handle = engine_load([identifier UTF8String], [directory fileSystemRepresentation], compiled,
                         &failure);
    if (handle != 0) {
      [attributes release];
      attributes = [describe(handle) retain];
      state = 3;
      return YES;
    }
    state = 5;
    if (failure == 0)
      return emulator_fail(error, 16, @"loadModel:options:qos:error:: file not found");
    return emulator_fail(
        error, 6,
        [NSString stringWithFormat:@"loadModel:options:qos:error:: Program load failure (0x%X)",
                                   failure]);
  }
}

- (BOOL)unload:(NSError**)error {
  if (engine_strikes("raise_unload")) {
    [NSException raise:NSInternalInconsistencyException format:@"fault raise_unload"];
  }
  @synchronized(self) {
    if (handle == 0)
      return emulator_fail(error, 10, @"unloadModel:options:qos:error:: invalid model");
    engine_unload(handle);
    handle = 0;
    state = 1;
    return YES;
  }
}

- (BOOL)evaluate:(id)request error:(NSError**)error {
  if (![request isKindOfClass:[EmulatorRequest class]] || !emulator_request_valid(request)) {
    return emulator_fail(error, 26,
                         @"evaluateWithModel:options:request:qos:error:: Bad argument error");
  }
  if (((EmulatorRequest*)request)->shared_events != nil) {
    return emulator_fail(error, 25, @"evaluateWithModel:options:request:qos:error:: Not supported");
  }
  uint64_t program;
  @synchronized(self) {
    program = handle;
  }
  if (engine_strikes("raise_evaluate")) {
    [NSException raise:NSInternalInconsistencyException format:@"fault raise_evaluate"];
  }
  NSError* failure = nil;
  const BOOL succeeded = evaluate_request(program, request, &failure);
  if (error != NULL && !succeeded) *error = failure;
  emulator_complete(((EmulatorRequest*)request)->completion, succeeded, failure);
  return succeeded;
}

- (BOOL)compiledModelExists {
  return engine_cached([identifier UTF8String]) ? YES : NO;
}

- (void)purge {
  compiled = NO;
  engine_purge([identifier UTF8String]);
}

@end
