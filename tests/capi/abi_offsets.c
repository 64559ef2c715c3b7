/* The layout of every public struct on 64-bit systems is frozen: this file does not compile when a
 * size or an offset changes. A new field at the end of a struct adds its line and changes SIZE. */
#include "ane_train.h"

#if defined(__LP64__)

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " changed its size")
#define OFFSET(type, field, bytes)                                                                 \
  _Static_assert(offsetof(type, field) == (bytes), #type "." #field " moved")

SIZE(anet_ane_options, 72);
OFFSET(anet_ane_options, struct_size, 0);
OFFSET(anet_ane_options, compile_budget, 4);
OFFSET(anet_ane_options, framework_path, 8);
OFFSET(anet_ane_options, cache_directory, 16);
OFFSET(anet_ane_options, qos, 24);
OFFSET(anet_ane_options, forward, 28);
OFFSET(anet_ane_options, loss, 32);
OFFSET(anet_ane_options, input_gradients, 36);
OFFSET(anet_ane_options, weight_gradients, 40);
OFFSET(anet_ane_options, programs, 44);
OFFSET(anet_ane_options, audit_every, 48);
OFFSET(anet_ane_options, audit_action, 52);
OFFSET(anet_ane_options, audit_tolerance, 56);
OFFSET(anet_ane_options, audit_kernels, 64);

SIZE(anet_device_options, 48);
OFFSET(anet_device_options, struct_size, 0);
OFFSET(anet_device_options, threads, 4);
OFFSET(anet_device_options, log_level, 8);
OFFSET(anet_device_options, reserved, 12);
OFFSET(anet_device_options, log, 16);
OFFSET(anet_device_options, log_user_data, 24);
OFFSET(anet_device_options, ane, 32);
OFFSET(anet_device_options, log_release, 40);

SIZE(anet_device_info, 40);
OFFSET(anet_device_info, struct_size, 0);
OFFSET(anet_device_info, threads, 4);
OFFSET(anet_device_info, name, 8);
OFFSET(anet_device_info, description, 16);
OFFSET(anet_device_info, buffer_alignment, 24);
OFFSET(anet_device_info, has_f32, 32);
OFFSET(anet_device_info, reserved, 36);

SIZE(anet_device_listing, 32);
OFFSET(anet_device_listing, struct_size, 0);
OFFSET(anet_device_listing, available, 4);
OFFSET(anet_device_listing, name, 8);
OFFSET(anet_device_listing, description, 16);
OFFSET(anet_device_listing, reason, 24);

SIZE(anet_tensor_desc, 144);
OFFSET(anet_tensor_desc, struct_size, 0);
OFFSET(anet_tensor_desc, dtype, 4);
OFFSET(anet_tensor_desc, rank, 8);
OFFSET(anet_tensor_desc, reserved, 12);
OFFSET(anet_tensor_desc, shape, 16);
OFFSET(anet_tensor_desc, strides, 80);

SIZE(anet_buffer_view, 168);
OFFSET(anet_buffer_view, struct_size, 0);
OFFSET(anet_buffer_view, reserved, 4);
OFFSET(anet_buffer_view, data, 8);
OFFSET(anet_buffer_view, size_bytes, 16);
OFFSET(anet_buffer_view, desc, 24);

SIZE(anet_blob_file, 24);
OFFSET(anet_blob_file, path, 0);
OFFSET(anet_blob_file, data, 8);
OFFSET(anet_blob_file, size_bytes, 16);

SIZE(anet_port, 160);
OFFSET(anet_port, struct_size, 0);
OFFSET(anet_port, reserved, 4);
OFFSET(anet_port, name, 8);
OFFSET(anet_port, desc, 16);

SIZE(anet_differentiate_options, 40);
OFFSET(anet_differentiate_options, struct_size, 0);
OFFSET(anet_differentiate_options, taps, 4);
OFFSET(anet_differentiate_options, inputs, 8);
OFFSET(anet_differentiate_options, input_count, 16);
OFFSET(anet_differentiate_options, outputs, 24);
OFFSET(anet_differentiate_options, output_count, 32);

SIZE(anet_program_quantize_options, 16);
OFFSET(anet_program_quantize_options, struct_size, 0);
OFFSET(anet_program_quantize_options, reserved, 4);
OFFSET(anet_program_quantize_options, coverage, 8);

SIZE(anet_kernel_statistics, 144);
OFFSET(anet_kernel_statistics, struct_size, 0);
OFFSET(anet_kernel_statistics, op_count, 4);
OFFSET(anet_kernel_statistics, workspace_bytes, 8);
OFFSET(anet_kernel_statistics, constant_bytes, 16);
OFFSET(anet_kernel_statistics, flops, 24);
OFFSET(anet_kernel_statistics, seconds, 32);
OFFSET(anet_kernel_statistics, runs, 40);
OFFSET(anet_kernel_statistics, engine_evaluations, 48);
OFFSET(anet_kernel_statistics, engine_seconds, 56);
OFFSET(anet_kernel_statistics, host_seconds, 64);
OFFSET(anet_kernel_statistics, copy_seconds, 72);
OFFSET(anet_kernel_statistics, engine_flops, 80);
OFFSET(anet_kernel_statistics, host_flops, 88);
OFFSET(anet_kernel_statistics, engine_bytes_in, 96);
OFFSET(anet_kernel_statistics, engine_bytes_out, 104);
OFFSET(anet_kernel_statistics, retries, 112);
OFFSET(anet_kernel_statistics, fallbacks, 120);
OFFSET(anet_kernel_statistics, audits, 128);
OFFSET(anet_kernel_statistics, audit_error, 136);

SIZE(anet_model_config, 96);
OFFSET(anet_model_config, struct_size, 0);
OFFSET(anet_model_config, vocab_size, 4);
OFFSET(anet_model_config, hidden_size, 8);
OFFSET(anet_model_config, intermediate_size, 12);
OFFSET(anet_model_config, layer_count, 16);
OFFSET(anet_model_config, head_count, 20);
OFFSET(anet_model_config, kv_head_count, 24);
OFFSET(anet_model_config, head_dim, 28);
OFFSET(anet_model_config, context_length, 32);
OFFSET(anet_model_config, tie_embeddings, 36);
OFFSET(anet_model_config, qkv_bias, 40);
OFFSET(anet_model_config, qk_norm, 44);
OFFSET(anet_model_config, rope_theta, 48);
OFFSET(anet_model_config, norm_epsilon, 56);
OFFSET(anet_model_config, rope_scaling_factor, 64);
OFFSET(anet_model_config, rope_low_frequency_factor, 72);
OFFSET(anet_model_config, rope_high_frequency_factor, 80);
OFFSET(anet_model_config, rope_original_context_length, 88);
OFFSET(anet_model_config, reserved, 92);

SIZE(anet_parameter, 112);
OFFSET(anet_parameter, struct_size, 0);
OFFSET(anet_parameter, rank, 4);
OFFSET(anet_parameter, name, 8);
OFFSET(anet_parameter, shape, 16);
OFFSET(anet_parameter, offset, 80);
OFFSET(anet_parameter, element_count, 88);
OFFSET(anet_parameter, compression, 96);
OFFSET(anet_parameter, block_size, 100);
OFFSET(anet_parameter, bytes, 104);

SIZE(anet_progress, 32);
OFFSET(anet_progress, struct_size, 0);
OFFSET(anet_progress, reserved, 4);
OFFSET(anet_progress, what, 8);
OFFSET(anet_progress, done, 16);
OFFSET(anet_progress, total, 24);

SIZE(anet_quantize_override, 16);
OFFSET(anet_quantize_override, pattern, 0);
OFFSET(anet_quantize_override, compression, 8);
OFFSET(anet_quantize_override, block_size, 12);

SIZE(anet_quantize_options, 56);
OFFSET(anet_quantize_options, struct_size, 0);
OFFSET(anet_quantize_options, compression, 4);
OFFSET(anet_quantize_options, block_size, 8);
OFFSET(anet_quantize_options, reserved, 12);
OFFSET(anet_quantize_options, overrides, 16);
OFFSET(anet_quantize_options, override_count, 24);
OFFSET(anet_quantize_options, device, 32);
OFFSET(anet_quantize_options, progress, 40);
OFFSET(anet_quantize_options, user_data, 48);

SIZE(anet_model_load_options, 32);
OFFSET(anet_model_load_options, struct_size, 0);
OFFSET(anet_model_load_options, reserved, 4);
OFFSET(anet_model_load_options, progress, 8);
OFFSET(anet_model_load_options, user_data, 16);
OFFSET(anet_model_load_options, quantize, 24);

SIZE(anet_export_options, 48);
OFFSET(anet_export_options, struct_size, 0);
OFFSET(anet_export_options, format, 4);
OFFSET(anet_export_options, type, 8);
OFFSET(anet_export_options, reserved, 12);
OFFSET(anet_export_options, companion, 16);
OFFSET(anet_export_options, max_shard_bytes, 24);
OFFSET(anet_export_options, progress, 32);
OFFSET(anet_export_options, user_data, 40);

SIZE(anet_model_info, 48);
OFFSET(anet_model_info, struct_size, 0);
OFFSET(anet_model_info, warning_count, 4);
OFFSET(anet_model_info, format, 8);
OFFSET(anet_model_info, tokenizer_path, 16);
OFFSET(anet_model_info, stop_ids, 24);
OFFSET(anet_model_info, stop_count, 32);
OFFSET(anet_model_info, warnings, 40);

SIZE(anet_tensor_report, 64);
OFFSET(anet_tensor_report, struct_size, 0);
OFFSET(anet_tensor_report, compression, 4);
OFFSET(anet_tensor_report, name, 8);
OFFSET(anet_tensor_report, block_size, 16);
OFFSET(anet_tensor_report, has_error, 20);
OFFSET(anet_tensor_report, bytes_before, 24);
OFFSET(anet_tensor_report, bytes_after, 32);
OFFSET(anet_tensor_report, worst, 40);
OFFSET(anet_tensor_report, rms, 48);
OFFSET(anet_tensor_report, relative_rms, 56);

SIZE(anet_adapter_override, 24);
OFFSET(anet_adapter_override, pattern, 0);
OFFSET(anet_adapter_override, rank, 8);
OFFSET(anet_adapter_override, reserved, 12);
OFFSET(anet_adapter_override, alpha, 16);

SIZE(anet_adapter_options, 72);
OFFSET(anet_adapter_options, struct_size, 0);
OFFSET(anet_adapter_options, rank, 4);
OFFSET(anet_adapter_options, alpha, 8);
OFFSET(anet_adapter_options, dropout, 16);
OFFSET(anet_adapter_options, rslora, 24);
OFFSET(anet_adapter_options, dora, 28);
OFFSET(anet_adapter_options, targets, 32);
OFFSET(anet_adapter_options, first_layer, 40);
OFFSET(anet_adapter_options, layer_count, 44);
OFFSET(anet_adapter_options, overrides, 48);
OFFSET(anet_adapter_options, override_count, 56);
OFFSET(anet_adapter_options, seed, 64);

SIZE(anet_adapter_save_options, 24);
OFFSET(anet_adapter_save_options, struct_size, 0);
OFFSET(anet_adapter_save_options, format, 4);
OFFSET(anet_adapter_save_options, type, 8);
OFFSET(anet_adapter_save_options, reserved, 12);
OFFSET(anet_adapter_save_options, base_name, 16);

SIZE(anet_adapter_info, 48);
OFFSET(anet_adapter_info, struct_size, 0);
OFFSET(anet_adapter_info, rank, 4);
OFFSET(anet_adapter_info, alpha, 8);
OFFSET(anet_adapter_info, dropout, 16);
OFFSET(anet_adapter_info, rslora, 24);
OFFSET(anet_adapter_info, dora, 28);
OFFSET(anet_adapter_info, module_count, 32);
OFFSET(anet_adapter_info, weight_count, 40);

SIZE(anet_adapter_module, 32);
OFFSET(anet_adapter_module, struct_size, 0);
OFFSET(anet_adapter_module, rank, 4);
OFFSET(anet_adapter_module, name, 8);
OFFSET(anet_adapter_module, alpha, 16);
OFFSET(anet_adapter_module, scale, 24);

SIZE(anet_weighted_adapter, 16);
OFFSET(anet_weighted_adapter, adapter, 0);
OFFSET(anet_weighted_adapter, weight, 8);

SIZE(anet_text_range, 16);
OFFSET(anet_text_range, begin, 0);
OFFSET(anet_text_range, end, 8);

SIZE(anet_examples_options, 168);
OFFSET(anet_examples_options, struct_size, 0);
OFFSET(anet_examples_options, part, 4);
OFFSET(anet_examples_options, format, 8);
OFFSET(anet_examples_options, supervision, 12);
OFFSET(anet_examples_options, chat_template, 16);
OFFSET(anet_examples_options, template_variables, 24);
OFFSET(anet_examples_options, stop_ids, 32);
OFFSET(anet_examples_options, stop_count, 40);
OFFSET(anet_examples_options, strict, 44);
OFFSET(anet_examples_options, add_bos, 48);
OFFSET(anet_examples_options, add_eos, 52);
OFFSET(anet_examples_options, parse_special, 56);
OFFSET(anet_examples_options, token_bytes, 60);
OFFSET(anet_examples_options, text_key, 64);
OFFSET(anet_examples_options, prompt_key, 72);
OFFSET(anet_examples_options, completion_key, 80);
OFFSET(anet_examples_options, messages_key, 88);
OFFSET(anet_examples_options, tools_key, 96);
OFFSET(anet_examples_options, document_separator, 104);
OFFSET(anet_examples_options, max_line_bytes, 112);
OFFSET(anet_examples_options, memory_limit, 120);
OFFSET(anet_examples_options, temporary_directory, 128);
OFFSET(anet_examples_options, round_trips, 136);
OFFSET(anet_examples_options, progress, 144);
OFFSET(anet_examples_options, user_data, 152);
OFFSET(anet_examples_options, device, 160);

SIZE(anet_dataset_options, 32);
OFFSET(anet_dataset_options, struct_size, 0);
OFFSET(anet_dataset_options, sequence_length, 4);
OFFSET(anet_dataset_options, vocab_size, 8);
OFFSET(anet_dataset_options, token_bytes, 12);
OFFSET(anet_dataset_options, seed, 16);
OFFSET(anet_dataset_options, sequential, 24);
OFFSET(anet_dataset_options, reserved, 28);

SIZE(anet_rows_options, 40);
OFFSET(anet_rows_options, struct_size, 0);
OFFSET(anet_rows_options, sequence_length, 4);
OFFSET(anet_rows_options, layout, 8);
OFFSET(anet_rows_options, long_examples, 12);
OFFSET(anet_rows_options, batch_size, 16);
OFFSET(anet_rows_options, length_buckets, 20);
OFFSET(anet_rows_options, seed, 24);
OFFSET(anet_rows_options, sequential, 32);
OFFSET(anet_rows_options, reserved, 36);

SIZE(anet_session_options, 184);
OFFSET(anet_session_options, struct_size, 0);
OFFSET(anet_session_options, precision, 4);
OFFSET(anet_session_options, batch_size, 8);
OFFSET(anet_session_options, sequence_length, 12);
OFFSET(anet_session_options, accumulation_steps, 16);
OFFSET(anet_session_options, activation_checkpointing, 20);
OFFSET(anet_session_options, loss_chunk, 24);
OFFSET(anet_session_options, optimizer, 28);
OFFSET(anet_session_options, learning_rate, 32);
OFFSET(anet_session_options, beta1, 40);
OFFSET(anet_session_options, beta2, 48);
OFFSET(anet_session_options, epsilon, 56);
OFFSET(anet_session_options, momentum, 64);
OFFSET(anet_session_options, weight_decay, 72);
OFFSET(anet_session_options, clip_norm, 80);
OFFSET(anet_session_options, schedule, 88);
OFFSET(anet_session_options, reserved, 92);
OFFSET(anet_session_options, warmup_steps, 96);
OFFSET(anet_session_options, total_steps, 104);
OFFSET(anet_session_options, decay_steps, 112);
OFFSET(anet_session_options, min_learning_rate, 120);
OFFSET(anet_session_options, initial_loss_scale, 128);
OFFSET(anet_session_options, loss_scale_growth_steps, 136);
OFFSET(anet_session_options, seed, 144);
OFFSET(anet_session_options, max_memory, 152);
OFFSET(anet_session_options, documents, 160);
OFFSET(anet_session_options, length_buckets, 164);
OFFSET(anet_session_options, trainable, 168);
OFFSET(anet_session_options, optimizer_precision, 176);
OFFSET(anet_session_options, reserved2, 180);

SIZE(anet_memory_plan, 64);
OFFSET(anet_memory_plan, struct_size, 0);
OFFSET(anet_memory_plan, reserved, 4);
OFFSET(anet_memory_plan, weights, 8);
OFFSET(anet_memory_plan, gradients, 16);
OFFSET(anet_memory_plan, optimizer, 24);
OFFSET(anet_memory_plan, staged, 32);
OFFSET(anet_memory_plan, activations, 40);
OFFSET(anet_memory_plan, workspace, 48);
OFFSET(anet_memory_plan, total, 56);

SIZE(anet_batch, 48);
OFFSET(anet_batch, struct_size, 0);
OFFSET(anet_batch, sequence_count, 4);
OFFSET(anet_batch, sequence_length, 8);
OFFSET(anet_batch, reserved, 12);
OFFSET(anet_batch, tokens, 16);
OFFSET(anet_batch, targets, 24);
OFFSET(anet_batch, positions, 32);
OFFSET(anet_batch, parts, 40);
OFFSET(anet_batch, reserved2, 44);

SIZE(anet_step_result, 216);
OFFSET(anet_step_result, struct_size, 0);
OFFSET(anet_step_result, skipped, 4);
OFFSET(anet_step_result, step, 8);
OFFSET(anet_step_result, loss, 16);
OFFSET(anet_step_result, tokens, 24);
OFFSET(anet_step_result, grad_norm, 32);
OFFSET(anet_step_result, learning_rate, 40);
OFFSET(anet_step_result, loss_scale, 48);
OFFSET(anet_step_result, seconds, 56);
OFFSET(anet_step_result, forward_seconds, 64);
OFFSET(anet_step_result, backward_seconds, 72);
OFFSET(anet_step_result, loss_seconds, 80);
OFFSET(anet_step_result, optimizer_seconds, 88);
OFFSET(anet_step_result, staging_seconds, 96);
OFFSET(anet_step_result, bytes_staged, 104);
OFFSET(anet_step_result, engine_evaluations, 112);
OFFSET(anet_step_result, engine_seconds, 120);
OFFSET(anet_step_result, host_seconds, 128);
OFFSET(anet_step_result, copy_seconds, 136);
OFFSET(anet_step_result, engine_flops, 144);
OFFSET(anet_step_result, host_flops, 152);
OFFSET(anet_step_result, engine_bytes_in, 160);
OFFSET(anet_step_result, engine_bytes_out, 168);
OFFSET(anet_step_result, retries, 176);
OFFSET(anet_step_result, fallbacks, 184);
OFFSET(anet_step_result, audits, 192);
OFFSET(anet_step_result, audit_error, 200);
OFFSET(anet_step_result, tokens_seen, 208);

SIZE(anet_eval_result, 32);
OFFSET(anet_eval_result, struct_size, 0);
OFFSET(anet_eval_result, reserved, 4);
OFFSET(anet_eval_result, loss, 8);
OFFSET(anet_eval_result, tokens, 16);
OFFSET(anet_eval_result, seconds, 24);

SIZE(anet_document_loss, 32);
OFFSET(anet_document_loss, row, 0);
OFFSET(anet_document_loss, document, 8);
OFFSET(anet_document_loss, begin, 12);
OFFSET(anet_document_loss, loss_sum, 16);
OFFSET(anet_document_loss, tokens, 24);

SIZE(anet_step_summary, 112);
OFFSET(anet_step_summary, struct_size, 0);
OFFSET(anet_step_summary, skipped, 4);
OFFSET(anet_step_summary, step, 8);
OFFSET(anet_step_summary, loss, 16);
OFFSET(anet_step_summary, tokens, 24);
OFFSET(anet_step_summary, grad_norm, 32);
OFFSET(anet_step_summary, learning_rate, 40);
OFFSET(anet_step_summary, loss_scale, 48);
OFFSET(anet_step_summary, seconds, 56);
OFFSET(anet_step_summary, forward_seconds, 64);
OFFSET(anet_step_summary, backward_seconds, 72);
OFFSET(anet_step_summary, loss_seconds, 80);
OFFSET(anet_step_summary, optimizer_seconds, 88);
OFFSET(anet_step_summary, staging_seconds, 96);
OFFSET(anet_step_summary, bytes_staged, 104);

SIZE(anet_fit_event, 176);
OFFSET(anet_fit_event, struct_size, 0);
OFFSET(anet_fit_event, kind, 4);
OFFSET(anet_fit_event, step, 8);
OFFSET(anet_fit_event, eval, 120);
OFFSET(anet_fit_event, checkpoint, 152);
OFFSET(anet_fit_event, result, 160);
OFFSET(anet_fit_event, improved, 168);
OFFSET(anet_fit_event, reserved, 172);

SIZE(anet_fit_options, 104);
OFFSET(anet_fit_options, struct_size, 0);
OFFSET(anet_fit_options, reserved, 4);
OFFSET(anet_fit_options, steps, 8);
OFFSET(anet_fit_options, eval_every, 16);
OFFSET(anet_fit_options, eval_windows, 24);
OFFSET(anet_fit_options, save_every, 32);
OFFSET(anet_fit_options, checkpoint_root, 40);
OFFSET(anet_fit_options, keep_last, 48);
OFFSET(anet_fit_options, reserved2, 52);
OFFSET(anet_fit_options, callback, 56);
OFFSET(anet_fit_options, user_data, 64);
OFFSET(anet_fit_options, patience, 72);
OFFSET(anet_fit_options, min_delta, 80);
OFFSET(anet_fit_options, sample_every, 88);
OFFSET(anet_fit_options, eval_at_end, 96);
OFFSET(anet_fit_options, reserved3, 100);

SIZE(anet_fit_result, 176);
OFFSET(anet_fit_result, struct_size, 0);
OFFSET(anet_fit_result, end, 4);
OFFSET(anet_fit_result, step, 8);
OFFSET(anet_fit_result, eval, 120);
OFFSET(anet_fit_result, best_loss, 152);
OFFSET(anet_fit_result, best_step, 160);
OFFSET(anet_fit_result, has_best, 168);
OFFSET(anet_fit_result, reserved, 172);

SIZE(anet_kernel_report, 136);
OFFSET(anet_kernel_report, struct_size, 0);
OFFSET(anet_kernel_report, reserved, 4);
OFFSET(anet_kernel_report, label, 8);
OFFSET(anet_kernel_report, where, 16);
OFFSET(anet_kernel_report, reason, 24);
OFFSET(anet_kernel_report, runs, 32);
OFFSET(anet_kernel_report, engine_evaluations, 40);
OFFSET(anet_kernel_report, engine_seconds, 48);
OFFSET(anet_kernel_report, host_seconds, 56);
OFFSET(anet_kernel_report, copy_seconds, 64);
OFFSET(anet_kernel_report, engine_flops, 72);
OFFSET(anet_kernel_report, host_flops, 80);
OFFSET(anet_kernel_report, engine_bytes_in, 88);
OFFSET(anet_kernel_report, engine_bytes_out, 96);
OFFSET(anet_kernel_report, retries, 104);
OFFSET(anet_kernel_report, fallbacks, 112);
OFFSET(anet_kernel_report, audits, 120);
OFFSET(anet_kernel_report, audit_error, 128);

SIZE(anet_save_options, 24);
OFFSET(anet_save_options, struct_size, 0);
OFFSET(anet_save_options, keep_last, 4);
OFFSET(anet_save_options, has_validation_loss, 8);
OFFSET(anet_save_options, reserved, 12);
OFFSET(anet_save_options, validation_loss, 16);

SIZE(anet_generator_options, 24);
OFFSET(anet_generator_options, struct_size, 0);
OFFSET(anet_generator_options, context_length, 4);
OFFSET(anet_generator_options, precision, 8);
OFFSET(anet_generator_options, batch_size, 12);
OFFSET(anet_generator_options, adapter_rank, 16);
OFFSET(anet_generator_options, reserved, 20);

SIZE(anet_sampling_options, 64);
OFFSET(anet_sampling_options, struct_size, 0);
OFFSET(anet_sampling_options, max_tokens, 4);
OFFSET(anet_sampling_options, temperature, 8);
OFFSET(anet_sampling_options, top_p, 16);
OFFSET(anet_sampling_options, top_k, 24);
OFFSET(anet_sampling_options, stop_count, 28);
OFFSET(anet_sampling_options, stop_ids, 32);
OFFSET(anet_sampling_options, seed, 40);
OFFSET(anet_sampling_options, repetition_penalty, 48);
OFFSET(anet_sampling_options, min_p, 56);

SIZE(anet_generation_result, 40);
OFFSET(anet_generation_result, struct_size, 0);
OFFSET(anet_generation_result, finish_reason, 4);
OFFSET(anet_generation_result, prompt_tokens, 8);
OFFSET(anet_generation_result, generated_tokens, 16);
OFFSET(anet_generation_result, prefill_seconds, 24);
OFFSET(anet_generation_result, decode_seconds, 32);

SIZE(anet_prompt, 24);
OFFSET(anet_prompt, ids, 0);
OFFSET(anet_prompt, count, 8);
OFFSET(anet_prompt, seed, 16);

#endif

/* A translation unit is never empty. */
typedef int anet_abi_offsets_checked;
