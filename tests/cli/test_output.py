from __future__ import annotations

import io
import json
import math
import os

import pytest
from helpers import chain_manifest, odd, write_manifest

from remotemedia.cli import main
from remotemedia.cli.encode import encode_json, encode_repr
from remotemedia.cli.failures import OutputError
from remotemedia.cli.writer import BUFFER_BYTES, LineWriter


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


@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_the_first_error_is_told_first_and_those_of_cleanups_below(tmp_path, feed, capsys, plugins, engine):
    feed(b"1\n")
    manifest = chain_manifest(tmp_path, ("Sticky", {}), ("Odd", {"give": "{1}"}))
    assert main(["run", manifest, "--engine", engine]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "cleaned up"
    assert lines[1].startswith("remotemedia: error: sink 'n1', output 0 (from item 0, line 1 of <stdin>): JSON cannot")
    assert "while cleaning up: " in lines[2]
    assert "left early" in lines[2]
    assert len(lines) == 3


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


@pytest.mark.parametrize(
    ("give", "line"),
    [
        ("10 ** 5000", "<int of 16610 bits>"),
        ("-(10 ** 4300)", "<int of 14285 bits>"),
        ("10 ** 4299", "1" + "0" * 4299),
        ("[1, {'a': 10 ** 5000}]", "[1, {'a': <int of 16610 bits>}]"),
        ("__import__('functools').reduce(lambda a, _: [a], range(100_000), 0)", "[[[[[…]]]]]"),
    ],
)
def test_what_python_gives_no_repr_of_is_described(tmp_path, feed, capsys, plugins, give, line):
    feed(b"1\n")
    assert main(["run", odd(tmp_path, give), "--format", "repr"]) == 0
    assert capsys.readouterr() == (line + "\n", "cleaned up\n")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (
            "(_ for _ in ()).throw(type('E', (Exception,), {'__str__': lambda self: 1 / 0}))",
            "E: <its __str__ raised Zero",
        ),
    ],
)
def test_a_repr_that_raises_fails_the_run(tmp_path, feed, capsys, plugins, fault, message):
    feed(b"1\n")
    give = f"type('T', (), {{'__repr__': lambda self: {fault}}})()"
    assert main(["run", odd(tmp_path, give), "--format", "repr"]) == 1
    assert f"sink 'n1', output 0 (from item 0, line 1 of <stdin>): the repr of a T raised {message}" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("item", [0, -0.0, 1e300, "ä\u2028\n", "\ud800", [], {}, {"": (1, 2)}, True, 2**200])
def test_json_comes_back_as_it_was(item):
    line = encode_json(item)
    assert b"\n" not in line
    back = json.loads(line)
    assert back == (json.loads(json.dumps(item)))
    assert math.copysign(1, back) == math.copysign(1, item) if isinstance(item, float) else True


@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_lines_tell_their_sink_if_asked(tmp_path, feed, capsys, engine):
    nodes = [
        {"id": i, "node_type": "Multiply", "params": {"multiplier": m}} for i, m in (("a", 1), ("b-2", 2), ("c", 3))
    ]
    manifest = write_manifest(tmp_path, nodes, "a b-2, a c")
    feed(b"1\n10\n")
    assert main(["run", manifest, "--with-node", "--engine", engine]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == '{"node": "b-2", "item": 2}'
    pairs = [(line["node"], line["item"]) for line in map(json.loads, out.splitlines())]
    assert pairs == [("b-2", 2), ("c", 3), ("b-2", 20), ("c", 30)]
    feed(b"1\n")
    assert main(["run", manifest, "--with-node", "--format", "repr"]) == 0
    assert capsys.readouterr().out == "{'node': 'b-2', 'item': 2}\n{'node': 'c', 'item': 3}\n"


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
