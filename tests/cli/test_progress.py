from __future__ import annotations

import io
import sys

import pytest
from helpers import chain_manifest

from remotemedia.cli import main


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def echo(tmp_path):
    (tmp_path / "in").write_text("1\n2\n")
    return ["run", chain_manifest(tmp_path, ("Echo", {})), "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")]


def test_a_bar_is_shown_where_standard_error_is_a_terminal(echo, monkeypatch):
    pytest.importorskip("rich")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert main(echo) == 0
    assert "items" in terminal.getvalue()


def test_no_bar_elsewhere(echo, capsys):
    assert main(echo) == 0
    assert capsys.readouterr() == ("", "")


def test_no_bar_where_lines_go_to_the_same_terminal(echo, monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(echo[:-2]) == 0
    assert terminal.getvalue() == ""


def test_no_bar_without_rich(echo, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert main(echo) == 0
    assert terminal.getvalue() == ""


def test_a_terminal_that_is_gone_changes_nothing(echo, monkeypatch, tmp_path):
    pytest.importorskip("rich")

    class Gone(Terminal):
        def write(self, text):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("sys.stderr", Gone())
    monkeypatch.setenv("TERM", "xterm")
    assert main(echo) == 0
    assert len((tmp_path / "out").read_text().splitlines()) == 2
