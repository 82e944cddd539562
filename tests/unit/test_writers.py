"""Nodes that write files: what is in them, and that they are whole or not there."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from media_files import tone

import remotemedia as rm
from remotemedia import AudioFrame, InputError, NodeContext, VideoFrame
from remotemedia.nodes.params import Params
from remotemedia.nodes.paths import PathTemplate
from remotemedia.nodes.pcm import PcmReader, PcmWriter, read_pcm
from remotemedia.nodes.reader import read_media
from remotemedia.nodes.unfinished import UnfinishedFile
from remotemedia.nodes.wav_nodes import WavReader, WavWriter
from remotemedia.nodes.writer import CONTAINERS, MediaWriter

RATE_HZ = 48_000
WRITERS: list[tuple[type[Any], str]] = [
    (WavWriter, "a.wav"),
    (MediaWriter, "a.flac"),
    (MediaWriter, "a.mp4"),
    (PcmWriter, "a.raw"),
]


def made(node_class: type[Any], **params: Any) -> Any:
    node = node_class()
    node.initialize(NodeContext("n1", node_class.__name__, params))
    return node


def frames(samples: Any, size: int = 7000, start_ns: int = 0, rate_hz: int = RATE_HZ) -> list[AudioFrame]:
    samples = np.atleast_2d(samples)
    starts = range(0, samples.shape[1], size)
    return [AudioFrame(samples[:, at : at + size], rate_hz, start_ns + round(at * 1e9 / rate_hz)) for at in starts]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestAllWriters:
    @pytest.mark.parametrize(("node_class", "name"), WRITERS)
    def test_the_name_is_there_when_the_file_is_whole(self, tmp_path: Path, node_class: type[Any], name: str) -> None:
        path = tmp_path / name
        path.write_text("old")
        node = made(node_class, path=str(path))
        for frame in frames(tone(0.5, RATE_HZ)):
            assert node.process(frame) is None
        assert path.read_text() == "old"
        (told,) = node.flush()
        assert told["path"] == str(path)
        assert told["bytes"] == path.stat().st_size > 3
        assert names(tmp_path) == [name]
        assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()
        node.cleanup()
        assert names(tmp_path) == [name]

    @pytest.mark.parametrize(("node_class", "name"), WRITERS)
    def test_what_ends_early_leaves_the_old_file_and_nothing_else(
        self, tmp_path: Path, node_class: type[Any], name: str, engine: str
    ) -> None:
        path = tmp_path / name
        path.write_text("old")

        def broken() -> Any:
            yield from frames(tone(0.2, RATE_HZ))
            raise OSError("the microphone is gone")

        registry = rm.NodeRegistry()
        manifest = rm.Pipeline("w").add(node_class.__name__, params={"path": str(path)}).to_manifest()
        with pytest.raises(OSError, match="microphone"):
            rm.Executor(registry, engine=engine).execute_with_input(manifest, broken())
        assert names(tmp_path) == [name]
        assert path.read_text() == "old"
        with rm.Executor(engine=engine).open(manifest) as session:
            session.process(frames(tone(0.2, RATE_HZ))[0])
        assert names(tmp_path) == [name]
        assert path.read_text() == "old"

    @pytest.mark.parametrize(("node_class", "name"), WRITERS)
    def test_each_recording_of_a_session_takes_the_place_of_the_one_before(
        self, tmp_path: Path, node_class: type[Any], name: str, engine: str
    ) -> None:
        manifest = rm.Pipeline("w").add(node_class.__name__, params={"path": str(tmp_path / name)}).to_manifest()
        with rm.Executor(engine=engine).open(manifest) as session:
            sizes = [session.run(frames(tone(s, RATE_HZ))).results[0]["bytes"] for s in (0.5, 2.0)]
        assert sizes[1] > sizes[0]
        assert (tmp_path / name).stat().st_size == sizes[1]
        assert names(tmp_path) == [name]

    @pytest.mark.parametrize(("node_class", "name"), WRITERS)
    def test_without_items_no_file_is_made(self, tmp_path: Path, node_class: type[Any], name: str) -> None:
        node = made(node_class, path=str(tmp_path / name))
        assert not node.flush()
        node.cleanup()
        assert names(tmp_path) == []

    @pytest.mark.parametrize("policy", ["stop", "skip"])
    @pytest.mark.parametrize(("node_class", "name"), WRITERS)
    def test_a_full_disk_is_told_by_the_file_and_leaves_the_old_one(
        self, tmp_path: Path, node_class: type[Any], name: str, policy: str
    ) -> None:
        """In a process of its own, whose files may have 20 kB: the system refuses more as a full disk does."""
        resource = pytest.importorskip("resource")
        (tmp_path / name).write_text("old")
        code = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import numpy as np, remotemedia as rm
sounds = np.random.default_rng(0).uniform(-1, 1, (10, 2, 48000)).astype(np.float32)
frames = [rm.AudioFrame(sound, 48000, n * 10**9) for n, sound in enumerate(sounds)]
manifest = rm.Pipeline("w").add({node_class.__name__!r}, params={{"path": {str(tmp_path / name)!r}}}).to_manifest()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    rm.Executor().execute_with_input(manifest, frames, error_policy=sys.argv[1])
except rm.NodeError as error:
    print(error)
"""
        assert resource
        import subprocess

        command = [sys.executable, "-c", code, policy]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert "cannot be written: File too large" in done.stdout
        assert name in done.stdout
        assert names(tmp_path) == [name]
        assert (tmp_path / name).read_text() == "old"

    @pytest.mark.parametrize(("node_class", "name"), WRITERS)
    def test_a_folder_in_its_place_and_one_that_cannot_be_made(
        self, tmp_path: Path, node_class: type[Any], name: str
    ) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / "file").write_text("")
        for path in (tmp_path / name, tmp_path / "file" / name):
            with pytest.raises(OSError, match=rf"cannot be written: .*{re.escape(name)}"):
                made(node_class, path=str(path)).process(frames(tone(0.1))[0])

    @pytest.mark.parametrize(("node_class", "name"), WRITERS)
    def test_what_is_no_frame_and_what_changes_midway(self, tmp_path: Path, node_class: type[Any], name: str) -> None:
        node = made(node_class, path=str(tmp_path / name))
        with pytest.raises(TypeError, match=f"{node_class.__name__} takes AudioFrame"):
            node.process(np.zeros(3))
        node.process(frames(tone(0.1, RATE_HZ))[0])
        for other in (AudioFrame(tone(0.1), 8000), AudioFrame(np.zeros((2, 10), np.float32), RATE_HZ)):
            with pytest.raises(ValueError, match=r"rate and number of channels|cannot tell that they"):
                node.process(other)
        node.cleanup()

    def test_folders_are_made(self, tmp_path: Path) -> None:
        node = made(WavWriter, path=str(tmp_path / "a" / "b" / "c.wav"))
        node.process(frames(tone(0.1))[0])
        node.flush()
        assert (tmp_path / "a" / "b" / "c.wav").exists()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class TestWavWriter:
    @pytest.mark.parametrize(("sample_format", "step"), [("int16", 2**-15), ("int24", 2**-23), ("int32", 2**-31)])
    @pytest.mark.parametrize("channels", [1, 2, 6])
    def test_what_was_written_is_read_back(
        self, tmp_path: Path, sample_format: str, step: float, channels: int
    ) -> None:
        samples = np.random.default_rng(0).uniform(-1, 1, (channels, 1000)).astype(np.float64)
        samples[:, :3] = (1.0, -1.0, 2.0)
        node = made(WavWriter, path=str(tmp_path / "a.wav"), sample_format=sample_format)
        for frame in frames(samples, 300, 5 * 10**9):
            node.process(frame)
        assert node.flush()[0] | {"bytes": 0} == {
            "path": str(tmp_path / "a.wav"), "start": 5.0, "end": round(5 + 1000 / RATE_HZ, 3), "bytes": 0,
        }  # fmt: skip
        found, rate_hz = soundfile.read(tmp_path / "a.wav", always_2d=True)
        assert rate_hz == RATE_HZ
        np.testing.assert_allclose(found.T, np.clip(samples, -1, 1 - step), atol=0.51 * step)

    def test_int16_goes_through_to_the_bit(self, tmp_path: Path) -> None:
        samples = np.arange(-32768, 32768, dtype=np.int16)
        for name, sample_format in (("a.wav", "int16"), ("b.wav", "int24"), ("c.wav", "int32")):
            node = made(WavWriter, path=str(tmp_path / name), sample_format=sample_format)
            node.process(AudioFrame(samples, 8000))
            node.flush()
            assert np.array_equal(soundfile.read(tmp_path / name, dtype="int16")[0], samples)

    def test_each_item_becomes_a_file_of_its_own(self, tmp_path: Path, direct: Any) -> None:
        pipeline = rm.Pipeline("clips").add("WavWriter", params={"path": f"{tmp_path}/clip-{{index:03d}}.wav"})
        told = direct.results(pipeline.to_manifest(), frames(tone(0.5, RATE_HZ), 9000, 10**9))
        assert [Path(t["path"]).name for t in told] == [f"clip-{n:03}.wav" for n in range(3)] == names(tmp_path)
        assert [(t["start"], t["end"]) for t in told] == [(1.0, 1.188), (1.188, 1.375), (1.375, 1.5)]
        assert sum(len(soundfile.read(t["path"])[0]) for t in told) == 24_000

    def test_nan_and_4_gib_are_refused(self, tmp_path: Path, monkeypatch: Any) -> None:
        node = made(WavWriter, path=str(tmp_path / "a.wav"))
        with pytest.raises(ValueError, match="NaN"):
            node.process(AudioFrame(np.array([np.nan], np.float32), 8000))
        monkeypatch.setattr("remotemedia.nodes.wav_nodes.MOST_BYTES", 1000)
        node.process(AudioFrame(np.zeros(500, np.int16), 8000))
        with pytest.raises(ValueError, match="4 GiB at most"):
            node.process(AudioFrame(np.zeros(1, np.int16), 8000))
        node.cleanup()
        assert names(tmp_path) == []

    @pytest.mark.parametrize(
        ("path", "fault"),
        [
            ("{}.wav", "may hold {index}"), ("{index!r}.wav", "no other braces"), ("{index.real}", "no other braces"),
            ("{index:>10}", "no other braces"), ("{index:1000d}", "no other braces"), ("a\0.wav", "NUL"),
            ("", "that is not empty"),
            ("{other}", "no other braces"), ("{{index}}", "no other braces"),
        ],
    )  # fmt: skip
    def test_templates_hold_the_number_and_nothing_else(self, path: str, fault: str) -> None:
        with pytest.raises(ValueError, match=re.escape(fault)):
            made(WavWriter, path=path)

    def test_template_paths(self) -> None:
        def path(template: str, index: int) -> str:
            params = Params(NodeContext("n", "N", {"path": template}), {"path": ""})
            return PathTemplate(params, "path").path(index)

        assert path("a{index}b{index:03d}c{index:2}", 7) == "a7b007c07"
        assert path("{index:03d}", 12345) == "12345"


