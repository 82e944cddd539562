"""Lifecycle rules, over both engines and every mode."""

import gc
import threading
import warnings

import pytest
from support import Driver, chain, guarded, node

import remotemedia as rm

LOG: list[tuple[str, str]] = []


class Logged(rm.NodeExecutor):
    """Notes its lifecycle; fails where its params say."""

    def initialize(self, context):
        self.id = context.node_id
        self.fail = context.params.get("fail")
        LOG.append(("initialize", self.id))
        if self.fail == "initialize":
            raise RuntimeError(f"initialize of {self.id}")

    def process(self, item):
        LOG.append(("process", self.id))
        if self.fail == "process":
            raise RuntimeError(f"process of {self.id}")
        return item

    def flush(self):
        LOG.append(("flush", self.id))
        if self.fail == "flush":
            raise RuntimeError(f"flush of {self.id}")

    def cleanup(self):
        LOG.append(("cleanup", self.id))
        if self.fail == "cleanup":
            raise RuntimeError(f"cleanup of {self.id}")


@pytest.fixture(autouse=True)
def empty_log():
    LOG.clear()


def logged(driver, **fail):
    driver.register(Logged=Logged)
    return chain(*(node(i, "Logged", **({"fail": fail[i]} if i in fail else {})) for i in "abc"))


def phases(phase):
    return [i for p, i in LOG if p == phase]


def test_r01_initialize_runs_once_and_before_the_first_process(driver):
    driver.results(logged(driver), [1, 2])
    assert phases("initialize") == ["a", "b", "c"]
    assert [p for p, _ in LOG].index("process") == 3


def test_r02_initialize_in_topological_order_and_cleanup_in_reverse(driver):
    driver.register(Logged=Logged)
    manifest = guarded([node(i, "Logged") for i in "dcba"], "a b, b c, c d")
    driver.results(manifest, [1])
    assert phases("initialize") == ["a", "b", "c", "d"]
    assert phases("cleanup") == ["d", "c", "b", "a"]
    assert [p for p, _ in LOG[-4:]] == ["cleanup"] * 4


def test_r03_failed_initialize_cleans_up_itself_and_those_before(driver):
    outcome = driver.run(logged(driver, b="initialize"), [1])
    assert isinstance(outcome.error, rm.NodeError)
    assert (outcome.error.node_id, outcome.error.phase) == ("b", "initialize")
    assert phases("process") == []
    assert phases("cleanup") == ["b", "a"]


@pytest.mark.parametrize("phase", ["process", "flush"])
def test_r04_failure_cleans_every_node_up_once_in_reverse(driver, phase):
    outcome = driver.run(logged(driver, b=phase), [1])
    assert (outcome.error.node_id, outcome.error.phase) == ("b", phase)
    assert phases("cleanup") == ["c", "b", "a"]


def test_r05_first_error_stays_and_cleanup_errors_are_attached(driver):
    outcome = driver.run(logged(driver, a="cleanup", b="process", c="cleanup"), [1])
    assert (outcome.error.node_id, outcome.error.phase) == ("b", "process")
    assert [e.node_id for e in outcome.error.cleanup_errors] == ["c", "a"]
    assert len(outcome.error.__notes__) == 2
    assert "cleanup of c" in outcome.error.__notes__[0]


def test_r05_if_only_cleanups_fail_the_first_is_raised(driver):
    outcome = driver.run(logged(driver, a="cleanup", c="cleanup"), [1])
    assert (outcome.error.node_id, outcome.error.phase) == ("c", "cleanup")
    assert [e.node_id for e in outcome.error.cleanup_errors] == ["a"]
    assert phases("cleanup") == ["c", "b", "a"]


def test_r05_interrupt_from_a_cleanup_outranks_an_error(driver):
    interrupt = KeyboardInterrupt()

    class Interrupted(rm.NodeExecutor):
        def process(self, item):
            raise ValueError("first")

        def cleanup(self):
            raise interrupt

    driver.register(Interrupted=Interrupted)
    outcome = driver.run(chain(node("a", "Interrupted")), [1])
    assert outcome.error is interrupt
    assert isinstance(outcome.error.__context__, rm.NodeError)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("policy", ["stop", "skip", "collect"])
def test_r06_what_is_no_exception_comes_out_as_the_same_object(driver, kind, policy):
    raised = kind("x")

    class Raises(rm.NodeExecutor):
        def process(self, item):
            raise raised

    driver.register(Raises=Raises, Logged=Logged)
    outcome = driver.run(chain(node("a", "Logged"), node("b", "Raises")), [1], error_policy=policy)
    assert outcome.error is raised
    assert phases("cleanup") == ["a"]


def test_r07_a_second_interrupt_in_cleanup_lets_the_others_run(driver):
    class Stubborn(Logged):
        def cleanup(self):
            super().cleanup()
            raise KeyboardInterrupt

    class First(rm.NodeExecutor):
        def process(self, item):
            raise KeyboardInterrupt("first")

    driver.register(Stubborn=Stubborn, First=First)
    outcome = driver.run(chain(node("a", "Stubborn"), node("f", "First"), node("b", "Stubborn")), [1])
    assert outcome.error.args == ("first",)
    assert phases("cleanup") == ["b", "a"]


