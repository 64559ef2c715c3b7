"""This library's step: the programs of the truth log, and the CPU's work in bytes.

The CPU's passes are assumed to reach its memory bandwidth. bench/speed is where it is
measured whether they do.
"""

import dataclasses
import pathlib
import re
from dataclasses import dataclass

import mil
from engine import Program

GRADIENT_PORT = re.compile(r"\bo\d+_d_")

# Bytes that a pass reads and writes of each element.
ACCUMULATED = 2 + 2 + 4 + 4  # a gradient of the engine: is it finite; to the fp32 sum
NORM = 4                    # of the gradients' sums, before a step returns
UPDATE = 7 * 4 + 4          # AdamW, zeroing the sums; beside the next forward pass
NARROW_UPDATE = 2 + 6 * 4   # AdamW on gradients in fp16, which nobody adds up
NARROW_NORM = 2             # of those, beside the backward pass; of rows that were looked up after it
# The state of the lower layers is late: the first sweep leaves the moments and the sums as they are,
# a second one behind the copies reads them and the gradients again.
LATE_SAVES = 2 * 4 + 4
LATE_STATE = 4 * 4 + 4 + 4
NARROW_LATE_SAVES = 2 * 4
NARROW_LATE_STATE = 4 * 4 + 2
UPDATED = 2                 # fp32 weights to fp16 ports, from the cache where the update left them
TRANSPOSED = 4 + 2          # fp32 weights to fp16 ports of the backward pass, behind the others
EMBEDDING = 2 + 4 + 4       # of the rows of tokens: their gradients to the sums
# The loss, of logits in fp16 and in fp32 inside: the logarithm of the sum, then the gradient in fp16.
LOGIT = 2 + 2 + 2


@dataclass(frozen=True)
class Use:
    """A program, and how often a step evaluates it."""
    phase: str
    program: Program
    evaluations: float
    unbounded: float = 0  # bytes of outputs that can overflow

    def seconds(self, chip):
        return self.evaluations * self.program.seconds(chip)

    def outer(self):
        return self.evaluations * self.program.total("outer")


@dataclass(frozen=True)
class Plan:
    """A step: programs of the engine, and the bytes and FLOPs of the CPU."""
    name: str
    uses: tuple
    trained: float = 0           # parameters
    first_trained: float = 0     # of the embedding
    update: float = 0            # bytes, with all copies: of the layers, beside the forward pass
    first_update: float = 0      # bytes: of the embedding, which the forward pass begins with
    groups: int = 1              # of layers, a program each
    layers_a_program: int = 1
    inspecting: float = 0        # bytes that the forward pass returned, beside it: are they finite
    loss: float = 0              # bytes of the logits
    transposes: float = 0        # bytes, behind the update, beside the loss and the backward pass
    late: float = 0              # bytes of late state, behind those
    late_elements: float = 0
    beside_backward: float = 0   # bytes: sums and norms
    embedding: float = 0         # bytes, after it
    optimizer: float = 0         # bytes, before the step returns
    host_flops: float = 0        # of the loss's products that the engine does not take
    background_flops: float = 0  # beside the backward pass

    def change(self, **changes):
        return dataclasses.replace(self, **changes)

    def rewrite(self, change):
        """The same with every use changed; None takes it away."""
        uses = (change(use) for use in self.uses)
        return self.change(uses=tuple(use for use in uses if use))

    def evaluations(self):
        return sum(use.evaluations for use in self.uses)

    def flops(self):
        return sum(use.evaluations * use.program.total("flops") for use in self.uses)

    def outer(self):
        return sum(use.outer() for use in self.uses)

    def seconds(self, chip):
        """By phase. What runs beside the engine costs what it takes longer than the engine, and
        both share the memory."""
        engine = {phase: 0.0 for phase in ("forward", "loss", "backward")}
        outer = dict(engine)
        for use in self.uses:
            engine[use.phase] += use.seconds(chip)
            outer[use.phase] += use.outer()
        host = chip.host_bandwidth.value

        def together(phase, beside, flops=0.0):
            return max(engine[phase], beside / host + flops / chip.host_product.value,
                       (outer[phase] + beside) / chip.memory_bandwidth.value)

        # The engine waits for the embedding, then for each program's layers; behind the last update
        # it has a program left.
        beside = self.first_update + self.update + self.inspecting
        forward = max(self.first_update / host + engine["forward"],
                      beside / host + engine["forward"] / self.groups,
                      (outer["forward"] + beside) / chip.memory_bandwidth.value)
        # What is behind the update goes on beside the loss as far as there is room for it.
        room = max(0, min(engine["loss"] * host,
                          engine["loss"] * chip.memory_bandwidth.value - outer["loss"]))
        left = max(0, self.transposes + self.late - room)
        backward = max(together("backward", self.beside_backward + left, self.background_flops),
                       engine["backward"] + self.wait_for_late_state(engine, host))
        return {
            "update and forward": forward,
            "loss on the engine": engine["loss"],
            "loss on the CPU": self.loss / host + self.host_flops / chip.host_product.value,
            "backward": backward,
            "embedding": self.embedding / host,
            "norm": self.optimizer / host}

    def wait_for_late_state(self, engine, host):
        """What the backward pass waits at most until gradients may be written again, by layer."""
        layers = round(self.groups)
        late = late_layers(layers) if self.late else 0
        wait = 0.0
        for layer in range(late):
            before = (layers - late + layer) / layers  # of the pass
            bytes_before = (self.transposes + self.late * (layer + 1) / late
                            + self.beside_backward * before)
            wait = max(wait, bytes_before / host - engine["loss"] - engine["backward"] * before)
        return wait

    def total(self, chip):
        return sum(self.seconds(chip).values())