class TestWavReader:
    @pytest.mark.parametrize("node_type", ["WavReader", "WavSource"])
    @pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
    @pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
    def test_what_libsndfile_wrote_is_read_as_libsndfile_reads_it(
        self, tmp_path: Path, direct: Any, node_type: str, subtype: str, endian: str
    ) -> None:
        samples = np.random.default_rng(0).uniform(-1, 1, (1000, 3))
        soundfile.write(tmp_path / "a.wav", samples, 11_025, subtype=subtype, endian=endian)
        expected = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
        pipeline = rm.Pipeline("r").add(node_type, params={"path": str(tmp_path / "a.wav"), "block_ms": 30})
        found = direct.run(pipeline.to_manifest()).results
        assert np.array_equal(np.concatenate([f.samples for f in found], axis=1).T, expected)
        assert {f.sample_rate for f in found} == {11_025}

    def test_what_follows_the_samples_is_no_sound(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "a.wav", tone(0.1), 16_000)
        with (tmp_path / "a.wav").open("ab") as file:
            file.write(b"LIST\x04\0\0\0abcd")
        assert sum(f.sample_count for f in made(WavReader, path=str(tmp_path / "a.wav")).produce()) == 1600


class TestMediaWriter:
    @pytest.mark.parametrize("suffix", CONTAINERS)
    @pytest.mark.parametrize("dtype", [np.float32, np.int16, np.float64])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_every_kind_of_file_is_read_back(self, tmp_path: Path, suffix: str, dtype: Any, channels: int) -> None:
        samples = np.stack([tone(1.0, RATE_HZ, 0.3)] * channels)
        given = (samples * 32767).astype(dtype) if dtype == np.int16 else samples.astype(dtype)
        node = made(MediaWriter, path=str(tmp_path / f"a{suffix}"))
        for frame in frames(given, 7000, 3 * 10**9):
            node.process(frame)
        (told,) = node.flush()
        assert (told["start"], told["end"]) == (3.0, 4.0)
        with read_media(told["path"]) as media:
            found = np.concatenate([f.samples for f in media], axis=1)
        assert found.shape[0] == channels
        assert found.shape[1] == pytest.approx(RATE_HZ, abs=1100)
        middle = slice(20_000, 28_000)
        assert np.abs(found[:, middle] - samples[:, middle]).mean() < 0.02

    def test_lossless_files_hold_the_very_samples(self, tmp_path: Path) -> None:
        samples = np.random.default_rng(0).integers(-32768, 32768, (2, 10_000)).astype(np.int16)
        for suffix in (".wav", ".flac"):
            node = made(MediaWriter, path=str(tmp_path / f"a{suffix}"))
            for frame in frames(samples, 999):
                node.process(frame)
            node.flush()
            with read_media(tmp_path / f"a{suffix}", sample_format="int16") as media:
                assert np.array_equal(np.concatenate([f.samples for f in media], axis=1), samples)

    def test_sound_and_pictures_in_one_file(self, tmp_path: Path) -> None:
        node = made(MediaWriter, path=str(tmp_path / "a.mp4"), streams="both", fps=10)
        sound = tone(2.0, RATE_HZ, 0.3)
        for n in range(20):
            node.process(VideoFrame(np.full((48, 64, 3), 10 * n, np.uint8), 10**9 + n * 100_000_000))
            node.process(AudioFrame(sound[n * 4800 : (n + 1) * 4800], RATE_HZ, 10**9 + n * 100_000_000))
        assert node.flush()[0] | {"bytes": 0, "path": ""} == {"path": "", "start": 1.0, "end": 3.0, "bytes": 0}
        with read_media(tmp_path / "a.mp4", video=True) as media:
            found = list(media)
        pictures = [f for f in found if isinstance(f, VideoFrame)]
        assert [f.pts_ns // 10**6 for f in pictures] == [100 * n for n in range(20)]
        assert [round(f.array.mean() / 10) for f in pictures] == list(range(20))
        heard = np.concatenate([f.samples for f in found if isinstance(f, AudioFrame)], axis=1)
        assert np.abs(heard[0, 40_000:50_000] - sound[40_000:50_000]).mean() < 0.02

    def test_sound_that_begins_after_the_pictures_begins_there(self, tmp_path: Path) -> None:
        node = made(MediaWriter, path=str(tmp_path / "a.mkv"), streams="both", fps=10)
        for n in range(10):
            node.process(VideoFrame(np.zeros((48, 64, 3), np.uint8), n * 100_000_000))
            if n >= 5:
                node.process(AudioFrame(tone(0.1, RATE_HZ), RATE_HZ, n * 100_000_000))
        node.flush()
        with read_media(tmp_path / "a.mkv") as media:
            assert next(media).pts_ns == pytest.approx(5e8, abs=2e7)

    def test_audio_that_pauses_beside_a_film_goes_on_where_it_should(self, tmp_path: Path) -> None:
        for suffix in (".mp4", ".mkv"):
            node = made(MediaWriter, path=str(tmp_path / f"a{suffix}"), streams="both", fps=10)
            for n in range(40):
                node.process(VideoFrame(np.zeros((48, 64, 3), np.uint8), n * 100_000_000))
                if n < 3 or n >= 30:
                    node.process(AudioFrame(tone(0.1, RATE_HZ), RATE_HZ, n * 100_000_000))
            node.flush()
            with read_media(tmp_path / f"a{suffix}") as media:
                heard = np.concatenate([f.samples for f in media], axis=1)[0]
            loud = np.abs(heard) > 0.2
            assert heard.shape[0] == pytest.approx(4 * RATE_HZ, abs=2100)
            assert loud[: int(0.29 * RATE_HZ)].mean() > 0.3
            assert not loud[int(0.35 * RATE_HZ) : int(2.95 * RATE_HZ)].any()
            assert loud[int(3.05 * RATE_HZ) :].mean() > 0.3

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
    def test_whichever_begins_first_both_keep_their_times(self, tmp_path: Path, suffix: str) -> None:
        node = made(MediaWriter, path=str(tmp_path / f"a{suffix}"), streams="both", fps=10)
        node.process(AudioFrame(tone(0.5, RATE_HZ), RATE_HZ, 200_000_000))
        for n in range(10):
            node.process(VideoFrame(np.zeros((48, 64, 3), np.uint8), n * 100_000_000))
        assert node.flush()[0]["start"] == 0.0
        with read_media(tmp_path / f"a{suffix}", video=True) as media:
            found = list(media)
        assert next(f for f in found if isinstance(f, VideoFrame)).pts_ns == pytest.approx(0, abs=3e6)
        assert next(f for f in found if isinstance(f, AudioFrame)).pts_ns == pytest.approx(2e8, abs=2.5e7)

    @pytest.mark.parametrize("suffix", [".mkv", ".webm", ".opus", ".m4a"])
    @pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 44_100])
    def test_at_every_rate_as_much_comes_back(self, tmp_path: Path, suffix: str, rate_hz: int) -> None:
        node = made(MediaWriter, path=str(tmp_path / f"a{suffix}"))
        node.process(AudioFrame(tone(1.0, rate_hz), rate_hz))
        node.flush()
        with read_media(tmp_path / f"a{suffix}") as media:
            assert sum(f.duration_s for f in media) == pytest.approx(1.0, abs=0.13 if suffix == ".m4a" else 1e-3)

    @pytest.mark.parametrize(
        ("name", "params", "item"),
        [
            ("e.wav", {}, AudioFrame(np.zeros((9, 10), np.float32), 8000)),
            ("f.wav", {}, AudioFrame(np.zeros(0, np.float32), 8000)),
            ("g.wav", {"audio_codec": "libopus"}, AudioFrame(tone(0.5), 16_000)),
            ("h.flac", {"audio_codec": "libmp3lame"}, AudioFrame(tone(0.5), 16_000)),
            ("i.opus", {}, AudioFrame(np.zeros(1000, np.float32), 10_000_000)),
            ("j.flac", {}, AudioFrame(np.zeros(1000, np.float32), 10_000_000)),
            ("k.wav", {}, AudioFrame(np.array([np.inf, 1], np.float32), 8000)),
        ],
    )
    def test_what_cannot_be_written_never_takes_the_place_of_a_file(
        self, tmp_path: Path, name: str, params: dict[str, Any], item: AudioFrame, engine: str
    ) -> None:
        (tmp_path / name).write_text("old")
        manifest = rm.Pipeline("w").add("MediaWriter", params={"path": str(tmp_path / name), **params}).to_manifest()
        result = None
        with contextlib.suppress(rm.NodeError):
            result = rm.Executor(engine=engine).execute_with_input(manifest, [item], error_policy="collect")
        if result is not None and result.results:
            with read_media(tmp_path / name) as media:
                assert list(media)
        else:
            assert (tmp_path / name).read_text() == "old"
        assert names(tmp_path) == [name]

    @pytest.mark.parametrize(
        ("params", "fault"),
        [
            ({"path": "a.xyz"}, "param 'path' must end in one of .wav, .flac"),
            ({"path": "a"}, "param 'path' must end in one of"),
            ({}, "param 'path' is missing"),
            ({"path": "a.mp3", "streams": "both"}, "param 'streams' must be 'audio': a .mp3 file holds no video"),
            (
                {"path": "a.mp4", "audio_codec": "no"},
                "param 'audio_codec' must be the name of an FFmpeg encoder of audio",
            ),
            (
                {"path": "a.mp4", "audio_codec": "libx264"},
                "param 'audio_codec' must be the name of an FFmpeg encoder of",
            ),
            ({"path": "a.mp4", "fps": 0}, "param 'fps' must be a number above 0"),
        ],
    )
    def test_wrong_params(self, params: dict[str, Any], fault: str) -> None:
        with pytest.raises(ValueError, match=re.escape(fault)):
            made(MediaWriter, **params)

    def test_what_a_file_cannot_hold_is_told(self, tmp_path: Path) -> None:
        nodes = []

        def node(**params: Any) -> Any:
            nodes.append(made(MediaWriter, path=str(tmp_path / "a.mp4"), **params))
            return nodes[-1]

        sound, odd = frames(tone(0.1))[0], VideoFrame(np.zeros((47, 64, 3), np.uint8))
        with pytest.raises(ValueError, match="wants an even width and height, not 64 x 47"):
            node().process(odd)
        film = node()
        film.process(VideoFrame(np.zeros((48, 64, 3), np.uint8), 5))
        with pytest.raises(ValueError, match="the times of pictures must rise"):
            film.process(VideoFrame(np.zeros((48, 64, 3), np.uint8), 5))
        with pytest.raises(ValueError, match="all pictures of a file have one size"):
            film.process(VideoFrame(np.zeros((50, 64, 3), np.uint8), 10**9))
        with pytest.raises(ValueError, match="the file is of video alone, and this frame of audio: set"):
            film.process(sound)
        with pytest.raises(ValueError, match="1 to 8 channels, not 9"):
            node().process(AudioFrame(np.zeros((9, 10), np.float32), 8000))
        alone = node(streams="both")
        alone.process(sound)
        with pytest.raises(ValueError, match="no video frames came: set 'streams' to 'audio'"):
            alone.flush()
        for each in nodes:
            each.cleanup()
        assert names(tmp_path) == []


