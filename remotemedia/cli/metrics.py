"""What a run tells of itself on standard error: its counts and times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remotemedia.cli.standard import tell
from remotemedia.cli.tables import columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from remotemedia.result import ExecutionStatus

COUNTS = ("in", "passed", "filtered", "failed", "out", "flushed")
TIMES = ("p50", "p95", "p99", "max")


def tell_metrics(metrics: Mapping[str, Any], status: ExecutionStatus, engine: str, written: int) -> None:
    """Tell status, counts and time of every node; nothing if no run was made."""
    if not metrics:
        return
    parts = [status.value, f"{metrics['items_in']} items in"]
    if metrics["refused"]:
        parts.append(f"{metrics['refused']} refused")
    parts += [f"{written} written", f"{metrics['duration_ns'] / 1e6:.3f} ms", f"engine {engine}"]
    rows = [["node", *COUNTS, "time ms", *(f"{name} µs" for name in TIMES)]]
    for node_id, counts in metrics["nodes"].items():
        time_ms = f"{counts['time_ns'] / 1e6:.3f}"
        times = (f"{counts['processing'][f'{name}_ns'] / 1e3:.2f}" for name in TIMES)
        rows.append([node_id, *(str(counts[name]) for name in COUNTS), time_ms, *times])
    tell(f"remotemedia: {', '.join(parts)}\n{columns(rows, numbers=True)}")
