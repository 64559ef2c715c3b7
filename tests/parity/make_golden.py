"""Writes tests/golden/transformer/*.safetensors: weights, a batch, its loss and gradients, and the
losses of ten AdamW steps, all computed by PyTorch in double precision.

    python3 tests/parity/make_golden.py
"""

import json
import pathlib
import struct

import torch

import reference_model as reference

BATCH, SEQUENCE = 2, 17


def save_safetensors(path, tensors, metadata):
    names = {torch.float32: ("F32", "f"), torch.int32: ("I32", "i")}
    header, data = {"__metadata__": metadata}, b""
    for name, tensor in tensors.items():
        tag, code = names[tensor.dtype]
        values = tensor.reshape(-1).tolist()
        piece = struct.pack(f"<{len(values)}{code}", *values)
        header[name] = {"dtype": tag, "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def golden(name, fields):
    c = reference.Config(**fields)
    p = reference.random_parameters(c, seed=len(name), dtype=torch.float64)
    tokens, targets = reference.batch(c, BATCH, SEQUENCE, seed=7)
    tensors = {key: value.detach().float() for key, value in p.items()}
    tensors["tokens"] = tokens.int()
    tensors["targets"] = targets.int()

    losses = []
    optimizer = reference.adamw(p, **reference.ADAMW)
    for step in range(reference.STEPS):
        optimizer.zero_grad()
        loss = reference.loss(c, p, tokens, targets)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            for key, value in p.items():
                tensors[f"grad.{key}"] = value.grad.float()
        optimizer.step()
    tensors["losses"] = torch.tensor(losses, dtype=torch.float32)
    folder = pathlib.Path(__file__).parent.parent / "golden" / "transformer"
    folder.mkdir(parents=True, exist_ok=True)
    save_safetensors(folder / f"{name}.safetensors", tensors, {"config": json.dumps(c.json())})


if __name__ == "__main__":
    for name, fields in reference.CASES.items():
        golden(name, fields)
