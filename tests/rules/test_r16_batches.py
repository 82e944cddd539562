"""R16, R14, R33-R36: nodes that take batches, in every engine and mode; on random DAGs in `parity/test_batches.py`."""

import asyncio
import gc
import logging
import re
import weakref

import numpy as np
import pytest
from support import Driver, await_on, node, plain

import remotemedia as rm


class Double(rm.NodeExecutor):
    """1-to-1, and notes how many items it got at a time."""

    batch_size = 4
    sizes: list[int] = []
    fails_at: object = None

    def process_batch(self, items):
        type(self).sizes.append(len(items))
        if self.fails_at in items:
            raise ValueError(f"cannot take {self.fails_at}")
        return [None if item == 5 else item * 2 for item in items]


class Isolating(Double):
    batch_errors = "isolate"
    idempotent = True


class Pairs(rm.NodeExecutor):
    emits = "many"
    batch_size = 2

    def process_batch(self, items):
        return [tuple(items)] if len(items) == 2 else ["rest", *items]


class Fresh:
    """Classes of their own for a test, so that what they note is theirs."""

    def __getattr__(self, name):
        return type(name, (globals()[name],), {"sizes": []})


@pytest.fixture
def fresh():
    return Fresh()


def run(driver, cls, items, policy="stop", **keys):
    driver.register(Node=cls)
    return driver.run(plain([{"id": "b", "node_type": "Node"} | keys]), items, error_policy=policy)


