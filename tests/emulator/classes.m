/* Makes the public classes from their tables. */
#import "framework.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

id emulator_new(const char* class_name) { return [(Class)objc_getClass(class_name) alloc]; }

/* "Class:selector" as the faults name it. */
static bool named(const char* fault, const char* class_name, const char* selector) {
  const char* value = engine_text(fault);
  const size_t length = strlen(class_name);
  return strncmp(value, class_name, length) == 0 && value[length] == ':' &&
         strcmp(value + length + 1, selector) == 0;
}

static void add_methods(Class class, const char* class_name, const EmulatorMethod* methods,
                        size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const EmulatorMethod* method = &methods[i];
    if (named("missing_selector", class_name, method->selector)) continue;
    const char* encoding =
        named("wrong_encoding", class_name, method->selector) ? "v16@0:8" : method->encoding;
    if (!class_addMethod(class, sel_registerName(method->selector), (IMP)method->function,
                         encoding)) {
      fprintf(stderr, "ane emulator: %s has %s twice\n", class_name, method->selector);
      abort();
    }
  }
}

static void add_class(const EmulatorClass* definition) {
  if (strcmp(engine_text("missing_class"), definition->name) == 0) return;
  Class state = objc_getClass(definition->state);
  Class class = objc_allocateClassPair(state, definition->name, 0);
  if (state == Nil || class == Nil) {
    fprintf(stderr, "ane emulator: the class %s cannot be made from %s\n", definition->name,
            definition->state);
    abort();
  }
  add_methods(class, definition->name, definition->methods, definition->method_count);
  objc_registerClassPair(class);
  add_methods(object_getClass((id) class), definition->name, definition->class_methods,
              definition->class_method_count);
}

void emulator_make_classes(void) {
  NSAutoreleasePool* pool = [[NSAutoreleasePool alloc] init];
  add_class(&emulator_descriptor_class);
  add_class(&emulator_in_memory_model_class);
  for (size_t i = 0; i < EMULATOR_COUNT(emulator_model_classes); ++i)
    add_class(&emulator_model_classes[i]);
  add_class(&emulator_client_class);
  for (size_t i = 0; i < EMULATOR_COUNT(emulator_request_classes); ++i)
    add_class(&emulator_request_classes[i]);
  for (size_t i = 0; i < EMULATOR_COUNT(emulator_device_classes); ++i)
    add_class(&emulator_device_classes[i]);
  [pool release];
}
