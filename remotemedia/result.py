"""What a run gives back."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from remotemedia.errors import InputError, NodeError, ResultArrayError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import numpy as np

    from remotemedia._core.media import AudioFrame
    from remotemedia.arrays import LaneArray
    from remotemedia.blueprint import Outline
    from remotemedia.manifest import Manifest
    from remotemedia.report.waveform import Waveform

    AudioSource = str | os.PathLike[str] | AudioFrame | Iterable[AudioFrame]


class ExecutionStatus(enum.Enum):
    """How a run ended."""

    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    """Items were dropped under ``skip`` or ``collect``."""
    FAILED = "failed"
    """Only on ``error.partial``: the run was ended by that error."""


class Summary(Protocol):
    """Counts or a graph that become a plain dict when someone looks."""

    def to_dict(self) -> dict[str, Any]:
        """Return the plain dict."""
        ...


class ExecutionResult(msgspec.Struct, eq=False):
    """What came out of a run.

    Attributes
    ----------
    status : ExecutionStatus
        How it ended.
    errors : list of NodeError or InputError
        What failed, under ``error_policy="collect"``, in the order of R34.
    engine : str
        The engine that ran, ``"cython"`` or ``"reference"``.
    error_policy : str
        What a failed item did, ``"stop"``, ``"skip"`` or ``"collect"``.
    """

    status: ExecutionStatus
    _results: list[Any] | None
    _outputs: dict[str, list[Any]]
    errors: list[NodeError | InputError]
    engine: str
    _metrics: Summary | dict[str, Any]
    _graph: Summary | dict[str, Any]
    _lane: LaneArray | None = None
    _outline: Outline | None = None
    error_policy: str = "stop"

    @property
    def results(self) -> list[Any]:
        """What the sinks emitted, in order; flushed items last. Made when first asked for, where it is an `array`."""
        if self._results is None:
            self._results = self._lane.to_list() if self._lane is not None else []
            self._outputs = dict.fromkeys(self._outputs, self._results)
        return self._results

    @property
    def outputs(self) -> dict[str, list[Any]]:
        """The same by sink id, and the outputs of ``is_output_node`` nodes; with one sink its list is `results`."""
        _ = self.results  # the list is put in here, too, when it is made
        return self._outputs

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """The results as an array: of float64, int64 or bool, where they are all floats, integers or bools.

        Where an array went through the pipeline in blocks this is what came out, without a copy; of the type that the
        nodes make of its elements, also if none came out. Else no results are an array of float64.

        Raises
        ------
        ResultArrayError
            They are of several types, of another one, or too large for int64.
        """
        return as_array(self.results) if self._lane is None else self._lane.values

    @property
    def indices(self) -> np.ndarray[Any, Any]:
        """For each element of `array` the index of the input item that it came from, int64.

        Raises
        ------
        ResultArrayError
            The input was no array that went through the pipeline in blocks, so it was not kept.
        """
        if self._lane is None:
            raise ResultArrayError(
                "which item a result came from is kept only where an array goes in blocks through a chain of nodes "
                "that all have lanes"
            )
        return self._lane.indices()

    @property
    def count(self) -> int:
        """How many results there are."""
        return len(self._results if self._results is not None else self._lane or ())

    @property
    def metrics(self) -> dict[str, Any]:
        """Counts of the run (R14), a dict that JSON can hold.

        ``metrics["nodes"][id]`` has ``in``, ``passed``, ``filtered``, ``failed``, ``out``, ``flushed``;
        ``metrics["connections"]["a->b"]`` has ``sent``, ``delivered``, ``dropped``; beside them ``items_in``,
        ``refused`` and ``duration_ns`` (nanoseconds from before the first ``initialize``, or of the one `run` of a
        session, to after the last flush).

        With ``metrics="time"`` a node has ``time_ns``, all time that was spent in it, and ``processing``, of its
        calls: ``count``, ``total_ns``, ``p50_ns``, ``p95_ns``, ``p99_ns`` (each within 1/32 of the time that it
        stands for), ``max_ns`` (exact) and ``buckets``, pairs of the longest time that a bucket counts and how many
        it counted. ``docs/metrics.md`` says what a call's time is.
        """
        if not isinstance(self._metrics, dict):
            self._metrics = self._metrics.to_dict()
        return self._metrics

    @property
    def graph_info(self) -> dict[str, Any]:
        """``node_count``, ``connection_count``, ``sources``, ``sinks`` and ``execution_order`` of the graph."""
        if not isinstance(self._graph, dict):
            self._graph = self._graph.to_dict()
        return self._graph

    @property
    def manifest(self) -> Manifest | None:
        """What was run, as a manifest of its own; None of a result that was made by hand."""
        if self._outline is None:
            return None
        from remotemedia.manifest import Manifest

        metadata, nodes, connections, run = self._outline
        return Manifest(version="v1", metadata=metadata, nodes=nodes, connections=connections, run=run)

    def to_html(
        self,
        *,
        title: str | None = None,
        audio: Waveform | AudioSource | None = None,
        failure: BaseException | None = None,
    ) -> str:
        """Return a page about the run: one HTML file that needs nothing else, and asks nobody for anything.

        The pipeline as a picture with counts and times, histograms of the nodes' times (of a run with
        ``metrics="time"``), the errors with their items, the first results, and what makes the run repeatable.
        Results that are dicts with the numbers ``start`` and ``end``, in s, are drawn as segments.

        Parameters
        ----------
        title : str, optional
            By default the manifest's name.
        audio : path-like, AudioFrame, iterable of AudioFrame, or Waveform, optional
            What the segments are drawn on; a file is decoded for it.
        failure : BaseException, optional
            What ended the run: ``error.partial.to_html(failure=error)``.

        Raises
        ------
        InputError
            `audio` cannot be read.
        """
        from remotemedia.report import report_html, story_of

        waveform = None
        if audio is not None:
            from remotemedia.report.audio import waveform_of

            waveform = waveform_of(audio)
        return report_html(story_of(self, title, waveform, failure))

    def __reduce__(self) -> tuple[Any, ...]:
        # counts and graph as the plain dicts: what the compiled engine keeps in their place is its own memory
        kept = self.status, self._results, self._outputs, self.errors, self.engine, self.metrics, self.graph_info
        return type(self), (*kept, self._lane, self._outline, self.error_policy)

    def __repr__(self) -> str:
        metrics = self.metrics
        parts = [
            self.status.value,
            f"{metrics['items_in']} items in, {self.count} out",
            f"{len(self.errors)} errors" if self.errors else "",
            f"{len(metrics['nodes'])} nodes",
            f"{metrics['duration_ns'] / 1e6:.3f} ms",
            f"engine {self.engine}",
        ]
        return f"<ExecutionResult: {', '.join(p for p in parts if p)}>"

    def _repr_html_(self) -> str:
        """Return the counts of the nodes, for notebooks."""
        from remotemedia.report import story_of, summary_html

        return summary_html(story_of(self, None, None))


def as_array(results: list[Any]) -> np.ndarray[Any, Any]:
    """Return results that are all floats, all integers or all bools as an array; `ResultArrayError` says why not."""
    import numpy as np

    kinds = {type(item) for item in results}
    if kinds <= {float}:
        return np.array(results, np.float64)
    if len(kinds) > 1:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ResultArrayError(f"the results are of several types ({names}), so they are no array")
    if kinds == {bool}:
        return np.array(results, np.bool_)
    if kinds != {int}:
        raise ResultArrayError(f"the results are of type {kinds.pop().__name__}, not floats, integers or bools")
    try:
        return np.array(results, np.int64)
    except OverflowError:
        raise ResultArrayError("an integer among the results is too large for int64") from None