def test_r08_stream_closed_early_has_cleaned_up_before_close_returns(engine):
    driver = Driver(engine)
    pulled = []

    def items():
        for i in range(10):
            pulled.append(i)
            yield i

    with driver.executor.stream(logged(driver), items()) as stream:
        assert next(stream) == 0
        stream.close()
        assert phases("cleanup") == ["c", "b", "a"]
    assert phases("flush") == []
    assert pulled == [0]
    assert list(stream) == []


def test_r09_a_stream_never_iterated_initializes_nothing(engine):
    driver = Driver(engine)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with driver.executor.stream(logged(driver), [1]):
            pass
        stream = driver.executor.stream(logged(driver), [1])
        del stream
        gc.collect()
    assert LOG == []


def test_a_stream_dropped_unfinished_cleans_up_at_once_and_warns(engine):
    driver = Driver(engine)
    stream = driver.executor.stream(logged(driver), [1, 2])
    assert next(stream) == 1
    gc.disable()
    try:
        with pytest.warns(ResourceWarning, match="dropped before its end"):
            del stream
    finally:
        gc.enable()
    assert phases("cleanup") == ["c", "b", "a"]


def test_r10_close_is_idempotent_at_any_moment(engine):
    driver = Driver(engine)
    session = driver.executor.open(logged(driver))
    session.close()
    session.close()
    with pytest.raises(rm.SessionClosedError):
        session.__enter__()
    with driver.executor.open(logged(driver)) as session:
        session.process(1)
        session.close()
        session.close()
        with pytest.raises(rm.SessionClosedError):
            session.process(1)
    assert phases("cleanup") == ["c", "b", "a"]


def test_r10_close_from_another_thread_ends_a_running_call(engine):
    driver = Driver(engine)
    running = threading.Event()

    def items():
        while True:
            running.set()
            yield 1

    session = driver.executor.open(logged(driver))
    errors = []

    def work():
        try:
            with session:
                session.run(items())
        except rm.RemoteMediaError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert running.wait(10)
    session.close()
    thread.join(10)
    assert not thread.is_alive()
    assert [type(e) for e in errors] == [rm.SessionClosedError]
    assert phases("cleanup") == ["c", "b", "a"]


def test_r11_unfinished_generators_close_innermost_first_before_the_cleanups(engine):
    driver = Driver(engine)

    class Many(rm.NodeExecutor):
        def initialize(self, context):
            self.id = context.node_id

        def process(self, item):
            try:
                for i in range(3):
                    yield (item, i)
            finally:
                LOG.append(("closed", self.id))

        def cleanup(self):
            LOG.append(("cleanup", self.id))

    driver.register(Many=Many)
    with driver.executor.stream(chain(node("a", "Many"), node("b", "Many")), [1]) as stream:
        next(stream)
    assert LOG == [("closed", "b"), ("closed", "a"), ("cleanup", "b"), ("cleanup", "a")]


def test_nothing_happens_before_a_session_is_entered(engine):
    driver = Driver(engine)
    session = driver.executor.open(logged(driver))
    assert LOG == []
    with pytest.raises(rm.SessionClosedError, match="enter it"):
        session.run([1])


def test_a_session_keeps_state_between_runs_and_counts_each_by_itself(engine):
    driver = Driver(engine)
    with driver.executor.open(chain(node("e", "Echo"), node("b", "Batcher", size=2))) as session:
        first = session.run([1, 2, 3])
        second = session.run([4])
        assert [[e["counter"] for e in batch] for batch in first.results] == [[1, 2], [3]]
        assert [[e["counter"] for e in batch] for batch in second.results] == [[4]]
        assert second.metrics["nodes"]["e"]["in"] == 1
        assert session.metrics()["nodes"]["e"]["in"] == 4
        assert session.process(5) == []
        assert [e["counter"] for e in session.flush()[0]] == [5]
        assert session.metrics()["nodes"]["e"]["in"] == 5


def test_a_failing_call_under_stop_ends_the_session(engine):
    driver = Driver(engine)
    with (
        pytest.raises(rm.NodeError) as caught,
        driver.executor.open(logged(driver, b="process")) as session,
    ):
        session.process(1)
    assert phases("cleanup") == ["c", "b", "a"]
    assert caught.value.partial is not None
    with pytest.raises(rm.SessionClosedError):
        session.process(1)


def test_under_collect_a_session_keeps_the_errors_of_process(engine):
    driver = Driver(engine)
    with driver.executor.open(logged(driver, b="process"), error_policy="collect") as session:
        assert session.process(1) == []
        assert session.process(2) == []
        assert [e.item_index for e in session.errors] == [0, 1]


def test_a_session_stream_closed_early_leaves_the_session_open(engine):
    driver = Driver(engine)
    with driver.executor.open(logged(driver)) as session:
        with session.stream([1, 2, 3]) as stream:
            assert next(stream) == 1
            with pytest.raises(rm.SessionBusyError):
                session.process(1)
        assert phases("flush") == phases("cleanup") == []
        assert session.run([7]).results == [7]
    assert phases("cleanup") == ["c", "b", "a"]


def test_two_calls_at_once_are_refused(engine):
    driver = Driver(engine)
    seen = []

    class Reenters(rm.NodeExecutor):
        def process(self, item):
            try:
                session.process(item)
            except rm.SessionBusyError as error:
                seen.append(error)
            return item

    driver.register(Reenters=Reenters)
    with driver.executor.open(chain(node("a", "Reenters"))) as session:
        assert session.process(1) == [1]
    assert len(seen) == 1
