"""The C ABI of tests/parity/library.py, for sessions that train an adapter."""

import ctypes as C
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests" / "parity"))

from library import DeviceOptions, Library, Struct

COMPRESSION = {"int8_channel": 1, "int8_block": 2, "int4_block": 3, "palette4": 4}


class AdapterOptions(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("rank", C.c_int32), ("alpha", C.c_double),
                ("dropout", C.c_double), ("rslora", C.c_int32), ("dora", C.c_int32),
                ("targets", C.c_char_p), ("first_layer", C.c_int32), ("layer_count", C.c_int32),
                ("overrides", C.c_void_p), ("override_count", C.c_size_t), ("seed", C.c_uint64)]


class QuantizeOptions(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("compression", C.c_int32),
                ("block_size", C.c_int32), ("reserved", C.c_uint32), ("overrides", C.c_void_p),
                ("override_count", C.c_size_t), ("device", C.c_void_p), ("progress", C.c_void_p),
                ("user_data", C.c_void_p)]


class LoadOptions(Struct):
    _fields_ = [("struct_size", C.c_uint32), ("reserved", C.c_uint32), ("progress", C.c_void_p),
                ("user_data", C.c_void_p), ("quantize", C.POINTER(QuantizeOptions))]


class AdapterLibrary(Library):
    """One adapter in one session: on a model that is loaded from a path, or made at random."""

    def __init__(self, path, options, adapter, folder=None, config=None, compression=None,
                 threads=0, seed=1, ane=None):
        self._c = C.CDLL(path)
        for name in ("anet_error_message", "anet_status_name"):
            getattr(self._c, name).restype = C.c_char_p
        self._c.anet_session_kernel_count.restype = C.c_size_t
        self._device, self._model, self._session = C.c_void_p(), C.c_void_p(), C.c_void_p()
        self._adapter = C.c_void_p()
        device = DeviceOptions(threads=threads)
        if ane is not None:
            device.ane = C.pointer(ane)
        self._call("anet_device_open", b"cpu" if ane is None else b"ane", C.byref(device),
                   C.byref(self._device))
        if folder is None:
            self._call("anet_model_create", C.byref(config), C.c_uint64(seed),
                       C.byref(self._model))
        else:
            self._load(folder, compression)
        self._call("anet_adapter_create", self._model, C.byref(adapter), C.byref(self._adapter))
        self._call("anet_session_create_adapter", self._device, self._adapter, C.byref(options),
                   C.byref(self._session))
        self.options = options

    def _load(self, folder, compression):
        load = LoadOptions()
        if compression:
            quantize = QuantizeOptions(compression=COMPRESSION[compression], device=self._device)
            load.quantize = C.pointer(quantize)
        self._call("anet_model_load", str(folder).encode(), C.byref(load), C.byref(self._model))
