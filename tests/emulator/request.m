/* Requests, wrapped surfaces, events and chaining (ane-facts.md 1.2, 1.5, 1.10). */
#import "framework.h"

@implementation EmulatorRequest

- (void)dealloc {
  [inputs release];
  [input_indices release];
  [outputs release];
  [output_indices release];
  [weights_buffer release];
  [statistics release];
  [procedure release];
  [shared_events release];
  [transaction release];
  emulator_block_release(completion);
  if (counted) engine_count("live_requests", -1);
  [super dealloc];
}

@end

@implementation EmulatorSurfaceObject

- (void)dealloc {
  if (retained) [(id)surface release];
  [offset release];
  [super dealloc];
}

@end

@implementation EmulatorRecord

- (void)dealloc {
  [fields release];
  [super dealloc];
}

@end

/* --- _ANERequest --------------------------------------------------------------------------------
 */

static id request_init(EmulatorRequest* self, SEL command, NSArray* inputs, NSArray* input_indices,
                       NSArray* outputs, NSArray* output_indices, id weights, id statistics,
                       id procedure, id events, id transaction) {
  (void)command;
  self->counted = YES;
  engine_count("live_requests", 1);
  self->inputs = [inputs copy];
  self->input_indices = [input_indices copy];
  self->outputs = [outputs copy];
  self->output_indices = [output_indices copy];
  self->weights_buffer = [weights retain];
  self->statistics = [statistics retain];
  self->procedure = [procedure retain];
  self->shared_events = [events retain];
  self->transaction = [transaction retain];
  return self;
}

static id request_all(id self, SEL command, NSArray* inputs, NSArray* input_indices,
                      NSArray* outputs, NSArray* output_indices, id weights, id statistics,
                      id procedure, id events, id transaction) {
  (void)self;
  return [request_init(emulator_new("_ANERequest"), command, inputs, input_indices, outputs,
                       output_indices, weights, statistics, procedure, events, transaction)
      autorelease];
}

static id request_events(id self, SEL command, NSArray* inputs, NSArray* input_indices,
                         NSArray* outputs, NSArray* output_indices, id weights, id statistics,
                         id procedure, id events) {
  return request_all(self, command, inputs, input_indices, outputs, output_indices, weights,
                     statistics, procedure, events, nil);
}

static id request_usual(id self, SEL command, NSArray* inputs, NSArray* input_indices,
                        NSArray* outputs, NSArray* output_indices, id weights, id statistics,
                        id procedure) {
  return request_all(self, command, inputs, input_indices, outputs, output_indices, weights,
                     statistics, procedure, nil, nil);
}

static id request_weights(id self, SEL command, NSArray* inputs, NSArray* input_indices,
                          NSArray* outputs, NSArray* output_indices, id weights, id procedure) {
  return request_all(self, command, inputs, input_indices, outputs, output_indices, weights, nil,
                     procedure, nil, nil);
}

static id request_statistics(id self, SEL command, NSArray* inputs, NSArray* input_indices,
                             NSArray* outputs, NSArray* output_indices, id statistics,
                             id procedure) {
  return request_all(self, command, inputs, input_indices, outputs, output_indices, nil, statistics,
                     procedure, nil, nil);
}

static id request_plain(id self, SEL command, NSArray* inputs, NSArray* input_indices,
                        NSArray* outputs, NSArray* output_indices, id procedure) {
  return request_all(self, command, inputs, input_indices, outputs, output_indices, nil, nil,
                     procedure, nil, nil);
}

static BOOL side_valid(NSArray* surfaces, NSArray* indices) {
  const NSUInteger count = [surfaces count];
  if (count == 0 || count > 0xFF || [indices count] != count) return NO;
  for (NSNumber* index in indices) {
    if (![index isKindOfClass:[NSNumber class]] || [index longLongValue] < 0 ||
        [index longLongValue] >= 0xFF)
      return NO;
  }
  return YES;
}

