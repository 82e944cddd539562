"""What is measured is right: comparators equal the engines. And a few times beside the tests.

`pytest tests/bench --benchmark-enable` times; without it each runs once. Ratios that must hold are `make bench-check`.
"""

import importlib
import inspect
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "asv_bench"))

import arrays
import comparators as plain
import cython_node
import live
import media
import memory
import ratios
import scenarios
import voice
from support import LOOPS

COMPARATORS = {
    "S1": (scenarios.S1, scenarios.integers, (plain.s1_comprehension, plain.s1_loop)),
    "S2": (scenarios.S2, scenarios.integers, (plain.s2_comprehension,)),
    "S3": (scenarios.S3, scenarios.floats, (plain.s3_loop, plain.s3_comprehension)),
    "join": (scenarios.JOIN, scenarios.floats, (plain.join_loop, plain.join_comprehension)),
}


@pytest.mark.parametrize("count", [1, 10, 1000])
@pytest.mark.parametrize("name", COMPARATORS)
def test_every_comparator_gives_what_the_engine_gives(name, count, engine):
    tree, data, comparators = COMPARATORS[name]
    items = data(count)
    run = scenarios.prepare(tree, items, engine)
    calls = [comparator(items) for comparator in comparators]
    for _ in range(2):  # and again: a call leaves nothing behind
        assert [call() for call in calls] == [run().results] * len(calls)


def test_agree_refuses_a_comparator_that_differs():
    run = scenarios.prepare(scenarios.S1, [1, 2])
    with pytest.raises(AssertionError, match="differ"):
        plain.agree(run, plain.s1_comprehension([1, 3]))


def test_agree_refuses_to_compare_nothing():
    run = scenarios.prepare(scenarios.S1, [])
    with pytest.raises(AssertionError, match="differ"):
        plain.agree(run, plain.s1_comprehension([]))


def test_data_are_the_same_in_every_process_and_half_of_them_are_dropped():
    items = scenarios.floats(10_000)
    assert items == scenarios.floats(10_000)
    kept = scenarios.prepare(scenarios.S3, items)().results
    assert len(kept) / len(items) == pytest.approx(0.5, abs=0.02)


def test_what_is_timed_is_timed_and_what_is_not_is_not(engine):
    for metrics in ("time", "counts"):
        nodes = scenarios.prepare(scenarios.S3, scenarios.floats(9), engine, metrics=metrics)().metrics["nodes"]
        assert [node.get("processing", {}).get("count") == node["in"] for node in nodes.values()] == [
            metrics == "time"
        ] * 3


def test_the_loop_that_times_updates_makes_them_and_the_other_does_not():
    made = cython_node.compile_source(cython_node.UPDATES)
    made.read(1000)
    assert made.counted() == 0
    made.update(1000)
    assert made.counted() == 1000


def test_the_wrong_engine_is_refused(monkeypatch):
    made = scenarios.rm.Executor(engine="reference")
    monkeypatch.setattr(scenarios.rm, "Executor", lambda registry, engine: made)
    with pytest.raises(RuntimeError, match="asked for the engine 'cython'"):
        scenarios.executor("cython")


@pytest.mark.parametrize(
    ("value", "verdict"), [(None, "skipped"), (0.5, "ok, aim met"), (0.9, "ok"), (1.0, "ok"), (1.01, "MISSED")]
)
def test_a_row_is_judged_by_its_must(value, verdict):
    row = ratios.Row("a", value, 1.0, 0.8)
    assert row.verdict == verdict
    assert row.missed is (verdict == "MISSED")


def test_runs_are_judged_by_their_median():
    tables = [[ratios.Row("a", value, 1.0)] for value in (3.0, 0.5, 0.9)]
    assert ratios.medians(tables)[0].value == 0.9