def test_r16_full_batches_and_the_rest_at_the_end(driver, fresh):
    cls = fresh.Double
    assert run(driver, cls, range(1, 11)).results == [2, 4, 6, 8, 12, 14, 16, 18, 20]
    assert cls.sizes == [4, 4, 2]


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000])
def test_r16_the_manifest_has_the_last_word_on_the_size(driver, fresh, size):
    cls = fresh.Double
    assert run(driver, cls, range(6, 16), batch_size=size).results == [2 * i for i in range(6, 16)]
    assert cls.sizes == [size] * (10 // size) + [10 % size] * (10 % size > 0)


def test_r16_the_default_size(driver, fresh):
    cls = type("Plain", (fresh.Double,), {"batch_size": 32, "sizes": []})
    del cls.batch_size
    assert len(run(driver, cls, range(6, 106), batch_size=None).results) == 100


def test_r14_counts_are_those_of_items(driver, fresh):
    counts = run(driver, fresh.Double, range(10)).counts("b")
    assert (counts["in"], counts["passed"], counts["filtered"], counts["failed"]) == (10, 9, 1, 0)


def test_r22_empty_input_calls_nothing(driver, fresh):
    cls = fresh.Double
    assert run(driver, cls, []).results == []
    assert cls.sizes == []


def test_n_to_m_gets_the_rest_before_its_flush(driver):
    class Flushing(Pairs):
        def flush(self):
            return ["flushed"]

    assert run(driver, Pairs, list("abcde")).results == [("a", "b"), ("c", "d"), "rest", "e"]
    assert run(driver, Flushing, list("abc")).results == [("a", "b"), "rest", "c", "flushed"]


def test_r14_members_of_an_n_to_m_batch_pass_together(driver):
    class Some(Pairs):
        def process_batch(self, items):
            return [] if "a" in items else [len(items)]

    counts = run(driver, Some, list("abcde")).counts("b")
    assert {k: counts[k] for k in ("in", "passed", "filtered", "out", "flushed")} == {
        "in": 5, "passed": 3, "filtered": 2, "out": 2, "flushed": 0,
    }  # fmt: skip


def test_a_batch_joins_with_what_went_another_way(driver, fresh):
    driver.register(Double=fresh.Double)
    nodes = [node("a", "PassThrough"), node("b", "Double"), node("c", "PassThrough"), node("j", "PassThrough")]
    nodes[3]["fan_in"] = "join"
    outcome = driver.run(plain(nodes, "a b, a c, b j, c j"), range(10))
    assert outcome.results == [{"b": 2 * i, "c": i} for i in range(10) if i != 5]


def test_r33_every_item_of_a_batch_that_fails_fails(driver, fresh):
    cls = fresh.Double
    cls.fails_at = 6
    outcome = run(driver, cls, range(10), "collect")
    assert outcome.results == [0, 2, 4, 6, 16, 18]
    assert [(e.item_index, e.input_repr, e.phase) for e in outcome.result.errors] == [
        (4, "4", "process"), (5, "5", "process"), (6, "6", "process"), (7, "7", "process"),
    ]  # fmt: skip
    for error in outcome.result.errors:
        assert "raise ValueError" in error.traceback_text
        assert error.__cause__.__traceback__ is None
    counts = outcome.counts("b")
    assert (counts["in"], counts["passed"], counts["failed"]) == (10, 6, 4)


def test_r34_the_first_item_of_the_batch_is_raised_and_has_the_others(driver, fresh):
    cls = fresh.Double
    cls.fails_at = 6
    error = run(driver, cls, range(10)).error
    assert (error.node_id, error.item_index) == ("b", 4)
    assert [other.item_index for other in error.others] == [5, 6, 7]
    assert error.partial.metrics["nodes"]["b"]["failed"] == 4


def test_r34_likewise_of_n_to_m(driver):
    class Fails(Pairs):
        def process_batch(self, items):
            yield "first"
            if "d" in items or items == ["e"]:
                raise ValueError(items)

    error = run(driver, Fails, list("abcde")).error
    assert (error.item_index, [other.item_index for other in error.others]) == (2, [3])
    outcome = run(driver, Fails, list("abcde"), "collect")
    assert outcome.results == ["first"] * 3
    assert [(e.item_index, e.input_repr) for e in outcome.result.errors] == [(2, "'c'"), (3, "'d'"), (4, "'e'")]
    assert (outcome.counts("b")["failed"], outcome.counts("b")["passed"]) == (3, 2)
    assert all("raise ValueError" in e.traceback_text for e in outcome.result.errors)


@pytest.mark.parametrize("policy", ["skip", "collect"])
def test_isolated_the_one_item_fails(driver, fresh, policy):
    cls = fresh.Isolating
    cls.fails_at = 6
    outcome = run(driver, cls, range(10), policy)
    assert outcome.results == [0, 2, 4, 6, 8, 14, 16, 18]
    assert cls.sizes == [4, 4, 1, 1, 1, 1, 2]
    counts = outcome.counts("b")
    assert (counts["failed"], counts["attempts"]) == (1, 7)
    if policy == "collect":
        (error,) = outcome.result.errors
        assert (error.item_index, error.input_repr) == (6, "6")
        assert "raise ValueError" in error.traceback_text


def test_isolated_under_stop_the_items_before_it_come_out(driver, fresh):
    cls = fresh.Isolating
    cls.fails_at = 6
    error = run(driver, cls, range(10)).error
    assert (error.item_index, error.others) == (6, [])
    assert error.partial.metrics["nodes"]["b"]["in"] == 8


def test_async_batches(driver, fresh):
    class Slow(fresh.Double):
        async def process_batch(self, items):
            await asyncio.sleep(0)
            return super().process_batch(items)

    assert run(driver, Slow, range(6)).results == [0, 2, 4, 6, 8]


def test_a_many_node_fills_batches_with_what_it_gives(direct, fresh):
    class Split(rm.NodeExecutor):
        def process(self, item):
            yield from range(item)

    cls = fresh.Double
    direct.register(Split=Split, Double=cls)
    outcome = direct.run(plain([node("s", "Split"), node("b", "Double")], "s b"), [7, 0, 2])
    assert outcome.results == [0, 2, 4, 6, 8, 12, 0, 2]
    assert sum(cls.sizes) == 9
    assert max(cls.sizes) == 4


class Arrays(rm.NodeExecutor):
    batch_type = "array"
    batch_size = 3

    def process_batch(self, items):
        assert isinstance(items, np.ndarray)
        return items * 2


def test_array_batches(driver):
    outcome = run(driver, Arrays, [1.5, 2.5, -0.0, 4.0])
    assert outcome.results == [3.0, 5.0, -0.0, 8.0]
    assert {type(item) for item in outcome.results} == {float}
    assert run(driver, Arrays, [1, 2, 3, 4]).results == [2, 4, 6, 8]
    rows = run(driver, Arrays, np.arange(8.0).reshape(4, 2)).results
    assert [row.tolist() for row in rows] == [[0.0, 2.0], [4.0, 6.0], [8.0, 10.0], [12.0, 14.0]]
    assert not any(row.flags.writeable for row in rows)


@pytest.mark.parametrize("items", [["a", "b"], [1, [2]], [{}], [2**70, 1]])
def test_array_batches_of_what_makes_no_array(driver, items):
    error = run(driver, Arrays, items).error
    assert "takes arrays (batch_type)" in str(error)
    assert "Arrays" in str(error)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([1], "gave 1 outputs for 3 items"),
        ("abc", "gave a str; return a list"),
        (None, "gave a NoneType; return a list"),
        ({1: 2}, "gave a dict; return a list"),
        ((i for i in "abc"), "gave a generator"),
    ],
)
def test_r37_a_wrong_return(direct, given, text):
    class Wrong(rm.NodeExecutor):
        def process_batch(self, items):
            return given

    error = run(direct, Wrong, [1, 2, 3]).error
    assert text in str(error)
    assert error.item_index == 0


