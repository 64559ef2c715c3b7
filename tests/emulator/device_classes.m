/* _ANEDeviceInfo, _ANEQoSMapper, _ANEErrors, _ANEHashEncoding, _ANEStrings and the statistics
 * (ane-facts.md 1.7, 1.9, 1.11, 5.1). */
#import "framework.h"

/* --- _ANEDeviceInfo -----------------------------------------------------------------------------
 */

static bool yes(id self, SEL command) {
  (void)self;
  (void)command;
  return true;
}
static bool no(id self, SEL command) {
  (void)self;
  (void)command;
  return false;
}
static bool no_for(id self, SEL command, id argument) {
  (void)self;
  (void)command;
  (void)argument;
  return false;
}
static id nothing(id self, SEL command) {
  (void)self;
  (void)command;
  return nil;
}
static uint32_t engines(id self, SEL command) {
  (void)self;
  (void)command;
  return 1;
}
static uint32_t cores(id self, SEL command) {
  (void)self;
  (void)command;
  return 16;
}
static int64_t board(id self, SEL command) {
  (void)self;
  (void)command;
  return engine_board_type();
}

static NSString* profile_text(const char* name) {
  return [NSString stringWithUTF8String:engine_profile_text(name)];
}
static NSString* architecture(id self, SEL command) {
  (void)self;
  (void)command;
  return profile_text("architecture");
}
static NSString* sub_type(id self, SEL command) {
  (void)self;
  (void)command;
  return profile_text("sub_type");
}
static NSString* product(id self, SEL command) {
  (void)self;
  (void)command;
  return profile_text("product_name");
}
static NSString* build(id self, SEL command) {
  (void)self;
  (void)command;
  return @"25D125";
}
static NSString* empty(id self, SEL command) {
  (void)self;
  (void)command;
  return @"";
}

static const EmulatorMethod device_methods[] = {
    {"hasANE", "B16@0:8", (EmulatorFunction)yes},
    {"numANEs", "I16@0:8", (EmulatorFunction)engines},
    {"numANECores", "I16@0:8", (EmulatorFunction)cores},
    {"aneArchitectureType", "@16@0:8", (EmulatorFunction)architecture},
    {"aneSubType", "@16@0:8", (EmulatorFunction)sub_type},
    {"aneSubTypeVariant", "@16@0:8", (EmulatorFunction)empty},
    {"aneSubTypeAndVariant", "@16@0:8", (EmulatorFunction)sub_type},
    {"aneSubTypeProductVariant", "@16@0:8", (EmulatorFunction)empty},
    {"aneBoardType", "q16@0:8", (EmulatorFunction)board},
    {"productName", "@16@0:8", (EmulatorFunction)product},
    {"buildVersion", "@16@0:8", (EmulatorFunction)build},
    {"bootArgs", "@16@0:8", (EmulatorFunction)empty},
    {"isVirtualMachine", "B16@0:8", (EmulatorFunction)no},
    {"isInternalBuild", "B16@0:8", (EmulatorFunction)no},
    {"isExcessivePowerDrainWhenIdle", "B16@0:8", (EmulatorFunction)no},
    {"precompiledModelChecksDisabled", "B16@0:8", (EmulatorFunction)no},
    {"isBootArgPresent:", "B24@0:8@16", (EmulatorFunction)no_for},
    {"isBoolBootArgSetTrue:", "B24@0:8@16", (EmulatorFunction)no_for},
};

/* --- _ANEQoSMapper ------------------------------------------------------------------------------
 */

static uint32_t qos_real_time(id self, SEL command) {
  (void)self;
  (void)command;
  return 0;
}
static uint32_t qos_background(id self, SEL command) {
  (void)self;
  (void)command;
  return 9;
}
static uint32_t qos_utility(id self, SEL command) {
  (void)self;
  (void)command;
  return 17;
}
static uint32_t qos_default(id self, SEL command) {
  (void)self;
  (void)command;
  return 21;
}
static uint32_t qos_initiated(id self, SEL command) {
  (void)self;
  (void)command;
  return 25;
}
static uint32_t qos_interactive(id self, SEL command) {
  (void)self;
  (void)command;
  return 33;
}

/* Lower is sooner; the queue has the number of the priority. */
static int32_t priority(id self, SEL command, uint32_t qos) {
  (void)self;
  (void)command;
  switch (qos) {
  case 0:
    return 2;
  case 33:
    return 3;
  case 25:
    return 4;
  case 9:
    return 6;
  default:
    return 5;
  }
}

static uint64_t queue_index(id self, SEL command, uint32_t qos) {
  return (uint64_t)priority(self, command, qos);
}

static uint32_t qos_of(id self, SEL command, int32_t wanted) {
  (void)self;
  (void)command;
  switch (wanted) {
  case 2:
    return 0;
  case 3:
    return 33;
  case 4:
    return 25;
  case 6:
    return 9;
  default:
    return 21;
  }
}

