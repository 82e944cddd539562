"""The audio nodes over arrays and frames, each against its formula in plain Python."""

from __future__ import annotations

import itertools
import json
import math
import statistics
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import remotemedia as rm
from remotemedia._core.media import AudioFrame
from remotemedia._core.node import NodeContext
from remotemedia.cli import main
from remotemedia.nodes.audio import (
    FormatConvert,
    Gain,
    Level,
    Peak,
    ToMono,
    ZeroCrossingRate,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RATE_HZ = 48_000
F32, F64, I16 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int16)
DTYPES = (F32, F64, I16)
CHANGING = ((FormatConvert, {"format": "int16"}), (Gain, {"factor": 0.5}), (ToMono, {}))
MEASURING = (
    (Level, {}),
    (Level, {"unit": "rms"}),
    (Peak, {}),
    (Peak, {"unit": "dbfs"}),
    (ZeroCrossingRate, {}),
)
EVERY = CHANGING + MEASURING


def block(samples: NDArray[Any], sample_rate: int = RATE_HZ, start_s: float = 0.0, **metadata: Any) -> AudioFrame:
    """A frame of samples of shape (n,) or (n, channels)."""
    return AudioFrame(samples.T, sample_rate, round(start_s * 1e9), metadata)


def made(node_class: type[Any], **params: Any) -> Any:
    node = node_class()
    node.initialize(NodeContext("n1", node_class.__name__, params))
    return node


def out_of(node_class: type[Any], item: Any, **params: Any) -> Any:
    return made(node_class, **params).process(item)


def sine(amplitude: float = 1.0, frequency_hz: float = 1000.0, count: int = 4800) -> NDArray[np.float64]:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(count) / RATE_HZ)


def rows(samples: NDArray[Any]) -> list[list[Any]]:
    """The samples as Python numbers, a list of channels for each."""
    return [row if isinstance(row, list) else [row] for row in samples.tolist()]