class Piped(io.RawIOBase):
    """Gives bytes in pieces of any size, as a pipe does."""

    def __init__(self, data: bytes, size: int) -> None:
        self.data, self.size = data, size

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        part, self.data = self.data[: min(count, self.size)], self.data[min(count, self.size) :]
        return part


class TestPcm:
    SAMPLES = np.arange(-500, 500, dtype=np.int16).reshape(2, 500)

    @pytest.mark.parametrize("size", [1, 3, 64, 10_000])
    @pytest.mark.parametrize(("pcm_format", "dtype"), [("s16le", "<i2"), ("f32le", "<f4")])
    def test_frames_of_a_fixed_length_whatever_the_pipe_gives(self, size: int, pcm_format: str, dtype: str) -> None:
        data = self.SAMPLES.T.astype(dtype).tobytes()
        found = list(read_pcm(Piped(data, size), 8000, 2, pcm_format, 20))  # type: ignore[arg-type]
        assert [f.sample_count for f in found] == [160, 160, 160, 20]
        assert [f.pts_ns for f in found] == [0, 20_000_000, 40_000_000, 60_000_000]
        assert np.array_equal(np.concatenate([f.samples for f in found], axis=1), self.SAMPLES)

    @pytest.mark.parametrize(
        ("data", "kind", "message"),
        [
            (b"abc", (8000, 1, "s16le"), "1 bytes are left at the end, no whole sample of 1 x 2 bytes"),
            (np.array([0, np.nan], "<f4").tobytes(), (8000, 1, "f32le"), "NaN or infinity after 0.000 s"),
        ],
    )
    def test_what_is_no_sound(self, data: bytes, kind: Any, message: str) -> None:
        with pytest.raises(InputError, match=message):
            list(read_pcm(io.BytesIO(data), *kind))

    @pytest.mark.parametrize(("rate", "channels"), [(0, 1), (8000, 0), (10**8, 1), (8000, 300)])
    def test_rates_and_channels_that_are_none_are_refused_at_once(self, rate: int, channels: int) -> None:
        with pytest.raises(ValueError, match=r"sample_rate|samples must have shape"):
            read_pcm(io.BytesIO(b""), rate, channels)

    def test_nodes_read_and_write_files(self, tmp_path: Path, direct: Any) -> None:
        (tmp_path / "in").write_bytes(self.SAMPLES.T.astype("<i2").tobytes())
        reader = {"path": str(tmp_path / "in"), "sample_rate": 8000, "channels": 2}
        pipeline = (
            rm.Pipeline("p").add("PcmReader", params=reader).add("PcmWriter", params={"path": str(tmp_path / "out")})
        )
        (told,) = direct.run(pipeline.to_manifest()).results
        assert told == {"path": str(tmp_path / "out"), "duration_s": 500 / 8000, "bytes": 2000}
        assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()

    def test_standard_input_and_output(self, monkeypatch: Any) -> None:
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(self.SAMPLES.tobytes())))
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=out))
        reader, writer = made(PcmReader, sample_rate=8000), made(PcmWriter)
        for frame in reader.produce():
            writer.process(frame)
        assert writer.flush() is None
        assert out.getvalue() == self.SAMPLES.tobytes()

    def test_params(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="param 'sample_rate' is missing: raw samples do not tell it"):
            made(PcmReader)
        with pytest.raises(InputError, match="none: cannot be read"):
            list(made(PcmReader, path=str(tmp_path / "none"), sample_rate=8000).produce())