BOOL emulator_request_valid(EmulatorRequest* self) {
  if (!side_valid(self->inputs, self->input_indices) ||
      !side_valid(self->outputs, self->output_indices))
    return NO;
  if (![self->procedure isKindOfClass:[NSNumber class]]) return NO;
  const long long procedure = [self->procedure longLongValue];
  return procedure >= 0 && procedure < 0x81;
}

static bool request_validate(EmulatorRequest* self, SEL command) {
  (void)command;
  return emulator_request_valid(self);
}

static uint64_t request_count(EmulatorRequest* self, SEL command) {
  (void)command;
  return [self->inputs count] + [self->outputs count];
}

/* On this path an evaluation stays synchronous; the handler is called besides (1.5). */
static void request_set_completion(EmulatorRequest* self, SEL command, void* block) {
  (void)command;
  void* const previous = self->completion;
  self->completion = emulator_block_copy(block);
  emulator_block_release(previous);
}

static id request_inputs(EmulatorRequest* self, SEL command) {
  (void)command;
  return self->inputs;
}
static id request_outputs(EmulatorRequest* self, SEL command) {
  (void)command;
  return self->outputs;
}
static id request_input_indices(EmulatorRequest* self, SEL command) {
  (void)command;
  return self->input_indices;
}
static id request_output_indices(EmulatorRequest* self, SEL command) {
  (void)command;
  return self->output_indices;
}
static id request_procedure(EmulatorRequest* self, SEL command) {
  (void)command;
  return self->procedure;
}
static id request_buffer(EmulatorRequest* self, SEL command) {
  (void)command;
  return self->weights_buffer;
}
static id request_nothing(EmulatorRequest* self, SEL command) {
  (void)self;
  (void)command;
  return nil;
}

/* --- _ANEIOSurfaceObject ------------------------------------------------------------------------
 */

static id surface_object(IOSurfaceRef surface, NSNumber* offset, BOOL retains) {
  if (surface == NULL) return nil;
  EmulatorSurfaceObject* object = emulator_new("_ANEIOSurfaceObject");
  object->surface = surface;
  object->offset = [offset retain];
  object->retained = retains;
  if (retains) [(id)surface retain];
  return [object autorelease];
}

static id surface_with(id self, SEL command, IOSurfaceRef surface) {
  (void)self;
  (void)command;
  return surface_object(surface, [NSNumber numberWithInt:0], YES);
}

static id surface_with_offset(id self, SEL command, IOSurfaceRef surface, NSNumber* offset) {
  (void)self;
  (void)command;
  return surface_object(surface, offset, YES);
}

static id surface_unretained(id self, SEL command, IOSurfaceRef surface, NSNumber* offset) {
  (void)self;
  (void)command;
  return surface_object(surface, offset, NO);
}

extern IOSurfaceRef IOSurfaceCreate(NSDictionary* properties);

static IOSurfaceRef surface_create(id self, SEL command, int width, int pixel_size, int height,
                                   int bytes_per_element) {
  (void)self;
  (void)command;
  if (width <= 0 || height <= 0 || pixel_size <= 0) return NULL;
  const long long row = (long long)width * pixel_size;
  NSDictionary* properties = [NSDictionary
      dictionaryWithObjectsAndKeys:[NSNumber numberWithInt:width], @"IOSurfaceWidth",
                                   [NSNumber numberWithInt:height], @"IOSurfaceHeight",
                                   [NSNumber numberWithInt:bytes_per_element],
                                   @"IOSurfaceBytesPerElement", [NSNumber numberWithLongLong:row],
                                   @"IOSurfaceBytesPerRow",
                                   [NSNumber numberWithLongLong:row * height],
                                   @"IOSurfaceAllocSize", nil];
  return IOSurfaceCreate(properties);
}

static IOSurfaceRef surface_create_short(id self, SEL command, int width, int pixel_size,
                                         int height) {
  return surface_create(self, command, width, pixel_size, height, pixel_size);
}

static IOSurfaceRef surface_get(EmulatorSurfaceObject* self, SEL command) {
  (void)command;
  return self->surface;
}
static NSNumber* surface_offset(EmulatorSurfaceObject* self, SEL command) {
  (void)command;
  return self->offset;
}

