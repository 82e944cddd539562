from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import chain_manifest, environment, odd, start

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


SIGNALS = pytest.mark.parametrize(
    ("number", "message"),
    [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "ended by SIGTERM"), (signal.SIGHUP, "ended by SIGHUP")],
)


@SIGNALS
@pytest.mark.parametrize("again", range(3))  # the signal comes while the line is being written, or after
def test_a_signal_while_waiting_for_input(tmp_path, plugins, again, number, message):
    process = start("run", odd(tmp_path, "item"), site=plugins)
    process.stdin.write(b"1\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"1\n"
    process.send_signal(number)
    assert process.wait(60) == 128 + number  # its input stays open: the end of it would be another reason to end
    out, err = process.communicate()
    assert (out, err) == (b"", f"cleaned up\nremotemedia: {message}\n".encode())


@SIGNALS
@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_a_signal_inside_a_node_keeps_what_was_finished(tmp_path, plugins, capsys, number, message, engine):
    (tmp_path / "in").write_text("1\n2\n3\n")
    manifest = odd(tmp_path, f"item if item == 1 else signal.raise_signal({int(number)})")
    out = tmp_path / "out"
    command = ["run", manifest, "-i", str(tmp_path / "in"), "-o", str(out), "--engine", engine]
    assert main(command) == 128 + number
    assert out.read_text() == "1\n"
    assert capsys.readouterr().err == f"cleaned up\nremotemedia: {message}\n"


@SIGNALS
def test_a_signal_before_the_first_item_keeps_an_earlier_output(tmp_path, plugins, number, message):
    out = tmp_path / "out"
    out.write_text("earlier")
    process = start("run", odd(tmp_path, "item"), "-o", str(out), "--param", f"n1.signal={int(number)}", site=plugins)
    assert process.communicate(timeout=60)[1] == f"cleaned up\nremotemedia: {message}\n".encode()
    assert process.returncode == 128 + number
    assert out.read_text() == "earlier"


def test_a_second_signal_during_the_cleanup_ends_it_too(tmp_path, plugins):
    manifest = chain_manifest(tmp_path, ("Odd", {}), ("Odd", {"last": "signal.raise_signal(signal.SIGTERM)"}))
    process = start("run", manifest, site=plugins)
    process.stdin.write(b"1\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"1\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    err = process.communicate()[1]
    assert err.count(b"cleaned up\n") == 2
    assert err.startswith(b"cleaned up\ncleaned up\nremotemedia: ended by SIGTERM\n")
    assert b"Traceback" not in err


def test_a_second_signal_does_not_wait_for_a_reader_that_reads_nothing(tmp_path, plugins):
    lines = tmp_path / "in"
    lines.write_bytes(b'"%s"\n' % (b"x" * 1000) * 500)
    process = start("run", odd(tmp_path, "item"), "-i", str(lines), site=plugins)
    while int.from_bytes(fcntl.ioctl(process.stdout, termios.FIONREAD, bytes(4)), sys.byteorder) < 60_000:
        time.sleep(0.01)  # until the pipe is full
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline() == b"cleaned up\n"
    time.sleep(0.2)
    assert process.poll() is None  # what was finished is to be handed on
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert process.communicate()[1] == b"remotemedia: ended by SIGTERM\n"


def test_a_signal_that_was_ignored_stays_ignored(tmp_path, plugins):
    manifest = odd(tmp_path, "(signal.raise_signal(signal.SIGHUP), item)[1]")
    command = [sys.executable, "-m", "remotemedia", "run", manifest]
    nohup = ["sh", "-c", 'trap "" HUP; exec "$@"', "-", *command]
    done = subprocess.run(nohup, env=environment(plugins), input=b"1\n", capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"1\n")


def test_handlers_are_as_before_and_only_the_main_thread_sets_any(tmp_path, feed, capsys, plugins):
    def mine(number, frame):
        raise AssertionError

    def handler_within():
        feed(b"1\n")
        assert main(["run", odd(tmp_path, "repr(signal.getsignal(signal.SIGTERM))")]) == 0
        return capsys.readouterr().out

    kept = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        assert "_stop" in handler_within()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        with ThreadPoolExecutor(1) as pool:
            assert "SIG_DFL" in pool.submit(handler_within).result(60)
        signal.signal(signal.SIGTERM, mine)
        assert "mine" in handler_within()
        assert signal.getsignal(signal.SIGTERM) == mine
    finally:
        signal.signal(signal.SIGTERM, kept)


@SIGNALS
def test_a_signal_ends_every_command(monkeypatch, capsys, number, message):
    monkeypatch.setattr("remotemedia.cli.nodes.NodeRegistry", lambda: signal.raise_signal(number))
    assert main(["nodes"]) == 128 + number
    assert capsys.readouterr() == ("", f"remotemedia: {message}\n")


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
