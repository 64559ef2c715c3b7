"""What step.c does, in Python."""

import struct
import sys
import time
from dataclasses import replace

import numpy as np

import ane_train

BATCH_SIZE, ROW_LENGTH = 1, 64

device = ane_train.Device("cpu", threads=1)
# A step of some 20 ms.
config = replace(ane_train.ModelConfig.named("stories15M"), layer_count=2, vocab_size=4096)
model = ane_train.Model.create(config, seed=1)
session = ane_train.Session(
    device, model, batch_size=BATCH_SIZE, sequence_length=ROW_LENGTH, learning_rate=1e-4
)
place = np.arange(BATCH_SIZE * ROW_LENGTH, dtype=np.int32).reshape(BATCH_SIZE, ROW_LENGTH)
tokens, targets = 37 * place % config.vocab_size, 37 * (place + 1) % config.vocab_size
with session:
    for line in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            result = session.step(tokens, targets)
        seconds, processor = time.perf_counter() - start, time.process_time() - busy
        bits = struct.pack(">d", result.loss).hex()
        print(f"{seconds:.9f} {processor:.9f} {bits}", flush=True)
