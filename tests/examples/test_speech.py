"""The speech example: the bundled recording against its known truth, noise, every WAV format, `run.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import ENGINES, Driver

import remotemedia as rm
from remotemedia import AudioFrame
from remotemedia.nodes.audio import read_wav

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "speech"
WAV = EXAMPLE / "speech.wav"
TRUTH = json.loads((EXAMPLE / "speech.truth.json").read_text(encoding="utf-8"))["segments"]
TOLERANCE_S = 0.060
SNR_DB = 20.0
FORMATS = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
RATES_HZ = (8000, 11025, 22050, 44100, 48000)

Samples = NDArray[np.float64]


def guarded_example() -> dict[str, Any]:
    """The example's manifest behind a node that watches the order of its calls."""
    manifest: dict[str, Any] = json.loads((EXAMPLE / "speech.json").read_text(encoding="utf-8"))
    manifest["nodes"].insert(0, {"id": "guard", "node_type": "Guard"})
    manifest["connections"].insert(0, {"from": "guard", "to": "frames"})
    return manifest


MANIFEST = rm.Manifest.from_dict(guarded_example())


@pytest.fixture(scope="module")
def speech() -> Samples:
    samples, rate_hz = soundfile.read(WAV)
    assert rate_hz == 16_000
    return np.asarray(samples)


def white_noise(count: int, seed: int) -> Samples:
    return np.random.default_rng(seed).standard_normal(count)


def pink_noise(count: int, seed: int, lowest_hz: float = 0.0) -> Samples:
    """Noise of RMS 1 with a power of 1/f, down to `lowest_hz` at 16 kHz."""
    rng = np.random.default_rng(seed)
    frequencies_hz = np.fft.rfftfreq(count, 1 / 16_000)
    spectrum = rng.standard_normal(len(frequencies_hz)) + 1j * rng.standard_normal(len(frequencies_hz))
    spectrum[1:] /= np.sqrt(frequencies_hz[1:])
    spectrum[0] = 0
    spectrum[frequencies_hz < lowest_hz] = 0
    noise = np.fft.irfft(spectrum, count)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


NOISES = {"pink": pink_noise, "white": white_noise}


def with_noise(speech: Samples, noise: Samples) -> Samples:
    """Add noise `SNR_DB` below the mean power of the speech itself, its pauses not counted."""
    spoken = np.concatenate([speech[round(s["start"] * 16_000) : round(s["end"] * 16_000)] for s in TRUTH])
    return np.asarray(speech + noise * np.sqrt(np.mean(spoken**2)) * 10 ** (-SNR_DB / 20))


def resampled(samples: Samples, rate_hz: int) -> Samples:
    """The same sound at another rate, by cutting or padding its spectrum."""
    count = len(samples) * rate_hz // 16_000
    return np.asarray(np.fft.irfft(np.fft.rfft(samples), count) * (count / len(samples)))


def blocks_of(samples: Samples, rate_hz: int = 16_000) -> list[AudioFrame]:
    return [AudioFrame(samples.T, rate_hz)]


def assert_is_the_truth(segments: list[dict[str, float]]) -> None:
    assert len(segments) == len(TRUTH), segments
    for found, true in zip(segments, TRUTH, strict=True):
        assert abs(found["start"] - true["start"]) <= TOLERANCE_S, (found, true)
        assert abs(found["end"] - true["end"]) <= TOLERANCE_S, (found, true)


def test_each_boundary_lies_within_60_ms_of_the_truth_in_every_mode(driver: Driver) -> None:
    segments = driver.results(MANIFEST, read_wav(WAV))
    assert_is_the_truth(segments)
    assert all(-25 < segment["level_dbfs"] < -10 for segment in segments)


@pytest.mark.parametrize("lowest_hz", [0.0, 20.0])
@pytest.mark.parametrize("seed", range(8))
def test_it_does_so_with_pink_noise_20_db_below(
    direct: Driver,
    speech: Samples,
    seed: int,
    lowest_hz: float,
) -> None:
    noisy = with_noise(speech, pink_noise(len(speech), seed, lowest_hz))
    assert_is_the_truth(direct.results(MANIFEST, blocks_of(noisy)))


@pytest.mark.parametrize("seed", range(4))
def test_it_does_so_with_white_noise_20_db_below(direct: Driver, speech: Samples, seed: int) -> None:
    noisy = with_noise(speech, white_noise(len(speech), seed))
    assert_is_the_truth(direct.results(MANIFEST, blocks_of(noisy)))


