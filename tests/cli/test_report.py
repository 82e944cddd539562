"""``run --report``: a page is there however the run ended, and never in place of what the run reads or writes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import chain_manifest, odd
from media_files import write_media

from remotemedia.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text('1\n"two"\n3\n')
    return tmp_path


def page() -> str:
    return Path("report.html").read_text(encoding="utf-8")


def test_a_run_leaves_a_page_and_its_output_as_ever(folder, capsys):
    manifest = chain_manifest(folder, ("PassThrough", {}), ("Echo", {}))
    assert main(["run", manifest, "-i", "in.jsonl", "--report", "report.html"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["input"] for line in out.splitlines()] == [1, "two", 3]
    assert err == "remotemedia: report: report.html\n"
    for wanted in ("completed", "3 in, 3 out", "Histogram of the times of n1", "in.jsonl", "m.json", "&#x27;two&#x27;"):
        assert wanted in page()
    assert sorted(os.listdir()) == ["in.jsonl", "m.json", "report.html"]


@pytest.mark.parametrize("policy", ["skip", "collect"])
def test_errors_that_were_dropped_are_on_it(folder, capsys, policy):
    manifest = chain_manifest(folder, ("Multiply", {"multiplier": 2}))
    assert main(["run", manifest, "-i", "in.jsonl", "--on-error", policy, "--report", "report.html"]) == 0
    out, err = capsys.readouterr()
    assert out == "2\n6\n"
    assert f"1 failed and dropped (--on-error {policy})" in err
    assert ("takes a number" in err) == (policy == "collect")
    assert "completed with errors" in page()
    assert "TypeError: takes a number" in page()


def test_a_run_that_failed_leaves_a_page_that_says_why(folder, capsys):
    manifest = chain_manifest(folder, ("Multiply", {"multiplier": 2}))
    assert main(["run", manifest, "-i", "in.jsonl", "--report", "report.html"]) == 1
    assert "report: report.html" in capsys.readouterr().err
    assert "What ended it" in page()
    assert "at line 2 of in.jsonl" in page()


def test_an_interrupted_run_too(folder, plugins, capsys):
    assert main(["run", odd(folder, "signal.raise_signal(2)"), "-i", "in.jsonl", "--report", "report.html"]) == 130
    assert "KeyboardInterrupt" in page()


def test_a_node_that_fails_at_initialize(folder, capsys):
    manifest = chain_manifest(folder, ("PassThrough", {}), ("Level", {"floor_dbfs": "x"}))
    assert main(["run", manifest, "-i", "in.jsonl", "--report", "report.html"]) == 1
    assert "floor_dbfs" in page()


def test_the_audio_of_the_input_is_drawn_and_that_of_a_producer(folder, capsys):
    write_media(folder / "a.mp4", seconds=2.0)
    chain = [("ToMono", {}), ("WebRtcVAD", {}), ("SpeechSegmenter", {})]
    assert main(["run", chain_manifest(folder, *chain), "-i", "a.mp4", "--report", "report.html"]) == 0
    assert 'class="wave"' in page()
    Path("report.html").unlink()
    manifest = chain_manifest(folder, ("MediaReader", {"path": "a.mp4"}), *chain)
    assert main(["run", manifest, "--report", "report.html"]) == 0
    assert 'class="wave"' in page()


def test_what_came_from_a_pipe_is_not_waited_for_again(folder):
    os.mkfifo("pipe.wav")
    manifest = chain_manifest(folder, ("WavReader", {"path": "pipe.wav"}))
    with subprocess.Popen([sys.executable, "-c", "open('pipe.wav', 'wb').write(b'no sound')"]):
        command = [sys.executable, "-m", "remotemedia", "run", manifest, "--report", "report.html"]
        done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 1
    assert "report: report.html" in done.stderr
    assert "pipe.wav" in page()


def test_the_part_of_a_file_that_was_read_is_drawn(folder, capsys):
    write_media(folder / "a.mp4", seconds=3.0)
    manifest = chain_manifest(folder, ("MediaReader", {"path": "a.mp4", "start_s": 2.0, "duration_s": 0.5}))
    assert main(["run", manifest, "--report", "report.html"]) == 0
    assert "0.50 s of audio" in page()


def test_sound_that_cannot_be_drawn_costs_the_picture_alone(folder, capsys, monkeypatch):
    write_media(folder / "a.mp4", seconds=1.0)

    def broken(*_, **__):
        raise RuntimeError("no picture")

    monkeypatch.setattr("remotemedia.report.audio.waveform_of", broken)
    manifest = chain_manifest(folder, ("MediaReader", {"path": "a.mp4"}))
    assert main(["run", manifest, "--report", "report.html"]) == 0
    assert 'class="wave"' not in page()


def test_who_interrupts_does_not_wait_for_the_waveform(folder, plugins, capsys, monkeypatch):
    write_media(folder / "a.mp4", seconds=1.0)
    heard = []
    monkeypatch.setattr("remotemedia.report.audio.waveform_of", lambda *_, **__: heard.append(1))
    nodes = [("MediaReader", {"path": "a.mp4"}), ("Odd", {"give": "signal.raise_signal(2)"})]
    assert main(["run", chain_manifest(folder, *nodes), "--report", "report.html"]) == 130
    assert heard == []
    assert "KeyboardInterrupt" in page()


def test_it_is_never_written_over_a_file_that_a_node_is_to_write(folder, capsys):
    write_media(folder / "a.mp4", seconds=1.0)
    manifest = chain_manifest(folder, ("MediaReader", {"path": "a.mp4"}), ("WavWriter", {"path": "./new.wav"}))
    assert main(["run", manifest, "--report", "new.wav"]) == 2
    assert "--report new.wav: it is a file of this run (param 'path' of node 'n1')" in capsys.readouterr().err
    assert not Path("new.wav").exists()


def test_no_item_is_kept(folder, plugins, capsys):
    import weakref

    import remotemedia as rm
    from remotemedia.report.recorder import Recorder

    recorder = Recorder(rm.Pipeline("a").add("Echo").to_manifest(), {})
    array = np.zeros((1, 5), np.float32)
    gone = weakref.ref(array)
    recorder.add("n0", {"start": 0.0, "end": 1.0, "frame": rm.AudioFrame(array, 8000)})
    del array
    assert gone() is None


def test_frames_are_shown_by_what_they_are(folder, capsys):
    write_media(folder / "a.mp4", seconds=2.0)
    manifest = chain_manifest(folder, ("PassThrough", {}))
    assert main(["run", manifest, "-i", "a.mp4", "-o", "out", "--report", "report.html"]) == 0
    assert "&lt;AudioFrame 1 x" in page()


@pytest.mark.parametrize(
    ("report", "message"),
    [("in.jsonl", "the input, -i in.jsonl"), ("m.json", "the manifest"), (".", "it is a folder"), ("", "name a file"),
     ("-", "name a file"),
     ("out", "the results go there")],
)  # fmt: skip
def test_it_is_never_written_over_what_the_run_reads_or_writes(folder, capsys, report, message):
    manifest = chain_manifest(folder, ("PassThrough", {}))
    Path("out").write_text("old\n")
    kept = {name: Path(name).read_bytes() for name in ("in.jsonl", "m.json")}
    assert main(["run", os.path.basename(manifest), "-i", "in.jsonl", "-o", "out", f"--report={report}"]) == 2
    assert message in capsys.readouterr().err
    assert {name: Path(name).read_bytes() for name in kept} == kept


def test_a_pipe_is_not_replaced_and_no_folder_is_made(folder, capsys):
    manifest = chain_manifest(folder, ("PassThrough", {}))
    os.mkfifo("pipe")
    for report, message in (("pipe", "it is a pipe or a device"), ("none/r.html", "there is no such folder")):
        assert main(["run", manifest, "-i", "in.jsonl", f"--report={report}"]) == 2
        assert message in capsys.readouterr().err
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)
    assert not Path("none").exists()


def test_where_standard_output_goes_is_not_replaced(folder):
    manifest = chain_manifest(folder, ("PassThrough", {}))
    Path("so.txt").write_text("")
    with Path("so.txt").open("ab") as out:
        command = [sys.executable, "-m", "remotemedia", "run", manifest, "-i", "in.jsonl", "--report", "so.txt"]
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, check=False, text=True)
    assert done.returncode == 2
    assert "the results go there" in done.stderr


def test_what_goes_wrong_with_the_page_does_not_hide_what_ended_the_run(folder, capsys, monkeypatch):
    manifest = chain_manifest(folder, ("Multiply", {"multiplier": 2}))

    def broken(*_):
        raise RuntimeError("no page")

    monkeypatch.setattr("remotemedia.report.report_html", broken)
    assert main(["run", manifest, "-i", "in.jsonl", "--report", "report.html"]) == 1
    told = capsys.readouterr().err
    assert "takes a number" in told
    assert "--report report.html: cannot be made: no page" in told


def test_a_page_that_cannot_be_written_is_told_and_the_old_one_stays(folder, capsys, monkeypatch):
    Path("report.html").write_text("old")
    from remotemedia.nodes.unfinished import UnfinishedFile

    def full(self: Any, data: Any) -> None:
        self.discard()
        raise OSError(28, "cannot be written: No space left on device", "report.html")

    monkeypatch.setattr(UnfinishedFile, "write", full)
    manifest = chain_manifest(folder, ("PassThrough", {}))
    assert main(["run", manifest, "-i", "in.jsonl", "--report", "report.html"]) == 1
    assert "--report report.html: cannot be written: " in capsys.readouterr().err
    assert page() == "old"
    assert not [name for name in os.listdir() if name.endswith(".part")]


def test_numbers_of_a_long_run_are_kept_in_bounds(folder, capsys):
    np.save("x", np.zeros(1))  # NumPy is there
    Path("long.jsonl").write_text("".join(f"{n}\n" for n in range(30_000)))
    manifest = chain_manifest(folder, ("PassThrough", {}))
    assert main(["run", manifest, "-i", "long.jsonl", "-o", "out", "--report", "report.html"]) == 0
    assert "the first 50 of 30\u202f000" in page()
    assert len(page()) < 100_000
