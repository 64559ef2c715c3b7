/**
 * @file ane_train.h
 * libane_train: fine-tune language models on the user's own device.
 *
 * This header is the specification of the library's stable C ABI.
 *
 * Typical use (examples/03_train.c is the whole program):
 *
 *     anet_device_open("cpu", NULL, &device, &error);
 *     anet_model_config_get("tiny", &config, &error);
 *     anet_model_create(&config, 42, &model, &error);
 *     anet_session_create(device, model, &options, &session, &error);
 *     while (...) anet_session_step(session, &batch, 1, &result, &error);
 *     anet_session_save(session, "checkpoints", NULL, &error);
 *
 * ## Conventions
 *
 * - **Handles** are opaque and reference-counted inside: a child keeps its parents alive, so they
 *   may be released in any order. `anet_<object>_release(NULL)` does nothing.
 * - **Errors.** Every call that can fail returns an `anet_status` and takes a trailing, nullable
 *   `anet_error **`. On failure `*error` (when asked for) is a new error object that the caller
 *   releases; output handles are NULL and other outputs are untouched unless the call says
 *   otherwise. On success `*error` is NULL. Nothing prints, exits, aborts or throws. Every call
 *   may return ANET_E_INVALID_ARGUMENT (a required pointer is NULL), ANET_E_INVALID_HANDLE,
 *   ANET_E_INVALID_STRUCT_SIZE, ANET_E_OUT_OF_MEMORY and ANET_E_INTERNAL; the others are listed.
 * - **Structs** begin with `struct_size`, which the caller sets to `sizeof` (anet_struct_init does
 *   both that and the zeroing). They only ever grow at the end. **Zero means the default.** A
 *   struct larger than the library knows is accepted when its unknown tail is zero; otherwise the
 *   call fails with ANET_E_UNSUPPORTED_OPTION: an option that cannot be honoured is an error.
 *   `reserved` fields must be zero. Pointers inside are borrowed for the call.
 * - **Strings** are UTF-8. Returned `const char *` are borrowed; each call says for how long.
 *   Paths are UTF-8 too.
 * - **Thread classes.** *Any thread*: call it whenever you like. *One thread at a time*: calls on
 *   one handle must not overlap; an overlap is detected and refused with ANET_E_BUSY, nothing is
 *   harmed. Retain and release are any-thread on every handle.
 * - **Numbers.** Tensors are row-major; shapes are outermost first; strides are in bytes.
 *   Token ids are int32_t. Durations are in seconds.
 *
 * Everything here is available since version 0.1.0 unless it says otherwise.
 */
#ifndef ANE_TRAIN_H
#define ANE_TRAIN_H

#include <stddef.h>
#include <stdint.h>

/** A call that the library exports. */
#if defined(ANET_BUILD) && defined(__GNUC__)
#define ANET_API __attribute__((visibility("default")))
#else
#define ANET_API
#endif

/** The compiler warns when a status is dropped. */
#if defined(__GNUC__)
#define ANET_CHECK __attribute__((warn_unused_result))
#else
#define ANET_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------
 * Version
 * ------------------------------------------------------------------------------------------- */

/** The version that this header belongs to. */
#define ANET_VERSION_MAJOR 0
/** See ANET_VERSION_MAJOR. */
#define ANET_VERSION_MINOR 1
/** See ANET_VERSION_MAJOR. */
#define ANET_VERSION_PATCH 0
/** 10000 * major + 100 * minor + patch. */
#define ANET_VERSION_NUMBER 100
/** The number in the SONAME and the install name. 0 until version 1.0. */
#define ANET_ABI_VERSION 0

/** ANET_VERSION_NUMBER of the library that is loaded. Any thread. */
ANET_API uint32_t anet_version_number(void);
/** "0.1.0". Borrowed for ever. Any thread. */
ANET_API const char *anet_version_string(void);
/** ANET_ABI_VERSION of the library that is loaded; a binding refuses another than its own. */
ANET_API uint32_t anet_abi_version(void);
/** One line: version, compiler, devices built in. Borrowed for ever. Any thread. */
ANET_API const char *anet_build_info(void);

/** Zeroes `size` bytes and stores `size` in the leading `struct_size`. NULL does nothing. */
ANET_API void anet_struct_init(void *object, size_t size);

/* ---------------------------------------------------------------------------------------------
 * Status and errors
 * ------------------------------------------------------------------------------------------- */

/** 0 is success. Numbers are frozen and never reused. */
typedef int32_t anet_status;

enum {
  ANET_OK = 0,
  /* 1-19: the caller's mistakes. */
  ANET_E_INVALID_ARGUMENT = 1,
  ANET_E_INVALID_HANDLE = 2, /**< of another type, or released (as far as memory still tells) */
  ANET_E_INVALID_STRUCT_SIZE = 3,
  ANET_E_UNSUPPORTED_OPTION = 4,
  ANET_E_SHAPE_MISMATCH = 5,
  ANET_E_TYPE_MISMATCH = 6,
  ANET_E_OUT_OF_RANGE = 7, /**< an index or token id */
  ANET_E_NOT_FOUND = 8,    /**< a name */
  ANET_E_INVALID_STATE = 9,
  /* 20-39: the environment. */
  ANET_E_UNAVAILABLE = 20, /**< this machine lacks the device */
  ANET_E_UNSUPPORTED = 21, /**< the device cannot run this */
  ANET_E_PERMISSION = 22,
  ANET_E_IO = 23,
  ANET_E_DISK_FULL = 24,
  ANET_E_FILE_NOT_FOUND = 25,
  ANET_E_DEVICE = 26, /**< the device failed; domain and native code say how */
  /* 40-59: resources. */
  ANET_E_OUT_OF_MEMORY = 40,
  ANET_E_MEMORY_LIMIT = 41, /**< the plan exceeds max_memory */
  ANET_E_COMPILE_BUDGET = 42,
  /* 60-79: data. */
  ANET_E_INVALID_PROGRAM = 60,
  ANET_E_INVALID_BLOB = 61,
  ANET_E_INVALID_CONFIG = 62,
  ANET_E_INVALID_CHECKPOINT = 63,
  ANET_E_INVALID_DATA = 64,
  ANET_E_CHECKSUM = 65,
  ANET_E_VERSION = 66,
  ANET_E_NUMERIC = 67, /**< the loss is not finite */
  /* 80-89: control. */
  ANET_E_CANCELLED = 80,
  ANET_E_BUSY = 81, /**< overlapping calls, a mapped buffer in a run, a model in training */
  ANET_E_CALLBACK = 82,
  /* 90-99: the library's own defects. */
  ANET_E_INTERNAL = 90
};

/** What went wrong, for people and for programs. Immutable: any thread. */
typedef struct anet_error anet_error;

/** "shape mismatch". Borrowed for ever; never NULL, also for unknown numbers. Any thread. */
ANET_API const char *anet_status_name(anet_status status);
/** 1 when the same call may succeed later: busy, out of memory, disk full, compile budget. */
ANET_API int32_t anet_status_is_retryable(anet_status status);

/** ANET_OK for NULL. */
ANET_API anet_status anet_error_status(const anet_error *error);
/** One line that says what was expected and what was seen. "" for NULL. Borrowed from `error`. */
ANET_API const char *anet_error_message(const anet_error *error);
/** Where the native code or the line comes from: "errno", an NSError domain, "data" for a line of a
 * data file, or "". Borrowed from `error`. */
ANET_API const char *anet_error_domain(const anet_error *error);
/** errno, NSError code; 0 when there is none. */
ANET_API int64_t anet_error_native_code(const anet_error *error);
/** Line and column, from 1, in the MIL or JSON text that was read; 0 when there is none. */
ANET_API int32_t anet_error_line(const anet_error *error);
/** The column; see anet_error_line. */
ANET_API int32_t anet_error_column(const anet_error *error);
/** One reference less. Any thread. */
ANET_API void anet_error_release(anet_error *error);

/* ---------------------------------------------------------------------------------------------
 * Devices
 * ------------------------------------------------------------------------------------------- */

/** A processor that compiles and runs programs. Any thread. */
typedef struct anet_device anet_device;

/** How grave a message is; a level includes those before it. */
typedef int32_t anet_log_level;
enum {
  ANET_LOG_OFF = 0,
  ANET_LOG_ERROR = 1,
  ANET_LOG_WARNING = 2,
  ANET_LOG_INFO = 3,
  ANET_LOG_DEBUG = 4
};

/** Called on whichever thread has something to say; must not call the library. */
typedef void (*anet_log_callback)(anet_log_level level, const char *message, void *user_data);

/** Called once when the library no longer needs what `user_data` stands for; on any thread. It may
 * release handles, and must call nothing else of the library. */
typedef void (*anet_release_callback)(void *user_data);

/** Where a part of the work runs on the device "ane", which has the engine and the CPU. */
typedef int32_t anet_placement;
enum {
  /** Each program is timed on both sides as it is compiled; the faster side keeps it. */
  ANET_PLACEMENT_MEASURED = 0,
  ANET_PLACEMENT_ENGINE = 1, /**< the engine wherever it can */
  ANET_PLACEMENT_HOST = 2
};

/** What happens when an audit finds a difference above the tolerance, a value that is not finite,
 * or zeros where the CPU has none. */
typedef int32_t anet_audit_action;
enum {
  ANET_AUDIT_FALLBACK = 0, /**< the CPU's result is used, and the program stays on the CPU */
  ANET_AUDIT_ERROR = 1     /**< the call fails with ANET_E_NUMERIC */
};

/** Options of the device "ane", the Apple Neural Engine. */
typedef struct anet_ane_options {
  uint32_t struct_size;
  /** Programs that this process may compile, because systems allow only so many; 0: 110. */
  int32_t compile_budget;
  const char *framework_path;  /**< NULL: Apple's */
  const char *cache_directory; /**< for what the device learns about the chip; NULL: the user's */
  int32_t qos;                 /**< the framework's quality-of-service class, up to 63; 0: 21 */
  anet_placement forward;      /**< of a session's embedding and blocks, and of generators */
  anet_placement loss;         /**< head and cross-entropy, both directions */
  anet_placement input_gradients;
  anet_placement weight_gradients;
  anet_placement programs; /**< of anet_kernel_compile */
  /** Every so many runs of a program the CPU repeats one, and the results are compared; 0: never.
   */
  int32_t audit_every;
  anet_audit_action audit_action;
  double audit_tolerance;    /**< relative to the tensor's largest value; 0: 0.05 */
  const char *audit_kernels; /**< labels separated by commas; NULL: all */
} anet_ane_options;

/** How a device is opened. */
typedef struct anet_device_options {
  uint32_t struct_size;
  /** Worker threads of the CPU, the caller's included. 0: one a core. At most 256. */
  uint32_t threads;
  /** Messages up to this level go to `log`. 0: silent. */
  anet_log_level log_level;
  uint32_t reserved;
  anet_log_callback log;
  void *log_user_data;
  /** For "ane", and for "auto" where that is it; nullable. */
  const anet_ane_options *ane;
  /** Nullable. Called with `log_user_data`, exactly once: when nothing can be logged any more, or
   * when anet_device_open fails for another reason than a struct that it cannot read. */
  anet_release_callback log_release;
} anet_device_options;

/** What a device is. */
typedef struct anet_device_info {
  uint32_t struct_size;
  uint32_t threads;
  const char *name;        /**< "cpu"; borrowed from the device */
  const char *description; /**< "AMD EPYC 9B45, 2 threads, AVX3"; borrowed from the device */
  size_t buffer_alignment; /**< bytes; imported memory must have it */
  /** 1: sessions and generators run in every anet_precision; 0: in ANET_PRECISION_F16 alone. */
  int32_t has_f32;
  uint32_t reserved;
} anet_device_info;

/** A device that this build knows, and whether this machine has it. */
typedef struct anet_device_listing {
  uint32_t struct_size;
  int32_t available; /**< 1 when anet_device_open(name) can succeed here */
  const char *name;  /**< borrowed for ever, as the others */
  const char *description;
  const char *reason; /**< why it is not available, else "" */
} anet_device_listing;

/** The number of devices that this build knows. Any thread. */
ANET_API size_t anet_device_listing_count(void);
/** @return ANET_E_OUT_OF_RANGE for an index past the count. */
ANET_API anet_status anet_device_listing_get(size_t index, anet_device_listing *listing,
                                             anet_error **error) ANET_CHECK;

/**
 * Opens a device.
 * @param name "cpu", "ane" for the Apple Neural Engine, or "auto": "ane" where it is available,
 *        else "cpu".
 * @param options nullable.
 * @return ANET_E_NOT_FOUND for an unknown name, ANET_E_UNAVAILABLE with the reason when this
 *         machine lacks it, ANET_E_OUT_OF_RANGE for too many threads,
 *         ANET_E_UNSUPPORTED_OPTION or ANET_E_INVALID_ARGUMENT naming a field of anet_ane_options;
 *         the former also when `ane` is set for "cpu".
 */
ANET_API anet_status anet_device_open(const char *name, const anet_device_options *options,
                                      anet_device **device, anet_error **error) ANET_CHECK;
/** What the device is. Any thread. */
ANET_API anet_status anet_device_get_info(const anet_device *device, anet_device_info *info,
                                          anet_error **error) ANET_CHECK;
