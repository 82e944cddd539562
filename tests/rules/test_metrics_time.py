"""`metrics="time"`: what a call's time is, over every engine and mode.

A node measures its own body; the engine's time of its calls is at least that. And all that is somebody's time is
within the time of the whole, so what one node is charged with is not charged to another.
"""

import asyncio
import itertools
import json
import threading
from time import perf_counter_ns

import pytest
from support import Driver, chain, guarded, node, plain

import remotemedia as rm

SPIN_NS = 300_000


def spin(ns=SPIN_NS):
    until = perf_counter_ns() + ns
    while perf_counter_ns() < until:
        pass


class Measured(rm.NodeExecutor):
    """Adds up the time of what its subclasses do under `measure`; the sums are by class, for each run."""

    own_ns: dict[str, int] = {}

    def __enter__(self):
        self.began = perf_counter_ns()

    def __exit__(self, *_):
        name = type(self).__name__
        Measured.own_ns[name] = Measured.own_ns.get(name, 0) + perf_counter_ns() - self.began


@pytest.fixture(autouse=True)
def fresh():
    Measured.own_ns.clear()


class Plain(Measured):
    def process(self, item):
        with self:
            spin()
            return item


class Drop(Measured):
    def process(self, item):
        with self:
            return item if item % 2 else None


class Fail(Measured):
    def process(self, item):
        with self:
            spin()
            if item % 3 == 0:
                raise ValueError(item)
            return item


class Many(Measured):
    """Spins before each of its items."""

    def process(self, item):
        for i in range(item % 4):
            with self:
                spin()
            yield i


class Listed(Measured):
    emits = "many"

    def process(self, item):
        with self:
            return [item, None, item] if item % 2 else None


class Asking(Measured):
    async def process(self, item):
        with self:
            await asyncio.sleep(0)
            spin()
            await asyncio.sleep(0)
            return item


class AskingMany(Measured):
    async def process(self, item):
        for i in range(item % 3):
            with self:
                await asyncio.sleep(0)
                spin()
            yield i


class Late(Measured):
    def initialize(self, context):
        self.held = []

    def process(self, item):
        self.held.append(item)

    def flush(self):
        for item in self.held:
            with self:
                spin()
            yield item


class Source(Measured):
    def produce(self):
        for i in range(3):
            with self:
                spin()
            yield i
        spin()

    process = None


class Both(rm.NodeExecutor):
    def process(self, item):
        return item


CLASSES = (Plain, Drop, Fail, Many, Listed, Asking, AskingMany, Late, Source, Both)


def nodes_of(driver):
    driver.register(**{cls.__name__: cls for cls in CLASSES})


def times_hold(counts, own_ns=0, *, calls=None):
    """What always holds of a node's times when nothing is under way."""
    processing = counts["processing"]
    assert processing["count"] == (counts["in"] if calls is None else calls)
    assert sum(count for _, count in processing["buckets"]) == processing["count"]
    assert own_ns <= counts["time_ns"] * 1.01
    assert 0 <= processing["p50_ns"] <= processing["p95_ns"] <= processing["p99_ns"] <= processing["max_ns"]
    assert processing["max_ns"] <= processing["total_ns"] <= counts["time_ns"]


@pytest.mark.parametrize("kind", ["Plain", "Drop", "Many", "Listed", "Asking", "AskingMany"])
@pytest.mark.parametrize("copied", [False, True])
def test_each_call_is_counted_with_the_time_of_its_body(driver, kind, copied):
    nodes_of(driver)
    outcome = driver.run(chain(node("n", kind, copy=copied), node("p", "PassThrough")), [1, 2, 3, 4], metrics="time")
    assert outcome.error is None
    counts = outcome.counts("n")
    times_hold(counts, Measured.own_ns[kind])
    assert counts["processing"]["total_ns"] == counts["time_ns"]
    assert counts["processing"]["count"] == 4
    times_hold(outcome.counts("p"))


@pytest.mark.parametrize("kind", ["Plain", "Drop", "Fail"])
@pytest.mark.parametrize("keys", [{}, {"copy": True}, {"timeout_ms": 10_000}])
def test_a_node_that_is_called_again_and_again_has_each_call_counted(driver, kind, keys):
    nodes_of(driver)
    manifest = plain([node("n", kind) | keys])
    outcome = driver.run(manifest, [1, 2, 2, 3, 5], error_policy="skip", metrics="time")
    times_hold(outcome.counts("n"), Measured.own_ns[kind])
    assert outcome.counts("n")["processing"]["count"] == 5
    assert outcome.counts("n")["time_ns"] <= outcome.metrics["duration_ns"] * 1.01


