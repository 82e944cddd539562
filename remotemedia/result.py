"""What a run gives back."""

from __future__ import annotations

import enum
import html
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from remotemedia.errors import InputError, NodeError, ResultArrayError

if TYPE_CHECKING:
    import numpy as np

    from remotemedia.arrays import LaneArray


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
    """

    status: ExecutionStatus
    _results: list[Any] | None
    _outputs: dict[str, list[Any]]
    errors: list[NodeError | InputError]
    engine: str
    _metrics: Summary | dict[str, Any]
    _graph: Summary | dict[str, Any]
    _lane: LaneArray | None = None

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

    def __reduce__(self) -> tuple[Any, ...]:
        # counts and graph as the plain dicts: what the compiled engine keeps in their place is its own memory
        kept = self.status, self._results, self._outputs, self.errors, self.engine, self.metrics, self.graph_info
        return type(self), (*kept, self._lane)

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
        """Return a table of the nodes and their counts, for notebooks."""
        nodes = {node: flat(counts) for node, counts in self.metrics["nodes"].items()}
        columns = ["node", *next(iter(nodes.values()), {})]
        head = "".join(f"<th>{html.escape(c)}</th>" for c in columns)
        rows = [
            f"<tr><td>{html.escape(node)}</td>" + "".join(f"<td>{counts[c]}</td>" for c in columns[1:]) + "</tr>"
            for node, counts in list(nodes.items())[:100]
        ]
        if len(nodes) > 100:
            rows.append(f"<tr><td colspan='{len(columns)}'>… and {len(nodes) - 100} more nodes</td></tr>")
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{table}"


def flat(counts: dict[str, Any]) -> dict[str, int]:
    """Return the counts of a node as a row of a table has them: percentiles beside the others, without buckets."""
    row = dict(counts)
    processing = row.pop("processing", {})
    return row | {name: processing[name] for name in ("p50_ns", "p95_ns", "p99_ns", "max_ns") if processing}


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