/**
 * What the device has found out about itself, as a JSON object: on "ane" the chip, the system, each
 * question that was probed with its answer, the rules that follow, and the use of the budget.
 * @param json receives null-terminated text; nullable when `capacity` is 0: asks for the length
 *        alone, which is no failure.
 * @param length receives its length without the terminator, also when it does not fit.
 * @return ANET_E_OUT_OF_RANGE when `capacity` is too small.
 */
ANET_API anet_status anet_device_get_report(const anet_device *device, char *json, size_t capacity,
                                            size_t *length, anet_error **error) ANET_CHECK;
/** One reference more. Any thread. */
ANET_API void anet_device_retain(anet_device *device);
/** One reference less. Any thread. */
ANET_API void anet_device_release(anet_device *device);

/* ---------------------------------------------------------------------------------------------
 * Buffers
 * ------------------------------------------------------------------------------------------- */

/** Axes of a tensor at most. */
#define ANET_MAX_RANK 8

/** Type of a tensor's elements. */
typedef int32_t anet_dtype;
enum {
  ANET_DTYPE_UNDEFINED = 0,
  ANET_DTYPE_BOOL = 1,
  ANET_DTYPE_INT8 = 2,
  ANET_DTYPE_UINT8 = 3,
  ANET_DTYPE_INT16 = 4,
  ANET_DTYPE_UINT16 = 5,
  ANET_DTYPE_INT32 = 6,
  ANET_DTYPE_UINT32 = 7,
  ANET_DTYPE_INT64 = 8,
  ANET_DTYPE_UINT64 = 9,
  ANET_DTYPE_FP16 = 10,
  ANET_DTYPE_BF16 = 11,
  ANET_DTYPE_FP32 = 12
};
/** Bytes an element; 0 for an unknown type. Any thread. */
ANET_API size_t anet_dtype_size(anet_dtype dtype);
/** "fp32"; "undefined" for an unknown type. Borrowed for ever. Any thread. */
ANET_API const char *anet_dtype_name(anet_dtype dtype);

/** A tensor in memory. */
typedef struct anet_tensor_desc {
  uint32_t struct_size;
  anet_dtype dtype;
  uint32_t rank; /**< at most ANET_MAX_RANK */
  uint32_t reserved;
  int64_t shape[ANET_MAX_RANK];
  /** Bytes between neighbours along each axis; all zero: contiguous. The innermost is the
   * element's size. Device rows may be padded, so never compute an offset without them. */
  int64_t strides[ANET_MAX_RANK];
} anet_tensor_desc;

/** Memory that kernels read and write. One thread at a time. */
typedef struct anet_buffer anet_buffer;

/** What a mapped buffer is for. */
typedef int32_t anet_map_access;
enum { ANET_MAP_READ = 1, ANET_MAP_WRITE = 2, ANET_MAP_READ_WRITE = 3 };

/** The memory of a buffer while it is mapped. */
typedef struct anet_buffer_view {
  uint32_t struct_size;
  uint32_t reserved;
  void *data; /**< valid until the unmap */
  size_t size_bytes;
  anet_tensor_desc desc;
} anet_buffer_view;

/**
 * Allocates a zero-filled buffer.
 * @return ANET_E_TYPE_MISMATCH for an unknown dtype, ANET_E_SHAPE_MISMATCH for extents below 1,
 *         strides that overlap or a size that overflows.
 */
ANET_API anet_status anet_buffer_create(anet_device *device, const anet_tensor_desc *desc,
                                        anet_buffer **buffer, anet_error **error) ANET_CHECK;
/**
 * Wraps the caller's memory without copying.
 * @param data aligned to anet_device_info.buffer_alignment; lives until `release` is called.
 * @param release nullable; called exactly once, also when this call fails.
 * @return ANET_E_INVALID_ARGUMENT for misaligned memory, ANET_E_OUT_OF_RANGE when `size_bytes` is
 *         less than `desc` needs, ANET_E_UNSUPPORTED where the device cannot share host memory.
 */
ANET_API anet_status anet_buffer_import(anet_device *device, void *data, size_t size_bytes,
                                        const anet_tensor_desc *desc, anet_release_callback release,
                                        void *user_data, anet_buffer **buffer,
                                        anet_error **error) ANET_CHECK;
/** Type, shape and strides. */
ANET_API anet_status anet_buffer_get_desc(const anet_buffer *buffer, anet_tensor_desc *desc,
                                          anet_error **error) ANET_CHECK;
/** Makes the memory addressable; a run that uses the buffer meanwhile fails with ANET_E_BUSY.
 * Maps nest. */
ANET_API anet_status anet_buffer_map(anet_buffer *buffer, anet_map_access access,
                                     anet_buffer_view *view, anet_error **error) ANET_CHECK;
/** @return ANET_E_INVALID_STATE when the buffer is not mapped. */
ANET_API anet_status anet_buffer_unmap(anet_buffer *buffer, anet_error **error) ANET_CHECK;
/** Copies dense row-major elements in. @return ANET_E_SHAPE_MISMATCH unless `size_bytes` is
 * elements * element size, ANET_E_BUSY when mapped. */
ANET_API anet_status anet_buffer_write(anet_buffer *buffer, const void *data, size_t size_bytes,
                                       anet_error **error) ANET_CHECK;
/** Copies dense row-major elements out; errors as anet_buffer_write. */
ANET_API anet_status anet_buffer_read(anet_buffer *buffer, void *data, size_t size_bytes,
                                      anet_error **error) ANET_CHECK;
/** One reference more. Any thread. */
ANET_API void anet_buffer_retain(anet_buffer *buffer);
/** One reference less. Any thread. */
ANET_API void anet_buffer_release(anet_buffer *buffer);

/* ---------------------------------------------------------------------------------------------
 * Programs: MIL, the language that the Neural Engine's compiler reads
 * ------------------------------------------------------------------------------------------- */

/** A verified MIL program. Immutable: any thread. */
typedef struct anet_program anet_program;

/** A blob file that BLOBFILE(path=..., offset=...) names ("MIL storage v2"). */
typedef struct anet_blob_file {
  const char *path; /**< exactly as in the text: "@model_path/weights/weight.bin" */
  const void *data;
  size_t size_bytes;
} anet_blob_file;

/** Which side of a function a port is on. */
typedef int32_t anet_direction;
enum { ANET_INPUT = 1, ANET_OUTPUT = 2 };

/** A named input or output of a function. */
typedef struct anet_port {
  uint32_t struct_size;
  uint32_t reserved;
  const char *name; /**< borrowed from the program or kernel */
  anet_tensor_desc desc;
} anet_port;

/**
 * Parses and verifies MIL text.
 * @param text `length` bytes; SIZE_MAX: null-terminated. Copied.
 * @param blobs nullable when `blob_count` is 0. Copied.
 * @return ANET_E_INVALID_PROGRAM with line and column, ANET_E_INVALID_BLOB.
 */
ANET_API anet_status anet_program_parse(const char *text, size_t length,
                                        const anet_blob_file *blobs, size_t blob_count,
                                        anet_program **program, anet_error **error) ANET_CHECK;
/**
 * Reads a .mil file; "@model_path" in it stands for the folder of the file.
 * @return as anet_program_parse, and ANET_E_FILE_NOT_FOUND, ANET_E_IO, ANET_E_PERMISSION.
 */
ANET_API anet_status anet_program_load(const char *path, anet_program **program,
                                       anet_error **error) ANET_CHECK;
/** The program as MIL text, null-terminated. Borrowed from the program. @param length nullable. */
ANET_API anet_status anet_program_get_text(const anet_program *program, const char **text,
                                           size_t *length, anet_error **error) ANET_CHECK;
/** 0 for NULL. */
ANET_API size_t anet_program_function_count(const anet_program *program);
/** Borrowed from the program; NULL when `index` is past the count. */
ANET_API const char *anet_program_function_name(const anet_program *program, size_t index);
/** @param function nullable: the first one. */
ANET_API anet_status anet_program_port_count(const anet_program *program, const char *function,
                                             anet_direction direction, size_t *count,
                                             anet_error **error) ANET_CHECK;
/** Ports in declaration order; strides are those of a contiguous tensor. */
ANET_API anet_status anet_program_get_port(const anet_program *program, const char *function,
                                           anet_direction direction, size_t index, anet_port *port,
                                           anet_error **error) ANET_CHECK;

/** Which forward values the backward function is given and which it computes again. */
typedef int32_t anet_taps;
enum {
  ANET_TAPS_AUTOMATIC = 0, /**< keep the expensive ones */
  ANET_TAPS_ALL = 1,
  ANET_TAPS_NONE = 2 /**< recompute everything: activation checkpointing */
};

/** How a program is differentiated. */
typedef struct anet_differentiate_options {
  uint32_t struct_size;
  anet_taps taps;
  /** Inputs to differentiate by; count 0: every floating input. */
  const char *const *inputs;
  size_t input_count;
  /** Outputs that get a seed gradient; count 0: every floating output. */
  const char *const *outputs;
  size_t output_count;
} anet_differentiate_options;

/**
 * Derives a function's vector-Jacobian product.
 * @param function nullable: the first one.
 * @param options nullable.
 * @param derivative a program of two functions. `<function>` returns, after its own outputs, the
 *        taps. `<function>_backward` takes the forward inputs it reads, the taps, then one seed
 *        `d_<output>` for each seeded output; it returns `d_<input>` for each chosen input.
 * @return ANET_E_NOT_FOUND for a port name, ANET_E_UNSUPPORTED naming an op without a gradient,
 *         ANET_E_TYPE_MISMATCH for a port that is not floating.
 */
ANET_API anet_status anet_program_differentiate(const anet_program *program, const char *function,
                                                const anet_differentiate_options *options,
                                                anet_program **derivative,
                                                anet_error **error) ANET_CHECK;

/** How a program is quantized. */
typedef struct anet_program_quantize_options {
  uint32_t struct_size;
  uint32_t reserved;
  /** Share of the observed magnitudes that an activation's range holds; the rest is clipped. 0: 1,
   * all of them. */
  double coverage;
} anet_program_quantize_options;

/**
 * A program whose products run on 8-bit activations and weights (W8A8): 1x1 convolutions, linear
 * and matmul with constant weights get `quantize` and `dequantize` around what they read, and
 * weights as `constexpr_affine_dequantize`. Everything else stays as it is.
 * @param device runs the function on the samples, to see how large its activations are.
 * @param function nullable: the first one.
 * @param samples `count` buffers of the device: sets of inputs in port order, one after another.
 * @param options nullable.
 * @return ANET_E_UNSUPPORTED when the function has no such product, ANET_E_INVALID_DATA for
 *         activations that are not finite, ANET_E_INVALID_ARGUMENT for a count that is no multiple
 *         of the inputs; else as anet_kernel_run.
 */
ANET_API anet_status anet_program_quantize(anet_device *device, const anet_program *program,
                                           const char *function, anet_buffer *const *samples,
                                           size_t count,
                                           const anet_program_quantize_options *options,
                                           anet_program **quantized, anet_error **error) ANET_CHECK;
/** One reference more. Any thread. */
ANET_API void anet_program_retain(anet_program *program);
/** One reference less. Any thread. */
ANET_API void anet_program_release(anet_program *program);

/* ---------------------------------------------------------------------------------------------
 * Kernels: a function of a program, compiled for a device
 * ------------------------------------------------------------------------------------------- */

/** One thread at a time. */
typedef struct anet_kernel anet_kernel;

/** What a kernel is, and what its runs so far took. */
typedef struct anet_kernel_statistics {
  uint32_t struct_size;
  uint32_t op_count;        /**< steps in the compiled plan */
  uint64_t workspace_bytes; /**< scratch memory */
  uint64_t constant_bytes;  /**< weights baked in */
  uint64_t flops;           /**< of matmul and conv; a multiply-add counts two */
  double seconds;           /**< spent in runs so far */
  uint64_t runs;
  /* What the runs so far did, and where. */
  uint64_t engine_evaluations; /**< programs evaluated by the engine */
  double engine_seconds;       /**< waiting for the engine */
  double host_seconds;         /**< computing on the CPU, in the background too */
  double copy_seconds;         /**< moving and converting between buffers and engine ports */
  uint64_t engine_flops;       /**< of matmul and conv; a multiply-add counts two */
  uint64_t host_flops;
  uint64_t engine_bytes_in; /**< read by the engine through its ports */
  uint64_t engine_bytes_out;
  uint64_t retries;   /**< evaluations repeated after a failure */
  uint64_t fallbacks; /**< parts of runs that the CPU did because the engine failed */
  uint64_t audits;    /**< engine results compared with the CPU's */
  double audit_error; /**< the largest seen, relative to the tensor's largest value */
} anet_kernel_statistics;

/**
 * Compiles a function.
 * @param function nullable: the first one.
 * @return ANET_E_NOT_FOUND, ANET_E_UNSUPPORTED naming the op and the rule, ANET_E_COMPILE_BUDGET.
 */
ANET_API anet_status anet_kernel_compile(anet_device *device, const anet_program *program,
                                         const char *function, anet_kernel **kernel,
                                         anet_error **error) ANET_CHECK;
/** 0 for NULL. */
ANET_API size_t anet_kernel_port_count(const anet_kernel *kernel, anet_direction direction);
/** The layout that a bound buffer must have. @return ANET_E_OUT_OF_RANGE. */
ANET_API anet_status anet_kernel_get_port(const anet_kernel *kernel, anet_direction direction,
                                          size_t index, anet_port *port,
                                          anet_error **error) ANET_CHECK;