@pytest.mark.parametrize("colour", NOISES)
@pytest.mark.parametrize("level_db", [-90, -60, -40, -20, -3])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_in_noise_alone(direct: Driver, colour: str, level_db: int, seed: int) -> None:
    noise = NOISES[colour](12 * 16_000, seed)
    assert direct.results(MANIFEST, blocks_of(noise * 10 ** (level_db / 20))) == []


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("colour", NOISES)
def test_nothing_is_found_in_noise_alone_at_other_rates(direct: Driver, colour: str, rate_hz: int) -> None:
    assert direct.results(MANIFEST, blocks_of(0.05 * NOISES[colour](12 * rate_hz, 1), rate_hz)) == []


def test_nothing_is_found_in_silence_or_in_an_empty_input(direct: Driver) -> None:
    assert direct.results(MANIFEST, blocks_of(np.zeros(160_000))) == []
    assert direct.results(MANIFEST, []) == []


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", FORMATS)
def test_any_wav_gives_the_same_speech(
    direct: Driver, speech: Samples, tmp_path: Path, subtype: str, channels: int, rate_hz: int
) -> None:
    samples = resampled(speech, rate_hz)
    columns = np.stack([samples, 0.5 * samples], axis=1)[:, :channels]
    soundfile.write(tmp_path / "speech.wav", columns, rate_hz, subtype=subtype)
    assert_is_the_truth(direct.results(MANIFEST, read_wav(tmp_path / "speech.wav")))


@pytest.mark.parametrize("engine_name", ENGINES)
@given(sizes=st.lists(st.integers(0, 40_000), max_size=20))
@settings(max_examples=40)
def test_segments_do_not_depend_on_the_block_sizes(engine_name: str, sizes: list[int]) -> None:
    samples = soundfile.read(WAV)[0]
    cuts = np.minimum(np.cumsum(sizes), len(samples)).astype(int)
    blocks = [AudioFrame(piece, 16_000) for piece in np.split(samples, cuts)]
    driver = Driver(engine_name)
    assert driver.results(MANIFEST, blocks) == driver.results(MANIFEST, blocks_of(samples))


def test_the_blocks_that_came_in_are_not_written_to(direct: Driver, speech: Samples) -> None:
    block = np.stack([speech, speech], axis=1)
    before = block.copy()
    direct.results(MANIFEST, [AudioFrame(block.T, 16_000)])
    assert np.array_equal(block, before)


def test_a_segment_that_the_end_cuts_off_comes_by_flush(direct: Driver, speech: Samples) -> None:
    cut = round((TRUTH[-1]["start"] + 0.6) * 16_000)
    outcome = direct.run(MANIFEST, blocks_of(speech[:cut]))
    assert outcome.error is None
    assert len(outcome.results) == len(TRUTH)
    assert outcome.results[-1]["end"] == pytest.approx(cut / 16_000, abs=0.03)
    assert outcome.counts("segments")["flushed"] == 1


