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
    n4["alone<br/>Echo"]
    n0 --> n1
    n0 --> n2
    n1 --> n3
    n2 --> n3
"""
DOT = """\
digraph "test" {
    rankdir=LR;
    node [shape=box];
    "in" [label="in\\nPassThrough"];
    "end" [label="end\\nMy\\"Node]"];
    "b-2" [label="b-2\\nEcho"];
    "join" [label="join\\nEcho"];
    "alone" [label="alone\\nEcho"];
    "in" -> "end";
    "in" -> "b-2";
    "end" -> "join";
    "b-2" -> "join";
}
"""
TREE = """\
in (PassThrough)
├─ end (My"Node])
│  └─ join (Echo)
└─ b-2 (Echo)
   └─ join (see above)
alone (Echo)
"""


@pytest.fixture
def manifest(tmp_path):
    types = {"in": "PassThrough", "end": 'My"Node]', "b-2": "Echo", "join": "Echo", "alone": "Echo"}
    nodes = [{"id": i, "node_type": t} for i, t in types.items()]
    return write_manifest(tmp_path, nodes, "in end, in b-2, end join, b-2 join")


@pytest.mark.parametrize(("name", "text"), [("mermaid", MERMAID), ("dot", DOT), ("text", TREE)])
def test_a_graph_is_drawn(manifest, capsys, name, text):
    assert main(["graph", manifest, "--format", name]) == 0
    assert capsys.readouterr() == (text, "")


def test_a_deep_graph_needs_no_recursion(tmp_path, capsys):
    count = 2000
    nodes = [{"id": f"n{i}", "node_type": "Echo"} for i in range(count)]
    path = write_manifest(tmp_path, nodes, ", ".join(f"n{i} n{i + 1}" for i in range(count - 1)))
    assert main(["graph", path]) == 0
    assert len(capsys.readouterr().out.splitlines()) == count


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
