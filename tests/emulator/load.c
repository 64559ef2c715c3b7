/* Runs when the library is loaded. This file is linked last, and is not Objective-C: the
 * constructors of the other files must have told the runtime of their classes and selectors by
 * then. */
extern void emulator_make_classes(void);

__attribute__((constructor)) static void load(void) { emulator_make_classes(); }
