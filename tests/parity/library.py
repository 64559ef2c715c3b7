"""Just enough of the C ABI, through ctypes, to compare with and to time against PyTorch."""

import ctypes as C
import json

MAX_RANK = 8
PRECISION = {"default": 0, "f32": 1, "f16": 2, "bf16": 3}
PLACEMENT = {"measured": 0, "engine": 1, "host": 2}

# What several structs count: the work and where it ran.
COUNTERS = [("engine_evaluations", C.c_uint64), ("engine_seconds", C.c_double),
            ("host_seconds", C.c_double), ("copy_seconds", C.c_double),
            ("engine_flops", C.c_uint64), ("host_flops", C.c_uint64),
            ("engine_bytes_in", C.c_uint64), ("engine_bytes_out", C.c_uint64),
            ("retries", C.c_uint64), ("fallbacks", C.c_uint64), ("audits", C.c_uint64),
            ("audit_error", C.c_double)]


class Struct(C.Structure):
    def __init__(self, **fields):
        super().__init__(struct_size=C.sizeof(type(self)), **fields)


class ModelConfig(Struct):
    _fields_ = [("struct_size", C.c_uint32)] + [
        (name, C.c_int32) for name in (
            "vocab_size", "hidden_size", "intermediate_size", "layer_count", "head_count",
            "kv_head_count", "head_dim", "context_length", "tie_embeddings", "qkv_bias",
            "qk_norm")
    ] + [("rope_theta", C.c_double), ("norm_epsilon", C.c_double)]


class SessionOptions(Struct):
    _fields_ = [
        ("struct_size", C.c_uint32), ("precision", C.c_int32), ("batch_size", C.c_int32),
        ("sequence_length", C.c_int32), ("accumulation_steps", C.c_int32),
        ("activation_checkpointing", C.c_int32), ("loss_chunk", C.c_int32),
        ("optimizer", C.c_int32), ("learning_rate", C.c_double), ("beta1", C.c_double),
        ("beta2", C.c_double), ("epsilon", C.c_double), ("momentum", C.c_double),
        ("weight_decay", C.c_double), ("clip_norm", C.c_double), ("schedule", C.c_int32),
        ("reserved", C.c_int32), ("warmup_steps", C.c_int64), ("total_steps", C.c_int64),
        ("decay_steps", C.c_int64), ("min_learning_rate", C.c_double),
        ("initial_loss_scale", C.c_double), ("loss_scale_growth_steps", C.c_int64),
        ("seed", C.c_uint64), ("max_memory", C.c_uint64), ("documents", C.c_int32),
        ("length_buckets", C.c_int32), ("trainable", C.c_char_p),
        ("optimizer_precision", C.c_int32), ("reserved2", C.c_int32),
    ]


class Batch(Struct):
    _fields_ = [
        ("struct_size", C.c_uint32), ("sequence_count", C.c_int32),
        ("sequence_length", C.c_int32), ("reserved", C.c_uint32),
        ("tokens", C.POINTER(C.c_int32)), ("targets", C.POINTER(C.c_int32)),
        ("positions", C.POINTER(C.c_int32)), ("parts", C.c_int32), ("reserved2", C.c_int32),
    ]


class StepResult(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("skipped", C.c_int32), ("step", C.c_int64),
                ("loss", C.c_double), ("tokens", C.c_uint64), ("grad_norm", C.c_double),
                ("learning_rate", C.c_double), ("loss_scale", C.c_double)] + [
        (name, C.c_double) for name in (
            "seconds", "forward_seconds", "backward_seconds", "loss_seconds",
            "optimizer_seconds", "staging_seconds")
    ] + [("bytes_staged", C.c_uint64)] + COUNTERS


class KernelReport(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("reserved", C.c_uint32), ("label", C.c_char_p),
                ("where", C.c_char_p), ("reason", C.c_char_p), ("runs", C.c_uint64)] + COUNTERS


class MemoryPlan(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("reserved", C.c_uint32)] + [
        (name, C.c_uint64) for name in (
            "weights", "gradients", "optimizer", "staged", "activations", "workspace", "total")]


class AneOptions(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("compile_budget", C.c_int32),
                ("framework_path", C.c_char_p), ("cache_directory", C.c_char_p),
                ("qos", C.c_int32), ("forward", C.c_int32), ("loss", C.c_int32),
                ("input_gradients", C.c_int32), ("weight_gradients", C.c_int32),
                ("programs", C.c_int32), ("audit_every", C.c_int32), ("audit_action", C.c_int32),
                ("audit_tolerance", C.c_double), ("audit_kernels", C.c_char_p)]


class DeviceOptions(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("threads", C.c_uint32), ("log_level", C.c_int32),
                ("reserved", C.c_uint32), ("log", C.c_void_p), ("log_user_data", C.c_void_p),
                ("ane", C.POINTER(AneOptions))]