/** A zero-filled buffer that fits a port. */
ANET_API anet_status anet_kernel_create_buffer(const anet_kernel *kernel, anet_direction direction,
                                               size_t index, anet_buffer **buffer,
                                               anet_error **error) ANET_CHECK;
/**
 * Runs the kernel; returns when the outputs are written.
 * @param inputs,outputs in port order.
 * @return ANET_E_INVALID_ARGUMENT for wrong counts or overlapping outputs,
 *         ANET_E_SHAPE_MISMATCH or ANET_E_TYPE_MISMATCH naming the port, ANET_E_BUSY for a mapped
 *         buffer, ANET_E_OUT_OF_RANGE for an index in the data that leaves its tensor,
 *         ANET_E_DEVICE when the device fails, ANET_E_NUMERIC when an audit does. After a
 *         failure the outputs' contents are undefined.
 */
ANET_API anet_status anet_kernel_run(anet_kernel *kernel, anet_buffer *const *inputs,
                                     size_t input_count, anet_buffer *const *outputs,
                                     size_t output_count, anet_error **error) ANET_CHECK;
/** What the kernel is, and what its runs so far took. */
ANET_API anet_status anet_kernel_get_statistics(const anet_kernel *kernel,
                                                anet_kernel_statistics *statistics,
                                                anet_error **error) ANET_CHECK;
/**
 * Where the kernel runs.
 * @param where receives "cpu", "ane", or "ane+cpu" when the CPU has a part.
 * @param reason receives why the CPU has its part, or runs bf16 products in fp32, else "". Both are
 *        borrowed until the next call of this function for this kernel.
 */
ANET_API anet_status anet_kernel_get_placement(const anet_kernel *kernel, const char **where,
                                               const char **reason, anet_error **error) ANET_CHECK;
/** One reference more. Any thread. */
ANET_API void anet_kernel_retain(anet_kernel *kernel);
/** One reference less. Any thread. */
ANET_API void anet_kernel_release(anet_kernel *kernel);

/* ---------------------------------------------------------------------------------------------
 * Models
 * ------------------------------------------------------------------------------------------- */

/** A transformer of the Llama family. */
typedef struct anet_model_config {
  uint32_t struct_size;
  int32_t vocab_size;
  int32_t hidden_size;
  int32_t intermediate_size;
  int32_t layer_count;
  int32_t head_count;
  int32_t kv_head_count;  /**< divides head_count; 0: head_count */
  int32_t head_dim;       /**< even; 0: hidden_size / head_count */
  int32_t context_length; /**< 0: 2048 */
  int32_t tie_embeddings; /**< 1: the head shares the embedding matrix */
  int32_t qkv_bias;       /**< 1: biases on the q, k and v projections (Qwen2.5) */
  int32_t qk_norm;        /**< 1: RMS norm on each query and key head (Qwen3) */
  double rope_theta;      /**< 0: 10000 */
  double norm_epsilon;    /**< 0: 1e-5 */
  /** Llama 3's stretching of long wavelengths; all four or none. 0: none; else at least 1. */
  double rope_scaling_factor;
  double rope_low_frequency_factor;
  double rope_high_frequency_factor;
  int32_t rope_original_context_length;
  int32_t reserved;
} anet_model_config;

/** The number of built-in configurations. Any thread. */
ANET_API size_t anet_model_config_count(void);
/** "stories15M", "qwen3-0.6b", ...; NULL past the count. Borrowed for ever. Any thread. */
ANET_API const char *anet_model_config_name(size_t index);
/** @return ANET_E_NOT_FOUND with the nearest known name. */
ANET_API anet_status anet_model_config_get(const char *name, anet_model_config *config,
                                           anet_error **error) ANET_CHECK;
/**
 * Reads a JSON object whose keys are the fields of anet_model_config, tie_embeddings, qkv_bias
 * and qk_norm as true or false. Fields without a key keep the value they have in `config`, which
 * the caller has initialised.
 * @return ANET_E_INVALID_CONFIG, with line and column when the text is not JSON; an unknown key
 *         names the nearest known one.
 */
ANET_API anet_status anet_model_config_from_json(const char *json, anet_model_config *config,
                                                 anet_error **error) ANET_CHECK;

/** A configuration and its weights: fp32, but for the matrices of a quantized model. One thread at
 * a time, except that calls which only read them, also through generators and evaluations, may
 * overlap; while a session trains it, the weights belong to the session (reading them between steps
 * is fine). */
typedef struct anet_model anet_model;

/** How the values of a matrix are held. Scales and palettes are fp16. */
typedef int32_t anet_compression;
enum {
  ANET_COMPRESSION_NONE = -1,        /**< fp32 */
  ANET_COMPRESSION_DEFAULT = 0,      /**< INT8_CHANNEL; no answer of the library */
  ANET_COMPRESSION_INT8_CHANNEL = 1, /**< 8 bits, a scale for each row */
  ANET_COMPRESSION_INT8_BLOCK = 2,   /**< 8 bits, a scale for block_size columns of a row */
  ANET_COMPRESSION_INT4_BLOCK = 3,   /**< 4 bits, the same */
  ANET_COMPRESSION_PALETTE4 = 4      /**< 4 bits, a table of 16 values for block_size rows */
};
/** "int4_block"; "fp32" for NONE, "undefined" for an unknown one. Borrowed for ever. Any thread. */
ANET_API const char *anet_compression_name(anet_compression compression);

/** anet_parameter.offset of a compressed parameter, which has no place in the flat array. */
#define ANET_NO_OFFSET UINT64_MAX

/** One weight tensor. Parameters lie one after another in one flat array, 16-element aligned. */
typedef struct anet_parameter {
  uint32_t struct_size;
  uint32_t rank;
  const char *name; /**< Hugging Face's: "model.layers.0.self_attn.q_proj.weight"; borrowed */
  int64_t shape[ANET_MAX_RANK]; /**< [out, in] for matrices */
  uint64_t offset;              /**< of the first element in the flat array; ANET_NO_OFFSET */
  uint64_t element_count;
  anet_compression compression;
  int32_t block_size; /**< columns that share a scale, rows that share a palette; else 0 */
  uint64_t bytes;     /**< of its values as they are held */
} anet_parameter;

/**
 * A randomly initialised model: normal(0, 0.02), the projections into the residual stream
 * (o_proj, down_proj) divided by sqrt(2 * layer_count) as in GPT-2, norms 1, biases 0.
 * @return ANET_E_INVALID_CONFIG naming the field.
 */
ANET_API anet_status anet_model_create(const anet_model_config *config, uint64_t seed,
                                       anet_model **model, anet_error **error) ANET_CHECK;
/** How far long work has come. */
typedef struct anet_progress {
  uint32_t struct_size;
  uint32_t reserved;
  const char *what; /**< a tensor, a file; borrowed for the call */
  uint64_t done;    /**< elements of a model, bytes of data */
  uint64_t total;
} anet_progress;

/** Called on the thread of the call. Return 0 to go on; else the call ends with
 * ANET_E_CANCELLED and leaves nothing behind. */
typedef int32_t (*anet_progress_callback)(const anet_progress *progress, void *user_data);

/** An exception for the tensors whose names a pattern matches. */
typedef struct anet_quantize_override {
  /** `*` stands for any run of characters. Matches the whole name, or its end from a dot on:
   * "down_proj.weight", "layers.0.*", "model.embed_tokens.weight". */
  const char *pattern;
  anet_compression compression;
  int32_t block_size;
} anet_quantize_override;

/** Which matrices are compressed, and how. Vectors (norms, biases) always stay fp32. */
typedef struct anet_quantize_options {
  uint32_t struct_size;
  anet_compression compression;
  /** Divides the columns, of a palette the rows; 0: 32 columns a scale, one row a palette. */
  int32_t block_size;
  uint32_t reserved;
  const anet_quantize_override *overrides; /**< the last that matches a tensor decides */
  size_t override_count;
  anet_device *device;             /**< nullable: its threads work too; the result is the same */
  anet_progress_callback progress; /**< nullable */
  void *user_data;
} anet_quantize_options;

/** How a model is loaded. */
typedef struct anet_model_load_options {
  uint32_t struct_size;
  uint32_t reserved;
  anet_progress_callback progress; /**< nullable */
  void *user_data;
  /** Nullable. Else each matrix is compressed as it is read: the model in fp32 is never whole in
   * memory. Its own `progress` must be NULL. */
  const anet_quantize_options *quantize;
} anet_model_load_options;

/**
 * Loads a model. The path decides the format:
 * - a folder of Hugging Face (config.json of transformers 4 or 5, safetensors in one or several
 *   files, F32, F16 or BF16) of LlamaForCausalLM, Qwen2ForCausalLM or Qwen3ForCausalLM;
 * - a GGUF file, version 3, of llama, qwen2 or qwen3 (F32, F16, BF16, Q8_0, Q6_K, Q4_0);
 * - a llama2.c file, version 0, 1 or 2;
 * - a BLZT checkpoint of maderix/ANE, version 2 or 4;
 * - a checkpoint folder of anet_session_save, or a file of anet_model_save.
 * Tensors are converted one by one to fp32, or compressed as `options` says; a file of
 * anet_model_save that is compressed stays so. Beside the model no second copy is held.
 * @param options nullable.
 * @return ANET_E_FILE_NOT_FOUND, ANET_E_INVALID_DATA with all tensors that are missing, extra or of
 *         another shape or type, ANET_E_INVALID_CONFIG, ANET_E_UNSUPPORTED naming the architecture
 *         or option, ANET_E_INVALID_CHECKPOINT, ANET_E_CHECKSUM, ANET_E_VERSION, ANET_E_CANCELLED.
 */
ANET_API anet_status anet_model_load(const char *path, const anet_model_load_options *options,
                                     anet_model **model, anet_error **error) ANET_CHECK;
/** Writes the weights alone as safetensors, fp32 or compressed as they are held, the configuration
 * in its metadata. Atomic. */
ANET_API anet_status anet_model_save(const anet_model *model, const char *path,
                                     anet_error **error) ANET_CHECK;

/** Formats of anet_model_export. */
typedef int32_t anet_export_format;
enum {
  ANET_EXPORT_HUGGING_FACE = 0, /**< a folder: config.json, safetensors */
  ANET_EXPORT_GGUF = 1,         /**< version 3 */
  ANET_EXPORT_LLAMA2C = 2       /**< version 0, fp32 */
};

/** Of matrices; vectors stay fp32 in GGUF. */
typedef int32_t anet_export_type;
enum {
  ANET_EXPORT_FP32 = 0,
  ANET_EXPORT_FP16 = 1,
  ANET_EXPORT_BF16 = 2,
  ANET_EXPORT_Q8_0 = 3 /**< GGUF alone */
};

/** How a model is written for other tools. */
typedef struct anet_export_options {
  uint32_t struct_size;
  anet_export_format format;
  anet_export_type type;
  uint32_t reserved;
  /** The model folder that the model came from: its tokenizer, chat template and generation
   * settings go along. NULL: weights and configuration alone. */
  const char *companion;
  uint64_t max_shard_bytes; /**< of one safetensors file; 0: 5 GB */
  anet_progress_callback progress;
  void *user_data;
} anet_export_options;

/**
 * Writes a model for other tools. Atomic: the path has what it had, or the whole export. Compressed
 * matrices are written as the values that they stand for.
 * @param options nullable: a Hugging Face folder in fp32.
 * @return ANET_E_UNSUPPORTED naming what the format cannot express, ANET_E_UNSUPPORTED_OPTION for a
 *         type that the format does not have, ANET_E_IO, ANET_E_DISK_FULL, ANET_E_PERMISSION,
 *         ANET_E_CANCELLED.
 */
ANET_API anet_status anet_model_export(const anet_model *model, const char *path,
                                       const anet_export_options *options,
                                       anet_error **error) ANET_CHECK;

/** What a model's files said besides its weights. Borrowed from the model. */
typedef struct anet_model_info {
  uint32_t struct_size;
  uint32_t warning_count;
  const char *format; /**< "hugging_face", "gguf", ...; "" for a model of anet_model_create */
  const char *tokenizer_path; /**< for anet_tokenizer_load; "" when there is none */
  const int32_t *stop_ids;    /**< that end a text, by generation_config.json or config.json */
  size_t stop_count;
  const char *const *warnings; /**< "model.norm.weight: 3 values are NaN" */
} anet_model_info;
/** What the model's files said. */
ANET_API anet_status anet_model_get_info(const anet_model *model, anet_model_info *info,
                                         anet_error **error) ANET_CHECK;
/** The configuration, its defaults filled in. */
ANET_API anet_status anet_model_get_config(const anet_model *model, anet_model_config *config,
                                           anet_error **error) ANET_CHECK;
/** Number of weights (padding between tensors not counted). 0 for NULL. */
ANET_API uint64_t anet_model_weight_count(const anet_model *model);
/** Bytes of the weights as they are held. 0 for NULL. */
ANET_API uint64_t anet_model_weight_bytes(const anet_model *model);
/** Number of tensors. 0 for NULL. */
ANET_API size_t anet_model_parameter_count(const anet_model *model);
/** One weight tensor. @return ANET_E_OUT_OF_RANGE for an index past the count. */
ANET_API anet_status anet_model_get_parameter(const anet_model *model, size_t index,
                                              anet_parameter *parameter,
                                              anet_error **error) ANET_CHECK;
