"""Reading media: what comes out, where it begins and ends, and what a bad file leads to."""

from __future__ import annotations

import io
import itertools
import os
import random
import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from media_files import FPS, RATE_HZ, level_of, tone, write_media

import remotemedia as rm
from remotemedia import AudioFrame, InputError, NodeContext, VideoFrame
from remotemedia.nodes.reader import MediaReader, read_media

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def audio_of(source: Any, **options: Any) -> list[AudioFrame]:
    with read_media(source, **options) as media:
        frames = list(media)
    assert all(isinstance(frame, AudioFrame) for frame in frames)
    return frames  # type: ignore[return-value]


def joined(frames: list[AudioFrame]) -> NDArray[Any]:
    return np.concatenate([frame.samples for frame in frames], axis=1)


def without_gaps(frames: list[AudioFrame]) -> bool:
    return all(abs(a.end_ns - b.pts_ns) <= 1 for a, b in itertools.pairwise(frames))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film, and the same tone as files of several kinds."""
    path = tmp_path_factory.mktemp("media")
    write_media(path / "film.mp4", seconds=2.0)
    write_media(path / "silent.mkv", audio=False, seconds=2.0)
    for name, codec in (("a.flac", "flac"), ("a.wav", "pcm_s16le"), ("f.wav", "pcm_f32le"), ("u.wav", "pcm_u8")):
        write_media(path / name, video=False, seconds=2.0, codec=codec)
    write_media(path / "s.wav", video=False, seconds=2.0, codec="pcm_s32le", channels=2)
    write_media(path / "a.mp3", video=False, seconds=2.0, codec="libmp3lame")
    write_media(path / "a.m4a", video=False, seconds=2.0, codec="aac")
    write_media(path / "a.opus", video=False, seconds=2.0, codec="libopus", rate_hz=48_000)
    return path


class TestAudio:
    @pytest.mark.parametrize(
        ("name", "tolerance"),
        [("a.flac", 4e-5), ("a.wav", 4e-5), ("f.wav", 1e-7), ("u.wav", 8e-3), ("s.wav", 1e-7)],
    )
    @pytest.mark.parametrize("sample_format", ["float32", "int16"])
    def test_samples_are_those_that_were_written(
        self, folder: Path, name: str, tolerance: float, sample_format: str
    ) -> None:
        frames = audio_of(folder / name, sample_format=sample_format)
        samples = joined(frames)
        assert samples.dtype == sample_format
        if sample_format == "int16":
            samples, tolerance = samples / 32768, tolerance + 4e-5
        assert samples.shape == (2 if name == "s.wav" else 1, 2 * RATE_HZ)
        np.testing.assert_allclose(samples, np.broadcast_to(tone(2.0), samples.shape), atol=tolerance)
        assert not any(frame.samples.flags.writeable for frame in frames)

    @pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.opus", "film.mp4"])
    def test_what_a_codec_puts_before_the_first_sample_is_taken_off(self, folder: Path, name: str) -> None:
        frames = audio_of(folder / name)
        samples = joined(frames)[0]
        expected = tone(2.0, frames[0].sample_rate)
        assert frames[0].pts_ns == 0
        assert without_gaps(frames)
        middle = slice(len(expected) // 4, len(expected) // 2)
        # shifted by one sample the tone differs from itself by 0.055 at 16 kHz, 0.018 at 48 kHz
        assert np.abs(samples[middle] - expected[middle]).mean() < (0.03 if frames[0].sample_rate < 48_000 else 0.01)

    def test_frames_are_of_100_ms_or_as_the_codec_cuts_them(self, folder: Path) -> None:
        assert {f.sample_count for f in audio_of(folder / "a.flac", block_ms=0)[:-1]} == {1152}
        lengths = [f.sample_count for f in audio_of(folder / "a.m4a")]
        assert all(1600 <= length < 1600 + 1024 for length in lengths[:-1])
        whole = audio_of(folder / "a.m4a", block_ms=1e6)
        assert len(whole) == 1
        np.testing.assert_array_equal(joined(whole), joined(audio_of(folder / "a.m4a")))

    @pytest.mark.parametrize("name", ["a.flac", "a.wav", "a.m4a", "film.mp4"])
    @pytest.mark.parametrize(("start_s", "duration_s"), [(0.0, 0.5), (0.5003, 0.25), (1.9, 5.0), (1.0, None)])
    def test_a_part_is_cut_to_the_sample(
        self, folder: Path, name: str, start_s: float, duration_s: float | None
    ) -> None:
        whole = joined(audio_of(folder / name))
        frames = audio_of(folder / name, start_s=start_s, duration_s=duration_s)
        begin = round(start_s * RATE_HZ)
        end = None if duration_s is None else begin + round(duration_s * RATE_HZ)
        assert frames[0].pts_ns == pytest.approx(start_s * 1e9, abs=1e9 / RATE_HZ)
        assert without_gaps(frames)
        expected = whole[:, begin:end]
        assert joined(frames).shape == expected.shape
        np.testing.assert_allclose(joined(frames), expected, atol=1e-3)

    def test_a_start_behind_the_end_gives_nothing(self, folder: Path) -> None:
        assert audio_of(folder / "a.flac", start_s=100) == []

    def test_the_clock_of_a_stream_that_begins_late_begins_at_0(self, folder: Path, tmp_path: Path) -> None:
        with av.open(str(folder / "a.m4a")) as source, av.open(str(tmp_path / "late.mkv"), "w") as target:
            stream = target.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(source.streams.audio[0]):
                if packet.pts is not None:
                    packet.pts += 160_000
                    packet.dts = packet.pts
                    packet.stream = stream
                    target.mux(packet)
        frames = audio_of(tmp_path / "late.mkv")
        assert frames[0].pts_ns == 0
        assert without_gaps(frames)

    def test_a_gap_in_the_file_is_a_gap_in_the_times(self, folder: Path, tmp_path: Path) -> None:
        with av.open(str(folder / "a.m4a")) as source, av.open(str(tmp_path / "gap.mkv"), "w") as target:
            stream = target.add_stream_from_template(source.streams.audio[0])
            for number, packet in enumerate(source.demux(source.streams.audio[0])):
                if packet.pts is not None:
                    packet.pts += 16_000 if number >= 10 else 0
                    packet.dts = packet.pts
                    packet.stream = stream
                    target.mux(packet)
        frames = audio_of(tmp_path / "gap.mkv")
        gaps = [b.pts_ns - a.end_ns for a, b in itertools.pairwise(frames) if b.pts_ns - a.end_ns > 1]
        assert gaps == [pytest.approx(1e9, abs=2e6)]

    def test_it_tells_how_long_the_file_is_and_how_far_it_came(self, folder: Path) -> None:
        media = read_media(folder / "a.flac")
        assert (media.duration_ns, media.position_ns, media.has_audio, media.has_video) == (2 * 10**9, 0, True, False)
        next(media)
        assert 0 < media.position_ns < 10**9
        list(media)
        assert media.position_ns == 2 * 10**9
        assert read_media(folder / "film.mp4").has_video

    def test_a_stream_that_changes_its_rate_goes_on_at_the_new_one(self, tmp_path: Path) -> None:
        """Two Opus-free pieces behind each other: MPEG-TS, whose AAC frames tell their rate each."""
        pieces = []
        for number, rate_hz in enumerate((16_000, 32_000)):
            write_media(tmp_path / f"{number}.aac", video=False, seconds=0.5, rate_hz=rate_hz)
            pieces.append((tmp_path / f"{number}.aac").read_bytes())
        (tmp_path / "both.aac").write_bytes(b"".join(pieces))
        frames = audio_of(tmp_path / "both.aac", on_corrupt="skip")
        assert [rate for rate in (16_000, 32_000) if rate in {f.sample_rate for f in frames}] == [16_000, 32_000]
        assert all(f.sample_rate == 16_000 for f in frames[:4])
        resampled = rm.Pipeline("r").add("Resample", params={"sample_rate": 8000}).run(frames).results
        assert {f.sample_rate for f in resampled} == {8000}
        assert sum(f.sample_count for f in resampled) == pytest.approx(8000, abs=1500)


class TestVideo:
    def test_pictures_come_in_order_with_their_times(self, folder: Path) -> None:
        with read_media(folder / "silent.mkv", audio=False, video=True) as media:
            frames = list(media)
        assert [f.pts_ns for f in frames] == [round(n * 1e9 / FPS) for n in range(2 * FPS)]
        for number, frame in enumerate(frames):
            assert isinstance(frame, VideoFrame)
            assert (frame.format, frame.array.shape) == ("rgb24", (48, 64, 3))
            assert frame.array.mean() == pytest.approx(level_of(number), abs=4)

    def test_a_part_of_a_film(self, folder: Path) -> None:
        with read_media(folder / "silent.mkv", audio=False, video=True, start_s=0.55, duration_s=0.5) as media:
            assert [f.pts_ns // 10**6 for f in media] == [600, 700, 800, 900, 1000]

    def test_sound_and_pictures_come_in_order_of_time(self, folder: Path) -> None:
        with read_media(folder / "film.mp4", video=True) as media:
            frames = list(media)
        assert [f.pts_ns for f in frames] == sorted(f.pts_ns for f in frames)
        assert sum(isinstance(f, VideoFrame) for f in frames) == 2 * FPS
        sound = [f for f in frames if isinstance(f, AudioFrame)]
        np.testing.assert_array_equal(joined(sound), joined(audio_of(folder / "film.mp4")))

    def test_what_is_not_said_is_taken_if_it_is_there(self, folder: Path) -> None:
        for audio, video, kinds in ((None, None, {AudioFrame}), (None, True, {AudioFrame, VideoFrame})):
            with read_media(folder / "film.mp4", audio=audio, video=video) as media:
                assert {type(f) for f in media} == kinds
        with read_media(folder / "silent.mkv", audio=None, video=None) as media:
            assert {type(f) for f in media} == {VideoFrame}

    def test_video_without_audio_is_told(self, folder: Path) -> None:
        with pytest.raises(InputError, match=r"silent\.mkv: has no audio to decode; it holds video"):
            read_media(folder / "silent.mkv")
        with pytest.raises(InputError, match=r"a\.flac: has no video to decode; it holds audio"):
            read_media(folder / "a.flac", audio=False, video=True)
        with pytest.raises(InputError, match="nothing to decode"):
            read_media(folder / "a.flac", audio=False, video=None)

    def test_the_picture_on_a_cover_is_no_video(self, folder: Path, tmp_path: Path) -> None:
        picture = av.CodecContext.create("mjpeg", "w")
        picture.width, picture.height, picture.pix_fmt = 16, 16, "yuvj420p"
        picture.time_base = Fraction(1, 25)
        image = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 200, np.uint8), format="rgb24")
        packets = picture.encode(image.reformat(format="yuvj420p"))
        with av.open(str(folder / "a.mp3")) as source, av.open(str(tmp_path / "cover.mp3"), "w") as target:
            sound = target.add_stream_from_template(source.streams.audio[0])
            cover = target.add_stream("mjpeg", rate=25)
            cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            for packet in packets:
                packet.stream = cover
                target.mux(packet)
            for packet in source.demux(source.streams.audio[0]):
                if packet.pts is not None:
                    packet.stream = sound
                    target.mux(packet)
        media = read_media(tmp_path / "cover.mp3", audio=None, video=None)
        assert (media.has_audio, media.has_video) == (True, False)


class Sparse(io.RawIOBase):
    """A WAV file that is made as it is read: silence of any length, in no memory."""

    def __init__(self, seconds: int, rate_hz: int = 8000) -> None:
        size = seconds * rate_hz * 2
        head = b"RIFF" + (size + 36).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
        head += b"\1\0\1\0" + rate_hz.to_bytes(4, "little") + (2 * rate_hz).to_bytes(4, "little") + b"\2\0\x10\0"
        self.head = head + b"data" + size.to_bytes(4, "little")
        self.size, self.at = len(self.head) + size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self.size - self.at)
        head = self.head[self.at : self.at + count]
        buffer[:count] = head + bytes(count - len(head))
        self.at += count
        return count


class TestBadInput:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "the file is empty"),
            (b"only words, and no sound at all\n" * 40, "not a media file that can be read"),
            (b"RIFF\x10\0\0\0WAVE", "not a media file that can be read"),
        ],
    )
    def test_what_is_no_media_file_is_told_with_its_name(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / "a.wav"
        path.write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            list(read_media(path))
        assert str(caught.value).startswith(f"{path}: ")

    def test_a_folder_a_missing_file_and_one_that_may_not_be_read(self, tmp_path: Path, monkeypatch: Any) -> None:
        with pytest.raises(InputError, match="cannot be read: it is a folder"):
            read_media(tmp_path)
        with pytest.raises(InputError, match=r"none\.mp4: cannot be read: No such file or directory"):
            read_media(tmp_path / "none.mp4")

        def refuse(*_: object, **__: object) -> None:
            raise av.error.PermissionError(13, "Permission denied", "a.mp4")  # root may read anything

        monkeypatch.setattr(av, "open", refuse)
        (tmp_path / "a.mp4").write_bytes(b"x")
        with pytest.raises(InputError, match=r"a\.mp4: cannot be read: Permission denied"):
            read_media(tmp_path / "a.mp4")

    def test_a_name_is_a_file_and_no_address(self, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("http://127.0.0.1:9/a.mp3", "concat:a|b", "/dev/null:x", "-"):
            with pytest.raises(InputError, match="cannot be read"):
                read_media(name)
        write_media(tmp_path / "a:b.mkv", video=False)
        assert audio_of("a:b.mkv")

    def test_tags_that_are_no_utf_8_are_no_reason_not_to_read_a_file(self, folder: Path, tmp_path: Path) -> None:
        with av.open(str(folder / "a.mp3")) as source, av.open(str(tmp_path / "t.mp3"), "w") as target:
            target.metadata["title"] = "TITLE"
            stream = target.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(source.streams.audio[0]):
                if packet.pts is not None:
                    packet.stream = stream
                    target.mux(packet)
        data = (tmp_path / "t.mp3").read_bytes()
        wide = "TITLE".encode("utf-16-le") in data
        tag = "TITLE".encode("utf-16-le") if wide else b"TITLE"
        assert tag in data
        (tmp_path / "t.mp3").write_bytes(
            data.replace(tag, b"\xff\xfe\xd8\xd8\xff"[: len(tag)].ljust(len(tag), b"\xd8"))
        )
        assert audio_of(tmp_path / "t.mp3")

    @pytest.mark.parametrize("source", [3, None, ["a.wav"]])
    def test_what_is_no_file_at_all(self, source: Any) -> None:
        with pytest.raises(TypeError, match="from a path or a binary file, not from"):
            read_media(source)

    @pytest.mark.parametrize(
        "options", [{"start_s": -1}, {"duration_s": 0}, {"block_ms": -1}, {"on_corrupt": "go"}, {"sample_format": "u8"}]
    )
    def test_wrong_options(self, folder: Path, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"must be 0 or more|is one of"):
            read_media(folder / "a.flac", **options)

    @pytest.mark.parametrize("name", ["a.wav", "a.flac", "film.mp4"])
    def test_a_file_that_is_cut_short_is_told_or_counted(self, folder: Path, tmp_path: Path, name: str) -> None:
        data = (folder / name).read_bytes()
        if name == "film.mp4":  # with its index at the front, as servers send it
            with av.open(str(folder / name)) as source:
                target = av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "faststart"})
                stream = target.add_stream_from_template(source.streams.audio[0])
                for packet in source.demux(source.streams.audio[0]):
                    if packet.pts is not None:
                        packet.stream = stream
                        target.mux(packet)
                target.close()
            data = (tmp_path / "fast.mp4").read_bytes()
        path = tmp_path / name
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(InputError, match=r"cut short|Invalid data|corrupt"):
            audio_of(path)
        media = read_media(path, on_corrupt="skip")
        frames = list(media)
        assert frames
        assert media.corrupt_packets >= 1

    def test_corrupt_packets_stop_or_are_counted(self, folder: Path) -> None:
        data = bytearray((folder / "a.m4a").read_bytes())
        rng = random.Random(1)
        for at in range(len(data) // 3, len(data) // 3 + 1500):
            data[at] = rng.randrange(256)
        with pytest.raises(InputError, match=r"after \d\.\d+ s: .*; on_corrupt='skip' passes over"):
            audio_of(io.BytesIO(bytes(data)))
        media = read_media(io.BytesIO(bytes(data)), on_corrupt="skip")
        frames = list(media)
        assert 1 <= media.corrupt_packets < 20
        assert RATE_HZ < sum(f.sample_count for f in frames) < 2 * RATE_HZ + 1024
        assert frames[-1].end_ns == pytest.approx(2e9, abs=1e8)  # the clock goes on

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_samples_that_are_no_numbers(self, tmp_path: Path, value: float) -> None:
        samples = tone(2.0)
        samples[20_000] = value
        import soundfile

        soundfile.write(tmp_path / "n.wav", samples, RATE_HZ, subtype="FLOAT")
        with pytest.raises(InputError, match=r"NaN or infinity in the samples at 1\.\d+ s"):
            audio_of(tmp_path / "n.wav")
        media = read_media(tmp_path / "n.wav", on_corrupt="skip")
        assert all(np.isfinite(f.samples).all() for f in media if isinstance(f, AudioFrame))
        assert media.corrupt_packets == 1

    @pytest.mark.parametrize(("at", "content"), [(22, b"\0\0"), (24, b"\0\0\0\0"), (24, b"\xff\xff\xff\xff")])
    def test_no_channels_and_rates_that_are_none(self, folder: Path, tmp_path: Path, at: int, content: bytes) -> None:
        data = (folder / "a.wav").read_bytes()
        path = tmp_path / "odd.wav"
        path.write_bytes(data[:at] + content + data[at + len(content) :])
        for read in (lambda: audio_of(path), lambda: list(rm.Executor().execute(chain("WavReader", path)).results)):
            with pytest.raises((InputError, rm.NodeError), match=r"odd\.wav"):
                read()

    @pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the memory of a process is told by Linux")
    def test_ten_hours_take_no_more_memory_than_their_first_minutes(self) -> None:
        source = io.BufferedReader(Sparse(36_000, 4000), 1 << 16)
        count, seen = 0, []
        for number, frame in enumerate(read_media(source, block_ms=10_000)):
            assert isinstance(frame, AudioFrame)
            count += frame.sample_count
            if number % 100 == 20:
                seen.append(resident_bytes())
        assert count == 36_000 * 4000
        assert max(seen) < seen[0] + 5_000_000  # as float32 it would be 576 MB

    def test_a_file_object_that_fails_or_is_closed_midway(self, folder: Path) -> None:
        file = (folder / "a.wav").open("rb")
        media = read_media(file, block_ms=0)
        next(media)
        file.close()
        with pytest.raises(InputError, match=r"a\.wav"):
            list(media)

    def test_closed_early_it_gives_the_file_back(self, folder: Path) -> None:
        before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
        media = read_media(folder / "film.mp4", video=True)
        next(media)
        media.close()
        media.close()
        assert list(media) == []
        dropped = read_media(folder / "film.mp4")
        next(dropped)
        del dropped
        if before:
            assert set(os.listdir("/proc/self/fd")) <= before

    def test_nothing_is_written_to_standard_error(self, folder: Path, tmp_path: Path, capfd: Any) -> None:
        data = bytearray((folder / "a.mp3").read_bytes())
        data[1000:2000] = bytes(range(250)) * 4
        (tmp_path / "bad.mp3").write_bytes(bytes(data))
        list(read_media(tmp_path / "bad.mp3", on_corrupt="skip"))
        assert capfd.readouterr() == ("", "")


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as told:
        return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def chain(node_type: str, path: Path, **params: Any) -> rm.Manifest:
    return rm.Pipeline("m").add(node_type, params={"path": str(path), **params}).add("PassThrough").to_manifest()


class TestMediaReader:
    def test_it_is_a_source_of_its_own(self, folder: Path, direct: Any) -> None:
        outcome = direct.run(chain("MediaReader", folder / "film.mp4", video=None, audio=None))
        frames = outcome.results
        assert {type(f) for f in frames} == {AudioFrame}
        np.testing.assert_array_equal(joined(frames), joined(audio_of(folder / "film.mp4")))

    def test_a_missing_file_is_told_before_anything_runs(self, tmp_path: Path, direct: Any) -> None:
        outcome = direct.run(chain("MediaReader", tmp_path / "none.mp4"))
        assert isinstance(outcome.error, rm.NodeError)
        assert outcome.error.phase == "initialize"
        assert "No such file" in str(outcome.error)
        assert getattr(outcome.error, "__notes__", []) == []  # its cleanup has nothing to complain of

    def test_each_run_of_a_session_reads_the_file_anew(self, folder: Path, engine: str) -> None:
        with rm.Executor(engine=engine).open(chain("MediaReader", folder / "a.flac")) as session:
            first, second = session.run().results, session.run().results
        assert len(first) == len(second)
        np.testing.assert_array_equal(joined(first), joined(second))

    def test_a_stream_that_is_left_early_closes_the_file(self, folder: Path, engine: str) -> None:
        before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
        with rm.Executor(engine=engine).stream(chain("MediaReader", folder / "film.mp4", block_ms=0)) as stream:
            next(iter(stream))
        if before:
            assert set(os.listdir("/proc/self/fd")) <= before

    def test_by_hand_it_takes_a_file_object(self, folder: Path) -> None:
        node = MediaReader(io.BytesIO((folder / "a.flac").read_bytes()))
        node.initialize(NodeContext("n", "MediaReader", {}))
        assert sum(f.sample_count for f in node.produce() if isinstance(f, AudioFrame)) == 2 * RATE_HZ
        node.cleanup()

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({}, "param 'path' is missing"),
            ({"path": "a", "audio": 1}, "param 'audio' must be true or false, not 1"),
            ({"path": "a", "start_s": -1}, "param 'start_s' must be a number of at least 0"),
            ({"path": "a", "on_corrupt": "go"}, "param 'on_corrupt' must be one of 'stop', 'skip'"),
            ({"path": "a", "pth": 1}, "param 'pth' is unknown; did you mean 'path'?"),
        ],
    )
    def test_wrong_params(self, params: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            MediaReader().initialize(NodeContext("n", "MediaReader", params))

    def test_decoding_holds_no_lock(self, folder: Path) -> None:
        """While one thread decodes, another goes on: it counts many steps, not the few between two switches."""
        steps, done = 0, threading.Event()

        def decode() -> None:
            for _ in range(2):
                audio_of(folder / "a.mp3", block_ms=0)
            done.set()

        thread = threading.Thread(target=decode)
        thread.start()
        while not done.is_set():
            steps += 1
        thread.join()
        assert steps > 1000
