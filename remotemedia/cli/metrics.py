"""What a run tells of itself on standard error: its counts, and what it dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from remotemedia.cli.standard import tell
from remotemedia.cli.tables import columns

if TYPE_CHECKING:
    import argparse

    from remotemedia.cli.lines import Feed
    from remotemedia.result import ExecutionResult

SHOWN = 20


def tell_metrics(result: ExecutionResult, *, written: int | None = None) -> None:
    """Tell status, counts and time of every node."""
    metrics = result.metrics
    parts = [result.status.value, f"{metrics['items_in']} items in"]
    if metrics["refused"]:
        parts.append(f"{metrics['refused']} refused")
    if written is not None:
        parts.append(f"{written} written")
    parts += [f"{metrics['duration_ns'] / 1e6:.3f} ms", f"engine {result.engine}"]
    rows = [["node", "in", "passed", "filtered", "failed", "out", "flushed", "time ms"]]
    for node_id, counts in metrics["nodes"].items():
        time_ms = f"{counts['time_ns'] / 1e6:.3f}" if "time_ns" in counts else "-"
        rows.append([node_id, *(str(counts[name]) for name in rows[0][1:7]), time_ms])
    tell(f"remotemedia: {', '.join(parts)}\n{columns(rows, numbers=True)}")


def tell_failures(result: ExecutionResult, feed: Feed | None, options: argparse.Namespace) -> None:
    """Tell what failed under ``skip`` (how many) or ``collect`` (the first 20 of them too)."""
    metrics = result.metrics
    count = metrics["refused"] + sum(counts["failed"] for counts in metrics["nodes"].values())
    if not count:
        return
    lines = [f"remotemedia: {count} failed and dropped (--on-error {options.on_error})"]
    for error in result.errors[:SHOWN]:
        place = feed.place(error.item_index) if feed is not None and error.item_index is not None else None
        lines.append(f"  {place + ': ' if place else ''}{error}")
        if options.traceback:
            lines += [f"    {line}" for line in error.traceback_text.splitlines()]
    if len(result.errors) > SHOWN:
        lines.append(f"  and {len(result.errors) - SHOWN} more")
    tell("\n".join(lines) + "\n")
