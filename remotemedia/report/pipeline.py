"""The pipeline as a picture: a box for each node with its counts and time, a line for each connection."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from remotemedia.report.layout import Place, depths_of, layers_of, way_of
from remotemedia.report.markup import Html, count, duration, join, some, tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 184, 90, 64, 24, 12
CROSSING = 14  # the height of a layer's part that a connection takes which crosses it
FITS = 1040  # what a page is wide enough for; a little more is drawn smaller
MOST_DRAWN = 400
MOST_LINES = 2000  # connections, one over several layers as many times
MOST_LETTERS = 22


def pipeline_svg(metrics: Mapping[str, Any], types: Mapping[str, str], order: list[str]) -> Html:
    """Return the picture; of a graph of more than `MOST_DRAWN` nodes or `MOST_LINES` lines, a line that says so.

    Parameters
    ----------
    metrics : mapping
        ``result.metrics``.
    types : mapping of str to str
        The node type of each node.
    order : list of str
        The nodes in topological order.
    """
    pairs = {name: name.split("->", 1) for name in metrics["connections"]}
    depths = depths_of(order, [(source, target) for source, target in pairs.values()])
    lines = sum(depths[target] - depths[source] for source, target in pairs.values())
    if len(order) > MOST_DRAWN or lines > MOST_LINES:
        graph = f"{some(len(order), 'node')} and {some(len(pairs), 'connection')}"
        return tag("p", f"{graph} are too many to draw; the table below has the nodes.", class_="note")
    ways = {name: way_of(source, target, depths) for name, (source, target) in pairs.items()}
    place, width, height = _spots(layers_of(ways.values(), depths))
    nodes = metrics["nodes"]
    whole_ns = sum(counts.get("time_ns", 0) for counts in nodes.values())
    drawn = [
        _line([place[stop] for stop in way], f"{way[0]} to {way[-1]}", metrics["connections"][name])
        for name, way in ways.items()
    ]
    boxes = [_box(place[node], node, types.get(node, ""), nodes[node], whole_ns) for node in order]
    picture = tag(
        "svg",
        tag("title", "The pipeline"),
        tag("desc", f"{some(len(order), 'node')} and {some(len(pairs), 'connection')}, items go from left to right"),
        *(line for line, _ in drawn),
        *(number for _, number in drawn),  # no line goes over them
        *boxes,
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label="The pipeline, items go from left to right; the table below says the same",
        class_="fits" if width <= FITS else "nearly" if width <= 1.4 * FITS else None,
    )
    return tag("div", picture, class_="scroll tall", tabindex=0, role="region", aria_label="The pipeline as a picture")


def _box(at: tuple[int, int], node: str, node_type: str, counts: Mapping[str, Any], whole_ns: int) -> Html:
    x, y = at
    time_ns = counts.get("time_ns")
    share = time_ns / whole_ns if time_ns and whole_ns else 0.0
    told = f"{count(counts['in'])} in, {count(counts['out'] + counts['flushed'])} out"
    timed = "" if time_ns is None else f"{duration(time_ns)} · {share:.0%}"
    failed = f"{count(counts['failed'])} failed" if counts["failed"] else None
    return tag(
        "g",
        tag(
            "title", f"{node} ({node_type}): {told}; {counts['filtered']} filtered, {counts['failed']} failed; {timed}"
        ),
        tag("rect", x=x, y=y, width=WIDTH, height=HEIGHT, rx=8, class_="box failed" if failed else "box"),
        tag("text", _short(node), x=x + 12, y=y + 20, class_="id"),
        tag("text", _short(node_type), x=x + 12, y=y + 36, class_="type"),
        tag("text", told, x=x + 12, y=y + 54, class_="counts"),
        *(_time(x + 12, y + 70, timed, share) if timed else ()),
        tag("text", failed, x=x + WIDTH - 12, y=y + 70, class_="failures") if failed else None,
    )


def _time(x: int, y: int, timed: str, share: float) -> tuple[Html, ...]:
    whole = WIDTH - 24
    return (
        tag("text", timed, x=x, y=y, class_="time"),
        tag("rect", x=x, y=y + 8, width=whole, height=3, rx=1.5, class_="rail"),
        tag("rect", x=x, y=y + 8, width=f"{share * whole:.1f}", height=3, rx=1.5, class_="share"),
    )


def _line(stops: Sequence[tuple[int, int]], told: str, counts: Mapping[str, int]) -> tuple[Html, Html]:
    """Return a connection, curves between the layers and straight through those that it crosses; and its count."""
    middles = [(x, y + HEIGHT // 2) for x, y in stops]
    (x, y), dropped = middles[0], counts["dropped"]
    way = f"M{x + WIDTH} {y}"
    for (x1, y1), (x2, y2) in pairwise(middles):
        is_end = (x2, y2) == middles[-1]
        bend = (x2 - x1 - WIDTH) // 2
        way += f"C{x1 + WIDTH + bend} {y1} {x2 - bend} {y2} {x2 - 5 * is_end} {y2}"
        way += "" if is_end else f"H{x2 + WIDTH}"
    x_end, y_end = middles[-1]
    if len(stops) == 2:
        at = (x + WIDTH + x_end) // 2, (y + y_end) // 2 - 6
    else:  # where it crosses its first layer there is room
        at = middles[1][0] + WIDTH // 2, middles[1][1] - 6
    line = join(
        tag("path", tag("title", f"{told}: {counts['sent']} sent, {dropped} dropped"), d=way, class_="line"),
        tag("path", d=f"M{x_end - 8} {y_end - 4}L{x_end - 1} {y_end}L{x_end - 8} {y_end + 4}Z", class_="head"),
    )
    number = count(counts["sent"]) + (f" (−{count(dropped)})" if dropped else "")
    return line, tag("text", number, x=at[0], y=at[1], class_="sent")


def _spots(layers: Sequence[Sequence[Place]]) -> tuple[dict[Place, tuple[int, int]], int, int]:
    """Return the corner of each place, that of a crossing as if it were a box around it, and the picture's size."""

    def height_of(place: Place) -> int:
        return CROSSING if isinstance(place, tuple) else HEIGHT

    heights = [sum(height_of(place) + GAP_Y for place in layer) - GAP_Y for layer in layers]
    whole = max(heights, default=HEIGHT) + 2 * EDGE
    spots: dict[Place, tuple[int, int]] = {}
    for number, (layer, height) in enumerate(zip(layers, heights, strict=True)):
        y = (whole - height) // 2
        for place in layer:
            spots[place] = EDGE + number * (WIDTH + GAP_X), y - (HEIGHT - height_of(place)) // 2
            y += height_of(place) + GAP_Y
    return spots, len(layers) * (WIDTH + GAP_X) - GAP_X + 2 * EDGE, whole


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…"
