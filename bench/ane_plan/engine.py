"""How long the engine takes for a program: a roofline of every op, and the dispatch.

    seconds = dispatch + sum over ops of max(flops / rate, outer / ports + inner / chip)

`outer` are the bytes of ports and of constants, which come from memory in every evaluation. `inner`
are those between ops: each result is written once, each operand read once a use. Ops do not fuse
(electricapp/ane-bridge-rs, R on M5), but reshapes and operands that are one number cost nothing, and
an activation belongs to the op before it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Op:
    name: str
    flops: float = 0
    convolution: bool = False
    outer: float = 0
    inner: float = 0
    tag: str = ""  # see mil.py

    def seconds(self, chip):
        rate = chip.convolution if self.convolution else chip.product
        moved = self.outer / chip.port_bandwidth.value + self.inner / chip.inner_bandwidth.value
        return max(self.flops / rate.value, moved)


@dataclass(frozen=True)
class Program:
    name: str
    ops: tuple

    def seconds(self, chip):
        return chip.dispatch.value + sum(op.seconds(chip) for op in self.ops)

    def total(self, what):
        return sum(getattr(op, what) for op in self.ops)

    def rewrite(self, change):
        """The same with every op changed; None takes it away."""
        ops = (change(op) for op in self.ops)
        return Program(self.name, tuple(op for op in ops if op))


def linear(name, rows, columns, positions, *, constant, width=2):
    """A product of weights [rows, columns] with activations, one op in a program of its own."""
    flops = 2.0 * rows * columns * positions
    outer = 2 * rows * columns + width * positions * (rows + columns)
    return Program(name, (Op(name, flops, constant, outer),))