@pytest.mark.parametrize("kinds", ["Plain Both Plain", "Plain Drop", "Fail Plain"])
def test_nodes_with_limits_have_times_too(driver, kinds):
    nodes_of(driver)
    tree = chain(*(node(f"n{i}", kind) for i, kind in enumerate(kinds.split())))
    for spec in tree["nodes"][1:]:
        spec["timeout_ms"] = 10_000
    outcome = driver.run(tree, [1, 2, 2, 3, 5], error_policy="skip", metrics="time")
    for spec in tree["nodes"]:
        times_hold(outcome.counts(spec["id"]))
    spent = sum(counts["time_ns"] for counts in outcome.metrics["nodes"].values())
    assert sum(Measured.own_ns.values()) <= spent * 1.01 <= outcome.metrics["duration_ns"] * 1.02


@pytest.mark.parametrize("policy", ["skip", "collect", "stop"])
def test_a_call_that_failed_is_counted_with_its_time(driver, policy):
    nodes_of(driver)
    outcome = driver.run(
        chain(node("f", "Fail"), node("p", "Plain")), [1, 2, 3, 4], error_policy=policy, metrics="time"
    )
    times_hold(outcome.counts("f"), Measured.own_ns["Fail"])
    times_hold(outcome.counts("p"), Measured.own_ns["Plain"])
    assert outcome.counts("f")["processing"]["count"] == (3 if policy == "stop" else 4)


def test_a_copy_that_failed_is_a_call(driver):
    nodes_of(driver)
    manifest = chain(node("c", "Both", copy=True))
    outcome = driver.run(manifest, [1, threading.Lock(), 3], error_policy="skip", metrics="time")
    assert outcome.counts("c")["failed"] == 1
    times_hold(outcome.counts("c"))


def test_the_time_below_a_many_node_is_not_its_own(driver):
    nodes_of(driver)
    outcome = driver.run(chain(node("m", "Many"), node("p", "Plain")), [3, 3, 3], metrics="time")
    times_hold(outcome.counts("m"), Measured.own_ns["Many"])
    times_hold(outcome.counts("p"), Measured.own_ns["Plain"])
    assert outcome.counts("m")["time_ns"] + Measured.own_ns["Plain"] <= outcome.metrics["duration_ns"] * 1.01


@pytest.mark.parametrize("made", [list, iter])
def test_neither_waiting_for_the_input_nor_the_consumer_is_anybodys_time(driver, made):
    nodes_of(driver)
    waited = 0

    def items():
        nonlocal waited
        for i in range(5):
            began = perf_counter_ns()
            spin()
            waited += perf_counter_ns() - began
            yield i

    given = list(range(5)) if made is list else items()
    outcome = driver.run(chain(node("p", "PassThrough"), node("d", "Plain")), given, metrics="time")
    spent = sum(counts["time_ns"] for counts in outcome.metrics["nodes"].values())
    assert spent + waited <= outcome.metrics["duration_ns"] * 1.01


def test_the_consumers_time_is_nobodys(engine):
    driver = Driver(engine)
    nodes_of(driver)
    with driver.executor.stream(rm.Manifest.from_dict(chain(node("p", "Plain"))), [1] * 5, metrics="time") as stream:
        for _ in stream:
            spin(2 * SPIN_NS)
    metrics = stream.result.metrics
    spent = sum(counts["time_ns"] for counts in metrics["nodes"].values())
    times_hold(metrics["nodes"]["p"], Measured.own_ns["Plain"])
    assert spent + 10 * SPIN_NS <= metrics["duration_ns"] * 1.01


def test_flush_is_time_of_the_node_and_no_call(driver):
    nodes_of(driver)
    manifest = chain(node("m", "Many"), node("l", "Late"), node("p", "Plain"))
    counts = driver.run(manifest, [1, 2], metrics="time").counts
    times_hold(counts("m"), Measured.own_ns["Many"])
    times_hold(counts("l"), Measured.own_ns["Late"])
    times_hold(counts("p"), Measured.own_ns["Plain"])
    assert counts("l")["processing"]["total_ns"] + Measured.own_ns["Late"] <= counts("l")["time_ns"] * 1.01
    assert (counts("m")["processing"]["count"], counts("p")["processing"]["count"]) == (2, 3)


def test_an_item_of_a_producer_is_as_a_call_and_its_end_is_none(driver):
    nodes_of(driver)
    manifest = guarded([node("s", "Source"), node("p", "Plain")], "s p", producers=["s"])
    counts = driver.run(manifest, metrics="time").counts("s")
    times_hold(counts, Measured.own_ns["Source"] + SPIN_NS)
    assert counts["processing"]["count"] == 3
    assert counts["processing"]["total_ns"] + SPIN_NS <= counts["time_ns"] * 1.01