class Parameter(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("rank", C.c_uint32), ("name", C.c_char_p),
                ("shape", C.c_int64 * MAX_RANK), ("offset", C.c_uint64),
                ("element_count", C.c_uint64), ("compression", C.c_int32),
                ("block_size", C.c_int32), ("bytes", C.c_uint64)]


class AdapterOverride(C.Structure):
    _fields_ = [("pattern", C.c_char_p), ("rank", C.c_int32), ("reserved", C.c_uint32),
                ("alpha", C.c_double)]


class AdapterOptions(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("rank", C.c_int32), ("alpha", C.c_double),
                ("dropout", C.c_double), ("rslora", C.c_int32), ("dora", C.c_int32),
                ("targets", C.c_char_p), ("first_layer", C.c_int32), ("layer_count", C.c_int32),
                ("overrides", C.POINTER(AdapterOverride)), ("override_count", C.c_size_t),
                ("seed", C.c_uint64)]


class AdapterModule(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("rank", C.c_int32), ("name", C.c_char_p),
                ("alpha", C.c_double), ("scale", C.c_double)]


class AdapterInfo(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("rank", C.c_int32), ("alpha", C.c_double),
                ("dropout", C.c_double), ("rslora", C.c_int32), ("dora", C.c_int32),
                ("module_count", C.c_uint64), ("weight_count", C.c_uint64)]


COMPRESSION = {"int8_channel": 1, "int8_block": 2, "int4_block": 3, "palette4": 4}


class QuantizeOptions(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("compression", C.c_int32),
                ("block_size", C.c_int32), ("reserved", C.c_uint32), ("overrides", C.c_void_p),
                ("override_count", C.c_size_t), ("device", C.c_void_p), ("progress", C.c_void_p),
                ("user_data", C.c_void_p)]


class LoadOptions(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("reserved", C.c_uint32), ("progress", C.c_void_p),
                ("user_data", C.c_void_p), ("quantize", C.POINTER(QuantizeOptions))]


class WeightedAdapter(C.Structure):
    _fields_ = [("adapter", C.c_void_p), ("weight", C.c_double)]


