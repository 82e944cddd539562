"""R05-R11, R13, R36: whatever ends a run, and from wherever it is ended, over both engines."""

import contextlib
import dataclasses
import functools
import gc
import logging
import threading
import weakref

import pytest
from support import Driver, Guard, chain, function_node, guarded, node, plain

import remotemedia as rm
from remotemedia import stopping

LOG: list[str] = []


@pytest.fixture(autouse=True)
def empty_log():
    LOG.clear()


@pytest.fixture
def direct(engine):
    driver = Driver(engine)
    driver.register(Logged=Logged)
    return driver


class Logged(rm.NodeExecutor):
    """Hands items on and notes when it begins and ends."""

    def initialize(self, context):
        self.id = context.node_id
        LOG.append(f"+{self.id}")

    def process(self, item):
        return item

    def cleanup(self):
        LOG.append(f"-{self.id}")


# --- ended from inside a node ---


def test_r10_a_session_left_inside_initialize_cleans_up_what_was_begun(direct):
    box = contextlib.ExitStack()

    class Leaves(Logged):
        def initialize(self, context):
            super().initialize(context)
            box.close()

    direct.register(Leaves=Leaves)
    session = direct.executor.open(plain([node("a", "Logged"), node("b", "Leaves"), node("c", "Logged")], "a b, b c"))
    box.push(session)
    with pytest.raises(rm.SessionClosedError):
        session.__enter__()
    assert LOG == ["+a", "+b", "-b", "-a"]


@pytest.mark.parametrize("many", [False, True])
def test_r08_a_stream_closed_inside_a_node_has_cleaned_up_when_next_returns(direct, many):
    box = contextlib.ExitStack()

    class Leaves(Logged):
        def process(self, item):
            box.close()
            return item

    class LeavesMany(Logged):
        def process(self, item):
            yield item
            box.close()
            yield item

    direct.register(Leaves=LeavesMany if many else Leaves)
    stream = box.enter_context(direct.executor.stream(plain([node("a", "Leaves"), node("b", "Logged")], "a b"), [1, 2]))
    with pytest.raises(rm.SessionClosedError):
        list(stream)
    assert LOG == ["+a", "+b", "-b", "-a"]
    assert list(stream) == []


def test_a_sessions_stream_closed_inside_a_node_leaves_the_session_open(direct):
    box = contextlib.ExitStack()

    class Leaves(Logged):
        def process(self, item):
            if item == 2:
                box.close()
            yield item

    direct.register(Leaves=Leaves)
    with direct.executor.open(plain([node("a", "Leaves")])) as session:
        stream = box.enter_context(session.stream([1, 2, 3]))
        with pytest.raises(rm.SessionClosedError):
            list(stream)
        assert LOG == ["+a"]
        assert session.run([5]).results == [5]
    assert LOG == ["+a", "-a"]


def test_r10_close_inside_process_ends_the_call_before_the_next_item(direct):
    seen = []

    class Closes(Logged):
        def process(self, item):
            seen.append(item)
            session.close()
            return item

    direct.register(Closes=Closes, Sees=function_node(lambda item: seen.append(("behind", item)) or item))
    with (
        pytest.raises(rm.SessionClosedError),
        direct.executor.open(plain([node("a", "Closes"), node("b", "Sees")], "a b")) as session,
    ):
        session.run([1, 2, 3])
    assert seen == [1, ("behind", 1)]


def test_r42_a_merge_sees_the_request_to_stop_between_its_items(direct):
    seen = []

    class Spreads(rm.NodeExecutor):
        def process(self, item):
            yield from range(1000)

    class Sees(rm.NodeExecutor):
        def process(self, item):
            seen.append(item)
            session.close()
            return item

    direct.register(Spreads=Spreads, Sees=Sees)
    manifest = plain(
        [node("s", "Spreads"), node("p", "PassThrough"), node("q", "PassThrough"), node("m", "Sees")],
        "s p, s q, p m, q m",
    )
    with pytest.raises(rm.SessionClosedError), direct.executor.open(manifest) as session:
        session.run([1])
    assert seen == [0]


# --- ended from another thread ---


