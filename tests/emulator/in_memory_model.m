/* _ANEInMemoryModel (ane-facts.md 1.2, 1.3, 3.2). */
#import "framework.h"

#include <stdlib.h>

@implementation EmulatorInMemoryModel

- (void)dealloc {
  [core release];
  [descriptor release];
  [model release];
  [super dealloc];
}

@end

/* NSTemporaryDirectory() on macOS; GNUstep's own has one more directory in it. */
static NSString* temporary_directory(void) {
  const char* directory = getenv("TMPDIR");
  return
      [NSString stringWithUTF8String:directory != NULL && *directory != '\0' ? directory : "/tmp"];
}

static id memory_init(EmulatorInMemoryModel* self, SEL command, EmulatorDescriptor* descriptor) {
  (void)command;
  if (descriptor == nil) {
    [self release];
    return nil;
  }
  self->descriptor = [descriptor retain];
  self->core = [[EmulatorCore alloc] init];
  self->core->identifier = [[descriptor hexStringIdentifier] retain];
  self->core->directory =
      [[temporary_directory() stringByAppendingPathComponent:self->core->identifier] retain];
  EmulatorModel* model = emulator_new("_ANEModel");
  model->core = [self->core retain];
  self->model = model;
  return self;
}

static id memory_with_descriptor(id self, SEL command, EmulatorDescriptor* descriptor) {
  (void)self;
  return [memory_init(emulator_new("_ANEInMemoryModel"), command, descriptor) autorelease];
}

static id memory_plain_init(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  [self release];
  return nil;
}

static bool memory_compile(EmulatorInMemoryModel* self, SEL command, unsigned qos,
                           NSDictionary* options, NSError** error) {
  (void)command;
  (void)qos;
  (void)options;
  return [self->core compile:error];
}

static bool memory_load(EmulatorInMemoryModel* self, SEL command, unsigned qos,
                        NSDictionary* options, NSError** error) {
  (void)command;
  (void)qos;
  (void)options;
  return [self->core load:error];
}

static bool memory_evaluate(EmulatorInMemoryModel* self, SEL command, unsigned qos,
                            NSDictionary* options, id request, NSError** error) {
  (void)command;
  (void)qos;
  (void)options;
  return [self->core evaluate:request error:error];
}

static bool memory_unload(EmulatorInMemoryModel* self, SEL command, unsigned qos, NSError** error) {
  (void)command;
  (void)qos;
  return [self->core unload:error];
}

/* Not possible on this path, and not needed (1.5). */
static bool memory_map(EmulatorInMemoryModel* self, SEL command, id request, bool cache,
                       NSError** error) {
  (void)self;
  (void)command;
  (void)request;
  (void)cache;
  return emulator_fail(error, 13,
                       @"mapIOSurfacesWithModel:request:cacheInference:error:: Program IOSurfaces "
                       @"map failure (0x12)");
}

static void memory_unmap(EmulatorInMemoryModel* self, SEL command, id request) {
  (void)self;
  (void)command;
  (void)request;
}

static bool memory_exists(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return [self->core compiledModelExists];
}

static void memory_purge(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  [self->core purge];
}

static NSDictionary* memory_compiler_options(EmulatorInMemoryModel* self, SEL command,
                                             NSDictionary* options, bool cached) {
  (void)command;
  NSMutableDictionary* result = [NSMutableDictionary dictionaryWithDictionary:options];
  [result setObject:[NSNumber numberWithBool:cached] forKey:@"kANEFInMemoryModelIsCachedKey"];
  [result setObject:self->core->identifier forKey:@"kANEFIsInMemoryModelTypeKey"];
  [result setObject:@"kANEFModelMIL" forKey:@"kANEFModelType"];
  return result;
}

/* The older format's route: its files shadow model.mil (3.2). */
static NSString* memory_save(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  NSString* directory = self->core->directory;
  [[NSFileManager defaultManager] createDirectoryAtPath:directory
                            withIntermediateDirectories:YES
                                             attributes:nil
                                                  error:NULL];
  NSData* text = ((EmulatorDescriptor*)self->descriptor)->text;
  [text writeToFile:[directory stringByAppendingPathComponent:@"model.espresso.net"] atomically:NO];
  return directory;
}

