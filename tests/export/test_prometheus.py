"""What Prometheus scrapes is what the sessions counted."""

import asyncio
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support import Driver, node, plain

import remotemedia as rm
from remotemedia.export.prometheus import EDGES_NS, MetricsCollector, cumulated
from remotemedia.reference.histogram import Histogram


class Half(rm.NodeExecutor):
    """Drops every second item, fails at 5, and gives two for the others."""

    def process(self, item):
        if item == 5:
            raise ValueError(item)
        return [item, item] if item % 2 else None

    emits = "many"


class Ask(rm.NodeExecutor):
    max_concurrency = 2

    async def process(self, item):
        return item


MANIFEST = plain([node("a", "PassThrough"), node("h", "Half"), node("b", "Buffer", size=1)], "a h, h b")


def scraped(collector):
    """The samples of a page as a registry makes it, by name and labels."""
    registry = CollectorRegistry()
    registry.register(collector)
    page = generate_latest(registry).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(samples, name, **labels):
    return samples[(f"remotemedia_{name}", *sorted({"pipeline": "p", **labels}.items()))]


def driver_of(engine):
    driver = Driver(engine)
    driver.register(Half=Half, Ask=Ask)
    return driver


def open_session(engine, tree=MANIFEST, **options):
    return driver_of(engine).executor.open(rm.Manifest.from_dict(tree), error_policy="skip", **options)


def test_counts_and_times_are_those_of_the_session(engine):
    with open_session(engine, metrics="time") as session:
        session.run([1, 2, 3, None, 5])
        metrics = session.metrics()
        samples = scraped(MetricsCollector({"p": session}))
    assert value(samples, "items_total") == 5
    assert value(samples, "refused_items_total") == 1
    assert value(samples, "busy_seconds_total") >= metrics["nodes"]["h"]["time_ns"] / 1e9
    outcomes = {"passed": 2, "filtered": 1, "failed": 1}
    assert {o: value(samples, "node_calls_total", node="h", outcome=o) for o in outcomes} == outcomes
    assert value(samples, "node_outputs_total", node="h", phase="process") == 4
    assert value(samples, "node_outputs_total", node="b", phase="flush") == 1
    assert value(samples, "connection_items_total", source="h", target="b", outcome="delivered") == 4
    assert value(samples, "connection_items_total", source="h", target="b", outcome="dropped") == 0
    for node_id, counts in metrics["nodes"].items():
        assert value(samples, "node_seconds_total", node=node_id) == pytest.approx(counts["time_ns"] / 1e9)
        processing = counts["processing"]
        assert value(samples, "node_processing_seconds_count", node=node_id) == processing["count"]
        assert value(samples, "node_processing_seconds_sum", node=node_id) == pytest.approx(
            processing["total_ns"] / 1e9
        )
        buckets = [v for (name, *_), v in samples.items() if name.endswith("processing_seconds_bucket")]
        assert len(buckets) == 3 * (len(EDGES_NS) + 1)


def test_without_times_there_are_no_histograms(engine):
    with open_session(engine) as session:
        session.run([1])
        names = {name for name, *_ in scraped(MetricsCollector({"p": session}))}
    assert "remotemedia_items_total" in names
    assert not any("seconds" in name and name != "remotemedia_busy_seconds_total" for name in names)


def test_a_node_whose_calls_overlap_has_a_queue(engine):
    async def main():
        tree = plain([node("q", "Ask")])
        opened = driver_of(engine).executor.open_async(rm.Manifest.from_dict(tree), metrics="time")
        async with opened as session:
            await session.run([1, 2, 3])
            return scraped(MetricsCollector({"p": session}))

    samples = asyncio.run(main())
    assert value(samples, "node_queue_depth", node="q") == 0
    assert value(samples, "node_calls_in_flight", node="q") == 0
    assert value(samples, "node_waiting_seconds_count", node="q") == 3


def test_sources_come_and_go_and_any_callable_is_one(engine):
    session = open_session(engine)
    collector = MetricsCollector({"p": session})
    assert scraped(collector) == {}  # not begun: nothing to tell yet
    with session:
        session.run([1])
    assert value(scraped(collector), "items_total") == 1  # at its end it keeps what it counted
    collector.add("p", lambda: {**session.metrics(), "items_in": 7})
    assert value(scraped(collector), "items_total") == 7
    collector.remove("p")
    collector.remove("p")
    assert scraped(collector) == {}


def test_a_second_collector_is_refused_when_it_is_registered():
    registry = CollectorRegistry()
    registry.register(MetricsCollector())
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(MetricsCollector())


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], {1024: 0, 1 << 36: 0, "+Inf": 0}),
        ([0, 1023], {1024: 2, 2048: 2, "+Inf": 2}),
        ([1024, 2047, 2048], {1024: 0, 2048: 2, 4096: 3}),
        ([1 << 50], {1024: 0, 1 << 36: 0, "+Inf": 1}),
    ],
)
def test_buckets_are_cumulated_at_powers_of_two(times, expected):
    histogram = Histogram()
    for ns in times:
        histogram.add(ns)
    found = dict(cumulated(histogram.to_dict()))
    assert {edge: found[edge if edge == "+Inf" else repr(edge / 1e9)] for edge in expected} == expected
    assert list(found.values()) == sorted(found.values())


def test_nothing_is_loaded_before_it_is_used():
    code = "import sys, remotemedia.export.prometheus, remotemedia.export.opentelemetry as o\n"
    code += "o.traced(print)\nprint([n for n in ('prometheus_client', 'opentelemetry') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
