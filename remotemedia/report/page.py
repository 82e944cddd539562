"""The page: its sections, from what is looked for first to what makes the run repeatable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from remotemedia.errors import NodeError, bounded_repr, bounded_text
from remotemedia.report.histogram import histogram_svg
from remotemedia.report.markup import Html, count, duration, join, some, tag, text
from remotemedia.report.pipeline import pipeline_svg
from remotemedia.report.story import MOST_RESULTS, Story, versions
from remotemedia.report.style import CSS, POLICY
from remotemedia.report.waveform import waveform_svg

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_ROWS = 1000
MOST_ERRORS = 100
MOST_HISTOGRAMS = 200
MOST_MANIFEST = 200_000
TONES = {"completed": "good", "completed_with_errors": "warm"}


def report_html(story: Story) -> str:
    """Return the page about a run."""
    sections = [
        _head(story),
        _totals(story),
        _failure(story),
        _audio(story),
        *(
            _pipeline(story)
            if story.metrics
            else [tag("p", "The run ended before anything was counted.", class_="note")]
        ),
        _errors(story),
        _results(story),
        _settings(story),
    ]
    head = join(
        Html('<meta charset="utf-8">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="referrer" content="no-referrer">'),
        tag("title", f"{story.title} · {story.status.replace('_', ' ')}"),
        Html(f"<style>{CSS}</style>"),
    )
    foot = tag("footer", "Made by remotemedia. The page holds all it shows, and asks nobody for anything.")
    body = join(tag("main", *sections), foot)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def summary_html(story: Story) -> str:
    """Return what a notebook shows: the picture if it is small, and the counts; no style of a page."""
    metrics = story.metrics
    # a notebook's own style sheet is not touched: this one holds within its element alone
    scoped = "\n".join(f".remotemedia-run {line}" for line in NOTEBOOK_CSS)
    parts: list[Html | None] = [
        Html(f"<style>{scoped}</style>"),
        tag("p", tag("strong", story.title), f" — {_line_of(story)}"),
    ]
    parts.append(_table_of_nodes(story, 100))
    if len(metrics["nodes"]) > 100:
        parts.append(tag("p", f"… and {count(len(metrics['nodes']) - 100)} more nodes"))
    return tag("div", *parts, class_="remotemedia-run")


NOTEBOOK_CSS = (
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}",
    "th,.remotemedia-run td{padding:2px 10px;text-align:left}",
    ".n{text-align:right;white-space:nowrap}",
)


def _line_of(story: Story) -> str:
    metrics = story.metrics
    parts = [
        story.status.replace("_", " "),
        f"{count(metrics['items_in'])} items in, {count(story.result_count)} out",
        some(story.error_count, "error") if story.error_count else "",
        duration(metrics["duration_ns"]),
        f"engine {story.engine}",
    ]
    return ", ".join(part for part in parts if part)


def _head(story: Story) -> Html:
    tone = TONES.get(story.status, "bad")
    status = tag("span", story.status.replace("_", " "), class_=f"status {tone}")
    told = story.manifest.metadata.get("description") if story.manifest is not None else None
    return join(
        tag("header", tag("h1", text(story.title, 200)), status), tag("p", told, class_="note") if told else None
    )


def _totals(story: Story) -> Html | None:
    metrics = story.metrics
    if not metrics:
        return None
    totals = [
        ("Items in", count(metrics["items_in"])),
        ("Results", count(story.result_count)),
        ("Errors", count(story.error_count)),
        ("Duration", duration(metrics["duration_ns"])),
        ("Nodes", count(len(metrics["nodes"]))),
        ("Engine", story.engine),
    ]
    if metrics["refused"]:
        totals.insert(1, ("Refused", count(metrics["refused"])))
    waveform = story.waveform
    if waveform is not None and waveform.length_ns and metrics["duration_ns"]:
        totals.insert(4, ("Audio", duration(waveform.length_ns)))
        speed = waveform.length_ns / metrics["duration_ns"]
        totals.insert(5, ("Times real time", f"{count(round(speed)) if speed >= 100 else f'{speed:.3g}'}×"))
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in totals), class_="totals")


def _failure(story: Story) -> Html | None:
    failure = story.failure
    if failure is None:
        return None
    notes = getattr(failure, "__notes__", None)
    notes = notes if isinstance(notes, list) else []
    told = "\n".join([_told(failure), *(note for note in notes if isinstance(note, str))])
    return _section("What ended it", tag("pre", text(told, 10_000), class_="bad"))


def _audio(story: Story) -> Html | None:
    segments = story.segments
    if story.waveform is None and not segments:
        return None
    picture = tag(
        "div", waveform_svg(story.waveform, segments), class_="scroll", tabindex=0, role="region", aria_label="Waveform"
    )
    rows = [
        [text(str(number)), text(f"{start:.3f}"), text(f"{end:.3f}"), text(f"{end - start:.3f}"), told]
        for number, (start, end, told) in enumerate(segments[:MOST_ROWS], 1)
    ]
    listed = _more(len(segments), MOST_ROWS)
    table = _table(f"Segments{listed}", ["#n", "start s#n", "end s#n", "length s#n", "text"], rows) if rows else None
    inside = tag("details", tag("summary", f"The {count(len(segments))} segments as a table"), table) if table else None
    return _section("Audio" if story.waveform is not None else "Segments", picture, inside)


def _pipeline(story: Story) -> list[Html | None]:
    metrics = story.metrics
    types = _types(story)
    order = _order(story)
    return [
        _section("Pipeline", pipeline_svg(metrics, types, order)),
        _section("Nodes", _scroll(_table_of_nodes(story, MOST_ROWS), "Table of the nodes")),
        _section("Time of calls", _histograms(metrics["nodes"], order)),
    ]


def _order(story: Story) -> list[str]:
    nodes = story.metrics["nodes"]
    if story.manifest is None:
        return list(nodes)
    return [node for node in story.manifest.graph.execution_order if node in nodes]


def _types(story: Story) -> dict[str, str]:
    return {} if story.manifest is None else {spec.id: spec.node_type for spec in story.manifest.nodes}


def _table_of_nodes(story: Story, most: int) -> Html:
    nodes, types, order = story.metrics["nodes"], _types(story), _order(story)
    timed = any("time_ns" in counts for counts in nodes.values())
    whole_ns = sum(counts.get("time_ns", 0) for counts in nodes.values()) or 1
    heads = ["node#h", "type", "in#n", "passed#n", "filtered#n", "failed#n", "out#n", "flushed#n"]
    heads += ["time#n", "share#n", "p50#n", "p95#n", "p99#n", "longest#n"] if timed else []
    rows = []
    for node in order[:most]:
        counts = nodes[node]
        row: list[object] = [text(node, 80), text(types.get(node, ""), 80)]
        row += [count(counts[name]) for name in ("in", "passed", "filtered", "failed", "out", "flushed")]
        if timed:
            row += [duration(counts["time_ns"]), f"{counts['time_ns'] / whole_ns:.0%}"]
            called = counts["processing"]["count"]
            keys = ("p50_ns", "p95_ns", "p99_ns", "max_ns")
            row += [duration(counts["processing"][key]) if called else "–" for key in keys]
        rows.append(row)
    return _table(f"Items and times of each node, in the order in which they run{_more(len(order), most)}", heads, rows)


def _histograms(nodes: Mapping[str, Any], order: list[str]) -> Html:
    timed = [node for node in order if nodes[node].get("processing", {}).get("buckets")]
    if not timed:
        how = 'Times were not measured: run with metrics="time" (the command line\'s --report does).'
        return tag("p", how, class_="note")
    timed.sort(key=lambda node: -nodes[node]["time_ns"])
    cards = []
    for node in timed[:MOST_HISTOGRAMS]:
        processing = nodes[node]["processing"]
        told = f"{count(processing['count'])} calls, half within {duration(processing['p50_ns'])}"
        cards.append(
            tag(
                "figure",
                tag("h3", text(node, 80)),
                tag("figcaption", told),
                histogram_svg(node, processing),
                class_="card",
            )
        )
    legend = "Logarithmic in time; dashed: p50, p95 and, warmer, p99. The node that took the most time comes first"
    return join(
        tag("p", legend + _more(len(timed), MOST_HISTOGRAMS) + ".", class_="note"), tag("div", *cards, class_="cards")
    )


def _errors(story: Story) -> Html | None:
    if not story.error_count:
        return None
    if not story.errors:
        return None if story.failure is not None and story.error_count == 1 else _section("Errors", _not_kept(story))
    rows = []
    for error in story.errors[:MOST_ERRORS]:
        cause = error.__cause__
        what = _told(cause) if cause is not None else bounded_text(error)
        node = error.node_id if isinstance(error, NodeError) else None
        phase = error.phase if isinstance(error, NodeError) else "input"
        given = error.input_repr if isinstance(error, NodeError) else None
        index = error.item_index
        rows.append(
            [tag("strong", text(node or "–", 80)), phase, "–" if index is None else count(index), what, given or ""]
        )
    caption = f"What failed, and the item that it failed for{_more(story.error_count, len(rows))}"
    return _section(
        "Errors",
        _scroll(_table(caption, ["node", "phase", "item#n", "what#w", "the item#w"], rows), "Table of the errors"),
    )


def _not_kept(story: Story) -> Html:
    """Return where the errors are that the page has not got."""
    told = f"{count(story.error_count)} failed; none of them was kept"
    if story.settings.get("error policy") == "skip":
        told += ': error_policy="collect" keeps what was wrong with each'
    elif story.status == "failed" and story.failure is None:
        told += ": error.partial.to_html(failure=error) tells what ended the run"
    return tag("p", f"{told}.", class_="note")


def _told(error: BaseException) -> str:
    """Return the type and the text of an error; a user's ``__str__`` may raise."""
    return f"{type(error).__name__}: {bounded_text(error, 8000)}"