def test_every_frame_is_counted_on_its_way(direct: Driver) -> None:
    outcome = direct.run(MANIFEST, read_wav(WAV, block_frames=1000))
    blocks, frames = (-(-soundfile.info(WAV).frames // size) for size in (1000, 480))
    counts = [outcome.counts(node_id) for node_id in ("frames", "level", "voice", "segments")]
    assert [c["in"] for c in counts] == [blocks, frames, frames, frames]
    assert [c["out"] + c["flushed"] for c in counts] == [frames, frames, frames, len(TRUTH)]


def test_a_session_takes_one_recording_after_the_other(engine: str, speech: Samples) -> None:
    quiet, loud = blocks_of(speech * 0.1), blocks_of(with_noise(speech, pink_noise(len(speech), 0)))
    driver = Driver(engine)
    with driver.executor.open(MANIFEST) as session:
        in_turn = [session.run(items).results for items in (loud, quiet, loud)]
    assert in_turn == [driver.results(MANIFEST, items) for items in (loud, quiet, loud)]


def test_a_wav_source_is_the_same_as_blocks_handed_in(engine: str) -> None:
    manifest = json.loads((EXAMPLE / "speech.json").read_text(encoding="utf-8"))
    params = {"path": str(WAV), "block_ms": 70}
    manifest["nodes"].append({"id": "wav", "node_type": "WavSource", "params": params})
    manifest["connections"].append({"from": "wav", "to": "frames"})
    driver = Driver(engine)
    assert driver.results(manifest) == driver.results(MANIFEST, read_wav(WAV))


def test_a_broken_file_in_a_wav_source_is_an_error_that_names_both(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(WAV.read_bytes()[:-1])
    manifest = rm.Pipeline("broken").add("WavSource", id="wav", params={"path": str(path)}).to_manifest()
    with pytest.raises(rm.NodeError, match=r"'wav'.*broken\.wav: the WAV file is cut short") as caught:
        Driver(engine).executor.execute(manifest)
    assert caught.value.phase == "produce"
    assert isinstance(caught.value.__cause__, rm.InputError)


def test_a_broken_file_that_is_handed_in_reaches_the_caller_as_it_is(direct: Driver, tmp_path: Path) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(b"no sound")
    with pytest.raises(rm.InputError, match=r"broken\.wav: not a WAV file"):
        direct.results(MANIFEST, read_wav(path))


def test_the_bundled_recording_is_what_its_description_says() -> None:
    info = soundfile.info(WAV)
    assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
    assert WAV.stat().st_size < 300_000
    assert TRUTH[-1]["end"] < info.duration


def run_example(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(EXAMPLE / "run.py"), *map(str, arguments)]
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, check=False)


def test_run_shows_segments_items_per_node_and_the_speed_of_both_engines() -> None:
    shown = run_example("--rounds", "2")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"{len(TRUTH)} segments of speech" in shown.stdout
    lines = {line.split()[0]: line.split()[1:] for line in shown.stdout.splitlines() if line.strip()}
    assert {"frames", "level", "voice", "segments"} <= lines.keys()
    assert lines["level"] == ["296", "296", "0"]
    assert all(lines[engine][1] == "ms" for engine in ENGINES)
    assert "compiled / reference:" in shown.stdout


def test_run_gives_json_lines_of_a_file_of_the_users(tmp_path: Path, speech: Samples) -> None:
    stereo = np.stack([resampled(speech, 44_100)] * 2, axis=1)
    soundfile.write(tmp_path / "mine.wav", stereo, 44_100, subtype="PCM_24")
    shown = run_example(tmp_path / "mine.wav", "--jsonl")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert_is_the_truth([json.loads(line) for line in shown.stdout.splitlines()])


def test_run_says_what_is_wrong_with_a_file_and_fails(tmp_path: Path) -> None:
    shown = run_example(tmp_path / "none.wav")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == f"error: {tmp_path / 'none.wav'}: cannot be read: No such file or directory\n"


def test_run_says_what_is_wrong_with_a_recording_that_the_nodes_refuse(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "low.wav", np.zeros(3000), 300)
    for options in ([], ["--jsonl"]):
        shown = run_example(tmp_path / "low.wav", *options)
        assert (shown.returncode, shown.stdout) == (1, "")
        assert shown.stderr.startswith("error: node 'voice' (VoiceActivity) failed in process at item 0: ")
        assert "300 Hz" in shown.stderr
        assert len(shown.stderr.splitlines()) == 1


def test_run_shows_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    name = tmp_path / "na\udcefve.wav"
    soundfile.write(tmp_path / "a.wav", np.zeros(3000), 8000)
    (tmp_path / "a.wav").rename(name)
    shown = run_example(name, "--rounds", "1")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "na\\udcefve.wav: " in shown.stdout


@pytest.mark.parametrize("options", ["--jsonl", "--rounds 1"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_run_ends_quietly_when_its_reader_goes_away(options: str, unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-W", "error", str(EXAMPLE / "run.py"), *options.split()]
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": unbuffered}
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment, check=False, timeout=60)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("name", ["", "my talk.wav", 'it\'s a; "talk" & more.wav', "-o.wav"])
def test_make_run_hands_any_file_name_on(tmp_path: Path, name: str) -> None:
    """The Makefile with a stand-in for the program that tells its arguments."""
    stamp, program = tmp_path / "installed", tmp_path / "remotemedia"
    stamp.touch()
    program.write_text('#!/bin/sh\nfor argument; do echo "<$argument>"; done\n')
    program.chmod(0o755)
    command = ["make", "-s", "run", f"BIN={tmp_path}", f"STAMP={stamp}", "-o", str(stamp)]
    done = subprocess.run([*command, *([f"FILE={name}"] if name else [])], cwd=ROOT, capture_output=True, check=True)
    *told, page = done.stdout.decode().splitlines()
    given = name or "examples/speech/speech.wav"
    assert told == ["<run>", "<examples/speech/pipeline.yaml>", f"<--input={given}>", "<--report=report.html>"]
    assert page == f"the page: {ROOT / 'report.html'}"
