from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """The node types Odd and Numbers are installed, for this process and those that it starts."""
    from helpers import install_plugin

    site = install_plugin(tmp_path)
    monkeypatch.syspath_prepend(str(site))
    yield site
    sys.modules.pop("oddities", None)


@pytest.fixture
def feed(monkeypatch):
    """A function that sets standard input."""
    from helpers import stdin_of

    return lambda lines: monkeypatch.setattr("sys.stdin", stdin_of(lines))


@pytest.fixture
def echo(tmp_path):
    """The path of a manifest of two nodes."""
    from helpers import chain_manifest

    return chain_manifest(tmp_path, ("PassThrough", {}), ("Echo", {}))