/** Index of a parameter by name. @return ANET_E_NOT_FOUND with the nearest name. */
ANET_API anet_status anet_model_find_parameter(const anet_model *model, const char *name,
                                               size_t *index, anet_error **error) ANET_CHECK;
/** Copies one tensor out, a compressed one as the values that it stands for.
 * @return ANET_E_SHAPE_MISMATCH unless `count` is its element count. */
ANET_API anet_status anet_model_read_parameter(const anet_model *model, size_t index, float *values,
                                               size_t count, anet_error **error) ANET_CHECK;
/** Copies one tensor in. A session that trains the model uses it from its next step on.
 * @return as above; ANET_E_UNSUPPORTED for a compressed one, ANET_E_BUSY while a session trains an
 *         adapter of the model, whose programs may have its weights baked in. */
ANET_API anet_status anet_model_write_parameter(anet_model *model, size_t index,
                                                const float *values, size_t count,
                                                anet_error **error) ANET_CHECK;
/** One reference more. Any thread. */
ANET_API void anet_model_retain(anet_model *model);
/** One reference less. Any thread. */
ANET_API void anet_model_release(anet_model *model);

/* ---------------------------------------------------------------------------------------------
 * Quantization: models whose matrices are held in 8 or 4 bits
 * ------------------------------------------------------------------------------------------- */

/**
 * A copy of a model with compressed matrices. It stays compressed in memory: programs expand a
 * matrix, or a tile of it, when a product reads it. It can be evaluated, generate, and be the base
 * of adapters; sessions train its vectors alone.
 * @param model may be compressed: what is to be compressed otherwise is expanded first.
 * @param options nullable: int8 with a scale for each row.
 * @return ANET_E_UNSUPPORTED naming a tensor whose extents do not fit the block size;
 * ANET_E_INVALID_DATA for weights that are not finite, ANET_E_INVALID_ARGUMENT for a pattern that
 * matches no matrix, ANET_E_CANCELLED.
 */
ANET_API anet_status anet_model_quantize(const anet_model *model,
                                         const anet_quantize_options *options,
                                         anet_model **quantized, anet_error **error) ANET_CHECK;

/** What quantization made of one parameter. */
typedef struct anet_tensor_report {
  uint32_t struct_size;
  anet_compression compression;
  const char *name; /**< borrowed from the model */
  int32_t block_size;
  /** 1: the errors were measured. 0: not known, because a file held the matrix compressed. */
  int32_t has_error;
  uint64_t bytes_before; /**< as fp32 */
  uint64_t bytes_after;
  double worst;        /**< largest absolute difference */
  double rms;          /**< root of the mean squared difference */
  double relative_rms; /**< `rms` over the root of the mean squared value */
} anet_tensor_report;

/** The report of a parameter, also of one that stayed fp32.
 * @param index of the parameter. @return ANET_E_OUT_OF_RANGE. */
ANET_API anet_status anet_model_get_quantization_report(const anet_model *model, size_t index,
                                                        anet_tensor_report *report,
                                                        anet_error **error) ANET_CHECK;

/* ---------------------------------------------------------------------------------------------
 * Adapters: what fine-tuning adds to a model that stays as it is
 * ------------------------------------------------------------------------------------------- */

/**
 * A low-rank adapter (LoRA): W x becomes W x + scale * B (A x) for some matrices W of a model, with
 * scale = alpha / rank, or alpha / sqrt(rank) with rslora. With DoRA it becomes
 * m * (W + scale * B A) x / ||W + scale * B A||, the norm of each row. Belongs to one model, which
 * it keeps alive and which may be compressed. Thread class as anet_model.
 */
typedef struct anet_adapter anet_adapter;

/** Another rank or alpha for the modules that a pattern matches. */
typedef struct anet_adapter_override {
  const char *pattern; /**< as in anet_quantize_override, of modules: "layers.0.*", "q_proj" */
  int32_t rank;        /**< 0: as it would be without */
  uint32_t reserved;
  double alpha; /**< 0: as it would be without */
} anet_adapter_override;

/** How an adapter is made. */
typedef struct anet_adapter_options {
  uint32_t struct_size;
  int32_t rank;   /**< up to 4096; 0: 8 */
  double alpha;   /**< 0: 2 * rank */
  double dropout; /**< of the adapter's input, in training; at least 0, below 1 */
  int32_t rslora; /**< 1: scale = alpha / sqrt(rank) (Kalajdzievski 2023) */
  int32_t dora;   /**< 1: magnitudes of rows are learned apart (Liu et al. 2024) */
  /** Patterns of modules separated by commas: "q_proj,v_proj", "mlp.*", "embed_tokens",
   * "lm_head". NULL: the seven projections of every layer. */
  const char *targets;
  /** The adapted layers: from first_layer on, layer_count of them (0: to the last). A negative
   * first_layer counts from the end. Embedding and head are not layers. */
  int32_t first_layer;
  int32_t layer_count;
  const anet_adapter_override *overrides; /**< the last that matches a module decides */
  size_t override_count;
  uint64_t seed; /**< of the values of A */
} anet_adapter_options;

/**
 * A new adapter, which changes nothing yet: A is uniform within 1 / sqrt(in), B is zero, DoRA's
 * magnitudes are the norms of the model's rows.
 * @param options nullable.
 * @return ANET_E_INVALID_ARGUMENT naming the field, or a pattern that matches no module;
 *         ANET_E_UNSUPPORTED_OPTION for DoRA of the embedding or the head.
 */
ANET_API anet_status anet_adapter_create(anet_model *model, const anet_adapter_options *options,
                                         anet_adapter **adapter, anet_error **error) ANET_CHECK;
/**
 * Loads an adapter of this model: a folder of PEFT or mlx-lm (adapter_config.json and safetensors),
 * or a checkpoint of a session that trained an adapter.
 * @return ANET_E_FILE_NOT_FOUND, ANET_E_INVALID_DATA naming tensors that do not fit the model,
 *         ANET_E_INVALID_CONFIG, ANET_E_UNSUPPORTED naming an option that this library does not
 *         have.
 */
ANET_API anet_status anet_adapter_load(anet_model *model, const char *path, anet_adapter **adapter,
                                       anet_error **error) ANET_CHECK;

/** Formats of anet_adapter_save. */
typedef int32_t anet_adapter_format;
enum {
  ANET_ADAPTER_PEFT = 0, /**< a folder: adapter_config.json, adapter_model.safetensors */
  ANET_ADAPTER_MLX = 1,  /**< a folder: adapter_config.json, adapters.safetensors */
  ANET_ADAPTER_GGUF = 2  /**< a file for llama.cpp */
};

/** How an adapter is written. */
typedef struct anet_adapter_save_options {
  uint32_t struct_size;
  anet_adapter_format format;
  anet_export_type type; /**< FP32, FP16 or BF16 */
  uint32_t reserved;
  const char *base_name; /**< what the files call the model; NULL: nothing */
} anet_adapter_save_options;

/**
 * Writes an adapter for other tools. Atomic: the path has what it had, or the whole adapter.
 * @param options nullable: PEFT in fp32.
 * @return ANET_E_UNSUPPORTED naming what the format cannot express (ranks that differ in mlx, DoRA
 *         in GGUF), ANET_E_UNSUPPORTED_OPTION, ANET_E_IO, ANET_E_DISK_FULL, ANET_E_PERMISSION.
 */
ANET_API anet_status anet_adapter_save(const anet_adapter *adapter, const char *path,
                                       const anet_adapter_save_options *options,
                                       anet_error **error) ANET_CHECK;

/** What an adapter is. */
typedef struct anet_adapter_info {
  uint32_t struct_size;
  int32_t rank; /**< the largest of its modules */
  double alpha; /**< of that module */
  double dropout;
  int32_t rslora;
  int32_t dora;
  uint64_t module_count;
  uint64_t weight_count;
} anet_adapter_info;
/** What the adapter is. */
ANET_API anet_status anet_adapter_get_info(const anet_adapter *adapter, anet_adapter_info *info,
                                           anet_error **error) ANET_CHECK;

/** One adapted matrix. */
typedef struct anet_adapter_module {
  uint32_t struct_size;
  int32_t rank;
  const char *name; /**< "model.layers.0.self_attn.q_proj"; borrowed from the adapter */
  double alpha;
  double scale;
} anet_adapter_module;
/** @return ANET_E_OUT_OF_RANGE for an index past anet_adapter_info.module_count. */
ANET_API anet_status anet_adapter_get_module(const anet_adapter *adapter, size_t index,
                                             anet_adapter_module *module,
                                             anet_error **error) ANET_CHECK;
/** The model that it adapts; a new reference. */
ANET_API anet_status anet_adapter_get_model(const anet_adapter *adapter, anet_model **model,
                                            anet_error **error) ANET_CHECK;
/** Number of tensors: A, B and, with DoRA, the magnitudes of each module. 0 for NULL. */
ANET_API size_t anet_adapter_parameter_count(const anet_adapter *adapter);
/** Names are PEFT's: "model.layers.0.self_attn.q_proj.lora_A.weight" [rank, in]. */
ANET_API anet_status anet_adapter_get_parameter(const anet_adapter *adapter, size_t index,
                                                anet_parameter *parameter,
                                                anet_error **error) ANET_CHECK;
/** As the calls of a model of these names. */
ANET_API anet_status anet_adapter_find_parameter(const anet_adapter *adapter, const char *name,
                                                 size_t *index, anet_error **error) ANET_CHECK;
/** As anet_model_read_parameter. */
ANET_API anet_status anet_adapter_read_parameter(const anet_adapter *adapter, size_t index,
                                                 float *values, size_t count,
                                                 anet_error **error) ANET_CHECK;
/** As anet_model_write_parameter. */
ANET_API anet_status anet_adapter_write_parameter(anet_adapter *adapter, size_t index,
                                                  const float *values, size_t count,
                                                  anet_error **error) ANET_CHECK;
/** One reference more. Any thread. */
ANET_API void anet_adapter_retain(anet_adapter *adapter);
/** One reference less. Any thread. */
ANET_API void anet_adapter_release(anet_adapter *adapter);

/** One of several adapters whose shares are added: weight * scale * B (A x). */
typedef struct anet_weighted_adapter {
  const anet_adapter *adapter;
  double weight; /**< taken as it is: 1 for the adapter as it was trained. DoRA: 1 alone */
} anet_weighted_adapter;

/**
 * A new fp32 model with the adapters in its weights, also from a compressed one. Head and embedding
 * become two matrices where only one of them is adapted.
 * @param adapters of this model.
 * @return ANET_E_INVALID_ARGUMENT for an adapter of another model, a weight that is not finite,
 * none at all, or DoRA beside others of the same matrix or with another weight than 1.
 */
ANET_API anet_status anet_model_merge(const anet_model *model,
                                      const anet_weighted_adapter *adapters, size_t count,
                                      anet_model **merged, anet_error **error) ANET_CHECK;
/**
 * Adds the adapters to the weights in place, until anet_model_unmerge.
 * @return as anet_model_merge; ANET_E_INVALID_STATE when something is merged already,
 *         ANET_E_UNSUPPORTED for a compressed model, or when head and embedding would have to
 * become two matrices; ANET_E_BUSY while a session trains the model or an adapter of it.
 */
ANET_API anet_status anet_model_merge_in_place(anet_model *model,
                                               const anet_weighted_adapter *adapters, size_t count,
                                               anet_error **error) ANET_CHECK;
/** Puts the weights back that anet_model_merge_in_place replaced, bit for bit.
 * @return ANET_E_INVALID_STATE when nothing is merged, ANET_E_BUSY as above. */
ANET_API anet_status anet_model_unmerge(anet_model *model, anet_error **error) ANET_CHECK;

/* ---------------------------------------------------------------------------------------------
 * Tokenizers
 * ------------------------------------------------------------------------------------------- */

/** Text to token ids and back. Immutable: any thread. */
typedef struct anet_tokenizer anet_tokenizer;

enum {
  ANET_TOKENIZE_ADD_BOS = 1,
  ANET_TOKENIZE_ADD_EOS = 2,
  /** Special tokens spelled in the text become their ids. Off for text from outside, which could
   * otherwise forge the structure of a prompt. */
  ANET_TOKENIZE_PARSE_SPECIAL = 4,
  /** What the tokenizer adds by itself (Llama's bos); instead of the first two. */
  ANET_TOKENIZE_AS_TRAINED = 8
};

/** The byte tokenizer: ids 0 to 255 are bytes, 256 begins a text, 257 ends it. */
ANET_API anet_status anet_tokenizer_create_bytes(anet_tokenizer **tokenizer,
                                                 anet_error **error) ANET_CHECK;
/**
 * Loads a tokenizer.json (byte-level or SentencePiece-like BPE; the names of bos and eos come from
 * tokenizer_config.json beside it) or a tokenizer.bin of llama2.c.
 * @param path the file, or the model folder that holds it.
 * @param vocab_size the model's: required for tokenizer.bin, which does not say; for tokenizer.json
 *        ids up to it are valid without text; 0: not known.
 * @return ANET_E_FILE_NOT_FOUND, ANET_E_INVALID_DATA, ANET_E_UNSUPPORTED naming the part of the
 *         tokenizer that this library does not have.
 */
ANET_API anet_status anet_tokenizer_load(const char *path, int32_t vocab_size,
                                         anet_tokenizer **tokenizer, anet_error **error) ANET_CHECK;
/** SHA-256 in hexadecimal of all that decides how it encodes and decodes. Borrowed from the
 * tokenizer; "" for NULL. */