def like(samples: NDArray[Any], values: list[list[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.array(values, dtype).reshape(samples.shape)


def linear(samples: NDArray[Any]) -> list[list[float]]:
    scale = 32768 if samples.dtype == I16 else 1
    return [[x / scale for x in row] for row in rows(samples)]


def saturated(x: float) -> int:
    return round(max(-32768.0, min(32767.0, x)))  # of Python: half to even


def plain_convert(samples: NDArray[Any], to: np.dtype[Any]) -> NDArray[Any]:
    if to == samples.dtype:
        return samples
    if to == I16:
        return like(samples, [[saturated(x * 32768) for x in row] for row in rows(samples)], to)
    return like(samples, linear(samples), to)


def plain_gain(samples: NDArray[Any], factor: float) -> NDArray[Any]:
    if samples.dtype == I16:
        return like(samples, [[saturated(x * factor) for x in row] for row in rows(samples)], I16)
    factor = float(samples.dtype.type(factor))  # the product of two float32 is exact in float64
    return like(samples, [[x * factor for x in row] for row in rows(samples)], samples.dtype)


def plain_mono(samples: NDArray[Any]) -> NDArray[Any]:
    if samples.dtype == I16:
        return np.array([round(statistics.mean(map(int, row))) for row in rows(samples)], I16)
    return np.array([math.fsum(row) / len(row) for row in rows(samples)], samples.dtype)


def plain_rms(samples: NDArray[Any]) -> float:
    flat = [x for row in linear(samples) for x in row]
    return math.sqrt(math.fsum(x * x for x in flat) / len(flat))


def plain_peak(samples: NDArray[Any]) -> float:
    return max(abs(x) for row in linear(samples) for x in row)


def plain_rate(samples: NDArray[Any]) -> float:
    def of(channel: tuple[float, ...]) -> float:
        pairs = list(itertools.pairwise(channel))
        return sum((a >= 0) != (b >= 0) for a, b in pairs) / len(pairs) if pairs else 0.0

    return statistics.mean(map(of, zip(*rows(samples), strict=True)))


@st.composite
def arrays(draw: st.DrawFn, least: int = 1) -> NDArray[Any]:
    """Samples of any type, shape, stride and order; extremes and ties of rounding are among them."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = (draw(st.integers(least, 40)), *draw(st.sampled_from([(), (1,), (2,), (3,), (6,)])))
    if dtype == I16:
        values = st.one_of(st.sampled_from([-32768, -1, 0, 1, 32767]), st.integers(-32768, 32767))
    else:
        ties = st.integers(-5, 5).map(lambda k: (k + 0.5) / 32768)
        edges = st.sampled_from([0.0, -0.0, 1.0, -1.0, 32767.5 / 32768, 32766.5 / 32768, 7.0])
        values = st.one_of(edges, ties, st.floats(-2, 2, width=32))
    flat = draw(st.lists(values, min_size=math.prod(shape), max_size=math.prod(shape)))
    array = np.array(flat, dtype).reshape(shape)
    layout = draw(st.sampled_from(["C", "F", "reversed", "every other", "read-only"]))
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "reversed":
        return array[::-1]
    if layout == "every other":
        return np.repeat(array, 2, axis=0)[::2]
    array.flags.writeable = layout != "read-only"
    return array


class Unchanged:
    """Within it, an array keeps its values and its flag."""

    def __init__(self, samples: NDArray[Any]) -> None:
        self.samples, self.before = samples, samples.copy()
        self.writeable = samples.flags.writeable

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        assert self.samples.tobytes() == self.before.tobytes()
        assert self.samples.flags.writeable == self.writeable


def equal(found: NDArray[Any], expected: NDArray[Any]) -> None:
    assert type(found) is np.ndarray
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)


class TestFormulas:
    """Whatever the type, shape and strides: the plain formula, and the input as it was."""

    @given(arrays(least=0), st.sampled_from(DTYPES))
    def test_format_convert(self, samples: NDArray[Any], to: np.dtype[Any]) -> None:
        with Unchanged(samples):
            equal(out_of(FormatConvert, samples, format=to.name), plain_convert(samples, to))

    @given(arrays(least=0), st.one_of(st.sampled_from([0.5, 1.5, -1.0, 0.0, 3.0]), st.floats(-4, 4)))
    def test_gain(self, samples: NDArray[Any], factor: float) -> None:
        with Unchanged(samples):
            found = out_of(Gain, samples, factor=factor)
        expected = plain_gain(samples, factor)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(found, expected)

    @given(arrays(least=0))
    def test_to_mono(self, samples: NDArray[Any]) -> None:
        with Unchanged(samples):
            found = out_of(ToMono, samples)
        expected = plain_mono(samples)
        assert (found.dtype, found.shape) == (expected.dtype, (len(samples),))
        if samples.dtype == I16 or samples.ndim == 1 or samples.shape[1] < 3:
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)

    @given(arrays())
    def test_level(self, samples: NDArray[Any]) -> None:
        rms = plain_rms(samples)
        with Unchanged(samples):
            assert out_of(Level, samples, unit="rms") == pytest.approx(rms, rel=1e-12)
            found = out_of(Level, samples)
        assert type(found) is float
        assert found == pytest.approx(20 * math.log10(max(rms, 1e-30) * math.sqrt(2)) if rms > 1e-6 else -120, rel=1e-9)

    @given(arrays())
    def test_peak(self, samples: NDArray[Any]) -> None:
        with Unchanged(samples):
            found = out_of(Peak, samples)
        assert type(found) is float
        assert found == plain_peak(samples)

    @given(arrays())
    def test_zero_crossing_rate(self, samples: NDArray[Any]) -> None:
        with Unchanged(samples):
            found = out_of(ZeroCrossingRate, samples)
        assert type(found) is float
        assert found == pytest.approx(plain_rate(samples), rel=1e-12)


class TestKinds:
    """Arrays, blocks and frames: what comes back."""

    @pytest.mark.parametrize(("node_class", "params"), CHANGING)
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("channels", [(), (1,), (2,)])
    def test_a_frame_comes_back_with_the_samples_of_the_bare_array_and_all_else_it_had(
        self, node_class: type[Any], params: dict[str, Any], dtype: np.dtype[Any], channels: tuple[int, ...]
    ) -> None:
        samples = np.random.default_rng(1).uniform(-0.9, 0.9, (100, *channels)).astype(dtype)
        frame = block(samples, 44_100, 1.5, level_dbfs=-15.05, speaker="A")
        with Unchanged(samples):
            out = out_of(node_class, frame, **params)
        assert type(out) is AudioFrame
        assert (out.sample_rate, out.pts_ns, out.metadata) == (44_100, 1_500_000_000, frame.metadata)
        bare = out_of(node_class, samples, **params)
        equal(out.samples, bare[None] if bare.ndim == 1 else bare.T)
        if out is not frame:
            assert not out.samples.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                out.samples[:] = 0

    @pytest.mark.parametrize(
        ("node_class", "params", "field"),
        [
            (Level, {}, "level_dbfs"),
            (Peak, {}, "peak"),
            (Peak, {"unit": "dbfs"}, "peak"),
            (ZeroCrossingRate, {}, "zero_crossing_rate"),
        ],
    )
    def test_what_measures_adds_to_the_metadata_of_a_frame_or_gives_the_value(
        self, node_class: type[Any], params: dict[str, Any], field: str
    ) -> None:
        frame = block(np.stack([sine(0.3), sine(0.1)], axis=1), RATE_HZ, 2.5, speaker="A", peak=7)
        before = dict(frame.metadata)
        measured = out_of(node_class, frame.samples.T, **params)
        assert out_of(node_class, frame, emit="value", **params) == measured
        out = out_of(node_class, frame, **params)
        assert out.samples is frame.samples
        assert (out.sample_rate, out.pts_ns) == (RATE_HZ, 2_500_000_000)
        assert out.metadata == before | {field: measured}
        assert frame.metadata == before  # it may be shared

    def test_a_frame_has_its_level_in_dbfs_whatever_the_unit(self) -> None:
        frame = block(sine(0.1))
        assert out_of(Level, frame, unit="rms").metadata["level_dbfs"] == pytest.approx(-20)
        assert out_of(Level, frame, unit="rms", emit="value") == pytest.approx(0.1 / math.sqrt(2))

    @pytest.mark.parametrize(("node_class", "params"), [(ToMono, {}), (FormatConvert, {"format": "float64"})])
    def test_what_is_there_already_is_handed_on_as_it_is(self, node_class: type[Any], params: dict[str, Any]) -> None:
        samples = sine()
        assert out_of(node_class, samples, **params) is samples
        frame = block(samples)
        assert out_of(node_class, frame, **params) is frame

    def test_one_channel_of_a_buffer_that_is_filled_anew_does_not_change(self) -> None:
        buffer = np.ones((10, 1))
        out = out_of(ToMono, buffer)
        buffer[:] = 5
        assert out.tolist() == [1.0] * 10

    @pytest.mark.parametrize(("node_class", "params"), EVERY)
    def test_subclasses_are_taken_as_arrays(self, tmp_path: Any, node_class: type[Any], params: dict[str, Any]) -> None:
        samples = np.memmap(tmp_path / "a.raw", np.float32, "w+", shape=(100,))
        samples[:] = sine(0.5, count=100)
        found, expected = (out_of(node_class, x, **params) for x in (samples, np.array(samples)))
        assert type(found) is type(expected)
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("channels", [(), (1,), (2,)])
    def test_an_item_without_samples_goes_through(self, dtype: np.dtype[Any], channels: tuple[int, ...]) -> None:
        empty = np.zeros((0, *channels), dtype)
        for to in DTYPES:
            equal(out_of(FormatConvert, empty, format=to.name), empty.astype(to))
        equal(out_of(Gain, empty, factor=2), empty)
        equal(out_of(ToMono, empty), np.zeros(0, dtype))


class TestFormatConvert:
    def test_every_int16_comes_back_through_either_float(self) -> None:
        samples = np.arange(-32768, 32768).astype(np.int16)
        for name in ("float32", "float64"):
            floats = out_of(FormatConvert, samples, format=name)
            assert (floats.min(), floats.max()) == (-1.0, 32767 / 32768)
            equal(out_of(FormatConvert, floats, format="int16"), samples)

    @pytest.mark.parametrize("dtype", [F32, F64])
    def test_halves_round_to_even_and_what_is_too_loud_saturates(self, dtype: np.dtype[Any]) -> None:
        steps = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 32766.5, 32767.5, 32768, -32768, -32768.5, -32769], dtype)
        expected = [0, 2, 2, 0, -2, 32766, 32767, 32767, -32768, -32768, -32768]
        assert out_of(FormatConvert, steps / 32768, format="int16").tolist() == expected

    @pytest.mark.parametrize("dtype", [F32, F64])
    def test_infinity_and_the_largest_floats_saturate_without_a_warning(self, dtype: np.dtype[Any]) -> None:
        most = np.finfo(dtype).max
        samples = np.array([np.inf, -np.inf, most, -most], dtype)
        assert out_of(FormatConvert, samples, format="int16").tolist() == [32767, -32768] * 2

    @pytest.mark.parametrize("dtype", [F32, F64])
    def test_nan_has_no_int16_and_stays_among_floats(self, dtype: np.dtype[Any]) -> None:
        samples = np.array([[0, 0], [0, np.nan], [0, 0]], dtype)
        with pytest.raises(ValueError, match="samples must be numbers, got NaN"):
            out_of(FormatConvert, samples, format="int16")
        for name in ("float32", "float64"):
            assert np.isnan(out_of(FormatConvert, samples, format=name)).sum() == 1


class TestGain:
    @pytest.mark.parametrize(("gain_db", "factor"), [(20, 10.0), (-6.020599913279624, 0.5), (0, 1.0), (-2000, 0.0)])
    def test_decibels_and_factor_are_two_spellings(self, gain_db: float, factor: float) -> None:
        np.testing.assert_allclose(out_of(Gain, sine(0.1), gain_db=gain_db), sine(0.1) * factor, rtol=1e-12, atol=1e-99)
        np.testing.assert_allclose(out_of(Gain, sine(0.1), factor=factor), sine(0.1) * factor, rtol=1e-12)

    def test_without_params_nothing_changes(self) -> None:
        equal(out_of(Gain, sine()), sine())

    def test_a_float_may_exceed_full_scale_and_nan_stays(self) -> None:
        found = out_of(Gain, np.array([0.5, -0.5, np.nan], np.float32), factor=4)
        np.testing.assert_array_equal(found, np.array([2, -2, np.nan], np.float32))

    def test_int16_rounds_half_to_even_and_saturates(self) -> None:
        samples = np.array([1, 3, 5, -1, -3, 0], np.int16)
        assert out_of(Gain, samples, factor=0.5).tolist() == [0, 2, 2, 0, -2, 0]
        assert out_of(Gain, np.array([32767, -32768, 16384], np.int16), factor=2).tolist() == [32767, -32768, 32767]
        assert out_of(Gain, np.array([-32768], np.int16), factor=-1).tolist() == [32767]

    def test_int16_is_multiplied_in_float64(self) -> None:
        factor = 10_001.5 / 20_003 - 1e-12  # below the half by less than a float32 tells
        assert out_of(Gain, np.array([20_003], np.int16), factor=factor).tolist() == [10_001]

    def test_the_loudest_factors_overflow_no_integer(self) -> None:
        assert out_of(Gain, np.array([1, 0, -1], np.int16), gain_db=770).tolist() == [32767, 0, -32768]


class TestToMono:
    def test_opposite_channels_cancel(self) -> None:
        assert not out_of(ToMono, np.stack([sine(), -sine()], axis=1)).any()

    def test_int16_neither_wraps_nor_drifts(self) -> None:
        samples = np.array([[32767, 32767], [-32768, -32768], [1, 2], [2, 3], [-1, -2], [0, 1]], np.int16)
        assert out_of(ToMono, samples).tolist() == [32767, -32768, 2, 2, -2, 0]

    def test_many_channels(self) -> None:
        samples = np.random.default_rng(2).uniform(-1, 1, (50, 64))
        np.testing.assert_allclose(out_of(ToMono, samples), samples.mean(axis=1), rtol=1e-12, atol=1e-12)


class TestLevel:
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_a_full_scale_sine_is_0_dbfs_and_one_over_root_two(self, dtype: np.dtype[Any]) -> None:
        samples = (sine() * (32767 if dtype == I16 else 1)).astype(dtype)
        assert out_of(Level, samples) == pytest.approx(0, abs=1e-3)
        assert out_of(Level, samples, unit="rms") == pytest.approx(math.sqrt(0.5), rel=1e-4)

    def test_full_scale_of_int16_is_32768(self) -> None:
        samples = np.full(480, -32768, np.int16)
        assert out_of(Level, samples, unit="rms") == 1.0
        assert out_of(Level, samples) == out_of(Level, np.full(480, -1.0)) == pytest.approx(10 * math.log10(2))

    def test_all_channels_count(self) -> None:
        stereo = np.stack([np.full(100, 0.6), np.zeros(100)], axis=1)
        assert out_of(Level, stereo, unit="rms") == pytest.approx(math.sqrt(0.18))

    def test_the_floor_is_the_least_level_of_an_array(self) -> None:
        assert out_of(Level, np.zeros(10, np.int16)) == -120.0
        assert out_of(Level, np.zeros(10), floor_dbfs=-90) == -90.0
        assert out_of(Level, np.zeros(10), unit="rms") == 0.0

    @pytest.mark.parametrize("shape", [(100_003,), (50_001, 2), (3, 30_000)])
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_long_blocks_are_added_up_whole_in_float64(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        samples = np.random.default_rng(3).integers(-32768, 32768, shape).astype(np.int16)
        squares = sum(x * x for x in samples.ravel().tolist())
        samples = samples if dtype == I16 else (samples / 32768).astype(dtype)
        expected = math.sqrt(squares / samples.size) / 32768
        assert out_of(Level, samples, unit="rms") == pytest.approx(expected, rel=1e-13)
        assert out_of(Level, np.asfortranarray(samples), unit="rms") == pytest.approx(expected, rel=1e-13)

    def test_a_long_block_takes_no_room(self) -> None:
        samples, node = np.ones((2_000_000, 2), np.int16), made(Level)
        tracemalloc.start()
        try:
            node.process(samples)
            assert tracemalloc.get_traced_memory()[1] < 1_000_000  # as float64 it would be 32 MB
        finally:
            tracemalloc.stop()

    def test_infinity_is_infinitely_loud(self) -> None:
        assert out_of(Level, np.array([0.0, np.inf])) == math.inf


class TestPeak:
    @pytest.mark.parametrize(("amplitude", "level"), [(1.0, 0.0), (0.5, -6.0206), (0.1, -20.0), (2.0, 6.0206)])
    def test_it_is_the_amplitude_of_a_sine(self, amplitude: float, level: float) -> None:
        for samples in (sine(amplitude), -sine(amplitude), np.stack([sine(0.01), sine(amplitude)], axis=1)):
            assert out_of(Peak, samples) == pytest.approx(amplitude)
            assert out_of(Peak, samples, unit="dbfs") == pytest.approx(level, abs=1e-4)

    def test_the_least_int16_is_full_scale(self) -> None:
        assert out_of(Peak, np.array([5, -32768, 7], np.int16)) == 1.0
        assert out_of(Peak, np.array([5, -32768, 7], np.int16), unit="dbfs") == 0.0
        assert out_of(Peak, np.array([32767, -3], np.int16)) == 32767 / 32768

    def test_silence_is_at_the_floor(self) -> None:
        assert out_of(Peak, np.zeros(10)) == 0.0
        assert out_of(Peak, np.zeros(10), unit="dbfs") == -120.0
        assert out_of(Peak, np.full(10, 1e-9), unit="dbfs", floor_dbfs=-90) == -90.0

    def test_infinity_is_the_largest_of_all(self) -> None:
        assert out_of(Peak, np.array([0.0, -np.inf])) == math.inf


class TestZeroCrossingRate:
    @pytest.mark.parametrize("frequency_hz", [100, 1000, 5000])
    def test_a_sine_crosses_twice_in_a_period(self, frequency_hz: float) -> None:
        samples = np.sin(2 * np.pi * frequency_hz * np.arange(RATE_HZ) / RATE_HZ + 0.1)
        assert out_of(ZeroCrossingRate, samples) == pytest.approx(2 * frequency_hz / RATE_HZ, abs=2 / RATE_HZ)

    @pytest.mark.parametrize(
        ("samples", "rate"),
        [
            ([1, -1, 1, -1], 1.0),
            ([0, 1, 0, 1], 0.0),
            ([0, -1, 0], 1.0),
            ([-0.0, 0.0, 1.0], 0.0),
            ([-1, -2, 3], 0.5),
            ([5], 0.0),
            ([np.inf, -np.inf, 1.0], 1.0),
            ([[1, 1], [-1, 1], [1, 1]], 0.5),
        ],
    )
    def test_zero_is_positive_and_channels_are_averaged(self, samples: list[Any], rate: float) -> None:
        assert out_of(ZeroCrossingRate, np.array(samples, np.float64)) == rate


class TestRefusals:
    @pytest.mark.parametrize(("node_class", "params"), EVERY)
    @pytest.mark.parametrize(
        ("samples", "error", "message"),
        [
            *(
                (
                    np.zeros(4, dtype),
                    TypeError,
                    f"{{node}} takes samples of float32, float64 or int16, not {named}: conv",
                )
                for dtype, named in [
                    (np.int32, "int32"),
                    (np.uint8, "uint8"),
                    (np.bool_, "bool"),
                    (np.complex64, "complex64"),
                    (object, "object"),
                    ("U3", "<U3"),
                    (np.dtype(np.int16).newbyteorder(), ""),
                ]
            ),
            (np.zeros((2, 2, 2)), ValueError, r"shape \(n,\) or \(n, channels\), got \(2, 2, 2\)"),
            (np.zeros((5, 0)), ValueError, r"got \(5, 0\)"),
            (np.array(0.5), ValueError, r"got \(\)"),
            (np.ma.masked_array(np.zeros(3), [0, 1, 0]), TypeError, "{node} takes no masked arrays: fill"),
            ([0.0, 1.0], TypeError, "{node} takes AudioFrame items, or arrays .* got list: make it"),
            (0.5, TypeError, "got float: make it an array; one that is the whole input goes into a list"),
            (None, TypeError, "got NoneType"),
        ],
    )
    def test_what_is_no_audio_is_refused_by_name_with_the_remedy(
        self,
        node_class: type[Any],
        params: dict[str, Any],
        samples: Any,
        error: type[Exception],
        message: str,
    ) -> None:
        if isinstance(samples, np.ndarray) and not samples.dtype.isnative:
            message = f"float64 or int16, not {samples.dtype}"
        with pytest.raises(error, match=message.format(node=node_class.__name__)):
            out_of(node_class, samples, **params)

    def test_float16_is_measured_by_level_alone(self) -> None:
        samples = sine(0.5).astype(np.float16)
        assert out_of(Level, samples) == pytest.approx(-6.02, abs=0.01)
        with pytest.raises(TypeError, match=r"Peak takes .* not float16"):
            out_of(Peak, samples)

    @pytest.mark.parametrize(("node_class", "params"), MEASURING)
    @pytest.mark.parametrize("shape", [(0,), (0, 2)])
    def test_what_measures_refuses_an_item_without_samples(
        self, node_class: type[Any], params: dict[str, Any], shape: tuple[int, ...]
    ) -> None:
        for dtype in DTYPES:
            with pytest.raises(ValueError, match="the item holds no samples"):
                out_of(node_class, np.zeros(shape, dtype), **params)

    @pytest.mark.parametrize(("node_class", "params"), MEASURING)
    @pytest.mark.parametrize("dtype", [F32, F64])
    @pytest.mark.parametrize("wrap", [lambda x: x, block], ids=["array", "frame"])
    def test_what_measures_refuses_nan(
        self, node_class: type[Any], params: dict[str, Any], dtype: np.dtype[Any], wrap: Callable[[Any], Any]
    ) -> None:
        samples = np.array([np.inf, 1, np.nan, -1, -np.inf], dtype)
        with pytest.raises(ValueError, match="samples must be numbers, got NaN"):
            out_of(node_class, wrap(samples), **params)

    @pytest.mark.parametrize(
        ("node_class", "params", "fault"),
        [
            (Gain, {"gain_db": 3, "factor": 2}, "param 'factor' is given beside 'gain_db': give one"),
            (Gain, {"gain_db": 0, "factor": 0}, "param 'factor' is given beside 'gain_db': give one"),
            (Gain, {"gain_db": 771}, "param 'gain_db' must be a number of at most 770, not 771"),
            (Gain, {"gain_db": "3"}, "param 'gain_db' must be a number of at most 770, not '3'"),
            (Gain, {"factor": math.nan}, "param 'factor' must be a number of at least"),
            (Gain, {"factor": 1e39}, "param 'factor' must be a number of at least -3.40282e\\+38 and at most 3.4"),
            (Gain, {"factor": True}, "param 'factor' must be a number"),
            (Gain, {"gain": 3}, "param 'gain' is unknown; did you mean 'gain_db'"),
            (FormatConvert, {}, "param 'format' is missing; give one of 'float32', 'float64', 'int16'"),
            (FormatConvert, {"format": None}, "param 'format' is missing"),
            (FormatConvert, {"format": "int32"}, "'format' must be one of 'float32', 'float64', 'int16', not 'int32'"),
            (FormatConvert, {"format": ["int16"]}, "param 'format' must be one of"),
            (Level, {"unit": "linear"}, "param 'unit' must be one of 'dbfs', 'rms', not 'linear'"),
            (Peak, {"unit": "rms"}, "param 'unit' must be one of 'linear', 'dbfs', not 'rms'"),
            (ToMono, {"channels": 1}, "param 'channels' is unknown; it takes none"),
            (ZeroCrossingRate, {"unit": "hz"}, "param 'unit' is unknown; it takes emit"),
            (Peak, {"emit": "frames"}, "param 'emit' must be one of 'frame', 'value', not 'frames'"),
        ],
    )
    def test_a_wrong_param_is_an_error_that_names_node_and_param(
        self, node_class: type[Any], params: dict[str, Any], fault: str
    ) -> None:
        with pytest.raises(ValueError, match=rf"^node 'n1' \({node_class.__name__}\): .*{fault}"):
            made(node_class, **params)

    def test_null_for_a_param_means_absent(self) -> None:
        assert out_of(Gain, np.ones(1), gain_db=None, factor=2.0).tolist() == [2.0]
        assert out_of(Gain, np.ones(1), gain_db=20, factor=None).tolist() == [10.0]
        assert out_of(Peak, np.ones(1), unit=None) == 1.0


def manifest(*kinds: tuple[str, dict[str, Any]]) -> rm.Manifest:
    pipeline = rm.Pipeline("audio")
    for node_type, params in kinds:
        pipeline = pipeline.add(node_type, params=params)
    return pipeline.to_manifest()


class TestPipelines:
    """Over both engines, the node types found by name."""

    def test_the_rows_of_an_array_are_converted_amplified_and_measured(self, direct: Any) -> None:
        samples = np.random.default_rng(4).integers(-32768, 32768, (20, 480)).astype(np.int16)
        tree = manifest(("FormatConvert", {"format": "float32"}), ("Gain", {"factor": 0.5}), ("Level", {"unit": "rms"}))
        with Unchanged(samples):
            found = direct.results(tree, samples)
        assert found == pytest.approx([plain_rms(row) / 2 for row in samples], rel=1e-12)

    def test_blocks_of_stereo_become_measured_frames(self, direct: Any) -> None:
        left = np.round(sine(8000)).astype(np.int16)
        stereo = block(np.stack([left, np.zeros_like(left)], axis=1), RATE_HZ, 7.0)
        tree = manifest(
            ("ToMono", {}),
            ("FormatConvert", {"format": "float32"}),
            ("Frames", {"frame_ms": 20}),
            ("Gain", {"gain_db": 20 * math.log10(2)}),
            ("Level", {}),
            ("Peak", {}),
            ("ZeroCrossingRate", {}),
        )
        with Unchanged(stereo.samples):
            frames = direct.results(tree, [stereo])
        assert [(type(f), f.sample_rate, f.pts_ns) for f in frames] == [
            (AudioFrame, RATE_HZ, 7_000_000_000 + i * 20_000_000) for i in range(5)
        ]
        amplitude = 8000 / 32768
        for frame in frames:
            assert frame.metadata["level_dbfs"] == pytest.approx(20 * math.log10(amplitude), abs=0.01)
            assert frame.metadata["peak"] == pytest.approx(amplitude, abs=1e-4)
            assert frame.metadata["zero_crossing_rate"] == pytest.approx(2000 / RATE_HZ, abs=2 / 960)
            assert not frame.samples.flags.writeable

    @pytest.mark.parametrize(
        ("node_type", "params", "expected"),
        [
            ("FormatConvert", {"format": "int16"}, plain_convert(sine(0.5), I16)),
            ("Gain", {"gain_db": 20}, sine(0.5) * 10),
            ("ToMono", {}, sine(0.5)),
            ("Level", {}, 20 * math.log10(0.5)),
            ("Peak", {"unit": "dbfs"}, 20 * math.log10(0.5)),
            ("ZeroCrossingRate", {}, plain_rate(sine(0.5))),
        ],
    )
    def test_each_by_its_name(self, direct: Any, node_type: str, params: dict[str, Any], expected: Any) -> None:
        (found,) = direct.results(manifest((node_type, params)), [sine(0.5)])
        np.testing.assert_allclose(found, expected)

    def test_a_fault_names_the_node_and_the_item(self, direct: Any) -> None:
        tree = manifest(("FormatConvert", {"format": "int16"}))
        outcome = direct.run(tree, [np.zeros(3), np.array([0, np.nan])])
        assert isinstance(outcome.error, rm.NodeError)
        assert isinstance(outcome.error.__cause__, ValueError)
        assert "item 1" in str(outcome.error)
        assert "got NaN" in str(outcome.error)

    def test_an_array_that_is_the_whole_input_tells_the_way_out(self, direct: Any) -> None:
        outcome = direct.run(manifest(("Peak", {})), sine())
        assert "got float: make it an array; one that is the whole input goes into a list" in str(outcome.error)
        assert direct.results(manifest(("Peak", {})), [sine()]) == pytest.approx([1.0])

    def test_the_command_line_lists_them_with_their_params(self, capsys: Any) -> None:
        assert main(["nodes", "--format", "json"]) == 0
        listed = {entry["node_type"]: entry for entry in json.loads(capsys.readouterr().out)}
        for node_class in (FormatConvert, Gain, ToMono, Level, Peak, ZeroCrossingRate):
            assert listed[node_class.__name__]["params"] == node_class.PARAMS

    def test_numpy_is_not_loaded_for_their_names(self) -> None:
        names = "import sys, remotemedia as rm; assert 'Gain' in rm.NodeRegistry().node_types()"
        code = f"{names}; assert 'numpy' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True)
