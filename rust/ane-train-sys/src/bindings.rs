// Written by rust/generate_bindings.py from include/ane_train.h and include/ane_train_apple.h.
// `make rust-bindings` renews it.

use std::marker::{PhantomData, PhantomPinned};
use std::os::raw::{c_char, c_void};

pub const ANET_VERSION_MAJOR: i32 = 0;
pub const ANET_VERSION_MINOR: i32 = 1;
pub const ANET_VERSION_PATCH: i32 = 0;
pub const ANET_VERSION_NUMBER: i32 = 100;
pub const ANET_ABI_VERSION: i32 = 0;

pub type anet_status = i32;

pub const ANET_OK: i32 = 0;
pub const ANET_E_INVALID_ARGUMENT: i32 = 1;
pub const ANET_E_INVALID_HANDLE: i32 = 2;
pub const ANET_E_INVALID_STRUCT_SIZE: i32 = 3;
pub const ANET_E_UNSUPPORTED_OPTION: i32 = 4;
pub const ANET_E_SHAPE_MISMATCH: i32 = 5;
pub const ANET_E_TYPE_MISMATCH: i32 = 6;
pub const ANET_E_OUT_OF_RANGE: i32 = 7;
pub const ANET_E_NOT_FOUND: i32 = 8;
pub const ANET_E_INVALID_STATE: i32 = 9;
pub const ANET_E_UNAVAILABLE: i32 = 20;
pub const ANET_E_UNSUPPORTED: i32 = 21;
pub const ANET_E_PERMISSION: i32 = 22;
pub const ANET_E_IO: i32 = 23;
pub const ANET_E_DISK_FULL: i32 = 24;
pub const ANET_E_FILE_NOT_FOUND: i32 = 25;
pub const ANET_E_DEVICE: i32 = 26;
pub const ANET_E_OUT_OF_MEMORY: i32 = 40;
pub const ANET_E_MEMORY_LIMIT: i32 = 41;
pub const ANET_E_COMPILE_BUDGET: i32 = 42;
pub const ANET_E_INVALID_PROGRAM: i32 = 60;
pub const ANET_E_INVALID_BLOB: i32 = 61;
pub const ANET_E_INVALID_CONFIG: i32 = 62;
pub const ANET_E_INVALID_CHECKPOINT: i32 = 63;
pub const ANET_E_INVALID_DATA: i32 = 64;
pub const ANET_E_CHECKSUM: i32 = 65;
pub const ANET_E_VERSION: i32 = 66;
pub const ANET_E_NUMERIC: i32 = 67;
pub const ANET_E_CANCELLED: i32 = 80;
pub const ANET_E_BUSY: i32 = 81;
pub const ANET_E_CALLBACK: i32 = 82;
pub const ANET_E_INTERNAL: i32 = 90;

