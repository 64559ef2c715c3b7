"""What an installed wheel must do, run from a folder that is not the repository's: trains, saves,
resumes, generates, with the libraries of the wheel alone.
usage: smoke.py folder"""

import importlib.metadata
import sys
from pathlib import Path

import numpy

import ane_train
from ane_train.log import JsonLog

folder = Path(sys.argv[1])
package = Path(ane_train.__file__).parent
assert package.is_relative_to(sys.prefix), package
assert importlib.metadata.version("ane-train") == ane_train.__version__

device = ane_train.Device("cpu", threads=2)
tokenizer = ane_train.Tokenizer.bytes()
text = "".join(f"The number after {n} is {n + 1}.\n" for n in range(200))
rows = ane_train.Dataset(tokenizer.encode(text), 32, vocab_size=512, seed=3)
options = {"batch_size": 2, "sequence_length": 32, "learning_rate": 1e-3}


def session():
    model = ane_train.Model.create("stories260K", seed=7)
    return ane_train.Session(device, model, **options)


with session() as whole:
    losses = [step.loss for step in whole.train(rows, steps=8)]
    weights = whole.weights.copy()
with session() as first, JsonLog(folder / "run.jsonl", first, steps=4) as log:
    first.fit(rows, steps=4, save_every=4, checkpoint_root=folder, callback=log)
with ane_train.Session.resume(device, folder) as second:
    assert [step.loss for step in second.train(rows, steps=4)] == losses[4:]
    assert numpy.array_equal(second.weights, weights)
    assert losses[-1] < losses[0], losses
    generator = ane_train.Generator(device, second.model, tokenizer)
    assert len(generator.generate("The number", max_tokens=8).ids) == 8

# On Linux the files that are mapped tell where the libraries came from.
maps = Path("/proc/self/maps")
if maps.exists():
    files = {line.split()[-1] for line in maps.read_text().splitlines() if "/" in line}
    libraries = {
        Path(file).name.split("-")[0].split(".")[0]: file for file in files if ".so" in file
    }
    for name in ("libane_train", "libdnnl", "libgomp", "libhwy", "libcjson", "libpcre2",
                 "libutf8proc"):  # fmt: skip
        assert Path(libraries[name]).is_relative_to(sys.prefix), (name, libraries)
print(f"{package}: {losses[0]:.3f} to {losses[-1]:.3f}")