def _results(story: Story) -> Html | None:
    if not story.result_count:
        return None
    shown = story.results[:MOST_RESULTS]
    if not shown:
        told = f"{count(story.result_count)} were handed out as they came; none of them was kept."
        return _section("Results", tag("p", told, class_="note"))
    with_sink = any(sink is not None for sink, _ in shown)
    rows = []
    for number, (sink, item) in enumerate(shown):
        row: list[object] = [count(number), sink or ""] if with_sink else [count(number)]
        rows.append([*row, tag("code", bounded_repr(item))])
    heads = ["#n", "node", "item#w"] if with_sink else ["#n", "item#w"]
    caption = f"What came out{_more(story.result_count, len(rows))}"
    return _section("Results", _scroll(_table(caption, heads, rows), "Table of the results"))


def _settings(story: Story) -> Html:
    settings = {"engine": story.engine, **story.settings}
    if story.metrics:
        timed = any("time_ns" in counts for counts in story.metrics["nodes"].values())
        settings["metrics"] = "time" if timed else "counts"
    rows = [[name, value] for name, value in (settings | versions()).items()]
    parts = [_scroll(_table("What makes the run repeatable", ["#h", ""], rows), "Table of the settings")]
    if story.manifest is not None:
        manifest = text(_manifest_text(story), MOST_MANIFEST)
        parts.append(tag("details", tag("summary", "The manifest, as JSON"), tag("pre", manifest, tabindex=0)))
    return _section("Settings", *parts)


