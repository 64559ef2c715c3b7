/* The emulated compiler and device, for the Objective-C side. C, so that it can be included there;
 * nothing here is exported from the library. */
#ifndef EMULATOR_ENGINE_H
#define EMULATOR_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What ANECCompile puts into its list of errors. */
enum {
  ENGINE_COMPILED = 0,
  ENGINE_INVALID_PROGRAM = 1,
  ENGINE_COMPILATION_FAILURE = 2,
  ENGINE_EMPTY_ERROR = 3
};

/* Statuses of an evaluation (ane-facts.md 5.1). */
enum {
  ENGINE_OK = 0,
  ENGINE_WRONG_SYMBOLS = 0x2,
  ENGINE_ABORTED = 0x15,
  ENGINE_SMALL_SURFACE = 0x1d,
  ENGINE_NOT_LOADED = -1
};

typedef struct engine_port {
  const char* name; /* lives as long as the program is loaded */
  const char* type; /* "Float16" */
  int64_t batches, channels, depth, height, width;
  int64_t batch_stride, depth_stride, plane_stride, row_stride; /* bytes */
  int32_t symbol;
} engine_port;

typedef struct engine_binding {
  int64_t symbol;
  void* address;
  size_t size;
} engine_binding;

/* Compiles directory/mil_name and the files it names; writes net.plist and data there. */
int engine_compile(const char* identifier, const char* directory, const char* mil_name);
int engine_cached(const char* identifier);
void engine_purge(const char* identifier);

/* A handle, or 0 with a code in *failure: 0 when nothing is compiled under the identifier, else the
 * driver's code. `compiled` says that the caller compiled it itself just now. */
uint64_t engine_load(const char* identifier, const char* directory, int compiled,
                     uint32_t* failure);
int engine_unload(uint64_t handle);

int engine_procedure_count(uint64_t handle);
const char* engine_procedure_name(uint64_t handle, int procedure);
int engine_port_count(uint64_t handle, int procedure, int output);
/* Ports in the order of their symbols. */
engine_port engine_get_port(uint64_t handle, int procedure, int output, int index);

int engine_evaluate(uint64_t handle, int64_t procedure, const engine_binding* inputs,
                    size_t input_count, const engine_binding* outputs, size_t output_count);

/* The reason of a refusal, for ane_emulator_last_refusal. */
void engine_explain(const char* text);

/* Options and counters. The returned texts live until the calling thread asks again. */
int engine_strikes(const char* fault);
void engine_count(const char* counter, int64_t amount);
const char* engine_text(const char* option);
const char* engine_profile_text(const char* field); /* architecture, sub_type, product_name */
int64_t engine_board_type(void);

/* 64 upper-case digits into `text`, and a final 0. */
void engine_sha256(const void* data, size_t size, char text[65]);

#ifdef __cplusplus
}
#endif

#endif
