"""What step.c does, in Python."""

import struct
import sys
import time
from dataclasses import replace

import numpy as np

import ane_train


name, row_length = sys.argv[1], int(sys.argv[2])
device = ane_train.Device("cpu", threads=1)
config = replace(ane_train.ModelConfig.named(name), layer_count=2, vocab_size=512)
model = ane_train.Model.create(config, seed=1)
session = ane_train.Session(device, model, sequence_length=row_length, learning_rate=1e-4)
place = np.arange(row_length, dtype=np.int32).reshape(1, row_length)
tokens, targets = 37 * place % config.vocab_size, 37 * (place + 1) % config.vocab_size
with session:
    for line in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            result = session.step(tokens, targets)
        seconds, processor = time.perf_counter() - start, time.process_time() - busy
        bits = struct.pack(">d", result.loss).hex()
        print(f"{seconds:.9f} {processor:.9f} {bits}", flush=True)
