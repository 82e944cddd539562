"""The audio nodes driven by hand, and the reading of WAV files."""

from __future__ import annotations

import math
import re
import struct
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from remotemedia._core.media import AudioFrame
from remotemedia._core.node import NodeContext
from remotemedia.errors import InputError
from remotemedia.nodes.audio import (
    FormatConvert,
    Frames,
    Gain,
    Level,
    Peak,
    Segments,
    ToMono,
    VoiceActivity,
    WavSource,
    ZeroCrossingRate,
    read_wav,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RATE_HZ = 16_000
NODES = (Frames, Level, VoiceActivity, Segments, WavSource, FormatConvert, Gain, ToMono, Peak, ZeroCrossingRate)
NEEDED: dict[type[Any], dict[str, Any]] = {WavSource: {"path": "a.wav"}, FormatConvert: {"format": "int16"}}


def block(samples: NDArray[Any], sample_rate: int = RATE_HZ, start_s: float = 0.0, **metadata: Any) -> AudioFrame:
    """A frame of samples of shape (n,) or (n, channels)."""
    return AudioFrame(samples.T, sample_rate, round(start_s * 1e9), metadata)


def made(node_class: type[Any], **params: Any) -> Any:
    node = node_class()
    node.initialize(NodeContext("n1", node_class.__name__, params))
    return node


def frames_of(samples: NDArray[Any], rate_hz: int = RATE_HZ, **params: Any) -> list[AudioFrame]:
    node = made(Frames, **params)
    return [*node.process(block(samples, rate_hz)), *node.flush()]


def voiced(samples: NDArray[Any], rate_hz: int = RATE_HZ, **params: Any) -> list[bool | None]:
    node = made(VoiceActivity, **params)
    decided = [out for frame in frames_of(samples, rate_hz) for out in node.process(frame)]
    return [frame.metadata["voiced"] for frame in [*decided, *node.flush()]]


def noise(seconds: float, level: float = 0.01, seed: int = 0) -> NDArray[np.float64]:
    return level * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))


def tone(seconds: float, amplitude: float = 0.5, frequency_hz: float = 440.0) -> NDArray[np.float64]:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def noise_with_tone(before_s: float, tone_s: float, after_s: float) -> NDArray[np.float64]:
    samples = noise(before_s + tone_s + after_s)
    start = round(before_s * RATE_HZ)
    samples[start : start + round(tone_s * RATE_HZ)] += tone(tone_s)
    return samples


