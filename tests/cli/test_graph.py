from __future__ import annotations

import io
import sys

import pytest
from helpers import write_manifest

from remotemedia.cli import main

MERMAID = """\
flowchart LR
    n0["in<br/>PassThrough"]
    n1["end<br/>My#34;Node#93;"]
    n2["b-2<br/>Echo"]
    n3["join<br/>Echo"]
    n4["last<br/>Echo"]
    n5["alone<br/>Echo"]
    n0 --> n1
    n0 --> n2
    n1 --> n3
    n2 --> n3
    n3 --> n4
"""
DOT = """\
digraph "test" {
    rankdir=LR;
    node [shape=box];
    "in" [label="in\\nPassThrough"];
    "end" [label="end\\nMy\\"Node]"];
    "b-2" [label="b-2\\nEcho"];
    "join" [label="join\\nEcho"];
    "last" [label="last\\nEcho"];
    "alone" [label="alone\\nEcho"];
    "in" -> "end";
    "in" -> "b-2";
    "end" -> "join";
    "b-2" -> "join";
    "join" -> "last";
}
"""
TREE = """\
in (PassThrough)
├─ end (My"Node])
│  ↓ join (Echo)
│  ↓ last (Echo)
└─ b-2 (Echo)
   ↓ join (see above)
alone (Echo)
"""


@pytest.fixture
def manifest(tmp_path):
    types = {"in": "PassThrough", "end": 'My"Node]', "b-2": "Echo", "join": "Echo", "last": "Echo", "alone": "Echo"}
    nodes = [{"id": i, "node_type": t} for i, t in types.items()]
    return write_manifest(tmp_path, nodes, "in end, in b-2, end join, b-2 join, join last")


@pytest.mark.parametrize(("name", "text"), [("mermaid", MERMAID), ("dot", DOT), ("text", TREE)])
def test_a_graph_is_drawn(manifest, capsys, name, text):
    assert main(["graph", manifest, "--format", name]) == 0
    assert capsys.readouterr() == (text, "")


def drawn(folder, connections, capsys):
    """The lines of a graph, one node for each end of a connection."""
    ids = dict.fromkeys(i for pair in connections.split(", ") for i in pair.split())
    path = write_manifest(folder, [{"id": i, "node_type": "Echo"} for i in ids], connections)
    assert main(["graph", path]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_long_chain_stays_at_the_left(tmp_path, capsys):
    lines = drawn(tmp_path, ", ".join(f"n{i} n{i + 1}" for i in range(9_999)), capsys)
    assert lines[:2] == ["n0 (Echo)", "↓ n1 (Echo)"]
    assert lines[-1] == "↓ n9999 (Echo)"
    assert len(lines) == 10_000


@pytest.mark.parametrize("leaf_first", [True, False])
def test_branches_below_branches_take_little_room(tmp_path, capsys, leaf_first):
    def pair(i):
        pairs = f"n{i} n{i + 1}", f"n{i} leaf{i}"
        return ", ".join(reversed(pairs) if leaf_first else pairs)

    count = 5_000
    lines = drawn(tmp_path, ", ".join(map(pair, range(count))), capsys)
    assert max(map(len, lines)) < 150
    assert {line.lstrip("↓│├└─ ").removesuffix(" (Echo)") for line in lines if "below" not in line} == {
        f"{name}{i}" for name, last in (("n", count + 1), ("leaf", count)) for i in range(last)
    }


def test_what_lies_too_deep_is_drawn_below(tmp_path, capsys):
    lines = drawn(tmp_path, ", ".join(f"n{i} n{i + 1}, n{i} m{i}, m{i} n{i + 1}" for i in range(60)), capsys)
    (at,) = (i for i, line in enumerate(lines) if line.endswith("n31 (see below)"))
    assert lines.index("n31 (Echo)") > at
    assert sum(line.endswith("(Echo)") for line in lines) == 121


def test_a_terminal_without_unicode_gets_escapes(manifest, monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    assert main(["graph", manifest]) == 0
    stdout.flush()
    assert b"\\u251c\\u2500 end" in stdout.buffer.getvalue()


def test_a_faulty_graph_is_not_drawn(tmp_path, capsys):
    path = write_manifest(tmp_path, [{"id": "a", "node_type": "Echo"}], "a a")
    assert main(["graph", path]) == 2
    assert capsys.readouterr().out == ""
