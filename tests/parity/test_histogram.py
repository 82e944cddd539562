"""The histograms of both engines are one: same buckets, same percentiles. And they are right within what they state."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remotemedia._core.histogram import Recorder
from remotemedia.reference.histogram import LONGEST_NS, Histogram, bounds_of, bucket_of

TIMES = st.lists(
    st.one_of(
        st.integers(0, 100), st.integers(0, 10**7), st.integers(0, 1 << 50), st.integers(0, 40).map(lambda k: 1 << k)
    )
)
EDGES = [0, 1, 15, 16, 31, 32, 33, 63, 64, LONGEST_NS - 1, LONGEST_NS, LONGEST_NS + 1, (1 << 63) - 1]


def recorded(times):
    recorder = Recorder()
    for ns in times:
        recorder.add(ns)
    return recorder


def counted(times):
    histogram = Histogram()
    for ns in times:
        histogram.add(ns)
    return histogram


@given(TIMES)
def test_both_give_the_same(times):
    assert recorded(times).to_dict() == counted(times).to_dict()


@pytest.mark.parametrize("ns", EDGES)
def test_both_give_the_same_at_the_edges(ns):
    found = recorded([ns]).to_dict()
    assert found == counted([ns]).to_dict()
    assert (found["count"], found["total_ns"], found["max_ns"], found["p50_ns"]) == (1, ns, ns, found["p99_ns"])


def test_a_time_below_nothing_counts_as_nothing():
    assert recorded([-5]).to_dict() == counted([0]).to_dict()


def test_buckets_follow_each_other_without_a_gap():
    reach = [bounds_of(bucket) for bucket in range(592)]
    assert reach[0] == (0, 0)
    assert all(after[0] == before[1] + 1 for before, after in pairwise(reach))
    assert reach[-1][1] == LONGEST_NS
    for bucket, (lowest, highest) in enumerate(reach):
        assert bucket_of(lowest) == bucket_of(highest) == bucket


@given(st.lists(st.integers(0, LONGEST_NS >> 1), min_size=1))
def test_a_percentile_is_within_a_32nd_of_the_time_that_it_stands_for(times):
    found = recorded(times).to_dict()
    times.sort()
    for percent in (50, 95, 99):
        exact = times[-(-len(times) * percent // 100) - 1]
        assert abs(found[f"p{percent}_ns"] - exact) <= exact / 32
    assert found["p50_ns"] <= found["p95_ns"] <= found["p99_ns"] <= found["max_ns"] <= found["total_ns"]
    assert found["max_ns"] == times[-1]
    assert found["total_ns"] == sum(times)
    assert sum(count for _, count in found["buckets"]) == found["count"] == len(times)


@given(st.lists(TIMES, max_size=5))
def test_what_a_session_folds_is_the_sum_and_the_latest_stands_alone(calls):
    recorder = Recorder()
    for times in calls:
        recorder.fold()
        for ns in times:
            recorder.add(ns)
        assert recorder.latest() == counted(times).to_dict()
    assert recorder.to_dict() == counted([ns for times in calls for ns in times]).to_dict()


@given(TIMES, TIMES)
def test_what_json_gives_back_can_be_merged(some, others):
    merged = Histogram.from_dict(json.loads(json.dumps(recorded(some).to_dict())))
    merged.merge(counted(others))
    assert merged.to_dict() == counted(some + others).to_dict()


def test_nothing_counted_is_all_zero():
    nothing = {"count": 0, "total_ns": 0, "p50_ns": 0, "p95_ns": 0, "p99_ns": 0, "max_ns": 0, "buckets": []}
    assert Recorder().to_dict() == Histogram().to_dict() == nothing