def test_r37_a_generator_among_the_outputs(direct):
    class Wrong(rm.NodeExecutor):
        def process_batch(self, items):
            return [(i for i in ()) if item == 2 else item for item in items]

    error = run(direct, Wrong, [1, 2, 3]).error
    assert "gave a generator" in str(error)
    assert error.item_index == 1
    assert error.partial.results == [1]


FAULTS = [
    ({}, {"batch_size": 0}, "batch_size = 0"),
    ({}, {"batch_size": True}, "batch_size = True"),
    ({}, {"max_batch_wait_ms": -1}, "max_batch_wait_ms = -1"),
    ({}, {"batch_type": "tensor"}, "batch_type = 'tensor'"),
    ({}, {"batch_errors": "ignore"}, "batch_errors = 'ignore'"),
    ({}, {"batch_errors": "isolate"}, "idempotent = True"),
    ({}, {"batch_errors": "isolate", "idempotent": True, "emits": "many"}, "any number of outputs"),
    ({"max_batch_wait_ms": 5}, {"emits": "many"}, "waits until it is full"),
    ({"isolation": "thread"}, {}, "one at a time"),
]


@pytest.mark.parametrize(("keys", "attributes", "text"), FAULTS)
def test_r43_what_a_node_cannot_have(direct, keys, attributes, text):
    called = []
    cls = type("Odd", (rm.NodeExecutor,), {"process_batch": lambda self, items: called.append(items), **attributes})
    error = run(direct, cls, [1], **keys).error
    assert isinstance(error, rm.ManifestError)
    assert text in str(error)
    assert "$.nodes[0]" in str(error)
    assert called == []


@pytest.mark.parametrize("keys", [{"batch_size": 2}, {"max_batch_wait_ms": 1}])
def test_r43_batches_for_a_node_that_takes_none(direct, keys):
    error = direct.run(plain([{"id": "a", "node_type": "Echo"} | keys]), [1]).error
    assert isinstance(error, rm.ManifestError)
    assert "process_batch" in str(error)


