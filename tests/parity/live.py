"""Compares the built library with PyTorch: loss, every gradient tensor, ten AdamW steps.

    python3 tests/parity/live.py build/release/libane_train.so

The reference runs in double precision; a difference is the L2 norm of the difference over the L2
norm of the reference. Models differ from those of the golden files in size and seed. In bf16 the
differences are those of rounding to 8 bits, and PyTorch's own under autocast are printed beside them.
"""

import sys

import torch

import reference_model as reference
from library import PRECISION, Library, ModelConfig, SessionOptions

TOLERANCE = 1e-4
# In bf16: times PyTorch's difference under autocast. Ten steps make a rounding a thousand times
# larger (f32 shows it), so that losses say less than gradients do.
GRADIENT_FACTOR, LOSS_FACTOR, LOSS_DIFFERENCE = 2, 4, 5e-3
BATCH, SEQUENCE = 3, 33

LARGER = dict(vocab_size=311, hidden_size=96, intermediate_size=160, layer_count=4, head_count=6,
              kv_head_count=2, head_dim=32, qk_norm=True, tie_embeddings=True)


def relative(ours, reference_value):
    difference = torch.as_tensor(ours).double() - reference_value
    return (difference.norm() / reference_value.norm()).item()


def train(c, parameters, tokens, targets, autocast=False):
    """Gradients of the first step by name, and the losses before each step."""
    optimizer = reference.adamw(parameters, **reference.ADAMW)
    gradients, losses = {}, []
    for _ in range(reference.STEPS):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = reference.loss(c, parameters, tokens, targets)
        loss.backward()
        gradients = gradients or {key: p.grad.clone() for key, p in parameters.items()}
        optimizer.step()
        losses.append(loss.item())
    return gradients, losses


def train_ours(path, c, parameters, tokens, targets, **options):
    """The same with the library."""
    ours = Library(
        path, ModelConfig(**c.json()),
        SessionOptions(batch_size=BATCH, sequence_length=SEQUENCE, loss_chunk=40,
                       learning_rate=reference.ADAMW["learning_rate"],
                       weight_decay=reference.ADAMW["weight_decay"],
                       beta1=reference.ADAMW["betas"][0], beta2=reference.ADAMW["betas"][1],
                       epsilon=reference.ADAMW["epsilon"], **options))
    for key, view in ours.weights().items():
        view[...] = parameters[key].detach().numpy()
    ours.weights_changed()
    result = ours.forward_backward(tokens.numpy(), targets.numpy())
    gradients = {key: view / result.tokens for key, view in ours.gradients().items()}
    ours.zero_gradients()
    return gradients, [ours.step(tokens.numpy(), targets.numpy()).loss
                       for _ in range(reference.STEPS)]


def differences(seen, exact):
    """The worst of the gradients with its name, and of the losses."""
    gradient = max((relative(seen[0][key], exact[0][key]), key) for key in exact[0])
    return gradient, max(abs(a - b) / b for a, b in zip(seen[1], exact[1]))


def compare(path, name, fields, checkpointing, precision):
    c = reference.Config(**fields)
    p = reference.random_parameters(c, seed=100 + len(name), dtype=torch.float64)
    single = {key: value.detach().float().requires_grad_() for key, value in p.items()}
    tokens, targets = reference.batch(c, BATCH, SEQUENCE, seed=3)
    ours = train_ours(path, c, p, tokens, targets, precision=PRECISION[precision],
                      activation_checkpointing=int(checkpointing))
    exact = train(c, p, tokens, targets)
    (gradient, worst), loss = differences(ours, exact)
    most_gradient, most_loss, note = TOLERANCE, TOLERANCE, ""
    if precision == "bf16":
        (theirs, _), their_loss = differences(train(c, single, tokens, targets, True), exact)
        most_gradient = GRADIENT_FACTOR * theirs
        most_loss = LOSS_FACTOR * their_loss + LOSS_DIFFERENCE
        note = f"; PyTorch {theirs:.1e}, {their_loss:.1e}"
    good = gradient <= most_gradient and loss <= most_loss
    label = f"{name} {precision}{' checkpointed' if checkpointing else ''}"
    print(f"{label:26} worst gradient {gradient:.1e} ({worst}), worst loss in "
          f"{reference.STEPS} steps {loss:.1e}{note}  {'ok' if good else 'FAILED'}")
    return good


if __name__ == "__main__":
    cases = dict(reference.CASES, larger=LARGER)
    good = [compare(sys.argv[1], name, fields, checkpointing, precision)
            for name, fields in cases.items()
            for checkpointing, precision in ((False, "f32"), (True, "f32"), (False, "bf16"))]
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed")
    sys.exit(not all(good))
