"""Compares the built library with PyTorch: loss, every gradient tensor, ten AdamW steps.

    python3 tests/parity/live.py build/release/libane_train.so

The reference runs in double precision; a difference is the L2 norm of the difference over the L2
norm of the reference. Models differ from those of the golden files in size and seed.
"""

import sys

import torch

import reference_model as reference
from library import Library, ModelConfig, SessionOptions

TOLERANCE = 1e-4
BATCH, SEQUENCE = 3, 33

LARGER = dict(vocab_size=311, hidden_size=96, intermediate_size=160, layer_count=4, head_count=6,
              kv_head_count=2, head_dim=32, qk_norm=True, tie_embeddings=True)


def relative(ours, reference_value):
    difference = torch.as_tensor(ours).double() - reference_value
    return (difference.norm() / reference_value.norm()).item()


def compare(path, name, fields, checkpointing):
    c = reference.Config(**fields)
    p = reference.random_parameters(c, seed=100 + len(name), dtype=torch.float64)
    tokens, targets = reference.batch(c, BATCH, SEQUENCE, seed=3)
    ours = Library(
        path, ModelConfig(**c.json()),
        SessionOptions(batch_size=BATCH, sequence_length=SEQUENCE, loss_chunk=40,
                       activation_checkpointing=int(checkpointing),
                       learning_rate=reference.ADAMW["learning_rate"],
                       weight_decay=reference.ADAMW["weight_decay"],
                       beta1=reference.ADAMW["betas"][0], beta2=reference.ADAMW["betas"][1],
                       epsilon=reference.ADAMW["epsilon"]))
    for key, view in ours.weights().items():
        view[...] = p[key].detach().numpy()
    ours.weights_changed()

    loss = reference.loss(c, p, tokens, targets)
    loss.backward()
    result = ours.forward_backward(tokens.numpy(), targets.numpy())
    worst_loss = abs(result.loss - loss.item()) / loss.item()
    worst = ("", 0.0)
    for key, view in ours.gradients().items():
        worst = max(worst, (key, relative(view / result.tokens, p[key].grad)),
                    key=lambda pair: pair[1])
    ours.zero_gradients()

    optimizer = reference.adamw(p, **reference.ADAMW)
    for _ in range(reference.STEPS):
        optimizer.zero_grad()
        loss = reference.loss(c, p, tokens, targets)
        loss.backward()
        optimizer.step()
        mine = ours.step(tokens.numpy(), targets.numpy()).loss
        worst_loss = max(worst_loss, abs(mine - loss.item()) / loss.item())
    good = worst[1] <= TOLERANCE and worst_loss <= TOLERANCE
    label = f"{name}{' checkpointed' if checkpointing else ''}"
    print(f"{label:24} worst gradient {worst[1]:.1e} ({worst[0]}), worst loss in "
          f"{reference.STEPS} steps {worst_loss:.1e}  {'ok' if good else 'FAILED'}")
    return good


if __name__ == "__main__":
    cases = dict(reference.CASES, larger=LARGER)
    good = [compare(sys.argv[1], name, fields, checkpointing)
            for name, fields in cases.items() for checkpointing in (False, True)]
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed")
    sys.exit(not all(good))