def test_r10_close_from_another_thread_while_initialize_runs(direct):
    entered, may_go = threading.Event(), threading.Event()

    class Slow(Logged):
        def initialize(self, context):
            super().initialize(context)
            entered.set()
            assert may_go.wait(10)

    direct.register(Slow=Slow)
    stream = direct.executor.stream(plain([node("a", "Slow"), node("b", "Logged")], "a b"), [1])
    errors = []

    def work():
        try:
            list(stream)
        except rm.SessionClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(10)
    stream.close()
    may_go.set()
    thread.join(10)
    assert len(errors) == 1
    assert LOG == ["+a", "-a"]


def test_a_sessions_stream_closed_by_another_thread_leaves_the_session_open(direct):
    entered, may_go = threading.Event(), threading.Event()

    class Slow(Logged):
        def process(self, item):
            if item == 1:
                entered.set()
                assert may_go.wait(10)
            return item

    direct.register(Slow=Slow)
    errors = []
    with direct.executor.open(plain([node("a", "Slow")])) as session:
        stream = session.stream([1, 2])

        def work():
            try:
                list(stream)
            except rm.SessionClosedError as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        assert entered.wait(10)
        stream.close()
        may_go.set()
        thread.join(10)
        assert len(errors) == 1
        assert session.run([7]).results == [7]
    assert LOG == ["+a", "-a"]


def test_r10_a_session_closed_while_its_stream_waits_cleans_up_at_once(direct):
    with direct.executor.open(plain([node("a", "Logged")])) as session:
        stream = session.stream([1, 2])
        assert next(stream) == 1
        session.close()
        assert LOG == ["+a", "-a"]
        with pytest.raises(rm.SessionClosedError):
            next(stream)
        assert list(stream) == []


# --- endings that are disturbed ---


class Raiser(logging.Handler):
    def __init__(self, begin, error):
        super().__init__()
        self.begin, self.error = begin, error

    def emit(self, record):
        if record.getMessage().startswith(self.begin):
            raise self.error


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=repr)
def test_r04_a_failing_log_handler_keeps_no_node_from_its_cleanup(direct, error):
    logger = logging.getLogger("remotemedia")
    handler = Raiser("cleanup node 'b'", error)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        outcome = direct.run(plain([node(i, "Logged") for i in "abc"], "a b, b c"), [1])
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert outcome.error is error
    assert LOG[3:] == ["-c", "-b", "-a"]


def test_r06_an_interrupt_while_an_error_is_worded_keeps_no_node_from_its_cleanup(direct):
    class Worded(Exception):
        def __str__(self):
            raise KeyboardInterrupt("in __str__")

    class Fails(Logged):
        def cleanup(self):
            super().cleanup()
            raise Worded

    direct.register(Fails=Fails)
    outcome = direct.run(plain([node("a", "Logged"), node("b", "Fails")], "a b"), [1])
    assert isinstance(outcome.error, KeyboardInterrupt)
    assert LOG == ["+a", "+b", "-b", "-a"]


def test_r11_an_iterator_that_cannot_be_closed_is_a_cleanup_error(direct):
    class Odd:
        def __iter__(self):
            return self

        def __next__(self):
            return 1

        def __getattr__(self, name):
            raise RuntimeError(f"no {name}")

    class Gives(Logged):
        emits = "many"

        def process(self, item):
            return Odd()

    class Fails(Logged):
        def process(self, item):
            raise ValueError("first")

    direct.register(Gives=Gives, Fails=Fails)
    outcome = direct.run(plain([node("a", "Gives"), node("b", "Fails")], "a b"), [1])
    assert (outcome.error.node_id, str(outcome.error.__cause__)) == ("b", "first")
    assert [e.node_id for e in outcome.error.cleanup_errors] == ["a"]
    assert LOG == ["+a", "+b", "-b", "-a"]


class Steps:
    """An iterator without a generator's help, whose `close` fails too."""

    def __init__(self, error):
        self.error = error

    def __iter__(self):
        return self

    def __next__(self):
        raise self.error

    def close(self):
        LOG.append("closed")
        raise RuntimeError("in close")


@pytest.mark.parametrize("policy", ["stop", "skip", "collect"])
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_r11_an_iterator_that_failed_is_closed_and_its_close_error_kept(direct, policy, kind):
    class Gives(Logged):
        emits = "many"

        def process(self, item):
            return Steps(kind("x"))

    direct.register(Gives=Gives)
    outcome = direct.run(plain([node("a", "Gives")]), [1], error_policy=policy)
    assert LOG == ["+a", "closed", "-a"]
    if kind is ValueError and policy != "stop":
        assert (outcome.error.phase, str(outcome.error.__cause__)) == ("cleanup", "in close")
    else:
        assert type(outcome.error) is (rm.NodeError if kind is ValueError else kind)
        assert "in close" in outcome.error.__notes__[0]