ANET_API const char *anet_tokenizer_fingerprint(const anet_tokenizer *tokenizer);
/** The id of a special or added token ("<|im_end|>"). @return ANET_E_NOT_FOUND. */
ANET_API anet_status anet_tokenizer_find_special(const anet_tokenizer *tokenizer, const char *name,
                                                 int32_t *id, anet_error **error) ANET_CHECK;
/** Ids are below this. 0 for NULL. */
ANET_API int32_t anet_tokenizer_vocab_size(const anet_tokenizer *tokenizer);
/** -1 when the tokenizer has none. */
ANET_API int32_t anet_tokenizer_bos_id(const anet_tokenizer *tokenizer);
/** -1 when the tokenizer has none. */
ANET_API int32_t anet_tokenizer_eos_id(const anet_tokenizer *tokenizer);
/**
 * Encodes `length` bytes of text (SIZE_MAX: null-terminated).
 * @param flags ANET_TOKENIZE_*.
 * @param ids nullable when `capacity` is 0: asks for the count alone, which is no failure.
 * @param count receives the number of ids, also when they do not fit.
 * @return ANET_E_OUT_OF_RANGE when `capacity` is less than the count; `ids` is then untouched.
 */
ANET_API anet_status anet_tokenizer_encode(const anet_tokenizer *tokenizer, const char *text,
                                           size_t length, uint32_t flags, int32_t *ids,
                                           size_t capacity, size_t *count,
                                           anet_error **error) ANET_CHECK;
/** Bytes [begin, end) of a text; empty for a token that is no part of it. */
typedef struct anet_text_range {
  int64_t begin;
  int64_t end;
} anet_text_range;
/** anet_tokenizer_encode that also tells where each token comes from.
 * @param ranges as many as `ids`. */
ANET_API anet_status anet_tokenizer_encode_ranges(const anet_tokenizer *tokenizer, const char *text,
                                                  size_t length, uint32_t flags, int32_t *ids,
                                                  anet_text_range *ranges, size_t capacity,
                                                  size_t *count, anet_error **error) ANET_CHECK;
/** Decodes ids to UTF-8, without a terminator. Invalid bytes become U+FFFD. Sizes as in
 * anet_tokenizer_encode. @return ANET_E_OUT_OF_RANGE also for an id outside the vocabulary. */
ANET_API anet_status anet_tokenizer_decode(const anet_tokenizer *tokenizer, const int32_t *ids,
                                           size_t id_count, char *text, size_t capacity,
                                           size_t *length, anet_error **error) ANET_CHECK;
/** One reference more. Any thread. */
ANET_API void anet_tokenizer_retain(anet_tokenizer *tokenizer);
/** One reference less. Any thread. */
ANET_API void anet_tokenizer_release(anet_tokenizer *tokenizer);

/** Text of a sequence as it grows, in whole characters. One thread at a time. */
typedef struct anet_text_decoder anet_text_decoder;

/** A decoder at the beginning of a text. It keeps the tokenizer alive. */
ANET_API anet_status anet_text_decoder_create(const anet_tokenizer *tokenizer,
                                              anet_text_decoder **decoder,
                                              anet_error **error) ANET_CHECK;
/** Tokens whose text is known already, a prompt's: some formats leave out the space that begins a
 * text, and what goes on is not its beginning. @return ANET_E_OUT_OF_RANGE for a bad id. */
ANET_API anet_status anet_text_decoder_prime(anet_text_decoder *decoder, const int32_t *ids,
                                             size_t count, anet_error **error) ANET_CHECK;
/** What became complete with this token, perhaps nothing: `length` bytes, null-terminated, borrowed
 * until the next call. @param length nullable. @return ANET_E_OUT_OF_RANGE for a bad id. */
ANET_API anet_status anet_text_decoder_push(anet_text_decoder *decoder, int32_t id,
                                            const char **text, size_t *length,
                                            anet_error **error) ANET_CHECK;
/** What is left of an incomplete character, as U+FFFD. The decoder is then as new. */
ANET_API anet_status anet_text_decoder_flush(anet_text_decoder *decoder, const char **text,
                                             size_t *length, anet_error **error) ANET_CHECK;
/** One reference more. Any thread. */
ANET_API void anet_text_decoder_retain(anet_text_decoder *decoder);
/** One reference less. Any thread. */
ANET_API void anet_text_decoder_release(anet_text_decoder *decoder);

/* ---------------------------------------------------------------------------------------------
 * Chat templates
 * ------------------------------------------------------------------------------------------- */

/** How a model writes a conversation down: the model's own Jinja template, or a built-in one.
 * Rendering is bounded in work and memory and has no side effect. Immutable: any thread. */
typedef struct anet_chat_template anet_chat_template;

/** Which tokens a model learns to predict. */
typedef int32_t anet_supervision;
enum {
  ANET_SUPERVISE_ASSISTANT = 0, /**< every assistant turn, or the completion, with its stop token */
  ANET_SUPERVISE_LAST = 1,      /**< the last assistant turn alone */
  ANET_SUPERVISE_EVERYTHING = 2
};

/** chat_template.jinja, or "chat_template" in tokenizer_config.json.
 * @param directory the model folder.
 * @return ANET_E_NOT_FOUND when it has none, ANET_E_INVALID_CONFIG with line and column,
 *         ANET_E_UNSUPPORTED naming what of Jinja is not offered. */
ANET_API anet_status anet_chat_template_load(const char *directory,
                                             anet_chat_template **chat_template,
                                             anet_error **error) ANET_CHECK;
/** @param name "chatml", "llama2", "llama3" or "zephyr". @return ANET_E_NOT_FOUND. */
ANET_API anet_status anet_chat_template_built_in(const char *name,
                                                 anet_chat_template **chat_template,
                                                 anet_error **error) ANET_CHECK;
/** @param bos_token,eos_token what the template's variables of these names hold. */
ANET_API anet_status anet_chat_template_parse(const char *text, const char *bos_token,
                                              const char *eos_token,
                                              anet_chat_template **chat_template,
                                              anet_error **error) ANET_CHECK;
/**
 * The conversation as text.
 * @param messages a JSON array of {"role", "content", ...}.
 * @param tools nullable: a JSON array.
 * @param variables nullable: a JSON object of further variables ({"enable_thinking": false}).
 * @param generation_prompt 1: the text ends where the assistant is to go on.
 * @param text receives null-terminated text; sizes as in anet_device_get_report.
 * @return ANET_E_INVALID_DATA with the template's words when it refuses the conversation.
 */
ANET_API anet_status anet_chat_template_render(const anet_chat_template *chat_template,
                                               const char *messages, const char *tools,
                                               const char *variables, int32_t generation_prompt,
                                               char *text, size_t capacity, size_t *length,
                                               anet_error **error) ANET_CHECK;
/** 1 when the text depends on the day: then two runs may train on different tokens unless they set
 * the same date. 0 for NULL. */
ANET_API int32_t anet_chat_template_uses_date(const anet_chat_template *chat_template);
/** The day that the template takes for today, from here on. Not while the template is used.
 * @param seconds since 1970, UTC; below the year 10000.
 * @return ANET_E_OUT_OF_RANGE. */
ANET_API anet_status anet_chat_template_set_date(anet_chat_template *chat_template, int64_t seconds,
                                                 anet_error **error) ANET_CHECK;
/** One reference more. Any thread. */
ANET_API void anet_chat_template_retain(anet_chat_template *chat_template);
/** One reference less. Any thread. */
ANET_API void anet_chat_template_release(anet_chat_template *chat_template);

/* ---------------------------------------------------------------------------------------------
 * Examples: what people write, tokenised
 * ------------------------------------------------------------------------------------------- */

/** Token ids with the mask of what is to be learned, read from files or memory. Larger than memory
 * if need be. Immutable: any thread. */
typedef struct anet_examples anet_examples;

/** Which part of a folder of data. */
typedef int32_t anet_data_part;
enum { ANET_DATA_TRAIN = 0, ANET_DATA_VALIDATION = 1, ANET_DATA_TEST = 2 };

/** What a data file holds. */
typedef int32_t anet_data_format;
enum {
  ANET_DATA_AUTOMATIC = 0, /**< by the file's suffix */
  ANET_DATA_JSONL = 1,
  ANET_DATA_TEXT = 2,
  ANET_DATA_TOKENS = 3
};

/** A choice whose default depends on something else. */
typedef int32_t anet_switch;
enum { ANET_SWITCH_DEFAULT = 0, ANET_SWITCH_ON = 1, ANET_SWITCH_OFF = 2 };

/** How examples are read and tokenised. */
typedef struct anet_examples_options {
  uint32_t struct_size;
  anet_data_part part; /**< of a folder: train.jsonl, valid.jsonl, test.jsonl */
  anet_data_format format;
  anet_supervision supervision;
  /** Nullable: then conversations are refused, and a prompt and its completion are joined. */
  const anet_chat_template *chat_template;
  const char *template_variables; /**< nullable: a JSON object */
  const int32_t *stop_ids;        /**< that end a turn; count 0: the tokenizer's eos */
  uint32_t stop_count;
  int32_t strict;        /**< 1: the first row that cannot be used is an error; 0: it is reported */
  anet_switch add_bos;   /**< before texts; default: as the tokenizer itself does it */
  anet_switch add_eos;   /**< behind texts; default: on if the tokenizer has one */
  int32_t parse_special; /**< 1: special tokens spelled in texts become their ids */
  int32_t token_bytes;   /**< of a token file without a header: 2 or 4; 0: from the vocabulary */
  const char *text_key;  /**< names of a record's keys; NULL: "text", "prompt", "completion", ... */
  const char *prompt_key;
  const char *completion_key;
  const char *messages_key;
  const char *tools_key;
  const char *document_separator;  /**< in text files; NULL: each file is one document */
  uint64_t max_line_bytes;         /**< 0: 16 MB; a longer line is reported */
  uint64_t memory_limit;           /**< above it, examples go to a temporary file; 0: 256 MB */
  const char *temporary_directory; /**< NULL: TMPDIR, or /var/tmp */
  int64_t round_trips;             /**< conversations whose decoded tokens are compared; 0: none */
  anet_progress_callback progress; /**< nullable */
  void *user_data;
  anet_device *device; /**< nullable: its threads tokenise too; the result is the same */
} anet_examples_options;

/**
 * Reads and tokenises a file, or a part of a folder. JSONL has one object a line; its keys decide
 * what it is: {"messages", "tools"}, {"prompt", "completion"}, {"text"} or {"ids", "mask"}. .bin
 * holds token ids, another suffix means text.
 * @param options nullable.
 * @return ANET_E_FILE_NOT_FOUND, ANET_E_INVALID_DATA when no row can be used or, when strict, with
 *         file and line of the first that cannot; ANET_E_DISK_FULL, ANET_E_CANCELLED.
 */
ANET_API anet_status anet_examples_open(const char *path, const anet_tokenizer *tokenizer,
                                        const anet_examples_options *options,
                                        anet_examples **examples, anet_error **error) ANET_CHECK;
/**
 * Copies examples from memory.
 * @param ids of all examples, one after another.
 * @param mask nullable: 1 where the token is to be learned, as many as ids; NULL: all are.
 * @param lengths of the `count` examples, in tokens.
 * @return ANET_E_INVALID_DATA for an id outside the vocabulary or an example without a token to
 *         learn, naming it.
 */
ANET_API anet_status anet_examples_create(const int32_t *ids, const uint8_t *mask,
                                          const uint64_t *lengths, size_t count, int32_t vocab_size,
                                          anet_examples **examples, anet_error **error) ANET_CHECK;
/**
 * Splits off the last `fraction` of the examples.
 * @return ANET_E_INVALID_DATA when a part would be empty.
 */
ANET_API anet_status anet_examples_split(const anet_examples *examples, double fraction,
                                         anet_examples **train, anet_examples **validation,
                                         anet_error **error) ANET_CHECK;
/** 0 for NULL. */
ANET_API uint64_t anet_examples_count(const anet_examples *examples);
/** Tokens of all examples. 0 for NULL. */
ANET_API uint64_t anet_examples_token_count(const anet_examples *examples);
/** One example; sizes as in anet_tokenizer_encode. @param mask nullable. */
ANET_API anet_status anet_examples_read(const anet_examples *examples, uint64_t index, int32_t *ids,
                                        uint8_t *mask, size_t capacity, size_t *count,
                                        anet_error **error) ANET_CHECK;
/** One example as a JSON array of {"text", "supervised", "tokens"}: the runs of its mask. U+FFFD
 * stands for a null character. Sizes as in anet_device_get_report. */
ANET_API anet_status anet_examples_describe(const anet_examples *examples, uint64_t index,
                                            const anet_tokenizer *tokenizer, char *json,
                                            size_t capacity, size_t *length,
                                            anet_error **error) ANET_CHECK;
/** What the files held, as a JSON object: rows by kind, rows that cannot be used with file, line
 * and reason, lengths, supervised tokens, duplicates, special tokens spelled in the text, round
 * trips. Reads all examples. Sizes as above. */
ANET_API anet_status anet_examples_get_report(const anet_examples *examples, char *json,
                                              size_t capacity, size_t *length,
                                              anet_error **error) ANET_CHECK;
/** One reference more. Any thread. */
ANET_API void anet_examples_retain(anet_examples *examples);
/** One reference less. Any thread. */
ANET_API void anet_examples_release(anet_examples *examples);

