"""The sum of metrics is what one run over all items would have counted."""

import copy
import json

import remotemedia as rm
from remotemedia.metrics import total


def metrics_of(engine, items, level="time", node_id="buckets"):
    manifest = rm.Manifest.from_dict(
        {
            "version": "v1",
            "metadata": {"name": "t"},
            "nodes": [
                {"id": "a", "node_type": "Threshold", "params": {"threshold": 3}},
                {"id": node_id, "node_type": "Echo"},
            ],
            "connections": [{"from": "a", "to": node_id}],
        }
    )
    result = rm.Executor(engine=engine).execute_with_input(manifest, items, metrics=level, error_policy="skip")
    return result.metrics


def without_times(metrics):
    plain = copy.deepcopy(metrics)
    del plain["duration_ns"]
    for counts in plain["nodes"].values():
        counts.pop("time_ns", None)
        counts.pop("processing", None)
    return plain


def test_counts_are_added_and_percentiles_are_of_all_calls(engine):
    parts = [metrics_of(engine, items) for items in ([1, 5], [4, None, "x"], [])]
    before = copy.deepcopy(parts)
    summed = total(parts)
    assert parts == before
    assert without_times(summed) == without_times(metrics_of(engine, [1, 5, 4, None, "x"]))
    assert summed["duration_ns"] == sum(part["duration_ns"] for part in parts)
    for node_id, counts in summed["nodes"].items():
        each = [part["nodes"][node_id]["processing"] for part in parts]
        processing = counts["processing"]
        assert processing["count"] == counts["in"] == sum(calls for _, calls in processing["buckets"])
        assert processing["total_ns"] == counts["time_ns"] == sum(one["total_ns"] for one in each)
        assert processing["max_ns"] == max(one["max_ns"] for one in each)
        assert min(one["p50_ns"] for one in each if one["count"]) <= processing["p50_ns"] <= processing["p99_ns"]
    assert total(json.loads(json.dumps(parts))) == summed
    assert total([summed]) == summed


def test_nothing_adds_nothing(engine):
    some = metrics_of(engine, [1])
    assert total([]) == total([{}, {}]) == {}
    assert total([{}, some, {}]) == some


def test_times_are_of_those_that_have_them(engine):
    timed, counted = metrics_of(engine, [5, 6]), metrics_of(engine, [7], "counts")
    for parts in ([timed, counted], [counted, timed]):
        summed = total(parts)
        assert summed["nodes"]["a"]["in"] == 3
        assert summed["nodes"]["a"]["processing"] == timed["nodes"]["a"]["processing"]
