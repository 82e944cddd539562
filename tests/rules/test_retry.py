"""`retry`: an idempotent node's failed calls are tried again, counted, with waits that can be broken off."""

import asyncio
import gc
import signal
import threading
import traceback
import weakref

import pytest
from guarding import KINDS, Async, AsyncListed, AsyncMany, Many, Plain, guarded_node, scripted
from hypothesis import given
from hypothesis import strategies as st
from support import ENGINES, MODES, Driver, await_on

import remotemedia as rm
from remotemedia import guards
from remotemedia.manifest_parts import Retry
from remotemedia.pauses import World
from remotemedia.retries import wait_ms

RETRY = {"max_attempts": 3, "backoff_ms": 100, "multiplier": 2, "jitter": 0}
FOREVER_MS = 1e12


@pytest.fixture(params=[(engine, mode) for engine in ENGINES for mode in MODES], ids="-".join)
def driver(request):
    return Driver(*request.param)


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


# --- what comes of it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_call_is_tried_again_and_counted(driver, world, kind):
    cls = scripted(kind, {1: 2, 3: 1})
    driver.register(N=cls)
    outcome = driver.run(guarded_node("N", retry=RETRY), [0, 1, 2, 3])
    assert outcome.error is None
    assert outcome.results == [0, 1, 2, 3]
    assert cls.calls == [0, 1, 1, 1, 2, 3, 3]
    assert world.waits == [100, 200, 100]
    counts = outcome.counts("n")
    assert (counts["in"], counts["passed"], counts["failed"], counts["attempts"]) == (4, 4, 0, 7)
    assert "attempts" not in outcome.counts("a")
    assert cls.cleaned == 1