def test_a_join_that_is_not_called_takes_no_time(driver):
    nodes_of(driver)
    manifest = guarded(
        [node("s", "Both"), node("a", "Both"), node("d", "Drop"), node("j", "Both", fan_in="join")],
        "s a, s d, a j, d j",
    )
    counts = driver.run(manifest, [1, 2, 3, 4], metrics="time").counts
    assert counts("j")["filtered"] == 2
    times_hold(counts("j"), calls=2)
    times_hold(counts("d"))


def test_a_merge_is_called_once_for_each_item(driver):
    nodes_of(driver)
    manifest = guarded([node("m", "Many"), node("a", "Both"), node("b", "Plain")], "m a, m b, a b")
    counts = driver.run(manifest, [3, 2], metrics="time").counts
    for node_id in "mab":
        times_hold(counts(node_id))
    assert counts("b")["processing"]["count"] == 10


def test_the_result_of_a_sessions_run_is_of_that_run_and_its_longest_too(direct):
    class Slow(rm.NodeExecutor):
        def process(self, item):
            spin(item)
            return item

    direct.register(Slow=Slow)
    with direct.executor.open(rm.Manifest.from_dict(chain(node("s", "Slow"))), metrics="time") as session:
        first = session.run([20 * SPIN_NS, 1, 1]).metrics["nodes"]["s"]
        session.process(1)
        second = session.run([1, 1]).metrics["nodes"]["s"]
        whole = session.metrics()["nodes"]["s"]
    assert [c["processing"]["count"] for c in (first, second, whole)] == [3, 2, 6]
    assert second["processing"]["max_ns"] < 20 * SPIN_NS * 0.99 < first["processing"]["max_ns"]
    assert whole["processing"]["max_ns"] == first["processing"]["max_ns"]
    assert second["processing"]["max_ns"] <= second["processing"]["total_ns"] == second["time_ns"]
    assert first["time_ns"] + second["time_ns"] < whole["time_ns"]
    assert session.metrics()["nodes"]["s"] == whole


def test_the_times_of_a_failed_process_are_those_of_that_call(direct):
    nodes_of(direct)
    with direct.executor.open(rm.Manifest.from_dict(chain(node("f", "Fail"))), metrics="time") as session:
        session.process(1)
        session.process(2)
        with pytest.raises(rm.NodeError) as caught:
            session.process(3)
    counts = caught.value.partial.metrics["nodes"]["f"]
    times_hold(counts)
    assert counts["processing"]["count"] == counts["failed"] == 1


def test_a_many_call_that_is_left_unfinished_is_counted(direct):
    nodes_of(direct)
    with direct.executor.open(rm.Manifest.from_dict(chain(node("m", "Many"))), metrics="time") as session:
        with session.stream([3, 3]) as stream:
            next(stream)
        counts = session.metrics()["nodes"]["m"]
    assert counts["in"] == 1
    times_hold(counts)


def test_metrics_are_readable_from_another_thread_while_a_run_goes_on(direct):
    nodes_of(direct)
    seen = []

    def items(session):
        for i in itertools.count(1):
            thread = threading.Thread(target=lambda: seen.append(session.metrics()))
            thread.start()
            thread.join()
            if i > 3:
                return
            yield i

    with direct.executor.open(rm.Manifest.from_dict(chain(node("p", "Plain"))), metrics="time") as session:
        session.run(items(session))
    assert [metrics["nodes"]["p"]["processing"]["count"] for metrics in seen] == [0, 1, 2, 3]
    for metrics in seen:
        assert json.loads(json.dumps(metrics)) == metrics
        times_hold(metrics["nodes"]["p"])


def test_a_threads_reading_never_disturbs_a_run(direct):
    """Reads as fast as it can while times of ever new buckets are counted."""

    class Growing(rm.NodeExecutor):
        def process(self, item):
            spin(item)
            return item

    direct.register(Growing=Growing)
    failures = []
    done = threading.Event()

    def read(session):
        try:
            while not done.is_set():
                counts = session.metrics()["nodes"]["g"]["processing"]
                assert sum(count for _, count in counts["buckets"]) == counts["count"]
        except BaseException as error:
            failures.append(error)

    with direct.executor.open(rm.Manifest.from_dict(plain([node("g", "Growing")])), metrics="time") as session:
        reader = threading.Thread(target=read, args=(session,))
        reader.start()
        session.run([1 << k for k in range(16)] * 20)
        done.set()
        reader.join()
    assert failures == []


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize(("kind", "keys"), [
    ("Plain", {"isolation": "thread"}), ("Many", {"isolation": "thread", "max_concurrency": 2}),
    ("Asking", {"max_concurrency": 3}), ("AskingMany", {"max_concurrency": 3}),
])  # fmt: skip
def test_calls_that_overlap_are_counted_each_with_its_own_time(driver, kind, keys, copied):
    nodes_of(driver)
    tree = chain(node("n", kind, copy=copied), node("p", "PassThrough"))
    tree["nodes"][1] |= keys
    outcome = driver.run(tree, [1, 2, 3, 4, 5], metrics="time")
    assert outcome.error is None
    times_hold(outcome.counts("n"), SPIN_NS)
    assert outcome.counts("n")["processing"]["count"] == 5
    assert outcome.counts("n")["processing"]["total_ns"] == outcome.counts("n")["time_ns"]
    times_hold(outcome.counts("p"))
    queue = outcome.counts("n")["queue"]
    assert (queue["depth"], queue["in_flight"]) == (0, 0)
    assert queue["waiting"]["count"] == 5
    assert queue["waiting"]["p50_ns"] <= queue["waiting"]["p99_ns"] <= queue["waiting"]["max_ns"]
    assert "queue" not in outcome.counts("p")


