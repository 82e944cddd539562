"""A span for each run: its counts, its errors, and what was finished before it failed."""

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, get_tracer
from support import Driver, node, plain

import remotemedia as rm
from remotemedia.export.opentelemetry import ERRORS_TOLD, NODES_TOLD, RunSpan, traced


@pytest.fixture
def spans():
    """A provider, and what it exported."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter.get_finished_spans
    provider.shutdown()


class Fail(rm.NodeExecutor):
    def process(self, item):
        if item == 3:
            raise ValueError(item)
        return item


class Drop(rm.NodeExecutor):
    def process(self, item):
        return item or None


class Ask(rm.NodeExecutor):
    async def process(self, item):
        await asyncio.sleep(0)
        return item


def of(engine, *kinds):
    driver = Driver(engine)
    driver.register(Fail=Fail, Drop=Drop, Ask=Ask)
    tree = plain([node(f"n{i}", kind) for i, kind in enumerate(kinds)])
    tree["connections"] = [{"from": f"n{i}", "to": f"n{i + 1}"} for i in range(len(kinds) - 1)]
    return driver.executor, rm.Manifest.from_dict(tree)


def counts_hold(span, engine, items, **expected):
    told = dict(span.attributes)
    assert told["remotemedia.engine"] == engine
    assert told["remotemedia.items_in"] == items
    assert told["remotemedia.duration_ns"] > 0
    for name, count in expected.items():
        assert told[f"remotemedia.node.n0.{name.rstrip('_')}"] == count


def test_a_run_is_a_span_with_its_counts(engine, spans):
    provider, finished = spans
    executor, manifest = of(engine, "Drop")
    run = traced(executor.execute_with_input, name="demo", attributes={"tenant": "t"}, tracer_provider=provider)
    result = run(manifest, [0, 1], metrics="time")
    assert result.status is rm.ExecutionStatus.COMPLETED
    (span,) = finished()
    assert (span.name, span.attributes["tenant"], span.status.status_code) == ("demo", "t", StatusCode.UNSET)
    counts_hold(span, engine, 2, in_=2, passed=1, filtered=1)
    assert span.attributes["remotemedia.status"] == "completed"
    assert span.attributes["remotemedia.results"] == 1
    assert span.attributes["remotemedia.node.n0.p95_ns"] == result.metrics["nodes"]["n0"]["processing"]["p95_ns"]
    assert span.events == ()


def test_what_is_raised_is_recorded_with_what_was_finished(engine, spans):
    provider, finished = spans
    executor, manifest = of(engine, "Fail")
    with pytest.raises(rm.NodeError) as caught:
        traced(executor.execute_with_input, tracer_provider=provider)(manifest, [1, 2, 3, 4])
    (span,) = finished()
    assert (span.name, span.status.status_code) == ("remotemedia.run", StatusCode.ERROR)
    assert span.status.description == f"NodeError: {caught.value}"
    counts_hold(span, engine, 3, in_=3, passed=2, failed=1)
    (event,) = span.events
    assert event.name == "exception"
    assert event.attributes["remotemedia.node_id"] == "n0"
    assert event.attributes["remotemedia.phase"] == "process"
    assert event.attributes["remotemedia.item_index"] == 2
    assert event.attributes["exception.message"] == str(caught.value)


def test_errors_that_were_collected_are_events_and_no_failure(engine, spans):
    provider, finished = spans
    executor, manifest = of(engine, "Fail")
    run = traced(executor.execute_with_input, tracer_provider=provider)
    result = run(manifest, [3, None] * ERRORS_TOLD, error_policy="collect")
    (span,) = finished()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["remotemedia.errors"] == len(result.errors) == 2 * ERRORS_TOLD
    assert len(span.events) == ERRORS_TOLD
    assert "remotemedia.node_id" not in span.events[1].attributes
    assert span.events[1].attributes["remotemedia.item_index"] == 1


def test_every_run_of_a_session_is_a_span_of_that_run(engine, spans):
    provider, finished = spans
    executor, manifest = of(engine, "PassThrough")
    with executor.open(manifest) as session:
        run = traced(session.run, tracer_provider=provider)
        run([1])
        run([1, 2])
    assert [span.attributes["remotemedia.node.n0.in"] for span in finished()] == [1, 2]


def test_an_awaited_run_is_a_span_too(engine, spans):
    provider, finished = spans
    executor, manifest = of(engine, "Ask", "Fail")

    async def main():
        await traced(executor.execute_with_input_async, tracer_provider=provider)(manifest, [1, 2])
        async with executor.open_async(manifest) as session:
            with pytest.raises(rm.NodeError):
                await traced(session.run, tracer_provider=provider)([3])

    asyncio.run(main())
    whole, failed = finished()
    counts_hold(whole, engine, 2, in_=2)
    assert failed.status.status_code is StatusCode.ERROR


def test_a_cancelled_run_is_recorded_and_stays_cancelled(engine, spans):
    provider, finished = spans
    executor, manifest = of(engine, "Ask")

    async def items():
        yield 1
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(
            traced(executor.execute_with_input_async, tracer_provider=provider)(manifest, items())
        )
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    (span,) = finished()
    assert span.status.status_code is StatusCode.ERROR
    assert span.events[0].attributes["exception.type"].endswith("CancelledError")


def test_a_stream_has_a_span_by_hand_and_spans_of_nodes_are_its_children(engine, spans):
    provider, finished = spans

    class Spanning(rm.NodeExecutor):
        def process(self, item):
            with get_tracer("node", tracer_provider=provider).start_as_current_span("inner"):
                return item

    executor, _ = of(engine, "PassThrough")
    executor.registry.register("Spanning", Spanning)
    manifest = rm.Manifest.from_dict(plain([node("n0", "Spanning")]))
    with RunSpan("live", tracer_provider=provider) as span, executor.stream(manifest, [1, 2]) as stream:
        assert list(stream) == [1, 2]
        span.tell(stream.result)
    *inner, outer = finished()
    assert [s.name for s in inner] == ["inner", "inner"]
    assert {s.parent.span_id for s in inner} == {outer.context.span_id}
    counts_hold(outer, engine, 2, in_=2)


def test_of_many_nodes_the_first_are_told(engine, spans):
    provider, finished = spans
    executor, manifest = of(engine, *["PassThrough"] * (NODES_TOLD + 4))
    traced(executor.execute_with_input, tracer_provider=provider)(manifest, [1], metrics="time")
    (span,) = finished()
    assert span.attributes["remotemedia.node_count"] == NODES_TOLD + 4
    assert f"remotemedia.node.n{NODES_TOLD - 1}.in" in span.attributes
    assert f"remotemedia.node.n{NODES_TOLD}.in" not in span.attributes
    assert span.dropped_attributes == 0


def test_without_an_sdk_nothing_is_recorded_and_nothing_breaks(engine):
    executor, manifest = of(engine, "PassThrough")
    assert traced(executor.execute_with_input)(manifest, [1]).results == [1]


def test_it_looks_like_the_function_that_it_wraps(engine):
    executor, _ = of(engine, "PassThrough")
    assert traced(executor.execute_with_input).__name__ == "execute_with_input"
    assert asyncio.iscoroutinefunction(traced(executor.execute_async))
