"""What a run reads, it does not write; and an earlier output stays until there is something to put in its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import chain_manifest, environment, write_manifest

from remotemedia.cli import main

ITEMS = b"1\n2\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory: a manifest m, items in j, a name for the same file, and one that is no regular file."""
    monkeypatch.chdir(tmp_path)
    Path("m").write_text(Path(chain_manifest(tmp_path, ("PassThrough", {}), ("Batcher", {"size": 2}))).read_text())
    Path("j").write_bytes(ITEMS)
    os.link("j", "hard")
    os.symlink("j", "soft")
    return tmp_path


def shell(command: str) -> tuple[int, str]:
    """Run a line of shell; ``remotemedia`` is the program. Return its status and what it told."""
    program = f'ulimit -f 1000; remotemedia() {{ {sys.executable} -m remotemedia "$@"; }}; {command}'
    done = subprocess.run(
        ["sh", "-c", program], env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("remotemedia run m -o j < j", "-o j"),
        ("remotemedia run m -o hard < j", "-o hard"),
        ("remotemedia run m -o j -i soft", "-o j"),
        ("remotemedia run m -o hard -i /dev/stdin < j", "-o hard"),
        ("remotemedia run m -i j >> j", "standard output"),
        ("remotemedia run m -i hard >> soft", "standard output"),
        ("remotemedia run m -i j -o /dev/stdout >> j", "standard output"),
        ("remotemedia run m < j >> j", "standard output"),
        ("remotemedia run m <> j >&0", "standard output"),
    ],
)
def test_the_input_is_neither_destroyed_nor_fed_with_the_output(folder, command, output):
    status, told = shell(command)
    assert status == 2
    assert told.startswith(f"remotemedia: error: {output}: it is read by this run (the input, ")
    assert (folder / "j").read_bytes() == ITEMS


@pytest.mark.parametrize("command", ["remotemedia run m -i j -o m", "remotemedia run m -i j >> m"])
def test_the_manifest_is_not_written_over(folder, command):
    before = (folder / "m").read_text()
    status, told = shell(command)
    assert status == 2
    assert "it is read by this run (the manifest, m); write to another file" in told
    assert (folder / "m").read_text() == before


@pytest.mark.parametrize("command", ["-o t.wav", "-o ./t.wav", ">> t.wav"])
@pytest.mark.parametrize("params", [{"path": "t.wav"}, {"path": "t.wav", "block_ms": 20}])
def test_a_file_that_a_node_is_told_of_is_not_written_over(folder, command, params):
    chain_manifest(folder, ("WavSource", params), ("PassThrough", {}))
    (folder / "t.wav").write_bytes(b"music")
    status, told = shell(f"remotemedia run m.json {command}")
    assert status == 2
    assert "it is read by this run (param 'path' of node 'n0'); write to another file" in told
    assert (folder / "t.wav").read_bytes() == b"music"


def test_params_are_looked_through_to_the_last_list(folder, capsys):
    chain_manifest(folder, ("PassThrough", {"a": [1, {"b": ["x", "\0", "y" * 9999, "out"]}]}))
    Path("out").write_text("kept")
    assert main(["run", "m.json", "-i", "j", "-o", "out"]) == 2
    assert "param 'a' of node 'n0'" in capsys.readouterr().err
    assert Path("out").read_text() == "kept"
    Path("out").unlink()
    assert main(["run", "m.json", "-i", "j", "-o", "out"]) == 0  # a name alone is no file


def test_what_is_no_regular_file_may_be_both(folder):
    assert shell("remotemedia run m < /dev/null > /dev/null") == (0, "")
    assert shell("remotemedia run m -i /dev/null -o /dev/null") == (0, "")


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no names for descriptors")
@pytest.mark.parametrize(
    ("name", "redirected"),
    [("stdout", ""), ("fd/1", ""), ("stderr", "2"), ("fd/2", "2"), ("fd/3", "3"), ("../proc/self/fd/3", "3")],
)
def test_a_descriptor_named_as_a_file_is_appended_to(folder, name, redirected):
    (folder / "g").write_text("kept\n")
    assert shell(f"remotemedia run m -i j -o {os.path.normpath('/dev/' + name)} {redirected}>> g") == (0, "")
    assert (folder / "g").read_text() == "kept\n[1, 2]\n"
    assert shell(f"remotemedia run m -i j -o {os.path.normpath('/dev/' + name)} {redirected}>> j")[0] == 2
    told = b"remotemedia: error: -o /dev/" if redirected == "2" else b""
    assert (folder / "j").read_bytes().startswith(ITEMS + told)


def test_a_descriptor_that_is_not_open_is_bad_usage(folder, capsys):
    assert main(["run", "m", "-i", "j", "-o", "/dev/fd/999"]) == 2
    assert "-o /dev/fd/999: cannot be written: Bad file descriptor" in capsys.readouterr().err


# --- an earlier output ---