/* --- Values -------------------------------------------------------------------------------------
 */

static id record(const char* class_name, NSArray* fields) {
  EmulatorRecord* object = emulator_new(class_name);
  object->fields = [fields retain];
  return [object autorelease];
}

static id or_null(id value) { return value == nil ? (id)[NSNull null] : value; }

static id field(EmulatorRecord* self, NSUInteger index) {
  id value = [self->fields objectAtIndex:index];
  return value == [NSNull null] ? nil : value;
}

static id buffer_with(id self, SEL command, id surface, NSNumber* symbol, int64_t source) {
  (void)self;
  (void)command;
  return record("_ANEBuffer", [NSArray arrayWithObjects:or_null(surface), or_null(symbol),
                                                        [NSNumber numberWithLongLong:source], nil]);
}

static id buffer_surface(EmulatorRecord* self, SEL command) {
  (void)command;
  return field(self, 0);
}
static id buffer_symbol(EmulatorRecord* self, SEL command) {
  (void)command;
  return field(self, 1);
}
static int64_t buffer_source(EmulatorRecord* self, SEL command) {
  (void)command;
  return [field(self, 2) longLongValue];
}

/* nil without a surface for statistics (1.10). */
static id output_sets_with(id self, SEL command, IOSurfaceRef statistics, NSArray* buffers) {
  (void)self;
  (void)command;
  if (statistics == NULL) return nil;
  return record("_ANEIOSurfaceOutputSets",
                [NSArray arrayWithObjects:(id)statistics, or_null(buffers), nil]);
}

static id output_sets_buffer(EmulatorRecord* self, SEL command) {
  (void)command;
  return field(self, 1);
}
static IOSurfaceRef output_sets_statistics(EmulatorRecord* self, SEL command) {
  (void)command;
  return (IOSurfaceRef)field(self, 0);
}

static id signal_event(id self, SEL command, uint64_t value, unsigned symbol, int64_t type,
                       id event) {
  (void)self;
  (void)command;
  return record("_ANESharedSignalEvent",
                [NSArray arrayWithObjects:[NSNumber numberWithUnsignedLongLong:value],
                                          [NSNumber numberWithUnsignedInt:symbol],
                                          [NSNumber numberWithLongLong:type], or_null(event), nil]);
}

static id wait_event_typed(id self, SEL command, uint64_t value, id event, uint64_t type) {
  (void)self;
  (void)command;
  return record("_ANESharedWaitEvent",
                [NSArray arrayWithObjects:[NSNumber numberWithUnsignedLongLong:value],
                                          or_null(event),
                                          [NSNumber numberWithUnsignedLongLong:type], nil]);
}

static id wait_event(id self, SEL command, uint64_t value, id event) {
  return wait_event_typed(self, command, value, event, 0);
}
static uint64_t event_value(EmulatorRecord* self, SEL command) {
  (void)command;
  return [field(self, 0) unsignedLongLongValue];
}

static id shared_events(id self, SEL command, NSArray* signals, NSArray* waits) {
  (void)self;
  (void)command;
  return record("_ANESharedEvents",
                [NSArray arrayWithObjects:or_null(signals), or_null(waits), nil]);
}

static id events_signals(EmulatorRecord* self, SEL command) {
  (void)command;
  return field(self, 0);
}
static id events_waits(EmulatorRecord* self, SEL command) {
  (void)command;
  return field(self, 1);
}

static id chaining_with(id self, SEL command, NSArray* inputs, NSArray* outputs, NSArray* in_loop,
                        NSArray* out_loop, id procedure, NSArray* signals, id transaction, id delay,
                        id pool) {
  (void)self;
  (void)command;
  return record("_ANEChainingRequest",
                [NSArray arrayWithObjects:or_null(inputs), or_null(outputs), or_null(in_loop),
                                          or_null(out_loop), or_null(procedure), or_null(signals),
                                          or_null(transaction), or_null(delay), or_null(pool),
                                          nil]);
}

