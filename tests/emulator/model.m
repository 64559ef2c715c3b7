/* _ANEModel and _ANEProgramForEvaluation (ane-facts.md 1.2, 1.6). */
#import "framework.h"

@implementation EmulatorModel

- (void)dealloc {
  [core release];
  [url release];
  [key release];
  [uuid release];
  [super dealloc];
}

@end

static void hash_into(NSString* text, char digits[65]) {
  NSData* data = [text dataUsingEncoding:NSUTF8StringEncoding];
  engine_sha256([data bytes], [data length], digits);
}

/* A directory on disk; the compiled form is known by its path and key. */
static id model_at_url(id self, SEL command, NSURL* url, NSString* key) {
  (void)self;
  (void)command;
  if (url == nil) return nil;
  EmulatorModel* model = emulator_new("_ANEModel");
  model->core = [[EmulatorCore alloc] init];
  model->core->directory = [[url path] copy];
  char path_digits[65];
  char key_digits[65];
  hash_into([url path], path_digits);
  hash_into(key == nil ? @"" : key, key_digits);
  model->core->identifier = [[NSString alloc] initWithFormat:@"%s_%s", path_digits, key_digits];
  model->url = [url copy];
  model->key = [key copy];
  model->uuid = [[NSUUID UUID] retain];
  return [model autorelease];
}

static id model_attributes(EmulatorModel* self, SEL command) {
  (void)command;
  return self->core->attributes;
}
static id model_url(EmulatorModel* self, SEL command) {
  (void)command;
  return self->url;
}
static id model_key(EmulatorModel* self, SEL command) {
  (void)command;
  return self->key;
}
static id model_uuid(EmulatorModel* self, SEL command) {
  (void)command;
  return self->uuid;
}
static uint64_t model_state(EmulatorModel* self, SEL command) {
  (void)command;
  return self->core->state;
}
static uint64_t model_string_id(EmulatorModel* self, SEL command) {
  (void)command;
  return self->core->string_id;
}
static uint64_t model_handle(EmulatorModel* self, SEL command) {
  (void)command;
  return self->core->handle;
}
static uint64_t model_buffer_handle(EmulatorModel* self, SEL command) {
  (void)self;
  (void)command;
  return 0;
}
static char model_queue_depth(EmulatorModel* self, SEL command) {
  (void)self;
  (void)command;
  return 127;
}
static uint32_t model_mask(EmulatorModel* self, SEL command) {
  (void)command;
  return self->statistics_mask;
}
static void model_set_mask(EmulatorModel* self, SEL command, uint32_t mask) {
  (void)command;
  self->statistics_mask = mask;
}

static NSIndexSet* symbol_indices(EmulatorModel* self, unsigned procedure, NSString* name) {
  NSArray* procedures = [[self->core->attributes objectForKey:@"ANEFModelDescription"]
      objectForKey:@"ANEFModelProcedures"];
  if (procedure >= [procedures count]) return nil;
  NSMutableIndexSet* indices = [NSMutableIndexSet indexSet];
  for (NSNumber* index in [[procedures objectAtIndex:procedure] objectForKey:name]) {
    [indices addIndex:[index unsignedIntegerValue]];
  }
  return indices;
}

static NSIndexSet* model_inputs(EmulatorModel* self, SEL command, unsigned procedure) {
  (void)command;
  return symbol_indices(self, procedure, @"ANEFModelInputSymbolIndexArray");
}

static NSIndexSet* model_outputs(EmulatorModel* self, SEL command, unsigned procedure) {
  (void)command;
  return symbol_indices(self, procedure, @"ANEFModelOutputSymbolIndexArray");
}

static NSDictionary* model_procedure(EmulatorModel* self, SEL command, unsigned procedure) {
  (void)command;
  NSArray* procedures = [[self->core->attributes objectForKey:@"ANEFModelDescription"]
      objectForKey:@"ANEFModelProcedures"];
  return procedure < [procedures count] ? [procedures objectAtIndex:procedure] : nil;
}

/* nil until loaded. */
static id model_program(EmulatorModel* self, SEL command) {
  (void)command;
  if (self->core->handle == 0) return nil;
  EmulatorModel* program = emulator_new("_ANEProgramForEvaluation");
  program->core = [self->core retain];
  return [program autorelease];
}

static bool program_process(EmulatorModel* self, SEL command, id request, id model, unsigned qos,
                            uint64_t queue, uint64_t string_id, NSDictionary* options,
                            uint32_t* value, NSError** error) {
  (void)command;
  (void)model;
  (void)qos;
  (void)queue;
  (void)string_id;
  (void)options;
  const bool succeeded = [self->core evaluate:request error:error];
  if (value != NULL) *value = succeeded ? 0 : 1;
  return succeeded;
}

static const EmulatorMethod model_class_methods[] = {
    {"modelAtURL:key:", "@32@0:8@16@24", (EmulatorFunction)model_at_url},
};

static const EmulatorMethod model_methods[] = {
    {"modelAttributes", "@16@0:8", (EmulatorFunction)model_attributes},
    {"modelURL", "@16@0:8", (EmulatorFunction)model_url},
    {"key", "@16@0:8", (EmulatorFunction)model_key},
    {"getUUID", "@16@0:8", (EmulatorFunction)model_uuid},
    {"UUID", "@16@0:8", (EmulatorFunction)model_uuid},
    {"state", "Q16@0:8", (EmulatorFunction)model_state},
    {"string_id", "Q16@0:8", (EmulatorFunction)model_string_id},
    {"programHandle", "Q16@0:8", (EmulatorFunction)model_handle},
    {"intermediateBufferHandle", "Q16@0:8", (EmulatorFunction)model_buffer_handle},
    {"queueDepth", "c16@0:8", (EmulatorFunction)model_queue_depth},
    {"perfStatsMask", "I16@0:8", (EmulatorFunction)model_mask},
    {"setPerfStatsMask:", "v20@0:8I16", (EmulatorFunction)model_set_mask},
    {"program", "@16@0:8", (EmulatorFunction)model_program},
    {"inputSymbolIndicesForProcedureIndex:", "@20@0:8I16", (EmulatorFunction)model_inputs},
    {"outputSymbolIndicesForProcedureIndex:", "@20@0:8I16", (EmulatorFunction)model_outputs},
    {"procedureInfoForProcedureIndex:", "@20@0:8I16", (EmulatorFunction)model_procedure},
};

static const EmulatorMethod program_methods[] = {
    {"processRequest:model:qos:qIndex:modelStringID:options:returnValue:error:",
     "B76@0:8@16@24I32Q36Q44@52^I60^@68", (EmulatorFunction)program_process},
    {"programHandle", "Q16@0:8", (EmulatorFunction)model_handle},
    {"intermediateBufferHandle", "Q16@0:8", (EmulatorFunction)model_buffer_handle},
    {"queueDepth", "c16@0:8", (EmulatorFunction)model_queue_depth},
};

const EmulatorClass emulator_model_classes[2] = {
    {"_ANEModel", "EmulatorModel", model_class_methods, EMULATOR_COUNT(model_class_methods),
     model_methods, EMULATOR_COUNT(model_methods)},
    {"_ANEProgramForEvaluation", "EmulatorModel", NULL, 0, program_methods,
     EMULATOR_COUNT(program_methods)},
};