static const EmulatorMethod qos_methods[] = {
    {"aneRealTimeTaskQoS", "I16@0:8", (EmulatorFunction)qos_real_time},
    {"aneBackgroundTaskQoS", "I16@0:8", (EmulatorFunction)qos_background},
    {"aneUtilityTaskQoS", "I16@0:8", (EmulatorFunction)qos_utility},
    {"aneDefaultTaskQoS", "I16@0:8", (EmulatorFunction)qos_default},
    {"aneUserInitiatedTaskQoS", "I16@0:8", (EmulatorFunction)qos_initiated},
    {"aneUserInteractiveTaskQoS", "I16@0:8", (EmulatorFunction)qos_interactive},
    {"programPriorityForQoS:", "i20@0:8I16", (EmulatorFunction)priority},
    {"qosForProgramPriority:", "I20@0:8i16", (EmulatorFunction)qos_of},
    {"queueIndexForQoS:", "Q20@0:8I16", (EmulatorFunction)queue_index},
};

/* --- _ANEErrors ---------------------------------------------------------------------------------
 */

static id error_text(id method, NSInteger code, NSString* text) {
  return emulator_error(code, [NSString stringWithFormat:@"%@: %@", method, text]);
}

static id error_coded(id method, NSInteger code, NSString* text, int64_t status) {
  return emulator_error(code, [NSString stringWithFormat:@"%@: %@ (0x%llX)", method, text,
                                                         (unsigned long long)status]);
}

static id error_create(id self, SEL command, int64_t code, NSString* text) {
  (void)self;
  (void)command;
  return emulator_error((NSInteger)code, text);
}
static id error_entitlement(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 1, @"requires restricted access and an entitlement");
}
static id error_priority(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 2, @"realtime priority needs an entitlement");
}
static id error_timeout(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 3, @"timed out");
}
static id error_creation(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 4, @"Program creation failure");
}
static id error_overflow(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 5, @"Program Inference overflow");
}
static id error_load(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 6, @"Program load failure");
}
static id error_load_coded(id self, SEL command, id method, int64_t code) {
  (void)self;
  (void)command;
  return error_coded(method, 6, @"Program load failure", code);
}
static id error_inference(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 8, @"Program Inference error");
}
static id error_file_access(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 9, @"file access failure");
}
static id error_model(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 10, @"invalid model");
}
static id error_map(id self, SEL command, id method, int64_t code) {
  (void)self;
  (void)command;
  return error_coded(method, 13, @"Program IOSurfaces map failure", code);
}
static id error_chaining(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 15, @"Program chaining prepare error");
}
static id error_not_found(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 16, @"file not found");
}
static id error_unsupported(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 25, @"Not supported");
}
static id error_argument(id self, SEL command, id method) {
  (void)self;
  (void)command;
  return error_text(method, 26, @"Bad argument error");
}

static const EmulatorMethod error_methods[] = {
    {"createErrorWithCode:description:", "@32@0:8q16@24", (EmulatorFunction)error_create},
    {"entitlementErrorForMethod:", "@24@0:8@16", (EmulatorFunction)error_entitlement},
    {"priorityErrorForMethod:", "@24@0:8@16", (EmulatorFunction)error_priority},
    {"timeoutErrorForMethod:", "@24@0:8@16", (EmulatorFunction)error_timeout},
    {"programCreationErrorForMethod:", "@24@0:8@16", (EmulatorFunction)error_creation},
    {"programInferenceOverflowErrorForMethod:", "@24@0:8@16", (EmulatorFunction)error_overflow},
    {"programLoadErrorForMethod:", "@24@0:8@16", (EmulatorFunction)error_load},
    {"programLoadErrorForMethod:code:", "@32@0:8@16q24", (EmulatorFunction)error_load_coded},
    {"programInferenceOtherErrorForMethod:", "@24@0:8@16", (EmulatorFunction)error_inference},
    {"fileAccessErrorForMethod:", "@24@0:8@16", (EmulatorFunction)error_file_access},
    {"invalidModelErrorForMethod:", "@24@0:8@16", (EmulatorFunction)error_model},
    {"programIOSurfacesMapErrorForMethod:code:", "@32@0:8@16q24", (EmulatorFunction)error_map},
    {"programChainingPrepareErrorForMethod:", "@24@0:8@16", (EmulatorFunction)error_chaining},
    {"fileNotFoundErrorForMethod:", "@24@0:8@16", (EmulatorFunction)error_not_found},
    {"notSupportedErrorForMethod:", "@24@0:8@16", (EmulatorFunction)error_unsupported},
    {"badArgumentForMethod:", "@24@0:8@16", (EmulatorFunction)error_argument},
};

/* --- _ANEHashEncoding, _ANEStrings --------------------------------------------------------------
 */

static NSString* hex_of_data(id self, SEL command, NSData* data) {
  (void)self;
  (void)command;
  char digits[65];
  engine_sha256([data bytes], [data length], digits);
  return [NSString stringWithUTF8String:digits];
}

static NSString* hex_of_string(id self, SEL command, NSString* text) {
  return hex_of_data(self, command, [text dataUsingEncoding:NSUTF8StringEncoding]);
}

