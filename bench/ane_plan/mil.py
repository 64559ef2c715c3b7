"""Counts the work in a program's MIL text, as the engine's emulator was given it.

Ops are tagged by the names that the library gives to ports: "weights" multiplies with a parameter
that is an input or a constant, "gradient" makes a parameter's gradient, "peak" looks for the largest
magnitude (docs/neural-engine.md, Overflow), "peak of gradient" does so in a gradient, "low rank"
multiplies with an adapter's matrix, and "adapter sum" adds that to the product of the weights.
"""

import math
import re

from engine import Op, Program

BYTES = {"fp16": 2, "fp32": 4, "int8": 1, "uint8": 1, "int4": 0.5, "uint4": 0.5}
ROW = 64  # rows of ports begin every 64 bytes

HEADER = re.compile(r"func (\w+)<\w+>\((.*?)\) \{", re.S)
PORT = re.compile(r"tensor<(\w+), \[([\d, ]*)\]> (\w+)")
LINE = re.compile(r"^\s+(?:tensor<(\w+), \[([\d, ]*)\]>|(\w+)) (\w+) = (\w+)\((.*)$")
RETURNED = re.compile(r"\} -> \((.*?)\);")

GRADIENT = re.compile(r"o\d+_d_.*(weight|lora_[ab])")
PARAMETER = "_weight"

# Another name for the same bytes.
RENAMES = {"reshape", "expand_dims", "squeeze", "identity"}
# Part of the op before them when nothing else reads that op's result.
ACTIVATIONS = {"relu", "silu", "sigmoid", "tanh", "gelu", "abs"}
# Nobody looks for infinities in what these make, nor in what others show (src/backend/ane/output_looks.h).
BOUNDED = {"softmax", "sigmoid", "tanh", "sin", "cos"}
MOVES = {"reshape", "transpose"}


class Value:
    """A tensor of the text: its type, and where it lives."""

    def __init__(self, name, dtype, shape, place):
        self.name, self.dtype, self.shape = name, dtype, shape
        self.place = place  # port, constant, number, chip
        self.root = self  # what a renaming renames
        self.op = ""
        self.tag = ""

    @property
    def elements(self):
        return math.prod(self.shape)

    @property
    def bytes(self):
        return self.elements * BYTES.get(self.dtype, 4)

    @property
    def port_bytes(self):
        if not self.shape:
            return self.bytes
        row = math.ceil(self.shape[-1] * BYTES[self.dtype] / ROW) * ROW
        return math.prod(self.shape[:-1]) * row


def shape_of(text):
    return tuple(int(n) for n in text.split(",")) if text.strip() else ()


