"""`make bench`: how fast against plain Python, as ratios; `--check` exits 1 where one misses what it must reach.

The machine's noise is larger than what is measured, so nothing here is a time against a target: each number is two
things timed in turn (A B A B …) in one process, and the median over many rounds of what each round says. Both start
each sample after a full collection, with the garbage collector on, and with what was there before frozen. Time is
that of the processor, not of the clock: a neighbour on the same core takes more from a long sample than from a short
one, and turned ratios over by four times before. (All of it is one thread that never waits; Linux and macOS only.)

With ``--runs N`` the whole table is measured N times, each in a process of its own, and the medians are judged.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import arrays
import comparators as plain
import live
import media
import memory
import voice
from cython_node import UPDATES, CannotCompile, compile_source, tick_class
from scenarios import JOIN, S1, S2, S3, chain, executor, floats, integers, long_chain_text, prepare, sdk_chain_text

import remotemedia

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(remotemedia.__file__).resolve().parent.parent
SAMPLE_NS = 1_000_000
"""A sample repeats its call until it takes this long."""


@dataclass
class Row:
    """A line of the table; `value` is None if it could not be measured, and `note` says why."""

    what: str
    value: float | None
    must: float | None = None
    aim: float | None = None
    unit: str = ""
    note: str = ""

    @property
    def missed(self) -> bool:
        return self.value is not None and self.must is not None and self.value > self.must

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "skipped"
        if self.must is None:
            return ""
        if self.missed:
            return "MISSED"
        return "ok, aim met" if self.aim is not None and self.value <= self.aim else "ok"


def interleave(rounds: int, *calls: Callable[[], Any]) -> list[tuple[float, ...]]:
    """Return for each round the nanoseconds of one call of each, taken in turn."""
    repeats = []
    for call in calls:
        call()
        began = time.thread_time_ns()
        call()
        repeats.append(max(1, SAMPLE_NS // max(1, time.thread_time_ns() - began)))
    gc.collect()
    gc.freeze()
    try:
        return [tuple(map(sample, calls, repeats)) for _ in range(rounds)]
    finally:
        gc.unfreeze()


def sample(call: Callable[[], Any], repeats: int) -> float:
    """Return the nanoseconds of a call; its result is freed within them."""
    gc.collect()
    count = range(repeats)
    began = time.thread_time_ns()
    for _ in count:
        call()
    return (time.thread_time_ns() - began) / repeats


def ratio(rounds: int, over: Callable[[], Any], under: Callable[[], Any]) -> float:
    return statistics.median(a / b for a, b in interleave(rounds, over, under))


def slope_ratio(
    rounds: int, short: Callable[[], Any], long: Callable[[], Any], short_plain: plain.Call, long_plain: plain.Call
) -> float:
    """Return what more nodes cost, over what as many more cost in the plain loop."""
    return statistics.median(
        (b - a) / (d - c) for a, b, c, d in interleave(rounds, short, long, short_plain, long_plain)
    )


# --- the rows ---------------------------------------------------------------------------------------------------------


def s1_rows() -> list[Row]:
    items = integers(1000)
    run, comprehension = prepare(S1, items), plain.s1_comprehension(items)
    reference, loop = prepare(S1, items, "reference"), plain.s1_loop(items)
    plain.agree(run, comprehension, loop, lambda: reference().results)
    ten = integers(10)
    run_ten, loop_ten = prepare(S1, ten), plain.s1_loop(ten)
    plain.agree(run_ten, loop_ten)
    return [
        Row("S1, 1 000 items: whole call ÷ comprehension", ratio(300, run, comprehension), 1.0, 0.85),
        Row("S1, 10 items: whole call ÷ plain loop over ready nodes", ratio(300, run_ten, loop_ten), 1.5, 1.0),
        Row("S1, 1 000 items: whole call ÷ the same on the reference", ratio(100, run, reference), 0.2, 0.12),
        Row("S1, 1 000 items: the reference ÷ plain loop (issue 2, part 4)", ratio(100, reference, loop), 3.0),
    ]


def s2_rows() -> list[Row]:
    items = integers(100)
    run, comprehension = prepare(S2, items), plain.s2_comprehension(items)
    plain.agree(run, comprehension)
    return [Row("S2, 100 items: whole call ÷ comprehension", ratio(300, run, comprehension), 1.15, 1.0)]


def s3_rows() -> list[Row]:
    items = floats(100_000)
    run, loop, comprehension = prepare(S3, items), plain.s3_loop(items), plain.s3_comprehension(items)
    plain.agree(run, loop, comprehension)
    samples = interleave(25, run, loop, comprehension)
    return [
        Row("S3, 100 000 items, user classes ÷ plain loop", statistics.median(a / b for a, b, _ in samples), 0.75, 0.6),
        Row("  the same ÷ all written into one comprehension", statistics.median(a / c for a, _, c in samples)),
    ]


def slope_rows() -> list[Row]:
    items = integers(1000)

    def runs(node_type: str, **node_types: Any) -> list[Callable[[], Any]]:
        return [prepare(chain(*[node_type] * count), items, **node_types) for count in (3, 23)]

    def loops(kind: type) -> list[plain.Call]:
        return [plain.loop([kind() for _ in range(count)], items) for count in (3, 23)]

    passes, ticks = loops(plain.PlainPassThrough), loops(plain.PlainTick)
    native = runs("PassThrough")
    plain.agree(native[0], *passes)
    plain.agree(native[1], *passes)
    found = [Row("slope of a PassThrough ÷ slope of the plain loop", slope_ratio(100, *native, *passes), 0.06, 0.03)]
    what = "slope of an @final Cython node that counts ÷ slope of the plain loop"
    try:
        compiled = runs("Tick", Tick=tick_class())
    except CannotCompile as reason:
        return [*found, Row(what, None, 0.15, 0.08, note=str(reason))]
    plain.agree(compiled[1], *ticks)
    return [
        *found,
        Row(what, slope_ratio(100, *compiled, *passes), 0.15, 0.08),
        Row("  the same ÷ a plain loop whose nodes count, too", slope_ratio(100, *compiled, *ticks)),
    ]


def join_rows() -> list[Row]:
    items = floats(10_000)
    run, loop, comprehension = prepare(JOIN, items), plain.join_loop(items), plain.join_comprehension(items)
    plain.agree(run, loop, comprehension)
    samples = interleave(60, run, loop, comprehension)
    return [
        Row(
            "source → A, B → join, 10 000 items ÷ plain loop", statistics.median(a / b for a, b, _ in samples), 1.0, 0.8
        ),
        Row("source → A, B → join ÷ comprehension", statistics.median(a / c for a, _, c in samples), 1.25, 1.1),
    ]


def manifest_rows() -> list[Row]:
    text = long_chain_text(10_000)
    read = remotemedia.Manifest.from_json
    assert len(read(text).graph.execution_order) == len(json.loads(text)["nodes"]) == 10_000
    found = ratio(40, lambda: read(text).graph, lambda: json.loads(text))
    warnings.simplefilter("ignore", remotemedia.ManifestWarning)
    other = sdk_chain_text(10_000)
    assert len(read(other).graph.execution_order) == 10_000
    others = ratio(20, lambda: read(other).graph, lambda: json.loads(other))
    return [
        Row("JSON of a 10 000-node chain → checked graph ÷ json.loads", found, 3.0, 1.6),
        Row("  the same as the SDK spells it: aliases, free keys, nulls", others),
    ]


def time_rows() -> list[Row]:
    found = []
    for name, tree, items, rounds, must, aim in (
        ("S1, 1 000 items", S1, integers(1000), 300, 3.0, 2.0),
        ("S3, 100 000 items", S3, floats(100_000), 25, 1.6, 1.3),
    ):
        timed, counted = prepare(tree, items, metrics="time"), prepare(tree, items)
        assert timed().results == counted().results
        assert all(node["processing"]["count"] == node["in"] for node in timed().metrics["nodes"].values())
        found.append(Row(f'{name}: metrics="time" ÷ "counts"', ratio(rounds, timed, counted), must, aim))
        limited = prepare(with_limits(tree), items, metrics="time")
        assert limited().results == counted().results
        found.append(Row("  the same, and a timeout_ms on every node", ratio(rounds, limited, counted), must, aim))
    what = "a histogram update beyond its clock read"
    try:
        made = compile_source(UPDATES)
    except CannotCompile as reason:
        return [*found, Row(what, None, 10, 5, "ns", note=str(reason))]
    count = 100_000
    samples = interleave(60, lambda: made.update(count), lambda: made.read(count))
    update_ns = statistics.median((update - read) / count for update, read in samples)
    read_ns = statistics.median(read for _, read in samples) / count
    return [*found, Row(what, update_ns, 10, 5, "ns", note=f"the read itself {read_ns:.0f} ns")]


def with_limits(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest with a time limit that is never reached on every node."""
    return {**tree, "nodes": [{**spec, "timeout_ms": 60_000} for spec in tree["nodes"]]}


