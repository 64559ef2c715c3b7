/* Control of the Neural Engine emulator, for tests. Nothing here exists in Apple's framework: a
 * client that is under test uses only the Objective-C classes, IOSurface and CoreFoundation.
 *
 * The same keys can be given once, before the library is loaded, in the environment variable
 * ANE_EMULATOR="key=value,key=value". README.md lists them.
 *
 * Every function may be called from any thread. */
#ifndef ANE_EMULATOR_H
#define ANE_EMULATOR_H

#ifdef __cplusplus
extern "C" {
#endif

#define ANE_EMULATOR_API __attribute__((visibility("default")))

/* Sets an option. Returns 1, or 0 when the key is unknown or the value is not one of its values;
 * the option is unchanged then. Takes effect at the next compile, load or evaluation. */
ANE_EMULATOR_API int ane_emulator_set(const char* key, const char* value);

/* Options back to what they were when the library was loaded, counters to 0, the compile cache of
 * this process emptied (not a cache_dir). Objects that clients hold stay alive. */
ANE_EMULATOR_API void ane_emulator_reset(void);

/* The value of a counter since the last reset, or -1 when there is no such counter. */
ANE_EMULATOR_API long long ane_emulator_count(const char* counter);

/* Why the last call was refused, in more words than Apple's texts have ("line 12: matmul: ..."), or
 * "" when nothing was refused since the last reset. Valid until the calling thread asks again. */
ANE_EMULATOR_API const char* ane_emulator_last_refusal(void);

#ifdef __cplusplus
}
#endif

#endif