def late_layers(layers):
    """As the library has them (src/train/step_plan.cpp)."""
    return layers * 2 // 3


def phase_of(text):
    if "func loss<" in text:
        return "loss"
    return "backward" if GRADIENT_PORT.search(text) else "forward"


def uses_of(log):
    for entry in log["programs"]:
        text = pathlib.Path(entry["text"]).read_text()
        program, ports, unbounded = mil.read(text)
        if list(ports) != entry["bytes"]:
            raise ValueError(f"{entry['text']}: ports of {ports} bytes, seen {entry['bytes']}")
        yield Use(phase_of(text), program, entry["evaluations"], unbounded)


def reads(log, uses, phase, port):
    """Whether programs of a phase have a port with such a name."""
    return any(use.phase == phase and port in pathlib.Path(e["text"]).read_text()
               for e, use in zip(log["programs"], uses))


def plan_of(log):
    """A record of record.py as a plan."""
    parameters, tokens = log["parameters"], log["tokens"]
    logits = log["vocabulary"] * tokens
    uses = tuple(uses_of(log))
    inspecting = sum(use.evaluations * use.unbounded for use in uses if use.phase == "forward")
    host_flops = log["head_host_flops"] + log["block_host_flops"]
    if log["mode"] == "lora":
        trained = parameters["adapter"]
        # Beside frozen weights in forward programs, alone in those of the backward pass.
        copies = 1 + reads(log, uses, "forward", "_weight_joined")
        return Plan(log["workload"], uses, trained, update=(UPDATE + copies * UPDATED) * trained,
                    groups=log["groups"], layers_a_program=log["layers_a_program"],
                    loss=LOGIT * logits,
                    beside_backward=ACCUMULATED * trained, optimizer=NORM * trained,
                    inspecting=inspecting, host_flops=host_flops)
    trained = parameters["layers"] + parameters["embedding"]
    # Those that the update reads as the engine returned them. What adds up has a gradient of the
    # whole head from every chunk of positions.
    narrow_layers = log["narrow_layers"] * parameters["layers"]
    narrow_head = log["narrow_head"] * parameters["embedding"]
    narrow = narrow_layers + narrow_head
    gradients = ((not log["narrow_layers"]) * parameters["layers"]
                 + (not log["narrow_head"]) * log["chunks"] * parameters["embedding"])
    rows = tokens * parameters["embedding"] / log["vocabulary"]

    def update(elements, narrow):
        return UPDATE * (elements - narrow) + NARROW_UPDATE * narrow

    late = parameters["layers"] * late_layers(log["groups"]) / log["groups"]
    saves, state = ((NARROW_LATE_SAVES, NARROW_LATE_STATE) if log["narrow_layers"]
                    else (LATE_SAVES, LATE_STATE))
    transposed = reads(log, uses, "backward", "_weight_transposed")
    return Plan(log["workload"], uses, trained, first_trained=parameters["embedding"],
                update=(update(parameters["layers"], narrow_layers) + UPDATED * parameters["layers"]
                        - saves * late),
                first_update=(update(parameters["embedding"], narrow_head)
                              + UPDATED * parameters["embedding"]),
                groups=log["groups"],
                loss=LOGIT * logits,
                transposes=TRANSPOSED * parameters["layers"] * transposed,
                late=state * late, late_elements=late,
                beside_backward=ACCUMULATED * gradients + NARROW_NORM * narrow,
                embedding=EMBEDDING * rows,
                optimizer=NORM * (trained - narrow) + bool(narrow_head) * (NARROW_NORM + NORM) * rows,
                inspecting=inspecting, host_flops=host_flops)


def floor(plan, chip):
    """No plan of these products is faster: the engine's best rate and nothing else."""
    return plan.flops() / max(chip.convolution.value, chip.product.value)
