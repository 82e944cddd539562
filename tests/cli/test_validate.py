from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from helpers import chain_manifest, environment, write_manifest

from remotemedia.cli import main


def test_a_valid_manifest(tmp_path, capsys):
    path = chain_manifest(tmp_path, ("PassThrough", {}), ("Echo", {}))
    assert main(["validate", path]) == 0
    assert capsys.readouterr() == (f"{path}: valid, 2 nodes, 1 connections\n", "")


def test_every_fault_of_every_file_is_told(tmp_path, capsys):
    good = chain_manifest(tmp_path, ("Echo", {}))
    cycle = write_manifest(tmp_path, [{"id": i, "node_type": "Echo"} for i in "ab"], "a b, b a", "cycle.json")
    unknown = write_manifest(
        tmp_path, [{"id": "a", "node_type": "Ehco"}, {"id": "b", "node_type": "Add?"}], "", "u.json"
    )
    none = str(tmp_path / "none.json")
    assert main(["validate", good, cycle, unknown, none]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith(f"{good}: valid")
    assert lines[1].startswith(f"{cycle}: $")
    assert "a -> b -> a" in lines[1]
    assert lines[2].startswith(f"{unknown}: $.nodes[0].node_type: node 'a': node type 'Ehco' is unknown")
    assert lines[3].startswith(f"{unknown}: $.nodes[1].node_type: ")
    assert lines[4] == f"{none}: the manifest cannot be read: No such file or directory"


def test_json_has_paths_and_warnings(tmp_path, capsys):
    bad = write_manifest(tmp_path, [{"id": "a b", "node_type": "Echo"}])
    warned = write_manifest(tmp_path, [{"id": "a", "node_type": "Echo", "host": "box:7000"}], "", "w.json")
    assert main(["validate", bad, warned, "--format", "json"]) == 2
    first, second = json.loads(capsys.readouterr().out)
    assert (first["file"], first["valid"]) == (bad, False)
    assert first["errors"][0]["path"] == "$.nodes[0].id"
    assert second["valid"]
    assert second["errors"] == []
    assert "'host'" in second["warnings"][0]
    assert (second["nodes"], second["connections"]) == (1, 0)
    assert main(["validate", warned]) == 0
    assert "warning: " in capsys.readouterr().out


def test_faults_that_only_the_nodes_show(tmp_path, capsys, plugins):
    nodes = [{"id": "a", "node_type": "Echo"}, {"id": "b", "node_type": "Numbers", "params": {"n": 1}}]
    assert main(["validate", write_manifest(tmp_path, nodes, "a b")]) == 2
    out = capsys.readouterr().out
    assert "'b'" in out
    assert "produce" in out


@pytest.mark.parametrize(
    "encoding", ["ascii", "latin-1", "utf-8", "ascii:backslashreplace", "utf-16", "utf-8:surrogateescape"]
)
@pytest.mark.parametrize("name", ["nopé.json", "日本.json", "broken\udce9.json", "a\\b\u2028.json"])
def test_json_is_json_in_every_encoding(encoding, name):
    command = [sys.executable, "-m", "remotemedia", "validate", "--format", "json", os.fsencode(name)]
    done = subprocess.run(command, env={**environment(), "PYTHONIOENCODING": encoding}, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, b"")
    text = done.stdout.decode("utf-16" if encoding == "utf-16" else "utf-8")
    assert json.loads(text)[0]["file"] == name
    if encoding == "utf-8" and name.isprintable():
        assert name in text.replace("\\\\", "\\")


def test_text_is_escaped_where_the_encoding_lacks_it():
    command = [sys.executable, "-m", "remotemedia", "validate", "nopé.json"]
    done = subprocess.run(command, env={**environment(), "PYTHONIOENCODING": "ascii"}, capture_output=True, timeout=60)
    assert done.stdout.startswith(b"nop\\xe9.json: the manifest cannot be read: ")
