"""Training: steps, loops, state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ane_train import Batch, Dataset, Device, EventKind, FitEnd, FitEvent, Model, Session
from ane_train import Status
from ane_train.data import batch_struct
from ane_train.errors import InvalidStateError, OutOfRangeError, ShapeMismatchError

from conftest import BATCH, LENGTH

Make = Callable[..., Session]


def test_step_takes_arrays_batches_and_lists(make_session: Make, dataset: Dataset) -> None:
    batch = dataset.read(0, BATCH)
    losses = {
        make_session().step(batch.tokens, batch.targets).loss,
        make_session().step(batch).loss,
        make_session().step([batch]).loss,
        make_session().step(np.asarray(batch.tokens).tolist(), np.asarray(batch.targets)).loss,
    }
    assert len(losses) == 1
    assert 5 < losses.pop() < 8  # ln(512) = 6.2 before anything is learned


def test_bf16_follows_f32(make_session: Make, dataset: Dataset) -> None:
    batch = dataset.read(0, BATCH)
    narrow, wide = make_session(precision="bf16"), make_session()
    losses = [session.step(batch).loss for session in (narrow, wide)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


def test_step_over_two_micro_batches_is_the_mean_of_both(
    make_session: Make, dataset: Dataset
) -> None:
    first, second = dataset.read(0, BATCH), dataset.read(BATCH, BATCH)
    both = make_session().step([first, second])
    apart = [make_session().eval(batch).loss for batch in (first, second)]
    assert both.tokens == 2 * BATCH * LENGTH
    assert both.loss == pytest.approx(sum(apart) / 2, rel=1e-6)


def test_forward_backward_and_optimizer_step_are_a_step(
    make_session: Make, dataset: Dataset
) -> None:
    batch = dataset.read(0, BATCH)
    whole, parts = make_session(), make_session()
    whole.step(batch)
    assert parts.forward_backward(batch).loss == whole.history[0].loss
    assert np.any(parts.gradients != 0)
    assert parts.tokens == BATCH * LENGTH
    parts.optimizer_step()
    assert np.array_equal(whole.weights, parts.weights)


def test_zero_gradients_discards(session: Session, dataset: Dataset) -> None:
    session.forward_backward(dataset.read(0, BATCH))
    session.zero_gradients()
    with pytest.raises(InvalidStateError):
        session.optimizer_step()


def test_bad_batches_are_refused_and_change_nothing(session: Session, dataset: Dataset) -> None:
    batch = dataset.read(0, BATCH)
    before = session.weights.copy()
    tokens = np.asarray(batch.tokens).copy()
    with pytest.raises(ShapeMismatchError) as raised:
        session.step(tokens[:1], np.asarray(batch.targets)[:1])
    assert raised.value.status == Status.SHAPE_MISMATCH
    with pytest.raises(ValueError, match="targets"):
        session.step(tokens, np.asarray(batch.targets)[:1])
    tokens[1, 5] = 99999
    with pytest.raises(OutOfRangeError):
        session.step(tokens, batch.targets)
    with pytest.raises(TypeError):
        session.step(tokens.astype(np.float32), batch.targets)
    with pytest.raises(ValueError):
        session.step(tokens.astype(np.int64) << 40, batch.targets)
    for call in (session.forward_backward, session.eval):
        with pytest.raises(ValueError, match="one micro-batch, seen 2"):
            call([batch, batch])
    assert np.array_equal(before, session.weights)


def test_train_yields_what_fit_reports(make_session: Make, dataset: Dataset) -> None:
    options = {"steps": 5, "eval_every": 2, "eval_windows": 4, "eval_at_end": True}
    events: list[FitEvent] = []
    fitted, trained = make_session(), make_session()
    result = fitted.fit(dataset, dataset, callback=lambda e: events.append(e), **options)
    steps = list(trained.train(dataset, dataset, **options))
    assert [s.loss for s in steps] == [e.step.loss for e in events if e.kind == EventKind.STEP]
    evaluated = {s.step: s.evaluation.loss for s in steps if s.evaluation}
    assert list(evaluated) == [2, 4, 5]
    assert list(evaluated.values()) == [
        e.evaluation.loss for e in events if e.kind == EventKind.EVAL and e.evaluation
    ]
    assert result.end == FitEnd.STEPS
    assert result.step.loss == steps[-1].loss
    assert result.best_loss == min(evaluated.values())
    assert np.array_equal(fitted.weights, trained.weights)


def test_train_left_early_goes_on_later(make_session: Make, dataset: Dataset) -> None:
    whole, parts = make_session(), make_session()
    losses = [step.loss for step in whole.train(dataset, steps=6)]
    seen = []
    for step in parts.train(dataset, steps=6):
        seen.append(step.loss)
        if step.step == 2:
            break
    assert parts.step_count == 2 and parts.cursor == 2 * BATCH
    seen += [step.loss for step in parts.train(dataset, steps=4)]
    assert seen == losses
    assert np.array_equal(whole.weights, parts.weights)


def test_patience_ends_the_loop(session: Session, dataset: Dataset) -> None:
    session.learning_rate = 1e-12
    options = {"eval_every": 1, "eval_windows": 2, "patience": 2, "min_delta": 0.5}
    steps = list(session.train(dataset, dataset, steps=50, **options))
    assert len(steps) == 3


def test_callback_stops_by_kind(session: Session, dataset: Dataset) -> None:
    result = session.fit(dataset, steps=9, callback={"step": lambda e: e.step.step == 3})
    assert result.end == FitEnd.CALLBACK and session.step_count == 3
    with pytest.raises(ValueError, match="'step', 'eval'"):
        session.fit(dataset, steps=1, callback={"stepp": lambda e: None})


def test_callback_exception_comes_out(session: Session, dataset: Dataset) -> None:
    def fail(event: FitEvent) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as raised:
        session.fit(dataset, steps=5, callback=fail)
    assert "fail" in [entry.name for entry in raised.traceback]
    assert session.step_count == 1
    session.fit(dataset, steps=1)
    assert session.step_count == 2


def test_resume_is_bit_for_bit(
    make_session: Make, device: Device, dataset: Dataset, tmp_path: Path
) -> None:
    whole, half = make_session(seed=5), make_session(seed=5)
    losses = [step.loss for step in whole.train(dataset, steps=6)]
    seen = [
        step.loss for step in half.train(dataset, steps=3, save_every=3, checkpoint_root=tmp_path)
    ]
    with Session.resume(device, tmp_path) as resumed:
        assert resumed.step_count == 3
        seen += [step.loss for step in resumed.train(dataset, steps=3)]
        assert np.array_equal(whole.weights, resumed.weights)
    assert seen == losses


def test_model_and_weights_are_the_same_memory(
    model: Model, make_session: Make, dataset: Dataset
) -> None:
    session = make_session(model)
    name = "model.norm.weight"
    place = model.parameters.info(name)
    assert place.offset is not None
    part = session.weights[place.offset : place.offset + place.element_count]
    part[:] = 2
    session.weights_changed()
    assert np.all(model.parameters[name] == 2)
    assert session.model.weight_count == model.weight_count


def test_weights_outlive_the_session(model: Model, device: Device) -> None:
    session = Session(device, model, batch_size=1, sequence_length=8)
    weights = session.weights
    expected = weights.copy()
    session.close()
    del session, model
    assert np.array_equal(weights, expected)


def test_arrays_of_a_batch_are_used_in_place(dataset: Dataset) -> None:
    batch = dataset.read(0, BATCH)
    kept = batch_struct(batch)._kept
    assert [array is given for array, given in zip(kept, (batch.tokens, batch.targets))] == [
        True
    ] * 2
    copied = batch_struct(Batch(batch.tokens.astype(np.int64), batch.targets))._kept
    assert copied[0].dtype == np.int32 and np.array_equal(copied[0], batch.tokens)


def test_documents_are_scored_in_one_pass(make_session: Make) -> None:
    from ane_train import Examples

    rows = Examples([[1, 2, 3], [4, 5, 6, 7]], vocab_size=512).rows(
        LENGTH, layout="packed", sequential=True
    )
    session = make_session(documents=True)
    scores = session.score(rows, max_rows=1 << 40)  # more than there are
    assert [score.tokens for score in scores] == [2, 3]
    assert sum(score.loss_sum for score in scores) / 5 == pytest.approx(
        session.eval(rows.read(0, BATCH)).loss, rel=1e-6
    )
    runs = {report.label: report.runs for report in session.kernel_reports}
    assert runs["head_evaluation"] == 2  # one pass each
