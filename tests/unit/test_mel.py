"""LogMelSpectrogram against SciPy's STFT and mel bands by formulas of the scales' own sources."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import ShortTimeFFT, get_window
from streams import TYPES, all_of, cut, given_by, made, noise, time_ns
from support import Driver, chain, node

import remotemedia as rm
from remotemedia.nodes.mel import LogMelSpectrogram

RATE_HZ = 16_000


def mel_edges(scale: str, n_mels: int, f_min: float, f_max: float) -> np.ndarray:
    """Edges of the bands in Hz, by a search on the scale's definition: no inverse formula."""
    hz = np.linspace(0, 24_000, 2_400_001)
    if scale == "htk":
        mels = 1127.0 * np.log1p(hz / 700)  # HTK book, 5.4
    else:  # Auditory Toolbox, mfcc.m: 13 linear filters 66.667 Hz apart, then a ratio of 1.0711703
        mels = np.where(hz < 1000, hz / (200 / 3), 15 + np.log(np.maximum(hz, 1) / 1000) / np.log(1.071170257))
    low, high = np.interp([f_min, f_max], hz, mels)
    return np.interp(np.linspace(low, high, n_mels + 2), mels, hz)


def expected_of(mono: np.ndarray, n_fft: int, hop: int, scale: str, n_mels: int, f_min: float, f_max: float) -> Any:
    """Mel power, columns by bands, of whole windows."""
    stft = ShortTimeFFT(get_window("hann", n_fft), hop, RATE_HZ, fft_mode="onesided", phase_shift=None)
    columns = (len(mono) - n_fft) // hop + 1
    first = n_fft // 2  # SciPy's windows are about their middle
    spectrum = np.array(
        [
            stft.stft_detrend(mono[at : at + n_fft], None, 0, 1, k_offset=first)[:, 0]
            for at in range(0, columns * hop, hop)
        ]
    )
    bins_hz = np.arange(n_fft // 2 + 1) * RATE_HZ / n_fft
    edges = mel_edges(scale, n_mels, f_min, f_max)
    found = []
    for low, centre, high in zip(edges[:-2], edges[1:-1], edges[2:], strict=True):
        height = 1 if scale == "htk" else 2 / (high - low)
        weights = height * np.interp(bins_hz, [low, centre, high], [0, 1, 0])
        found.append(np.abs(spectrum) ** 2 @ weights)
    return np.array(found).T


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize(
    ("n_fft", "hop", "n_mels", "f_min", "f_max"), [(400, 160, 40, 0, 8000), (512, 600, 20, 300, 7000)]
)
def test_power_is_that_of_scipy_and_the_scale(scale, n_fft, hop, n_mels, f_min, f_max):
    mono = noise(1, 6000, np.float64)[0]
    params = {"n_fft": n_fft, "hop": hop, "n_mels": n_mels, "f_min": f_min, "f_max": f_max, "scale": scale}
    found = given_by(made(LogMelSpectrogram, **params), cut(mono[None], RATE_HZ, [1000, 1001]))
    power = expected_of(mono, n_fft, hop, scale, n_mels, f_min, f_max)
    assert len(found) == len(power)
    np.testing.assert_allclose([one["log_mel"] for one in found], 10 * np.log10(np.maximum(power, 1e-10)), atol=2e-3)
    natural = given_by(made(LogMelSpectrogram, **params, log="natural"), [rm.AudioFrame(mono, RATE_HZ)])
    np.testing.assert_allclose([one["log_mel"] for one in natural], np.log(np.maximum(power, 1e-10)), atol=5e-4)


def test_a_tone_is_in_the_band_about_it():
    """1 kHz is mel 15 of Slaney's scale, of 45.25 up to 8 kHz: with 44 bands about 15 / 45.25 of the way up."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ)
    for one in given_by(made(LogMelSpectrogram, n_mels=44), [rm.AudioFrame(tone, RATE_HZ)]):
        assert abs(int(np.argmax(one["log_mel"])) + 1 - 45 * 15 / 45.245) <= 0.5


@settings(max_examples=60)
@given(
    count=st.integers(0, 200),
    n_fft=st.integers(2, 40),
    hop=st.integers(1, 60),
    cuts=st.lists(st.integers(0, 200), max_size=10),
    channels=st.sampled_from([1, 2, 8]),
    dtype=st.sampled_from(TYPES),
    start_ns=st.sampled_from([0, 10**15, -3]),
)
def test_columns_do_not_depend_on_the_cut(count, n_fft, hop, cuts, channels, dtype, start_ns):
    samples = noise(channels, count, dtype)
    params = {"n_fft": n_fft, "hop": hop, "n_mels": 2, "scale": "htk"}
    found = all_of(made(LogMelSpectrogram, **params), cut(samples, 44_100, cuts, start_ns))
    whole = (count - n_fft) // hop + 1 if count >= n_fft else 0
    covered = (whole - 1) * hop + n_fft if whole else 0
    columns = whole + (count > max(covered, whole * hop))
    assert [one["pts_ns"] for one in found] == [start_ns + time_ns(k * hop, 44_100) for k in range(columns)]
    mono = samples.astype(float).mean(axis=0)
    if dtype == np.int16:
        mono = np.rint(mono) / 32768
    padded = np.concatenate((mono, np.zeros(n_fft)))
    for k, one in enumerate(found):
        alone = given_by(made(LogMelSpectrogram, **params), [rm.AudioFrame(padded[k * hop : k * hop + n_fft], 44_100)])
        np.testing.assert_allclose(10 ** (one["log_mel"] / 10), 10 ** (alone[0]["log_mel"] / 10), rtol=1e-3, atol=1e-6)
        assert one["log_mel"].dtype == np.float32
        assert not one["log_mel"].flags.writeable


def test_a_long_frame_gives_what_short_ones_give():
    samples = noise(1, 60_000)
    long, short = (
        given_by(made(LogMelSpectrogram), cut(samples, RATE_HZ, cuts)) for cuts in ([], range(0, 60_000, 999))
    )
    assert [one["pts_ns"] for one in long] == [10_000_000 * k for k in range(373)]
    assert [one["pts_ns"] for one in short] == [one["pts_ns"] for one in long]
    np.testing.assert_allclose([one["log_mel"] for one in long], [one["log_mel"] for one in short], atol=1e-3)


def test_silence_is_the_floor():
    quiet = rm.AudioFrame(np.zeros(400, np.int16), RATE_HZ)
    assert set(given_by(made(LogMelSpectrogram), [quiet])[0]["log_mel"].tolist()) == {-100.0}


def test_metadata_and_json():
    frame = rm.AudioFrame(noise(1, 400), RATE_HZ, metadata={"speaker": "A"})
    column = given_by(made(LogMelSpectrogram, form="list", n_mels=3), [frame])[0]
    assert column["metadata"] == {"speaker": "A"}
    assert json.loads(json.dumps(column)) == column
    bare = given_by(made(LogMelSpectrogram), [frame.replace(metadata={})])[0]
    assert set(bare) == {"pts_ns", "log_mel"}


def test_another_recording_begins_anew():
    mel, frame = made(LogMelSpectrogram), rm.AudioFrame(noise(1, 500), RATE_HZ)
    frames = [frame, frame.replace(pts_ns=10**9), frame.replace(pts_ns=frame.end_ns + 10**9, sample_rate=8000)]
    found = given_by(mel, frames) + mel.flush()
    assert [one["pts_ns"] for one in found] == [0, 10_000_000, 10**9, 1_010_000_000, 1_031_250_000, 1_051_250_000]
    assert mel.flush() == []


@pytest.mark.parametrize(
    "params",
    [
        {"n_fft": 1},
        {"n_fft": 2**21},
        {"hop": 0},
        {"n_mels": 500},
        {"f_min": -1},
        {"f_min": 5, "f_max": 5},
        {"scale": "mel"},
        {"log": "e"},
        {"form": "json"},
        {"window": "hann"},
    ],
)
def test_refuses_params(params):
    with pytest.raises(ValueError, match="param"):
        made(LogMelSpectrogram, **params)


@pytest.mark.parametrize("params", [{"f_max": 8001}, {"f_min": 8000}])
def test_refuses_bands_beyond_half_the_rate(params):
    with pytest.raises(ValueError, match="16000 Hz audio ends at 8000 Hz"):
        given_by(made(LogMelSpectrogram, **params), [rm.AudioFrame(noise(1, 500), RATE_HZ)])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_refuses_what_is_no_finite_number_and_goes_on(wrong):
    mel, frame = made(LogMelSpectrogram), rm.AudioFrame(noise(1, 500), RATE_HZ)
    with pytest.raises(ValueError, match="finite"):
        given_by(mel, [frame.replace(samples=np.full(500, wrong))])
    assert len(all_of(mel, [frame])) == 2


def test_through_a_pipeline(direct: Driver):
    manifest = chain(node("mel", "LogMelSpectrogram", n_mels=8))
    empty = rm.AudioFrame(np.zeros((1, 0), np.float32), RATE_HZ)
    assert direct.results(manifest, [empty]) == []
    assert len(direct.results(manifest, [empty, *cut(noise(1, 720), RATE_HZ, [3, 500])])) == 3
