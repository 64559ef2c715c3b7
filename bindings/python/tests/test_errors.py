"""Statuses become exceptions of the fitting kind, with all that the library says."""

from __future__ import annotations

import errno
import pickle
import re
from pathlib import Path

import pytest

import ane_train
from ane_train import AneTrainError, Device, Model, ModelConfig, Program, Session, Status, Tokenizer
from ane_train import errors


def test_every_status_has_a_class() -> None:
    classes = {error.status: error for error in AneTrainError.__subclasses__()}
    assert set(classes) == set(Status) - {Status.OK}
    for status, error in classes.items():
        assert error("x").name == error("y").name != "unknown status"
        assert f"({int(status)})" in str(error("x"))


@pytest.mark.parametrize(
    ("error", "built_in"),
    [
        (errors.InvalidArgumentError, ValueError),
        (errors.UnsupportedOptionError, ValueError),
        (errors.ShapeMismatchError, ValueError),
        (errors.TypeMismatchError, TypeError),
        (errors.OutOfRangeError, IndexError),
        (errors.OutOfRangeError, ValueError),
        (errors.NotFoundError, LookupError),
        (errors.UnsupportedError, NotImplementedError),
        (errors.AccessError, PermissionError),
        (errors.InputOutputError, OSError),
        (errors.DiskFullError, OSError),
        (errors.MissingFileError, FileNotFoundError),
        (errors.OutOfMemoryError, MemoryError),
        (errors.MemoryLimitError, MemoryError),
        (errors.InvalidDataError, ValueError),
        (errors.NumericError, ArithmeticError),
    ],
)
def test_built_in_bases(error: type[AneTrainError], built_in: type[Exception]) -> None:
    assert issubclass(error, built_in)
    assert issubclass(error, RuntimeError)


def test_missing_file_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError, match="/nowhere/model") as raised:
        Model.load("/nowhere/model")
    error = raised.value
    assert isinstance(error, AneTrainError)
    assert (error.status, error.name) == (Status.FILE_NOT_FOUND, "file not found")
    assert (error.domain, error.native_code, error.errno) == ("errno", errno.ENOENT, errno.ENOENT)
    assert not error.retryable


def test_line_and_column() -> None:
    with pytest.raises(errors.InvalidConfigError) as raised:
        ModelConfig.from_json('{\n  "hidden_size": 32,\n  "layer_count" 2}')
    assert raised.value.line == 3 and raised.value.column > 1
    with pytest.raises(errors.InvalidProgramError) as parsed:
        Program("program(1.0)\n{ nonsense }")
    assert parsed.value.line == 2
    assert "line 2" in str(parsed.value)


def test_unknown_names_are_lookup_errors() -> None:
    with pytest.raises(LookupError, match="tiny"):
        ModelConfig.named("tinny")
    with pytest.raises(errors.NotFoundError):
        Device("gpu")
    with pytest.raises(errors.UnavailableError):
        Device("ane", ane={"framework_path": "/nowhere/Framework"})


def test_status_predicates() -> None:
    assert errors.Busy().retryable and errors.OutOfMemoryError().retryable
    assert not errors.InvalidArgumentError().retryable


def test_options_are_checked(device: Device, model: Model) -> None:
    with pytest.raises(TypeError, match="no 'lerning_rate'; did you mean 'learning_rate'"):
        Session(device, model, lerning_rate=1e-3)
    with pytest.raises(ValueError, match="'f32', 'f16', 'bf16'"):
        Session(device, model, precision="f8")
    with pytest.raises(ValueError, match="batch_size"):
        Session(device, model, batch_size=1 << 40)
    with pytest.raises(ValueError, match="seed"):
        Session(device, model, seed=-1)
    with pytest.raises(TypeError, match="learning_rate"):
        Session(device, model, learning_rate="fast")
    with pytest.raises(errors.InvalidArgumentError, match="learning_rate"):
        Session(device, model, learning_rate=-1.0)
    with pytest.raises(errors.MemoryLimitError):
        Session(device, model, max_memory=1000)
    with pytest.raises(errors.UnsupportedOptionError, match="optimizer_precision"):
        Session(device, model, optimizer_precision="f16")
    with pytest.raises(ValueError, match="null"):
        Model.load("a\0b")


def test_closed_objects_say_so(tokenizer: Tokenizer) -> None:
    device = Device("cpu", threads=1)
    device.close()
    device.close()
    assert device.closed and repr(device) == "Device(closed)"
    with pytest.raises(ValueError, match="expected an open Device, seen a closed one"):
        device.info
    with Model.create("stories260K") as model:
        assert model.weight_count > 0
    with pytest.raises(errors.InvalidHandleError):
        model.weight_count


def test_pickling_is_refused(device: Device, model: Model, session: Session) -> None:
    for thing in (device, model, session):
        with pytest.raises(TypeError, match=f"a {type(thing).__name__} cannot be pickled"):
            pickle.dumps(thing)


def test_classes_without_a_constructor_say_so() -> None:
    with pytest.raises(TypeError, match="class methods that make a Model"):
        Model()


def test_a_session_that_is_not_closed_warns(device: Device, model: Model) -> None:
    session = Session(device, model, batch_size=1, sequence_length=8)
    with pytest.warns(ResourceWarning, match="session was not closed"):
        del session


def test_versions_agree() -> None:
    header = Path(__file__).parents[3] / "include" / "ane_train.h"
    found = re.search(r"ANET_VERSION_NUMBER (\d+)", header.read_text())
    assert found is not None
    assert ane_train.version_number() == int(found[1])
    assert ane_train.__version__ in ane_train.build_info()
