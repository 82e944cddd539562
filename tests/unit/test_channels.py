"""ChannelMap and ChannelSplitter, each against its formula in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import TYPES, all_of, given_by, made, noise
from support import Driver, chain, node

import remotemedia as rm
from remotemedia.nodes.channels import ChannelMap, ChannelSplitter


def mapped(samples: np.ndarray, channels: Any) -> rm.AudioFrame:
    frame = rm.AudioFrame(samples, 16_000, 7, {"a": 1})
    out: rm.AudioFrame = made(ChannelMap, channels=channels).process(frame)
    assert (out.sample_rate, out.pts_ns, out.metadata) == (16_000, 7, {"a": 1})
    assert out.samples.dtype == samples.dtype
    assert out is frame or not out.samples.flags.writeable
    return out


class TestMap:
    @given(
        channels=st.integers(1, 8),
        count=st.integers(0, 20),
        dtype=st.sampled_from(TYPES),
        sources=st.data(),
    )
    def test_picks(self, channels, count, dtype, sources):
        picked = sources.draw(st.lists(st.integers(0, channels - 1), min_size=1, max_size=10))
        samples = noise(channels, count, dtype)
        assert mapped(samples, picked).samples.tolist() == [samples[source].tolist() for source in picked]
        assert samples.flags.writeable

    @given(
        dtype=st.sampled_from(TYPES),
        matrix=st.lists(
            st.lists(st.sampled_from([-1.5, -1, -0.5, 0, 0.25, 1, 2]), min_size=3, max_size=3), min_size=1, max_size=4
        ),
    )
    def test_mixes(self, dtype, matrix):
        samples = noise(3, 30, dtype)
        got = mapped(samples, matrix).samples
        rows = samples.astype(float).T.tolist()
        expected = [[sum(f * x for f, x in zip(factors, row, strict=True)) for row in rows] for factors in matrix]
        if dtype == np.int16:
            assert got.tolist() == [[max(-32768, min(32767, round(x))) for x in row] for row in expected]
        else:
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)

    def test_int16_saturates(self):
        samples = np.array([[32767, -32768, 3, 5], [1, -1, 0, 0]], np.int16)
        assert mapped(samples, [[1, 1], [-1, 0], [0.5, 0]]).samples.tolist() == [
            [32767, -32768, 3, 5],
            [-32767, 32767, -3, -5],
            [16384, -16384, 2, 2],
        ]

    def test_neighbours_are_a_view_and_all_is_the_item_itself(self):
        samples = noise(4, 10)
        assert np.shares_memory(mapped(samples, [1, 2]).samples, samples)
        frame = rm.AudioFrame(samples, 16_000)
        assert made(ChannelMap, channels=[0, 1, 2, 3]).process(frame) is frame

    def test_a_factor_of_0_takes_nothing(self):
        assert mapped(np.array([[np.nan, np.inf], [1, 2]]), [[0, 1]]).samples.tolist() == [[1, 2]]

    def test_a_row_of_0_is_silence(self):
        assert mapped(noise(2, 3), [[0, 0]]).samples.tolist() == [[0, 0, 0]]

    @pytest.mark.parametrize(
        "channels",
        [None, [], "01", 1, [-1], [256], [0.5], [True], ["0"], [[]], [[1], [1, 1]], [0, [1]], [[np.nan]], [[np.inf]]],
    )
    def test_refuses(self, channels):
        with pytest.raises(ValueError, match="'channels' must"):
            made(ChannelMap, channels=channels)

    @pytest.mark.parametrize(
        "channels",
        [[[True]], [[1e39]], [0] * 257, {"0": 1}],
    )
    def test_refuses_more(self, channels):
        with pytest.raises(ValueError, match="'channels' must"):
            made(ChannelMap, channels=channels)

    def test_refuses_frames_of_too_few_channels(self):
        with pytest.raises(ValueError, match=r"asks for channel 2, the frame has 0…1"):
            mapped(noise(2, 3), [2, 0])
        with pytest.raises(ValueError, match="rows of 'channels' have 3 factors, the frame 2 channels"):
            mapped(noise(2, 3), [[1, 0, 0]])

    def test_refuses_other_items(self):
        with pytest.raises(TypeError, match="takes AudioFrame items"):
            made(ChannelMap, channels=[0]).process(np.zeros(3))


class TestSplitter:
    @pytest.mark.parametrize("dtype", TYPES)
    @pytest.mark.parametrize("channels", [1, 2, 8])
    def test_gives_each_channel(self, channels, dtype):
        samples = noise(channels, 10, dtype)
        found = given_by(made(ChannelSplitter), [rm.AudioFrame(samples, 16_000, 7, {"a": 1})])
        assert [frame.metadata for frame in found] == [{"a": 1, "channel": n} for n in range(channels)]
        for frame, row in zip(found, samples, strict=True):
            assert (frame.pts_ns, frame.samples.tolist()) == (7, [row.tolist()])
            assert np.shares_memory(frame.samples, samples)
            assert not frame.samples.flags.writeable
        assert samples.flags.writeable

    def test_gives_empty_frames_too(self):
        assert len(all_of(made(ChannelSplitter), [rm.AudioFrame(np.zeros((2, 0), np.float32), 16_000)])) == 2

    def test_refuses_params_and_other_items(self):
        with pytest.raises(ValueError, match="unknown"):
            made(ChannelSplitter, channels=2)
        with pytest.raises(TypeError, match="takes AudioFrame items"):
            given_by(made(ChannelSplitter), [1.0])


def test_through_a_pipeline(direct: Driver):
    samples = noise(2, 10)
    swapped = chain(node("map", "ChannelMap", channels=[1, 0]), node("split", "ChannelSplitter"))
    found = direct.results(swapped, [rm.AudioFrame(samples, 16_000)])
    assert [frame.samples.tolist() for frame in found] == [[samples[1].tolist()], [samples[0].tolist()]]
