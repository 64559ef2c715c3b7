"""How much work a training step is at least, by phase, and the time that it takes at the limits.

FLOPs are those of matrix products; a multiply-add counts two. Per token and layer a matrix of m x n
costs 2mn forward, 2mn for the gradient of its input and, where it is trained, 2mn for its own.
Causal attention has S (S + 1) / 2 pairs of positions a sequence and head; each costs 2 x 2 head_dim
forward (scores, values) and twice that backward. What a step recomputes to save memory is not
counted, nor is what it computes above the diagonal. An adapter's pair A, B of rank r costs
2r (m + n) forward and twice that backward. Nothing flows back below the lowest adapter.

Bytes are what must cross the memory bus however well the caches are used: weights, the values that
the backward pass needs, gradients and the optimizer's state. Per token and layer the kept values
are the block's input, q, k, v, the attention's result, the sum after it, gate and up:
2d + 2q + 2kv + 2f numbers; norms and softmax are cheap to compute again. Activations between
neighbouring ops are taken to stay in the caches.

    forward    weights of the blocks read, kept values written, rows of the embedding read
    loss       the head read twice (logits, gradient of the hidden), its gradient written once
    backward   weights read, kept values read, gradients of the blocks written in fp32
    optimizer  28 bytes a trained weight: weight, gradient, two moments read, all but the gradient
               written; in bf16 sessions 2 more for the copy in bf16
    staging    nothing: the batch is a few kilobytes
"""

PHASES = ("forward", "loss", "backward", "optimizer", "staging")
BYTES = {"f32": 4, "bf16": 2}


def layer_weights(shape):
    return sum(rows * columns for _, rows, columns in shape.matrices())


def trained_weights(workload):
    shape = workload.shape
    if workload.rank:
        return shape.layer_count * sum(
            workload.rank * (rows + columns) for _, rows, columns in shape.matrices())
    d = shape.hidden_size
    norms = 2 * d + (2 * shape.head_dim if shape.qk_norm else 0)
    heads = 1 if shape.tie_embeddings else 2
    return (shape.layer_count * (layer_weights(shape) + norms) + d
            + heads * shape.vocab_size * d)


def flops(workload):
    shape, tokens, rank = workload.shape, workload.tokens, workload.rank
    pairs = workload.batch * workload.sequence * (workload.sequence + 1) // 2
    attention = shape.layer_count * 4 * shape.query_size * pairs
    products = shape.layer_count * 2 * tokens * layer_weights(shape)
    head = 2 * tokens * shape.vocab_size * shape.hidden_size
    if not rank:
        return {"forward": products + attention, "loss": 3 * head,
                "backward": 2 * products + 2 * attention, "optimizer": 0, "staging": 0}
    adapters = 2 * tokens * trained_weights(workload)
    # The gradient of the lowest block's input has no use.
    d = shape.hidden_size
    lowest = 2 * tokens * (d * (shape.query_size + 2 * shape.kv_size) + 3 * rank * d)
    return {"forward": products + attention + adapters, "loss": 2 * head,
            "backward": products + 2 * attention + 2 * adapters - lowest, "optimizer": 0,
            "staging": 0}


def moved_bytes(workload):
    shape, tokens = workload.shape, workload.tokens
    size, trained = BYTES[workload.precision], trained_weights(workload)
    d, head = shape.hidden_size, shape.vocab_size * shape.hidden_size
    weights = shape.layer_count * layer_weights(shape) * size
    kept = 2 * d + 2 * shape.query_size + 2 * shape.kv_size + 2 * shape.intermediate_size
    kept *= shape.layer_count * tokens * size
    gradients = 4 * (trained - (0 if workload.rank else head))
    return {"forward": weights + kept + tokens * d * size,
            "loss": 2 * head * size + (0 if workload.rank else 4 * head),
            "backward": weights + kept + gradients,
            "optimizer": (28 + (2 if workload.precision == "bf16" else 0)) * trained,
            "staging": 0}


def products(workload):
    """The distinct products of a step as (rows, columns, depth) of the result and the sum: forward,
    gradient of the input, gradient of the weights; of the head for 256 tokens."""
    shape, tokens = workload.shape, workload.tokens
    result = set()
    for _, rows, columns in shape.matrices():
        result |= {(tokens, rows, columns), (tokens, columns, rows)}
        if not workload.rank:
            result.add((rows, columns, tokens))
    result.add((min(tokens, 256), shape.vocab_size, shape.hidden_size))
    return sorted(result)


def roofline(workload, peak, bandwidth):
    """Seconds of each phase: the larger of FLOPs at `peak` and bytes at `bandwidth`, which has the
    rates "read" and "adamw" in bytes a second."""
    work, moved = flops(workload), moved_bytes(workload)
    rate = {phase: bandwidth["adamw" if phase == "optimizer" else "read"] for phase in PHASES}
    return {phase: max(work[phase] / peak, moved[phase] / rate[phase]) for phase in PHASES}


def decode_bytes(shape, weight_bytes, matrix_rows_bytes, kv_bytes, context):
    """Bytes that one new token must read: every matrix once, the head among them, and the keys and
    values of `context` earlier positions. `matrix_rows_bytes` is what a row costs besides its
    values: the scale of a row in 8 bits."""
    count = shape.layer_count * layer_weights(shape) + shape.vocab_size * shape.hidden_size
    rows = shape.layer_count * sum(rows for _, rows, _ in shape.matrices()) + shape.vocab_size
    cache = shape.layer_count * 2 * shape.kv_size * context
    return count * weight_bytes + rows * matrix_rows_bytes + cache * kv_bytes