#[repr(C)]
pub struct anet_error {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
pub struct anet_device {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

pub type anet_log_level = i32;

pub const ANET_LOG_OFF: i32 = 0;
pub const ANET_LOG_ERROR: i32 = 1;
pub const ANET_LOG_WARNING: i32 = 2;
pub const ANET_LOG_INFO: i32 = 3;
pub const ANET_LOG_DEBUG: i32 = 4;

pub type anet_log_callback = Option<
    unsafe extern "C" fn(level: anet_log_level, message: *const c_char, user_data: *mut c_void),
>;

pub type anet_release_callback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

pub type anet_placement = i32;

pub const ANET_PLACEMENT_MEASURED: i32 = 0;
pub const ANET_PLACEMENT_ENGINE: i32 = 1;
pub const ANET_PLACEMENT_HOST: i32 = 2;

pub type anet_audit_action = i32;

pub const ANET_AUDIT_FALLBACK: i32 = 0;
pub const ANET_AUDIT_ERROR: i32 = 1;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_ane_options {
    pub struct_size: u32,
    pub compile_budget: i32,
    pub framework_path: *const c_char,
    pub cache_directory: *const c_char,
    pub qos: i32,
    pub forward: anet_placement,
    pub loss: anet_placement,
    pub input_gradients: anet_placement,
    pub weight_gradients: anet_placement,
    pub programs: anet_placement,
    pub audit_every: i32,
    pub audit_action: anet_audit_action,
    pub audit_tolerance: f64,
    pub audit_kernels: *const c_char,
}
sized!(anet_ane_options);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_device_options {
    pub struct_size: u32,
    pub threads: u32,
    pub log_level: anet_log_level,
    pub reserved: u32,
    pub log: anet_log_callback,
    pub log_user_data: *mut c_void,
    pub ane: *const anet_ane_options,
    pub log_release: anet_release_callback,
}
sized!(anet_device_options);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_device_info {
    pub struct_size: u32,
    pub threads: u32,
    pub name: *const c_char,
    pub description: *const c_char,
    pub buffer_alignment: usize,
    pub has_f32: i32,
    pub reserved: u32,
}
sized!(anet_device_info);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_device_listing {
    pub struct_size: u32,
    pub available: i32,
    pub name: *const c_char,
    pub description: *const c_char,
    pub reason: *const c_char,
}
sized!(anet_device_listing);

pub const ANET_MAX_RANK: i32 = 8;

pub type anet_dtype = i32;

pub const ANET_DTYPE_UNDEFINED: i32 = 0;
pub const ANET_DTYPE_BOOL: i32 = 1;
pub const ANET_DTYPE_INT8: i32 = 2;
pub const ANET_DTYPE_UINT8: i32 = 3;
pub const ANET_DTYPE_INT16: i32 = 4;
pub const ANET_DTYPE_UINT16: i32 = 5;
pub const ANET_DTYPE_INT32: i32 = 6;
pub const ANET_DTYPE_UINT32: i32 = 7;
pub const ANET_DTYPE_INT64: i32 = 8;
pub const ANET_DTYPE_UINT64: i32 = 9;
pub const ANET_DTYPE_FP16: i32 = 10;
pub const ANET_DTYPE_BF16: i32 = 11;
pub const ANET_DTYPE_FP32: i32 = 12;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_tensor_desc {
    pub struct_size: u32,
    pub dtype: anet_dtype,
    pub rank: u32,
    pub reserved: u32,
    pub shape: [i64; ANET_MAX_RANK as usize],
    pub strides: [i64; ANET_MAX_RANK as usize],
}
sized!(anet_tensor_desc);

#[repr(C)]
pub struct anet_buffer {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

pub type anet_map_access = i32;

pub const ANET_MAP_READ: i32 = 1;
pub const ANET_MAP_WRITE: i32 = 2;
pub const ANET_MAP_READ_WRITE: i32 = 3;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_buffer_view {
    pub struct_size: u32,
    pub reserved: u32,
    pub data: *mut c_void,
    pub size_bytes: usize,
    pub desc: anet_tensor_desc,
}
sized!(anet_buffer_view);

#[repr(C)]
pub struct anet_program {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_blob_file {
    pub path: *const c_char,
    pub data: *const c_void,
    pub size_bytes: usize,
}

pub type anet_direction = i32;

pub const ANET_INPUT: i32 = 1;
pub const ANET_OUTPUT: i32 = 2;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_port {
    pub struct_size: u32,
    pub reserved: u32,
    pub name: *const c_char,
    pub desc: anet_tensor_desc,
}
sized!(anet_port);

pub type anet_taps = i32;

pub const ANET_TAPS_AUTOMATIC: i32 = 0;
pub const ANET_TAPS_ALL: i32 = 1;
pub const ANET_TAPS_NONE: i32 = 2;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_differentiate_options {
    pub struct_size: u32,
    pub taps: anet_taps,
    pub inputs: *const *const c_char,
    pub input_count: usize,
    pub outputs: *const *const c_char,
    pub output_count: usize,
}
sized!(anet_differentiate_options);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_program_quantize_options {
    pub struct_size: u32,
    pub reserved: u32,
    pub coverage: f64,
}
sized!(anet_program_quantize_options);

#[repr(C)]
pub struct anet_kernel {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_kernel_statistics {
    pub struct_size: u32,
    pub op_count: u32,
    pub workspace_bytes: u64,
    pub constant_bytes: u64,
    pub flops: u64,
    pub seconds: f64,
    pub runs: u64,
    pub engine_evaluations: u64,
    pub engine_seconds: f64,
    pub host_seconds: f64,
    pub copy_seconds: f64,
    pub engine_flops: u64,
    pub host_flops: u64,
    pub engine_bytes_in: u64,
    pub engine_bytes_out: u64,
    pub retries: u64,
    pub fallbacks: u64,
    pub audits: u64,
    pub audit_error: f64,
}
sized!(anet_kernel_statistics);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_model_config {
    pub struct_size: u32,
    pub vocab_size: i32,
    pub hidden_size: i32,
    pub intermediate_size: i32,
    pub layer_count: i32,
    pub head_count: i32,
    pub kv_head_count: i32,
    pub head_dim: i32,
    pub context_length: i32,
    pub tie_embeddings: i32,
    pub qkv_bias: i32,
    pub qk_norm: i32,
    pub rope_theta: f64,
    pub norm_epsilon: f64,
    pub rope_scaling_factor: f64,
    pub rope_low_frequency_factor: f64,
    pub rope_high_frequency_factor: f64,
    pub rope_original_context_length: i32,
    pub reserved: i32,
}
sized!(anet_model_config);

#[repr(C)]
pub struct anet_model {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

pub type anet_compression = i32;

pub const ANET_COMPRESSION_NONE: i32 = -1;
pub const ANET_COMPRESSION_DEFAULT: i32 = 0;
pub const ANET_COMPRESSION_INT8_CHANNEL: i32 = 1;
pub const ANET_COMPRESSION_INT8_BLOCK: i32 = 2;
pub const ANET_COMPRESSION_INT4_BLOCK: i32 = 3;
pub const ANET_COMPRESSION_PALETTE4: i32 = 4;
pub const ANET_NO_OFFSET: u64 = u64::MAX;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_parameter {
    pub struct_size: u32,
    pub rank: u32,
    pub name: *const c_char,
    pub shape: [i64; ANET_MAX_RANK as usize],
    pub offset: u64,
    pub element_count: u64,
    pub compression: anet_compression,
    pub block_size: i32,
    pub bytes: u64,
}
sized!(anet_parameter);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_progress {
    pub struct_size: u32,
    pub reserved: u32,
    pub what: *const c_char,
    pub done: u64,
    pub total: u64,
}
sized!(anet_progress);

pub type anet_progress_callback =
    Option<unsafe extern "C" fn(progress: *const anet_progress, user_data: *mut c_void) -> i32>;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_quantize_override {
    pub pattern: *const c_char,
    pub compression: anet_compression,
    pub block_size: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_quantize_options {
    pub struct_size: u32,
    pub compression: anet_compression,
    pub block_size: i32,
    pub reserved: u32,
    pub overrides: *const anet_quantize_override,
    pub override_count: usize,
    pub device: *mut anet_device,
    pub progress: anet_progress_callback,
    pub user_data: *mut c_void,
}
sized!(anet_quantize_options);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_model_load_options {
    pub struct_size: u32,
    pub reserved: u32,
    pub progress: anet_progress_callback,
    pub user_data: *mut c_void,
    pub quantize: *const anet_quantize_options,
}
sized!(anet_model_load_options);

pub type anet_export_format = i32;

pub const ANET_EXPORT_HUGGING_FACE: i32 = 0;
pub const ANET_EXPORT_GGUF: i32 = 1;
pub const ANET_EXPORT_LLAMA2C: i32 = 2;

pub type anet_export_type = i32;

pub const ANET_EXPORT_FP32: i32 = 0;
pub const ANET_EXPORT_FP16: i32 = 1;
pub const ANET_EXPORT_BF16: i32 = 2;
pub const ANET_EXPORT_Q8_0: i32 = 3;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_export_options {
    pub struct_size: u32,
    pub format: anet_export_format,
    pub r#type: anet_export_type,
    pub reserved: u32,
    pub companion: *const c_char,
    pub max_shard_bytes: u64,
    pub progress: anet_progress_callback,
    pub user_data: *mut c_void,
}
sized!(anet_export_options);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_model_info {
    pub struct_size: u32,
    pub warning_count: u32,
    pub format: *const c_char,
    pub tokenizer_path: *const c_char,
    pub stop_ids: *const i32,
    pub stop_count: usize,
    pub warnings: *const *const c_char,
}
sized!(anet_model_info);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_tensor_report {
    pub struct_size: u32,
    pub compression: anet_compression,
    pub name: *const c_char,
    pub block_size: i32,
    pub has_error: i32,
    pub bytes_before: u64,
    pub bytes_after: u64,
    pub worst: f64,
    pub rms: f64,
    pub relative_rms: f64,
}
sized!(anet_tensor_report);

#[repr(C)]
pub struct anet_adapter {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_adapter_override {
    pub pattern: *const c_char,
    pub rank: i32,
    pub reserved: u32,
    pub alpha: f64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_adapter_options {
    pub struct_size: u32,
    pub rank: i32,
    pub alpha: f64,
    pub dropout: f64,
    pub rslora: i32,
    pub dora: i32,
    pub targets: *const c_char,
    pub first_layer: i32,
    pub layer_count: i32,
    pub overrides: *const anet_adapter_override,
    pub override_count: usize,
    pub seed: u64,
}
sized!(anet_adapter_options);

pub type anet_adapter_format = i32;

pub const ANET_ADAPTER_PEFT: i32 = 0;
pub const ANET_ADAPTER_MLX: i32 = 1;
pub const ANET_ADAPTER_GGUF: i32 = 2;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_adapter_save_options {
    pub struct_size: u32,
    pub format: anet_adapter_format,
    pub r#type: anet_export_type,
    pub reserved: u32,
    pub base_name: *const c_char,
}
sized!(anet_adapter_save_options);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_adapter_info {
    pub struct_size: u32,
    pub rank: i32,
    pub alpha: f64,
    pub dropout: f64,
    pub rslora: i32,
    pub dora: i32,
    pub module_count: u64,
    pub weight_count: u64,
}
sized!(anet_adapter_info);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_adapter_module {
    pub struct_size: u32,
    pub rank: i32,
    pub name: *const c_char,
    pub alpha: f64,
    pub scale: f64,
}
sized!(anet_adapter_module);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_weighted_adapter {
    pub adapter: *const anet_adapter,
    pub weight: f64,
}

#[repr(C)]
pub struct anet_tokenizer {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

pub const ANET_TOKENIZE_ADD_BOS: i32 = 1;
pub const ANET_TOKENIZE_ADD_EOS: i32 = 2;
pub const ANET_TOKENIZE_PARSE_SPECIAL: i32 = 4;
pub const ANET_TOKENIZE_AS_TRAINED: i32 = 8;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_text_range {
    pub begin: i64,
    pub end: i64,
}

#[repr(C)]
pub struct anet_text_decoder {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
pub struct anet_chat_template {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

pub type anet_supervision = i32;

pub const ANET_SUPERVISE_ASSISTANT: i32 = 0;
pub const ANET_SUPERVISE_LAST: i32 = 1;
pub const ANET_SUPERVISE_EVERYTHING: i32 = 2;

#[repr(C)]
pub struct anet_examples {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

pub type anet_data_part = i32;

pub const ANET_DATA_TRAIN: i32 = 0;
pub const ANET_DATA_VALIDATION: i32 = 1;
pub const ANET_DATA_TEST: i32 = 2;

pub type anet_data_format = i32;

pub const ANET_DATA_AUTOMATIC: i32 = 0;
pub const ANET_DATA_JSONL: i32 = 1;
pub const ANET_DATA_TEXT: i32 = 2;
pub const ANET_DATA_TOKENS: i32 = 3;

pub type anet_switch = i32;

pub const ANET_SWITCH_DEFAULT: i32 = 0;
pub const ANET_SWITCH_ON: i32 = 1;
pub const ANET_SWITCH_OFF: i32 = 2;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_examples_options {
    pub struct_size: u32,
    pub part: anet_data_part,
    pub format: anet_data_format,
    pub supervision: anet_supervision,
    pub chat_template: *const anet_chat_template,
    pub template_variables: *const c_char,
    pub stop_ids: *const i32,
    pub stop_count: u32,
    pub strict: i32,
    pub add_bos: anet_switch,
    pub add_eos: anet_switch,
    pub parse_special: i32,
    pub token_bytes: i32,
    pub text_key: *const c_char,
    pub prompt_key: *const c_char,
    pub completion_key: *const c_char,
    pub messages_key: *const c_char,
    pub tools_key: *const c_char,
    pub document_separator: *const c_char,
    pub max_line_bytes: u64,
    pub memory_limit: u64,
    pub temporary_directory: *const c_char,
    pub round_trips: i64,
    pub progress: anet_progress_callback,
    pub user_data: *mut c_void,
    pub device: *mut anet_device,
}
sized!(anet_examples_options);

#[repr(C)]
pub struct anet_dataset {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_dataset_options {
    pub struct_size: u32,
    pub sequence_length: i32,
    pub vocab_size: i32,
    pub token_bytes: i32,
    pub seed: u64,
    pub sequential: i32,
    pub reserved: u32,
}
sized!(anet_dataset_options);

pub type anet_row_layout = i32;

pub const ANET_ROWS_PADDED: i32 = 0;
pub const ANET_ROWS_PACKED: i32 = 1;
pub const ANET_ROWS_BUCKETED: i32 = 2;

pub type anet_long_examples = i32;

pub const ANET_LONG_TRUNCATE: i32 = 0;
pub const ANET_LONG_SKIP: i32 = 1;
pub const ANET_LONG_SPLIT: i32 = 2;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_rows_options {
    pub struct_size: u32,
    pub sequence_length: i32,
    pub layout: anet_row_layout,
    pub long_examples: anet_long_examples,
    pub batch_size: i32,
    pub length_buckets: i32,
    pub seed: u64,
    pub sequential: i32,
    pub reserved: u32,
}
sized!(anet_rows_options);

#[repr(C)]
pub struct anet_session {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

pub type anet_precision = i32;

pub const ANET_PRECISION_DEFAULT: i32 = 0;
pub const ANET_PRECISION_F32: i32 = 1;
pub const ANET_PRECISION_F16: i32 = 2;
pub const ANET_PRECISION_BF16: i32 = 3;

pub type anet_optimizer = i32;

pub const ANET_OPTIMIZER_ADAMW: i32 = 0;
pub const ANET_OPTIMIZER_SGD: i32 = 1;

pub type anet_schedule = i32;

pub const ANET_SCHEDULE_CONSTANT: i32 = 0;
pub const ANET_SCHEDULE_LINEAR: i32 = 1;
pub const ANET_SCHEDULE_COSINE: i32 = 2;
pub const ANET_SCHEDULE_WSD: i32 = 3;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_session_options {
    pub struct_size: u32,
    pub precision: anet_precision,
    pub batch_size: i32,
    pub sequence_length: i32,
    pub accumulation_steps: i32,
    pub activation_checkpointing: i32,
    pub loss_chunk: i32,
    pub optimizer: anet_optimizer,
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub momentum: f64,
    pub weight_decay: f64,
    pub clip_norm: f64,
    pub schedule: anet_schedule,
    pub reserved: i32,
    pub warmup_steps: i64,
    pub total_steps: i64,
    pub decay_steps: i64,
    pub min_learning_rate: f64,
    pub initial_loss_scale: f64,
    pub loss_scale_growth_steps: i64,
    pub seed: u64,
    pub max_memory: u64,
    pub documents: i32,
    pub length_buckets: i32,
    pub trainable: *const c_char,
    pub optimizer_precision: anet_precision,
    pub reserved2: i32,
}
sized!(anet_session_options);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_memory_plan {
    pub struct_size: u32,
    pub reserved: u32,
    pub weights: u64,
    pub gradients: u64,
    pub optimizer: u64,
    pub staged: u64,
    pub activations: u64,
    pub workspace: u64,
    pub total: u64,
}
sized!(anet_memory_plan);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_batch {
    pub struct_size: u32,
    pub sequence_count: i32,
    pub sequence_length: i32,
    pub reserved: u32,
    pub tokens: *const i32,
    pub targets: *const i32,
    pub positions: *const i32,
    pub parts: i32,
    pub reserved2: i32,
}
sized!(anet_batch);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_step_result {
    pub struct_size: u32,
    pub skipped: i32,
    pub step: i64,
    pub loss: f64,
    pub tokens: u64,
    pub grad_norm: f64,
    pub learning_rate: f64,
    pub loss_scale: f64,
    pub seconds: f64,
    pub forward_seconds: f64,
    pub backward_seconds: f64,
    pub loss_seconds: f64,
    pub optimizer_seconds: f64,
    pub staging_seconds: f64,
    pub bytes_staged: u64,
    pub engine_evaluations: u64,
    pub engine_seconds: f64,
    pub host_seconds: f64,
    pub copy_seconds: f64,
    pub engine_flops: u64,
    pub host_flops: u64,
    pub engine_bytes_in: u64,
    pub engine_bytes_out: u64,
    pub retries: u64,
    pub fallbacks: u64,
    pub audits: u64,
    pub audit_error: f64,
    pub tokens_seen: u64,
}
sized!(anet_step_result);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_eval_result {
    pub struct_size: u32,
    pub reserved: u32,
    pub loss: f64,
    pub tokens: u64,
    pub seconds: f64,
}
sized!(anet_eval_result);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_document_loss {
    pub row: u64,
    pub document: u32,
    pub begin: u32,
    pub loss_sum: f64,
    pub tokens: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_step_summary {
    pub struct_size: u32,
    pub skipped: i32,
    pub step: i64,
    pub loss: f64,
    pub tokens: u64,
    pub grad_norm: f64,
    pub learning_rate: f64,
    pub loss_scale: f64,
    pub seconds: f64,
    pub forward_seconds: f64,
    pub backward_seconds: f64,
    pub loss_seconds: f64,
    pub optimizer_seconds: f64,
    pub staging_seconds: f64,
    pub bytes_staged: u64,
}
sized!(anet_step_summary);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_fit_event {
    pub struct_size: u32,
    pub kind: i32,
    pub step: anet_step_summary,
    pub eval: anet_eval_result,
    pub checkpoint: *const c_char,
    pub result: *const anet_step_result,
    pub improved: i32,
    pub reserved: u32,
}
sized!(anet_fit_event);

pub const ANET_EVENT_STEP: i32 = 1;
pub const ANET_EVENT_EVAL: i32 = 2;
pub const ANET_EVENT_SAVE: i32 = 3;
pub const ANET_EVENT_SAMPLE: i32 = 4;

pub type anet_fit_callback =
    Option<unsafe extern "C" fn(event: *const anet_fit_event, user_data: *mut c_void) -> i32>;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_fit_options {
    pub struct_size: u32,
    pub reserved: u32,
    pub steps: i64,
    pub eval_every: i64,
    pub eval_windows: u64,
    pub save_every: i64,
    pub checkpoint_root: *const c_char,
    pub keep_last: i32,
    pub reserved2: u32,
    pub callback: anet_fit_callback,
    pub user_data: *mut c_void,
    pub patience: i64,
    pub min_delta: f64,
    pub sample_every: i64,
    pub eval_at_end: i32,
    pub reserved3: i32,
}
sized!(anet_fit_options);

pub type anet_fit_end = i32;

pub const ANET_FIT_STEPS: i32 = 1;
pub const ANET_FIT_CALLBACK: i32 = 2;
pub const ANET_FIT_NO_IMPROVEMENT: i32 = 3;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_fit_result {
    pub struct_size: u32,
    pub end: anet_fit_end,
    pub step: anet_step_summary,
    pub eval: anet_eval_result,
    pub best_loss: f64,
    pub best_step: i64,
    pub has_best: i32,
    pub reserved: u32,
}
sized!(anet_fit_result);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_kernel_report {
    pub struct_size: u32,
    pub reserved: u32,
    pub label: *const c_char,
    pub r#where: *const c_char,
    pub reason: *const c_char,
    pub runs: u64,
    pub engine_evaluations: u64,
    pub engine_seconds: f64,
    pub host_seconds: f64,
    pub copy_seconds: f64,
    pub engine_flops: u64,
    pub host_flops: u64,
    pub engine_bytes_in: u64,
    pub engine_bytes_out: u64,
    pub retries: u64,
    pub fallbacks: u64,
    pub audits: u64,
    pub audit_error: f64,
}
sized!(anet_kernel_report);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_save_options {
    pub struct_size: u32,
    pub keep_last: i32,
    pub has_validation_loss: i32,
    pub reserved: u32,
    pub validation_loss: f64,
}
sized!(anet_save_options);

pub type anet_checkpoint_choice = i32;

pub const ANET_CHECKPOINT_LATEST: i32 = 0;
pub const ANET_CHECKPOINT_BEST: i32 = 1;

#[repr(C)]
pub struct anet_generator {
    _data: [u8; 0],
    _marker: PhantomData<(*mut u8, PhantomPinned)>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_generator_options {
    pub struct_size: u32,
    pub context_length: i32,
    pub precision: anet_precision,
    pub batch_size: i32,
    pub adapter_rank: i32,
    pub reserved: u32,
}
sized!(anet_generator_options);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_sampling_options {
    pub struct_size: u32,
    pub max_tokens: i32,
    pub temperature: f64,
    pub top_p: f64,
    pub top_k: i32,
    pub stop_count: u32,
    pub stop_ids: *const i32,
    pub seed: u64,
    pub repetition_penalty: f64,
    pub min_p: f64,
}
sized!(anet_sampling_options);

pub type anet_token_callback = Option<
    unsafe extern "C" fn(
        id: i32,
        text: *const c_char,
        length: usize,
        user_data: *mut c_void,
    ) -> i32,
>;

pub type anet_finish_reason = i32;

pub const ANET_FINISH_LENGTH: i32 = 1;
pub const ANET_FINISH_STOP: i32 = 2;
pub const ANET_FINISH_CONTEXT: i32 = 3;
pub const ANET_FINISH_CALLBACK: i32 = 4;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_generation_result {
    pub struct_size: u32,
    pub finish_reason: anet_finish_reason,
    pub prompt_tokens: u64,
    pub generated_tokens: u64,
    pub prefill_seconds: f64,
    pub decode_seconds: f64,
}
sized!(anet_generation_result);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct anet_prompt {
    pub ids: *const i32,
    pub count: usize,
    pub seed: u64,
}

pub type anet_batch_token_callback = Option<
    unsafe extern "C" fn(
        index: usize,
        id: i32,
        text: *const c_char,
        length: usize,
        user_data: *mut c_void,
    ) -> i32,
>;

extern "C" {
    pub fn anet_version_number() -> u32;
    pub fn anet_version_string() -> *const c_char;
    pub fn anet_abi_version() -> u32;
    pub fn anet_build_info() -> *const c_char;
    pub fn anet_struct_init(object: *mut c_void, size: usize);
    pub fn anet_status_name(status: anet_status) -> *const c_char;
    pub fn anet_status_is_retryable(status: anet_status) -> i32;
    pub fn anet_error_status(error: *const anet_error) -> anet_status;
    pub fn anet_error_message(error: *const anet_error) -> *const c_char;
    pub fn anet_error_domain(error: *const anet_error) -> *const c_char;
    pub fn anet_error_native_code(error: *const anet_error) -> i64;
    pub fn anet_error_line(error: *const anet_error) -> i32;
    pub fn anet_error_column(error: *const anet_error) -> i32;
    pub fn anet_error_release(error: *mut anet_error);
    pub fn anet_device_listing_count() -> usize;
    pub fn anet_device_listing_get(
        index: usize,
        listing: *mut anet_device_listing,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_device_open(
        name: *const c_char,
        options: *const anet_device_options,
        device: *mut *mut anet_device,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_device_get_info(
        device: *const anet_device,
        info: *mut anet_device_info,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_device_get_report(
        device: *const anet_device,
        json: *mut c_char,
        capacity: usize,
        length: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_device_retain(device: *mut anet_device);
    pub fn anet_device_release(device: *mut anet_device);
    pub fn anet_dtype_size(dtype: anet_dtype) -> usize;
    pub fn anet_dtype_name(dtype: anet_dtype) -> *const c_char;
    pub fn anet_buffer_create(
        device: *mut anet_device,
        desc: *const anet_tensor_desc,
        buffer: *mut *mut anet_buffer,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_buffer_import(
        device: *mut anet_device,
        data: *mut c_void,
        size_bytes: usize,
        desc: *const anet_tensor_desc,
        release: anet_release_callback,
        user_data: *mut c_void,
        buffer: *mut *mut anet_buffer,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_buffer_get_desc(
        buffer: *const anet_buffer,
        desc: *mut anet_tensor_desc,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_buffer_map(
        buffer: *mut anet_buffer,
        access: anet_map_access,
        view: *mut anet_buffer_view,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_buffer_unmap(buffer: *mut anet_buffer, error: *mut *mut anet_error) -> anet_status;
    pub fn anet_buffer_write(
        buffer: *mut anet_buffer,
        data: *const c_void,
        size_bytes: usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_buffer_read(
        buffer: *mut anet_buffer,
        data: *mut c_void,
        size_bytes: usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_buffer_retain(buffer: *mut anet_buffer);
    pub fn anet_buffer_release(buffer: *mut anet_buffer);
    pub fn anet_program_parse(
        text: *const c_char,
        length: usize,
        blobs: *const anet_blob_file,
        blob_count: usize,
        program: *mut *mut anet_program,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_program_load(
        path: *const c_char,
        program: *mut *mut anet_program,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_program_get_text(
        program: *const anet_program,
        text: *mut *const c_char,
        length: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_program_function_count(program: *const anet_program) -> usize;
    pub fn anet_program_function_name(program: *const anet_program, index: usize) -> *const c_char;
    pub fn anet_program_port_count(
        program: *const anet_program,
        function: *const c_char,
        direction: anet_direction,
        count: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_program_get_port(
        program: *const anet_program,
        function: *const c_char,
        direction: anet_direction,
        index: usize,
        port: *mut anet_port,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_program_differentiate(
        program: *const anet_program,
        function: *const c_char,
        options: *const anet_differentiate_options,
        derivative: *mut *mut anet_program,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_program_quantize(
        device: *mut anet_device,
        program: *const anet_program,
        function: *const c_char,
        samples: *const *mut anet_buffer,
        count: usize,
        options: *const anet_program_quantize_options,
        quantized: *mut *mut anet_program,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_program_retain(program: *mut anet_program);
    pub fn anet_program_release(program: *mut anet_program);
    pub fn anet_kernel_compile(
        device: *mut anet_device,
        program: *const anet_program,
        function: *const c_char,
        kernel: *mut *mut anet_kernel,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_kernel_port_count(kernel: *const anet_kernel, direction: anet_direction) -> usize;
    pub fn anet_kernel_get_port(
        kernel: *const anet_kernel,
        direction: anet_direction,
        index: usize,
        port: *mut anet_port,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_kernel_create_buffer(
        kernel: *const anet_kernel,
        direction: anet_direction,
        index: usize,
        buffer: *mut *mut anet_buffer,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_kernel_run(
        kernel: *mut anet_kernel,
        inputs: *const *mut anet_buffer,
        input_count: usize,
        outputs: *const *mut anet_buffer,
        output_count: usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_kernel_get_statistics(
        kernel: *const anet_kernel,
        statistics: *mut anet_kernel_statistics,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_kernel_get_placement(
        kernel: *const anet_kernel,
        r#where: *mut *const c_char,
        reason: *mut *const c_char,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_kernel_retain(kernel: *mut anet_kernel);
    pub fn anet_kernel_release(kernel: *mut anet_kernel);
    pub fn anet_model_config_count() -> usize;
    pub fn anet_model_config_name(index: usize) -> *const c_char;
    pub fn anet_model_config_get(
        name: *const c_char,
        config: *mut anet_model_config,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_config_from_json(
        json: *const c_char,
        config: *mut anet_model_config,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_compression_name(compression: anet_compression) -> *const c_char;
    pub fn anet_model_create(
        config: *const anet_model_config,
        seed: u64,
        model: *mut *mut anet_model,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_load(
        path: *const c_char,
        options: *const anet_model_load_options,
        model: *mut *mut anet_model,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_save(
        model: *const anet_model,
        path: *const c_char,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_export(
        model: *const anet_model,
        path: *const c_char,
        options: *const anet_export_options,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_get_info(
        model: *const anet_model,
        info: *mut anet_model_info,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_get_config(
        model: *const anet_model,
        config: *mut anet_model_config,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_weight_count(model: *const anet_model) -> u64;
    pub fn anet_model_weight_bytes(model: *const anet_model) -> u64;
    pub fn anet_model_parameter_count(model: *const anet_model) -> usize;
    pub fn anet_model_get_parameter(
        model: *const anet_model,
        index: usize,
        parameter: *mut anet_parameter,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_find_parameter(
        model: *const anet_model,
        name: *const c_char,
        index: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_read_parameter(
        model: *const anet_model,
        index: usize,
        values: *mut f32,
        count: usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_write_parameter(
        model: *mut anet_model,
        index: usize,
        values: *const f32,
        count: usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_retain(model: *mut anet_model);
    pub fn anet_model_release(model: *mut anet_model);
    pub fn anet_model_quantize(
        model: *const anet_model,
        options: *const anet_quantize_options,
        quantized: *mut *mut anet_model,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_get_quantization_report(
        model: *const anet_model,
        index: usize,
        report: *mut anet_tensor_report,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_adapter_create(
        model: *mut anet_model,
        options: *const anet_adapter_options,
        adapter: *mut *mut anet_adapter,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_adapter_load(
        model: *mut anet_model,
        path: *const c_char,
        adapter: *mut *mut anet_adapter,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_adapter_save(
        adapter: *const anet_adapter,
        path: *const c_char,
        options: *const anet_adapter_save_options,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_adapter_get_info(
        adapter: *const anet_adapter,
        info: *mut anet_adapter_info,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_adapter_get_module(
        adapter: *const anet_adapter,
        index: usize,
        module: *mut anet_adapter_module,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_adapter_get_model(
        adapter: *const anet_adapter,
        model: *mut *mut anet_model,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_adapter_parameter_count(adapter: *const anet_adapter) -> usize;
    pub fn anet_adapter_get_parameter(
        adapter: *const anet_adapter,
        index: usize,
        parameter: *mut anet_parameter,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_adapter_find_parameter(
        adapter: *const anet_adapter,
        name: *const c_char,
        index: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_adapter_read_parameter(
        adapter: *const anet_adapter,
        index: usize,
        values: *mut f32,
        count: usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_adapter_write_parameter(
        adapter: *mut anet_adapter,
        index: usize,
        values: *const f32,
        count: usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_adapter_retain(adapter: *mut anet_adapter);
    pub fn anet_adapter_release(adapter: *mut anet_adapter);
    pub fn anet_model_merge(
        model: *const anet_model,
        adapters: *const anet_weighted_adapter,
        count: usize,
        merged: *mut *mut anet_model,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_merge_in_place(
        model: *mut anet_model,
        adapters: *const anet_weighted_adapter,
        count: usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_model_unmerge(model: *mut anet_model, error: *mut *mut anet_error) -> anet_status;
    pub fn anet_tokenizer_create_bytes(
        tokenizer: *mut *mut anet_tokenizer,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_tokenizer_load(
        path: *const c_char,
        vocab_size: i32,
        tokenizer: *mut *mut anet_tokenizer,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_tokenizer_fingerprint(tokenizer: *const anet_tokenizer) -> *const c_char;
    pub fn anet_tokenizer_find_special(
        tokenizer: *const anet_tokenizer,
        name: *const c_char,
        id: *mut i32,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_tokenizer_vocab_size(tokenizer: *const anet_tokenizer) -> i32;
    pub fn anet_tokenizer_bos_id(tokenizer: *const anet_tokenizer) -> i32;
    pub fn anet_tokenizer_eos_id(tokenizer: *const anet_tokenizer) -> i32;
    pub fn anet_tokenizer_encode(
        tokenizer: *const anet_tokenizer,
        text: *const c_char,
        length: usize,
        flags: u32,
        ids: *mut i32,
        capacity: usize,
        count: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_tokenizer_encode_ranges(
        tokenizer: *const anet_tokenizer,
        text: *const c_char,
        length: usize,
        flags: u32,
        ids: *mut i32,
        ranges: *mut anet_text_range,
        capacity: usize,
        count: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_tokenizer_decode(
        tokenizer: *const anet_tokenizer,
        ids: *const i32,
        id_count: usize,
        text: *mut c_char,
        capacity: usize,
        length: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_tokenizer_retain(tokenizer: *mut anet_tokenizer);
    pub fn anet_tokenizer_release(tokenizer: *mut anet_tokenizer);
    pub fn anet_text_decoder_create(
        tokenizer: *const anet_tokenizer,
        decoder: *mut *mut anet_text_decoder,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_text_decoder_prime(
        decoder: *mut anet_text_decoder,
        ids: *const i32,
        count: usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_text_decoder_push(
        decoder: *mut anet_text_decoder,
        id: i32,
        text: *mut *const c_char,
        length: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_text_decoder_flush(
        decoder: *mut anet_text_decoder,
        text: *mut *const c_char,
        length: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_text_decoder_retain(decoder: *mut anet_text_decoder);
    pub fn anet_text_decoder_release(decoder: *mut anet_text_decoder);
    pub fn anet_chat_template_load(
        directory: *const c_char,
        chat_template: *mut *mut anet_chat_template,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_chat_template_built_in(
        name: *const c_char,
        chat_template: *mut *mut anet_chat_template,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_chat_template_parse(
        text: *const c_char,
        bos_token: *const c_char,
        eos_token: *const c_char,
        chat_template: *mut *mut anet_chat_template,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_chat_template_render(
        chat_template: *const anet_chat_template,
        messages: *const c_char,
        tools: *const c_char,
        variables: *const c_char,
        generation_prompt: i32,
        text: *mut c_char,
        capacity: usize,
        length: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_chat_template_uses_date(chat_template: *const anet_chat_template) -> i32;
    pub fn anet_chat_template_set_date(
        chat_template: *mut anet_chat_template,
        seconds: i64,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_chat_template_retain(chat_template: *mut anet_chat_template);
    pub fn anet_chat_template_release(chat_template: *mut anet_chat_template);
    pub fn anet_examples_open(
        path: *const c_char,
        tokenizer: *const anet_tokenizer,
        options: *const anet_examples_options,
        examples: *mut *mut anet_examples,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_examples_create(
        ids: *const i32,
        mask: *const u8,
        lengths: *const u64,
        count: usize,
        vocab_size: i32,
        examples: *mut *mut anet_examples,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_examples_split(
        examples: *const anet_examples,
        fraction: f64,
        train: *mut *mut anet_examples,
        validation: *mut *mut anet_examples,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_examples_count(examples: *const anet_examples) -> u64;
    pub fn anet_examples_token_count(examples: *const anet_examples) -> u64;
    pub fn anet_examples_read(
        examples: *const anet_examples,
        index: u64,
        ids: *mut i32,
        mask: *mut u8,
        capacity: usize,
        count: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_examples_describe(
        examples: *const anet_examples,
        index: u64,
        tokenizer: *const anet_tokenizer,
        json: *mut c_char,
        capacity: usize,
        length: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_examples_get_report(
        examples: *const anet_examples,
        json: *mut c_char,
        capacity: usize,
        length: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_examples_retain(examples: *mut anet_examples);
    pub fn anet_examples_release(examples: *mut anet_examples);
    pub fn anet_dataset_open_tokens(
        path: *const c_char,
        options: *const anet_dataset_options,
        dataset: *mut *mut anet_dataset,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_dataset_open_text(
        path: *const c_char,
        tokenizer: *const anet_tokenizer,
        options: *const anet_dataset_options,
        dataset: *mut *mut anet_dataset,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_dataset_create_tokens(
        ids: *const i32,
        count: usize,
        options: *const anet_dataset_options,
        dataset: *mut *mut anet_dataset,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_dataset_create_rows(
        examples: *const anet_examples,
        options: *const anet_rows_options,
        dataset: *mut *mut anet_dataset,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_dataset_get_report(
        dataset: *const anet_dataset,
        json: *mut c_char,
        capacity: usize,
        length: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_dataset_get_fingerprint(
        dataset: *const anet_dataset,
        text: *mut c_char,
        capacity: usize,
        length: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_dataset_split(
        dataset: *const anet_dataset,
        fraction: f64,
        train: *mut *mut anet_dataset,
        validation: *mut *mut anet_dataset,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_dataset_window_count(dataset: *const anet_dataset) -> u64;
    pub fn anet_dataset_sequence_length(dataset: *const anet_dataset) -> i32;
    pub fn anet_dataset_read(
        dataset: *const anet_dataset,
        first: u64,
        count: usize,
        tokens: *mut i32,
        targets: *mut i32,
        positions: *mut i32,
        parts: *mut i32,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_dataset_retain(dataset: *mut anet_dataset);
    pub fn anet_dataset_release(dataset: *mut anet_dataset);
    pub fn anet_session_options_from_json(
        json: *const c_char,
        options: *mut anet_session_options,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_plan_memory(
        device: *mut anet_device,
        config: *const anet_model_config,
        options: *const anet_session_options,
        plan: *mut anet_memory_plan,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_create(
        device: *mut anet_device,
        model: *mut anet_model,
        options: *const anet_session_options,
        session: *mut *mut anet_session,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_create_adapter(
        device: *mut anet_device,
        adapter: *mut anet_adapter,
        options: *const anet_session_options,
        session: *mut *mut anet_session,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_plan_adapter_memory(
        device: *mut anet_device,
        adapter: *const anet_adapter,
        options: *const anet_session_options,
        plan: *mut anet_memory_plan,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_get_adapter(
        session: *const anet_session,
        adapter: *mut *mut anet_adapter,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_swap_adapter(
        session: *mut anet_session,
        adapter: *mut anet_adapter,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_step(
        session: *mut anet_session,
        batches: *const anet_batch,
        batch_count: usize,
        result: *mut anet_step_result,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_forward_backward(
        session: *mut anet_session,
        batch: *const anet_batch,
        result: *mut anet_step_result,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_optimizer_step(
        session: *mut anet_session,
        result: *mut anet_step_result,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_zero_gradients(
        session: *mut anet_session,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_eval(
        session: *mut anet_session,
        batch: *const anet_batch,
        result: *mut anet_eval_result,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_evaluate(
        session: *mut anet_session,
        dataset: *const anet_dataset,
        max_windows: u64,
        result: *mut anet_eval_result,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_score(
        session: *mut anet_session,
        dataset: *const anet_dataset,
        max_rows: u64,
        losses: *mut anet_document_loss,
        capacity: usize,
        count: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_fit(
        session: *mut anet_session,
        train: *const anet_dataset,
        validation: *const anet_dataset,
        options: *const anet_fit_options,
        result: *mut anet_fit_result,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_cancel(session: *mut anet_session);
    pub fn anet_session_get_options(
        session: *const anet_session,
        options: *mut anet_session_options,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_get_memory_plan(
        session: *const anet_session,
        plan: *mut anet_memory_plan,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_kernel_count(session: *const anet_session) -> usize;
    pub fn anet_session_get_kernel_report(
        session: *const anet_session,
        index: usize,
        report: *mut anet_kernel_report,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_get_step(
        session: *const anet_session,
        step: *mut i64,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_get_cursor(
        session: *const anet_session,
        cursor: *mut u64,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_set_cursor(
        session: *mut anet_session,
        cursor: u64,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_set_learning_rate(
        session: *mut anet_session,
        learning_rate: f64,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_get_weights(
        session: *mut anet_session,
        values: *mut *mut f32,
        count: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_get_gradients(
        session: *mut anet_session,
        values: *mut *mut f32,
        count: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_get_tokens(
        session: *const anet_session,
        tokens: *mut u64,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_set_tokens(
        session: *mut anet_session,
        tokens: u64,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_weights_changed(
        session: *mut anet_session,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_set_property(
        session: *mut anet_session,
        key: *const c_char,
        value: *const c_char,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_get_property(
        session: *const anet_session,
        key: *const c_char,
        value: *mut *const c_char,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_retain(session: *mut anet_session);
    pub fn anet_session_release(session: *mut anet_session);
    pub fn anet_session_save(
        session: *mut anet_session,
        root: *const c_char,
        options: *const anet_save_options,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_resume(
        device: *mut anet_device,
        path: *const c_char,
        options: *const anet_session_options,
        session: *mut *mut anet_session,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_resume_adapter(
        device: *mut anet_device,
        model: *mut anet_model,
        path: *const c_char,
        options: *const anet_session_options,
        session: *mut *mut anet_session,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_session_get_model(
        session: *const anet_session,
        model: *mut *mut anet_model,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_checkpoint_find(
        root: *const c_char,
        choice: anet_checkpoint_choice,
        path: *mut c_char,
        capacity: usize,
        length: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_checkpoint_inspect(
        path: *const c_char,
        json: *mut c_char,
        capacity: usize,
        length: *mut usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_generator_create(
        device: *mut anet_device,
        model: *mut anet_model,
        tokenizer: *const anet_tokenizer,
        options: *const anet_generator_options,
        generator: *mut *mut anet_generator,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_generator_set_adapters(
        generator: *mut anet_generator,
        adapters: *const anet_weighted_adapter,
        count: usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_generator_generate(
        generator: *mut anet_generator,
        prompt: *const i32,
        prompt_count: usize,
        options: *const anet_sampling_options,
        callback: anet_token_callback,
        user_data: *mut c_void,
        ids: *mut i32,
        capacity: usize,
        result: *mut anet_generation_result,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_generator_generate_batch(
        generator: *mut anet_generator,
        prompts: *const anet_prompt,
        prompt_count: usize,
        options: *const anet_sampling_options,
        callback: anet_batch_token_callback,
        user_data: *mut c_void,
        results: *mut anet_generation_result,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_generator_logits(
        generator: *mut anet_generator,
        prompt: *const i32,
        prompt_count: usize,
        logits: *mut f32,
        count: usize,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_generator_cancel(generator: *mut anet_generator);
    pub fn anet_generator_retain(generator: *mut anet_generator);
    pub fn anet_generator_release(generator: *mut anet_generator);
    pub fn anet_buffer_import_iosurface(
        device: *mut anet_device,
        iosurface: *mut c_void,
        desc: *const anet_tensor_desc,
        buffer: *mut *mut anet_buffer,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_buffer_import_iosurface_id(
        device: *mut anet_device,
        id: u32,
        desc: *const anet_tensor_desc,
        buffer: *mut *mut anet_buffer,
        error: *mut *mut anet_error,
    ) -> anet_status;
    pub fn anet_buffer_get_iosurface(buffer: *const anet_buffer) -> *mut c_void;
    pub fn anet_buffer_get_iosurface_id(buffer: *const anet_buffer) -> u32;
}
