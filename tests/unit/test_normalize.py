"""Normalize: levels measured by NumPy, limits, what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import TYPES, made, noise
from support import Driver, chain, node

import remotemedia as rm
from remotemedia.nodes.normalize import Normalize


def out_of(item: Any, **params: Any) -> Any:
    return made(Normalize, **params).process(item)


def peak_dbfs(samples: np.ndarray) -> float:
    return float(20 * np.log10(np.abs(samples.astype(float)).max() / (32767 if samples.dtype == np.int16 else 1)))


def rms_dbfs(samples: np.ndarray) -> float:
    """0 for a sine at full scale."""
    scaled = samples.astype(float) / (32768 if samples.dtype == np.int16 else 1)
    return float(10 * np.log10(2 * np.mean(scaled**2)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("channels", [1, 2, 8])
class TestLevels:
    @pytest.mark.parametrize("target", [0, -1, -12.5])
    def test_peak(self, dtype, channels, target):
        frame = rm.AudioFrame(noise(channels, 500, dtype), 16_000, 7, {"a": 1})
        out = out_of(frame, target_dbfs=target)
        assert out.samples.dtype == dtype
        assert not out.samples.flags.writeable
        assert peak_dbfs(out.samples) == pytest.approx(target, abs=0.001)
        assert (out.pts_ns, out.sample_rate, out.metadata["a"]) == (7, 16_000, 1)
        assert out.metadata["gain_db"] == pytest.approx(target - peak_dbfs(frame.samples), abs=1e-6)

    def test_rms(self, dtype, channels):
        frame = rm.AudioFrame(noise(channels, 500, dtype), 16_000)
        assert rms_dbfs(out_of(frame, mode="rms", target_dbfs=-30).samples) == pytest.approx(-30, abs=0.01)

    def test_rms_never_beyond_full_scale(self, dtype, channels):
        samples = np.zeros((channels, 1000), dtype)
        samples[0, 5] = 3000 if dtype == np.int16 else 0.1
        out = out_of(rm.AudioFrame(samples, 16_000), mode="rms")
        assert peak_dbfs(out.samples) == pytest.approx(0, abs=0.001)

    def test_at_most_the_largest_gain(self, dtype, channels):
        samples = np.full((channels, 10), 10 if dtype == np.int16 else 1e-4, dtype)
        for mode in ("peak", "rms"):
            out = out_of(rm.AudioFrame(samples, 16_000), mode=mode, max_gain_db=20)
            assert out.metadata["gain_db"] == 20
            np.testing.assert_allclose(out.samples, samples * 10.0, rtol=1e-6)

    @pytest.mark.parametrize("count", [0, 100])
    def test_silence_stays(self, dtype, channels, count):
        frame = rm.AudioFrame(np.zeros((channels, count), dtype), 16_000)
        out = out_of(frame)
        assert out.samples is frame.samples
        assert out.metadata == {"gain_db": 0.0}


@given(value=st.floats(1e-300, 1e300) | st.just(5e-324), mode=st.sampled_from(["peak", "rms"]))
def test_any_float_is_finite_after_it(value, mode):
    samples = np.array([[value, -value / 2]])
    before = samples.copy()
    assert np.abs(out_of(rm.AudioFrame(samples, 8000), mode=mode).samples).max() <= 1.0000001
    assert np.array_equal(samples, before)


def test_the_ends_of_int16():
    frame = rm.AudioFrame(np.array([-32768, 32767], np.int16), 8000)
    assert out_of(frame, target_dbfs=0).samples.tolist() == [[-32767, 32766]]


def test_arrays_come_out_as_arrays():
    out = out_of(np.array([0.1, -0.25], np.float32), target_dbfs=-20)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [0.04, -0.1], rtol=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("mode", ["peak", "rms"])
def test_refuses_what_is_no_finite_number(wrong, mode):
    with pytest.raises(ValueError, match="finite"):
        out_of(rm.AudioFrame(np.array([0.1, wrong, 0.2]), 8000), mode=mode)


@pytest.mark.parametrize("params", [{"mode": "lufs"}, {"target_dbfs": 1}, {"max_gain_db": -1}, {"target_db": -1}])
def test_refuses_params(params):
    with pytest.raises(ValueError, match="param"):
        made(Normalize, **params)


def test_through_a_pipeline(direct: Driver):
    loud, soft = (rm.AudioFrame(np.array([0.5, -peak]), 8000) for peak in (0.8, 0.05))
    found = direct.results(chain(node("n", "Normalize", target_dbfs=0)), [loud, soft])
    assert [np.abs(frame.samples).max() for frame in found] == pytest.approx([1, 1])