@pytest.fixture
def earlier(folder):
    """An output of an earlier run, longer than any here."""
    path = folder / "out"
    path.write_text("earlier\n" * 50)
    return path


def kept(path: Path) -> bool:
    return path.read_text() == "earlier\n" * 50


@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_an_earlier_output_outlives_nodes_that_cannot_be_initialized(folder, earlier, capsys, engine):
    chain_manifest(folder, ("PassThrough", {}), ("Multiply", {}))
    command = ["run", "m.json", "-i", "j", "-o", "out", "--engine", engine]
    assert main(command) == 1
    assert "failed in initialize" in capsys.readouterr().err
    assert kept(earlier)
    assert main([*command, "--param", "n1.multiplier=[]"]) == 1
    assert kept(earlier)
    assert main([*command, "--param", "n1.multiplier=10"]) == 0
    assert [float(line) for line in earlier.read_text().splitlines()] == [10, 20]


def test_an_earlier_output_outlives_a_manifest_that_cannot_be_run(folder, earlier, capsys):
    write_manifest(folder, [{"id": "a", "node_type": "Nonsense"}], "", "unknown.json")
    write_manifest(folder, [{"id": "a", "node_type": "Echo"}], "a a", "cycle.json")
    for manifest in ("unknown.json", "cycle.json", "none.json"):
        assert main(["run", manifest, "-i", "j", "-o", "out"]) == 2
        assert kept(earlier)


def test_an_earlier_output_outlives_an_input_without_a_single_item(folder, earlier, capsys):
    Path("broken").write_text("{\n")
    Path("a.wav").write_text("no sound")
    for name in ("broken", "a.wav"):
        assert main(["run", "m", "-i", name, "-o", "out"]) == 1
        assert kept(earlier)


@pytest.mark.parametrize(("text", "expected"), [("", ""), ("\n", ""), ("1\n", "[1]\n"), ("1\n2\n", "[1, 2]\n")])
def test_an_earlier_output_goes_when_the_run_came_to_its_end(folder, earlier, text, expected):
    Path("i").write_text(text)
    assert main(["run", "m", "-i", "i", "-o", "out"]) == 0
    assert earlier.read_text() == expected


def test_an_earlier_output_goes_when_an_item_went_in(folder, earlier, capsys):
    Path("i").write_text("null\n1\n")
    assert main(["run", "m", "-i", "i", "-o", "out"]) == 1
    assert earlier.read_text() == ""


def test_an_earlier_output_goes_when_a_producer_gave_something(folder, earlier, plugins):
    chain_manifest(folder, ("Numbers", {"n": 2}))
    assert main(["run", "m.json", "-o", "out"]) == 0
    assert earlier.read_text() == "0\n1\n"


def test_an_earlier_output_that_cannot_be_emptied_fails_the_run(folder, earlier, monkeypatch, capsys):
    class Stubborn:
        def __init__(self, file):
            self.file = file

        def truncate(self, size):
            raise OSError(1, "Operation not permitted")

        def __getattr__(self, name):
            return getattr(self.file, name)

    from remotemedia.cli import files

    make = files.LineWriter
    monkeypatch.setattr(files, "LineWriter", lambda file, *args, **options: make(Stubborn(file), *args, **options))
    assert main(["run", "m", "-i", "j", "-o", "out"]) == 1
    assert capsys.readouterr().err == "remotemedia: error: out: the output cannot be written: Operation not permitted\n"
    assert kept(earlier)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no file that cannot be read")
def test_an_input_that_cannot_be_read_is_named(folder, earlier, capsys):
    assert main(["run", "m", "-i", "/proc/self/mem", "-o", "out"]) == 1
    assert capsys.readouterr().err == "remotemedia: error: /proc/self/mem: cannot be read: Input/output error\n"
    assert kept(earlier)


# --- a WAV file ---


def test_without_the_audio_extra_a_wav_file_of_plain_samples_is_read_and_of_any_other_told(folder, monkeypatch, capsys):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write("plain.wav", [0.0] * 100, 8000, subtype="FLOAT")
    soundfile.write("packed.wav", [0.0] * 100, 8000, subtype="IMA_ADPCM")
    assert main(["run", "m", "-i", "packed.wav", "-o", "out"]) == 0
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert main(["run", "m", "-i", "plain.wav", "-o", "out"]) == 0
    assert main(["run", "m", "-i", "packed.wav", "-o", "out"]) == 1
    told = capsys.readouterr().err
    assert "packed.wav: not a WAV file of plain samples; one of another kind is read by soundfile" in told
    assert "pip install 'remotemedia[audio]'" in told


def test_a_wav_file_may_have_a_name_that_is_no_text(folder, capsys):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write("a.wav", [0.0] * 100, 8000)
    os.rename("a.wav", b"na\xefve.wav")
    assert main(["run", "m", "-i", os.fsdecode(b"na\xefve.wav"), "--format", "repr"]) == 0
    assert capsys.readouterr().out.startswith("[<AudioFrame 1 x 100 float32, 8000 Hz, at 0.000 s>")