def test_a_process_taken_away_in_initialize_is_an_error_not_a_crash(driver):
    class Loses(rm.NodeExecutor):
        def __init__(self):
            self.process = lambda item: item

        def initialize(self, context):
            del self.process

    driver.register(Loses=Loses)
    error = driver.run(chain(node("a", "Loses")), [1]).error
    assert "has no process" in str(error)


def test_r33_a_process_that_cannot_be_looked_up_is_the_nodes_error(driver):
    class Hides(rm.NodeExecutor):
        ready = False

        def initialize(self, context):
            self.ready = True

        @property
        def process(self):
            if self.ready:
                raise RuntimeError("not now")
            return lambda item: item

    driver.register(Hides=Hides)
    error = driver.run(chain(node("a", "Hides")), [1]).error
    assert (error.node_id, error.phase) == ("a", "initialize")


def test_r04_a_cleanup_set_on_the_instance_is_called(driver):
    class Sets(rm.NodeExecutor):
        def initialize(self, context):
            self.cleanup = lambda: LOG.append("cleaned")

        def process(self, item):
            return item

    driver.register(Sets=Sets)
    assert driver.results(chain(node("a", "Sets")), [1]) == [1]
    assert LOG == ["cleaned"]


# --- who has a node (R13) ---


def test_r13_an_interrupt_leaves_no_node_claimed(direct):
    instance = Logged()
    direct.register(One=lambda: instance)
    manifest = rm.Manifest.from_dict(plain([node("a", "One")]))

    class Interrupts(rm.NodeExecutor):
        def process(self, item):
            raise KeyboardInterrupt

    direct.register(Interrupts=Interrupts)
    both = rm.Manifest.from_dict(plain([node("a", "One"), node("b", "Interrupts")], "a b"))
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            direct.executor.execute_with_input(both, [1])
        assert direct.executor.execute_with_input(manifest, [1]).results == [1]


def test_r13_a_session_that_was_never_run_gives_its_nodes_back(direct):
    instance = Logged()
    direct.register(One=lambda: instance)
    manifest = plain([node("a", "One")])
    assert direct.executor.check(manifest) == []
    with direct.executor.open(manifest), pytest.raises(rm.SessionBusyError):
        direct.executor.execute_with_input(manifest, [1])
    assert direct.executor.execute_with_input(manifest, [1]).results == [1]


def test_r13_built_in_instances_are_in_one_run_at_a_time_too(direct):
    batcher = direct.registry.create("Batcher")
    direct.register(One=lambda: batcher)
    manifest = plain([node("b", "One", size=2)])
    with direct.executor.open(manifest), pytest.raises(rm.SessionBusyError):
        direct.executor.execute_with_input(manifest, [1])
    counter = direct.registry.create("Counter")
    direct.register(Two=lambda: counter)
    with pytest.raises(rm.SessionBusyError):
        direct.executor.execute_with_input(plain([node("a", "Two"), node("b", "Two")], "a b"), [1])


def test_r01_a_given_built_in_instance_begins_anew_in_each_run(engine):
    executor = rm.Executor.with_instances({"e": rm.NodeRegistry().create("Echo")}, engine=engine)
    manifest = plain([node("e", "Echo")])
    for _ in range(2):
        results = executor.execute_with_input(manifest, ["x", "y"]).results
        assert [echo["counter"] for echo in results] == [1, 2]


def test_a_plan_holds_no_instance(direct):
    class Partial(rm.NodeExecutor):
        def __init__(self):
            self.process = functools.partial(self.double)

        def double(self, item):
            return 2 * item

    direct.register(Partial=Partial)
    manifest = rm.Manifest.from_dict(plain([node("a", "Partial")]))
    made = []
    direct.register(Partial=lambda: made.append(Partial()) or made[-1])
    result = direct.executor.execute_with_input(manifest, [1])
    assert result.results == [2]
    alive = weakref.ref(made.pop())
    gc.collect()
    assert alive() is None


