"""Rules about items: counts, order, filters, joins, laziness; over both engines and every mode."""

import json

import pytest
from support import Driver, chain, function_node, guarded, node, plain

import remotemedia as rm


class Many(rm.NodeExecutor):
    """Emits each element of a list, and fails on a string."""

    def process(self, item):
        for element in item:
            if isinstance(element, str):
                raise ValueError(element)
            yield element


def nodes_of(driver):
    driver.register(
        Many=Many,
        Odd=function_node(lambda x: x if x % 2 else None),
        Fail=function_node(lambda x: 1 // 0 if x == 3 else x),
        Ten=function_node(lambda x: x * 10),
        Pass=function_node(lambda x: x),
    )


def test_r13_an_instance_is_never_in_two_runs(engine):
    driver = Driver(engine)
    single = function_node(lambda x: x)()
    driver.register(Single=lambda: single)
    manifest = chain(node("a", "Single"))
    assert driver.results(manifest, [1]) == [1]
    with driver.executor.open(manifest), pytest.raises(rm.SessionBusyError, match="node 'a'"):
        driver.executor.execute_with_input(manifest, [1])
    with pytest.raises(rm.SessionBusyError):
        driver.executor.execute_with_input(chain(node("a", "Single"), node("b", "Single")), [1])
    assert driver.results(manifest, [1]) == [1]


def test_r13_the_factory_is_called_once_per_node_and_run(driver):
    made = []
    cls = function_node(lambda x: x)
    driver.register(Made=lambda: made.append(1) or cls())
    driver.results(chain(node("a", "Made"), node("b", "Made")), [1, 2])
    assert len(made) == 2


def test_r13_a_shared_node_is_initialized_once_and_cleaned_by_the_executor(engine):
    driver = Driver(engine)
    log = []

    class Shared(rm.NodeExecutor):
        def initialize(self, context):
            log.append("initialize")

        def process(self, item):
            return item

        def cleanup(self):
            log.append("cleanup")

    driver.registry.register("Shared", Shared, shared=True)
    manifest = chain(node("a", "Shared"))
    with driver.executor as executor:
        executor.execute_with_input(manifest, [1])
        executor.execute_with_input(manifest, [2])
        assert log == ["initialize"]
        with pytest.raises(rm.NodeError, match="runs with params"):
            executor.execute_with_input(chain(node("a", "Shared", size=2)), [1])
    assert log == ["initialize", "cleanup"]
    with pytest.raises(rm.SessionClosedError):
        executor.execute_with_input(manifest, [1])


def test_r14_counts_add_up(driver):
    nodes_of(driver)
    manifest = guarded(
        [node("f", "Fail"), node("o", "Odd"), node("t", "Ten"), node("j", "Pass", fan_in="join")],
        "f o, f t, o j, t j",
    )
    outcome = driver.run(manifest, [1, 2, None, 3, 5], error_policy="skip")
    assert outcome.results == [{"o": 1, "t": 10}, {"o": 5, "t": 50}]
    assert outcome.counts("f") == {"in": 4, "passed": 3, "filtered": 0, "failed": 1, "out": 3, "flushed": 0}
    assert outcome.counts("o") == {"in": 3, "passed": 2, "filtered": 1, "failed": 0, "out": 2, "flushed": 0}
    assert outcome.counts("j") == {"in": 3, "passed": 2, "filtered": 1, "failed": 0, "out": 2, "flushed": 0}
    assert outcome.metrics["items_in"] == 5
    assert outcome.metrics["refused"] == 1
    assert outcome.metrics["connections"]["o->j"] == {"sent": 2, "delivered": 2, "dropped": 0}
    assert outcome.metrics["connections"]["t->j"] == {"sent": 3, "delivered": 3, "dropped": 0}
    assert json.loads(json.dumps(outcome.metrics)) == outcome.metrics
    assert outcome.result.status is rm.ExecutionStatus.COMPLETED_WITH_ERRORS


def test_r14_a_many_node_counts_calls_and_outputs_apart(driver):
    nodes_of(driver)
    outcome = driver.run(chain(node("m", "Many")), [[1, 2], [], [3, "x", 4]], error_policy="skip")
    assert outcome.results == [1, 2, 3]
    assert outcome.counts("m") == {"in": 3, "passed": 1, "filtered": 1, "failed": 1, "out": 3, "flushed": 0}


def test_r14_time_is_there_when_asked_for(driver):
    nodes_of(driver)
    assert "time_ns" not in driver.run(chain(node("t", "Ten")), [1]).counts("t")
    assert driver.run(chain(node("t", "Ten")), [1] * 100, metrics="time").counts("t")["time_ns"] > 0


def test_r15_input_order_is_output_order(driver):
    nodes_of(driver)
    manifest = guarded([node("a", "Ten"), node("b", "Pass"), node("c", "Pass")], "a b, a c")
    assert driver.results(manifest, [1, 2]) == [10, 10, 20, 20]


@pytest.mark.parametrize("size", range(1, 8))
def test_r16_nothing_is_lost_or_doubled_for_any_batch_size(driver, size):
    manifest = chain(node("b", "Batcher", size=size), node("x", "Expander"), node("d", "Buffer", size=size))
    assert driver.results(manifest, range(1, 20)) == list(range(1, 20))


def test_r17_only_none_filters(driver):
    nodes_of(driver)
    falsy = [0, "", [], False, {}, 0.0]
    assert driver.results(chain(node("p", "Pass"), node("q", "PassThrough")), falsy) == falsy


def test_r18_none_as_input_is_refused_before_any_source(driver):
    nodes_of(driver)
    outcome = driver.run(chain(node("p", "Pass")), [1, None, 2])
    assert isinstance(outcome.error, rm.InputError)
    assert outcome.error.item_index == 1
    assert outcome.results == [1]
    collected = driver.run(chain(node("p", "Pass")), [1, None, 2], error_policy="collect")
    assert collected.results == [1, 2]
    assert [e.item_index for e in collected.result.errors] == [1]


def test_r18_a_generator_or_coroutine_as_input_is_refused(driver):
    nodes_of(driver)
    outcome = driver.run(chain(node("p", "Pass")), [(i for i in ())])
    assert isinstance(outcome.error, rm.InputError)


def test_r19_fan_out_shares_the_object_unless_copy(driver):
    nodes_of(driver)
    item = [1]
    manifest = guarded([node("a", "Pass"), node("b", "Pass"), node("c", "Pass", copy=True)], "a b, a c")
    b, c = driver.results(manifest, [item])
    assert b is item
    assert c == item
    assert c is not item


def test_r19_a_failing_copy_is_an_error_of_its_own_phase(driver):
    class Uncopied:
        def __deepcopy__(self, memo):
            raise TypeError("no")

    outcome = driver.run(chain(node("a", "PassThrough"), node("b", "PassThrough", copy=True)), [Uncopied()])
    assert (outcome.error.node_id, outcome.error.phase) == ("b", "copy")
    assert outcome.counts("b")["failed"] == 1


def test_r20_a_join_never_waits_for_a_missing_branch(driver):
    nodes_of(driver)
    for missing, expected in (("skip", [{"o": 3, "t": 30}]), ("partial", [{"t": 20}, {"o": 3, "t": 30}])):
        manifest = guarded(
            [node("o", "Odd"), node("t", "Ten"), node("j", "Pass", fan_in="join", join_missing=missing)], "o j, t j"
        )
        assert driver.results(manifest, [2, 3]) == expected


def test_r20_a_join_has_its_keys_in_connection_order(driver):
    nodes_of(driver)
    manifest = guarded([node("a", "Pass"), node("b", "Pass"), node("j", "Pass", fan_in="join")], "b j, a j")
    assert [list(item) for item in driver.results(manifest, [1])] == [["b", "a"]]


def test_r20_a_join_across_scopes_names_join_branches_and_openers(driver):
    nodes_of(driver)
    manifest = guarded([node("m", "Many"), node("p", "Pass"), node("j", "Pass", fan_in="join")], "m j, p j")
    outcome = driver.run(manifest, [[1]])
    assert isinstance(outcome.error, rm.ManifestError)
    assert all(name in str(outcome.error) for name in ("'j'", "'m'", "'p'"))


def test_r21_in_a_diamond_a_join_runs_once_per_item(driver):
    nodes_of(driver)
    manifest = guarded(
        [node("s", "Pass"), node("a", "Ten"), node("b", "Pass"), node("j", "Pass", fan_in="join")], "s a, s b, a j, b j"
    )
    assert driver.run(manifest, [1, 2]).counts("j")["in"] == 2


def test_a_merge_is_called_once_per_item_in_connection_order(driver):
    nodes_of(driver)
    manifest = guarded([node("a", "Ten"), node("b", "Pass"), node("m", "Pass")], "b m, a m")
    assert driver.results(manifest, [1, 2]) == [1, 10, 2, 20]


def test_a_merge_waits_for_what_leaves_an_openers_scope(driver):
    nodes_of(driver)
    manifest = guarded([node("x", "Many"), node("p", "Ten"), node("q", "Pass"), node("m", "Pass")], "x p, p m, q m")
    # the pass of [1, 2]: x's scope gives 10 and 20, then q; only then does m take 10, 20 and the list
    assert driver.results(manifest, [[1, 2]]) == [10, 20, [1, 2]]


def test_r22_empty_input_initializes_flushes_and_cleans(driver):
    log = []

    class Held(rm.NodeExecutor):
        def initialize(self, context):
            log.append("initialize")

        def process(self, item):
            return item

        def flush(self):
            log.append("flush")

        def cleanup(self):
            log.append("cleanup")

    driver.register(Held=Held)
    assert driver.results(chain(node("h", "Held")), []) == []
    assert log == ["initialize", "flush", "cleanup"]


def test_r23_input_is_pulled_one_by_one(engine):
    driver = Driver(engine)
    pulled = []

    def items():
        for i in range(5):
            pulled.append(i)
            yield i

    with driver.executor.stream(chain(node("p", "PassThrough")), items()) as stream:
        assert pulled == []
        assert next(stream) == 0
        assert pulled == [0]


def test_r23_an_exception_of_the_input_comes_out_as_it_is(driver):
    nodes_of(driver)
    error = ValueError("broken input")

    def items():
        yield 1
        raise error

    outcome = driver.run(chain(node("p", "Pass")), items(), error_policy="collect")
    assert outcome.error is error
    assert any(frame.name == "items" for frame in __import__("traceback").extract_tb(error.__traceback__))


def test_r24_nothing_comes_after_an_error(driver):
    nodes_of(driver)
    outcome = driver.run(chain(node("f", "Fail"), node("d", "Buffer", size=1)), [1, 2, 3, 4])
    assert outcome.results == [1]
    assert outcome.error.item_index == 2


def test_r25_flushed_items_go_through_everything_below_one_by_one(driver):
    nodes_of(driver)
    manifest = chain(node("d", "Buffer", size=2), node("b", "Batcher", size=3), node("e", "Echo"))
    results = driver.results(manifest, [1, 2, 3, 4])
    assert [r["input"] for r in results] == [[1, 2, 3], [4]]


@pytest.mark.parametrize("given", ["text", b"bytes", {"a": 1}, 5])
def test_a_flush_that_gives_one_item_is_an_error(driver, given):
    class Wrong(rm.NodeExecutor):
        def process(self, item):
            return item

        def flush(self):
            return given

    driver.register(Wrong=Wrong)
    outcome = driver.run(chain(node("w", "Wrong")), [1], error_policy="skip")
    assert (outcome.error.node_id, outcome.error.phase) == ("w", "flush")
    assert "list of items" in str(outcome.error)


def test_producers_are_pulled_in_topological_order(driver):
    class Produces(rm.NodeExecutor):
        def initialize(self, context):
            self.items = context.params["items"]

        def produce(self):
            yield from self.items

    driver.register(Produces=Produces)
    manifest = guarded(
        [node("p", "Produces", items=[1, 2]), node("q", "Produces", items=[3]), node("e", "Echo")],
        "p e, q e",
        producers=["p", "q"],
    )
    outcome = driver.run(manifest)
    assert [r["input"] for r in outcome.results] == [1, 2, 3]
    assert outcome.counts("p") == {"in": 2, "passed": 2, "filtered": 0, "failed": 0, "out": 2, "flushed": 0}
    assert isinstance(driver.run(manifest, [1]).error, rm.InputError)


def test_without_connections_every_node_is_source_and_sink(direct):
    result = direct.executor.execute_with_input(
        plain([node("a", "Multiply", multiplier=2), node("b", "PassThrough")]), [1, 2]
    )
    assert result.results == [2, 1, 4, 2]
    assert result.outputs == {"a": [2, 4], "b": [1, 2]}


def test_output_nodes_stand_in_outputs_and_never_in_results(direct):
    nodes = [node("a", "Multiply", multiplier=2, is_output_node=True), node("b", "Add", operand=1)]
    result = direct.executor.execute_with_input(plain(nodes, "a b"), [1, 2])
    assert result.results == [3, 5]
    assert result.outputs == {"b": [3, 5], "a": [2, 4]}


@pytest.mark.parametrize("given", ["text", b"x", {"a": 1}, 5, None])
def test_one_item_as_the_input_is_refused(direct, given):
    with pytest.raises(rm.InputError):
        direct.executor.execute_with_input(plain([node("a", "PassThrough")]), given)


def test_array_input(driver):
    np = pytest.importorskip("numpy")
    manifest = chain(node("p", "PassThrough"))
    results = driver.results(manifest, np.array([1.5, 2.5]))
    assert results == [1.5, 2.5]
    assert all(type(r) is float for r in results)
    rows = driver.results(manifest, np.eye(2))
    assert [r.tolist() for r in rows] == [[1, 0], [0, 1]]
    assert not rows[0].flags.writeable
