"""Subtitles: cues against the formats' own grammar, and a writer that leaves nothing half-written."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Driver

import remotemedia as rm
from remotemedia._core.node import NodeContext
from remotemedia.nodes.subtitles import SrtWriter, format_srt, format_vtt

CUE = re.compile(r"(\d+)\n(\d\d+):(\d\d):(\d\d),(\d{3}) --> (\d\d+):(\d\d):(\d\d),(\d{3})\n((?:[^\n]+\n)*)\n")
SEGMENTS = [{"start": 0.7, "end": 1.93}, {"start": 2.69, "end": 4.56, "text": "Audio flows."}]
WRITTEN = "1\n00:00:00,700 --> 00:00:01,930\nspeech 1\n\n2\n00:00:02,690 --> 00:00:04,560\nAudio flows.\n\n"


def writing(path: Path, **params: Any) -> rm.Manifest:
    return rm.Pipeline("write").add("SrtWriter", id="srt", params={"path": str(path), **params}).to_manifest()


class TestCues:
    @pytest.mark.parametrize(
        ("start_s", "end_s", "line"),
        [
            (0, 0, "00:00:00,000 --> 00:00:00,000"),
            (0.0004, 0.0006, "00:00:00,000 --> 00:00:00,001"),
            (59.9996, 3599.9999, "00:01:00,000 --> 01:00:00,000"),
            (36_000.5, 360_000, "10:00:00,500 --> 100:00:00,000"),
        ],
    )
    def test_times(self, start_s: float, end_s: float, line: str) -> None:
        assert format_srt(7, start_s, end_s, "hello") == f"7\n{line}\nhello\n\n"
        assert format_vtt(start_s, end_s, "hello") == f"{line.replace(',', '.')}\nhello\n\n"

    @pytest.mark.parametrize(("start_s", "end_s"), [(-1, 1), (2, 1), (0, float("nan")), (0, float("inf"))])
    def test_times_that_are_none_are_refused(self, start_s: float, end_s: float) -> None:
        for cue in (lambda: format_srt(1, start_s, end_s, ""), lambda: format_vtt(start_s, end_s, "")):
            with pytest.raises(ValueError, match="a start of 0 or more and an end that is not before it"):
                cue()

    @given(texts=st.lists(st.text(max_size=40), max_size=5))
    def test_no_text_breaks_out_of_its_cue(self, texts: list[str]) -> None:
        texts = [*texts, "a\n\n2\n00:00:00,000 --> 00:00:09,000\nb", "\r\n\r\n\x0b\x0c\x1c\x85\u2028x"]
        whole = "".join(format_srt(i + 1, i, i + 1, text) for i, text in enumerate(texts))
        cues = CUE.findall(whole)
        assert "".join(match[0] for match in CUE.finditer(whole)) == whole
        assert [int(cue[0]) for cue in cues] == list(range(1, len(texts) + 1))
        assert not any("-->" in cue[9] for cue in cues)
        assert all("-->" not in format_vtt(0, 1, text).split("\n", 1)[1] for text in texts)


class TestWriter:
    def test_it_writes_segments_and_tells_of_the_file(self, direct: Driver, tmp_path: Path) -> None:
        path = tmp_path / "talk.srt"
        assert direct.results(writing(path), SEGMENTS) == [{"path": str(path), "cues": 2}]
        assert path.read_bytes().decode() == WRITTEN
        assert os.listdir(tmp_path) == ["talk.srt"]

    def test_frames_and_texts_are_cues_too(self, direct: Driver, tmp_path: Path) -> None:
        clip = rm.AudioFrame(np.zeros(8000, np.float32), 16_000, 1_000_000_000)
        items = [
            clip,
            clip.tagged(start=3.0, end=4.5, text="ä < ö"),
            rm.Text("late", 5_000_000_000, {"end": 6}),
        ]
        direct.results(writing(tmp_path / "a.srt", text="[{index}]"), items)
        cues = CUE.findall((tmp_path / "a.srt").read_text(encoding="utf-8"))
        assert [cue[9] for cue in cues] == ["[1]\n", "ä < ö\n", "late\n"]
        assert [cue[3] + cue[4] + cue[7] + cue[8] for cue in cues] == ["0100001500", "0300004500", "0500006000"]

    def test_nothing_has_the_name_before_the_flush_and_a_failed_run_leaves_what_was_there(
        self, direct: Driver, tmp_path: Path
    ) -> None:
        path = tmp_path / "talk.srt"
        path.write_text("before")
        with direct.executor.open(writing(path)) as session:
            session.process(SEGMENTS[0])
            assert path.read_text() == "before"
        assert (os.listdir(tmp_path), path.read_text()) == (["talk.srt"], "before")
        with pytest.raises(rm.NodeError, match="no 'end' in s: put SpeechSegmenter before"):
            direct.results(writing(path), [*SEGMENTS, {"start": 1.0}])
        assert (os.listdir(tmp_path), path.read_text()) == (["talk.srt"], "before")

    def test_no_segments_make_an_empty_file(self, direct: Driver, tmp_path: Path) -> None:
        direct.results(writing(tmp_path / "talk.srt"), [])
        assert (tmp_path / "talk.srt").read_bytes() == b""

    def test_the_next_recording_takes_the_place_of_the_one_before(self, engine: str, tmp_path: Path) -> None:
        path = tmp_path / "talk.srt"
        with Driver(engine).executor.open(writing(path)) as session:
            session.run(SEGMENTS[:1])
            session.run(SEGMENTS)
        assert path.read_text() == WRITTEN

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
    def test_a_full_disk_is_told_with_the_file_and_nothing_is_left(self, tmp_path: Path) -> None:
        path = tmp_path / "talk.srt"
        node = SrtWriter()
        node.initialize(NodeContext("n", "SrtWriter", {"path": str(path)}))
        node.process(SEGMENTS[0])
        assert node._file is not None
        node._file.file.close()
        node._file.file = Path("/dev/full").open("wb")  # noqa: SIM115
        node.process(SEGMENTS[1])
        with pytest.raises(OSError, match=r"cannot be written: No space left on device.*talk\.srt"):
            node.flush()
        node.cleanup()
        assert os.listdir(tmp_path) == []

    def test_text_that_is_no_unicode_is_written_as_well_as_it_can_be(self, direct: Driver, tmp_path: Path) -> None:
        direct.results(writing(tmp_path / "a.srt"), [{"start": 0, "end": 1, "text": "na\udcefve"}])
        assert "na?ve" in (tmp_path / "a.srt").read_text(encoding="utf-8")

    @pytest.mark.parametrize("item", [7, "speech", [1, 2], np.zeros(3)])
    def test_what_is_no_segment_is_refused(self, tmp_path: Path, item: object) -> None:
        node = SrtWriter()
        node.initialize(NodeContext("n", "SrtWriter", {"path": str(tmp_path / "a.srt")}))
        with pytest.raises(TypeError, match="SrtWriter takes segments: dicts, AudioFrame or Text items, not"):
            node.process(item)

    def test_a_path_that_cannot_be_written_is_refused(self, engine: str, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path in (tmp_path, tmp_path / "file" / "a.srt"):
            with pytest.raises(rm.NodeError, match=r"'srt' .*cannot be written"):
                Driver(engine).results(writing(path), SEGMENTS)
        with pytest.raises(rm.NodeError, match="'path' is missing"):
            Driver(engine).results(rm.Pipeline("x").add("SrtWriter").to_manifest(), SEGMENTS)
