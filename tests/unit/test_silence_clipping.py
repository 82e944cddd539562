"""SilenceDetector and ClippingDetector against a plain reading of their rules, sample by sample."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import TYPES, all_of, cut, given_by, made, noise, time_ns
from support import Driver, chain, node

import remotemedia as rm
from remotemedia.nodes.clipping import ClippingDetector
from remotemedia.nodes.silence import SilenceDetector

RATE_HZ = 1000


def runs_of(flags: list[bool], least: int) -> list[tuple[int, int]]:
    """Start and end of each run of True of so many flags."""
    found, at = [], 0
    for flag, group in groupby(flags):
        length = len(list(group))
        if flag and length >= least:
            found.append((at, at + length))
        at += length
    return found


def seconds(position: int, rate: int = RATE_HZ, start_ns: int = 0) -> float:
    return round((start_ns + time_ns(position, rate)) / 1e9, 6)


def array_of(rows: list[list[float]], dtype: Any) -> np.ndarray:
    """Floats as samples of a type: in int16, 1 is 32767."""
    return np.round(np.array(rows) * 32767).astype(np.int16) if dtype == np.int16 else np.array(rows, dtype)


STREAM: dict[str, Any] = {
    "count": st.integers(0, 60),
    "channels": st.sampled_from([1, 2, 8]),
    "dtype": st.sampled_from(TYPES),
    "cuts": st.lists(st.integers(0, 60), max_size=10),
    "least": st.integers(1, 6),
    "start_ns": st.sampled_from([0, 10**12, -5000]),
    "seed": st.integers(0, 10**6),
}


class TestSilence:
    @given(**STREAM)
    def test_is_what_the_rule_says_however_the_input_was_cut(self, count, channels, dtype, cuts, least, start_ns, seed):
        values = np.random.default_rng(seed).choice(
            [0.0, 0.005, -0.005, 0.02, -0.02], (channels, count), p=[0.9] + [0.025] * 4
        )
        detector = made(SilenceDetector, threshold_dbfs=-40, min_silence_ms=least)
        found = all_of(detector, cut(array_of(values.tolist(), dtype), RATE_HZ, cuts, start_ns))
        quiet = [bool(flag) for flag in (np.abs(values) <= 0.01).all(axis=0)]
        expected = [
            {"start": seconds(a, start_ns=start_ns), "end": seconds(b, start_ns=start_ns)}
            for a, b in runs_of(quiet, least)
        ]
        assert found == expected

    @pytest.mark.parametrize("dtype", TYPES)
    def test_a_tone_is_silent_below_its_level(self, dtype):
        tone = 10 ** (-30 / 20) * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
        frames = cut(array_of([[0.0] * 8000 + tone.tolist() + [0.0] * 16_000], dtype), 16_000, [5000, 20_000])
        silences = [{"start": 0.0, "end": 0.5}, {"start": 1.5, "end": 2.5}]
        found = all_of(made(SilenceDetector, threshold_dbfs=-32), frames)
        for got, expected in zip(found, silences, strict=True):
            assert got == pytest.approx(expected, abs=0.001)
        assert all_of(made(SilenceDetector, threshold_dbfs=-29), frames) == [{"start": 0.0, "end": 2.5}]

    @pytest.mark.parametrize(("count", "found"), [(21_829, 0), (21_830, 1)])
    def test_min_silence_is_rounded_to_samples(self, count, found):
        frame = rm.AudioFrame(np.zeros((1, count), np.float32), 44_100)
        assert len(all_of(made(SilenceDetector, min_silence_ms=495), [frame])) == found  # 21 829.5 samples

    @pytest.mark.parametrize("sample", [-32768, 32767])
    def test_the_ends_of_int16_are_loud(self, sample):
        samples = np.zeros((1, 1001), np.int16)
        samples[0, 500] = sample
        found = all_of(made(SilenceDetector, threshold_dbfs=-0.001), [rm.AudioFrame(samples, RATE_HZ)])
        assert found == [{"start": 0.0, "end": 0.5}, {"start": 0.501, "end": 1.001}]

    def test_a_gap_ends_it(self):
        frame = rm.AudioFrame(np.zeros((1, 600), np.float32), RATE_HZ)
        later = frame.replace(pts_ns=2_000_000_000)
        detector = made(SilenceDetector)
        assert given_by(detector, [frame, later]) == [{"start": 0.0, "end": 0.6}]
        assert detector.flush() == [{"start": 2.0, "end": 2.6}]
        assert detector.flush() == []

    def test_nan_is_refused_and_counts_as_not_having_come(self):
        detector = made(SilenceDetector)
        quiet = np.zeros((1, 300), np.float32)
        first, wrong = rm.AudioFrame(quiet, RATE_HZ), rm.AudioFrame(quiet + np.float32(np.nan), RATE_HZ, 300_000_000)
        given_by(detector, [first])
        with pytest.raises(ValueError, match="NaN"):
            given_by(detector, [wrong])
        given_by(detector, [first.replace(pts_ns=300_000_000)])
        assert detector.flush() == [{"start": 0.0, "end": 0.6}]

    @pytest.mark.parametrize(
        "params",
        [
            {"threshold_dbfs": 1},
            {"threshold_dbfs": "-60"},
            {"min_silence_ms": -1},
            {"min_silence_ms": 1e308},
            {"threshold": -60},
        ],
    )
    def test_refuses(self, params):
        with pytest.raises(ValueError, match="param"):
            made(SilenceDetector, **params)


class TestClipping:
    @given(**STREAM)
    def test_is_what_the_rule_says_however_the_input_was_cut(self, count, channels, dtype, cuts, least, start_ns, seed):
        values = np.random.default_rng(seed).choice([0.0, 0.9, 1.0, -1.0], (channels, count), p=[0.2, 0.2, 0.3, 0.3])
        detector = made(ClippingDetector, min_run=least)
        found = all_of(detector, cut(array_of(values.tolist(), dtype), RATE_HZ, cuts, start_ns))
        runs = [
            (b, channel, a)
            for channel, row in enumerate(values)
            for a, b in runs_of((np.abs(row) == 1).tolist(), least)
        ]
        expected = [
            {
                "start": seconds(a, start_ns=start_ns),
                "end": seconds(b, start_ns=start_ns),
                "channel": channel,
                "count": b - a,
            }
            for b, channel, a in sorted(runs)
        ]
        assert found == expected

    def test_a_sine_that_is_cut_off(self):
        """At 1.25 of full scale each half wave is beyond it for (pi - 2 asin 0.8) / 2 pi of a period."""
        sine = np.clip(1.25 * np.sin(2 * np.pi * 10 * (np.arange(48_000) + 0.5) / 48_000), -1, 1)
        found = all_of(made(ClippingDetector), cut(sine[None], 48_000, range(0, 48_000, 1001)))
        assert len(found) == 20
        expected = 4800 * (np.pi - 2 * np.arcsin(0.8)) / (2 * np.pi)
        assert all(abs(clip["count"] - expected) <= 1 + 0.0002 * 4800 for clip in found)

    @pytest.mark.parametrize(
        ("samples", "count"),
        [([32767] * 3, 1), ([-32768] * 3, 1), ([-32767, 32767, -32768], 1), ([32760] * 3, 0), ([0] * 3, 0)],
    )
    def test_full_scale_of_int16_and_of_floats_made_of_it(self, samples, count):
        frame = rm.AudioFrame(np.array(samples, np.int16), RATE_HZ)
        assert len(all_of(made(ClippingDetector), [frame])) == count
        floats = frame.replace(samples=frame.samples / np.float32(32768))
        assert len(all_of(made(ClippingDetector), [floats])) == count

    @pytest.mark.parametrize("dtype", TYPES)
    def test_a_threshold_of_full_scale(self, dtype):
        frame = rm.AudioFrame(array_of([[1.0, -1.0, 1.0, 0.9999, 1.0, 1.0, 0.0]], dtype), RATE_HZ)
        assert [clip["count"] for clip in all_of(made(ClippingDetector, threshold=1, min_run=1), [frame])] == [3, 2]

    def test_infinity_clips_and_nan_is_refused(self):
        assert len(all_of(made(ClippingDetector), [rm.AudioFrame(np.array([np.inf, -np.inf, 5]), RATE_HZ)])) == 1
        with pytest.raises(ValueError, match="NaN"):
            given_by(made(ClippingDetector), [rm.AudioFrame(np.array([1.0, np.nan]), RATE_HZ)])

    def test_another_recording_ends_runs(self):
        loud = rm.AudioFrame(np.ones((1, 2)), RATE_HZ)
        detector = made(ClippingDetector)
        assert given_by(detector, [loud, loud.replace(pts_ns=9_000_000), loud.replace(pts_ns=11_000_000)]) == []
        assert detector.flush() == [{"start": 0.009, "end": 0.013, "channel": 0, "count": 4}]
        assert detector.flush() == []

    @pytest.mark.parametrize(
        "params", [{"threshold": 0}, {"threshold": 1e308}, {"min_run": 0}, {"min_run": 1.5}, {"run": 3}]
    )
    def test_refuses(self, params):
        with pytest.raises(ValueError, match="param"):
            made(ClippingDetector, **params)


@pytest.mark.parametrize("node_type", ["SilenceDetector", "ClippingDetector"])
def test_through_a_pipeline_with_sessions(engine, node_type):
    params = {"SilenceDetector": {"min_silence_ms": 5}, "ClippingDetector": {}}[node_type]
    samples = noise(2, 30)
    samples[:, 10:20] = 0.0 if node_type == "SilenceDetector" else 1.0
    manifest = rm.Pipeline("p").add(node_type, params=params).to_manifest()
    with rm.Executor(engine=engine).open(manifest) as session:
        for _ in range(2):
            found = session.run(cut(samples, RATE_HZ, [0, 15, 15])).results
            assert {(one["start"], one["end"]) for one in found} == {(0.01, 0.02)}
            assert len(found) == (1 if node_type == "SilenceDetector" else 2)


def test_empty_frames(direct: Driver):
    empty = rm.AudioFrame(np.zeros((2, 0), np.float32), RATE_HZ)
    for node_type in ("SilenceDetector", "ClippingDetector"):
        assert direct.results(chain(node("n", node_type)), [empty, empty]) == []
