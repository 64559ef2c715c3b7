/* _ANEInMemoryModelDescriptor (ane-facts.md 1.2, 1.3). */
#import "framework.h"

@implementation EmulatorDescriptor

- (void)dealloc {
  [text release];
  [weights release];
  [options release];
  [super dealloc];
}

@end

static NSString* hash(NSData* data) {
  char digits[65];
  engine_sha256([data bytes], [data length], digits);
  return [NSString stringWithUTF8String:digits];
}

static id descriptor_init(EmulatorDescriptor* self, SEL command, NSData* text,
                          NSDictionary* weights, NSData* options, bool is_mil) {
  (void)command;
  if (text == nil || weights == nil) {
    [self release];
    return nil;
  }
  self->text = [text copy];
  self->weights = [weights copy];
  self->options = [options copy];
  self->is_mil = is_mil;
  return self;
}

/* -init and +new give nil. */
static id descriptor_plain_init(EmulatorDescriptor* self, SEL command) {
  (void)command;
  [self release];
  return nil;
}

static id descriptor_with_text(id self, SEL command, NSData* text, NSDictionary* weights,
                               NSData* options) {
  (void)self;
  return [descriptor_init(emulator_new("_ANEInMemoryModelDescriptor"), command, text, weights,
                          options, true) autorelease];
}

static id descriptor_with_description(id self, SEL command, NSData* text, NSDictionary* weights,
                                      NSData* options) {
  (void)self;
  return [descriptor_init(emulator_new("_ANEInMemoryModelDescriptor"), command, text, weights,
                          options, false) autorelease];
}

static NSString* descriptor_text_hash(EmulatorDescriptor* self, SEL command) {
  (void)command;
  return hash(self->text);
}

/* Over the payloads in the order of their keys; how they are joined is not published. */
static NSString* descriptor_weights_hash(EmulatorDescriptor* self, SEL command) {
  (void)command;
  NSMutableData* joined = [NSMutableData data];
  NSArray* keys = [[self->weights allKeys] sortedArrayUsingSelector:@selector(compare:)];
  for (NSString* key in keys) {
    NSData* data = [[self->weights objectForKey:key] objectForKey:@"data"];
    [joined appendData:data];
  }
  return hash(joined);
}

static NSString* descriptor_options_hash(EmulatorDescriptor* self, SEL command) {
  (void)command;
  return hash(self->options);
}

static NSString* descriptor_identifier(EmulatorDescriptor* self, SEL command) {
  return [NSString stringWithFormat:@"%@_%@_%@", descriptor_text_hash(self, command),
                                    descriptor_options_hash(self, command),
                                    descriptor_weights_hash(self, command)];
}

static bool descriptor_is_mil(EmulatorDescriptor* self, SEL command) {
  (void)command;
  return self->is_mil;
}

static bool descriptor_equal(EmulatorDescriptor* self, SEL command, EmulatorDescriptor* other) {
  return
      [descriptor_identifier(self, command) isEqualToString:descriptor_identifier(other, command)];
}

static NSData* descriptor_text(EmulatorDescriptor* self, SEL command) {
  (void)command;
  return self->text;
}
static NSData* descriptor_options(EmulatorDescriptor* self, SEL command) {
  (void)command;
  return self->options;
}
static NSDictionary* descriptor_weights(EmulatorDescriptor* self, SEL command) {
  (void)command;
  return self->weights;
}

static const EmulatorMethod class_methods[] = {
    {"modelWithMILText:weights:optionsPlist:", "@40@0:8@16@24@32",
     (EmulatorFunction)descriptor_with_text},
    {"modelWithNetworkDescription:weights:optionsPlist:", "@40@0:8@16@24@32",
     (EmulatorFunction)descriptor_with_description},
};

static const EmulatorMethod methods[] = {
    {"init", "@16@0:8", (EmulatorFunction)descriptor_plain_init},
    {"initWithNetworkText:weights:optionsPlist:isMILModel:", "@44@0:8@16@24@32B40",
     (EmulatorFunction)descriptor_init},
    {"hexStringIdentifier", "@16@0:8", (EmulatorFunction)descriptor_identifier},
    {"networkTextHash", "@16@0:8", (EmulatorFunction)descriptor_text_hash},
    {"weightsHash", "@16@0:8", (EmulatorFunction)descriptor_weights_hash},
    {"optionsPlistHash", "@16@0:8", (EmulatorFunction)descriptor_options_hash},
    {"networkText", "@16@0:8", (EmulatorFunction)descriptor_text},
    {"optionsPlist", "@16@0:8", (EmulatorFunction)descriptor_options},
    {"weights", "@16@0:8", (EmulatorFunction)descriptor_weights},
    {"isMILModel", "B16@0:8", (EmulatorFunction)descriptor_is_mil},
    {"isEqualToInMemoryModelDescriptor:", "B24@0:8@16", (EmulatorFunction)descriptor_equal},
};

const EmulatorClass emulator_descriptor_class = {"_ANEInMemoryModelDescriptor",
                                                 "EmulatorDescriptor",
                                                 class_methods,
                                                 EMULATOR_COUNT(class_methods),
                                                 methods,
                                                 EMULATOR_COUNT(methods)};
