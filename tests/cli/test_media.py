"""Media files, raw PCM and subtitles at the command line."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from helpers import chain_manifest, odd
from media_files import write_media

from remotemedia.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def through(tmp_path: Path) -> str:
    return chain_manifest(tmp_path, ("PassThrough", {}))


def reprs(capsys: Any) -> list[str]:
    return capsys.readouterr().out.splitlines()


class TestMediaFiles:
    def test_the_audio_of_a_film_is_taken_and_the_pictures_if_asked_for(
        self, tmp_path: Path, through: str, capsys: Any
    ) -> None:
        film = write_media(tmp_path / "a.mp4")
        kinds = {}
        for stream in ("auto", "audio", "video", "both"):
            assert main(["run", through, "-i", film, "--stream", stream, "--format", "repr"]) == 0
            kinds[stream] = [re.findall(r"<(\w+)Frame", line)[0] for line in reprs(capsys)]
        assert set(kinds["auto"]) == set(kinds["audio"]) == {"Audio"}
        assert kinds["video"] == ["Video"] * 10
        assert sorted(kinds["both"]) == sorted(kinds["audio"] + kinds["video"])

    def test_of_a_film_without_sound_the_pictures_are_taken(self, tmp_path: Path, through: str, capsys: Any) -> None:
        film = write_media(tmp_path / "a.mkv", audio=False)
        assert main(["run", through, "-i", film, "--format", "repr"]) == 0
        assert [line[:24] for line in reprs(capsys)] == ["<VideoFrame 64 x 48 rgb2"] * 10
        assert main(["run", through, "-i", film, "--stream", "audio"]) != 0
        assert "audio" in capsys.readouterr().err

    def test_input_format_media_takes_a_file_of_any_name(self, tmp_path: Path, through: str, capsys: Any) -> None:
        film = write_media(tmp_path / "a.mp4")
        (tmp_path / "film").write_bytes((tmp_path / "a.mp4").read_bytes())
        assert main(["run", through, "-i", str(tmp_path / "film")]) == 1
        assert "is not JSON" in capsys.readouterr().err
        for path, options in ((film, []), (str(tmp_path / "film"), ["--input-format", "media"])):
            assert main(["run", through, "-i", path, *options, "--format", "repr"]) == 0
            assert "<AudioFrame 1 x" in capsys.readouterr().out

    def test_what_is_no_media_is_an_error_that_names_the_file(self, tmp_path: Path, through: str, capsys: Any) -> None:
        (tmp_path / "a.mp3").write_text("not a sound")
        assert main(["run", through, "-i", str(tmp_path / "a.mp3"), "-o", str(tmp_path / "out")]) in (1, 2)
        assert "a.mp3" in capsys.readouterr().err
        (tmp_path / "b.mp3").mkdir()
        assert main(["run", through, "-i", str(tmp_path / "b.mp3")]) == 2
        assert "cannot be read: Is a directory" in capsys.readouterr().err

    def test_an_error_tells_the_time_of_the_frame(self, tmp_path: Path, plugins: Any, capsys: Any) -> None:
        film = write_media(tmp_path / "a.mp4", audio=False)
        assert main(["run", odd(tmp_path, "item if item.pts_ns < 5e8 else 1 / 0"), "-i", film]) == 1
        err = capsys.readouterr().err
        assert "item 5" in err
        assert re.search(r"at 0\.[56]00 s", err)

    def test_without_pyav_it_says_what_to_install(
        self, tmp_path: Path, through: str, monkeypatch: Any, capsys: Any
    ) -> None:
        (tmp_path / "a.mp4").write_bytes(b"x")
        monkeypatch.setitem(__import__("sys").modules, "av", None)
        assert main(["run", through, "-i", str(tmp_path / "a.mp4")]) == 2
        assert "pip install 'remotemedia[media]'" in capsys.readouterr().err


class TestPcm:
    SAMPLES = np.arange(-1000, 1000, dtype="<i2")

    def test_samples_from_a_pipe_to_a_pipe_come_out_as_they_were(
        self, through: str, feed: Any, capfdbinary: Any
    ) -> None:
        feed(self.SAMPLES.tobytes())
        assert main(["run", through, "--pcm", "8000:2", "--format", "pcm"]) == 0
        assert capfdbinary.readouterr().out == self.SAMPLES.tobytes()

    def test_frames_of_20_ms_with_times(self, through: str, feed: Any, capsys: Any) -> None:
        feed(self.SAMPLES.astype("<f4").tobytes())
        assert main(["run", through, "--pcm", "16000:1:f32le"]) == 0
        forms = [json.loads(line) for line in reprs(capsys)]
        assert [(form["format"], form["channels"], form["sample_rate"]) for form in forms] == [("f32le", 1, 16_000)] * 7
        assert [form["pts_ns"] for form in forms] == [20_000_000 * index for index in range(7)]

    def test_by_the_name_of_the_output(self, tmp_path: Path, through: str) -> None:
        (tmp_path / "in").write_bytes(self.SAMPLES.tobytes())
        assert main(["run", through, "-i", str(tmp_path / "in"), "--pcm", "16000", "-o", str(tmp_path / "o.raw")]) == 0
        assert (tmp_path / "o.raw").read_bytes() == self.SAMPLES.tobytes()

    @pytest.mark.parametrize(
        "text",
        ["", "x", "0", "-1", "16000:0", "16000:1:mp3", "16000:1:s16le:3", "1" * 5000, "१", "99999999", "8000:300"],
    )
    def test_what_it_is_must_be_said_so(self, through: str, feed: Any, capsys: Any, text: str) -> None:
        feed(b"")
        assert main(["run", through, f"--pcm={text}"]) == 2
        told = capsys.readouterr().err
        assert "must be RATE[:CHANNELS[:FORMAT]]" in told or "at most 10000000 Hz and 256 channels" in told

    def test_options_that_contradict(self, tmp_path: Path, through: str, feed: Any, capsys: Any) -> None:
        feed(b"")
        assert main(["run", through, "--input-format", "pcm"]) == 2
        assert "--pcm RATE" in capsys.readouterr().err
        assert main(["run", through, "--input-format", "media"]) == 2
        assert "decoded from a file" in capsys.readouterr().err
        assert main(["run", through, "--pcm", "8000", "--input-format", "jsonl"]) == 2
        assert "--pcm says that the input is raw PCM" in capsys.readouterr().err
        for made in ("pcm", "srt"):
            assert main(["run", through, "--format", made, "--with-node"]) == 2
            assert "has no room for the name of a node" in capsys.readouterr().err

    def test_what_is_no_audio_is_not_written_as_pcm(self, through: str, feed: Any, capsys: Any) -> None:
        feed(b"1\n")
        assert main(["run", through, "--format", "pcm"]) == 1
        assert "raw PCM is written of AudioFrame items, not of a int" in capsys.readouterr().err


class TestSubtitles:
    LINES = b'{"start": 0.5, "end": 1.25}\n{"start": 3600.0, "end": 3661.007, "text": "so"}\n'

    def test_segments_become_numbered_subtitles(self, tmp_path: Path, through: str, feed: Any, capsys: Any) -> None:
        wanted = "1\n00:00:00,500 --> 00:00:01,250\nspeech\n\n2\n01:00:00,000 --> 01:01:01,007\nso\n\n"
        feed(self.LINES)
        assert main(["run", through, "--format", "srt"]) == 0
        assert capsys.readouterr().out == wanted
        feed(self.LINES)
        assert main(["run", through, "-o", str(tmp_path / "a.SRT")]) == 0
        assert (tmp_path / "a.SRT").read_text() == wanted

    def test_what_is_no_segment_is_told(self, through: str, feed: Any, capsys: Any) -> None:
        feed(b'{"start": "0"}\n')
        assert main(["run", through, "--format", "srt"]) == 1
        assert "no subtitle can be made of it: the segment has no 'start' in s" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.wav", "pcm_s16le")])
def test_the_bar_shows_media_time_speed_and_what_is_left(
    tmp_path: Path, through: str, monkeypatch: Any, name: str, codec: str
) -> None:
    pytest.importorskip("rich")
    film = write_media(tmp_path / name, video=False, seconds=65.0, codec=codec)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("remotemedia.cli.progress.EVERY_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["run", through, "-i", film, "-o", str(tmp_path / "out")]) == 0
    shown = terminal.getvalue()
    assert "/ 0:01:05" in shown
    assert "x real time" in shown
    assert "ETA" in shown
