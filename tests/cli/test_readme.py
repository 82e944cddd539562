"""The commands that README and the example's page show work as they stand, in a clone after `make run`."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from helpers import ROOT, environment

PROGRAM = ".venv/bin/remotemedia"


def commands(page: str, heading: str) -> list[str]:
    """The commands of the first block of shell below a heading, without the comments behind them."""
    text = f"\n{(ROOT / page).read_text(encoding='utf-8')}".partition(f"\n{heading}\n")[2]
    block = re.search(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    return [line.partition("   # ")[0].rstrip() for line in block[1].splitlines() if line]


def run(command: str) -> str:
    """Run a command with the package and interpreter that are tested; return what it writes."""
    programs = {"remotemedia": f"{sys.executable} -m remotemedia", "python": sys.executable}
    shown = re.sub(r"\.venv/bin/(\w+)", lambda match: programs[match[1]], command)
    done = subprocess.run(
        ["sh", "-c", shown], cwd=ROOT, env={**environment(), "PYTHONIOENCODING": "utf-8"}, stdin=subprocess.DEVNULL,
        capture_output=True, encoding="utf-8", timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout


def test_the_command_line_block_works_as_it_stands():
    pytest.importorskip("soundfile")
    shown = commands("README.md", "## Command line")
    assert all(command.count(PROGRAM) == 1 for command in shown)
    assert {command.partition(PROGRAM)[2].split()[0] for command in shown} == {"run", "validate", "nodes", "graph"}
    outputs = [run(command) for command in shown]
    assert all(outputs)
    named = [json.loads(out) for command, out in zip(shown, outputs, strict=True) if "--with-node" in command]
    assert [sorted(line) for line in named] == [["item", "node"]]


def test_the_two_ways_to_the_segments_of_the_example_give_the_same():
    pytest.importorskip("soundfile")
    shown = commands("examples/speech/README.md", "# Speech: where does somebody speak?")
    segments = {run(command) for command in shown if command.startswith(".venv/")}
    assert len(segments) == 1
    assert len(segments.pop().splitlines()) == 4


def test_the_program_is_where_the_block_looks_for_it():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "VENV ?= .venv\n" in text
    assert "remotemedia = " in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
