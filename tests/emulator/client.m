/* _ANEClient (ane-facts.md 1.2, 1.6): the same models, by way of the daemon's connection. */
#import "framework.h"

static EmulatorCore* core_of(id model) {
  if ([model isKindOfClass:[EmulatorInMemoryModel class]])
    return ((EmulatorInMemoryModel*)model)->core;
  if ([model isKindOfClass:[EmulatorModel class]]) return ((EmulatorModel*)model)->core;
  return nil;
}

static bool invalid_model(NSError** error, NSString* method) {
  return emulator_fail(error, 10, [NSString stringWithFormat:@"%@: invalid model", method]);
}

static id client_shared(id self, SEL command) {
  (void)self;
  (void)command;
  static id shared;
  @synchronized([EmulatorCore class]) {
    if (shared == nil) shared = emulator_new("_ANEClient");
  }
  return shared;
}

static id client_init(id self, SEL command, bool allowed) {
  (void)command;
  (void)allowed;
  return self;
}

/* Without these two options the compiler looks for an older format (1.3). */
static bool client_compile(id self, SEL command, id model, NSDictionary* options, unsigned qos,
                           NSError** error) {
  (void)self;
  (void)command;
  (void)qos;
  EmulatorCore* core = core_of(model);
  if (core == nil) return invalid_model(error, @"compileModel:options:qos:error:");
  if ([model isKindOfClass:[EmulatorModel class]] && ((EmulatorModel*)model)->url != nil) {
    NSString* file = [options objectForKey:@"kANEFNetPlistFilenameKey"];
    if (file == nil) file = [options objectForKey:@"kANEFNetPlistFilename"];
    if (![[options objectForKey:@"kANEFModelType"] isEqual:@"kANEFModelMIL"] || file == nil) {
      engine_explain(
          "compileModel: expected kANEFModelType and kANEFNetPlistFilenameKey in the options");
      return emulator_fail_compile(error, ENGINE_INVALID_PROGRAM, core->directory);
    }
    [core->text_file autorelease];
    core->text_file = [file copy];
  }
  return [core compile:error];
}

static bool client_load(id self, SEL command, id model, NSDictionary* options, unsigned qos,
                        NSError** error) {
  (void)self;
  (void)command;
  (void)options;
  (void)qos;
  EmulatorCore* core = core_of(model);
  return core == nil ? invalid_model(error, @"loadModel:options:qos:error:") : [core load:error];
}

static bool client_unload(id self, SEL command, id model, NSDictionary* options, unsigned qos,
                          NSError** error) {
  (void)self;
  (void)command;
  (void)options;
  (void)qos;
  EmulatorCore* core = core_of(model);
  return core == nil ? invalid_model(error, @"unloadModel:options:qos:error:")
                     : [core unload:error];
}

static bool client_evaluate(id self, SEL command, id model, NSDictionary* options, id request,
                            unsigned qos, NSError** error) {
  (void)self;
  (void)command;
  (void)options;
  (void)qos;
  EmulatorCore* core = core_of(model);
  return core == nil ? invalid_model(error, @"evaluateWithModel:options:request:qos:error:")
                     : [core evaluate:request error:error];
}

static bool client_evaluate_real_time(id self, SEL command, id model, NSDictionary* options,
                                      id request, NSError** error) {
  return client_evaluate(self, command, model, options, request, 0, error);
}

static bool client_exists(id self, SEL command, id model) {
  (void)self;
  (void)command;
  return [core_of(model) compiledModelExists];
}

static void client_purge(id self, SEL command, id model) {
  (void)self;
  (void)command;
  [core_of(model) purge];
}

static bool client_exists_hash(id self, SEL command, NSString* identifier) {
  (void)self;
  (void)command;
  return engine_cached([identifier UTF8String]) != 0;
}

static void client_purge_hash(id self, SEL command, NSString* identifier) {
  (void)self;
  (void)command;
  engine_purge([identifier UTF8String]);
}

static bool client_map(id self, SEL command, id model, id request, bool cache, NSError** error) {
  (void)self;
  (void)command;
  (void)model;
  (void)request;
  (void)cache;
  return emulator_fail(error, 13,
                       @"mapIOSurfacesWithModel:request:cacheInference:error:: Program IOSurfaces "
                       @"map failure (0x12)");
}

static void client_unmap(id self, SEL command, id model, id request) {
  (void)self;
  (void)command;
  (void)model;
  (void)request;
}

/* Refused for MIL models everywhere (1.10). */
static bool client_chain(id self, SEL command, id model, NSDictionary* options, id chaining,
                         unsigned qos, NSError** error) {
  (void)self;
  (void)command;
  (void)model;
  (void)options;
  (void)chaining;
  (void)qos;
  return emulator_fail(
      error, 15,
      @"prepareChainingWithModel:options:chainingReq:qos:error:: Program chaining prepare error");
}

