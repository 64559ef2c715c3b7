"""No accuracy lost: the demo's model after 200 of its steps in bf16, and with the optimizer's state
in bf16, against f32; and the first steps in f32 twice.

Training amplifies what differs in a rounding, so that one run says little: each pair has the same
batches, several pairs have them in different orders, and their spread is told.

    python3 accuracy.py LIBRARY CORPUS PRECISION STATE ORDER STEPS     prints one JSON object
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
ORDERS = (1, 2, 3, 4, 5)
SCHEDULE = {"constant": 0, "linear": 1, "cosine": 2, "wsd": 3}


def open_demo(path, precision, state):
    """As examples/demo/config.json has it, the schedule that of the whole demo."""
    config = json.loads((ROOT / "examples" / "demo" / "config.json").read_text())
    # One token a byte, and the byte tokenizer's two others.
    model = dict({key: int(value) for key, value in config["model"].items()}, vocab_size=258)
    session = dict(config["session"], precision=precision_number(path, precision),
                   optimizer_precision=precision_number(path, state), total_steps=DEMO_STEPS)
    session["schedule"] = SCHEDULE[session["schedule"]]
    return Library(path, ModelConfig(**model), SessionOptions(**session))


def run(path, corpus, precision, state, order, steps):
    library = open_demo(path, precision, state)
    text = subprocess.run([corpus, "200000"], check=True, stdout=subprocess.PIPE).stdout
    ids = np.frombuffer(text, np.uint8).astype(np.int32)
    generator = np.random.default_rng(order)
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


def compare(losses, references):
    """Their mean, and how far they are from those of the same batches: mean and standard error."""
    differences = np.array(losses) / np.array(references) - 1
    return {"loss": float(np.mean(losses)), "difference": float(np.mean(differences)),
            "error": float(np.std(differences, ddof=1) / len(differences) ** 0.5)}


def measure(library, corpus):
    def result(precision, state="f32", order=ORDERS[0], count=STEPS):
        return output_of([sys.executable, __file__, library, corpus, precision, state, str(order),
                          str(count)])

    def losses(*settings):
        return [result(*settings, order)["loss_after"] for order in ORDERS]

    again = result("f32", count=REPEATED)
    full = [result("f32", order=order) for order in ORDERS]
    reference = [entry["loss_after"] for entry in full]
    summary = {"steps": STEPS, "orders": len(ORDERS), "repeated": REPEATED,
               "f32": float(np.mean(reference)),
               "f32_range": [min(reference), max(reference)],
               "reproducible": full[0]["losses"][:REPEATED] == again["losses"],
               "state": compare(losses("f32", "bf16"), reference)}
    try:
        return summary | {"bf16": compare(losses("bf16", "f32"), reference)}
    except Missing as reason:
        return summary | {"missing": str(reason)}


if __name__ == "__main__":
    print(json.dumps(run(*sys.argv[1:5], *map(int, sys.argv[5:7]))))