class TestFrames:
    def test_frames_have_the_length_asked_for_and_the_last_is_short(self) -> None:
        frames = frames_of(np.zeros(1000), frame_ms=20)
        assert [f.sample_count for f in frames] == [320, 320, 320, 40]

    def test_an_exact_multiple_leaves_nothing_to_flush(self) -> None:
        node = made(Frames, frame_ms=20)
        assert len(list(node.process(block(np.zeros(640), RATE_HZ)))) == 2
        assert node.flush() == []

    def test_the_default_frame_is_30_ms(self) -> None:
        assert len(frames_of(np.zeros(RATE_HZ))[0].samples[0]) == 480

    @pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000])
    def test_start_times_do_not_drift_at_rates_that_frames_do_not_divide(self, rate_hz: int) -> None:
        frames = frames_of(np.zeros(60 * rate_hz), rate_hz)
        counts = np.cumsum([0, *(f.sample_count for f in frames)])
        assert counts[-1] == 60 * rate_hz
        assert [f.pts_ns for f in frames] == [round(count * 1e9 / rate_hz) for count in counts[:-1].tolist()]

    def test_the_clock_starts_at_the_start_of_the_first_block(self) -> None:
        node = made(Frames)
        assert next(node.process(block(np.zeros(480), RATE_HZ, start_s=7.5))).start_s == 7.5

    def test_channels_are_averaged(self) -> None:
        left, right = noise(0.1, seed=1), noise(0.1, seed=2)
        joined = np.concatenate([f.samples[0] for f in frames_of(np.stack([left, right], axis=1))])
        np.testing.assert_allclose(joined, (left + right) / 2)

    def test_a_bare_array_is_taken_with_a_rate(self) -> None:
        node = made(Frames, rate_hz=8000)
        frames = list(node.process(np.ones(480, np.float32)))
        assert [(f.sample_rate, f.sample_count) for f in frames] == [(8000, 240), (8000, 240)]

    @given(st.lists(st.integers(0, 700), max_size=12))
    @settings(max_examples=100, deadline=None)
    def test_frames_do_not_depend_on_the_block_sizes(self, sizes: list[int]) -> None:
        samples = noise(0.2)
        node = made(Frames)
        pieces = np.split(samples, np.minimum(np.cumsum(sizes), len(samples)).astype(int))
        frames = [f for piece in pieces for f in node.process(block(piece, RATE_HZ))] + node.flush()
        whole = frames_of(samples)
        assert [f.start_s for f in frames] == [f.start_s for f in whole]
        assert all(np.array_equal(a.samples, b.samples) for a, b in zip(frames, whole, strict=True))

    def test_a_block_that_its_owner_fills_anew_does_not_change_the_rest_of_the_old_one(self) -> None:
        node = made(Frames)
        buffer = np.ones(100)
        assert list(node.process(block(buffer, RATE_HZ))) == []
        buffer[:] = 5.0
        assert node.flush()[0].samples[0].tolist() == [1.0] * 100

    def test_frames_are_read_only_and_blocks_stay_as_they_were(self) -> None:
        samples = noise(0.1)
        before = samples.copy()
        frames = frames_of(samples)
        assert not any(f.samples.flags.writeable for f in frames)
        assert samples.flags.writeable
        assert np.array_equal(samples, before)

    def test_after_a_flush_a_new_recording_begins_at_another_rate(self) -> None:
        node = made(Frames)
        list(node.process(block(np.zeros(700), RATE_HZ)))
        node.flush()
        frames = list(node.process(block(np.zeros(240), 8000)))
        assert [(f.start_s, f.sample_rate) for f in frames] == [(0.0, 8000)]

    def test_initialize_forgets_what_was_held(self) -> None:
        node = made(Frames)
        list(node.process(block(np.zeros(100), RATE_HZ)))
        node.initialize(NodeContext("n1", "Frames"))
        assert node.flush() == []

    def test_a_refused_block_leaves_the_recording_as_it_was(self) -> None:
        node = made(Frames)
        list(node.process(block(np.zeros(100), RATE_HZ)))
        with pytest.raises(ValueError, match="changed from 16000 to 8000 Hz"):
            list(node.process(block(np.zeros(100), 8000)))
        assert node.flush()[0].sample_count == 100

    @pytest.mark.parametrize(
        ("item", "error", "message"),
        [
            (np.zeros(10), ValueError, "set the param 'rate_hz'"),
            ([0.0], TypeError, "got list"),
            (block(np.zeros(10, np.int16), 8000), TypeError, "floats of -1…1, not int16"),
            (block(np.array([0.0, np.nan]), 8000), ValueError, "NaN or infinity"),
        ],
    )
    def test_what_is_no_audio_is_refused(self, item: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            list(made(Frames).process(item))

    def test_a_block_of_another_rate_than_the_param_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'rate_hz' is 8000, but the frame has 16000 Hz"):
            list(made(Frames, rate_hz=8000).process(block(np.zeros(10), RATE_HZ)))


class TestLevel:
    def level(self, samples: NDArray[Any], **params: Any) -> float:
        level: float = made(Level, **params).process(block(samples, RATE_HZ, 0.0)).metadata["level_dbfs"]
        return level

    @pytest.mark.parametrize("frequency_hz", [100, 1000, 3000])
    def test_a_full_scale_sine_is_0_dbfs(self, frequency_hz: int) -> None:
        assert self.level(tone(0.03, 1.0, frequency_hz)) == pytest.approx(0.0, abs=1e-9)

    def test_a_full_scale_square_wave_is_3_db_higher(self) -> None:
        assert self.level(np.tile([1.0, -1.0], 240)) == pytest.approx(10 * math.log10(2))

    def test_a_tenth_of_the_amplitude_is_20_db_lower(self) -> None:
        assert self.level(tone(0.03, 0.1, 1000)) == pytest.approx(-20.0)

    def test_silence_is_at_the_floor(self) -> None:
        assert self.level(np.zeros(480)) == -120.0
        assert self.level(np.full(480, 1e-9)) == -120.0
        assert self.level(np.zeros(480), floor_dbfs=-90) == -90.0
        assert self.level(np.full(480, 1e-7), floor_dbfs=-150) == pytest.approx(-137, abs=0.1)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_the_sample_type_does_not_matter(self, dtype: type[Any]) -> None:
        assert self.level(tone(0.03, 0.5, 1000).astype(dtype)) == pytest.approx(-6.02, abs=0.01)

    def test_the_rest_of_the_frame_is_handed_on(self) -> None:
        frame = block(tone(0.03), RATE_HZ, 1.5)
        out = made(Level).process(frame)
        assert out.samples is frame.samples
        assert (out.sample_rate, out.start_s, out.metadata.keys()) == (RATE_HZ, 1.5, {"level_dbfs"})

    def test_a_frame_without_samples_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no samples"):
            made(Level).process(block(np.zeros(0), RATE_HZ, 0.0))


class TestVoiceActivity:
    def test_every_frame_comes_out_once_and_in_order(self) -> None:
        frames = frames_of(noise_with_tone(2.0, 1.0, 2.01))
        node = made(VoiceActivity)
        out = [o for frame in frames for o in node.process(frame)] + node.flush()
        assert [f.start_s for f in out] == [f.start_s for f in frames]
        assert all(a.samples is b.samples for a, b in zip(out, frames, strict=True))

    def test_a_tone_in_noise_is_voiced_and_nothing_else(self) -> None:
        flags = voiced(noise_with_tone(2.1, 0.9, 2.1))
        assert flags == [False] * 70 + [True] * 30 + [False] * 70

    def test_a_recording_that_begins_and_ends_within_voice(self) -> None:
        samples = np.concatenate([tone(0.6), noise(1.8), tone(0.6)])
        assert voiced(samples) == [True] * 20 + [False] * 60 + [True] * 20

    def test_a_pause_up_to_the_hangover_is_bridged_and_a_longer_one_is_not(self) -> None:
        def with_pause(pause_s: float) -> list[bool | None]:
            return voiced(np.concatenate([noise(1.8), tone(0.6), noise(pause_s), tone(0.6), noise(1.8)]))

        assert with_pause(0.24) == [False] * 60 + [True] * 48 + [False] * 60
        assert with_pause(0.27) == [False] * 60 + [True] * 20 + [False] * 9 + [True] * 20 + [False] * 60

    def test_a_click_shorter_than_the_attack_is_not_voice(self) -> None:
        assert not any(voiced(noise_with_tone(2.1, 0.03, 2.1)))
        assert sum(map(bool, voiced(noise_with_tone(2.1, 0.06, 2.1)))) == 2
        assert not any(voiced(noise_with_tone(2.1, 0.06, 2.1), attack_ms=90))

    def test_below_the_least_level_nothing_is_voice(self) -> None:
        samples = np.concatenate([np.zeros(RATE_HZ), tone(0.6, 0.0009), np.zeros(RATE_HZ)])  # -60.9 dBFS
        assert not any(voiced(samples))
        assert any(voiced(samples, min_dbfs=-63))

    def test_a_constant_offset_and_rumble_are_not_voice_and_do_not_hide_it(self) -> None:
        seconds = np.arange(round(5.1 * RATE_HZ)) / RATE_HZ
        rumble = 0.2 + 0.2 * np.sin(2 * np.pi * 25 * seconds) * (seconds > 3.5)
        assert voiced(noise_with_tone(2.1, 0.9, 2.1) + rumble) == [False] * 70 + [True] * 30 + [False] * 70

    def test_louder_noise_is_learnt_within_the_window(self) -> None:
        samples = np.concatenate([noise(3.0, 0.001), noise(12.0, 0.03, seed=1)])
        flags = voiced(samples, window_ms=3000)
        assert any(flags)
        assert not any(flags[-200:])

    def test_quieter_noise_is_learnt_at_once(self) -> None:
        samples = np.concatenate([noise(3.0, 0.1), noise(1.5, 0.001), tone(0.6, 0.02), noise(1.5, 0.001)])
        assert voiced(samples) == [False] * 150 + [True] * 20 + [False] * 50

    def test_frames_wait_for_the_warm_up_and_then_no_longer_than_the_hangover(self) -> None:
        node = made(VoiceActivity, warmup_ms=600, hangover_ms=150)
        waiting, waited = 0, []
        for frame in frames_of(noise_with_tone(1.8, 0.9, 1.8)):
            waiting += 1 - len(list(node.process(frame)))
            waited.append(waiting)
        assert waited[:20] == [*range(1, 20), 0]
        assert max(waited[20:]) == 5

    def test_noise_between_the_thresholds_is_not_held_for_ever(self) -> None:
        node = made(VoiceActivity, window_ms=60_000)
        loud = noise(20.0, 0.01 * 10 ** (5.5 / 20), seed=3)
        waiting = 0
        for frame in frames_of(np.concatenate([noise(3.0, 0.01), loud])):
            waiting += 1 - len(list(node.process(frame)))
        assert waiting <= 8

    def test_after_a_flush_a_new_recording_is_decided_as_if_it_were_the_first(self) -> None:
        node = made(VoiceActivity)
        first, second = frames_of(noise(3.0, 0.2)), frames_of(0.05 * noise_with_tone(2.1, 0.9, 2.1))

        def flags(frames: list[AudioFrame]) -> list[bool | None]:
            return [
                f.metadata["voiced"] for f in [*(o for frame in frames for o in node.process(frame)), *node.flush()]
            ]

        assert not any(flags(first))
        assert flags(second) == [False] * 70 + [True] * 30 + [False] * 70

    def test_initialize_forgets_what_was_held(self) -> None:
        node = made(VoiceActivity)
        list(node.process(frames_of(noise(0.1))[0]))
        node.initialize(NodeContext("n1", "VoiceActivity"))
        assert node.flush() == []

    @pytest.mark.parametrize("count", [1, 2, 3, 481, 482])
    def test_recordings_and_last_frames_of_a_few_samples(self, count: int) -> None:
        assert voiced(0.5 * np.ones(count)) == [False] * math.ceil(count / 480)

    def test_frames_of_another_rate_or_length_are_refused(self) -> None:
        for odd in (block(np.zeros(480), 8000), block(np.zeros(481))):
            node = made(VoiceActivity)
            list(node.process(block(np.zeros(480), RATE_HZ, 0.0)))
            with pytest.raises(ValueError, match="one rate and length"):
                list(node.process(odd))

    def test_a_band_above_what_the_rate_holds_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'low_hz' is 4000, but 8000 Hz audio ends at half its rate"):
            list(made(VoiceActivity, low_hz=4000).process(frames_of(np.zeros(480), 8000)[0]))

    def test_frames_of_integers_are_refused_with_the_remedy(self) -> None:
        with pytest.raises(TypeError, match="floats of -1…1, not int16: put FormatConvert before"):
            list(made(VoiceActivity).process(block(np.zeros(480, np.int16), RATE_HZ, 0.0)))

    def test_what_is_no_frame_is_refused_with_the_remedy(self) -> None:
        with pytest.raises(TypeError, match="Frames makes them of arrays"):
            list(made(VoiceActivity).process(np.zeros(480)))


class TestSegments:
    def frame(self, index: int, *, voiced: bool, level_dbfs: float = -20.0, samples: int = 480) -> AudioFrame:
        return block(np.zeros(samples), RATE_HZ, index * 0.03, level_dbfs=level_dbfs, voiced=voiced)

    def run(self, node: Any, frames: list[AudioFrame]) -> list[dict[str, float]]:
        return [s for s in map(node.process, frames) if s is not None]

    def test_voiced_frames_become_one_segment_at_the_first_unvoiced_one(self) -> None:
        flags = [False, True, True, True, True, False, False]
        found = self.run(made(Segments), [self.frame(i, voiced=v) for i, v in enumerate(flags)])
        assert found == [{"start": 0.03, "end": 0.15, "level_dbfs": -20.0}]

    def test_the_segment_that_the_end_cuts_off_comes_by_flush_and_only_once(self) -> None:
        node = made(Segments, min_ms=0)
        assert self.run(node, [self.frame(0, voiced=True), self.frame(1, voiced=True, samples=160)]) == []
        assert node.flush() == [{"start": 0.0, "end": 0.04, "level_dbfs": -20.0}]
        assert node.flush() == []

    def test_the_level_is_the_mean_of_the_power(self) -> None:
        node = made(Segments, min_ms=0)
        self.run(node, [self.frame(i, voiced=True, level_dbfs=level) for i, level in enumerate([-10, -100])])
        assert node.flush()[0]["level_dbfs"] == -13.0

    @pytest.mark.parametrize(("count", "kept"), [(3, 0), (4, 1)])
    def test_what_is_shorter_than_the_least_length_is_dropped(self, count: int, kept: int) -> None:
        node = made(Segments)
        assert len(self.run(node, [self.frame(i, voiced=i < count) for i in range(6)])) == kept

    def test_a_gap_in_time_ends_a_segment(self) -> None:
        node = made(Segments, min_ms=0)
        found = self.run(node, [self.frame(i, voiced=True) for i in (0, 1, 5, 6)])
        assert [*found, *node.flush()] == [
            {"start": 0.0, "end": 0.06, "level_dbfs": -20.0},
            {"start": 0.15, "end": 0.21, "level_dbfs": -20.0},
        ]

    def test_times_are_rounded_to_milliseconds(self) -> None:
        node = made(Segments, min_ms=0)
        node.process(block(np.zeros(331), 11025, 331 / 11025, level_dbfs=-20.0, voiced=True))
        assert node.flush()[0] == {"start": 0.03, "end": 0.06, "level_dbfs": -20.0}

    @pytest.mark.parametrize(
        ("level_dbfs", "flag", "message"),
        [(None, True, "'level_dbfs' in .*: put Level"), (-20.0, None, "'voiced' in .*: put VoiceActivity")],
    )
    def test_a_frame_that_lacks_a_field_is_refused_with_the_remedy(
        self, level_dbfs: float | None, flag: bool | None, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            made(Segments).process(block(np.zeros(480), level_dbfs=level_dbfs, voiced=flag))


def state_of(node: object) -> str:
    """All that a node holds, and the rule within it if there is one."""
    held = dict(vars(node))
    rule = held.pop("_activity", None)
    return repr((held, rule and vars(rule)))


class TestParams:
    @pytest.mark.parametrize("node_class", NODES)
    def test_defaults_are_those_that_the_descriptions_name(self, node_class: type[Any]) -> None:
        needed = NEEDED.get(node_class, {})
        named = {n: re.search(r"\(default (?:(-?[\d.]+)|'(\w+)')\)$", text) for n, text in node_class.PARAMS.items()}
        given = {n: float(found[1]) if found[1] else found[2] for n, found in named.items() if found}
        plain, explicit = made(node_class, **needed), made(node_class, **needed, **given)
        assert state_of(plain) == state_of(explicit)
        assert given.keys() | needed.keys() | {"rate_hz", "factor"} >= node_class.PARAMS.keys()

    @pytest.mark.parametrize(
        ("node_class", "params", "fault"),
        [
            (Frames, {"frame_ms": 0}, "param 'frame_ms' must be a number above 0, not 0"),
            (Frames, {"frame_ms": True}, "param 'frame_ms' must be a number above 0, not True"),
            (Frames, {"frame_ms": "30"}, "param 'frame_ms' must be a number above 0, not '30'"),
            (Frames, {"frame_ms": math.nan}, "param 'frame_ms' must be a number above 0, not nan"),
            (Frames, {"frame_ms": 10**400}, "param 'frame_ms' must be a number above 0, not 1000"),
            (Frames, {"rate_hz": 0}, "param 'rate_hz' must be a whole number above 0, not 0"),
            (Frames, {"rate_hz": 8000.5}, "param 'rate_hz' must be a whole number above 0, not 8000.5"),
            (Frames, {"rate_hz": True}, "param 'rate_hz' must be a whole number above 0, not True"),
            (Frames, {"rate_hz": math.inf}, "param 'rate_hz' must be a whole number above 0, not inf"),
            (Frames, {"frame_mss": 1}, "param 'frame_mss' is unknown; did you mean 'frame_ms'?"),
            (Frames, {"zzz": 1}, "param 'zzz' is unknown; it takes frame_ms, rate_hz"),
            (Level, {"floor_dbfs": math.inf}, "param 'floor_dbfs' must be a number, not inf"),
            (Level, {"floor": -90}, "param 'floor' is unknown; did you mean 'floor_dbfs'?"),
            (VoiceActivity, {"margin_db": -1}, "param 'margin_db' must be a number above 0, not -1"),
            (VoiceActivity, {"low_hz": -1}, "param 'low_hz' must be a number of at least 0, not -1"),
            (VoiceActivity, {"low_hz": 9, "high_hz": 9}, "param 'high_hz' must be a number above 9, not 9"),
            (Segments, {"min_ms": [1]}, "param 'min_ms' must be a number of at least 0, not [1]"),
            (WavSource, {}, "param 'path' is missing"),
            (WavSource, {"path": 3}, "param 'path' must be a string that is not empty, not 3"),
            (WavSource, {"path": ""}, "param 'path' must be a string that is not empty, not ''"),
            (WavSource, {"path": "a.wav", "block_ms": 0}, "param 'block_ms' must be a number above 0, not 0"),
        ],
    )
    def test_a_wrong_param_is_an_error_that_names_node_and_param(
        self, node_class: type[Any], params: dict[str, Any], fault: str
    ) -> None:
        with pytest.raises(ValueError, match="^" + re.escape(f"node 'n1' ({node_class.__name__}): {fault}")):
            made(node_class, **params)

    def test_null_for_a_param_means_absent(self) -> None:
        assert repr(vars(made(Frames, rate_hz=None, frame_ms=None))) == repr(vars(made(Frames)))

    @pytest.mark.parametrize("node_class", NODES)
    def test_every_node_describes_itself_in_one_line(self, node_class: type[Any]) -> None:
        description = node_class().info().description
        assert description
        assert description.endswith((".", ":", "``."))


def good_wav(path: Path) -> bytes:
    soundfile.write(path, tone(0.5), RATE_HZ, subtype="PCM_16")
    return path.read_bytes()


class TestReadWav:
    @pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000])
    @pytest.mark.parametrize("channels", [1, 2])
    @pytest.mark.parametrize(
        ("subtype", "tolerance"),
        [("PCM_U8", 8e-3), ("PCM_16", 1e-4), *((s, 1e-6) for s in ("PCM_24", "PCM_32", "FLOAT", "DOUBLE"))],
    )
    def test_samples_come_back_whatever_the_format(
        self, tmp_path: Path, subtype: str, tolerance: float, channels: int, rate_hz: int
    ) -> None:
        samples = np.random.default_rng(5).uniform(-0.9, 0.9, (1000, channels))
        soundfile.write(tmp_path / "a.wav", samples, rate_hz, subtype=subtype)
        blocks = list(read_wav(tmp_path / "a.wav", block_frames=300))
        assert [(b.samples.shape, b.sample_rate, b.pts_ns) for b in blocks] == [
            ((channels, 300), rate_hz, 0),
            ((channels, 300), rate_hz, round(300 / rate_hz * 1e9)),
            ((channels, 300), rate_hz, round(600 / rate_hz * 1e9)),
            ((channels, 100), rate_hz, round(900 / rate_hz * 1e9)),
        ]
        assert all(b.samples.dtype == np.float32 and not b.samples.flags.writeable for b in blocks)
        np.testing.assert_allclose(np.concatenate([b.samples.T for b in blocks]), samples, atol=tolerance)

    @pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
    def test_the_kinds_of_wav_header_are_known(self, tmp_path: Path, container: str) -> None:
        soundfile.write(tmp_path / "a.wav", tone(0.5), RATE_HZ, format=container, subtype="PCM_16")
        assert sum(b.sample_count for b in read_wav(tmp_path / "a.wav")) == 8000

    def test_big_endian_files_are_read(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", tone(0.5), RATE_HZ, subtype="PCM_16", endian="BIG")
        assert (tmp_path / "a.wav").read_bytes()[:4] == b"RIFX"
        assert sum(b.sample_count for b in read_wav(tmp_path / "a.wav")) == 8000

    def test_chunks_before_the_samples_are_passed_over(self, tmp_path: Path) -> None:
        data = good_wav(tmp_path / "a.wav")
        extra = b"LIST" + struct.pack("<I", 5) + b"abcde\0"  # of odd length, so padded
        (tmp_path / "a.wav").write_bytes(data[:36] + extra + data[36:])
        assert sum(b.sample_count for b in read_wav(tmp_path / "a.wav")) == 8000

    @pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_F000])
    def test_a_length_left_open_by_a_writer_to_a_pipe_is_no_fault(self, tmp_path: Path, size: int) -> None:
        data = good_wav(tmp_path / "a.wav")
        (tmp_path / "a.wav").write_bytes(data[:40] + struct.pack("<I", size) + data[44:])
        assert sum(b.sample_count for b in read_wav(tmp_path / "a.wav")) == 8000

    @pytest.mark.parametrize(
        ("harm", "message"),
        [
            (lambda data: b"", "the file is empty"),
            (lambda data: b"no sound at all, only words", "not a WAV file (it begins with b'no sound at "),
            (lambda data: b"RIFF\x10\0\0\0AVI " + data[12:], "not a WAV file (it begins with b'RIFF"),
            (lambda data: data[:9], "not a WAV file"),
            (lambda data: data[:12], "not a WAV file that can be read"),
            (lambda data: data[:30], "not a WAV file that can be read"),
            (lambda data: data[:36], "not a WAV file that can be read"),
            (lambda data: data[:44], "cut short: its header promises 16000 bytes of samples, 0 are there"),
            (lambda data: data[:-1], "cut short: its header promises 16000 bytes of samples, 15999 are"),
            (lambda data: data[:40] + b"\0\0\0\0", "the WAV file holds no samples"),
            (lambda data: data[:22] + b"\0\0" + data[24:], "not a WAV file that can be read"),
            (lambda data: data[:20] + b"\x99\x77" + data[22:], "not a WAV file that can be read"),
        ],
    )
    def test_a_broken_file_is_an_error_that_names_it_and_what_is_wrong(
        self, tmp_path: Path, harm: Any, message: str
    ) -> None:
        path = tmp_path / "broken.wav"
        path.write_bytes(harm(good_wav(path)))
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            list(read_wav(path))
        assert str(caught.value).startswith(f"{path}: ")

    def test_a_long_file_that_is_cut_short_is_refused_by_its_64_bit_length(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", tone(0.5), RATE_HZ, format="RF64", subtype="PCM_16")
        data = (tmp_path / "a.wav").read_bytes()
        (tmp_path / "a.wav").write_bytes(data[:28] + struct.pack("<Q", 5 << 32) + data[36:])
        with pytest.raises(InputError, match=f"promises {5 << 32} bytes"):
            list(read_wav(tmp_path / "a.wav"))

    def test_a_sample_that_is_no_number_is_an_error_that_tells_the_block(self, tmp_path: Path) -> None:
        samples = tone(0.5)
        samples[5000] = np.nan
        soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
        blocks = read_wav(tmp_path / "a.wav", block_frames=4000)
        next(blocks)
        with pytest.raises(InputError, match=r"a\.wav: NaN or infinity in the block at 0\.250 s"):
            next(blocks)

    def test_a_missing_file_and_a_folder_are_input_errors(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"none\.wav: cannot be read: No such file"):
            list(read_wav(tmp_path / "none.wav"))
        with pytest.raises(InputError, match="cannot be read: Is a directory"):
            list(read_wav(tmp_path))

    def test_a_block_size_below_one_is_refused_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="1 or more, got 0"):
            read_wav(tmp_path / "a.wav", block_frames=0)

    def test_memory_does_not_grow_with_the_file(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", np.zeros((60 * 44_100, 2), np.float32), 44_100, subtype="PCM_U8")
        next(iter(read_wav(tmp_path / "a.wav")))
        tracemalloc.start()
        try:
            frames = sum(block.sample_count for block in read_wav(tmp_path / "a.wav"))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert frames == 60 * 44_100
        assert peak < 1_000_000  # all of it would be 21 MB

    def test_a_reader_left_early_closes_the_file(self, tmp_path: Path) -> None:
        good_wav(tmp_path / "a.wav")
        blocks = read_wav(tmp_path / "a.wav", block_frames=100)
        next(blocks)
        blocks.close()
        (tmp_path / "a.wav").unlink()


class TestWavSource:
    def test_it_gives_the_blocks_of_the_file(self, tmp_path: Path) -> None:
        good_wav(tmp_path / "a.wav")
        blocks = list(made(WavSource, path=str(tmp_path / "a.wav"), block_ms=200).produce())
        assert [b.sample_count for b in blocks] == [3200, 3200, 1600]
        expected = np.concatenate([b.samples[0] for b in read_wav(tmp_path / "a.wav")])
        np.testing.assert_array_equal(np.concatenate([b.samples[0] for b in blocks]), expected)

    def test_a_block_longer_than_the_file_takes_no_more_room_than_the_file(self, tmp_path: Path) -> None:
        good_wav(tmp_path / "a.wav")
        blocks = list(made(WavSource, path=str(tmp_path / "a.wav"), block_ms=1e12).produce())
        assert [b.sample_count for b in blocks] == [8000]

    def test_a_missing_file_is_an_input_error_when_it_is_opened(self, tmp_path: Path) -> None:
        node = made(WavSource, path=str(tmp_path / "none.wav"))
        with pytest.raises(InputError, match="No such file"):
            list(node.produce())