/* ---------------------------------------------------------------------------------------------
 * Datasets
 * ------------------------------------------------------------------------------------------- */

/** Rows of tokens in a deterministic order that any index can be asked of. Immutable: any
 * thread. */
typedef struct anet_dataset anet_dataset;

/** How tokens are cut into windows. */
typedef struct anet_dataset_options {
  uint32_t struct_size;
  int32_t sequence_length; /**< required: tokens a window; its targets are shifted by one */
  int32_t vocab_size;      /**< ids must be below it; required for token files and arrays */
  int32_t token_bytes;     /**< of a token file without a header: 2 or 4; 0: from vocab_size */
  uint64_t seed;           /**< of the order */
  int32_t sequential;      /**< 1: file order instead of a shuffle */
  uint32_t reserved;
} anet_dataset_options;

/**
 * Maps a file of token ids: little-endian uint16 or uint32, bare or with llm.c's header.
 * @return ANET_E_FILE_NOT_FOUND, ANET_E_IO, ANET_E_INVALID_DATA (empty, too short, odd size; says
 *         how many tokens are needed; an id outside the vocabulary, with its position).
 */
ANET_API anet_status anet_dataset_open_tokens(const char *path, const anet_dataset_options *options,
                                              anet_dataset **dataset,
                                              anet_error **error) ANET_CHECK;
/** Reads a text file through a tokenizer, whose vocabulary it uses. Errors as above. */
ANET_API anet_status anet_dataset_open_text(const char *path, const anet_tokenizer *tokenizer,
                                            const anet_dataset_options *options,
                                            anet_dataset **dataset, anet_error **error) ANET_CHECK;
/** Copies token ids from memory. Errors as above. */
ANET_API anet_status anet_dataset_create_tokens(const int32_t *ids, size_t count,
                                                const anet_dataset_options *options,
                                                anet_dataset **dataset,
                                                anet_error **error) ANET_CHECK;
/** How examples lie in rows. */
typedef int32_t anet_row_layout;
enum {
  ANET_ROWS_PADDED = 0, /**< one example a row */
  /** Several a row, each with positions from 0, so that nothing is padded: needs
   * anet_session_options.documents. */
  ANET_ROWS_PACKED = 1,
  /** 1, 2, 4, ... short examples side by side in equal parts of a row: needs
   * anet_session_options.length_buckets. */
  ANET_ROWS_BUCKETED = 2
};

/** What becomes of an example of more than sequence_length + 1 tokens. */
typedef int32_t anet_long_examples;
enum {
  ANET_LONG_TRUNCATE = 0, /**< its end is cut off */
  ANET_LONG_SKIP = 1,
  ANET_LONG_SPLIT = 2 /**< pieces that share one token */
};

/** How examples are laid out in rows. */
typedef struct anet_rows_options {
  uint32_t struct_size;
  int32_t sequence_length; /**< required: tokens a row; its targets are shifted by one */
  anet_row_layout layout;
  anet_long_examples long_examples;
  int32_t batch_size;     /**< required for bucketed rows: the session's */
  int32_t length_buckets; /**< bucketed rows have up to 2^length_buckets parts; 0: 3 */
  uint64_t seed;          /**< of the order */
  int32_t sequential;     /**< 1: the order of the examples instead of a shuffle */
  uint32_t reserved;
} anet_rows_options;

/** Rows of examples. @return ANET_E_INVALID_DATA when no example is left. */
ANET_API anet_status anet_dataset_create_rows(const anet_examples *examples,
                                              const anet_rows_options *options,
                                              anet_dataset **dataset,
                                              anet_error **error) ANET_CHECK;
/** What became of the examples, as a JSON object: rows, density, truncated, skipped, split,
 * supervised tokens that are in no row. {} for windows. Sizes as in anet_device_get_report. */
ANET_API anet_status anet_dataset_get_report(const anet_dataset *dataset, char *json,
                                             size_t capacity, size_t *length,
                                             anet_error **error) ANET_CHECK;
/** SHA-256 in hexadecimal of tokens, masks and order; kept in checkpoints. The first call may read
 * all data. Sizes as above. */
ANET_API anet_status anet_dataset_get_fingerprint(const anet_dataset *dataset, char *text,
                                                  size_t capacity, size_t *length,
                                                  anet_error **error) ANET_CHECK;
/**
 * Splits off the last `fraction` of the tokens of windows.
 * @param fraction above 0, below 1.
 * @return ANET_E_INVALID_DATA when a part is shorter than one window, ANET_E_UNSUPPORTED for rows
 * of examples (see anet_examples_split).
 */
ANET_API anet_status anet_dataset_split(const anet_dataset *dataset, double fraction,
                                        anet_dataset **train, anet_dataset **validation,
                                        anet_error **error) ANET_CHECK;
/** Rows in one epoch. 0 for NULL. */
ANET_API uint64_t anet_dataset_window_count(const anet_dataset *dataset);
/** Tokens in a row. 0 for NULL. */
ANET_API int32_t anet_dataset_sequence_length(const anet_dataset *dataset);
/**
 * Copies rows `first` to `first + count - 1` of the endless sequence of epochs.
 * @param tokens,targets,positions count * sequence_length each; positions is nullable. A target is
 *        -1 where nothing is to be learned; a position is the token's place in its document.
 * @param parts nullable: receives the number of examples side by side in each row.
 * @return ANET_E_INVALID_ARGUMENT when the rows differ in their parts: ask for whole micro-batches.
 */
ANET_API anet_status anet_dataset_read(const anet_dataset *dataset, uint64_t first, size_t count,
                                       int32_t *tokens, int32_t *targets, int32_t *positions,
                                       int32_t *parts, anet_error **error) ANET_CHECK;
/** One reference more. Any thread. */
ANET_API void anet_dataset_retain(anet_dataset *dataset);
/** One reference less. Any thread. */
ANET_API void anet_dataset_release(anet_dataset *dataset);

/* ---------------------------------------------------------------------------------------------
 * Training sessions
 * ------------------------------------------------------------------------------------------- */

/**
 * Trains a model, or an adapter of a model that stays as it is, on a device. One thread at a time,
 * except anet_session_cancel (any thread).
 *
 * A step is atomic: when it fails or is cancelled, weights and optimizer are as before and the
 * gradients accumulated so far are discarded. What only training needs, gradients and optimizer
 * state above all, is allocated by the first call that trains; all else at creation.
 */
typedef struct anet_session anet_session;

/** The numbers that a session or generator computes with. */
typedef int32_t anet_precision;
enum {
  ANET_PRECISION_DEFAULT = 0, /**< F32 where the device has it (the CPU), else F16 */
  ANET_PRECISION_F32 = 1,     /**< same seed, same threads: same bits */
  ANET_PRECISION_F16 = 2,     /**< programs in fp16, fp32 master weights, dynamic loss scale */
  /** Programs in bf16, products summed in fp32; fp32 master weights, gradients and loss. Fastest
   * where the processor multiplies bf16; elsewhere the kernel reports say that fp32 does. */
  ANET_PRECISION_BF16 = 3
};

/** How gradients become updates. */
typedef int32_t anet_optimizer;
enum { ANET_OPTIMIZER_ADAMW = 0, ANET_OPTIMIZER_SGD = 1 };

/** Learning rate after the warm-up; r is learning_rate, m is min_learning_rate, p the share of
 * the steps after the warm-up that are done. */
typedef int32_t anet_schedule;
enum {
  ANET_SCHEDULE_CONSTANT = 0, /**< r */
  ANET_SCHEDULE_LINEAR = 1,   /**< r + (m - r) p */
  ANET_SCHEDULE_COSINE = 2,   /**< m + (r - m) (1 + cos(pi p)) / 2 */
  ANET_SCHEDULE_WSD = 3       /**< r, then linear to m over the last decay_steps */
};

/** How a session trains. */
typedef struct anet_session_options {
  uint32_t struct_size;
  anet_precision precision;

  int32_t batch_size;      /**< sequences in one micro-batch; 0: 1 */
  int32_t sequence_length; /**< tokens in one sequence; 0: the model's context_length */
  /** Micro-batches that anet_session_fit accumulates for one optimizer step; 0: 1. */
  int32_t accumulation_steps;
  /** 1: keep only each layer's input and compute its activations again in the backward pass. */
  int32_t activation_checkpointing;
  /** Positions whose logits are in memory at once; 0: 256 or what 32 MB hold, on ane 256 MB. */
  int32_t loss_chunk;

  anet_optimizer optimizer;
  double learning_rate; /**< 0: 3e-4 */
  double beta1;         /**< AdamW; 0: 0.9 */
  double beta2;         /**< AdamW; 0: 0.999 */
  double epsilon;       /**< AdamW; 0: 1e-8 */
  double momentum;      /**< SGD; 0: none */
  double weight_decay;  /**< decoupled, on matrices and embeddings only; 0: none */
  double clip_norm;     /**< of the whole gradient, after accumulation; 0: no clipping */

  anet_schedule schedule;
  int32_t reserved;
  int64_t warmup_steps; /**< linear from learning_rate / warmup_steps */
  int64_t total_steps;  /**< required by every schedule but the constant one */
  int64_t decay_steps;  /**< WSD; 0: a fifth of total_steps */
  double min_learning_rate;

  /** F16; of the summed loss; 0: 65536 / (batch_size * sequence_length), down to a power of 2. */
  double initial_loss_scale;
  int64_t loss_scale_growth_steps; /**< F16: doubles after so many good steps; 0: 2000 */

  uint64_t seed; /**< of everything random in training; kept in checkpoints */
  /** Bytes that the plan of anet_session_plan_memory may reach; 0: no limit. */
  uint64_t max_memory;

  /** 1: attention is confined to documents, which begin where a batch's positions are 0. Costs a
   * mask of sequence_length^2 for each sequence. */
  int32_t documents;
  /** Batches may come in 1, 2, 4, ... up to 2^length_buckets parts a row, each a sequence of its
   * own; at most 6. Attention then costs the square of a part's length. */
  int32_t length_buckets;
  /** Patterns of the parameters that are trained, separated by commas, as in
   * anet_quantize_override: "layers.11.*,norm.weight". NULL: all; a session of a compressed model
   * then only evaluates. Gradients and optimizer state are kept for these alone. Not for sessions
   * that train an adapter. */
  const char *trainable;
  /** Of what the optimizer remembers of each trained parameter (AdamW: two numbers, SGD with
   * momentum: one): F32, or BF16 in half the memory, rounded up or down by chance, so that averages
   * stay right; the chance is a function of seed, update and place. Also the type in checkpoints;
   * one of the other type resumes with its numbers converted. DEFAULT: F32. */
  anet_precision optimizer_precision;
  int32_t reserved2;
} anet_session_options;

/**
 * Reads a JSON object whose keys are the fields of anet_session_options, enumerations by name
 * ("f16", "sgd", "cosine"), activation_checkpointing as true or false. Fields without a key keep
 * their value in `options`. "trainable" is no key: nobody would own its text.
 * @return as anet_model_config_from_json.
 */
ANET_API anet_status anet_session_options_from_json(const char *json, anet_session_options *options,
                                                    anet_error **error) ANET_CHECK;

/** Bytes by purpose. */
typedef struct anet_memory_plan {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t weights;     /**< fp32 master weights */
  uint64_t gradients;   /**< fp32 */
  uint64_t optimizer;   /**< moments */
  uint64_t staged;      /**< weights as the device's programs want them, when not in place */
  uint64_t activations; /**< kept from the forward to the backward pass */
  uint64_t workspace;   /**< scratch of the kernels and buffers between them */
  uint64_t total;
} anet_memory_plan;

/** The memory that a session would use; allocates none of it.
 * @return as anet_session_create, but never ANET_E_MEMORY_LIMIT. */
ANET_API anet_status anet_session_plan_memory(anet_device *device, const anet_model_config *config,
                                              const anet_session_options *options,
                                              anet_memory_plan *plan,
                                              anet_error **error) ANET_CHECK;

/**
 * Creates a session that trains `model` in place.
 * @param options nullable.
 * @return ANET_E_UNSUPPORTED_OPTION (also for a precision but F16 on "ane") or
 *         ANET_E_INVALID_ARGUMENT naming the field, ANET_E_UNSUPPORTED when `trainable`
 *         names compressed matrices, ANET_E_MEMORY_LIMIT with the plan's numbers,
 *         ANET_E_COMPILE_BUDGET, ANET_E_BUSY while another session trains the model.
 */
ANET_API anet_status anet_session_create(anet_device *device, anet_model *model,
                                         const anet_session_options *options,
                                         anet_session **session, anet_error **error) ANET_CHECK;

/**
 * Creates a session that trains an adapter in place; its model is frozen and may be compressed.
 * Gradients and optimizer state have the adapter's size alone, and anet_session_get_weights,
 * gradients and checkpoints are the adapter's.
 * @return as anet_session_create.
 */
ANET_API anet_status anet_session_create_adapter(anet_device *device, anet_adapter *adapter,
                                                 const anet_session_options *options,
                                                 anet_session **session,
                                                 anet_error **error) ANET_CHECK;
/** The memory that anet_session_create_adapter would use; allocates none of it. `weights` are those
 * of the frozen model and of the adapter. */
ANET_API anet_status anet_session_plan_adapter_memory(anet_device *device,
                                                      const anet_adapter *adapter,
                                                      const anet_session_options *options,
                                                      anet_memory_plan *plan,
                                                      anet_error **error) ANET_CHECK;