def _manifest_text(story: Story) -> str:
    assert story.manifest is not None
    try:
        return json.dumps(story.manifest.to_dict(), indent=2, ensure_ascii=False)
    except Exception as error:  # params of a pipeline built in Python may be anything
        return f"the manifest cannot be shown as JSON: {error}"


def _section(title: str, *children: Html | None) -> Html:
    return tag("section", tag("h2", title), *children)


def _scroll(table: Html, told: str) -> Html:
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=told)


def _more(whole: int, shown: int) -> str:
    return f"; the first {count(shown)} of {count(whole)}" if whole > shown else ""


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """Return a table; a head that ends in ``#n`` is of numbers, ``#w`` of text that needs room, ``#h`` of row heads."""
    kinds = [{"#n": "n", "#w": "wide", "#h": "row"}.get(head[-2:]) for head in heads]
    names = [head[:-2] if kind else head for head, kind in zip(heads, kinds, strict=True)]
    top = tag(
        "tr",
        *(
            tag("th", name, scope="col", class_="n" if kind == "n" else None)
            for name, kind in zip(names, kinds, strict=True)
        ),
    )
    body = [tag("tr", *(_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True))) for row in rows]
    return tag("table", tag("caption", caption), tag("thead", top) if any(names) else None, tag("tbody", *body))


def _cell(cell: object, kind: str | None) -> Html:
    return tag("th", cell, scope="row") if kind == "row" else tag("td", cell, class_=kind)
