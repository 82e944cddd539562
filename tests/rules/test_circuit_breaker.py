"""`circuit_breaker`: a node that keeps failing is not called for a while, then by one call on trial."""

import asyncio
import threading

import pytest
from guarding import KINDS, Async, FakeWorld, Many, Plain, guarded_node, scripted
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support import ENGINES, MODES, Driver, await_on

import remotemedia as rm
from remotemedia.breaker import Breaker

BREAKER = {"failure_threshold": 2, "reset_ms": 1000}


@pytest.fixture(params=[(engine, mode) for engine in ENGINES for mode in MODES], ids="-".join)
def driver(request):
    return Driver(*request.param)


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


class Ticking:
    """Items that come at given seconds."""

    def __init__(self, world, seconds):
        self.world = world
        self.seconds = seconds

    def __iter__(self):
        for item, second in enumerate(self.seconds):
            self.world.time = second
            yield item


@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_tries_one_call_and_closes(driver, world, kind):
    cls = scripted(kind, {0: 9, 1: 9, 4: 9, 9: 9})
    driver.register(N=cls)
    #                         fails   open      trial: fails, open      trial: well, closed    one failure
    times = Ticking(world, [0.0, 0.1, 0.2, 1.09, 1.1, 1.2, 2.0, 2.1, 2.2, 2.3, 2.4])
    outcome = driver.run(guarded_node("N", circuit_breaker=BREAKER), times, error_policy="collect")
    assert cls.calls == [0, 1, 4, 7, 8, 9, 10]
    assert outcome.results == [7, 8, 10]
    errors = outcome.result.errors
    assert [error.item_index for error in errors] == [0, 1, 2, 3, 4, 5, 6, 9]
    refused = [error for error in errors if type(error.__cause__) is rm.CircuitOpenError]
    assert [error.item_index for error in refused] == [2, 3, 5, 6]
    assert {error.attempts for error in refused} == {0}
    assert [round(error.__cause__.retry_in_ms) for error in refused] == [900, 10, 900, 100]
    assert refused[0].__cause__.node_id == "n"
    assert "node 'n' (N) is not called: 2 calls in a row failed" in str(refused[0])
    assert "in 900 ms" in str(refused[0])
    counts = outcome.counts("n")
    assert (counts["in"], counts["passed"], counts["failed"]) == (11, 3, 8)
    assert "attempts" not in counts


def test_it_stands_under_the_error_policy(driver, world):
    cls = scripted(Plain, {1: 9})
    driver.register(N=cls)
    breaker = {"failure_threshold": 1, "reset_ms": 1000}
    with_skip = driver.run(guarded_node("N", circuit_breaker=breaker), [0, 1, 2, 3], error_policy="skip")
    assert (with_skip.results, with_skip.counts("n")["failed"]) == ([0], 3)
    cls.calls.clear()
    error = driver.run(guarded_node("N", circuit_breaker=breaker), [0, 1, 2, 3]).error
    assert (type(error.__cause__), error.item_index) == (ConnectionError, 1)


def test_each_run_begins_closed_and_a_session_goes_on(engine, world):
    driver = Driver(engine)
    driver.register(N=scripted(Plain, {1: 9, 2: 9}))
    manifest = rm.Manifest.from_dict(guarded_node("N", circuit_breaker=BREAKER))
    for _ in range(2):
        assert driver.run(manifest, [1, 2, 3], error_policy="skip").results == []
    with driver.executor.open(manifest, error_policy="skip") as session:
        assert session.run([1, 2]).results == []
        assert session.run([3]).results == []
        world.time += 1
        assert session.run([3]).results == [3]


def test_any_node_may_have_one(driver, world):
    manifest = guarded_node("Multiply", circuit_breaker=BREAKER, params={"multiplier": 2})
    outcome = driver.run(manifest, [1, "x", 2, "y", "z", 3], error_policy="collect")
    assert outcome.results == [2, 4]
    causes = [type(error.__cause__) for error in outcome.result.errors]
    assert causes == [TypeError, TypeError, TypeError, rm.CircuitOpenError][: len(causes)]
    assert len(causes) == 4


def test_a_producer_has_none(engine):
    class Source(rm.NodeExecutor):
        def produce(self):
            yield 1

    driver = Driver(engine)
    driver.register(S=Source)
    manifest = guarded_node("S", circuit_breaker=BREAKER)
    manifest["connections"] = []
    with pytest.raises(rm.ManifestError, match="producer") as caught:
        driver.executor.check(manifest)
    assert caught.value.errors[0].path == "$.nodes[2].circuit_breaker"


# --- with retry ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_attempt_counts_and_an_open_breaker_ends_them(driver, world, kind):
    cls = scripted(kind, {1: 9})
    driver.register(N=cls)
    retry = {"max_attempts": 5, "backoff_ms": 10, "jitter": 0}
    manifest = guarded_node("N", retry=retry, circuit_breaker={"failure_threshold": 3, "reset_ms": 1e6})
    outcome = driver.run(manifest, [0, 1, 2], error_policy="collect")
    assert cls.calls == [0, 1, 1, 1]
    first, second = outcome.result.errors
    assert (first.attempts, str(first.__cause__)) == (3, "attempt 3 at 1")
    assert (second.attempts, type(second.__cause__)) == (0, rm.CircuitOpenError)
    assert world.waits == [10, 20]
    assert outcome.counts("n")["attempts"] == 4


