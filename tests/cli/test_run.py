from __future__ import annotations

import io
import json
import math
import os
import signal
import sys
import tracemalloc

import pytest
from helpers import chain_manifest, start, write_manifest

from remotemedia.cli import main
from remotemedia.cli.failures import OutputError
from remotemedia.cli.lines import BUFFER_BYTES, JsonLines, LineWriter, encode_json, encode_repr
from remotemedia.errors import InputError


@pytest.fixture
def echo(tmp_path):
    return chain_manifest(tmp_path, ("PassThrough", {}), ("Echo", {}))


def odd(tmp_path, give):
    return chain_manifest(tmp_path, ("PassThrough", {}), ("Odd", {"give": give}))


@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_standard_input_goes_to_standard_output(echo, feed, capsys, engine):
    feed(b'1\n{"a": [null, true, 2.5]}\n"x"')
    assert main(["run", echo, "--engine", engine]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["input"] for line in out.splitlines()] == [1, {"a": [None, True, 2.5]}, "x"]
    assert err == ""


def test_files_in_and_out(echo, tmp_path, capsys):
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf1\r\n\r\n  \n2\r\n")
    out = tmp_path / "out.jsonl"
    out.write_text("of an earlier run\n" * 99)
    assert main(["run", echo, "-i", str(tmp_path / "in.jsonl"), "-o", str(out)]) == 0
    assert [json.loads(line)["input"] for line in out.read_text().splitlines()] == [1, 2]
    assert capsys.readouterr().out == ""


def test_empty_input_flushes_and_is_done(tmp_path, feed, capsys):
    feed(b"\n\n")
    assert main(["run", chain_manifest(tmp_path, ("Batcher", {"size": 2}))]) == 0
    assert capsys.readouterr().out == ""


def test_flushed_items_are_written(tmp_path, feed, capsys):
    feed(b"1\n2\n3")
    assert main(["run", chain_manifest(tmp_path, ("Batcher", {"size": 2}))]) == 0
    assert capsys.readouterr().out == "[1, 2]\n[3]\n"