def test_what_waits_and_what_is_under_way_is_told_while_a_run_goes_on():
    """Two calls are held up, so as many more items wait for theirs as the connection takes."""
    driver = Driver("cython", "async execute on asyncio")
    seen = []

    class Held(rm.NodeExecutor):
        max_concurrency = 2
        calls = 0

        async def process(self, item):
            Held.calls += 1
            if Held.calls == 2:
                for _ in range(20):  # turns of the loop, in which the run goes on as far as it can
                    await asyncio.sleep(0)
                spin()
                seen.append(session.metrics()["nodes"]["h"])
                let_go.set()
            await let_go.wait()
            return item

    driver.register(Held=Held)
    tree = chain(node("h", "Held"))
    tree["connections"][0]["capacity"] = 3
    session = driver.executor.open_async(rm.Manifest.from_dict(tree), metrics="time")
    let_go = asyncio.Event()
    let_go.set()

    async def main():
        async with session:
            await session.run([1])
            let_go.clear()
            result = await session.run(range(9))
            return result.metrics["nodes"]["h"], session.metrics()["nodes"]["h"]

    latest, whole = asyncio.run(main())
    assert len(seen) == 1
    assert (seen[0]["queue"]["depth"], seen[0]["queue"]["in_flight"]) == (3, 2)
    assert (latest["queue"]["depth"], latest["queue"]["in_flight"]) == (0, 0)
    assert (latest["queue"]["waiting"]["count"], whole["queue"]["waiting"]["count"]) == (9, 10)
    assert latest["queue"]["waiting"]["max_ns"] >= SPIN_NS * 0.99


def test_without_it_there_are_no_times(driver):
    nodes_of(driver)
    counts = driver.run(chain(node("p", "Both")), [1]).counts("p")
    assert counts == {"in": 1, "passed": 1, "filtered": 0, "failed": 0, "out": 1, "flushed": 0}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but for what nodes and input let go by."""
    now = [0]
    monkeypatch.setattr("remotemedia.reference.clock.perf_counter_ns", lambda: now[0])

    def go_by(ns):
        now[0] += ns

    return go_by


def test_the_reference_by_a_clock_that_stands_still(clock):
    class Takes(rm.NodeExecutor):
        def process(self, item):
            clock(item)
            return item

    class Slowly(rm.NodeExecutor):
        def process(self, item):
            clock(1)
            for _ in range(2):
                clock(item)
                yield item
            clock(2)

    class Asks(rm.NodeExecutor):
        async def process(self, item):
            clock(item)
            await asyncio.sleep(0)
            clock(5)
            return item

    class Held(rm.NodeExecutor):
        def process(self, item):
            clock(3)

        def flush(self):
            clock(1_000)
            return [7]

    def items():
        for ns in (10, 20):
            clock(10**6)
            yield ns

    driver = Driver("reference")
    driver.register(Takes=Takes, Slowly=Slowly, Asks=Asks, Held=Held)
    manifest = chain(node("t", "Takes"), node("s", "Slowly"), node("a", "Asks"), node("h", "Held"), node("u", "Takes"))
    nodes = driver.run(manifest, items(), metrics="time").metrics["nodes"]
    assert nodes["t"]["processing"] == {
        "count": 2, "total_ns": 30, "p50_ns": 10, "p95_ns": 20, "p99_ns": 20, "max_ns": 20,
        "buckets": [[10, 1], [20, 1]],
    }  # fmt: skip
    assert nodes["s"]["processing"]["buckets"] == [[23, 1], [43, 1]]
    assert nodes["a"]["processing"]["buckets"] == [[15, 2], [25, 2]]
    assert (nodes["h"]["time_ns"], nodes["h"]["processing"]["total_ns"]) == (1_012, 12)
    assert nodes["u"]["time_ns"] == nodes["u"]["processing"]["total_ns"] == 7