def test_plans_are_made_once(direct, monkeypatch):
    from remotemedia.reference import engine as reference

    class Plain(rm.NodeExecutor):
        def process(self, item):
            return item

    direct.register(Plain=Plain)
    manifest = rm.Manifest.from_dict(plain([node("a", "Plain"), node("b", "Batcher", size=1)], "a b"))
    direct.executor.execute_with_input(manifest, [1])
    (cached,) = direct.executor._blueprints.values()
    before = cached[2].plan
    assert direct.executor.execute_with_input(manifest, [1]).results == [[1]]
    assert cached[2].plan is before
    assert reference  # both engines keep theirs in the blueprint


# --- errors that let go (R36), and errors of odd classes ---


def alive_after(run):
    """Return what of a run's nodes and items is alive once its error is dropped, without the collector's help."""

    class Item:
        pass

    refs = []
    gc.collect()
    gc.disable()
    try:
        item = Item()
        refs.append(weakref.ref(item))
        run(item)
        del item
        return [ref for ref in refs if ref() is not None]
    finally:
        gc.enable()


@pytest.mark.parametrize("mode", ["execute", "session", "stream"])
@pytest.mark.parametrize("cleanup_fails", [False, True])
def test_r36_nothing_is_kept_in_a_circle(engine, mode, cleanup_fails):
    class Fails(rm.NodeExecutor):
        def process(self, item):
            raise ValueError(item)

        def cleanup(self):
            if cleanup_fails:
                raise RuntimeError("cleanup")

    driver = Driver(engine)
    driver.register(Fails=Fails)
    manifest = rm.Manifest.from_dict(plain([node("a", "Fails")]))

    def run(item):
        try:
            if mode == "execute":
                driver.executor.execute_with_input(manifest, [item])
            elif mode == "session":
                with driver.executor.open(manifest) as session:
                    session.run([item])
            else:
                list(driver.executor.stream(manifest, [item]))
        except rm.NodeError as caught:
            assert len(caught.cleanup_errors) == cleanup_fails  # noqa: PT017  pytest would keep the error

    assert alive_after(run) == []