static bool chaining_validate(EmulatorRecord* self, SEL command) {
  (void)command;
  return [field(self, 0) count] > 0 && [field(self, 1) count] > 0 && [field(self, 1) count] <= 12 &&
         [field(self, 2) count] == [field(self, 3) count] && [field(self, 5) count] <= 256;
}

/* --- Tables -------------------------------------------------------------------------------------
 */

static const EmulatorMethod request_class_methods[] = {
    {"requestWithInputs:inputIndices:outputs:outputIndices:procedureIndex:",
     "@56@0:8@16@24@32@40@48", (EmulatorFunction)request_plain},
    {"requestWithInputs:inputIndices:outputs:outputIndices:perfStats:procedureIndex:",
     "@64@0:8@16@24@32@40@48@56", (EmulatorFunction)request_statistics},
    {"requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:procedureIndex:",
     "@64@0:8@16@24@32@40@48@56", (EmulatorFunction)request_weights},
    {"requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:",
     "@72@0:8@16@24@32@40@48@56@64", (EmulatorFunction)request_usual},
    {"requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:"
     "sharedEvents:",
     "@80@0:8@16@24@32@40@48@56@64@72", (EmulatorFunction)request_events},
    {"requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:"
     "sharedEvents:transactionHandle:",
     "@88@0:8@16@24@32@40@48@56@64@72@80", (EmulatorFunction)request_all},
};

static const EmulatorMethod request_methods[] = {
    {"initWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:"
     "sharedEvents:transactionHandle:",
     "@88@0:8@16@24@32@40@48@56@64@72@80", (EmulatorFunction)request_init},
    {"setCompletionHandler:", "v24@0:8@?16", (EmulatorFunction)request_set_completion},
    {"validate", "B16@0:8", (EmulatorFunction)request_validate},
    {"ioSurfacesCount", "Q16@0:8", (EmulatorFunction)request_count},
    {"inputArray", "@16@0:8", (EmulatorFunction)request_inputs},
    {"inputIndexArray", "@16@0:8", (EmulatorFunction)request_input_indices},
    {"outputArray", "@16@0:8", (EmulatorFunction)request_outputs},
    {"outputIndexArray", "@16@0:8", (EmulatorFunction)request_output_indices},
    {"procedureIndex", "@16@0:8", (EmulatorFunction)request_procedure},
    {"weightsBuffer", "@16@0:8", (EmulatorFunction)request_buffer},
    {"perfStats", "@16@0:8", (EmulatorFunction)request_nothing}, /* aned clears the mask (1.9) */
};

static const EmulatorMethod surface_class_methods[] = {
    {"objectWithIOSurface:", "@24@0:8^{__IOSurface=}16", (EmulatorFunction)surface_with},
    {"objectWithIOSurface:startOffset:", "@32@0:8^{__IOSurface=}16@24",
     (EmulatorFunction)surface_with_offset},
    {"objectWithIOSurfaceNoRetain:startOffset:", "@32@0:8^{__IOSurface=}16@24",
     (EmulatorFunction)surface_unretained},
    {"createIOSurfaceWithWidth:pixel_size:height:", "^{__IOSurface=}28@0:8i16i20i24",
     (EmulatorFunction)surface_create_short},
    {"createIOSurfaceWithWidth:pixel_size:height:bytesPerElement:",
     "^{__IOSurface=}32@0:8i16i20i24i28", (EmulatorFunction)surface_create},
};

static const EmulatorMethod surface_methods[] = {
    {"ioSurface", "^{__IOSurface=}16@0:8", (EmulatorFunction)surface_get},
    {"startOffset", "@16@0:8", (EmulatorFunction)surface_offset},
};

static const EmulatorMethod buffer_class_methods[] = {
    {"bufferWithIOSurfaceObject:symbolIndex:source:", "@40@0:8@16@24q32",
     (EmulatorFunction)buffer_with},
};

