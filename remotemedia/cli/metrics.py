"""What a run tells of itself on standard error: its counts and times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remotemedia.cli.standard import tell
from remotemedia.cli.tables import columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from remotemedia.result import ExecutionStatus


def tell_metrics(metrics: Mapping[str, Any], status: ExecutionStatus, engine: str, written: int) -> None:
    """Tell status, counts and time of every node; nothing if no run was made."""
    if not metrics:
        return
    parts = [status.value, f"{metrics['items_in']} items in"]
    if metrics["refused"]:
        parts.append(f"{metrics['refused']} refused")
    parts += [f"{written} written", f"{metrics['duration_ns'] / 1e6:.3f} ms", f"engine {engine}"]
    rows = [["node", "in", "passed", "filtered", "failed", "out", "flushed", "time ms"]]
    for node_id, counts in metrics["nodes"].items():
        time_ms = f"{counts['time_ns'] / 1e6:.3f}" if "time_ns" in counts else "-"
        rows.append([node_id, *(str(counts[name]) for name in rows[0][1:7]), time_ms])
    tell(f"remotemedia: {', '.join(parts)}\n{columns(rows, numbers=True)}")
