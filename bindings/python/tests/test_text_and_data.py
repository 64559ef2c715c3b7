"""Tokenizers, templates, examples and datasets."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from ane_train import ChatTemplate, Dataset, Device, Examples, Tokenizer, Tokenize
from ane_train.errors import InvalidDataError, NotFoundError, OutOfRangeError

from conftest import LENGTH, TEXT


def test_bytes_are_ids(tokenizer: Tokenizer) -> None:
    text = "naïve, 日本"
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32 and ids.tolist() == list(text.encode())
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids.tolist()) == text
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.vocab_size) == (256, 257, 258)
    flags = Tokenize.ADD_BOS | Tokenize.ADD_EOS
    assert tokenizer.encode("a", flags).tolist() == [256, 97, 257]
    assert len(tokenizer.fingerprint) == 64
    assert tokenizer.encode("").tolist() == [] and tokenizer.decode([]) == ""
    assert tokenizer.encode("a\0b").tolist() == [97, 0, 98]
    with pytest.raises(TypeError, match="expected a str, seen bytes"):
        tokenizer.encode(b"a")  # type: ignore[arg-type]


def test_ranges_point_into_the_bytes(tokenizer: Tokenizer) -> None:
    ids, ranges = tokenizer.encode_ranges("né", Tokenize.ADD_BOS)
    assert ids.tolist() == [256, 110, 195, 169]
    assert ranges.shape == (4, 2) and ranges[1].tolist() == [0, 1]
    assert ranges[0, 0] == ranges[0, 1]


def test_bad_ids_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(OutOfRangeError):
        tokenizer.decode([100000])
    with pytest.raises(NotFoundError):
        tokenizer.special("<|nothing|>")
    with pytest.raises(FileNotFoundError):
        Tokenizer.load("/nowhere")


def test_decoder_waits_for_whole_characters(tokenizer: Tokenizer) -> None:
    decoder = tokenizer.decoder()
    decoder.prime([72])
    first, second = "é".encode()
    assert [decoder.push(first), decoder.push(second), decoder.push(first)] == ["", "é", ""]
    assert decoder.flush() == "\ufffd"


def test_chat_templates_render() -> None:
    template = ChatTemplate.built_in("chatml")
    messages = [{"role": "user", "content": "Grüße"}]
    text = template.render(messages, generation_prompt=True)
    assert "<|im_start|>user\nGrüße<|im_end|>" in text and text.endswith("assistant\n")
    assert text.startswith(template.render(messages))
    own = ChatTemplate("{{ bos_token }}{{ messages[0].content }}{{ mood }}", bos_token="<s>")
    assert own.render(messages, variables={"mood": "!"}) == "<s>Grüße!"
    assert not own.uses_date
    with pytest.raises(InvalidDataError, match="no turns"):
        ChatTemplate("{{ raise_exception('no turns') }}").render(messages)
    with pytest.raises(LookupError):
        ChatTemplate.built_in("chatmml")


def test_chat_templates_know_the_day() -> None:
    template = ChatTemplate("{{ strftime_now('%Y-%m-%d') }}")
    assert template.uses_date
    template.set_date(datetime(2024, 2, 29, tzinfo=timezone.utc))
    assert template.render([]) == "2024-02-29"


def test_examples_from_memory() -> None:
    examples = Examples([[1, 2, 3], [4, 5]], [[0, 1, 1], [0, 1]], vocab_size=10)
    assert len(examples) == 2 and examples.token_count == 5
    ids, mask = examples[-1]
    assert ids.tolist() == [4, 5] and mask.tolist() == [False, True]
    assert [len(ids) for ids, _ in examples] == [3, 2]
    with pytest.raises(IndexError):
        examples[2]
    with pytest.raises(InvalidDataError):
        Examples([[11]], vocab_size=10)
    with pytest.raises(ValueError, match="mask"):
        Examples([[1, 2]], [[1]], vocab_size=10)


def test_examples_from_a_file(tokenizer: Tokenizer, device: Device, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    records = [{"prompt": f"{n} + 1 = ", "completion": str(n + 1)} for n in range(20)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + "{broken\n")
    seen: list[tuple[str, int, int]] = []
    examples = Examples.open(
        path, tokenizer, device=device, progress=lambda *where: seen.append(where), add_eos="off"
    )
    assert len(examples) == 20
    runs = examples.describe(3, tokenizer)
    assert [(run["text"], run["supervised"]) for run in runs][:2] == [
        ("3 + 1 = ", False),
        ("4", True),
    ]
    assert "broken" in json.dumps(examples.report) or examples.report
    assert seen and seen[-1][1] == seen[-1][2] == path.stat().st_size
    first, last = examples.split(0.25)
    assert (len(first), len(last)) == (15, 5)
    with pytest.raises(InvalidDataError, match="21"):
        Examples.open(path, tokenizer, strict=True)


def test_progress_can_cancel_and_fail(tokenizer: Tokenizer, text_file: Path) -> None:
    from ane_train import Cancelled

    def fail(*where: object) -> None:
        raise RuntimeError("enough")

    with pytest.raises(Cancelled):
        Examples.open(text_file, tokenizer, progress=lambda *where: True)
    with pytest.raises(RuntimeError, match="enough"):
        Examples.open(text_file, tokenizer, progress=fail)


def test_rows(tokenizer: Tokenizer) -> None:
    examples = Examples([[1, 2, 3], [4, 5, 6, 7]], vocab_size=10)
    rows = examples.rows(8, layout="packed", sequential=True)
    assert len(rows) == 1
    batch = rows.read(0, 1)
    assert np.asarray(batch.positions).tolist()[0][:5] == [0, 1, 0, 1, 2]
    assert rows.report["rows"] == 1 and len(rows.fingerprint) == 64
    with pytest.raises(TypeError, match="did you mean 'layout'"):
        examples.rows(8, layot="packed")


def test_windows(dataset: Dataset, tokenizer: Tokenizer, text_file: Path) -> None:
    ids = tokenizer.encode(TEXT)
    assert dataset.sequence_length == LENGTH
    batch = Dataset(ids, LENGTH, vocab_size=512, sequential=True).read(0, 2)
    tokens, targets = np.asarray(batch.tokens), np.asarray(batch.targets)
    assert tokens.tolist() == ids[: 2 * LENGTH].reshape(2, LENGTH).tolist()
    assert targets[0].tolist() == ids[1 : LENGTH + 1].tolist()
    first, last = dataset.split(0.5)
    assert len(first) + len(last) in (len(dataset), len(dataset) - 1)
    assert len(Dataset.open_text(text_file, tokenizer, LENGTH)) == len(dataset)
    raw = text_file.with_suffix(".bin")
    ids.astype("<u2").tofile(raw)
    mapped = Dataset.open_tokens(raw, LENGTH, vocab_size=512, sequential=True)
    assert np.array_equal(np.asarray(mapped.read(0, 2).tokens), tokens)
    with pytest.raises(InvalidDataError):
        Dataset([1, 2], LENGTH, vocab_size=10)
