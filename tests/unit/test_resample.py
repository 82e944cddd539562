"""Resample against soxr's one-shot, a sine by its formula, and the times that both have."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import TYPES, all_of, cut, given_by, joined, made, noise, time_ns
from support import Driver, chain, node

import remotemedia as rm
from remotemedia.nodes.resample import QUALITIES, Resample

TOLERANCE = {np.float32: 2e-6, np.float64: 1e-9, np.int16: 2}  # int16: dither of one step, and its rounding


class TestSamples:
    @settings(max_examples=60)
    @given(
        cuts=st.lists(st.integers(0, 9000), max_size=12),
        rates=st.sampled_from([(48_000, 16_000), (44_100, 16_000), (8000, 48_000), (22_050, 24_001), (7, 5)]),
        channels=st.sampled_from([1, 2, 8]),
        dtype=st.sampled_from(TYPES),
        quality=st.sampled_from(QUALITIES),
    )
    def test_are_those_of_one_shot_however_the_input_was_cut(self, cuts, rates, channels, dtype, quality):
        samples = noise(channels, 9000, dtype)
        frames = all_of(made(Resample, sample_rate=rates[1], quality=quality), cut(samples, rates[0], cuts))
        expected = soxr.resample(samples.T, *rates, quality=quality).reshape(-1, channels).T
        got = joined(frames)
        assert got.dtype == dtype
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE[dtype])

    @pytest.mark.parametrize(("rate", "to"), [(48_000, 16_000), (44_100, 48_000), (8000, 16_000), (96_000, 11_025)])
    def test_a_sine_stays_where_it_is_in_time(self, rate, to):
        hz, count = 997.0, rate
        sine = np.sin(2 * np.pi * hz * np.arange(count) / rate)[None]
        got = joined(all_of(made(Resample, sample_rate=to, quality="VHQ"), cut(sine, rate, range(0, count, 777))))[0]
        expected = np.sin(2 * np.pi * hz * np.arange(len(got)) / to)
        assert len(got) == pytest.approx(to, abs=1)
        inner = slice(to // 20, -to // 20)  # a sine that begins is none to the filter
        assert np.abs(got - expected)[inner].max() < 1e-5

    def test_what_is_above_the_new_band_is_gone(self):
        sine = np.sin(2 * np.pi * 12_000 * np.arange(48_000) / 48_000)[None]
        got = joined(all_of(made(Resample, sample_rate=16_000), cut(sine, 48_000, [])))[0]
        assert np.abs(got[800:-800]).max() < 1e-5

    def test_the_input_is_not_written_to(self):
        samples = noise(2, 4800)
        before = samples.copy()
        all_of(made(Resample, sample_rate=16_000), cut(samples, 48_000, [1000]))
        assert np.array_equal(samples, before)

    def test_frames_of_the_rate_go_through_as_they_are(self):
        frames = [*cut(noise(2, 100), 16_000, [40]), rm.AudioFrame(np.zeros((2, 0), np.float32), 16_000)]
        assert all(a is b for a, b in zip(all_of(made(Resample, sample_rate=16_000), frames), frames, strict=True))


class TestTimes:
    @given(cuts=st.lists(st.integers(0, 30_000), max_size=8), start_ns=st.integers(-(10**12), 10**15))
    def test_count_samples_from_the_first(self, cuts, start_ns):
        frames = all_of(made(Resample, sample_rate=16_000), cut(noise(1, 30_000), 44_100, cuts, start_ns))
        position = 0
        for frame in frames:
            assert frame.pts_ns == start_ns + time_ns(position, 16_000)
            assert frame.sample_rate == 16_000
            assert not frame.samples.flags.writeable
            position += frame.sample_count

    def test_metadata_is_that_of_the_frame_that_came_last(self):
        resample = made(Resample, sample_rate=16_000)
        for frame in cut(noise(1, 48_000), 48_000, [16_000, 32_000]):
            for out in resample.process(frame):
                assert out.metadata == frame.metadata
        assert [out.metadata for out in resample.flush()] == [{"begin": 32_000}]

    def test_a_call_that_is_too_early_gives_nothing(self):
        resample = made(Resample, sample_rate=16_000)
        frames = cut(noise(1, 30), 48_000, [1, 1, 2])
        assert given_by(resample, frames) == []
        assert joined(resample.flush()).shape == (1, 10)
        assert resample.flush() == []


class TestAnotherRecording:
    def change(self, **changes: Any) -> list[rm.AudioFrame]:
        first = rm.AudioFrame(noise(1, 4800), 48_000)
        second = first.replace(pts_ns=first.end_ns).replace(**changes)
        return all_of(made(Resample, sample_rate=16_000), [first, second])

    @pytest.mark.parametrize(
        "changes",
        [
            {"sample_rate": 32_000, "samples": noise(1, 3200)},
            {"samples": noise(2, 4800)},
            {"samples": noise(1, 4800, np.int16)},
            {"pts_ns": 101_100_000},
            {"pts_ns": 0},
        ],
    )
    def test_ends_the_one_before_with_its_tail(self, changes):
        frames = self.change(**changes)
        border = [frame.pts_ns for frame in frames].index(changes.get("pts_ns", 100_000_000), 1)
        second = frames[border]
        assert joined(frames[:border]).shape == (1, 1600)
        rest = joined(frames[border:])
        samples = changes.get("samples", noise(1, 4800))
        assert rest.shape == (len(samples), 1600)
        assert rest.dtype == samples.dtype
        assert second.pts_ns == changes.get("pts_ns", 100_000_000)

    def test_a_step_of_1_ms_is_none(self):
        assert joined(self.change(pts_ns=101_000_000)).shape == (1, 3200)
        assert self.change(pts_ns=101_000_000)[-1].end_ns == 200_000_000

    def test_the_rate_itself_comes_after_the_tail(self):
        frames = self.change(sample_rate=16_000, samples=noise(1, 1600))
        assert [frame.end_ns for frame in frames][-2:] == [100_000_000, 200_000_000]

    @pytest.mark.parametrize("refused", [{"samples": np.full((1, 9), np.nan, np.float32)}, {"sample_rate": 10}])
    def test_one_that_is_refused_takes_no_tail_with_it(self, direct: Driver, refused):
        first = rm.AudioFrame(noise(1, 4800), 48_000)
        wrong, third = first.replace(pts_ns=10**9, **refused), first.replace(pts_ns=2 * 10**9)
        manifest = chain(node("r", "Resample", sample_rate=16_000))
        outcome = direct.run(manifest, [first, wrong, third], error_policy="collect")
        assert [error.item_index for error in outcome.result.errors] == [1]
        border = [frame.pts_ns for frame in outcome.results].index(2 * 10**9)
        assert joined(outcome.results[:border]).shape == joined(outcome.results[border:]).shape == (1, 1600)

    def test_goes_on_after_a_flush(self, engine):
        executor = rm.Executor(engine=engine)
        manifest = rm.Pipeline("p").add("Resample", params={"sample_rate": 16_000}).to_manifest()
        with executor.open(manifest) as session:
            for start_ns in (0, 7):
                got = session.run(cut(noise(2, 4800), 48_000, [480], start_ns)).results
                assert got[0].pts_ns == start_ns
                assert joined(got).shape == (2, 1600)


class TestRefusals:
    @pytest.mark.parametrize(
        ("params", "fault"),
        [
            ({}, "'sample_rate' is missing"),
            ({"sample_rate": 0}, "whole number above 0"),
            ({"sample_rate": -1}, "whole number above 0"),
            ({"sample_rate": "16k"}, "whole number above 0"),
            ({"sample_rate": 16_000.5}, "whole number above 0"),
            ({"sample_rate": 10**9}, "out of range"),
            ({"sample_rate": 16_000, "quality": "best"}, "'quality' must be one of"),
            ({"sample_rate": 16_000, "rate": 1}, "'rate' is unknown"),
        ],
    )
    def test_params(self, params, fault):
        with pytest.raises(ValueError, match=fault):
            made(Resample, **params)

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
    def test_what_is_no_finite_number(self, wrong):
        resample = made(Resample, sample_rate=16_000)
        samples = np.zeros((2, 100), np.float32)
        samples[1, 50] = wrong
        with pytest.raises(ValueError, match="finite"):
            given_by(resample, [rm.AudioFrame(samples, 48_000)])

    @pytest.mark.parametrize(("rate", "to"), [(1, 768_000), (46, 48_000), (768_000, 700)])
    @pytest.mark.parametrize("quality", QUALITIES)
    def test_rates_that_are_too_far_apart(self, rate, to, quality):
        with pytest.raises(ValueError, match=f"too far apart, {rate} and {to} Hz"):
            given_by(made(Resample, sample_rate=to, quality=quality), [rm.AudioFrame(noise(1, 9), rate)])

    @pytest.mark.parametrize(("rate", "to"), [(47, 48_000), (750, 768_000), (768_000, 750)])
    @pytest.mark.parametrize("quality", QUALITIES)
    def test_but_none_that_audio_has(self, rate, to, quality):
        found = all_of(made(Resample, sample_rate=to, quality=quality), cut(noise(2, 2048), rate, [9, 1000]))
        assert joined(found).shape[1] == pytest.approx(2048 * to / rate, abs=1)

    def test_large_numbers_are_finite(self):
        samples = np.full((1, 4800), 3e38, np.float32)  # their sum is not
        resample = made(Resample, sample_rate=16_000)
        assert joined(all_of(resample, [rm.AudioFrame(samples, 48_000)])).shape == (1, 1600)

    def test_other_items(self):
        with pytest.raises(TypeError, match="takes AudioFrame items, got ndarray"):
            given_by(made(Resample, sample_rate=16_000), [np.zeros(3)])


def test_empty_frames_change_nothing(direct: Driver):
    empty = rm.AudioFrame(np.zeros((1, 0), np.float32), 48_000)
    manifest = chain(node("r", "Resample", sample_rate=16_000))
    assert direct.results(manifest, [empty, empty]) == []
    frames = cut(noise(1, 4800), 48_000, [100, 100, 100])
    assert joined(direct.results(manifest, frames)).shape == (1, 1600)


def test_others_run_while_it_works():
    """What another thread does meanwhile: with the interpreter's lock held it would get no turn."""
    resample, samples = made(Resample, sample_rate=44_101, quality="VHQ"), noise(8, 1_500_000)
    turns: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(0.001):
            turns.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    begin = time.perf_counter()
    given_by(resample, [rm.AudioFrame(samples, 48_000)])
    end = time.perf_counter()
    stop.set()
    thread.join()
    assert sum(begin < at < end for at in turns) > 5
