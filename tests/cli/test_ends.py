from __future__ import annotations

import signal
import sys

import pytest
from helpers import odd, start

from remotemedia.cli import main


def test_a_node_that_exits_fails_the_run(tmp_path, feed, capsys, plugins):
    feed(b"1\n2\n")
    assert main(["run", odd(tmp_path, "sys.exit(0) if item == 2 else item")]) == 1
    out, err = capsys.readouterr()
    assert out == "1\n"
    assert err == "cleaned up\nremotemedia: a node ended the run by SystemExit(0)\n"


def test_an_interrupt_cleans_up_and_is_130(tmp_path, feed, capsys, plugins):
    feed(b"1\n2\n")
    assert main(["run", odd(tmp_path, "item if item == 1 else signal.raise_signal(signal.SIGINT)")]) == 130
    assert capsys.readouterr() == ("1\n", "cleaned up\nremotemedia: interrupted\n")


@pytest.mark.parametrize("again", range(5))  # the signal comes while the line is being written, or after
def test_control_c_while_waiting_for_input(tmp_path, plugins, again):
    process = start("run", odd(tmp_path, "item"), site=plugins)
    process.stdin.write(b"1\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"1\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err) == (b"", b"cleaned up\nremotemedia: interrupted\n")


def test_a_reader_that_goes_away_ends_the_run_quietly(tmp_path, plugins):
    process = start("run", odd(tmp_path, "item"), site=plugins)
    process.stdin.write(b"1\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"1\n"
    process.stdout.close()
    process.stdin.write(b"2\n3\n")
    process.stdin.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == b"cleaned up\n"
    process.stderr.close()


def test_a_process_reads_standard_input_and_exits_with_the_status(echo):
    for lines, status in ((b"1\n2\n", 0), (b"1\nx\n", 1)):
        process = start("run", echo)
        out, _ = process.communicate(lines, timeout=60)
        assert process.returncode == status
        assert len(out.splitlines()) == 2 - status
    process = start("run", "no such file")
    assert b"Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == 2


def test_help_imports_no_engine():
    import subprocess

    code = (
        "import sys, remotemedia.cli as c; c.main(['--version']); "
        "print([m for m in ('msgspec', 'rich', 'numpy', 'remotemedia.executor') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert out.splitlines()[-1] == "[]"
