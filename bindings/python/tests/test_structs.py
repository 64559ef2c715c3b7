"""Options and results have the fields of the C structs, no more and no fewer."""

from __future__ import annotations

import dataclasses
from typing import get_type_hints

import pytest

from ane_train import _native, enums, model, options, results

# Not options of their own: sizes, padding, callbacks, and what a parameter of the call stands for.
UNSEEN = {"struct_size", "reserved", "reserved2", "reserved3", "user_data", "thisown"}


def struct_fields(struct: type) -> set[str]:
    return {name for name, value in vars(struct).items() if isinstance(value, property)} - UNSEEN


@pytest.mark.parametrize(
    ("schema", "struct", "elsewhere"),
    [
        (options.AneOptions, _native.anet_ane_options, set()),
        (
            options.DifferentiateOptions,
            _native.anet_differentiate_options,
            {"input_count", "output_count"},
        ),
        (options.ProgramQuantizeOptions, _native.anet_program_quantize_options, set()),
        (
            options.QuantizeOptions,
            _native.anet_quantize_options,
            {"override_count", "device", "progress"},
        ),
        (options.ExportOptions, _native.anet_export_options, {"progress"}),
        (options.AdapterOptions, _native.anet_adapter_options, {"override_count"}),
        (options.AdapterSaveOptions, _native.anet_adapter_save_options, set()),
        (
            options.ExamplesOptions,
            _native.anet_examples_options,
            {"stop_count", "chat_template", "device", "progress"},
        ),
        (options.DatasetOptions, _native.anet_dataset_options, {"sequence_length"}),
        (options.RowsOptions, _native.anet_rows_options, {"sequence_length"}),
        (options.SessionOptions, _native.anet_session_options, set()),
        (options.FitOptions, _native.anet_fit_options, {"steps", "callback"}),
        (options.GeneratorOptions, _native.anet_generator_options, set()),
        (options.SamplingOptions, _native.anet_sampling_options, {"stop_count"}),
    ],
)
def test_options(schema: type, struct: type, elsewhere: set[str]) -> None:
    assert set(get_type_hints(schema)) | elsewhere == struct_fields(struct)


@pytest.mark.parametrize(
    ("result", "struct"),
    [
        (results.DeviceListing, _native.anet_device_listing),
        (results.DeviceInfo, _native.anet_device_info),
        (results.KernelStatistics, _native.anet_kernel_statistics),
        (results.KernelReport, _native.anet_kernel_report),
        (results.TensorReport, _native.anet_tensor_report),
        (results.AdapterInfo, _native.anet_adapter_info),
        (results.AdapterModule, _native.anet_adapter_module),
        (results.MemoryPlan, _native.anet_memory_plan),
        (results.Evaluation, _native.anet_eval_result),
        (results.StepSummary, _native.anet_step_summary),
        (results.DocumentLoss, _native.anet_document_loss),
        (model.ModelConfig, _native.anet_model_config),
    ],
)
def test_results(result: type, struct: type) -> None:
    assert {field.name for field in dataclasses.fields(result)} == struct_fields(struct)


def test_step_result_has_the_struct_and_what_train_adds() -> None:
    names = {field.name for field in dataclasses.fields(results.StepResult)}
    assert names - {"evaluation", "checkpoint"} == struct_fields(_native.anet_step_result)


def test_structs_know_their_size() -> None:
    sized = [
        value
        for value in vars(_native).values()
        if isinstance(value, type) and hasattr(value, "struct_size")
    ]
    assert len(sized) > 35
    for struct in sized:
        assert struct().struct_size > 4, struct


def test_every_constant_is_an_enumerator() -> None:
    constants = {name for name in vars(_native) if name.startswith("ANET_")}
    sources = [value for value in vars(enums).values() if isinstance(value, type)]
    values = {int(member) for source in sources if issubclass(source, int) for member in source}
    plain = {"ANET_MAX_RANK", "ANET_ABI_VERSION", "ANET_NO_OFFSET"}
    for name in constants - plain:
        if not name.startswith("ANET_VERSION_"):
            assert getattr(_native, name) in values, name


def test_enumerations_take_names() -> None:
    assert enums.Precision("f16") is enums.Precision.F16
    assert enums.Schedule("COSINE") is enums.Schedule.COSINE
    assert str(enums.Compression.INT4_BLOCK) == "int4_block"
    assert str(enums.Compression.NONE) == str(enums.DType.FP32) == "fp32"
    assert [dtype.itemsize for dtype in (enums.DType.FP16, enums.DType.INT64)] == [2, 8]
    with pytest.raises(ValueError, match="'adamw', 'sgd' as Optimizer, seen 'adam'"):
        enums.Optimizer("adam")