def test_a_broken_line_is_named_and_what_was_finished_is_written(echo, feed, capsys):
    feed(b'1\n\n2\n{"a" 3}\n4\n')
    assert main(["run", echo]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err.startswith("remotemedia: error: line 4 of <stdin> is not JSON: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("line", [b"NaN", b"1e999", b'"\xff"', b"[" * 100_000, b"1 2", b"{", b"'a'", b"\xff\xfe1\0"])
@pytest.mark.parametrize("policy", ["stop", "skip", "collect"])
def test_a_line_that_is_not_json_ends_the_run_under_any_policy(echo, feed, capsys, line, policy):
    feed(b"1\n" + line + b"\n3\n")
    assert main(["run", echo, "--on-error", policy]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert "line 2 of <stdin> is " in err


def test_a_null_line_is_refused_by_its_line_number(echo, feed, capsys):
    feed(b"1\n\nnull\n2\n")
    assert main(["run", echo]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert err == (
        "remotemedia: error: item 1 is None, which no pipeline takes: None means filtered\n  at line 3 of <stdin>\n"
    )


def test_collect_tells_each_failure_with_its_line(tmp_path, feed, capsys):
    feed(b'8\n\nnull\n"x"\n\n2\n')
    manifest = chain_manifest(tmp_path, ("Multiply", {"multiplier": 2}))
    assert main(["run", manifest, "--on-error", "collect"]) == 0
    out, err = capsys.readouterr()
    assert [float(x) for x in out.split()] == [16, 4]
    lines = err.splitlines()
    assert lines[0] == "remotemedia: 2 failed and dropped (--on-error collect)"
    assert lines[1].startswith("  line 3 of <stdin>: item 1 is None")
    assert lines[2].startswith("  line 4 of <stdin>: node 'n0' (Multiply) failed in process at item 2: ")


def test_collect_tells_twenty_failures_at_most(tmp_path, feed, capsys):
    feed(b"null\n" * 50)
    assert main(["run", chain_manifest(tmp_path, ("PassThrough", {})), "--on-error", "collect"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 22
    assert lines[-1] == "  and 30 more"


def test_skip_tells_how_many(tmp_path, feed, capsys):
    feed(b"null\n1\n")
    assert main(["run", chain_manifest(tmp_path, ("PassThrough", {})), "--on-error", "skip"]) == 0
    assert capsys.readouterr() == ("1\n", "remotemedia: 1 failed and dropped (--on-error skip)\n")


def test_a_failing_node_ends_the_run(tmp_path, feed, capsys):
    feed(b'6\n\n"x"\n1\n')
    assert main(["run", chain_manifest(tmp_path, ("Multiply", {"multiplier": 1}))]) == 1
    out, err = capsys.readouterr()
    assert float(out) == 6
    lines = err.splitlines()
    assert lines[0].startswith("remotemedia: error: node 'n0' (Multiply) failed in process at item 1: ")
    assert lines[1:] == ["  at line 3 of <stdin>", "  the node was given (str): 'x'"]


def test_a_wrong_param_fails_at_initialize(tmp_path, feed, capsys):
    feed(b"1\n")
    assert main(["run", chain_manifest(tmp_path, ("Multiply", {}))]) == 1
    assert "node 'n0' (Multiply) failed in initialize" in capsys.readouterr().err


def test_the_traceback_is_shown_when_asked_for(tmp_path, feed, capsys, plugins):
    feed(b"1\n")
    assert main(["run", odd(tmp_path, "item.nothing"), "--traceback"]) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "oddities.py" in err
    assert err.count("remotemedia: error:") == 1


def test_metrics_are_told_on_standard_error(echo, feed, capsys):
    feed(b"1\n2\n")
    assert main(["run", echo, "--metrics"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    lines = err.splitlines()
    assert lines[0].startswith("remotemedia: completed, 2 items in, 2 written, ")
    assert lines[1].split() == ["node", "in", "passed", "filtered", "failed", "out", "flushed", "time", "ms"]
    assert lines[3].split()[:-1] == ["n1", "2", "2", "0", "0", "2", "0"]
    assert float(lines[3].split()[-1]) >= 0


def test_metrics_of_a_failed_run_are_those_of_what_was_finished(echo, feed, capsys):
    feed(b"1\nnull\n")
    assert main(["run", echo, "--metrics"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("remotemedia: failed, 2 items in, 1 refused, ")
    assert "remotemedia: error: item 1 is None" in err


# --- params ---


def test_params_are_set_over_those_of_the_manifest(tmp_path, feed, capsys):
    feed(b"3\n")
    manifest = chain_manifest(tmp_path, ("Multiply", {"multiplier": 1}), ("Add", {}))
    options = ["--param", "n0.multiplier=100", "--param", "n0.multiplier=10", "--param", "n1.operand=0.5"]
    assert main(["run", manifest, *options]) == 0
    assert float(capsys.readouterr().out) == 30.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("factor=1", "write NODE.KEY=JSON"),
        ("n0.factor", "write NODE.KEY=JSON"),
        ("n0.=1", "write NODE.KEY=JSON"),
        (".a=1", "write NODE.KEY=JSON"),
        ("", "write NODE.KEY=JSON"),
        ("n0.a=text", "the value is not JSON"),
        ("n0.a=", "the value is not JSON"),
        ("n0.a=NaN", "the value is not JSON"),
        ("n0.a=" + "[" * 100_000, "the value is not JSON"),
        ("n00.a=1", "has no node 'n00'; did you mean 'n0'?"),
        ("other.a=1", "has no node 'other'; it has n0, n1"),
    ],
)
def test_a_param_that_cannot_be_set_is_bad_usage(echo, feed, capsys, text, message):
    feed(b"1\n")
    assert main(["run", echo, "--param", text]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_a_string_param_without_quotes_is_explained(echo, capsys):
    assert main(["run", echo, "--param", "n0.op=add"]) == 2
    assert "a string has double quotes: --param 'n0.op=\"add\"'" in capsys.readouterr().err


# --- bad usage and bad manifests ---


@pytest.mark.parametrize(
    "arguments", [[], ["walk"], ["run"], ["run", "m", "--on-error", "cry"], ["graph", "m", "--format", "png"]]
)
def test_bad_usage_is_status_2(arguments, capsys):
    assert main(arguments) == 2
    assert "usage: remotemedia" in capsys.readouterr().err


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "remotemedia 0.1.0\n"
    assert main(["run", "--help"]) == 0


@pytest.mark.parametrize("command", ["run", "graph"])
def test_a_manifest_that_is_not_there(command, tmp_path, capsys):
    assert main([command, str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.endswith("none.json: the manifest cannot be read: No such file or directory\n")
    assert main([command, str(tmp_path)]) == 2
    assert main([command, "a\0b"]) == 2


def test_a_bad_manifest_tells_all_its_faults_and_spares_the_output(tmp_path, capsys):
    manifest = write_manifest(tmp_path, [{"id": "a b", "node_type": "Echo"}, {"id": "c"}])
    out = tmp_path / "out"
    out.write_text("kept")
    assert main(["run", manifest, "-o", str(out)]) == 2
    err = capsys.readouterr().err
    assert "$.nodes[0].id" in err
    assert "$.nodes[1]" in err
    assert f"in {manifest}" in err
    assert out.read_text() == "kept"


def test_an_unknown_node_type_is_a_bad_manifest(tmp_path, capsys):
    out = tmp_path / "out"
    out.write_text("kept")
    assert main(["run", chain_manifest(tmp_path, ("Ehco", {})), "-o", str(out)]) == 2
    assert "did you mean 'Echo'?" in capsys.readouterr().err
    assert out.read_text() == "kept"


def test_an_unreadable_input_and_an_unwritable_output(echo, tmp_path, capsys):
    assert main(["run", echo, "-i", str(tmp_path / "none")]) == 2
    assert main(["run", echo, "-i", str(tmp_path)]) == 2
    assert main(["run", echo, "-i", str(tmp_path / "none.wav")]) == 2
    assert main(["run", echo, "-i", echo, "-o", str(tmp_path / "none" / "out")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_the_output_must_not_be_what_is_read(echo, tmp_path, capsys):
    data = tmp_path / "data"
    data.write_text("1\n")
    assert main(["run", echo, "-i", str(data), "-o", str(data)]) == 2
    assert main(["run", echo, "-i", str(data), "-o", echo]) == 2
    assert "it is read by this run" in capsys.readouterr().err
    assert data.read_text() == "1\n"


def test_a_wrong_engine_in_the_environment_is_bad_usage(echo, monkeypatch, capsys):
    monkeypatch.setenv("REMOTEMEDIA_ENGINE", "steam")
    assert main(["run", echo]) == 2
    assert "REMOTEMEDIA_ENGINE" in capsys.readouterr().err


def test_manifest_warnings_are_told_once(tmp_path, feed, capsys):
    feed(b"1\n")
    manifest = write_manifest(tmp_path, [{"id": "m", "node_type": "Multiply", "host": "gpu-box:7000"}])
    assert main(["run", manifest, "--param", "m.multiplier=2"]) == 0
    err = capsys.readouterr().err
    assert err.count("remotemedia: warning: ") == 1
    assert "'host'" in err


# --- producers, WAV, NumPy ---


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
    assert all(line.startswith("AudioBlock(samples=array(") for line in lines)
    assert main(["run", manifest, "-i", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "sink 'n0', output 0 (from item 0): JSON cannot hold the item: Object of type ndarray" in err
    assert "--format repr" in err


def test_a_broken_wav_file_fails_the_run(tmp_path, capsys):
    pytest.importorskip("soundfile")
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF----WAV?")
    assert main(["run", chain_manifest(tmp_path, ("PassThrough", {})), "-i", str(path)]) == 1
    assert "not a WAV file" in capsys.readouterr().err


# --- output ---


@pytest.mark.parametrize(
    ("give", "message"),
    [
        ("float('nan')", "Out of range float values"),
        ("[1, {'a': -float('inf')}]", "Out of range float values"),
        ("{1: 2}", "the key 1 is a int, not a string"),
        ("[{'a': ({None: 2},)}]", "the key None is a NoneType, not a string"),
        ("{(1, 2): 2}", "keys must be str"),
        ("{1, 2}", "Object of type set"),
        ("b'bytes'", "Object of type bytes"),
        ("10 ** 5000", "Exceeds the limit"),
        ("(d := [], d.append(d))[0]", "Circular reference"),
        ("__import__('functools').reduce(lambda a, _: [a], range(100_000), 0)", "nested too deep"),
    ],
)
def test_what_json_cannot_hold_fails_with_sink_and_item(tmp_path, feed, capsys, plugins, give, message):
    feed(b"1\n\n2\n")
    assert main(["run", odd(tmp_path, f"item if item == 1 else {give}")]) == 1
    out, err = capsys.readouterr()
    assert out == "1\n"
    expected = "cleaned up\nremotemedia: error: sink 'n1', output 1 (from item 1, line 3 of <stdin>): JSON cannot hold"
    assert err.startswith(expected)
    assert message in err


def test_an_output_of_a_flush_is_named_as_such(tmp_path, feed, capsys, plugins):
    feed(b"1\n2\n")
    manifest = chain_manifest(tmp_path, ("Batcher", {"size": 3}), ("Odd", {"give": "{1}"}))
    assert main(["run", manifest]) == 1
    assert "sink 'n1', output 0 (from a flush): " in capsys.readouterr().err


def test_repr_writes_any_object_on_one_line(tmp_path, feed, capsys, plugins):
    feed(b"1\n")
    give = "[float('nan'), {1: b'x'}, type('T', (), {'__repr__': lambda self: 'a\\n   b'})()]"
    assert main(["run", odd(tmp_path, give), "--format", "repr"]) == 0
    assert capsys.readouterr().out == "[nan, {1: b'x'}, a b]\n"


def test_a_repr_that_raises_fails_the_run(tmp_path, feed, capsys, plugins):
    feed(b"1\n")
    give = "type('T', (), {'__repr__': lambda self: 1 / 0})()"
    assert main(["run", odd(tmp_path, give), "--format", "repr"]) == 1
    assert "the repr of a T raised ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("item", [0, -0.0, 1e300, "ä\u2028\n", "\ud800", [], {}, {"": (1, 2)}, True, 2**200])
def test_json_comes_back_as_it_was(item):
    line = encode_json(item)
    assert b"\n" not in line
    back = json.loads(line)
    assert back == (json.loads(json.dumps(item)))
    assert math.copysign(1, back) == math.copysign(1, item) if isinstance(item, float) else True


def test_output_text_is_utf8_and_not_escaped():
    assert encode_json("ä") == '"ä"'.encode()
    assert encode_repr("ä\ud800") == "'ä\\ud800'".encode()


class Full(io.RawIOBase):
    """A file that takes so many bytes, in small pieces."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        piece = bytes(data[: min(3, self.room)])
        self.room -= len(piece)
        self.taken += piece
        return len(piece)


def test_short_writes_are_carried_on():
    file = Full(1000)
    writer = LineWriter(io.BufferedWriter(file, BUFFER_BYTES), "out", encode_json, live=False)
    for i in range(10):
        writer.write("s", "word" * i, None)
    assert file.taken == b""
    writer.flush()
    assert len(file.taken.splitlines()) == 10
    assert writer.count == 10


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_fails_the_run(echo, feed, capsys):
    feed(b"1\n")
    assert main(["run", echo, "-o", "/dev/full"]) == 1
    assert "/dev/full: the output cannot be written: No space left on device" in capsys.readouterr().err


def test_a_line_cut_by_a_full_disk_is_taken_back(tmp_path):
    class FullFile(io.FileIO):
        room = 10

        def write(self, data) -> int:
            if not self.room:
                raise OSError(28, "No space left on device")
            count = super().write(bytes(data[: self.room]))
            self.room -= count
            return count

    path = tmp_path / "out"
    with io.BufferedWriter(FullFile(path, "w"), BUFFER_BYTES) as file:
        writer = LineWriter(file, str(path), encode_json, live=False, regular=True)
        for item in ("abc", "def", "ghi"):
            writer.write("s", item, None)
            if item == "abc":
                writer.flush()
        with pytest.raises(OutputError, match="No space left"):
            writer.flush()
        writer.flush()  # nothing is left to write
    assert path.read_bytes() == b'"abc"\n'


def test_a_failed_run_leaves_what_was_finished_in_the_file(echo, tmp_path, capsys):
    (tmp_path / "in").write_text("1\n2\nno\n")
    out = tmp_path / "out"
    assert main(["run", echo, "-i", str(tmp_path / "in"), "-o", str(out)]) == 1
    assert [json.loads(line)["input"] for line in out.read_text().splitlines()] == [1, 2]


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


def test_memory_does_not_grow_with_the_input(echo, feed, tmp_path, capsys):
    def peak(count: int) -> int:
        feed(b'"%0100d"\n' % i for i in range(count))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        assert main(["run", echo, "-o", str(tmp_path / "out")]) == 0
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        peak(100)
        small, large = peak(2_000), peak(20_000)
    finally:
        tracemalloc.stop()
    assert large - small < 100_000


def test_only_what_remembers_knows_an_earlier_line():
    for remember in (False, True):
        lines = JsonLines([b"1\n", b"\n", b"2\n"], "f", remember=remember)
        assert list(lines) == [1, 2]
        assert lines.place(1) == "line 3 of f"
        assert lines.place(0) == ("line 1 of f" if remember else None)
        assert lines.place(2) is None
        assert lines.ended
        assert lines.position == 5


def test_a_line_that_is_not_json_is_an_input_error():
    with pytest.raises(InputError, match="line 1 of f is not JSON"):
        list(JsonLines([b"x"], "f"))


# --- ends from outside ---


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
