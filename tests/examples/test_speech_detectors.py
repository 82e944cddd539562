"""The three voice-activity detectors on the bundled speech: its known truth, clean and in noise; noise alone."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from support import Driver

import remotemedia as rm

EXAMPLE = Path(__file__).parents[2] / "examples" / "speech"
DETECTORS = ("WebRtcVAD", "SileroVAD", "EnergyVAD")
TOLERANCE_S = 0.100 + 1e-9


def load_boundaries() -> ModuleType:
    spec = importlib.util.spec_from_file_location("boundaries", EXAMPLE / "boundaries.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


b = load_boundaries()
SPEECH, TRUTH = b.load()


def found_in(driver: Driver, detector: str, samples: np.ndarray, **params: object) -> list[tuple[float, float]]:
    results = driver.results(b.pipeline(detector, **params), b.blocks_of(samples))
    return [(segment["start"], segment["end"]) for segment in results]


def assert_is_the_truth(found: list[tuple[float, float]]) -> None:
    assert len(found) == len(TRUTH), found
    assert np.abs(np.subtract(found, TRUTH)).max() <= TOLERANCE_S, (found, TRUTH)


def resampled(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """The same sound at another rate, by cutting or padding its spectrum."""
    count = len(samples) * rate_hz // 16_000
    return np.fft.irfft(np.fft.rfft(samples)[: count // 2 + 1], count) * (rate_hz / 16_000)


@pytest.mark.parametrize("detector", DETECTORS)
def test_each_boundary_of_the_clean_speech_lies_within_100_ms(direct: Driver, detector: str) -> None:
    assert_is_the_truth(found_in(direct, detector, SPEECH))


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("colour", ["white", "pink"])
@pytest.mark.parametrize("seed", range(1000, 1006))
def test_each_boundary_lies_within_100_ms_in_noise_10_db_below(detector: str, colour: str, seed: int) -> None:
    assert_is_the_truth(found_in(Driver("cython"), detector, b.mixed(SPEECH, TRUTH, colour, 10.0, seed)))


@pytest.mark.parametrize("colour", ["white", "pink"])
def test_the_noise_that_is_mixed_in_is_10_db_below_the_utterances(colour: str) -> None:
    noise = b.mixed(SPEECH, TRUTH, colour, 10.0, 3) - SPEECH
    spoken = np.concatenate([SPEECH[round(start * 16_000) : round(end * 16_000)] for start, end in TRUTH])
    assert 10 * np.log10(np.mean(spoken**2) / np.mean(noise**2)) == pytest.approx(10.0, abs=0.01)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("colour", ["white", "pink"])
@pytest.mark.parametrize("level_db", [-60, -30])
def test_nothing_is_found_in_noise_alone(detector: str, colour: str, level_db: int) -> None:
    noise = b.noise(colour, 10 * 16_000, 7) * 10 ** (level_db / 20)
    assert found_in(Driver("cython"), detector, noise) == []


def test_silero_finds_nothing_in_loud_noise_that_webrtc_takes_for_voice() -> None:
    """A limit of WebRTC's detector that `docs/speech.md` states."""
    noise = b.noise("white", 5 * 16_000, 1) * 0.1
    assert found_in(Driver("cython"), "SileroVAD", noise) == []
    assert found_in(Driver("cython"), "WebRtcVAD", noise) == [(0.0, 5.0)]


@pytest.mark.parametrize(
    ("detector", "rate_hz"),
    [("SileroVAD", 8000), ("WebRtcVAD", 8000), ("WebRtcVAD", 48_000), ("EnergyVAD", 8000), ("EnergyVAD", 44_100)],
)
def test_other_rates_find_the_same_speech(detector: str, rate_hz: int) -> None:
    frames = [rm.AudioFrame(resampled(SPEECH, rate_hz), rate_hz)]
    found = Driver("cython").results(b.pipeline(detector), frames)
    assert_is_the_truth([(segment["start"], segment["end"]) for segment in found])


def test_clips_are_the_samples_of_their_segments(direct: Driver) -> None:
    chain = rm.Pipeline("clips").add("SileroVAD").add("SpeechSegmenter", params={"emit": "audio", "pad_ms": 50})
    clips = direct.results(chain.to_manifest(), b.blocks_of(SPEECH))
    assert [clip.metadata["index"] for clip in clips] == [0, 1, 2, 3]
    for clip in clips:
        at = round(clip.pts_ns * 16_000 / 1e9)
        assert np.array_equal(clip.samples[0], SPEECH[at : at + clip.sample_count].astype(np.float32))
        assert clip.metadata["start"] == pytest.approx(clip.start_s, abs=1e-3)
        assert clip.metadata["end"] == pytest.approx(clip.end_s, abs=1e-3)
        assert not clip.samples.flags.writeable


@pytest.mark.parametrize("name", ["pipeline.yaml", "pipeline-silero.yaml"])
@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (44_100, 2)])
def test_the_pipelines_find_the_speech_of_any_file(direct: Driver, name: str, rate_hz: int, channels: int) -> None:
    samples = resampled(SPEECH, rate_hz)
    frames = [
        rm.AudioFrame(np.stack([samples[at : at + 1152]] * channels), rate_hz, round(at * 1e9 / rate_hz))
        for at in range(0, len(samples), 1152)
    ]
    segments = direct.results(rm.Manifest.from_file(EXAMPLE / name), frames)
    assert_is_the_truth([(segment["start"], segment["end"]) for segment in segments])


def test_the_pipeline_runs_at_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "remotemedia", "run", EXAMPLE / "pipeline.yaml"]
    command += ["-i", EXAMPLE / "speech.wav", "-o", tmp_path / "speech.srt"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    cues = (tmp_path / "speech.srt").read_text(encoding="utf-8").strip().split("\n\n")
    assert [cue.splitlines()[0] for cue in cues] == ["1", "2", "3", "4"]
    assert cues[1].splitlines()[1] == "00:00:02,680 --> 00:00:04,580"


def test_the_clips_are_wav_files(direct: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = direct.results(rm.Manifest.from_file(EXAMPLE / "pipeline-clips.yaml"), b.blocks_of(SPEECH))
    assert [clip["path"] for clip in told] == [f"clips/{index:03d}.wav" for index in range(4)]
    for clip, (start, end) in zip(told, TRUTH, strict=True):
        samples, rate_hz = soundfile.read(clip["path"])
        assert len(samples) / rate_hz == pytest.approx(end - start + 0.2, abs=0.1)  # and 100 ms on both sides
        at = round(clip["start"] * rate_hz)
        assert np.abs(samples - SPEECH[at : at + len(samples)]).max() <= 1 / 32768


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert b.main(["--seeds", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "| start, end late by, ms | WebRtcVAD | SileroVAD | EnergyVAD |"
    assert [row.split(" | ")[0] for row in rows[2:]] == [
        "| clean",
        "| white, 20 dB",
        "| pink, 20 dB",
        "| white, 10 dB",
        "| pink, 10 dB",
    ]