@pytest.mark.parametrize("policy", ["stop", "skip", "collect"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_last_failure_is_the_nodes_error(driver, world, kind, policy):
    cls = scripted(kind, {1: 9})
    driver.register(N=cls)
    outcome = driver.run(guarded_node("N", retry=RETRY), [0, 1, 2], error_policy=policy)
    assert cls.calls[:4] == [0, 1, 1, 1]
    assert outcome.results == ([0] if policy == "stop" else [0, 2])
    counts = outcome.counts("n")
    assert (counts["in"], counts["failed"], counts["attempts"]) == ((2, 1, 4) if policy == "stop" else (3, 1, 5))
    if policy == "skip":
        return
    error = outcome.error if policy == "stop" else outcome.result.errors[0]
    assert type(error) is rm.NodeError
    assert (error.node_id, error.item_index, error.phase, error.attempts) == ("n", 1, "process", 3)
    assert "failed in process at item 1 after 3 attempts: ConnectionError: attempt 3 at 1" in str(error)
    assert type(error.__cause__) is ConnectionError
    if policy == "stop":
        assert traceback.extract_tb(error.__cause__.__traceback__)[-1].name == "act"
    else:
        assert ", in act\n" in error.traceback_text
        assert "AfterAttempts" not in error.traceback_text


def test_of_errors_without_a_retry_there_was_one_attempt(driver, world):
    driver.register(N=scripted(Plain, {1: 9}))
    error = driver.run(guarded_node("N"), [1]).error
    assert error.attempts == 1
    assert "attempts" not in str(error)


def test_each_run_of_a_session_counts_its_own_attempts(engine, world):
    cls = scripted(Plain, {1: 1, 3: 2})
    driver = Driver(engine)
    driver.register(N=cls)
    with driver.executor.open(guarded_node("N", retry=RETRY)) as session:
        attempts = [session.run(items).metrics["nodes"]["n"]["attempts"] for items in ([0, 1], [2], [3])]
        assert attempts == [3, 1, 3]
        assert session.metrics()["nodes"]["n"]["attempts"] == 7


@pytest.mark.parametrize("kind", [Many, AsyncMany])
def test_an_attempt_that_has_emitted_something_is_the_last(driver, world, kind):
    class Sync(kind):
        def process(self, item):
            yield item
            yield self.act(item)

    class Awaited(kind):
        async def process(self, item):
            yield item
            await asyncio.sleep(0)
            yield self.act(item)

    cls = scripted(Sync if kind is Many else Awaited, {1: 1})
    driver.register(N=cls)
    outcome = driver.run(guarded_node("N", retry=RETRY), [0, 1, 2], error_policy="collect")
    assert outcome.results == [0, 0, 1, 2, 2]
    assert cls.calls == [0, 1, 2]
    assert outcome.result.errors[0].attempts == 1
    assert world.waits == []


@pytest.mark.parametrize("options", [{"max_concurrency": 3}, {"isolation": "thread"}], ids=str)
def test_overlapping_calls_are_tried_again_each_for_itself(driver, world, options):
    cls = scripted(Async if "max_concurrency" in options else Plain, {1: 2, 3: 1, 4: 9})
    driver.register(N=cls)
    outcome = driver.run(guarded_node("N", retry=RETRY, **options), range(8), error_policy="collect")
    assert outcome.results == [0, 1, 2, 3, 5, 6, 7]
    assert outcome.counts("n")["attempts"] == 8 + 2 + 1 + 2
    assert [error.attempts for error in outcome.result.errors] == [3]


# --- which errors -------------------------------------------------------------------------------------------


class OwnError(Exception):
    pass


CHOICES = [
    (ConnectionError, None, None, True),
    (ConnectionError, ["ConnectionError"], None, True),
    (ConnectionResetError, ["ConnectionError"], None, True),
    (ConnectionError, ["ValueError", "OSError"], None, True),
    (ConnectionError, ["ValueError"], None, False),
    (OwnError, ["OwnError"], (OwnError,), True),
    (OwnError, ["Busy"], {"Busy": OwnError}, True),
    (OwnError, None, (OwnError,), True),
    (ConnectionError, None, (OwnError,), False),
    (ConnectionError, ["ConnectionError"], (OwnError,), True),
    (rm.NodeTimeoutError, ["NodeTimeoutError"], None, True),
    (rm.NodeTimeoutError, ["TimeoutError"], None, True),
    (rm.SessionBusyError, ["Exception"], None, False),
    (KeyboardInterrupt, ["Exception"], None, False),
    (asyncio.CancelledError, ["Exception"], None, False),
]


@pytest.mark.parametrize(("error", "names", "retryable", "again"), CHOICES)
@pytest.mark.parametrize("kind", [Plain, Many])
def test_which_errors_are_tried_again(engine, world, kind, error, names, retryable, again):
    cls = scripted(kind, {1: 1}, error=error, retryable=retryable)
    driver = Driver(engine)
    driver.register(N=cls)
    keys = RETRY if names is None else {**RETRY, "retry_on": names}
    outcome = driver.run(guarded_node("N", retry=keys), [1])
    assert cls.calls == ([1, 1] if again else [1])
    assert (outcome.error is None) == again
    if not again and issubclass(error, Exception):
        assert outcome.error.attempts == 1


def test_a_wrong_return_is_no_failure_to_be_tried_again(driver, world):
    calls = []

    class Lazy(rm.NodeExecutor):
        idempotent = True

        def process(self, item):
            calls.append(item)
            return (i for i in range(item))

    class NotIterable(rm.NodeExecutor):
        idempotent = True
        emits = "many"

        def process(self, item):
            calls.append(item)
            return 5

    for cls in (Lazy, NotIterable):
        driver.register(N=cls)
        error = driver.run(guarded_node("N", retry=RETRY), [1]).error
        assert type(error.__cause__) is TypeError
        assert error.attempts == 1
        assert f"{cls.__name__}.process gave" in str(error)
    assert calls == [1, 1]


@pytest.mark.parametrize(
    ("attributes", "keys", "path", "message"),
    [
        ({"idempotent": False}, {}, ".retry", "declare idempotent = True on Plain"),
        ({"idempotent": 1}, {}, ".retry", "declare idempotent = True on Plain"),
        ({}, {"retry_on": ["OSError", "ConectionError"]}, ".retry.retry_on[1]", "did you mean 'ConnectionError'?"),
        ({}, {"retry_on": ["os.error"]}, ".retry.retry_on[0]", "no exception type that it may name"),
        ({}, {"retry_on": ["print"]}, ".retry.retry_on[0]", "no exception type that it may name"),
        ({}, {"retry_on": ["KeyboardInterrupt"]}, ".retry.retry_on[0]", "is no Exception"),
        ({}, {"retry_on": ["BaseException"]}, ".retry.retry_on[0]", "is no Exception"),
        ({"retryable": (OwnError,)}, {"retry_on": ["OwnEror"]}, ".retry.retry_on[0]", "did you mean 'OwnError'?"),
        ({"retryable": 5}, {}, ".retry", "retryable = 5"),
        ({"retryable": (KeyboardInterrupt,)}, {}, ".retry", "a tuple of exception types"),
        ({"retryable": {1: OwnError}}, {}, ".retry", "a dict of names to exception types"),
        ({"produce": lambda self: iter([1])}, {}, ".retry", "is a producer"),
    ],
)
def test_what_cannot_be_tried_again_is_refused_before_any_call(engine, attributes, keys, path, message):
    driver = Driver(engine)
    driver.register(N=scripted(Plain, **attributes), M=scripted(Async, idempotent=False))
    manifest = guarded_node("N", retry={**RETRY, **keys})
    manifest["nodes"][3] = {"id": "z", "node_type": "M", "retry": RETRY}
    if "produce" in attributes:
        manifest["connections"] = []
    with pytest.raises(rm.ManifestError) as caught:
        driver.executor.check(manifest)
    first, second = caught.value.errors
    assert first.path == f"$.nodes[2]{path}"
    assert message in first.message
    assert second.path == "$.nodes[3].retry"
    assert "Async" in second.message


def test_each_instance_is_asked_also_when_the_plan_is_kept(engine):
    made = []

    def make():
        made.append(scripted(Plain)() if not made else type(made[0])())
        made[-1].idempotent = len(made) == 1
        return made[-1]

    driver = Driver(engine)
    driver.register(N=make)
    manifest = rm.Manifest.from_dict(guarded_node("N", retry=RETRY))
    assert driver.executor.execute_with_input(manifest, [1]).results == [1]
    with pytest.raises(rm.ManifestError, match="idempotent"):
        driver.executor.execute_with_input(manifest, [1])


# --- time ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Async, AsyncMany])
def test_a_time_limit_is_that_of_each_attempt(driver, world, kind):
    calls = []

    class Hangs(Async):
        async def process(self, item):
            calls.append(item)
            if len(calls) < 3:
                await asyncio.get_running_loop().create_future()
            return item

    class HangsMany(Async):
        async def process(self, item):
            calls.append(item)
            if len(calls) < 3:
                await asyncio.get_running_loop().create_future()
            yield item

    driver.register(N=Hangs if kind is Async else HangsMany)
    outcome = driver.run(guarded_node("N", retry={**RETRY, "retry_on": ["NodeTimeoutError"]}, timeout_ms=2), [1])
    assert outcome.error is None
    assert outcome.results == [1]
    assert outcome.counts("n")["attempts"] == 3


amounts = st.floats(0, 1e9)


@given(amounts, st.floats(1, 1e6), st.none() | amounts, st.floats(0, 1), st.integers(1, 2**31 - 1), st.floats(0, 1))
def test_waits_grow_within_their_bounds(backoff, multiplier, most, jitter, attempt, chance):
    retry = Retry(max_attempts=2, backoff_ms=backoff, multiplier=multiplier, max_backoff_ms=most, jitter=jitter)
    whole, wait, after = (wait_ms(retry, a, c) for a, c in ((attempt, 0.0), (attempt, chance), (attempt + 1, 0.0)))
    assert whole <= after <= (1e11 if most is None else most)
    assert whole * (1 - jitter) * (1 - 1e-12) <= wait <= whole
    if attempt == 1:
        assert whole == min(backoff, 1e11 if most is None else most)
    threading.Event().wait(0) if whole / 1000 > threading.TIMEOUT_MAX else None
    assert whole / 1000 <= threading.TIMEOUT_MAX


def test_the_defaults():
    retry = Retry(max_attempts=3)
    assert [wait_ms(retry, attempt, 0) for attempt in (1, 2, 3)] == [100, 200, 400]
    assert wait_ms(retry, 1, 1) == 50


def test_chance_takes_from_the_wait(engine, world):
    world.luck = 0.5
    driver = Driver(engine)
    driver.register(N=scripted(Plain, {1: 2}))
    driver.run(guarded_node("N", retry={**RETRY, "jitter": 0.5, "max_backoff_ms": 120}), [1])
    assert world.waits == [75, 90]


# --- breaking a wait off ------------------------------------------------------------------------------------


class Watched(World):
    """The real world, which tells when somebody waits."""

    def __init__(self):
        self.waiting = threading.Event()

    def wait(self, halted, seconds):
        self.waiting.set()
        return super().wait(halted, seconds)

    async def sleep(self, seconds):
        self.waiting.set()
        await super().sleep(seconds)


@pytest.fixture
def watched(monkeypatch):
    world = Watched()
    monkeypatch.setattr(guards, "WORLD", world)
    return world


def forever(kind, **keys):
    return guarded_node(kind, retry={"max_attempts": 2, "backoff_ms": FOREVER_MS, "jitter": 0}, **keys)


@pytest.mark.parametrize("policy", ["stop", "collect"])
@pytest.mark.parametrize("keys", [{}, {"isolation": "thread"}], ids=str)
def test_closing_a_session_breaks_the_wait_off(engine, watched, keys, policy):
    cls = scripted(Plain, {1: 1})
    driver = Driver(engine)
    driver.register(N=cls)
    raised = []
    with driver.executor.open(forever("N", **keys), error_policy=policy) as session:

        def call():
            try:
                session.run([1, 2])
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        assert watched.waiting.wait(60)
        session.close()
        thread.join(60)
        assert not thread.is_alive()
    assert [type(error) for error in raised] == [rm.SessionClosedError]
    assert cls.calls == [1] or (keys and cls.calls == [1, 2])  # a thread takes the next call itself
    assert cls.cleaned == 1


@pytest.mark.parametrize("node_id", [None, "n"])
def test_an_interrupt_breaks_the_wait_off_and_drops_the_item(watched, node_id):
    cls = scripted(Plain, {1: 1})
    driver = Driver("cython")
    driver.register(N=cls)
    with driver.executor.open(forever("N")) as session:

        def interrupt():
            watched.waiting.wait(60)
            session.interrupt(node_id)

        thread = threading.Thread(target=interrupt)
        thread.start()
        result = session.run([0, 1, 2])
        thread.join()
        assert result.results == [0, 2]
        counts = result.metrics["nodes"]["n"]
        assert (counts["in"], counts["passed"], counts["filtered"], counts["failed"]) == (3, 2, 1, 0)
        assert session.run([1]).results == [1]


def test_a_deadline_breaks_the_wait_off(engine, watched):
    cls = scripted(Plain, {1: 1})
    driver = Driver(engine)
    driver.register(N=cls)
    manifest = {**forever("N"), "run": {"deadline_ms": 20}}
    assert type(driver.run(manifest, [1, 2]).error) is rm.DeadlineError
    assert (cls.calls, cls.cleaned) == ([1], 1)


@pytest.mark.parametrize("mode", MODES)
def test_ctrl_c_breaks_the_wait_off(engine, watched, mode):
    cls = scripted(Plain, {1: 1})
    driver = Driver(engine, mode)
    driver.register(N=cls)

    def interrupt():
        watched.waiting.wait(60)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            outcome = driver.run(forever("N"), [1, 2])
            raise outcome.error
    finally:
        thread.join()
    assert (cls.calls, cls.cleaned) == ([1], 1)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("kind", [Async, AsyncMany])
def test_a_cancelled_task_does_not_wait(engine, watched, loop, kind):
    cls = scripted(kind, {1: 1})
    driver = Driver(engine)
    driver.register(N=cls)

    async def main():
        task = asyncio.ensure_future(driver.executor.execute_with_input_async(forever("N"), [1, 2]))
        while not watched.waiting.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await_on(loop, main())
    assert (cls.calls, cls.cleaned) == ([1], 1)


@pytest.mark.parametrize("mode", MODES)
def test_the_end_of_a_run_does_not_wait_for_threads_that_do(watched, mode):
    class Sticks(Plain):
        def process(self, item):
            if item == 0:
                watched.waiting.wait(60)
                raise OwnError
            return self.act(item)

    cls = scripted(Sticks, {1: 1}, retryable=(ConnectionError,))
    driver = Driver("cython", mode)
    driver.register(N=cls)
    error = driver.run(forever("N", isolation="thread", max_concurrency=2), [0, 1]).error
    assert (error.item_index, type(error.__cause__)) == (0, OwnError)
    assert [(type(other.__cause__), other.attempts) for other in error.others] == [(ConnectionError, 1)]
    assert cls.cleaned == 1


@pytest.mark.parametrize("engine_name", ENGINES)
def test_a_session_whose_stream_was_left_tries_again(engine_name, world):
    cls = scripted(Plain, {2: 1})
    driver = Driver(engine_name)
    driver.register(N=cls)
    with driver.executor.open(guarded_node("N", retry=RETRY)) as session:
        with session.stream([0, 1]) as stream:
            assert next(stream) == 0
        assert session.run([2]).results == [2]


# --- whose instance it is -----------------------------------------------------------------------------------


def test_r13_an_instance_behind_a_guard_is_in_one_run(engine, world):
    instance = scripted(Plain)()
    manifest = rm.Manifest.from_dict(guarded_node("N", retry=RETRY))
    registry = Driver(engine).registry
    first, second = (rm.Executor.with_instances({"n": instance}, registry, engine=engine) for _ in range(2))
    with first.open(manifest), pytest.raises(rm.SessionBusyError, match="node 'n'"), second.open(manifest):
        pass
    with second.open(manifest) as session:
        assert session.process(1) == [1]


def test_a_shared_node_is_tried_again(engine, world):
    cls = scripted(Plain, {1: 1})
    driver = Driver(engine)
    driver.registry.register("N", cls, shared=True)
    with driver.executor:
        assert driver.run(guarded_node("N", retry=RETRY), [1]).results == [1]
    assert cls.calls == [1, 1]


@pytest.mark.parametrize("policy", ["stop", "collect"])
@pytest.mark.parametrize("kind", KINDS)
def test_r36_what_failed_is_free_when_its_error_is(driver, world, kind, policy):
    nodes = []

    def make():
        made = cls()
        nodes.append(weakref.ref(made))
        return made

    cls = scripted(kind, {1: 9})
    driver.register(N=make)
    outcome = driver.run(guarded_node("N", retry=RETRY), [0, 1, 2], error_policy=policy)
    gc.collect()
    if policy == "collect":
        assert nodes[0]() is None
        assert outcome.result.errors[0].__cause__.__traceback__ is None
    gc.disable()
    try:
        outcome.error = outcome.result = None
        if driver.mode.startswith("async") or kind in (Async, AsyncMany, AsyncListed):
            gc.collect()  # asyncio has cycles of its own
        assert nodes[0]() is None
    finally:
        gc.enable()
