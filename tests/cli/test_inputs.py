from __future__ import annotations

import base64
import io
import json
import tracemalloc

import pytest
from helpers import chain_manifest

from remotemedia.cli import main
from remotemedia.cli.lines import JsonLines
from remotemedia.errors import InputError


def test_a_producer_takes_no_input(tmp_path, feed, capsys, plugins):
    feed(iter(()))
    manifest = chain_manifest(tmp_path, ("Numbers", {"n": 3}), ("PassThrough", {}))
    assert main(["run", manifest]) == 0
    assert capsys.readouterr().out == "0\n1\n2\n"
    for name in ("-", manifest):
        assert main(["run", manifest, "-i", name]) == 2
        assert "node 'n0' is a producer" in capsys.readouterr().err


def test_a_wav_file_gives_audio_blocks(tmp_path, capsys):
    numpy = pytest.importorskip("numpy")
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path / "a.WAV"
    soundfile.write(path, numpy.zeros(20_000), 8000, format="WAV")
    manifest = chain_manifest(tmp_path, ("PassThrough", {}))
    assert main(["run", manifest, "-i", str(path), "--format", "repr"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1] == "<AudioFrame 1 x 8192 float32, 8000 Hz, at 1.024 s>"
    assert main(["run", manifest, "-i", str(path)]) == 0
    forms = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(form["$media"], form["pts_ns"], form["sample_rate"]) for form in forms] == [
        ("audio", 0, 8000),
        ("audio", 1_024_000_000, 8000),
        ("audio", 2_048_000_000, 8000),
    ]
    assert sum(len(base64.b64decode(form["samples"])) for form in forms) == 4 * 20_000


def test_media_items_come_back_from_the_lines_that_they_became(tmp_path, capsys):
    numpy = pytest.importorskip("numpy")
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", numpy.linspace(-1, 1, 1000), 8000)
    manifest = chain_manifest(tmp_path, ("PassThrough", {}))
    assert main(["run", manifest, "-i", str(tmp_path / "a.wav")]) == 0
    lines = capsys.readouterr().out
    (tmp_path / "a.jsonl").write_text(lines + '{"$media": "text", "text": "ä", "metadata": {"by": "A"}}\n')
    assert main(["run", manifest, "-i", str(tmp_path / "a.jsonl")]) == 0
    text = '{"$media": "text", "text": "ä", "pts_ns": 0, "metadata": {"by": "A"}}\n'
    assert capsys.readouterr().out == lines + text


def test_what_only_looks_like_a_media_item_is_told_with_its_line(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('1\n{"$media": "smell"}\n')
    assert main(["run", chain_manifest(tmp_path, ("PassThrough", {})), "-i", str(tmp_path / "a.jsonl")]) == 1
    out, err = capsys.readouterr()
    assert out == "1\n"
    assert "line 2 of" in err
    assert "is no media item: '$media' must be one of 'audio', 'video', 'text', not 'smell'" in err


def test_a_broken_wav_file_fails_the_run(tmp_path, capsys):
    pytest.importorskip("soundfile")
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF----WAV?")
    assert main(["run", chain_manifest(tmp_path, ("PassThrough", {})), "-i", str(path)]) == 1
    assert "not a WAV file" in capsys.readouterr().err


# --- constant memory ---


def test_lines_are_pulled_one_by_one_and_answered_at_once(echo, feed, monkeypatch):
    seen = []

    class Out(io.BytesIO):
        def write(self, data):
            seen.append(f"out {json.loads(bytes(data))['input']}")
            return len(data)

    class Stdout(io.StringIO):
        buffer = Out()

    def lines():
        for i in range(3):
            seen.append(f"in {i}")
            yield b"%d\n" % i

    feed(lines())
    monkeypatch.setattr("sys.stdout", Stdout())
    assert main(["run", echo]) == 0
    assert seen == ["in 0", "out 0", "in 1", "out 1", "in 2", "out 2"]


@pytest.mark.parametrize("engine", ["cython", "reference"])
@pytest.mark.parametrize(
    ("policy", "line"),
    [("stop", b'"%0100d"\n'), ("skip", b"null\n\n"), ("collect", b"null\n\n"), ("collect", b'"x%d"\n')],
)
def test_memory_does_not_grow_with_the_input(feed, tmp_path, capsys, policy, line, engine):
    manifest = chain_manifest(tmp_path, ("Multiply", {"multiplier": 2}) if b"x" in line else ("Echo", {}))
    command = ["run", manifest, "-o", str(tmp_path / "out"), "--on-error", policy, "--engine", engine]

    def peak(count: int) -> int:
        before = 0

        def lines():
            nonlocal before
            tracemalloc.reset_peak()  # of what reading the manifest took
            before = tracemalloc.get_traced_memory()[0]
            for i in range(count):
                yield line % i if b"%" in line else line

        feed(lines())
        assert main(command) == 0
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        peak(100)
        small, large = peak(200), peak(2_000)
    finally:
        tracemalloc.stop()
    assert large - small < 200_000


def test_a_feed_knows_the_line_of_the_item_that_was_pulled_last():
    lines = JsonLines([b"1\n", b"\n", b"2\n"], "f")
    places = [(item, lines.place(0), lines.place(1)) for item in lines]
    assert places == [(1, "line 1 of f", None), (2, None, "line 3 of f")]
    assert lines.ended
    assert lines.position == 5


def test_a_line_that_is_not_json_is_an_input_error():
    with pytest.raises(InputError, match="line 1 of f is not JSON"):
        list(JsonLines([b"x"], "f"))
