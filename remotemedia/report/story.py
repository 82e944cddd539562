"""What a report tells of: a finished run, or one that failed."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from remotemedia.report.waveform import Segment, segments_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from remotemedia.errors import InputError, NodeError
    from remotemedia.manifest import Manifest
    from remotemedia.report.waveform import Waveform
    from remotemedia.result import ExecutionResult

MOST_RESULTS = 50


@dataclass
class Story:
    """The facts of a run.

    Attributes
    ----------
    manifest : Manifest or None
        What was run.
    metrics : dict
        What it counted; ``{}`` if it did not come so far.
    results : sequence of (str or None, item)
        The first of what came out, with the sink where that is known.
    result_count : int
        How much came out.
        More than `results` has of a stream, which handed them out.
    segments : sequence of (start, end, text)
        What is drawn on the audio, in s.
    errors : sequence of NodeError or InputError
        What failed and was dropped; as many as were kept.
    error_count : int
        How many failed; more than `errors` has where they were skipped, given to ``on_error``, or ended the run.
    failure : BaseException or None
        What ended the run.
    settings : dict of str to str
        What else makes it repeatable.
    """

    title: str
    status: str
    engine: str
    manifest: Manifest | None
    metrics: dict[str, Any]
    results: Sequence[tuple[str | None, Any]]
    result_count: int
    segments: Sequence[Segment]
    errors: Sequence[NodeError | InputError]
    error_count: int
    failure: BaseException | None = None
    waveform: Waveform | None = None
    settings: dict[str, str] = field(default_factory=dict)


def story_of(
    result: ExecutionResult, title: str | None, waveform: Waveform | None, failure: BaseException | None = None
) -> Story:
    """Return the story of a result, and of the `failure` that ended its run."""
    manifest, metrics = result.manifest, result.metrics
    lane = result._lane
    in_blocks = result._results is None and lane is not None  # then only what is shown becomes objects
    first = lane.values[:MOST_RESULTS].tolist() if in_blocks and lane is not None else result.results[:MOST_RESULTS]
    return Story(
        title=title or name_of(manifest),
        status=result.status.value,
        engine=result.engine,
        manifest=manifest,
        metrics=metrics,
        results=[(None, item) for item in first],
        result_count=max(result.count, _emitted(manifest, metrics)),
        segments=[] if in_blocks else segments_of(result.results),
        errors=result.errors,
        error_count=max(len(result.errors), failed_of(metrics)),
        failure=failure,
        waveform=waveform,
        settings={"error policy": result.error_policy},
    )


def failed_of(metrics: Mapping[str, Any]) -> int:
    """Return how many calls and items failed in a run, kept or not."""
    if not metrics:
        return 0
    return int(metrics["refused"] + sum(counts["failed"] for counts in metrics["nodes"].values()))


def _emitted(manifest: Manifest | None, metrics: Mapping[str, Any]) -> int:
    """Return how much the sinks emitted, which a stream's result does not keep."""
    if manifest is None:
        return 0
    nodes = metrics["nodes"]
    return sum(nodes[sink]["out"] + nodes[sink]["flushed"] for sink in manifest.graph.sinks if sink in nodes)


def name_of(manifest: Manifest | None) -> str:
    """Return what a pipeline is called."""
    name = manifest.metadata.get("name") if manifest is not None else None
    return name if isinstance(name, str) and name else "Pipeline"


def versions() -> dict[str, str]:
    """Return the versions of what ran: of this package, Python, the system, and packages of media that were loaded."""
    from remotemedia import __version__

    found = {
        "remotemedia": __version__,
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
    }
    for name in ("numpy", "av", "soxr", "soundfile", "numba"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(version, str):
            found[name] = version
    return found
