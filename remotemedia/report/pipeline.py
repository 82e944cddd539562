"""The pipeline as a picture: a box for each node with its counts and time, a line for each connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remotemedia.report.layout import layers_of
from remotemedia.report.markup import Html, count, duration, join, tag

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 184, 90, 64, 24, 12
FITS = 1040  # what a page is wide enough for; a little more is drawn smaller
MOST_DRAWN = 400
MOST_LETTERS = 22


def pipeline_svg(metrics: Mapping[str, Any], types: Mapping[str, str], order: list[str]) -> Html:
    """Return the picture; of a graph of more than `MOST_DRAWN` nodes, a line that says so.

    Parameters
    ----------
    metrics : mapping
        ``result.metrics``.
    types : mapping of str to str
        The node type of each node.
    order : list of str
        The nodes in topological order.
    """
    if len(order) > MOST_DRAWN:
        return tag("p", f"{count(len(order))} nodes are too many to draw; the table below has them all.", class_="note")
    pairs = {name: name.split("->", 1) for name in metrics["connections"]}
    layers = layers_of(order, [(source, target) for source, target in pairs.values()])
    tallest = max(map(len, layers), default=1)
    height = tallest * (HEIGHT + GAP_Y) - GAP_Y + 2 * EDGE
    width = len(layers) * (WIDTH + GAP_X) - GAP_X + 2 * EDGE
    place: dict[str, tuple[int, int]] = {}
    for number, layer in enumerate(layers):
        top = (height - len(layer) * (HEIGHT + GAP_Y) + GAP_Y) // 2
        for position, node in enumerate(layer):
            place[node] = EDGE + number * (WIDTH + GAP_X), top + position * (HEIGHT + GAP_Y)
    nodes = metrics["nodes"]
    whole_ns = sum(counts.get("time_ns", 0) for counts in nodes.values())
    lines = [_line(place[a], place[b], a, b, metrics["connections"][name]) for name, (a, b) in pairs.items()]
    boxes = [_box(place[node], node, types.get(node, ""), nodes[node], whole_ns) for node in order]
    picture = tag(
        "svg",
        tag("title", "The pipeline"),
        tag("desc", f"{len(order)} nodes and {len(pairs)} connections, items go from left to right"),
        *lines,
        *boxes,
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label="The pipeline, items go from left to right; the table below says the same",
        class_="fits" if width <= FITS else "nearly" if width <= 1.4 * FITS else None,
    )
    return tag("div", picture, class_="scroll", tabindex=0, role="region", aria_label="The pipeline as a picture")


def _box(at: tuple[int, int], node: str, node_type: str, counts: Mapping[str, Any], whole_ns: int) -> Html:
    x, y = at
    time_ns = counts.get("time_ns")
    share = time_ns / whole_ns if time_ns and whole_ns else 0.0
    told = f"{count(counts['in'])} in, {count(counts['out'] + counts['flushed'])} out"
    timed = "" if time_ns is None else f"{duration(time_ns)} · {share:.0%}"
    return tag(
        "g",
        tag(
            "title", f"{node} ({node_type}): {told}; {counts['filtered']} filtered, {counts['failed']} failed; {timed}"
        ),
        tag("rect", x=x, y=y, width=WIDTH, height=HEIGHT, rx=8, class_="box failed" if counts["failed"] else "box"),
        tag("text", _short(node), x=x + 12, y=y + 20, class_="id"),
        tag("text", _short(node_type), x=x + 12, y=y + 36, class_="type"),
        tag("text", told, x=x + 12, y=y + 54, class_="counts"),
        *(_time(x + 12, y + 70, timed, share) if timed else ()),
    )


def _time(x: int, y: int, timed: str, share: float) -> tuple[Html, ...]:
    whole = WIDTH - 24
    return (
        tag("text", timed, x=x, y=y, class_="time"),
        tag("rect", x=x, y=y + 8, width=whole, height=3, rx=1.5, class_="rail"),
        tag("rect", x=x, y=y + 8, width=f"{share * whole:.1f}", height=3, rx=1.5, class_="share"),
    )


def _line(a: tuple[int, int], b: tuple[int, int], source: str, target: str, counts: Mapping[str, int]) -> Html:
    x1, y1, x2, y2 = a[0] + WIDTH, a[1] + HEIGHT // 2, b[0], b[1] + HEIGHT // 2
    bend = (x2 - x1) // 2
    dropped = counts["dropped"]
    return join(
        tag(
            "path",
            tag("title", f"{source} to {target}: {counts['sent']} sent, {dropped} dropped"),
            d=f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2 - 5} {y2}",
            class_="line",
        ),
        tag("path", d=f"M{x2 - 8} {y2 - 4}L{x2 - 1} {y2}L{x2 - 8} {y2 + 4}Z", class_="head"),
        tag(
            "text",
            count(counts["sent"]) + (f" (−{count(dropped)})" if dropped else ""),
            x=(x1 + x2) // 2,
            y=(y1 + y2) // 2 - 6,
            class_="sent",
        ),
    )


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…"
