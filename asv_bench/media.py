"""Rows of `ratios.py` for media: an hour of audio through a pipeline against the same libraries by hand; its memory."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios import SEED, chain, executor

import remotemedia as rm

if TYPE_CHECKING:
    from collections.abc import Callable

RATE_HZ, OUT_HZ, CHUNK = 48_000, 16_000, 512
HOUR_S, MINUTE_S = 3600, 60
MEGABYTE = 1_000_000


def write_aac(path: Path, seconds: int) -> None:
    """Write so many seconds of stereo noise; a minute is encoded, and its packets are written again and again."""
    import av
    import numpy as np

    sound = np.random.default_rng(SEED).normal(0, 0.1, (2, RATE_HZ * min(seconds, MINUTE_S))).astype(np.float32)
    codec: Any = av.CodecContext.create("aac", "w")
    codec.sample_rate, codec.layout, codec.format, codec.time_base = RATE_HZ, "stereo", "fltp", Fraction(1, RATE_HZ)
    codec.open()
    packets = []
    for at in range(0, sound.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(sound[:, at : at + 1024].copy(), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, at, Fraction(1, RATE_HZ)
        packets += codec.encode(frame)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
        stream.codec_context.open()
        for number in range(seconds * RATE_HZ // 1024):
            source = packets[number % len(packets)]
            packet = av.Packet(bytes(source))
            packet.pts = packet.dts = number * 1024
            packet.time_base, packet.duration, packet.stream = Fraction(1, RATE_HZ), 1024, stream
            container.mux(packet)


def by_hand(path: Path) -> int:
    """Decode, resample and cut by PyAV and soxr alone; return the number of chunks."""
    import av
    import numpy as np
    import soxr

    resample = soxr.ResampleStream(RATE_HZ, OUT_HZ, 2, dtype="float32").resample_chunk
    rest = np.empty((0, 2), np.float32)
    chunks = 0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            rest = np.concatenate((rest, resample(frame.to_ndarray().T)))
            whole = len(rest) - len(rest) % CHUNK
            for at in range(0, whole, CHUNK):
                chunk = rest[at : at + CHUNK]
                chunks += len(chunk) > 0
            rest = rest[whole:]
    rest = np.concatenate((rest, resample(np.empty((0, 2), np.float32), last=True)))
    return chunks + -(-len(rest) // CHUNK)


def pipeline(path: Path) -> rm.Manifest:
    """Return the manifest that does the same."""
    steps = (
        ("MediaReader", {"path": str(path)}),
        ("Resample", {"sample_rate": OUT_HZ}),
        ("Chunker", {"samples": CHUNK}),
    )
    return rm.Manifest.from_dict(chain(*steps))


def by_pipeline(path: Path) -> int:
    """Do the same by a pipeline; the chunks are dropped as they come."""
    with executor("cython").stream(pipeline(path)) as chunks:
        return sum(1 for _ in chunks)


def decode(rounds: int = 3, seconds: int = HOUR_S) -> float:
    """Return an hour of AAC, 48 kHz stereo, decoded, resampled to 16 kHz and cut into chunks, ÷ the same by hand."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sound.mp4")
        write_aac(path, seconds)
        count = by_hand(path)
        assert abs(by_pipeline(path) - count) <= 1
        samples = [(seconds_of(by_pipeline, path), seconds_of(by_hand, path)) for _ in range(rounds)]
    return statistics.median(over / under for over, under in samples)


def seconds_of(call: Callable[[Path], int], path: Path) -> float:
    gc.collect()
    begin = time.perf_counter()
    call(path)
    return time.perf_counter() - begin


def growth(suffix: str) -> tuple[float, float]:
    """Return by how many MB a process that reads an hour has more memory at its peak than one that reads a minute.

    By a pipeline, and by hand: of an MP4 file FFmpeg keeps the whole index.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for seconds in (MINUTE_S, HOUR_S):
            paths.append(Path(folder, f"{seconds}{suffix}"))
            write_aac(paths[-1], seconds)
        few, many = ([statistics.median(peak_of(call, p) for _ in range(3)) for call in CALLS] for p in paths)
    ours, by_hand = ((after - before) / MEGABYTE for before, after in zip(few, many, strict=True))
    return ours, by_hand


CALLS = ("by_pipeline", "by_hand")
PROBE = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import media

getattr(media, sys.argv[2])(Path(sys.argv[3]))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_of(call: str, path: Path) -> int:
    """Return the bytes of memory that a process of its own had at most; as Linux counts, which others do not tell so.

    `resource` would not do: the peak that it tells of a new process is at least the memory of the one it came from.
    """
    command = [sys.executable, "-c", PROBE, str(Path(__file__).parent), call, str(path)]
    return 1024 * int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def report(items: int = 100_000, nodes: int = 100) -> tuple[float, float]:
    """Return the seconds that the page of a run takes, and its MB."""
    result = executor("cython").execute_with_input(
        chain(*[("PassThrough", {})] * nodes), list(range(items)), metrics="time"
    )
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        page = result.to_html()
        times.append(time.perf_counter() - begin)
    return statistics.median(times), len(page.encode()) / MEGABYTE