static bool client_hint(id self, SEL command, id model, NSString* hint, NSDictionary* options,
                        id report, NSError** error) {
  (void)self;
  (void)command;
  (void)model;
  (void)options;
  (void)report;
  if (hint == nil)
    return emulator_fail(error, 26,
                         @"sessionHintWithModel:hint:options:report:error:: Bad argument error");
  return true;
}

/* They need an entitlement (1.2). */
static bool client_refuse(id self, SEL command) {
  (void)self;
  (void)command;
  return false;
}

static bool client_echo(id self, SEL command, id value) {
  (void)self;
  (void)command;
  return value != nil;
}

static const EmulatorMethod class_methods[] = {
    {"sharedConnection", "@16@0:8", (EmulatorFunction)client_shared},
    {"sharedPrivateConnection", "@16@0:8", (EmulatorFunction)client_shared},
};

static const EmulatorMethod methods[] = {
    {"initWithRestrictedAccessAllowed:", "@20@0:8B16", (EmulatorFunction)client_init},
    {"compileModel:options:qos:error:", "B44@0:8@16@24I32^@36", (EmulatorFunction)client_compile},
    {"loadModel:options:qos:error:", "B44@0:8@16@24I32^@36", (EmulatorFunction)client_load},
    {"doLoadModel:options:qos:error:", "B44@0:8@16@24I32^@36", (EmulatorFunction)client_load},
    {"loadRealTimeModel:options:qos:error:", "B44@0:8@16@24I32^@36", (EmulatorFunction)client_load},
    {"unloadModel:options:qos:error:", "B44@0:8@16@24I32^@36", (EmulatorFunction)client_unload},
    {"doUnloadModel:options:qos:error:", "B44@0:8@16@24I32^@36", (EmulatorFunction)client_unload},
    {"unloadRealTimeModel:options:qos:error:", "B44@0:8@16@24I32^@36",
     (EmulatorFunction)client_unload},
    {"compiledModelExistsFor:", "B24@0:8@16", (EmulatorFunction)client_exists},
    {"purgeCompiledModel:", "v24@0:8@16", (EmulatorFunction)client_purge},
    {"compiledModelExistsMatchingHash:", "B24@0:8@16", (EmulatorFunction)client_exists_hash},
    {"purgeCompiledModelMatchingHash:", "v24@0:8@16", (EmulatorFunction)client_purge_hash},
    {"evaluateWithModel:options:request:qos:error:", "B52@0:8@16@24@32I40^@44",
     (EmulatorFunction)client_evaluate},
    {"doEvaluateDirectWithModel:options:request:qos:error:", "B52@0:8@16@24@32I40^@44",
     (EmulatorFunction)client_evaluate},
    {"evaluateRealTimeWithModel:options:request:error:", "B48@0:8@16@24@32^@40",
     (EmulatorFunction)client_evaluate_real_time},
    {"mapIOSurfacesWithModel:request:cacheInference:error:", "B44@0:8@16@24B32^@36",
     (EmulatorFunction)client_map},
    {"unmapIOSurfacesWithModel:request:", "v32@0:8@16@24", (EmulatorFunction)client_unmap},
    {"prepareChainingWithModel:options:chainingReq:qos:error:", "B52@0:8@16@24@32I40^@44",
     (EmulatorFunction)client_chain},
    {"doPrepareChainingWithModel:options:chainingReq:qos:error:", "B52@0:8@16@24@32I40^@44",
     (EmulatorFunction)client_chain},
    {"buffersReadyWithModel:inputBuffers:options:qos:error:", "B52@0:8@16@24@32I40^@44",
     (EmulatorFunction)client_chain},
    {"doBuffersReadyWithModel:inputBuffers:options:qos:error:", "B52@0:8@16@24@32I40^@44",
     (EmulatorFunction)client_chain},
    {"enqueueSetsWithModel:outputSet:options:qos:error:", "B52@0:8@16@24@32I40^@44",
     (EmulatorFunction)client_chain},
    {"doEnqueueSetsWithModel:outputSet:options:qos:error:", "B52@0:8@16@24@32I40^@44",
     (EmulatorFunction)client_chain},
    {"sessionHintWithModel:hint:options:report:error:", "B56@0:8@16@24@32@40^@48",
     (EmulatorFunction)client_hint},
    {"beginRealTimeTask", "B16@0:8", (EmulatorFunction)client_refuse},
    {"endRealTimeTask", "B16@0:8", (EmulatorFunction)client_refuse},
    {"isVirtualClient", "B16@0:8", (EmulatorFunction)client_refuse},
    {"echo:", "B24@0:8@16", (EmulatorFunction)client_echo},
};

const EmulatorClass emulator_client_class = {"_ANEClient",  "NSObject",
                                             class_methods, EMULATOR_COUNT(class_methods),
                                             methods,       EMULATOR_COUNT(methods)};
