"""Writing text."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from ane_train import Adapter, Cancelled, Device, FinishReason, Generator, Model, Tokenizer
from ane_train.errors import InvalidDataError, OutOfRangeError


@pytest.fixture
def generator(device: Device, model: Model, tokenizer: Tokenizer) -> Generator:
    return Generator(device, model, tokenizer, batch_size=2)


def test_text_and_ids_are_the_same_prompt(generator: Generator, tokenizer: Tokenizer) -> None:
    by_text = generator.generate("Once", max_tokens=6)
    by_ids = generator.generate(tokenizer.encode("Once"), max_tokens=6)
    assert by_text.ids.tolist() == by_ids.ids.tolist() and by_text.text == by_ids.text
    assert (by_text.prompt_tokens, by_text.generated_tokens) == (4, 6)
    assert by_text.finish_reason == FinishReason.LENGTH


def test_greedy_takes_the_largest_logit(generator: Generator) -> None:
    logits = generator.logits("Once")
    assert logits.dtype == np.float32 and logits.shape == (512,)
    assert generator.generate("Once", max_tokens=1).ids[0] == int(logits.argmax())


def test_stop_ids_and_bad_prompts(generator: Generator) -> None:
    first = int(generator.logits("Once").argmax())
    stopped = generator.generate("Once", max_tokens=9, stop_ids=[first])
    assert (stopped.finish_reason, len(stopped.ids)) == (FinishReason.STOP, 0)
    with pytest.raises(InvalidDataError):
        generator.generate([])
    with pytest.raises(OutOfRangeError):
        generator.generate([100000])
    with pytest.raises(ValueError):
        generator.generate("Once", top_p=2.0)


def test_sampling_repeats_with_its_seed(generator: Generator) -> None:
    options = {"max_tokens": 12, "temperature": 1.0, "top_k": 50}
    texts = [generator.generate("Once", seed=seed, **options).ids.tolist() for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_stream_is_the_text(generator: Generator) -> None:
    whole = generator.generate("Once upon", max_tokens=20)
    assert "".join(generator.stream("Once upon", max_tokens=20)) == whole.text
    with pytest.raises(InvalidDataError):
        list(generator.stream([]))


def test_stream_left_early_joins_its_thread(generator: Generator) -> None:
    for piece in generator.stream("Once", max_tokens=400):
        break
    assert "ane_train.stream" not in [thread.name for thread in threading.enumerate()]
    assert generator.generate("Once", max_tokens=2).generated_tokens == 2


def test_stream_of_a_closed_generator_joins_its_thread(generator: Generator) -> None:
    pieces = generator.stream("Once", max_tokens=400)
    next(pieces)
    generator.close()
    pieces.close()  # type: ignore[attr-defined]
    assert "ane_train.stream" not in [thread.name for thread in threading.enumerate()]


def test_batches_write_what_each_would(generator: Generator) -> None:
    prompts = ["Once", "Twice upon", "x"]
    alone = [generator.generate(prompt, max_tokens=8) for prompt in prompts]
    together = generator.generate_batch(prompts, max_tokens=8)
    assert [one.ids.tolist() for one in together] == [one.ids.tolist() for one in alone]
    assert [one.text for one in together] == [one.text for one in alone]
    sampled = generator.generate_batch(["a", "a"], seeds=[1, 2], temperature=1.0, max_tokens=9)
    assert sampled[0].ids.tolist() != sampled[1].ids.tolist()


def test_callbacks_stop_and_fail(generator: Generator) -> None:
    stopped = generator.generate("Once", max_tokens=9, callback=lambda id, text: True)
    assert (stopped.finish_reason, len(stopped.ids)) == (FinishReason.CALLBACK, 1)

    def fail(*arguments: object) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        generator.generate("Once", max_tokens=9, callback=fail)
    with pytest.raises(KeyError, match="mine"):
        generator.generate_batch(["a", "b", "c"], max_tokens=9, callback=fail)
    assert generator.generate("Once", max_tokens=2).generated_tokens == 2


def test_cancel_from_another_thread(generator: Generator) -> None:
    def cancel(id: int, text: str) -> None:
        other = threading.Thread(target=generator.cancel)
        other.start()
        other.join()

    with pytest.raises(Cancelled):
        generator.generate("Once", max_tokens=9, callback=cancel)


def test_adapters_are_exchanged(generator: Generator, model: Model) -> None:
    before = generator.logits("Once")
    adapter = Adapter.create(model, rank=2, targets="q_proj", seed=3)
    for name in adapter.parameters:
        if "lora_B" in name:
            adapter.parameters[name] = np.ones(adapter.parameters.info(name).shape)
    generator.set_adapters(adapter)
    attached = generator.logits("Once")
    generator.set_adapters((adapter, 0.5))
    halved = generator.logits("Once")
    generator.set_adapters()
    assert not np.allclose(before, attached) and not np.allclose(attached, halved)
    assert np.array_equal(generator.logits("Once"), before)


def test_without_a_tokenizer_there_are_ids(device: Device, model: Model) -> None:
    generator = Generator(device, model)
    generated = generator.generate([1, 2], max_tokens=3)
    assert len(generated.ids) == 3 and generated.text == ""
    with pytest.raises(TypeError, match="no tokenizer"):
        generator.generate("Once")
