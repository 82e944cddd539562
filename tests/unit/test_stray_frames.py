"""A frame without samples is nothing, whatever its time, rate or type: it ends no recording and moves no time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from streams import cut
from support import Driver, chain, node

import remotemedia as rm

RATE_HZ = 16_000
NODES = {
    "Resample": {"sample_rate": 8000},
    "Chunker": {"samples": 700},
    "Frames": {},
    "SilenceDetector": {"min_silence_ms": 50},
    "ClippingDetector": {},
    "LogMelSpectrogram": {"n_fft": 700, "hop": 300, "n_mels": 8, "form": "list"},
    "EnergyVAD": {},
    "WebRtcVAD": {},
}
STRAYS = [
    rm.AudioFrame(np.zeros((1, 0), np.float32), RATE_HZ),
    rm.AudioFrame(np.zeros((1, 0), np.float32), RATE_HZ, 10**12),
    rm.AudioFrame(np.zeros((1, 0), np.float32), RATE_HZ * 3, 62_500_000),
    rm.AudioFrame(np.zeros((2, 0), np.int16), RATE_HZ, 62_500_000),
]


def told(items: list[Any]) -> list[Any]:
    """What items say, comparable."""
    return [(i.pts_ns, i.samples.tolist(), i.metadata) if isinstance(i, rm.AudioFrame) else i for i in items]


@pytest.mark.parametrize("stray", STRAYS, ids=["no time", "later", "another rate", "another kind"])
@pytest.mark.parametrize("node_type", NODES)
def test_an_empty_frame_changes_nothing_wherever_it_comes(direct: Driver, node_type, stray):
    if node_type == "Frames" and stray.samples.dtype == np.int16:
        pytest.skip("refuses the type of int16 itself")
    samples = np.sin(np.arange(4000) / 9, dtype=np.float32)[None]
    samples[:, 500:2500] = 0  # silence, and behind it what is clipped, across the borders of frames
    samples[:, 2900:3100] = 1
    frames = cut(samples, RATE_HZ, [1000, 3000])
    manifest = chain(node("n", node_type, **NODES[node_type]))
    expected = told(direct.results(manifest, frames))
    assert expected
    assert told(direct.results(manifest, [stray, frames[0], stray, frames[1], stray, frames[2], stray])) == expected