/** The adapter that the session trains; a new reference.
 * @return ANET_E_INVALID_STATE for a session that trains a model. */
ANET_API anet_status anet_session_get_adapter(const anet_session *session, anet_adapter **adapter,
                                              anet_error **error) ANET_CHECK;
/**
 * Goes on with another adapter of the same model, ranks and modules: between steps, compiling
 * nothing. The optimizer's moments of each adapter are kept until the session ends. After a failure
 * the session goes on with the adapter that it had.
 * @return ANET_E_INVALID_ARGUMENT for an adapter of another model, ANET_E_SHAPE_MISMATCH naming the
 *         module, ANET_E_INVALID_STATE between forward_backward and optimizer_step or for a session
 *         that trains a model, ANET_E_BUSY while another session trains the adapter.
 */
ANET_API anet_status anet_session_swap_adapter(anet_session *session, anet_adapter *adapter,
                                               anet_error **error) ANET_CHECK;

/** One micro-batch: batch_size sequences of sequence_length tokens, row-major. */
typedef struct anet_batch {
  uint32_t struct_size;
  int32_t sequence_count;  /**< must be the session's batch_size */
  int32_t sequence_length; /**< must be the session's sequence_length */
  uint32_t reserved;
  const int32_t *tokens;
  const int32_t *targets; /**< the id that each position must predict; -1: not counted */
  /** Each token's place in its document: 0, or one more than its neighbour's. Zeros inside a row
   * need anet_session_options.documents, or parts that begin there. NULL: 0, 1, 2, ... in each
   * part. */
  const int32_t *positions;
  int32_t parts; /**< sequences side by side in each row; 0: 1 */
  int32_t reserved2;
} anet_batch;

/** What a step did, and what it took. */
typedef struct anet_step_result {
  uint32_t struct_size;
  int32_t skipped;      /**< 1: gradients overflowed in F16, the update was skipped */
  int64_t step;         /**< optimizer steps done, this one included */
  double loss;          /**< mean over the counted tokens, in nats */
  uint64_t tokens;      /**< counted */
  double grad_norm;     /**< of the mean gradient, before clipping; 0 without an update */
  double learning_rate; /**< of this update */
  double loss_scale;    /**< of this update; 1 but in F16 */
  /* Seconds by phase. */
  double seconds;
  double forward_seconds;
  double backward_seconds;
  double loss_seconds;      /**< head and cross-entropy, both directions */
  double optimizer_seconds; /**< norm, clip, update; on "ane" without what goes on beside the
                               next step, whose staging_seconds have what it waits for that */
  double staging_seconds;   /**< batch in, waiting for weights in the session's precision */
  uint64_t bytes_staged;
  /* Where the work ran: counted, not estimated. */
  uint64_t engine_evaluations; /**< programs evaluated by the engine */
  double engine_seconds;       /**< waiting for the engine */
  double host_seconds;         /**< computing on the CPU, in the background too */
  double copy_seconds;         /**< moving and converting between buffers and engine ports */
  uint64_t engine_flops;       /**< of matmul and conv; a multiply-add counts two */
  uint64_t host_flops;
  uint64_t engine_bytes_in; /**< read by the engine through its ports */
  uint64_t engine_bytes_out;
  uint64_t retries;     /**< evaluations repeated after a failure */
  uint64_t fallbacks;   /**< parts of runs that the CPU did because the engine failed */
  uint64_t audits;      /**< engine results compared with the CPU's */
  double audit_error;   /**< the largest so far, relative to the tensor's largest value; else 0 */
  uint64_t tokens_seen; /**< counted tokens of all updates, those before a resume included */
} anet_step_result;

/**
 * Forward, backward and update over `batch_count` micro-batches whose gradients are averaged over
 * all their counted tokens.
 * @param batches `batch_count` of them, all of the same struct_size.
 * @param result nullable.
 * @return ANET_E_SHAPE_MISMATCH, ANET_E_OUT_OF_RANGE naming the position of a bad id,
 *         ANET_E_INVALID_DATA when no token is counted, ANET_E_NUMERIC when the loss is not finite
 *         (F32) or an audit fails, ANET_E_DEVICE when the device fails, ANET_E_CANCELLED,
 *         ANET_E_INVALID_STATE after an unfinished anet_session_forward_backward.
 */
ANET_API anet_status anet_session_step(anet_session *session, const anet_batch *batches,
                                       size_t batch_count, anet_step_result *result,
                                       anet_error **error) ANET_CHECK;
/** Adds the gradient of one micro-batch to the accumulated one. Errors as anet_session_step;
 * a failure discards everything accumulated. */
ANET_API anet_status anet_session_forward_backward(anet_session *session, const anet_batch *batch,
                                                   anet_step_result *result,
                                                   anet_error **error) ANET_CHECK;
/** Updates the weights from the accumulated gradient and clears it.
 * @return ANET_E_INVALID_STATE when nothing was accumulated, ANET_E_NUMERIC when the gradient is
 *         not finite (F32; the gradient is discarded). */
ANET_API anet_status anet_session_optimizer_step(anet_session *session, anet_step_result *result,
                                                 anet_error **error) ANET_CHECK;
/** Discards the accumulated gradient. */
ANET_API anet_status anet_session_zero_gradients(anet_session *session,
                                                 anet_error **error) ANET_CHECK;

/** The loss without an update. */
typedef struct anet_eval_result {
  uint32_t struct_size;
  uint32_t reserved;
  double loss; /**< mean over the counted tokens, in nats; exp(loss) is the perplexity */
  uint64_t tokens;
  double seconds;
} anet_eval_result;

/** The loss of one micro-batch; changes nothing. Errors as anet_session_step. */
ANET_API anet_status anet_session_eval(anet_session *session, const anet_batch *batch,
                                       anet_eval_result *result, anet_error **error) ANET_CHECK;
/** The loss over the first `max_windows` rows of a dataset, in its order (0: all of one epoch).
 * A last partial micro-batch counts like the others. Errors as anet_session_step. */
ANET_API anet_status anet_session_evaluate(anet_session *session, const anet_dataset *dataset,
                                           uint64_t max_windows, anet_eval_result *result,
                                           anet_error **error) ANET_CHECK;

/** What one document costs; see anet_session_score. */
typedef struct anet_document_loss {
  uint64_t row;      /**< of the dataset's order without shuffling */
  uint32_t document; /**< in the row, from 0 on */
  uint32_t begin;    /**< its first column in the row */
  double loss_sum;   /**< nats */
  uint64_t tokens;   /**< counted */
} anet_document_loss;

/** The losses of single documents: of the first `max_rows` rows of a dataset (0: all), in their
 * order, those without a counted token left out.
 * @param losses nullable when `capacity` is 0: asks for the count alone, which takes as long.
 * @param count receives the number of documents, also when they do not fit.
 * @return as anet_session_evaluate; ANET_E_OUT_OF_RANGE when `capacity` is less than the count. */
ANET_API anet_status anet_session_score(anet_session *session, const anet_dataset *dataset,
                                        uint64_t max_rows, anet_document_loss *losses,
                                        size_t capacity, size_t *count,
                                        anet_error **error) ANET_CHECK;

/** The first fields of anet_step_result. They stay these, so that anet_fit_event keeps its layout
 * when anet_step_result grows. */
typedef struct anet_step_summary {
  uint32_t struct_size;
  int32_t skipped;
  int64_t step;
  double loss;
  uint64_t tokens;
  double grad_norm;
  double learning_rate;
  double loss_scale;
  double seconds;
  double forward_seconds;
  double backward_seconds;
  double loss_seconds;
  double optimizer_seconds;
  double staging_seconds;
  uint64_t bytes_staged;
} anet_step_summary;

/** What anet_session_fit reports. */
typedef struct anet_fit_event {
  uint32_t struct_size;
  /** ANET_EVENT_*. */
  int32_t kind;
  anet_step_summary step;         /**< of the latest step, on every event */
  anet_eval_result eval;          /**< ANET_EVENT_EVAL */
  const char *checkpoint;         /**< ANET_EVENT_SAVE: its path; borrowed for the call */
  const anet_step_result *result; /**< of the latest step, all of it; borrowed for the call */
  int32_t improved;               /**< ANET_EVENT_EVAL: 1 for the best of the run so far */
  uint32_t reserved;
} anet_fit_event;
enum {
  ANET_EVENT_STEP = 1,
  ANET_EVENT_EVAL = 2,
  ANET_EVENT_SAVE = 3,
  ANET_EVENT_SAMPLE = 4 /**< the moment to generate */
};

/** Called on the thread of anet_session_fit, between steps: it may evaluate, save, read weights
 * and generate, but not step. Return 0 to go on, a positive number to stop, a negative one to fail
 * with ANET_E_CALLBACK. */
typedef int32_t (*anet_fit_callback)(const anet_fit_event *event, void *user_data);

/** How anet_session_fit runs. */
typedef struct anet_fit_options {
  uint32_t struct_size;
  uint32_t reserved;
  /** Required: updates to make in this call. Steps that F16 skips are reported, and made up for. */
  int64_t steps;
  /** Evaluates after each step whose number is a multiple of this; 0: never. */
  int64_t eval_every;
  uint64_t eval_windows; /**< 0: the whole validation set */
  /** Saves after each step whose number is a multiple of this; 0: never. */
  int64_t save_every;
  const char *checkpoint_root; /**< required when save_every is set */
  int32_t keep_last;           /**< checkpoints kept besides the best; 0: all */
  uint32_t reserved2;
  anet_fit_callback callback; /**< nullable */
  void *user_data;
  /** Stops after so many evaluations in a row that did not improve on the best by more than
   * min_delta; 0: never. A resumed run goes on counting. */
  int64_t patience;
  double min_delta;
  int64_t
      sample_every; /**< ANET_EVENT_SAMPLE after each step whose number is a multiple; 0: never */
  int32_t eval_at_end; /**< 1: evaluates after the last step too */
  int32_t reserved3;
} anet_fit_options;

/** Why anet_session_fit ended. */
typedef int32_t anet_fit_end;
enum {
  ANET_FIT_STEPS = 1,         /**< all steps were made */
  ANET_FIT_CALLBACK = 2,      /**< the callback stopped it */
  ANET_FIT_NO_IMPROVEMENT = 3 /**< anet_fit_options.patience */
};

/** How anet_session_fit ended. */
typedef struct anet_fit_result {
  uint32_t struct_size;
  anet_fit_end end;
  anet_step_summary step; /**< the last one */
  anet_eval_result eval;  /**< the last one; tokens 0: none */
  double best_loss;       /**< of the run's evaluations */
  int64_t best_step;      /**< the step before it */
  int32_t has_best;       /**< 0: the run had no evaluation */
  uint32_t reserved;
} anet_fit_result;

/**
 * Trains on rows of a dataset, from the session's data cursor on.
 * @param validation nullable unless eval_every or eval_at_end is set.
 * @param result nullable.
 * @return as anet_session_step and anet_session_save, whose ANET_E_INVALID_ARGUMENT comes before
 * the first step, ANET_E_CALLBACK; ANET_E_INVALID_DATA when the session was resumed and `train` is
 * not what its checkpoint was trained on, unless anet_session_set_cursor says where to begin. Steps
 * before a failure stand.
 */
ANET_API anet_status anet_session_fit(anet_session *session, const anet_dataset *train,
                                      const anet_dataset *validation,
                                      const anet_fit_options *options, anet_fit_result *result,
                                      anet_error **error) ANET_CHECK;

/** Makes the running step, evaluation or fit return ANET_E_CANCELLED at its next kernel; without
 * one it does nothing. One atomic store: any thread, also in a signal handler. */
ANET_API void anet_session_cancel(anet_session *session);

/** The options that the session has, defaults filled in. */
ANET_API anet_status anet_session_get_options(const anet_session *session,
                                              anet_session_options *options,
                                              anet_error **error) ANET_CHECK;
/** The memory that the session uses, as planned. */
ANET_API anet_status anet_session_get_memory_plan(const anet_session *session,
                                                  anet_memory_plan *plan,
                                                  anet_error **error) ANET_CHECK;
/** One of a session's compiled programs, and what it has done since the session began. */
typedef struct anet_kernel_report {
  uint32_t struct_size;
  uint32_t reserved;
  const char *label; /**< "block_forward"; borrowed for ever */
  /** "cpu", "ane" or "ane+cpu"; borrowed, as the reason, until the next call for this index. */
  const char *where;
  const char *reason; /**< why the CPU has its part, or runs bf16 products in fp32, else "" */
  uint64_t runs;
  uint64_t engine_evaluations; /**< programs evaluated by the engine */
  double engine_seconds;       /**< waiting for the engine */
  double host_seconds;         /**< computing on the CPU, in the background too */
  double copy_seconds;         /**< moving and converting between buffers and engine ports */
  uint64_t engine_flops;       /**< of matmul and conv; a multiply-add counts two */
  uint64_t host_flops;
  uint64_t engine_bytes_in; /**< read by the engine through its ports */
  uint64_t engine_bytes_out;
  uint64_t retries;   /**< evaluations repeated after a failure */
  uint64_t fallbacks; /**< parts of runs that the CPU did because the engine failed */
  uint64_t audits;    /**< engine results compared with the CPU's */
  double audit_error; /**< the largest seen, relative to the tensor's largest value */
} anet_kernel_report;