@pytest.mark.parametrize(("value", "status"), [(0.9, 0), (1.1, 1)])
def test_check_exits_with_one_on_a_missed_must(monkeypatch, capsys, value, status):
    monkeypatch.setattr(ratios, "measure_elsewhere", lambda: [ratios.Row("a", value, 1.0)])
    assert ratios.main(["--check", "--runs", "3"]) == status
    assert ("MISSED" in capsys.readouterr().out) is bool(status)


def suites():
    """Every asv benchmark with every combination of its small params."""
    for module in ("engine", "graph", "overlap", "pool", "stream"):
        for suite in vars(importlib.import_module(f"benchmarks.{module}")).values():
            if inspect.isclass(suite) and suite.__module__ == f"benchmarks.{module}":
                for name in dir(suite):
                    if name.startswith(("time_", "peakmem_")):
                        yield pytest.param(suite, name, id=f"{module}.{suite.__name__}.{name}")


@pytest.mark.parametrize(("suite", "name"), list(suites()))
def test_asv_benchmarks_run(suite, name, engine):
    made = suite()
    axes = zip(made.param_names, made.params, strict=True)
    params = [engine if axis == "engine" else values[0] for axis, values in axes]
    made.setup(*params)
    try:
        getattr(made, name)(*params)
    finally:
        getattr(made, "teardown", lambda *_: None)(*params)


def test_time_of_a_short_run(benchmark, engine):
    run = scenarios.prepare(scenarios.S1, scenarios.integers(10), engine)
    assert len(benchmark(run).results) == 10


@pytest.mark.parametrize("name", ["S1", "S2", "S3", "join"])
def test_time_of_a_thousand_items(benchmark, name, engine):
    tree, data, _ = COMPARATORS[name]
    assert benchmark(scenarios.prepare(tree, data(1000), engine)).results


def test_time_of_a_manifest_of_a_thousand_nodes(benchmark):
    text = scenarios.long_chain_text(1000)
    manifest = benchmark(scenarios.rm.Manifest.from_json, text)
    assert len(manifest.graph.execution_order) == 1000


@pytest.mark.parametrize("measure", [live.never_suspending, live.streams, live.hop, live.pooled])
def test_what_waits_and_overlaps_gives_what_plain_python_gives(measure):
    assert measure(rounds=1)  # it compares the results, before it times


def test_lanes_give_what_comprehensions_and_numpy_give():
    assert arrays.scalars(rounds=1, count=5000)
    assert all(arrays.blocks(rounds=1, count=200_000))
    assert all(arrays.threads(rounds=1, count=200_000))
    assert arrays.batches(rounds=1, count=1000)
    assert arrays.c_function_slope(rounds=1, count=1000)
    assert arrays.audio(rounds=1, samples=480_000)


def test_silero_gives_what_its_library_gives_and_two_streams_run():
    assert voice.silero(rounds=1, minutes=0.05)
    assert voice.two_streams(rounds=1, seconds=1)


def test_a_file_gives_the_same_chunks_by_hand_and_its_report_is_made():
    assert media.decode(rounds=1, seconds=3)
    assert media.report(items=10, nodes=3)[1] < 0.1


@pytest.mark.parametrize("loop", LOOPS)
def test_overlapping_sleeps_give_what_workers_give(loop):
    assert live.sleeping(loop, rounds=1)


@pytest.mark.parametrize("name", memory.COMPOSITIONS)
def test_streams_with_a_slow_consumer_are_flat(name):
    tree, is_async = memory.COMPOSITIONS[name]
    # how full queues come to be is up to the scheduler; what grows does so each time
    growths = (memory.growth(tree, is_async=is_async, few=2000, many=6000) for _ in range(5))
    assert any(growth < 0.01 * memory.MEGABYTE for growth in growths)


def test_a_queue_that_does_not_hold_back_is_seen_as_growth():
    tree = memory.threads(capacity=1_000_000)
    assert memory.growth(tree, is_async=False, few=2000, many=20_000) > 0.01 * memory.MEGABYTE
