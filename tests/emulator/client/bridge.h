/* The Objective-C side of the client: messages to Apple's classes and IOSurface, for tests in C++.
 */
#ifndef BRIDGE_H
#define BRIDGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bridge_error {
  long code;
  char domain[128];
  char text[512];
  char underlying[2048]; /* description of the underlying error */
} bridge_error;

typedef struct bridge_file {
  const char* key; /* "@model_path/weights/w.bin" */
  const void* data;
  size_t size;
} bridge_file;

/* A port as modelAttributes describes it. */
typedef struct bridge_port {
  char name[64];
  char type[16];
  int64_t symbol;
  int64_t batches, channels, depth, height, width;
  int64_t batch_stride, depth_stride, plane_stride, row_stride;
} bridge_port;

void* bridge_pool_push(void);
void bridge_pool_pop(void* pool);

int bridge_has_class(const char* name);
/* The type encoding of a method, or NULL. `meta` asks for a class method. */
const char* bridge_encoding(const char* class_name, const char* selector, int meta);

/* Any object's message without arguments. Texts live until the pool goes. */
const char* bridge_text(void* object, const char* selector);
unsigned long long bridge_number(void* object, const char* selector);
int bridge_flag(void* object, const char* selector);
void bridge_send(void* object, const char* selector);
void* bridge_object(void* object, const char* selector);
void* bridge_class(const char* name);
void bridge_release(void* object);

/* A descriptor for MIL text; NULL text or files with count -1 are passed as nil. Autoreleased. */
void* bridge_descriptor(const void* text, size_t size, const bridge_file* files, int count);
void* bridge_model(void* descriptor); /* retained */

int bridge_compile(void* model, bridge_error* error);
int bridge_load(void* model, bridge_error* error);
int bridge_unload(void* model, bridge_error* error);
int bridge_evaluate(void* model, void* request, bridge_error* error);
int bridge_map(void* model, void* request, bridge_error* error);

/* Ports of a procedure in the order of LiveInputList or LiveOutputList; how many there are. */
int bridge_ports(void* model, int procedure, int output, bridge_port* ports, int capacity);
/* The program's symbols, by modelAttributes. */
int bridge_symbols(void* model, int output, char names[][64], int capacity);
int bridge_procedure_id(void* model, const char* name);             /* -1 when absent */
int bridge_has_symbol_index(void* model, int procedure, int index); /* by _ANEModel */

/* IOSurfaceCreate with the six keys; NULL when it fails. */
void* bridge_surface(int64_t width, int64_t height, int64_t bytes_per_element,
                     int64_t bytes_per_row, int64_t size);
/* The same through CFDictionaryCreate and CFNumberCreate. */
void* bridge_surface_core_foundation(int64_t bytes);

/* An _ANERequest, autoreleased. A negative offset leaves startOffset away. */
void* bridge_request(void* const* inputs, const int64_t* input_symbols, int input_count,
                     void* const* outputs, const int64_t* output_symbols, int output_count,
                     int procedure, long offset);

/* By _ANEClient. `options` is 1 for kANEFModelMIL and the file's name. */
void* bridge_model_at(const char* directory, const char* key); /* retained */
int bridge_client_compile(void* model, int options, bridge_error* error);
int bridge_client_load(void* model, bridge_error* error);
int bridge_client_unload(void* model, bridge_error* error);
enum { BRIDGE_EVALUATE, BRIDGE_DIRECT, BRIDGE_REAL_TIME, BRIDGE_PROGRAM };
int bridge_client_evaluate(int how, void* model, void* request, bridge_error* error);
int bridge_chain(void* model, bridge_error* error);

/* Sets a completion handler on the request: a block on the stack, which is gone when this returns.
 */
typedef void (*bridge_completion)(void* context, int succeeded, long code);
void bridge_set_completion(void* request, bridge_completion call, void* context);

/* 1 when the evaluation raised an exception. */
int bridge_evaluate_raises(void* model, void* request);

#ifdef __cplusplus
}
#endif

#endif