static NSString* hex_of_array(id self, SEL command, NSArray* list) {
  NSMutableData* joined = [NSMutableData data];
  for (NSData* data in list) [joined appendData:data];
  return hex_of_data(self, command, joined);
}

static const EmulatorMethod hash_methods[] = {
    {"hexStringForData:", "@24@0:8@16", (EmulatorFunction)hex_of_data},
    {"hexStringForDataArray:", "@24@0:8@16", (EmulatorFunction)hex_of_array},
    {"hexStringForString:", "@24@0:8@16", (EmulatorFunction)hex_of_string},
};

static NSString* generic_domain(id self, SEL command) {
  (void)self;
  (void)command;
  return emulator_generic_domain;
}
static NSString* compiler_domain(id self, SEL command) {
  (void)self;
  (void)command;
  return emulator_compiler_domain;
}
static NSString* espresso_domain(id self, SEL command) {
  (void)self;
  (void)command;
  return @"com.apple.appleneuralengine.espresso";
}
static NSString* mil_file(id self, SEL command) {
  (void)self;
  (void)command;
  return @"model.mil";
}
static NSString* service_name(id self, SEL command) {
  (void)self;
  (void)command;
  return @"com.apple.appleneuralengine";
}

static const EmulatorMethod string_methods[] = {
    {"errorDomainGeneric", "@16@0:8", (EmulatorFunction)generic_domain},
    {"errorDomainCompiler", "@16@0:8", (EmulatorFunction)compiler_domain},
    {"errorDomainEspresso", "@16@0:8", (EmulatorFunction)espresso_domain},
    {"defaultMILFileName", "@16@0:8", (EmulatorFunction)mil_file},
    {"machServiceName", "@16@0:8", (EmulatorFunction)service_name},
};

/* --- Statistics ---------------------------------------------------------------------------------
 */

static id init_nothing(id self, SEL command) {
  (void)command;
  [self release];
  return nil;
}

static id statistics_with(id self, SEL command, uint64_t time) {
  (void)self;
  (void)command;
  (void)time;
  return nil;
}
static uint32_t driver_mask(id self, SEL command, uint32_t mask) {
  (void)self;
  (void)command;
  return mask & 0xF;
}

static const EmulatorMethod statistics_class_methods[] = {
    {"statsWithHardwareExecutionNS:", "@24@0:8Q16", (EmulatorFunction)statistics_with},
    {"driverMaskForANEFMask:", "I20@0:8I16", (EmulatorFunction)driver_mask},
};

static const EmulatorMethod statistics_methods[] = {
    {"init", "@16@0:8", (EmulatorFunction)init_nothing},
};

static id statistics_surface(id self, SEL command, id surface, int64_t type) {
  (void)self;
  (void)command;
  EmulatorRecord* object = emulator_new("_ANEPerformanceStatsIOSurface");
  object->fields = [[NSArray alloc] initWithObjects:surface == nil ? (id)[NSNull null] : surface,
                                                    [NSNumber numberWithLongLong:type], nil];
  return [object autorelease];
}

static int64_t statistics_type(EmulatorRecord* self, SEL command) {
  (void)command;
  return [[self->fields objectAtIndex:1] longLongValue];
}

static const EmulatorMethod statistics_surface_class_methods[] = {
    {"objectWithIOSurface:statType:", "@32@0:8@16q24", (EmulatorFunction)statistics_surface},
};

static const EmulatorMethod statistics_surface_methods[] = {
    {"statType", "q16@0:8", (EmulatorFunction)statistics_type},
};

/* --- _ANEDeviceController -----------------------------------------------------------------------
 */

/* Opening the driver needs an entitlement (1.1). */
static const EmulatorMethod controller_methods[] = {
    {"sharedPrivilegedConnection", "@16@0:8", (EmulatorFunction)nothing},
};

const EmulatorClass emulator_device_classes[8] = {
    {"_ANEDeviceInfo", "NSObject", device_methods, EMULATOR_COUNT(device_methods), NULL, 0},
    {"_ANEQoSMapper", "NSObject", qos_methods, EMULATOR_COUNT(qos_methods), NULL, 0},
    {"_ANEErrors", "NSObject", error_methods, EMULATOR_COUNT(error_methods), NULL, 0},
    {"_ANEHashEncoding", "NSObject", hash_methods, EMULATOR_COUNT(hash_methods), NULL, 0},
    {"_ANEStrings", "NSObject", string_methods, EMULATOR_COUNT(string_methods), NULL, 0},
    {"_ANEPerformanceStats", "NSObject", statistics_class_methods,
     EMULATOR_COUNT(statistics_class_methods), statistics_methods,
     EMULATOR_COUNT(statistics_methods)},
    {"_ANEPerformanceStatsIOSurface", "EmulatorRecord", statistics_surface_class_methods,
     EMULATOR_COUNT(statistics_surface_class_methods), statistics_surface_methods,
     EMULATOR_COUNT(statistics_surface_methods)},
    {"_ANEDeviceController", "NSObject", controller_methods, EMULATOR_COUNT(controller_methods),
     NULL, 0},
};
