"""The metrics of sessions for Prometheus, read whenever it scrapes (extra ``prometheus``).

Nothing is counted twice: a scrape asks each session for the counts that it keeps in any case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prometheus_client.core import Metric


class HasMetrics(Protocol):
    """A session, of either kind, or whatever else has its `metrics`."""

    def metrics(self) -> dict[str, Any]:
        """Return the counts so far."""
        ...


Source = HasMetrics | Callable[[], dict[str, Any]]

EDGES_NS = [1 << power for power in range(10, 37)]
"""Where the buckets of histograms end: powers of two from 1 µs to 69 s, edges of the buckets that a run counts in."""


class MetricsCollector:
    """Collector of the metrics of any number of sessions; make one, and register it.

    Parameters
    ----------
    sources : mapping of str to session or callable, optional
        By the value that the label ``pipeline`` is to have: sessions, or callables that return what
        ``session.metrics()`` does. Those that return an empty dict (not begun yet) are left out of a scrape.

    Notes
    -----
    All names begin with ``remotemedia_``. Labels: ``pipeline``, ``node``, and of connections ``source`` and ``target``.

    ================================  =========  ==========================================================
    ``items_total``                   counter    input items taken, or produced
    ``refused_items_total``           counter    those among them that were no items
    ``busy_seconds_total``            counter    time in calls of the session
    ``node_calls_total``              counter    by ``outcome``: passed, filtered, failed
    ``node_outputs_total``            counter    items that came out, by ``phase``: process, flush
    ``connection_items_total``        counter    by ``outcome``: delivered, dropped
    ``node_seconds_total``            counter    all time spent in the node, with ``metrics="time"``
    ``node_processing_seconds``       histogram  of its calls, likewise
    ``node_waiting_seconds``          histogram  how long items waited for a call, where calls overlap
    ``node_queue_depth``              gauge      items that wait for a call, likewise
    ``node_calls_in_flight``          gauge      calls under way, likewise
    ================================  =========  ==========================================================

    Examples
    --------
    ::

        collector = MetricsCollector({"speech": session})
        prometheus_client.REGISTRY.register(collector)
    """

    def __init__(self, sources: Mapping[str, Source] | None = None) -> None:
        self._sources = dict(sources or {})

    def add(self, pipeline: str, source: Source) -> None:
        """Add a session or a callable under a name, in place of what has that name."""
        self._sources[pipeline] = source

    def remove(self, pipeline: str) -> None:
        """Drop what has that name, if anything does; a source is held until then."""
        self._sources.pop(pipeline, None)

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without samples: registering a second collector is an error then, not a broken page."""
        return Families().all

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of all sources, as they are now; called by the registry."""
        families = Families()
        for pipeline, source in list(self._sources.items()):
            metrics = source.metrics() if hasattr(source, "metrics") else source()
            if metrics:
                families.take(pipeline, metrics)
        return families.all


class Families:
    """The metrics of one scrape."""

    def __init__(self) -> None:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
            return CounterMetricFamily(f"remotemedia_{name}", text, labels=["pipeline", *labels])

        def gauge(name: str, text: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"remotemedia_{name}", text, labels=["pipeline", "node"])

        def histogram(name: str, text: str) -> HistogramMetricFamily:
            return HistogramMetricFamily(f"remotemedia_{name}", text, labels=["pipeline", "node"])

        self.items = counter("items", "Input items taken, or produced.")
        self.refused = counter("refused_items", "Input that was no item.")
        self.busy = counter("busy_seconds", "Time in calls of the session.")
        self.calls = counter("node_calls", "Calls of the node.", "node", "outcome")
        self.outputs = counter("node_outputs", "Items that came out of the node.", "node", "phase")
        self.passed_on = counter("connection_items", "Items of the connection.", "source", "target", "outcome")
        self.seconds = counter("node_seconds", "Time spent in the node.", "node")
        self.processing = histogram("node_processing_seconds", "How long calls of the node took.")
        self.waiting = histogram("node_waiting_seconds", "How long items waited for a call of the node.")
        self.depth = gauge("node_queue_depth", "Items that wait for a call of the node.")
        self.in_flight = gauge("node_calls_in_flight", "Calls of the node that are under way.")
        self.all: list[Metric] = list(vars(self).values())

    def take(self, pipeline: str, metrics: Mapping[str, Any]) -> None:
        """Add the metrics of one pipeline."""
        self.items.add_metric([pipeline], metrics["items_in"])
        self.refused.add_metric([pipeline], metrics["refused"])
        self.busy.add_metric([pipeline], metrics["duration_ns"] / 1e9)
        for connection, counts in metrics["connections"].items():
            source, target = connection.split("->")  # ids hold no ">"
            for outcome in ("delivered", "dropped"):
                self.passed_on.add_metric([pipeline, source, target, outcome], counts[outcome])
        for node, counts in metrics["nodes"].items():
            self._take_node([pipeline, node], counts)

    def _take_node(self, labels: Sequence[str], counts: Mapping[str, Any]) -> None:
        for outcome in ("passed", "filtered", "failed"):
            self.calls.add_metric([*labels, outcome], counts[outcome])
        self.outputs.add_metric([*labels, "process"], counts["out"])
        self.outputs.add_metric([*labels, "flush"], counts["flushed"])
        if "time_ns" in counts:
            self.seconds.add_metric(labels, counts["time_ns"] / 1e9)
            processing = counts["processing"]
            self.processing.add_metric(labels, cumulated(processing), processing["total_ns"] / 1e9)
        if "queue" in counts:
            queue = counts["queue"]
            self.waiting.add_metric(labels, cumulated(queue["waiting"]), queue["waiting"]["total_ns"] / 1e9)
            self.depth.add_metric(labels, queue["depth"])
            self.in_flight.add_metric(labels, queue["in_flight"])


def cumulated(histogram: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the buckets as Prometheus has them: how many calls took no longer than each edge, in seconds."""
    found: list[tuple[str, float]] = []
    buckets = iter([*histogram["buckets"], (float("inf"), 0)])
    highest, calls = next(buckets)
    reached = 0
    for edge in EDGES_NS:
        while highest <= edge:
            reached += calls
            highest, calls = next(buckets)
        found.append((repr(edge / 1e9), reached))
    return [*found, ("+Inf", histogram["count"])]
