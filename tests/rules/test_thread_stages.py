"""R15, R23, R32: stages in threads share the threads of the run, and no call waits that could begin."""

import threading
import time

import pytest
from support import Driver, node, plain

import remotemedia as rm

LIMIT = 20  # seconds after which a test is taken to hang


@pytest.fixture
def driver():
    return Driver("cython")


class Stage(rm.NodeExecutor):
    """A node whose calls wait for what `awaits` names, and tell that they began: (stage, item)."""

    began: dict
    awaits: dict

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = 0

    def initialize(self, context):
        self.name = context.node_id

    def process(self, item):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.began[self.name, item].set()
        for other in self.awaits.get((self.name, item), ()):
            assert self.began[other].wait(LIMIT), f"{other} did not begin while {self.name} was called with {item}"
        with self.lock:
            self.now -= 1
        return item


def staged(driver, awaits, count, items, **keys):
    """A manifest of thread stages s0, s1, … for so many items, and their instances."""
    made = []

    class Here(Stage):
        began = {(f"s{k}", item): threading.Event() for k in range(count) for item in range(items)}

        def __init__(self):
            super().__init__()
            made.append(self)

    Here.awaits = awaits
    driver.register(Stage=Here)
    nodes = [node(f"s{k}", "Stage") | {"isolation": "thread"} | keys for k in range(count)]
    return plain(nodes, [(f"s{k}", f"s{k + 1}") for k in range(count - 1)]), made


@pytest.mark.parametrize(
    "awaits",
    [
        {("s0", 1): [("s1", 0)]},
        {("s1", 0): [("s0", 1)]},
        {("s0", 2): [("s1", 1), ("s2", 0)]},
        {("s2", 0): [("s1", 1), ("s0", 2)]},
        {("s1", 1): [("s0", 2), ("s2", 0)], ("s1", 4): [("s0", 5), ("s2", 3)]},
    ],
)
@pytest.mark.parametrize("many", [6, 200])
def test_r32_stages_run_beside_each_other(driver, awaits, many):
    """A call waits for calls of other stages, which one thread after the other would never make."""
    manifest, made = staged(driver, awaits, 3, many)
    assert driver.results(manifest, range(many)) == list(range(many))
    assert [stage.most for stage in made] == [1, 1, 1]


def test_r15_each_stage_has_as_many_calls_as_it_may_have(driver):
    four = [("s1", 0), ("s1", 1), ("s0", 2), ("s0", 3)]
    late = dict.fromkeys(four, four)  # all at the same time
    manifest, made = staged(driver, late, 2, 50, max_concurrency=2)
    assert driver.results(manifest, range(50)) == list(range(50))
    assert [stage.most for stage in made] == [2, 2]


def test_where_no_more_threads_can_be_had_there_is_one_for_all(driver, monkeypatch):
    started = []
    start = threading.Thread.start

    def once(self):
        started.append(self)
        if len(started) > 1:
            raise RuntimeError("can't start new thread")
        start(self)

    manifest, _ = staged(driver, {}, 3, 300, max_concurrency=2)
    monkeypatch.setattr(threading.Thread, "start", once)
    assert driver.results(manifest, range(300)) == list(range(300))


def test_where_no_thread_can_be_had_the_run_fails(driver, monkeypatch):
    def never(self):
        raise RuntimeError("can't start new thread")

    manifest, _ = staged(driver, {}, 2, 3)
    monkeypatch.setattr(threading.Thread, "start", never)
    with pytest.raises(rm.NodeError, match=r"'s0' .* at item 0: .*new thread"):
        driver.results(manifest, range(3))


def test_r30_a_stage_goes_on_beside_one_whose_thread_was_left_behind(driver):
    free = threading.Event()

    class Hangs(rm.NodeExecutor):
        def process(self, item):
            if item == 3:
                free.wait(LIMIT)
            return item

    manifest, _ = staged(driver, {}, 3, 100)
    driver.register(Hangs=Hangs)
    manifest["nodes"][1] = node("s1", "Hangs") | {"isolation": "thread", "timeout_ms": 30}
    try:
        outcome = driver.run(manifest, range(100), error_policy="skip")
        assert outcome.results == [i for i in range(100) if i != 3]
    finally:
        free.set()


def test_r14_metrics_while_it_goes_on_count_each_item_once(driver):
    """What is between two stages is in the queue of the second, and nowhere else."""
    seen = []
    manifest, _ = staged(driver, {}, 3, 3000)
    with driver.executor.open(manifest) as session:

        def watch():
            while not seen or seen[-1][2] < 3000:
                nodes = session.metrics()["nodes"]
                seen.append([nodes[f"s{k}"]["out"] for k in range(3)])

        watcher = threading.Thread(target=watch)
        watcher.start()
        with session.stream(range(3000)) as out:
            assert list(out) == list(range(3000))
        watcher.join(LIMIT)
    assert all(a >= b >= c for a, b, c in seen)
    assert seen[-1] == [3000, 3000, 3000]


def test_r34_passes_behind_an_error_that_ends_the_run_go_no_further(driver):
    """Not even where a thread would take them on: s1 fails at item 1, long before s2 is done with item 0."""
    calls, failed = [], threading.Event()

    class Paced(rm.NodeExecutor):
        def initialize(self, context):
            self.name = context.node_id

        def process(self, item):
            if self.name == "s0" and item > 1:
                assert failed.wait(LIMIT)
                time.sleep(0.002)
            elif self.name == "s1":
                calls.append(item)
                if item == 1:
                    failed.set()
                    raise ValueError(item)
            elif self.name == "s2":
                assert failed.wait(LIMIT)
                time.sleep(0.2)
            return item

    driver.register(Paced=Paced)
    tree = plain([node(f"s{k}", "Paced") | {"isolation": "thread"} for k in range(3)], "s0 s1, s1 s2")
    outcome = driver.run(tree, range(60))
    assert (outcome.error.node_id, outcome.error.item_index) == ("s1", 1)
    assert len(calls) < 10  # those that were on their way to the call when it failed