def live_rows() -> list[Row]:
    sync_stream, async_stream = live.streams()
    hop, hop_and_call = live.hop()
    rows = [
        Row(
            "three async nodes that never suspend, 10 000 items ÷ a plain loop that awaits them",
            live.never_suspending(),
            0.8,
            0.6,
        ),
        Row("1 000 items of 1 ms, 100 at a time, asyncio ÷ 100 workers by hand", live.sleeping("asyncio"), 1.1, 1.0),
    ]
    if live.uvloop is not None:
        rows.append(Row("  the same on uvloop", live.sleeping("uvloop"), 1.1, 1.0))
    return [
        *rows,
        Row("S1, 100 000 items: sync stream ÷ whole call", sync_stream, 1.3, 1.1),
        Row("  async stream ÷ sync stream", async_stream, 3.0, 2.0),
        Row("a hop between two thread stages, per item ÷ SimpleQueue put + get", hop, 1.0, 0.3),
        Row("  with the call of the stage behind it", hop_and_call),
        Row("pool: acquire, process, release ÷ SimpleQueue get, call, put", live.pooled(), 4.0, 2.0),
    ]


def lane_rows() -> list[Row]:
    whole, chunks, ten = arrays.blocks()
    two_of_ten, two_of_few = arrays.threads()
    slope, batches = arrays.c_function_slope(), arrays.batches()
    return [
        Row(
            "doubled, half dropped, 1 added, in built-ins, 100 000 floats ÷ comprehension", arrays.scalars(), 0.6, 0.45
        ),
        Row("  an array of 10⁷ ÷ NumPy", whole, 0.45, 0.25),
        Row("  the same ÷ NumPy in chunks of 64k", chunks, 0.55, 0.3),
        Row("ten Multiply, an array of 10⁷ ÷ ten multiplications in NumPy", ten, 0.35, 0.2),
        Row("  the same, parallelism 2 ÷ 1", two_of_ten, 0.65, 0.55),
        Row("  doubled, half dropped, 1 added, parallelism 2 ÷ 1", two_of_few, note="bound by memory"),
        Row("slope of a C function of the user's ÷ slope of a Multiply, in a lane", slope, 3.0, 1.5),
        Row("process_batch with NumPy inside, 256 at a time ÷ the same without the runtime", batches, 1.1, 1.02),
        Row("int16 → float32 → gain → RMS over one hour of 48 kHz mono ÷ the same in NumPy", arrays.audio(), 0.6, 0.4),
    ]