def test_r36_collect_leaves_the_callers_own_exception_alone(engine):
    driver = Driver(engine)
    driver.register(Fails=function_node(lambda item: 1 // 0))
    try:
        raise KeyError("of the caller")
    except KeyError as error:
        result = driver.executor.execute_with_input(chain(node("a", "Fails")), [1], error_policy="collect")
        assert error.__traceback__ is not None  # noqa: PT017
    assert len(result.errors) == 1
    assert result.errors[0].__cause__.__traceback__ is None


def test_r36_collect_does_not_end_a_generator_that_the_node_keeps(driver):
    class Keeps(rm.NodeExecutor):
        def initialize(self, context):
            self.steps = self.make()

        def make(self):
            while True:
                try:
                    raise ValueError("kept")
                except ValueError as error:
                    kept = error
                yield kept

        def process(self, item):
            raise RuntimeError("wrapped") from next(self.steps)

    driver.register(Keeps=Keeps)
    outcome = driver.run(chain(node("a", "Keeps")), [1, 2, 3], error_policy="collect")
    assert [str(e.__cause__) for e in outcome.result.errors] == ["wrapped"] * 3


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    number: int


@pytest.mark.parametrize("policy", ["stop", "skip", "collect"])
def test_r33_an_exception_of_a_frozen_class_is_one_like_others(driver, policy):
    driver.register(Fails=function_node(lambda item: (_ for _ in ()).throw(Frozen(item))))
    outcome = driver.run(chain(node("a", "Fails")), [1, 2], error_policy=policy)
    if policy == "stop":
        assert outcome.error.__cause__ == Frozen(1)
    else:
        assert outcome.result.status is rm.ExecutionStatus.COMPLETED_WITH_ERRORS
        assert len(outcome.result.errors) == (2 if policy == "collect" else 0)


def test_r05_a_cleanup_error_beside_a_frozen_one_of_the_source(driver):
    class Fails(rm.NodeExecutor):
        def process(self, item):
            return item

        def cleanup(self):
            raise RuntimeError("cleanup")

    def items():
        raise Frozen(3)
        yield

    driver.register(Fails=Fails)
    assert driver.run(chain(node("a", "Fails")), items()).error == Frozen(3)


def test_r35_under_skip_no_error_is_worded(driver):
    class Item:
        def __repr__(self):
            raise SystemExit("nobody asked")

    driver.register(Fails=function_node(lambda item: 1 // 0))
    outcome = driver.run(chain(node("a", "Fails")), [Item()], error_policy="skip")
    assert outcome.error is None


# --- what a call leaves and tells ---


def test_an_idle_session_holds_nothing_of_its_last_call(direct):
    class Item:
        pass

    refs = []

    def fresh():
        item = Item()
        refs.append(weakref.ref(item))
        return item

    with direct.executor.open(guarded([node("a", "PassThrough"), node("b", "PassThrough")], "a b")) as session:
        session.process(fresh())
        session.run([fresh()])
        list(session.stream([fresh()]))
        assert [ref for ref in refs if ref() is not None] == []


def test_metrics_of_a_session_are_there_while_it_is_cleaned_up(direct):
    seen = []

    class Asks(rm.NodeExecutor):
        def process(self, item):
            return item

        def cleanup(self):
            seen.append(session.metrics()["nodes"]["a"]["in"])

    direct.register(Asks=Asks)
    with direct.executor.open(plain([node("a", "Asks")])) as session:
        session.run([1, 2])
    assert seen == [2]
    assert session.metrics()["nodes"]["a"]["in"] == 2


def test_partial_is_that_of_the_call_that_failed(direct):
    direct.register(Fails=function_node(lambda item: 1 // 0 if item == 7 else item))
    manifest = plain([node("a", "Fails")])
    with pytest.raises(rm.NodeError) as caught, direct.executor.open(manifest) as session:
        session.run([1, 2, 3])
        session.process(1)
        session.process(7)
    partial = caught.value.partial
    assert (partial.metrics["items_in"], partial.results, partial.errors) == (1, [], [])


def test_partial_is_there_if_only_a_cleanup_failed(driver):
    class Fails(rm.NodeExecutor):
        def process(self, item):
            return item

        def cleanup(self):
            raise RuntimeError("cleanup")

    driver.register(Fails=Fails)
    error = driver.run(chain(node("a", "Fails")), [1]).error
    assert error.partial.status is rm.ExecutionStatus.FAILED
    assert error.partial.results == ([1] if "execute" in driver.mode else [])


def test_an_input_that_is_none_leaves_the_session_open(direct):
    with direct.executor.open(plain([node("a", "Logged")])) as session:
        for refused in ("text", 5, {"a": 1}):
            with pytest.raises(rm.InputError):
                session.run(refused)
            with pytest.raises(rm.InputError):
                session.stream(refused)
        assert session.run([1]).results == [1]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_r14_an_interrupted_producer_counts_like_a_failed_one(direct, kind):
    class Source(rm.NodeExecutor):
        def produce(self):
            yield 1
            raise kind

    direct.register(Source=Source)
    with pytest.raises(kind), direct.executor.open(plain([node("s", "Source")])) as session:
        session.run()
    counts = session.metrics()["nodes"]["s"]
    assert (counts["in"], counts["passed"], counts["failed"]) == (2, 1, 1)


def test_r17_a_copy_that_gives_none_is_an_error(driver):
    class Item:
        def __deepcopy__(self, memo):
            return None

    error = driver.run(chain(node("a", "PassThrough", copy=True)), [Item()]).error
    assert (error.phase, error.node_id) == ("copy", "a")


def test_nodes_get_their_own_params_and_metadata(direct):
    class Grows(rm.NodeExecutor):
        def initialize(self, context):
            context.params["list"].append(1)
            context.metadata["tags"].append("x")
            self.seen = (len(context.params["list"]), len(context.metadata["tags"]))

        def process(self, item):
            return self.seen

    direct.register(Grows=Grows)
    tree = plain([node("a", "Grows", list=[])])
    tree["metadata"]["tags"] = []
    manifest = rm.Manifest.from_dict(tree)
    for _ in range(3):
        assert direct.executor.execute_with_input(manifest, [0]).results == [(1, 1)]
    assert manifest.to_dict()["nodes"][0]["params"] == {"list": []}
    with pytest.raises(TypeError):
        rm.NodeContext("a", metadata={"name": "x"}).metadata["name"] = "y"


# --- errors handed out as they come ---


def test_on_error_takes_each_error_in_place_of_keeping_it(direct):
    taken = []
    direct.register(Fails=function_node(lambda item: 1 // 0 if item == 7 else item))
    options = {"error_policy": "collect", "on_error": taken.append}
    with direct.executor.stream(chain(node("a", "Fails")), [7, 1, None, 7], **options) as stream:
        assert next(stream) == 1
        assert [e.item_index for e in taken] == [0]
        assert list(stream) == []
        assert stream.result.errors == []
        assert stream.result.status is rm.ExecutionStatus.COMPLETED_WITH_ERRORS
    assert [type(e) for e in taken] == [rm.NodeError, rm.InputError, rm.NodeError]
    with direct.executor.open(chain(node("a", "Fails")), **options) as session:
        session.process(7)
        assert session.errors == []
    assert len(taken) == 4


def test_what_on_error_raises_ends_the_run(direct):
    direct.register(Fails=function_node(lambda item: 1 // 0))

    def refuse(error):
        raise LookupError("enough")

    stream = direct.executor.stream(chain(node("a", "Fails")), [1], error_policy="collect", on_error=refuse)
    with pytest.raises(LookupError, match="enough"):
        list(stream)
    assert Guard.alive == 0


# --- shared nodes ---


def test_a_shared_node_may_give_items_that_are_iterators(direct):
    class Opens(rm.NodeExecutor):
        def process(self, item):
            return iter([item])

    direct.registry.register("Opens", Opens, shared=True)
    (found,) = direct.executor.execute_with_input(plain([node("a", "Opens")]), [1]).results
    assert type(found) is type(iter([]))
    direct.executor.close()


def test_a_shared_type_registered_anew_is_made_anew(direct):
    class First(rm.NodeExecutor):
        def process(self, item):
            return ("first", item)

    class Second(rm.NodeExecutor):
        def process(self, item):
            return ("second", item)

    manifest = plain([node("a", "S")])
    direct.registry.register("S", First, shared=True)
    assert direct.executor.execute_with_input(manifest, [1]).results == [("first", 1)]
    direct.registry.register("S", Second, shared=True, replace=True)
    assert direct.executor.execute_with_input(manifest, [1]).results == [("second", 1)]
    direct.executor.close()


def test_r11_a_shared_node_is_not_called_after_the_executor_was_closed(direct):
    class Shared(Logged):
        def process(self, item):
            LOG.append("process")
            return item

    direct.registry.register("S", Shared, shared=True)
    with pytest.raises(rm.NodeError) as caught, direct.executor.open(plain([node("s", "S")])) as session:
        session.process(1)
        direct.executor.close()
        session.process(2)
    assert isinstance(caught.value.__cause__, rm.SessionClosedError)
    assert LOG == ["+s", "process", "-s"]


def test_a_shared_nodes_factory_may_wait_for_another_thread_that_makes_one(direct):
    entered, may_go = threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert may_go.wait(10)
        return Logged()

    direct.registry.register("Slow", slow, shared=True)
    direct.registry.register("Other", Logged, shared=True)
    results = []

    def work():
        results.append(direct.executor.execute_with_input(plain([node("s", "Slow")]), [1]).results)

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(10)
    results.append(direct.executor.execute_with_input(plain([node("o", "Other")]), [2]).results)
    may_go.set()
    thread.join(10)
    assert results == [[2], [1]]
    direct.executor.close()


def test_a_shared_factory_that_gave_no_node_is_asked_again(direct):
    given = [None, Logged()]
    direct.registry.register("S", lambda: given.pop(0), shared=True)
    manifest = plain([node("s", "S")])
    with pytest.raises(rm.RegistryError, match="gave None, not a node"):
        direct.executor.execute_with_input(manifest, [1])
    assert direct.executor.execute_with_input(manifest, [1]).results == [1]
    direct.executor.close()


@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_r10_nobody_comes_into_a_session_whose_close_starts_its_timer(engine, monkeypatch):
    class Enters(stopping.Timer):
        def __enter__(self):
            with pytest.raises(rm.SessionClosedError):
                next(stream)
            return super().__enter__()

    driver = Driver(engine)
    with driver.executor.open(plain([node("p", "PassThrough")])) as session:
        stream = session.stream(iter(range(3)))
        assert next(stream) == 0
        monkeypatch.setattr(stopping, "Timer", Enters)
        session.close(1)