def test_r43_a_batch_that_no_connection_fills(direct, fresh):
    direct.register(Double=fresh.Double)
    manifest = plain([node("a", "PassThrough"), node("b", "Double")], "a b")
    manifest["connections"][0]["capacity"] = 3
    with pytest.raises(rm.ManifestError, match="lets 3 items wait"):
        direct.results(manifest, [1])


def test_a_session_calls_for_each_process_and_keeps_n_to_m(engine, fresh):
    driver = Driver(engine)
    cls = fresh.Double
    driver.register(Double=cls, Pairs=Pairs)
    with driver.executor.open(plain([node("b", "Double")])) as session:
        assert session.process(1) == [2]
        assert session.process(5) == []
        assert session.run([1, 2, 3, 4, 6]).results == [2, 4, 6, 8, 12]
    assert cls.sizes == [1, 1, 4, 1]
    with driver.executor.open(plain([node("b", "Pairs")])) as session:
        assert session.process("a") == []
        assert session.process("b") == [("a", "b")]
        assert session.process("c") == []
        assert session.flush() == ["rest", "c"]
        assert session.flush() == []


def test_r23_the_input_is_pulled_for_one_batch_only(engine, fresh):
    driver = Driver(engine)
    driver.register(Double=fresh.Double)
    pulled = []

    def items():
        for i in range(100):
            pulled.append(i)
            yield i

    with driver.executor.stream(plain([node("b", "Double")]), items()) as stream:
        assert next(stream) == 0
        assert pulled == [0, 1, 2, 3]


def test_r14_what_waits_when_a_stream_is_closed_is_counted_as_filtered(engine, fresh):
    driver = Driver(engine)
    driver.register(Double=fresh.Double, Pairs=Pairs)
    manifest = plain([node("a", "PassThrough"), node("b", "Double"), node("p", "Pairs")], "a b, b p")
    with driver.executor.open(manifest) as session:
        with session.stream(range(6, 20)) as stream:
            assert next(stream) == (12, 14)
        counts = session.metrics()["nodes"]
    assert counts["a"]["in"] == counts["b"]["in"] == 4
    assert counts["p"]["in"] + counts["b"]["filtered"] == 4


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_r06_an_interrupt_inside_a_batch(direct, kind):
    class Stops(rm.NodeExecutor):
        def process_batch(self, items):
            raise kind("now")

    outcome = run(direct, Stops, [1, 2, 3])
    assert type(outcome.error) is kind


def test_r23_an_error_of_the_input_comes_after_what_waits(direct, fresh):
    def items():
        yield from (1, 2)
        raise OSError("gone")

    cls = fresh.Double
    outcome = run(direct, cls, items())
    assert isinstance(outcome.error, OSError)
    assert cls.sizes == [2]


def test_r36_what_is_collected_holds_no_item(direct):
    class Item:
        pass

    class Fails(rm.NodeExecutor):
        def process_batch(self, items):
            raise ValueError("no")

    items = [Item(), Item()]
    seen = [weakref.ref(item) for item in items]
    outcome = run(direct, Fails, iter(items), "collect")
    assert len(outcome.result.errors) == 2
    del items
    gc.collect()
    assert [ref() for ref in seen] == [None, None]


def test_r30_the_limit_is_for_a_call(direct):
    class Slow(rm.NodeExecutor):
        def process_batch(self, items):
            until = time.perf_counter() + 0.01
            while time.perf_counter() < until:
                pass
            return items

    import time

    error = run(direct, Slow, [1, 2], timeout_ms=1).error
    assert isinstance(error.__cause__, rm.NodeTimeoutError)


def test_retry_tries_the_batch_again(direct, fresh):
    class Flaky(fresh.Isolating):
        batch_errors = "fail"
        failures = 2

        def process_batch(self, items):
            if Flaky.failures:
                Flaky.failures -= 1
                raise OSError("later")
            return super().process_batch(items)

    outcome = run(direct, Flaky, [1, 2, 3], retry={"max_attempts": 3, "backoff_ms": 0})
    assert outcome.results == [2, 4, 6]
    assert outcome.counts("b")["attempts"] == 3