def voice_rows() -> list[Row]:
    return [
        Row("SileroVAD over 10 minutes ÷ a loop over its library's call", voice.silero(), 1.1, 1.03),
        Row("two streams of Resample and SileroVAD, a thread each ÷ one, by the clock", voice.two_streams(), 1.3, 1.1),
    ]


def media_rows() -> list[Row]:
    seconds, megabytes = media.report()
    flat, _ = media.growth(".mka")
    with_index, by_hand = media.growth(".mp4")
    return [
        Row("one hour of AAC decoded, resampled, cut ÷ the same PyAV and soxr by hand", media.decode(), 1.1, 1.02),
        Row("  its peak memory beyond that of one minute, Matroska", flat, 5, unit="MB"),
        Row("  the same of MP4, whose index FFmpeg keeps", with_index, unit="MB", note=f"{by_hand:.1f} by hand"),
        Row("report of 10⁵ items, 100 nodes", seconds, 1, unit="s"),
        Row("  its size", megabytes, 2, unit="MB"),
    ]


def memory_rows() -> list[Row]:
    items = integers(1_000_000)
    run = executor("cython").execute_with_input
    manifest = remotemedia.Manifest.from_dict(S1)
    whole = memory.beyond_kept(lambda: run(manifest, items))
    return [
        Row("10⁶ items: peak memory beyond input and results", whole / memory.MEGABYTE, 1.0, unit="MB"),
        *(
            Row(
                f"stream of 10⁶, slow consumer: its peak beyond that of 10⁵; {name}",
                memory.growth(tree, is_async=is_async) / memory.MEGABYTE,
                0.01,
                unit="MB",
                note="flat is taken as ≤ 0.01 MB",
            )
            for name, (tree, is_async) in memory.COMPOSITIONS.items()
        ),
    ]


