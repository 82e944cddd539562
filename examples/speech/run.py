"""Find the speech in a WAV file: ``speech.json`` on the compiled engine, timed beside the reference engine.

    python examples/speech/run.py [WAV] [--jsonl]

Without a file it takes ``speech.wav``, which lies beside it. Any WAV will do. What is timed is the whole way
from the file to its segments, on the two engines in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import remotemedia as rm
from remotemedia.nodes.audio import read_wav

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HERE = Path(__file__).parent
ENGINES = ("cython", "reference")


def main(arguments: list[str] | None = None) -> int:
    """Run the example; return the exit status."""
    options = parse(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text
    try:
        status = show(options)
        sys.stdout.flush()
    except rm.RemoteMediaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read it has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter fails at its exit
        return 141
    except KeyboardInterrupt:
        return 130
    return status


def show(options: argparse.Namespace) -> int:
    """Show the segments, and unless they alone are asked for, what went where and how fast."""
    manifest = rm.Manifest.from_file(HERE / "speech.json")
    recording = Recording(options.wav)
    runs = {e: partial(rm.Executor(engine=e).execute_with_input, manifest, recording) for e in ENGINES}
    result = runs["cython"]()
    if options.jsonl:
        for segment in result.results:
            print(json.dumps(segment))
        return 0
    print(f"{options.wav}: {recording.duration_s:.2f} s\n")
    print(segment_table(result.results))
    print(item_table(result.metrics))
    if result.results != runs["reference"]().results:
        print("error: the engines found different segments", file=sys.stderr)
        return 1
    print(speed_table(measure(runs, options.rounds, options.seconds), recording.duration_s))
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="Find the speech in a WAV file, on both engines.")
    parser.add_argument("wav", nargs="?", type=Path, default=HERE / "speech.wav", help="any WAV file")
    parser.add_argument("--jsonl", action="store_true", help="print the segments alone, as JSON Lines")
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds on each engine (default 15)")
    parser.add_argument("--seconds", type=float, default=20.0, help="start no round after this (default 20)")
    return parser.parse_args(arguments)


class Recording:
    """The blocks of a WAV file, read anew by each run; tells how long the recording is once one was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.duration_s = 0.0

    def __iter__(self) -> Iterator[rm.AudioFrame]:
        for block in read_wav(self.path):
            self.duration_s = block.end_s
            yield block


def measure(runs: Mapping[str, Callable[[], object]], rounds: int, limit_s: float) -> dict[str, list[float]]:
    """Return the seconds of each run in each round; a round has all of them, in alternating order."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    stop = time.perf_counter() + limit_s
    for index in range(max(1, rounds)):
        if index and time.perf_counter() > stop:
            break
        for name in sorted(runs, reverse=index % 2 == 1):
            start = time.perf_counter()
            runs[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def segment_table(segments: list[dict[str, float]]) -> str:
    """Return the segments as a table."""
    lines = ["   start s     end s    level"]
    lines += [f"{s['start']:10.3f}{s['end']:10.3f}{s['level_dbfs']:8.1f} dBFS" for s in segments]
    return "\n".join([*lines, f"{len(segments)} segments of speech" if segments else "no speech found", ""])


def item_table(metrics: dict[str, Any]) -> str:
    """Return how many items went through which node."""
    lines = [f"{'items':<12}{'in':>8}{'out':>8}{'at flush':>10}"]
    for node_id, counts in metrics["nodes"].items():
        lines.append(f"{node_id:<12}{counts['in']:>8}{counts['out']:>8}{counts['flushed']:>10}")
    return "\n".join([*lines, ""])


def speed_table(seconds: dict[str, list[float]], duration_s: float) -> str:
    """Return the medians, each with its realtime factor, and how the engines compare."""
    medians = {engine: statistics.median(times) for engine, times in seconds.items()}
    rounds = len(seconds["cython"])
    lines = [f"{'engine':<12}{'median':>12}{'faster than realtime':>24}   ({rounds} rounds in turn)"]
    lines += [f"{e:<12}{t * 1000:>9.2f} ms{duration_s / t:>23.0f}x" for e, t in medians.items()]
    ratio = statistics.median(c / r for c, r in zip(seconds["cython"], seconds["reference"], strict=True))
    lines.append(f"compiled / reference: {ratio:.2f} (median of rounds; most of the time is the nodes' own)")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
