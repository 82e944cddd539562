"""Manifests in files, standard input as given, and a plug-in as a package would install it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support import edges

ROOT = Path(__file__).resolve().parents[2]

PLUGIN = """
import os, signal, sys
import remotemedia as rm

class Odd(rm.NodeExecutor):
    '''Give what params ask for.'''
    PARAMS = {"give": "a Python expression over item"}
    def initialize(self, context):
        self.give = context.params.get("give", "item")
        self.last = context.params.get("last", "None")
        if "signal" in context.params:
            signal.raise_signal(context.params["signal"])
    def process(self, item):
        return eval(self.give)
    def cleanup(self):
        print("cleaned up", file=sys.stderr)
        eval(self.last)

class Sticky(rm.NodeExecutor):
    def process(self, item):
        try:
            yield item
            yield item
        except GeneratorExit:
            raise ValueError("left early")

class Numbers:
    '''Count to n.'''
    def initialize(self, context):
        self.n = context.params["n"]
    def produce(self):
        yield from range(self.n)
    def cleanup(self):
        pass
"""


def write_manifest(folder: Path, nodes: list[dict[str, Any]], connections: str = "", name: str = "m.json") -> str:
    """Write a manifest file and return its path."""
    path = folder / name
    pairs = [{"from": a, "to": b} for a, b in edges(connections)]
    tree = {"version": "v1", "metadata": {"name": "test"}, "nodes": nodes, "connections": pairs}
    path.write_text(json.dumps(tree))
    return str(path)


def chain_manifest(folder: Path, *nodes: tuple[str, dict[str, Any]]) -> str:
    """Write a chain of ``(node type, params)`` with the ids n0, n1, …"""
    specs = [{"id": f"n{i}", "node_type": t, "params": p} for i, (t, p) in enumerate(nodes)]
    return write_manifest(folder, specs, ", ".join(f"n{i} n{i + 1}" for i in range(len(nodes) - 1)))


def odd(folder: Path, give: str) -> str:
    """Write a manifest whose second node gives what a Python expression over ``item`` says; needs `plugins`."""
    return chain_manifest(folder, ("PassThrough", {}), ("Odd", {"give": give}))


def stdin_of(lines: Any) -> Any:
    """A standard input: of bytes, or whatever iterable of lines stands for one."""
    return SimpleNamespace(buffer=io.BytesIO(lines) if isinstance(lines, bytes) else lines)


def install_plugin(folder: Path, broken: bool = False) -> Path:
    """Lay out a package with node types as an installer would; the folder belongs on sys.path."""
    site = folder / "site"
    info = site / "oddities-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "oddities.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: oddities\nVersion: 1.0\n")
    points = "[remotemedia.nodes]\nOdd = oddities:Odd\nNumbers = oddities:Numbers\nSticky = oddities:Sticky\n"
    (info / "entry_points.txt").write_text(points + ("Gone = no_such_module:Gone\n" if broken else ""))
    return site


def environment(*paths: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, *paths]))}


def start(*arguments: str, site: Path | None = None, **options: Any) -> subprocess.Popen[bytes]:
    """Start the program as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "remotemedia", *arguments],
        env=environment(*([] if site is None else [site])),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )
