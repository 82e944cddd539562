from __future__ import annotations

import json

import pytest
from helpers import install_plugin

import remotemedia as rm
from remotemedia.cli import main


def test_every_type_is_listed(capsys):
    assert main(["nodes", "--format", "json"]) == 0
    listed = {entry["node_type"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert set(listed) <= set(rm.NodeRegistry().node_types())
    assert {"PassThrough", "Echo", "Batcher"} <= set(listed)
    assert listed["Multiply"]["params"] == {"multiplier": "number; required"}
    assert listed["PassThrough"]["params"] == {}
    assert all(entry["description"] for entry in listed.values())


def test_one_type_with_its_params(capsys):
    assert main(["nodes", "Multiply"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("Multiply: ")
    assert out[1] == "    multiplier: number; required"
    assert main(["nodes", "Multiply", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["node_type"] == "Multiply"


def test_a_table_has_a_row_for_each(capsys):
    assert main(["nodes", "Calculator", "--format", "table"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["node", "type", "params", "description"]
    assert row.startswith("Calculator  operation, operand  ")


def test_an_unknown_type_is_bad_usage(capsys):
    assert main(["nodes", "Ehco"]) == 2
    assert "did you mean 'Echo'?" in capsys.readouterr().err


def test_plugins_are_listed_and_broken_ones_told_of(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(install_plugin(tmp_path, broken=True)))
    assert main(["nodes"]) == 0
    out, err = capsys.readouterr()
    assert "Odd: Give what params ask for.\n    give: a Python expression over item\n" in out
    assert "Numbers: Count to n.\n    params: not declared\n" in out
    assert "Gone" not in out
    assert err.startswith("remotemedia: warning: the plug-in of node type 'Gone' (no_such_module:Gone, from oddities)")
    assert main(["nodes", "Gone"]) == 2


def test_a_plugin_that_is_not_used_does_not_hide_the_node_that_is(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "usurper-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: usurper\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[remotemedia.nodes]\nEcho = remotemedia.nodes:Counter\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["nodes"]) == 0
    out, err = capsys.readouterr()
    assert "Echo: " in out
    assert "the plug-in of node type 'Echo' (remotemedia.nodes:Counter, from usurper) is not used" in err


@pytest.mark.parametrize("fault", ["__init__", "info"])
@pytest.mark.parametrize("error", [OSError, SystemExit])
def test_a_type_that_cannot_be_described_does_not_hide_the_others(monkeypatch, capsys, fault, error):
    def fail(*_):
        raise error("no licence")

    broken = type("Broken", (rm.NodeExecutor,), {fault: fail})
    registry = rm.NodeRegistry()
    registry.register("Broken", broken)
    monkeypatch.setattr("remotemedia.cli.nodes.NodeRegistry", lambda: registry)
    assert main(["nodes"]) == 0
    out, err = capsys.readouterr()
    assert "Echo: " in out
    assert "'Broken'" in err
    assert "no licence" in err