# --- calls beside each other --------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_half_open_lets_one_call_through(world, loop):
    calls = []

    class Slow(rm.NodeExecutor):
        async def process(self, item):
            calls.append(item)
            if item == 0:
                raise ConnectionError
            await asyncio.sleep(0)
            return item

    driver = Driver("cython")
    driver.register(N=Slow)
    breaker = {"failure_threshold": 1, "reset_ms": 1000}
    manifest = guarded_node("N", circuit_breaker=breaker, max_concurrency=4)

    async def main():
        async with driver.executor.open_async(manifest, error_policy="collect") as session:
            await session.run([0])
            world.time += 1
            return await session.run([1, 2, 3, 4]), await session.run([5, 6])

    result, later = await_on(loop, main())
    assert calls == [0, 1, 5, 6]
    assert result.results == [1]
    assert [type(error.__cause__) for error in result.errors] == [rm.CircuitOpenError] * 3
    assert "when the one call that is let through now was well" in str(result.errors[0])
    assert later.results == [5, 6]


def test_a_cancelled_trial_leaves_the_place_to_another(world):
    breaker = Breaker(1, 1000, world)
    breaker.failed(breaker.enter("n", "N"))
    world.time += 1
    trial = breaker.enter("n", "N")
    with pytest.raises(rm.CircuitOpenError):
        breaker.enter("n", "N")
    breaker.left(trial)
    breaker.succeeded(breaker.enter("n", "N"))
    assert not breaker.is_open
    breaker.failed(trial)  # of a former era
    assert not breaker.is_open


def test_a_shared_instance_has_one_breaker_for_all_its_users(engine, world):
    cls = scripted(Plain, {0: 9})
    driver = Driver(engine)
    driver.registry.register("N", cls, shared=True)
    breaker = {"failure_threshold": 1, "reset_ms": 1000}
    with driver.executor:
        manifest = guarded_node("N", circuit_breaker=breaker)
        assert driver.run(manifest, [0], error_policy="skip").results == []
        assert driver.run(manifest, [1], error_policy="skip").results == []
        other = guarded_node("N", circuit_breaker={**breaker, "failure_threshold": 2})
        assert driver.run(other, [2]).results == [2]
        world.time += 1
        assert driver.run(manifest, [3]).results == [3]
    assert cls.calls == [0, 2, 3]


def test_of_many_threads_one_is_on_trial():
    world = FakeWorld()
    breaker = Breaker(1, 1000, world)
    breaker.failed(breaker.enter("n", "N"))
    world.time = 2.0
    together, entered, refused = threading.Barrier(8), [], []

    def enter():
        together.wait(60)
        try:
            entered.append(breaker.enter("n", "N"))
        except rm.CircuitOpenError as error:
            refused.append(error.retry_in_ms)

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(entered), refused) == (1, [0.0] * 7)


@pytest.mark.parametrize("kind", [Plain, Many, Async])
def test_interrupts_and_refusals_are_no_failures(engine, world, kind):
    cls = scripted(kind, {0: 1, 1: 1}, error=rm.SessionBusyError)
    driver = Driver(engine)
    driver.register(N=cls)
    manifest = guarded_node("N", circuit_breaker={"failure_threshold": 1, "reset_ms": 1000})
    assert driver.run(manifest, [0, 1, 2], error_policy="skip").results == [2]


def test_an_error_of_an_open_breaker_survives_pickling():
    import pickle

    error = pickle.loads(pickle.dumps(rm.CircuitOpenError("m", node_id="n", retry_in_ms=5.0)))
    assert (str(error), error.node_id, error.retry_in_ms) == ("m", "n", 5.0)
    assert isinstance(error, rm.RemoteMediaError)


class BreakerMachine(RuleBasedStateMachine):
    """A breaker does what its words say, whatever comes in which order."""

    def __init__(self):
        super().__init__()
        self.world = FakeWorld()
        self.breaker = Breaker(3, 1000, self.world)
        self.state, self.failures, self.opened_at, self.trial = "closed", 0, 0.0, None
        self.calls = []  # (what enter gave, whether the state it began in is still on)

    def _change(self, state):
        self.state = state
        self.calls = [(era, False) for era, _ in self.calls]
        if state == "open":
            self.opened_at = self.world.time

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0]))
    def time_goes_by(self, seconds):
        self.world.time += seconds

    @rule()
    def call(self):
        due = self.state == "open" and (self.world.time - self.opened_at) * 1000 >= 1000
        try:
            era = self.breaker.enter("n", "N")
        except rm.CircuitOpenError:
            assert self.state != "closed"
            assert not due
            return
        assert self.state == "closed" or due
        if due:
            self._change("half-open")
        self.calls.append((era, True))

    @rule(data=st.data(), how=st.sampled_from(["succeeded", "failed", "left"]))
    def end_of_a_call(self, data, how):
        if not self.calls:
            return
        era, counts = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        getattr(self.breaker, how)(era)
        if not counts:
            return
        if how == "succeeded":
            self.failures = 0
            if self.state == "half-open":
                self._change("closed")
        elif how == "failed":
            self.failures += 1
            if self.state == "half-open" or self.failures >= 3:
                self._change("open")
        elif self.state == "half-open":
            opened_at = self.opened_at
            self._change("open")
            self.opened_at = opened_at

    @invariant()
    def is_as_said(self):
        assert self.breaker.is_open == (self.state != "closed")


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=100, stateful_step_count=30)
