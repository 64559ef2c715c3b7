"""No accuracy lost: the demo's model after 200 of its steps in bf16 against f32, and the first
steps in f32 twice.

    python3 accuracy.py LIBRARY CORPUS PRECISION STEPS     prints one JSON object
"""

import json
import pathlib
import subprocess
import sys

import numpy as np

from ours import precision_number
from turns import Missing, output_of

from library import Library, ModelConfig, SessionOptions

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO_STEPS = 400  # examples/demo/demo.sh
STEPS, REPEATED, EVALUATED = 200, 50, 20
SCHEDULE = {"constant": 0, "linear": 1, "cosine": 2, "wsd": 3}


def open_demo(path, precision):
    """As examples/demo/config.json has it, the schedule that of the whole demo."""
    config = json.loads((ROOT / "examples" / "demo" / "config.json").read_text())
    # One token a byte, and the byte tokenizer's two others.
    model = dict({key: int(value) for key, value in config["model"].items()}, vocab_size=258)
    session = dict(config["session"], precision=precision_number(path, precision),
                   total_steps=DEMO_STEPS)
    session["schedule"] = SCHEDULE[session["schedule"]]
    return Library(path, ModelConfig(**model), SessionOptions(**session))


def run(path, corpus, precision, steps):
    library = open_demo(path, precision)
    text = subprocess.run([corpus, "200000"], check=True, stdout=subprocess.PIPE).stdout
    ids = np.frombuffer(text, np.uint8).astype(np.int32)
    generator = np.random.default_rng(1)
    length, count = library.options.sequence_length, library.options.batch_size

    def batch():
        starts = generator.integers(0, len(ids) - length - 1, count)
        return (np.stack([ids[s:s + length] for s in starts]),
                np.stack([ids[s + 1:s + length + 1] for s in starts]))

    losses = [library.step(*batch()).loss for _ in range(steps)]
    after = []
    for _ in range(EVALUATED):
        after.append(library.forward_backward(*batch()).loss)
        library.zero_gradients()
    return {"losses": losses, "loss_after": float(np.mean(after))}


def measure(library, corpus):
    def result(precision, count):
        return output_of([sys.executable, __file__, library, corpus, precision, str(count)])

    first, second = result("f32", STEPS), result("f32", REPEATED)
    summary = {"steps": STEPS, "repeated": REPEATED, "f32": first["loss_after"],
               "reproducible": first["losses"][:REPEATED] == second["losses"]}
    try:
        half = result("bf16", STEPS)
    except Missing as reason:
        return summary | {"missing": str(reason)}
    return summary | {"bf16": half["loss_after"],
                      "difference": abs(half["loss_after"] / first["loss_after"] - 1)}


if __name__ == "__main__":
    print(json.dumps(run(*sys.argv[1:4], int(sys.argv[4]))))