static NSString* memory_identifier(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return self->core->identifier;
}
static NSString* memory_path(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return self->core->directory;
}
static id memory_model(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return self->model;
}
static id memory_descriptor(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return self->descriptor;
}
static id memory_attributes(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return self->core->attributes;
}
static id memory_url(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return [NSURL fileURLWithPath:self->core->directory];
}
static id memory_program(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return [self->model program];
}
static bool memory_is_mil(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return ((EmulatorDescriptor*)self->descriptor)->is_mil;
}
static char memory_queue_depth(EmulatorInMemoryModel* self, SEL command) {
  (void)self;
  (void)command;
  return 127;
}
static uint64_t memory_state(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return self->core->state;
}
static uint64_t memory_string_id(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return self->core->string_id;
}
static uint64_t memory_handle(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return self->core->handle;
}
static uint64_t memory_buffer_handle(EmulatorInMemoryModel* self, SEL command) {
  (void)self;
  (void)command;
  return 0;
}
static uint32_t memory_mask(EmulatorInMemoryModel* self, SEL command) {
  (void)command;
  return self->statistics_mask;
}
static void memory_set_mask(EmulatorInMemoryModel* self, SEL command, uint32_t mask) {
  (void)command;
  self->statistics_mask = mask;
}

/* The setter has no effect (5.2). */
static void memory_set_queue_depth(EmulatorInMemoryModel* self, SEL command, char depth) {
  (void)self;
  (void)command;
  (void)depth;
}

static id memory_connection(EmulatorInMemoryModel* self, SEL command) {
  (void)self;
  (void)command;
  return [(Class)objc_getClass("_ANEClient") sharedConnection];
}

static NSString* memory_options_file(EmulatorInMemoryModel* self, SEL command) {
  (void)self;
  (void)command;
  return nil;
}

static const EmulatorMethod class_methods[] = {
    {"inMemoryModelWithDescriptor:", "@24@0:8@16", (EmulatorFunction)memory_with_descriptor},
};

static const EmulatorMethod methods[] = {
    {"init", "@16@0:8", (EmulatorFunction)memory_plain_init},
    {"initWithDesctiptor:", "@24@0:8@16", (EmulatorFunction)memory_init}, /* sic */
    {"compileWithQoS:options:error:", "B36@0:8I16@20^@28", (EmulatorFunction)memory_compile},
    {"loadWithQoS:options:error:", "B36@0:8I16@20^@28", (EmulatorFunction)memory_load},
    {"evaluateWithQoS:options:request:error:", "B44@0:8I16@20@28^@36",
     (EmulatorFunction)memory_evaluate},
    {"unloadWithQoS:error:", "B28@0:8I16^@20", (EmulatorFunction)memory_unload},
    {"mapIOSurfacesWithRequest:cacheInference:error:", "B36@0:8@16B24^@28",
     (EmulatorFunction)memory_map},
    {"unmapIOSurfacesWithRequest:", "v24@0:8@16", (EmulatorFunction)memory_unmap},
    {"purgeCompiledModel", "v16@0:8", (EmulatorFunction)memory_purge},
    {"compiledModelExists", "B16@0:8", (EmulatorFunction)memory_exists},
    {"compilerOptionsWithOptions:isCompiledModelCached:", "@28@0:8@16B24",
     (EmulatorFunction)memory_compiler_options},
    {"hexStringIdentifier", "@16@0:8", (EmulatorFunction)memory_identifier},
    {"localModelPath", "@16@0:8", (EmulatorFunction)memory_path},
    {"model", "@16@0:8", (EmulatorFunction)memory_model},
    {"program", "@16@0:8", (EmulatorFunction)memory_program},
    {"modelAttributes", "@16@0:8", (EmulatorFunction)memory_attributes},
    {"modelURL", "@16@0:8", (EmulatorFunction)memory_url},
    {"descriptor", "@16@0:8", (EmulatorFunction)memory_descriptor},
    {"sharedConnection", "@16@0:8", (EmulatorFunction)memory_connection},
    {"saveModelFiles", "@16@0:8", (EmulatorFunction)memory_save},
    {"compilerOptionsFileName", "@16@0:8", (EmulatorFunction)memory_options_file},
    {"isMILModel", "B16@0:8", (EmulatorFunction)memory_is_mil},
    {"queueDepth", "c16@0:8", (EmulatorFunction)memory_queue_depth},
    {"setQueueDepth:", "v20@0:8c16", (EmulatorFunction)memory_set_queue_depth},
    {"state", "Q16@0:8", (EmulatorFunction)memory_state},
    {"string_id", "Q16@0:8", (EmulatorFunction)memory_string_id},
    {"programHandle", "Q16@0:8", (EmulatorFunction)memory_handle},
    {"intermediateBufferHandle", "Q16@0:8", (EmulatorFunction)memory_buffer_handle},
    {"perfStatsMask", "I16@0:8", (EmulatorFunction)memory_mask},
    {"setPerfStatsMask:", "v20@0:8I16", (EmulatorFunction)memory_set_mask},
};

const EmulatorClass emulator_in_memory_model_class = {"_ANEInMemoryModel",
                                                      "EmulatorInMemoryModel",
                                                      class_methods,
                                                      EMULATOR_COUNT(class_methods),
                                                      methods,
                                                      EMULATOR_COUNT(methods)};