class Library:
    """One model, or an adapter of it, in one session, on the CPU or, with its options, on the
    Neural Engine. The model is made at random, or loaded from a folder and then quantized on the
    way. An adapter's model gets its weights before the adapter is made."""

    def __init__(self, path, config, options, threads=0, seed=1, ane=None, adapter=None,
                 weights=None, quantize=None, folder=None):
        self._c = C.CDLL(path)
        for name in ("anet_error_message", "anet_status_name"):
            getattr(self._c, name).restype = C.c_char_p
        for name in ("anet_model_parameter_count", "anet_adapter_parameter_count",
                     "anet_session_kernel_count"):
            getattr(self._c, name).restype = C.c_size_t
        self._device, self._model, self._session = C.c_void_p(), C.c_void_p(), C.c_void_p()
        device = DeviceOptions(threads=threads)
        if ane is not None:
            device.ane = C.pointer(ane)
        self._call("anet_device_open", b"cpu" if ane is None else b"ane", C.byref(device),
                   C.byref(self._device))
        self._adapter = C.c_void_p()
        self.options = options
        self.config = config
        if quantize is not None:
            quantize.device = self._device.value
        if folder is None:
            self._make_model(config, seed, weights, quantize)
        else:
            load = LoadOptions(quantize=C.pointer(quantize) if quantize else None)
            self._call("anet_model_load", str(folder).encode(), C.byref(load),
                       C.byref(self._model))
        if adapter is None:
            self._call("anet_session_create", self._device, self._model, C.byref(options),
                       C.byref(self._session))
            self.parameters = self._parameters("anet_model", self._model)
        else:
            self._call("anet_adapter_create", self._model, C.byref(adapter),
                       C.byref(self._adapter))
            self._call("anet_session_create_adapter", self._device, self._adapter,
                       C.byref(options), C.byref(self._session))
            self.parameters = self._parameters("anet_adapter", self._adapter)

    def _make_model(self, config, seed, weights, quantize):
        self._call("anet_model_create", C.byref(config), C.c_uint64(seed), C.byref(self._model))
        if weights is not None:
            self.write_model(weights)
        if quantize is not None:
            plain, self._model = self._model, C.c_void_p()
            self._call("anet_model_quantize", plain, C.byref(quantize), C.byref(self._model))
            self._c.anet_model_release(plain)

    def _parameters(self, kind, handle):
        parameters = []
        for index in range(getattr(self._c, kind + "_parameter_count")(handle)):
            parameter = Parameter()
            self._call(kind + "_get_parameter", handle, C.c_size_t(index), C.byref(parameter))
            parameters.append(parameter)
        return parameters

    def write_model(self, weights):
        """Copies NumPy arrays into the model: by name, or those that a function makes of a parameter's
        name and shape; None leaves it as it is."""
        import numpy
        for index, parameter in enumerate(self._parameters("anet_model", self._model)):
            name, shape = parameter.name.decode(), tuple(parameter.shape[:parameter.rank])
            values = weights(name, shape) if callable(weights) else weights[name]
            if values is None:
                continue
            values = numpy.ascontiguousarray(values, numpy.float32)
            self._call("anet_model_write_parameter", self._model, C.c_size_t(index),
                       values.ctypes.data_as(C.POINTER(C.c_float)), C.c_size_t(values.size))

    def modules(self):
        """The adapter's modules: name, rank and scale."""
        info = AdapterInfo()
        self._call("anet_adapter_get_info", self._adapter, C.byref(info))
        result = []
        for index in range(info.module_count):
            module = AdapterModule()
            self._call("anet_adapter_get_module", self._adapter, C.c_size_t(index),
                       C.byref(module))
            result.append((module.name.decode(), module.rank, module.scale))
        return result

    def _logits(self, model, adapters, prompt):
        import numpy
        generator = C.c_void_p()
        self._call("anet_generator_create", self._device, model, None, None, C.byref(generator))
        if adapters is not None:
            self._call("anet_generator_set_adapters", generator, adapters,
                       C.c_size_t(len(adapters)))
        ids = (C.c_int32 * len(prompt))(*prompt)
        values = numpy.empty(self.config.vocab_size, numpy.float32)
        self._call("anet_generator_logits", generator, ids, C.c_size_t(len(prompt)),
                   values.ctypes.data_as(C.POINTER(C.c_float)), C.c_size_t(values.size))
        self._c.anet_generator_release(generator)
        return values

    def adapted_logits(self, prompt):
        """After a prompt: of the model with its adapter attached, and of the merged model."""
        adapters = (WeightedAdapter * 1)(WeightedAdapter(self._adapter, 1.0))
        merged = C.c_void_p()
        self._call("anet_model_merge", self._model, adapters, C.c_size_t(1), C.byref(merged))
        result = self._logits(self._model, adapters, prompt), self._logits(merged, None, prompt)
        self._c.anet_model_release(merged)
        return result

    def _call(self, name, *arguments):
        error = C.c_void_p()
        if getattr(self._c, name)(*arguments, C.byref(error)) != 0:
            raise RuntimeError(f"{name}: {self._c.anet_error_message(error).decode()}")

    def _flat(self, name):
        import numpy
        data, count = C.POINTER(C.c_float)(), C.c_size_t()
        self._call(name, self._session, C.byref(data), C.byref(count))
        return numpy.ctypeslib.as_array(data, (count.value,))

    def _views(self, flat):
        views = {}
        for p in self.parameters:
            shape = tuple(p.shape[:p.rank])
            views[p.name.decode()] = flat[p.offset:p.offset + p.element_count].reshape(shape)
        return views

    def weights(self):
        """NumPy views of the weights by name; call weights_changed after writing."""
        return self._views(self._flat("anet_session_get_weights"))

    def gradients(self):
        return self._views(self._flat("anet_session_get_gradients"))

    def weights_changed(self):
        self._call("anet_session_weights_changed", self._session)

    def _batch(self, tokens, targets, parts=0):
        import numpy
        arrays = [numpy.ascontiguousarray(a, dtype=numpy.int32) for a in (tokens, targets)]
        pointers = [a.ctypes.data_as(C.POINTER(C.c_int32)) for a in arrays]
        batch = Batch(sequence_count=arrays[0].shape[0], sequence_length=arrays[0].shape[1],
                      tokens=pointers[0], targets=pointers[1], parts=parts)
        return batch, arrays

    def step(self, tokens, targets, parts=0):
        batch, _keep = self._batch(tokens, targets, parts)
        result = StepResult()
        self._call("anet_session_step", self._session, C.byref(batch), C.c_size_t(1),
                   C.byref(result))
        return result

    def forward_backward(self, tokens, targets):
        batch, _keep = self._batch(tokens, targets)
        result = StepResult()
        self._call("anet_session_forward_backward", self._session, C.byref(batch),
                   C.byref(result))
        return result

    def zero_gradients(self):
        self._call("anet_session_zero_gradients", self._session)

    def kernels(self):
        """Where each of the session's programs ran, and what it did."""
        reports = []
        for index in range(self._c.anet_session_kernel_count(self._session)):
            report = KernelReport()
            self._call("anet_session_get_kernel_report", self._session, C.c_size_t(index),
                       C.byref(report))
            reports.append(report)
        return reports

    def device_report(self):
        length = C.c_size_t()
        self._call("anet_device_get_report", self._device, None, C.c_size_t(), C.byref(length))
        text = C.create_string_buffer(length.value + 1)
        self._call("anet_device_get_report", self._device, text, C.c_size_t(len(text)),
                   C.byref(length))
        return json.loads(text.value)

    def memory_plan(self):
        plan = MemoryPlan()
        self._call("anet_session_get_memory_plan", self._session, C.byref(plan))
        return plan