def test_r13_shared_nodes_take_batches(direct, fresh):
    direct.registry.register("Shared", fresh.Double, shared=True)
    manifest = plain([node("b", "Shared")])
    assert direct.results(manifest, range(6, 12)) == [12, 14, 16, 18, 20, 22]
    direct.executor.close()


def test_a_class_without_the_base_class(direct):
    class Bare:
        def process_batch(self, items):
            return [item + 1 for item in items]

    assert run(direct, Bare, [1, 2]).results == [2, 3]


def test_copy_gives_each_item_a_copy_of_its_own(direct):
    class Spoils(rm.NodeExecutor):
        def process_batch(self, items):
            for item in items:
                item.append(1)
            return items

    items = [[], []]
    assert run(direct, Spoils, items, copy=True).results == [[1], [1]]
    assert items == [[], []]


def test_times_are_counted_for_each_item(direct, fresh):
    direct.register(Double=fresh.Double, Pairs=Pairs)
    manifest = plain([node("b", "Double"), node("p", "Pairs")], "b p")
    metrics = direct.executor.execute_with_input(manifest, range(7), metrics="time").metrics["nodes"]
    assert metrics["b"]["processing"]["count"] == 7
    assert metrics["b"]["queue"]["waiting"]["count"] == 7
    assert metrics["p"]["processing"]["count"] == metrics["p"]["in"] == 6


def test_a_batch_waits_no_longer_than_it_may():
    """The input gives two items, and then nothing until their outputs are out."""

    async def main(executor):
        out = asyncio.Event()

        async def items():
            yield 1
            yield 2
            await asyncio.wait_for(out.wait(), 20)
            yield 3

        manifest = plain([{"id": "b", "node_type": "Double", "batch_size": 100, "max_batch_wait_ms": 5}])
        seen = []
        async with executor.stream_async(manifest, items()) as stream:
            async for item in stream:
                seen.append(item)
                if len(seen) == 2:
                    out.set()
        return seen

    driver = Driver("cython")

    class Async(Double):
        sizes: list[int] = []

        async def process_batch(self, items):
            return super().process_batch(items)

    driver.register(Double=Async)
    assert await_on("asyncio", main(driver.executor)) == [2, 4, 6]
    assert Async.sizes == [2, 1]


def test_a_wait_is_over_when_the_next_item_comes(direct, fresh):
    """A plain input cannot be waited for beside the batch: the time is looked at when it gives an item."""
    cls = fresh.Double
    driver = direct
    assert run(driver, cls, range(6, 9), max_batch_wait_ms=0).results == [12, 14, 16]
    assert cls.sizes == [1, 1, 1]


def test_interrupt_drops_what_is_awaited(caplog):
    caplog.set_level(logging.ERROR)

    async def main(executor):
        entered = asyncio.Event()
        Hangs.entered = entered
        async with executor.open_async(plain([node("b", "Hangs")])) as session:
            running = asyncio.create_task(session.run([1, 2, 3]))
            await entered.wait()
            session.interrupt("b")
            result = await running
            return result.results, result.metrics["nodes"]["b"]

    class Hangs(rm.NodeExecutor):
        batch_size = 2
        calls = 0

        async def process_batch(self, items):
            Hangs.calls += 1
            if Hangs.calls == 1:
                Hangs.entered.set()
                await asyncio.Event().wait()
            return items

    driver = Driver("cython")
    driver.register(Hangs=Hangs)
    results, counts = await_on("asyncio", main(driver.executor))
    assert results == [3]
    assert (counts["in"], counts["filtered"]) == (3, 2)
    assert not re.search("never retrieved", caplog.text)


# --- what a review found ---