/** The number of a session's kernels: embedding, block and head, both directions. 0 for NULL. */
ANET_API size_t anet_session_kernel_count(const anet_session *session);
/** @return ANET_E_OUT_OF_RANGE for an index past the count. */
ANET_API anet_status anet_session_get_kernel_report(const anet_session *session, size_t index,
                                                    anet_kernel_report *report,
                                                    anet_error **error) ANET_CHECK;
/** Optimizer steps done. */
ANET_API anet_status anet_session_get_step(const anet_session *session, int64_t *step,
                                           anet_error **error) ANET_CHECK;
/** The next row that anet_session_fit reads; checkpoints keep it. */
ANET_API anet_status anet_session_get_cursor(const anet_session *session, uint64_t *cursor,
                                             anet_error **error) ANET_CHECK;
/** Where anet_session_fit goes on. */
ANET_API anet_status anet_session_set_cursor(anet_session *session, uint64_t cursor,
                                             anet_error **error) ANET_CHECK;
/** Replaces the options' learning_rate from the next step on; the schedule goes on. */
ANET_API anet_status anet_session_set_learning_rate(anet_session *session, double learning_rate,
                                                    anet_error **error) ANET_CHECK;

/**
 * The weights, or the accumulated gradients, in place, as one flat array laid out as
 * anet_parameter tells (padding is zero and must stay so); those of the adapter when the session
 * trains one. With anet_session_options.trainable the gradients are those of the trained parameters
 * alone, in their order, each padded as among the weights. Between anet_session_forward_backward
 * and anet_session_optimizer_step an all-reduce can sit here. Gradients are sums over counted
 * tokens times the loss scale, so ranks add theirs; see anet_session_set_tokens. Borrowed from
 * the session; do not touch while a call runs. On "ane" a session that has lent either ends its
 * updates before its steps return, which is slower.
 */
ANET_API anet_status anet_session_get_weights(anet_session *session, float **values, size_t *count,
                                              anet_error **error) ANET_CHECK;
/** The accumulated gradients; see anet_session_get_weights. */
ANET_API anet_status anet_session_get_gradients(anet_session *session, float **values,
                                                size_t *count, anet_error **error) ANET_CHECK;
/** Counted tokens behind the accumulated gradient: the divisor of the next update. After adding
 * other ranks' gradients, set it to the sum of their tokens. */
ANET_API anet_status anet_session_get_tokens(const anet_session *session, uint64_t *tokens,
                                             anet_error **error) ANET_CHECK;
/** See anet_session_get_tokens. */
ANET_API anet_status anet_session_set_tokens(anet_session *session, uint64_t tokens,
                                             anet_error **error) ANET_CHECK;
/** Call after writing into anet_session_get_weights, so that F16 and BF16 copies are renewed, those
 * of generators too. */
ANET_API anet_status anet_session_weights_changed(anet_session *session,
                                                  anet_error **error) ANET_CHECK;

/** Stores a string in the session's checkpoints ("epoch" = "3"); NULL value: removes it. */
ANET_API anet_status anet_session_set_property(anet_session *session, const char *key,
                                               const char *value, anet_error **error) ANET_CHECK;
/** Borrowed until the property changes or the session ends. @return ANET_E_NOT_FOUND. */
ANET_API anet_status anet_session_get_property(const anet_session *session, const char *key,
                                               const char **value, anet_error **error) ANET_CHECK;
/** One reference more. Any thread. */
ANET_API void anet_session_retain(anet_session *session);
/** One reference less. Any thread. */
ANET_API void anet_session_release(anet_session *session);

/* ---------------------------------------------------------------------------------------------
 * Checkpoints: a folder of safetensors and state.json, written atomically, checksummed
 * ------------------------------------------------------------------------------------------- */

/** How a checkpoint is saved. */
typedef struct anet_save_options {
  uint32_t struct_size;
  int32_t keep_last; /**< checkpoints kept under the root besides the best; 0: all */
  /** 1: `validation_loss` is this checkpoint's; the lowest so far is marked as the best. */
  int32_t has_validation_loss;
  uint32_t reserved;
  double validation_loss;
} anet_save_options;

/**
 * Saves everything that resuming needs as `<root>/step-<8 digits>`: weights, optimizer, step,
 * schedule, loss scale, seed, data cursor, options, properties. Of a session that trains an
 * adapter, the adapter and the fingerprint of its model. A crash at any moment leaves either the
 * complete checkpoint or none.
 * @param options nullable.
 * @return ANET_E_INVALID_ARGUMENT when the root has a loadable checkpoint of a later step: that of
 *         another run, which would be taken for this one's latest. ANET_E_INVALID_STATE between
 *         forward_backward and optimizer_step, ANET_E_IO, ANET_E_DISK_FULL, ANET_E_PERMISSION;
 *         the checkpoints that were there are intact then.
 */
ANET_API anet_status anet_session_save(anet_session *session, const char *root,
                                       const anet_save_options *options,
                                       anet_error **error) ANET_CHECK;
/**
 * Continues from a checkpoint: training goes on bit for bit as if it had never stopped (F32, same
 * thread count).
 * @param path a checkpoint, or a root: then its latest loadable checkpoint.
 * @param options nullable: those of the checkpoint. Else they replace them; fields that change
 *        the optimizer's state (optimizer, momentum to or from 0) must agree.
 * @return as anet_model_load and anet_session_create.
 */
ANET_API anet_status anet_session_resume(anet_device *device, const char *path,
                                         const anet_session_options *options,
                                         anet_session **session, anet_error **error) ANET_CHECK;
/**
 * anet_session_resume for a checkpoint of a session that trained an adapter.
 * @param model the one that was adapted.
 * @return also ANET_E_INVALID_CHECKPOINT for a checkpoint without an adapter,
 * ANET_E_INVALID_ARGUMENT for another model than the one that was adapted.
 */
ANET_API anet_status anet_session_resume_adapter(anet_device *device, anet_model *model,
                                                 const char *path,
                                                 const anet_session_options *options,
                                                 anet_session **session,
                                                 anet_error **error) ANET_CHECK;
/** The model that the session trains, or whose adapter it trains; a new reference. */
ANET_API anet_status anet_session_get_model(const anet_session *session, anet_model **model,
                                            anet_error **error) ANET_CHECK;

/** Which checkpoint under a root. */
typedef int32_t anet_checkpoint_choice;
enum { ANET_CHECKPOINT_LATEST = 0, ANET_CHECKPOINT_BEST = 1 };

/**
 * Finds a checkpoint under a root; damaged ones are passed over.
 * @param path receives the null-terminated path; nullable when `capacity` is 0: asks for the
 *        length alone, which is no failure.
 * @param length receives its length without the terminator, also when it does not fit.
 * @return ANET_E_NOT_FOUND saying why each candidate was passed over, ANET_E_OUT_OF_RANGE when
 *         `capacity` is too small.
 */
ANET_API anet_status anet_checkpoint_find(const char *root, anet_checkpoint_choice choice,
                                          char *path, size_t capacity, size_t *length,
                                          anet_error **error) ANET_CHECK;
/** The state.json of a checkpoint after every file's checksum was verified; sizes as above. */
ANET_API anet_status anet_checkpoint_inspect(const char *path, char *json, size_t capacity,
                                             size_t *length, anet_error **error) ANET_CHECK;

/* ---------------------------------------------------------------------------------------------
 * Generation
 * ------------------------------------------------------------------------------------------- */

/** Writes text with a model, and with adapters that can be exchanged at any token. Sees the weights
 * as they are at each call. One thread at a time, except anet_generator_cancel (any thread). */
typedef struct anet_generator anet_generator;

/** How a generator is made. */
typedef struct anet_generator_options {
  uint32_t struct_size;
  int32_t context_length; /**< tokens in the KV cache; 0: the model's */
  anet_precision precision;
  int32_t batch_size; /**< prompts that anet_generator_generate_batch decodes at once; 0: 1 */
  /** Ranks of adapters, added up, that each adapted matrix has room for; 0: what the first ones
   * that are attached need. Programs are compiled again only for more. */
  int32_t adapter_rank;
  uint32_t reserved;
} anet_generator_options;

/** How the next token is chosen, and when to stop. */
typedef struct anet_sampling_options {
  uint32_t struct_size;
  int32_t max_tokens;  /**< 0: until the context is full */
  double temperature;  /**< 0: greedy */
  double top_p;        /**< 0: off; else at most 1 */
  int32_t top_k;       /**< 0: off */
  uint32_t stop_count; /**< generation ends before any of these ids */
  const int32_t *stop_ids;
  uint64_t seed;
  /** Divides the positive logits of ids that the text has, and multiplies the negative ones; 0:
   * off; else at least 1 (Keskar et al. 2019). */
  double repetition_penalty;
  double min_p; /**< least probability relative to the likeliest token; 0: off; else at most 1 */
} anet_sampling_options;

/** `text` holds whole UTF-8 characters only and may be empty while one is incomplete; it is not
 * null-terminated and borrowed for the call. A character that is still incomplete when the
 * generation ends is left out. A non-zero return stops the generation. */
typedef int32_t (*anet_token_callback)(int32_t id, const char *text, size_t length,
                                       void *user_data);

/** Why a generation ended. */
typedef int32_t anet_finish_reason;
enum {
  ANET_FINISH_LENGTH = 1,  /**< max_tokens */
  ANET_FINISH_STOP = 2,    /**< a stop id */
  ANET_FINISH_CONTEXT = 3, /**< the KV cache is full */
  ANET_FINISH_CALLBACK = 4
};

/** How a generation ended, and what it took. */
typedef struct anet_generation_result {
  uint32_t struct_size;
  anet_finish_reason finish_reason;
  uint64_t prompt_tokens;
  uint64_t generated_tokens;
  double prefill_seconds;
  double decode_seconds;
} anet_generation_result;

/** @param tokenizer nullable: then callbacks get no text. @param options nullable. */
ANET_API anet_status anet_generator_create(anet_device *device, anet_model *model,
                                           const anet_tokenizer *tokenizer,
                                           const anet_generator_options *options,
                                           anet_generator **generator,
                                           anet_error **error) ANET_CHECK;
/**
 * Attaches adapters in place of those that were attached. Compiles nothing when they adapt no other
 * matrices and no larger rank than any before. Allowed in a token callback: it then holds from the
 * next token on, while what the cache has of the text stays as it is.
 * @param adapters as of anet_model_merge, or of another model of the same configuration, as its
 *        compressed copy; nullable when `count` is 0: detaches all. DoRA can stand beside others
 * that adapt other matrices.
 * @return as anet_model_merge; ANET_E_BUSY in a callback when programs would have to be compiled,
 *         ANET_E_COMPILE_BUDGET. The adapters are as before then.
 */
ANET_API anet_status anet_generator_set_adapters(anet_generator *generator,
                                                 const anet_weighted_adapter *adapters,
                                                 size_t count, anet_error **error) ANET_CHECK;
/**
 * Continues a prompt.
 * @param options,callback,result nullable.
 * @param ids,capacity receive the generated ids; nullable. What exceeds `capacity` is only passed
 *        to the callback.
 * @return ANET_E_INVALID_DATA for an empty prompt or one that is longer than the context, saying
 *         how long it may be; ANET_E_OUT_OF_RANGE for a bad id or option, ANET_E_NUMERIC when the
 *         logits are not finite, ANET_E_CANCELLED.
 */
ANET_API anet_status anet_generator_generate(
    anet_generator *generator, const int32_t *prompt, size_t prompt_count,
    const anet_sampling_options *options, anet_token_callback callback, void *user_data,
    int32_t *ids, size_t capacity, anet_generation_result *result, anet_error **error) ANET_CHECK;
/** A prompt of a batch. */
typedef struct anet_prompt {
  const int32_t *ids;
  size_t count;
  uint64_t seed; /**< instead of anet_sampling_options.seed */
} anet_prompt;

/** As anet_token_callback, for the prompt with this index. A non-zero return stops this prompt's
 * text. */
typedef int32_t (*anet_batch_token_callback)(size_t index, int32_t id, const char *text,
                                             size_t length, void *user_data);

/**
 * Continues several prompts, anet_generator_options.batch_size of them at a time, which is faster
 * than one after another. Each gets the text that it would get alone, up to the rounding of sums.
 * @param results nullable; one a prompt.
 * @return as anet_generator_generate, naming the prompt; ANET_E_CALLBACK never.
 */
ANET_API anet_status anet_generator_generate_batch(anet_generator *generator,
                                                   const anet_prompt *prompts, size_t prompt_count,
                                                   const anet_sampling_options *options,
                                                   anet_batch_token_callback callback,
                                                   void *user_data, anet_generation_result *results,
                                                   anet_error **error) ANET_CHECK;
/** The logits that follow a prompt: vocab_size values for the next token.
 * @return as anet_generator_generate; ANET_E_SHAPE_MISMATCH unless `count` is vocab_size. */
ANET_API anet_status anet_generator_logits(anet_generator *generator, const int32_t *prompt,
                                           size_t prompt_count, float *logits, size_t count,
                                           anet_error **error) ANET_CHECK;
/** Makes the running generation return ANET_E_CANCELLED at its next kernel; without one it does
 * nothing. One atomic store: any thread, also in a signal handler. */
ANET_API void anet_generator_cancel(anet_generator *generator);
/** One reference more. Any thread. */
ANET_API void anet_generator_retain(anet_generator *generator);
/** One reference less. Any thread. */
ANET_API void anet_generator_release(anet_generator *generator);

#ifdef __cplusplus
}
#endif

#endif /* ANE_TRAIN_H */
