"""Standard streams that are closed, full or left by their reader change no exit status and make no traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from helpers import chain_manifest, environment, odd

from remotemedia.cli import main

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")


def shell(command: str, *paths, text: bytes = b"1\n2\n") -> tuple[int, bytes, bytes]:
    """Run a line of shell; ``remotemedia`` is the program."""
    program = f'remotemedia() {{ {sys.executable} -m remotemedia "$@"; }}; {command}'
    done = subprocess.run(["sh", "-c", program], env=environment(*paths), input=text, capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("stderr", ["2>&-", pytest.param("2>/dev/full", marks=FULL)])
@pytest.mark.parametrize(
    ("command", "status", "lines"),
    [
        ("run m.json", 0, 2),
        ("run m.json --metrics", 0, 2),
        ("run m.json --param n0.multiplier=[]", 1, 0),
        ("run m.json -i none", 2, 0),
        ("run none", 2, 0),
        ("walk", 2, 0),
        ("--version", 0, 1),
        ("validate none", 2, 1),
        ("nodes Nonsense", 2, 0),
        ("graph m.json", 0, 1),
    ],
)
def test_without_standard_error_everything_works(here, command, status, lines, stderr):
    chain_manifest(here, ("Multiply", {"multiplier": 3}))
    code, out, err = shell(f"remotemedia {command} {stderr}")
    assert (code, len(out.splitlines()), err) == (status, lines, b"")


@pytest.mark.parametrize("policy", ["skip", "collect"])
def test_without_standard_error_what_was_dropped_is_not_told(here, policy):
    chain_manifest(here, ("Multiply", {"multiplier": 1}))
    command = f"remotemedia run m.json --on-error {policy}"
    assert shell(f"{command} 2>&-", text=b'1\n"x"\n') == (0, b"1\n", b"")


def test_what_a_node_says_to_a_closed_standard_error_is_in_no_output(here, plugins):
    odd(here, "(print('noise', file=sys.stderr), os.write(2, b'noise'), item)[2]")
    for output in ("", "-o out"):
        code, out, err = shell(f"remotemedia run m.json {output} 2>&-", plugins)
        assert (code, err) == (0, b"")
        assert (out or (here / "out").read_bytes()) == b"1\n2\n"


@pytest.mark.parametrize(
    "command", ["nodes", "nodes Echo --format json", "graph m.json", "validate m.json", "--version", "run -h"]
)
def test_a_closed_standard_output_is_a_clear_failure(here, command):
    chain_manifest(here, ("Echo", {}))
    assert shell(f"remotemedia {command} >&-") == (2, b"", b"remotemedia: error: standard output is closed\n")


def test_a_run_needs_standard_output_only_without_a_file(here):
    chain_manifest(here, ("PassThrough", {}))
    hint = b"remotemedia: error: standard output is closed; name a file: -o FILE\n"
    assert shell("remotemedia run m.json >&-") == (2, b"", hint)
    assert shell("remotemedia run m.json -o out >&-") == (0, b"", b"")
    assert (here / "out").read_bytes() == b"1\n2\n"
    hint = b"remotemedia: error: standard input is closed; name a file: -i FILE\n"
    assert shell("remotemedia run m.json <&-") == (2, b"", hint)
    assert shell("remotemedia run m.json -i out -o out2 <&- >&- 2>&-") == (0, b"", b"")
    assert (here / "out2").read_bytes() == b"1\n2\n"


@FULL
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["nodes", "graph m.json", "validate m.json", "--help", "run m.json"])
def test_a_full_standard_output_is_a_clear_failure(here, command, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    chain_manifest(here, ("Echo", {}))
    code, _, err = shell(f"remotemedia {command} > /dev/full")
    assert code == 1
    assert err.startswith(b"remotemedia: error: ")
    assert err.endswith(b"No space left on device\n")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["nodes", "graph m.json", "validate m.json", "--help", "run m.json"])
def test_a_standard_output_that_nobody_reads_ends_quietly(here, command, unbuffered, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    chain_manifest(here, ("Echo", {}))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "remotemedia", *command.split()],
            env=environment(), input=b"1\n", stdout=writer, stderr=subprocess.PIPE, timeout=60,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_standard_error_that_nobody_reads_changes_nothing(here):
    chain_manifest(here, ("Multiply", {"multiplier": 3}))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "remotemedia", "run", "m.json", "--metrics", "--on-error", "collect"],
            env=environment(), input=b'1\n"x"\n2\n', stderr=writer, stdout=subprocess.PIPE, timeout=60,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stdout) == (0, b"3\n6\n")


def test_in_process_the_streams_are_as_before(echo, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["run", "none"]) == 2
    assert sys.stderr is None
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["nodes"]) == 2
    assert sys.stdout is None