def import_rows() -> list[Row]:
    bare = ""
    package = "import remotemedia"
    names = "from remotemedia import Executor, Manifest"
    samples = [tuple(map(start_ms, (bare, package, names))) for _ in range(25)]
    probe = f"{names}\nExecutor(); assert 'numpy' not in sys.modules, 'NumPy was loaded'"
    start_ms(probe)
    of_package = statistics.median(b - a for a, b, _ in samples)
    of_names = statistics.median(c - a for a, _, c in samples)
    return [
        Row("import remotemedia, beyond a bare interpreter", of_package, 40, 20, "ms"),
        Row(f"  {names}", of_names, unit="ms", note="NumPy not loaded"),
    ]


def start_ms(code: str) -> float:
    """Return the milliseconds of processor time that an isolated interpreter needs to start, run this, and end."""
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


SECTIONS = (
    s1_rows,
    s2_rows,
    s3_rows,
    slope_rows,
    join_rows,
    time_rows,
    live_rows,
    lane_rows,
    voice_rows,
    media_rows,
    manifest_rows,
    memory_rows,
    import_rows,
)


# --- the table --------------------------------------------------------------------------------------------------------


def measure() -> list[Row]:
    """Return every row, measured in this process."""
    return [row for section in SECTIONS for row in section()]


def measure_elsewhere() -> list[Row]:
    """Return every row, measured in a process of its own."""
    command = [sys.executable, __file__, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [Row(**row) for row in json.loads(done.stdout)]


def medians(tables: Sequence[list[Row]]) -> list[Row]:
    """Return the rows with the median of their values."""
    judged = []
    for rows in zip(*tables, strict=True):
        values = [row.value for row in rows if row.value is not None]
        row = rows[-1]
        if len(values) > 1:
            row.note = f"{row.note}; " * bool(row.note) + f"runs {' '.join(f'{value:.3f}' for value in values)}"
        row.value = statistics.median(values) if values else None
        judged.append(row)
    return judged


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    interpreter = f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})"
    print(f"{interpreter}, {platform.machine()}, {sys.executable}")
    width = max(len(row.what) for row in rows)
    print(f"{'':{width}}  {'ratio':>9}  {'must':>7}  {'aim':>6}")
    for row in rows:
        value = "-" if row.value is None else f"{row.value:.3f}{row.unit and ' '}{row.unit}"
        must = "" if row.must is None else f"≤ {row.must:g}"
        aim = "" if row.aim is None else f"{row.aim:g}"
        note = f" ({row.note})" if row.note else ""
        print(f"{row.what:{width}}  {value:>9}  {must:>7}  {aim:>6}  {row.verdict}{note}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a ratio misses its must")
    parser.add_argument("--runs", type=int, default=1, help="measure so often, and judge the medians (default 1)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    rows = measure() if options.runs == 1 else medians([measure_elsewhere() for _ in range(options.runs)])
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        show(rows)
    missed = sum(row.missed for row in rows)
    if options.check and missed:
        print(f"{missed} missed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