def test_a_node_that_shortens_the_input_crashes_nothing(direct):
    data = [object() for _ in range(2000)]

    class Clears(rm.NodeExecutor):
        batch_size = 500

        def process_batch(self, items):
            data.clear()
            return tuple(items)

    assert len(run(direct, Clears, data).results) == 500


def test_r34_an_error_does_not_wait_for_an_input_that_is_awaited(engine):
    class Ask(rm.NodeExecutor):
        max_concurrency = 3

        async def process(self, item):
            await asyncio.sleep(0)
            if item == 1:
                raise ValueError("one")
            return item

    class Batch(rm.NodeExecutor):
        batch_size = 5

        def process_batch(self, items):
            return items

    async def main(executor):
        async def items():
            yield 0
            yield 1
            await asyncio.sleep(0.05)
            yield 2

        async with asyncio.timeout(20):
            await executor.execute_with_input_async(plain([node("a", "Ask"), node("b", "Batch")], "a b"), items())

    driver = Driver(engine)
    driver.register(Ask=Ask, Batch=Batch)
    with pytest.raises(rm.NodeError) as caught:
        await_on("asyncio", main(driver.executor))
    assert caught.value.item_index == 1
    assert caught.value.partial.results == [0]


def test_attempts_are_calls_also_behind_a_circuit_breaker(direct, fresh):
    keys = {"circuit_breaker": {"failure_threshold": 3, "reset_ms": 10}}
    assert run(direct, fresh.Isolating, range(6, 14), **keys).counts("b")["attempts"] == 2


@pytest.mark.parametrize("policy", ["skip", "collect"])
@pytest.mark.parametrize("kind", ["paired", "many", "isolating"])
def test_r36_an_open_session_holds_no_item_of_a_batch(engine, kind, policy):
    class Item:
        pass

    class Batch(rm.NodeExecutor):
        batch_size = 3
        emits = "many" if kind == "many" else None
        batch_errors = "isolate" if kind == "isolating" else "fail"
        idempotent = True
        failing = True

        def process_batch(self, items):
            if Batch.failing:
                raise ValueError("no")
            return [1] * len(items)

    driver = Driver(engine)
    driver.register(Batch=Batch)
    gc.disable()
    try:
        with driver.executor.open(plain([node("b", "Batch")]), error_policy=policy) as session:
            for Batch.failing in (True, False):
                items = [Item() for _ in range(7)]
                seen = [weakref.ref(item) for item in items]
                session.run(iter(items))
                del items
                assert [ref() for ref in seen if ref() is not None] == []
    finally:
        gc.enable()


def test_rows_are_the_runs_own_though_the_node_uses_its_array_again(driver):
    class Reuses(rm.NodeExecutor):
        batch_type = "array"
        batch_size = 2

        def initialize(self, context):
            self.buffer = np.zeros((2, 1))

        def process_batch(self, items):
            self.buffer[: len(items), 0] = items
            return self.buffer[: len(items)]

    assert [row.tolist() for row in run(driver, Reuses, [1.0, 2.0, 3.0]).results] == [[1.0], [2.0], [3.0]]


@pytest.mark.parametrize("kind", ["paired", "many", "thread"])
def test_r36_an_error_that_ends_a_run_is_in_no_cycle(engine, kind):
    class Fails(rm.NodeExecutor):
        batch_size = 2
        emits = "many" if kind == "many" else None

        def process_batch(self, items):
            raise ValueError("no")

    class Single(rm.NodeExecutor):
        def process(self, item):
            raise ValueError("no")

    driver = Driver(engine)
    driver.register(Node=Single if kind == "thread" else Fails)
    manifest = rm.Manifest.from_dict(plain([node("b", "Node") | ({"isolation": "thread"} if kind == "thread" else {})]))

    def fail():
        with pytest.raises(rm.NodeError):
            driver.executor.execute_with_input(manifest, [1, 2, 3])

    fail()
    gc.collect()
    gc.disable()
    try:
        fail()
        assert gc.collect() == 0
    finally:
        gc.enable()