class TestUnfinishedFile:
    def test_a_link_is_followed_and_stays_one(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "target").write_text("old")
        (tmp_path / "link").symlink_to(tmp_path / "folder" / "target")
        file = UnfinishedFile(tmp_path / "link")
        file.write(b"new")
        assert (tmp_path / "link").read_text() == "old"
        file.finish()
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "folder" / "target").read_text() == "new"
        assert names(tmp_path / "folder") == ["target"]

    def test_the_mode_of_a_file_stays(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("old")
        (tmp_path / "a").chmod(0o600)
        file = UnfinishedFile(tmp_path / "a")
        file.finish()
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(("node_class", "name"), WRITERS)
    def test_a_pipe_is_refused_and_stays_one(self, tmp_path: Path, node_class: type[Any], name: str) -> None:
        os.mkfifo(tmp_path / name)
        with pytest.raises(OSError, match="it is a pipe or a device, and no file"):
            made(node_class, path=str(tmp_path / name)).process(frames(tone(0.1))[0])
        assert (tmp_path / name).is_fifo()

    def test_what_failed_once_is_never_put_in_place(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("old")
        file = UnfinishedFile(tmp_path / "a")
        file.write(b"first")
        file.file.close()
        if not os.path.exists("/dev/full"):
            pytest.skip("there is no /dev/full here")
        file.file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
        for _ in range(2):
            with pytest.raises(OSError, match="cannot be written: No space left"):
                file.write(b"second")
        with pytest.raises(OSError, match="cannot be written: No space left"):
            file.finish()
        assert names(tmp_path) == ["a"]
        assert (tmp_path / "a").read_text() == "old"