static const EmulatorMethod buffer_methods[] = {
    {"ioSurfaceObject", "@16@0:8", (EmulatorFunction)buffer_surface},
    {"symbolIndex", "@16@0:8", (EmulatorFunction)buffer_symbol},
    {"source", "q16@0:8", (EmulatorFunction)buffer_source},
};

static const EmulatorMethod sets_class_methods[] = {
    {"objectWithstatsSurRef:outputBuffer:", "@32@0:8^{__IOSurface=}16@24",
     (EmulatorFunction)output_sets_with},
};

static const EmulatorMethod sets_methods[] = {
    {"outputBuffer", "@16@0:8", (EmulatorFunction)output_sets_buffer},
    {"statsSurRef", "^{__IOSurface=}16@0:8", (EmulatorFunction)output_sets_statistics},
};

static const EmulatorMethod signal_class_methods[] = {
    {"signalEventWithValue:symbolIndex:eventType:sharedEvent:", "@44@0:8Q16I24q28@36",
     (EmulatorFunction)signal_event},
};

static const EmulatorMethod wait_class_methods[] = {
    {"waitEventWithValue:sharedEvent:", "@32@0:8Q16@24", (EmulatorFunction)wait_event},
    {"waitEventWithValue:sharedEvent:eventType:", "@40@0:8Q16@24Q32",
     (EmulatorFunction)wait_event_typed},
};

static const EmulatorMethod event_methods[] = {
    {"value", "Q16@0:8", (EmulatorFunction)event_value},
};

static const EmulatorMethod events_class_methods[] = {
    {"sharedEventsWithSignalEvents:waitEvents:", "@32@0:8@16@24", (EmulatorFunction)shared_events},
};

static const EmulatorMethod events_methods[] = {
    {"signalEvents", "@16@0:8", (EmulatorFunction)events_signals},
    {"waitEvents", "@16@0:8", (EmulatorFunction)events_waits},
};

static const EmulatorMethod chaining_class_methods[] = {
    {"chainingRequestWithInputs:outputSets:lbInputSymbolId:lbOutputSymbolId:procedureIndex:"
     "signalEvents:transactionHandle:"
     "fwEnqueueDelay:memoryPoolId:",
     "@88@0:8@16@24@32@40@48@56@64@72@80", (EmulatorFunction)chaining_with},
};

static const EmulatorMethod chaining_methods[] = {
    {"validate", "B16@0:8", (EmulatorFunction)chaining_validate},
};

const EmulatorClass emulator_request_classes[8] = {
    {"_ANERequest", "EmulatorRequest", request_class_methods, EMULATOR_COUNT(request_class_methods),
     request_methods, EMULATOR_COUNT(request_methods)},
    {"_ANEIOSurfaceObject", "EmulatorSurfaceObject", surface_class_methods,
     EMULATOR_COUNT(surface_class_methods), surface_methods, EMULATOR_COUNT(surface_methods)},
    {"_ANEBuffer", "EmulatorRecord", buffer_class_methods, EMULATOR_COUNT(buffer_class_methods),
     buffer_methods, EMULATOR_COUNT(buffer_methods)},
    {"_ANEIOSurfaceOutputSets", "EmulatorRecord", sets_class_methods,
     EMULATOR_COUNT(sets_class_methods), sets_methods, EMULATOR_COUNT(sets_methods)},
    {"_ANESharedSignalEvent", "EmulatorRecord", signal_class_methods,
     EMULATOR_COUNT(signal_class_methods), event_methods, EMULATOR_COUNT(event_methods)},
    {"_ANESharedWaitEvent", "EmulatorRecord", wait_class_methods,
     EMULATOR_COUNT(wait_class_methods), event_methods, EMULATOR_COUNT(event_methods)},
    {"_ANESharedEvents", "EmulatorRecord", events_class_methods,
     EMULATOR_COUNT(events_class_methods), events_methods, EMULATOR_COUNT(events_methods)},
    {"_ANEChainingRequest", "EmulatorRecord", chaining_class_methods,
     EMULATOR_COUNT(chaining_class_methods), chaining_methods, EMULATOR_COUNT(chaining_methods)},
};
