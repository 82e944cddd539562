"""Chunker against slices of the whole recording."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import TYPES, all_of, cut, given_by, joined, made, noise, time_ns
from support import Driver, chain, node

import remotemedia as rm
from remotemedia.nodes.chunker import ENDS, Chunker

RATE_HZ = 44_100


def expected_of(samples: np.ndarray, size: int, hop: int, end: str) -> list[tuple[int, np.ndarray]]:
    """Position and samples of each chunk, by slices of all of it."""
    count = samples.shape[1]
    found = [(at, samples[:, at : at + size]) for at in range(0, count - size + 1, hop)]
    covered, at = (found[-1][0] + size, found[-1][0] + hop) if found else (0, 0)
    if end != "drop" and count > max(covered, at):
        left = samples[:, at:]
        found.append((at, left if end == "keep" else np.pad(left, ((0, 0), (0, size - left.shape[1])))))
    return found


@given(
    count=st.integers(0, 60),
    size=st.integers(1, 20),
    hop=st.none() | st.integers(1, 30),
    end=st.sampled_from(ENDS),
    cuts=st.lists(st.integers(0, 60), max_size=10),
    channels=st.sampled_from([1, 2, 8]),
    dtype=st.sampled_from(TYPES),
    start_ns=st.integers(-(10**12), 10**15),
)
def test_chunks_are_slices_however_the_input_was_cut(count, size, hop, end, cuts, channels, dtype, start_ns):
    samples = noise(channels, count, dtype)
    before = samples.copy()
    found = all_of(made(Chunker, samples=size, hop=hop, end=end), cut(samples, RATE_HZ, cuts, start_ns))
    expected = expected_of(samples, size, hop or size, end)
    assert [frame.pts_ns for frame in found] == [start_ns + time_ns(at, RATE_HZ) for at, _ in expected]
    for frame, (_, slice_) in zip(found, expected, strict=True):
        assert frame.samples.dtype == dtype
        assert not frame.samples.flags.writeable
        assert np.array_equal(frame.samples, slice_)
    assert np.array_equal(samples, before)
    assert samples.flags.writeable


def test_what_lies_in_one_frame_is_a_view_of_it():
    samples = noise(2, 1000)
    found = given_by(made(Chunker, samples=256, hop=100), [rm.AudioFrame(samples, RATE_HZ)])
    assert len(found) == 8
    assert all(np.shares_memory(frame.samples, samples) for frame in found)


def test_what_waits_keeps_no_frame_alive_and_does_not_change_with_it():
    chunker, samples = made(Chunker, samples=700), np.ones((1, 1000), np.float32)
    assert len(given_by(chunker, [rm.AudioFrame(samples, RATE_HZ)])) == 1
    samples[:] = 2  # whoever made it uses its buffer again
    assert chunker.flush()[0].samples.tolist() == [[1] * 300]


def test_metadata_is_that_of_the_frame_it_ends_in():
    found = all_of(made(Chunker, samples=10), cut(noise(1, 25), RATE_HZ, [5, 12]))
    assert [frame.metadata["begin"] for frame in found] == [5, 12, 12]


def test_lengths_in_ms_are_those_of_the_rate():
    chunker = made(Chunker, chunk_ms=10, hop_ms=5)
    frames = [rm.AudioFrame(noise(1, 1000), 48_000), rm.AudioFrame(noise(1, 250), 8000)]
    found = all_of(chunker, frames)
    assert [frame.sample_count for frame in found if frame.sample_rate == 48_000] == [480, 480, 480, 280]
    assert {frame.sample_count for frame in found[4:-1]} == {80}
    assert [frame.pts_ns for frame in found[:3]] == [0, 5_000_000, 10_000_000]


class TestAnotherRecording:
    @pytest.mark.parametrize(
        "changes",
        [
            {"sample_rate": 8000},
            {"samples": noise(2, 70)},
            {"samples": noise(1, 70, np.int16)},
            {"pts_ns": 9_000_000},
            {"pts_ns": 0},
        ],
    )
    def test_is_cut_from_its_own_start(self, changes):
        first = rm.AudioFrame(noise(1, 70), 16_000, metadata={"n": 1})
        second = rm.AudioFrame(noise(1, 70), 16_000, first.end_ns, {"n": 2}).replace(**changes)
        found = all_of(made(Chunker, samples=50), [first, second])
        assert [frame.sample_count for frame in found] == [50, 20, 50, 20]
        assert [frame.metadata["n"] for frame in found] == [1, 1, 2, 2]
        assert found[2].pts_ns == second.pts_ns
        assert np.array_equal(joined(found[2:]), second.samples)

    def test_goes_on_after_a_flush(self, engine):
        manifest = rm.Pipeline("p").add("Chunker", params={"samples": 50, "end": "zeros"}).to_manifest()
        with rm.Executor(engine=engine).open(manifest) as session:
            for start_ns in (5, 0):
                got = session.run(cut(noise(1, 70), 16_000, [30], start_ns)).results
                assert [frame.pts_ns for frame in got] == [start_ns, start_ns + 3_125_000]
                assert got[1].samples[0, 20:].tolist() == [0] * 30


class TestRefusals:
    @pytest.mark.parametrize(
        ("params", "fault"),
        [
            ({}, "'samples' is missing"),
            ({"samples": 5, "chunk_ms": 5}, "given twice"),
            ({"samples": 0}, "whole number above 0"),
            ({"samples": 5.5}, "whole number above 0"),
            ({"samples": 5, "hop": 0}, "whole number above 0"),
            ({"samples": 5, "hop_ms": 5}, "does not go with 'samples'"),
            ({"chunk_ms": 5, "hop": 5}, "does not go with 'chunk_ms'"),
            ({"chunk_ms": 0}, "above 0"),
            ({"samples": 5, "end": "pad"}, "'end' must be one of"),
            ({"samples": 5, "pad": "drop"}, "'pad' is unknown"),
        ],
    )
    def test_params(self, params: dict[str, Any], fault):
        with pytest.raises(ValueError, match=fault):
            made(Chunker, **params)

    def test_other_items(self):
        with pytest.raises(TypeError, match="takes AudioFrame items, got list"):
            given_by(made(Chunker, samples=5), [[1.0]])


def test_empty_frames_change_nothing(direct: Driver):
    manifest = chain(node("c", "Chunker", samples=50))
    empty = rm.AudioFrame(np.zeros((1, 0), np.float32), 16_000)
    assert direct.results(manifest, [empty]) == []
    found = direct.results(manifest, [empty, *cut(noise(1, 120), 16_000, [10, 10, 60, 60])])
    assert [frame.sample_count for frame in found] == [50, 50, 20]
    assert np.array_equal(joined(found), noise(1, 120))


def test_many_small_frames_are_not_copied_again_and_again():
    """A chunk of n frames costs n, not n²: twice the frames take about twice as long."""

    def seconds(frames: int) -> float:
        chunker = made(Chunker, samples=frames * 10)
        stream = cut(noise(1, frames * 10), 16_000, range(0, frames * 10, 10))
        begin = time.perf_counter()
        assert len(given_by(chunker, stream)) == 1
        return time.perf_counter() - begin

    few, many = (min(seconds(frames) for _ in range(3)) for frames in (2000, 32_000))
    assert many < 100 * few  # were it n², 256 times as long