class Reader:
    def __init__(self, text):
        name, ports = HEADER.search(text).groups()
        self.name = name
        self.values = {port: Value(port, dtype, shape_of(shape), "port")
                       for dtype, shape, port in PORT.findall(ports)}
        self.inputs = list(self.values)
        self.outputs = [part.strip() for part in RETURNED.search(text).group(1).split(",")]
        self.lines = [match.groups() for match in map(LINE.match, text.splitlines()) if match]
        self.uses = {}
        for *_, op, arguments in self.lines:
            for operand in self.operands(arguments):
                self.uses[operand] = self.uses.get(operand, 0) + 1
        self.arguments = {name: arguments for *_, name, _, arguments in self.lines}
        self.seen = set()  # ports and constants that were read before
        self.ops = []

    @staticmethod
    def operands(arguments):
        """Names after "=" and in the parentheses of a list, in their order."""
        head = arguments.split(")[name = ")[0]
        return re.findall(r"[a-zA-Z_]\w*(?=[,)\s]|$)", re.sub(r"\w+ = ", "", head))

    def read(self, value, part=None):
        """Outer and inner bytes of one more use, of all or of so many bytes."""
        root = value.root
        if part is not None and root.place != "number":
            inside = root.place == "chip" or id(root) in self.seen
            return (0, part) if inside else (part, 0)
        if root.place == "number":
            return 0, 0
        if root.place == "chip" or id(root) in self.seen:
            return 0, value.bytes
        self.seen.add(id(root))
        return (root.port_bytes if root.place == "port" else root.bytes), 0

    def flops(self, op, result, operands, arguments):
        if op == "matmul":
            x = operands[0].shape
            turned = re.search(r"transpose_x = (\w+)", arguments).group(1)
            return 2.0 * result.elements * (x[-2] if self.truth[turned] else x[-1])
        if op == "conv":
            return 2.0 * result.elements * math.prod(operands[1].shape[1:])
        return 0.0

    def program(self):
        self.truth = {}
        for dtype, shape, scalar, name, op, arguments in self.lines:
            result = Value(name, dtype or scalar, shape_of(shape) if dtype else (), "chip")
            self.values[name] = result
            if op == "const" or op.startswith("constexpr"):
                result.place = "constant" if "BLOBFILE" in arguments else "number"
                if scalar == "bool":
                    self.truth[name] = "true" in arguments
                continue
            self.count(name, op, result, arguments)
        return Program(self.name, tuple(self.ops))

    def count(self, name, op, result, arguments):
        result.op = op
        operands = [self.values[n] for n in self.operands(arguments) if n in self.values]
        tensors = [v for v in operands if v.root.place != "number"]
        written = name in self.outputs
        single = [n for n in self.operands(arguments) if n in self.values
                  and self.values[n] in tensors]
        if op in RENAMES and not written:
            result.root, result.tag = operands[0].root, operands[0].tag
            return
        # An operand that is one number belongs to the op before, and so does an activation.
        lone = len(tensors) == 1 and self.uses.get(single[0], 0) == 1
        free = tensors and tensors[0].root.place == "chip" and lone and (
            op in ACTIVATIONS or op in ("mul", "add", "sub") and len(operands) == 2)
        if free and not written and single[0] not in self.outputs:
            return
        result.tag = tag = self.tag(name, op, operands)
        outer = inner = 0
        part = result.bytes if op.startswith("slice_by") else None
        for value in tensors:
            more = self.read(value, part)
            outer, inner = outer + more[0], inner + more[1]
        if written:
            outer += result.port_bytes
        else:
            inner += result.bytes
        if free and single[0] not in self.outputs:
            inner -= tensors[0].bytes * 2  # neither written nor read again
        self.ops.append(Op(f"{op} {name}", self.flops(op, result, operands, arguments),
                           op == "conv", outer, max(0, inner), tag))

    @staticmethod
    def tag(name, op, operands):
        if op in ("abs", "reduce_max", "reduce_min") or operands[0].tag.startswith("peak"):
            return operands[0].tag if operands[0].tag.startswith("peak") else (
                "peak of gradient" if operands[0].tag == "gradient" else "peak")
        if op == "add" and {v.tag for v in operands} == {"weights", "low rank"}:
            return "adapter sum"
        if op not in ("matmul", "conv"):
            return ""
        if GRADIENT.match(name):
            return "gradient"
        roots = [value.root for value in operands]
        if any("_lora_" in root.name for root in roots):
            return "low rank"
        known = any(root.place == "constant" or root.place == "port" and PARAMETER in root.name
                    for root in roots)
        return "weights" if known else ""

    def port_totals(self):
        return (sum(self.values[n].port_bytes for n in self.inputs),
                sum(self.values[n].port_bytes for n in self.outputs))

    def unmoved(self, name):
        while self.values[name].op in MOVES:
            name = self.operands(self.arguments[name])[0]
        return name

    def outlets(self, root):
        """What an infinity comes out of, but for what only moves it."""
        carries, moves = {root}, {root}
        for *_, name, op, arguments in self.lines:
            operands = [n for n in self.operands(arguments) if n in self.values]
            reached = [n for n in operands if n in carries]
            product = op == "conv" or op == "matmul" and any(
                self.values[n].root.place == "constant" or PARAMETER in self.values[n].root.name
                for n in operands if n not in carries)
            if len(reached) != 1 or not (op in MOVES or op in ("add", "sub") or product):
                continue
            carries.add(name)
            if op in MOVES and reached[0] in moves:
                moves.add(name)
        return carries - moves

    def unbounded(self):
        total, roots = 0, set()
        for name in self.outputs:
            root = self.unmoved(name)
            comes_out = root in roots or self.outlets(root) & set(self.outputs)
            roots.add(root)
            if not comes_out and self.values[root].op not in BOUNDED:
                total += self.values[name].port_bytes
        return total


def read(text):
    """The program, the bytes of its input and output ports, and those of outputs that can overflow."""
    reader = Reader(text)
    program = reader.program()
    return program, reader.port_totals(), reader.unbounded()
