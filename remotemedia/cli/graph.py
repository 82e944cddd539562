"""``remotemedia graph``: the graph of a manifest as Mermaid, DOT or a tree of text, line by line."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING

from remotemedia.cli.failures import DONE
from remotemedia.cli.manifests import load_manifest
from remotemedia.cli.tables import say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from remotemedia.manifest import Manifest

BRANCH = "├─ "
DEEPEST = 30  # branches below branches


def graph(options: argparse.Namespace) -> int:
    """Draw a manifest; see the options in `remotemedia.cli.parser`."""
    manifest = load_manifest(options.manifest)
    say({"mermaid": mermaid, "dot": dot, "text": tree}[options.format](manifest))
    return DONE


def mermaid(manifest: Manifest) -> Iterator[str]:
    """Give a Mermaid flowchart; nodes are numbered there, for not every id is one to Mermaid (``end``)."""
    numbers = {node.id: i for i, node in enumerate(manifest.nodes)}
    yield "flowchart LR"
    for node in manifest.nodes:
        yield f'    n{numbers[node.id]}["{node.id}<br/>{_mermaid_text(node.node_type)}"]'
    for connection in manifest.connections:
        yield f"    n{numbers[connection.from_]} --> n{numbers[connection.to]}"


def dot(manifest: Manifest) -> Iterator[str]:
    """Give a digraph in Graphviz's DOT."""
    yield f"digraph {_dot_text(str(manifest.metadata['name']))} {{"
    yield "    rankdir=LR;"
    yield "    node [shape=box];"
    for node in manifest.nodes:
        label = _dot_text(node.id)[:-1] + "\\n" + _dot_text(node.node_type)[1:]
        yield f"    {_dot_text(node.id)} [label={label}];"
    for connection in manifest.connections:
        yield f"    {_dot_text(connection.from_)} -> {_dot_text(connection.to)};"
    yield "}"


def tree(manifest: Manifest) -> Iterator[str]:
    """Give a tree below each source; what several branches lead to is drawn at the first, and named at the others.

    An only successor stands below its node with an arrow, not indented, and branches below `DEEPEST` others are drawn
    at the left again: a line's length does not grow with the graph.
    """
    types = {node.id: node.node_type for node in manifest.nodes}
    drawn: set[str] = set()
    roots = deque(manifest.graph.sources)
    while roots:
        root = roots.popleft()
        if root in drawn:  # it was too deep at one place, and not at another
            continue
        waiting = [(root, "", "")]  # node, what stands before its line, and before those of its successors
        while waiting:
            node_id, before, below = waiting.pop()
            if node_id in drawn:
                yield f"{before}{node_id} (see above)"
                continue
            if len(below) > len(BRANCH) * DEEPEST:
                yield f"{before}{node_id} (see below)"
                roots.append(node_id)
                continue
            drawn.add(node_id)
            yield f"{before}{node_id} ({_one_line(types[node_id])})"
            successors = list(manifest.graph.successors(node_id))
            if len(successors) == 1:
                waiting.append((successors[0], f"{below}↓ ", below))
                continue
            branches = [(s, below + BRANCH, f"{below}│  ") for s in successors[:-1]]
            branches += [(s, f"{below}└─ ", f"{below}   ") for s in successors[-1:]]
            waiting += reversed(branches)


def _mermaid_text(text: str) -> str:
    return "".join(c if c.isalnum() or c in " _-.:/" else f"#{ord(c)};" for c in text)


def _dot_text(text: str) -> str:
    return '"' + _one_line(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _one_line(text: str) -> str:
    """Return a text with its control characters escaped."""
    return text if text.isprintable() else json.dumps(text)[1:-1]
