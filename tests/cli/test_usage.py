from __future__ import annotations

import pytest
from helpers import chain_manifest, write_manifest

from remotemedia.cli import main


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
        ('n0.a="\\ud800"', "the value holds a lone surrogate (\\ud800), which no UTF-8 text can hold"),
        ("n0.a=" + "[" * 100_000, "the value is nested too deep"),
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


# --- bad usage ---


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
