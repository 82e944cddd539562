"""R33: what an error says is bounded, however long the names and values are that it speaks of."""

import time

import pytest
from support import Outcome, chain, function_node, node, plain

import remotemedia as rm

LONG = "n" * 2_000_000


def fail(item):
    raise ValueError("no")


def error_of(driver, manifest, items=(1,)):
    driver.register(Fail=function_node(fail), None_=lambda: None, Same=function_node(lambda item: item))
    began = time.process_time()
    with pytest.raises(rm.RemoteMediaError) as caught:
        driver._run(manifest, items, Outcome(), {})
    assert time.process_time() - began < 5
    return caught.value


PIPELINES = {
    "a failing node": plain([node(LONG, "Fail")]),
    "no node": plain([node(LONG, "None_")]),
    "an unknown type": plain([node(LONG, LONG)]),
    "an unknown param": plain([node("a", "Multiply", **{LONG: 1})]),
    "a wrong param": plain([node("a", "Multiply", multiplier=LONG)]),
    "a wrong size": plain([node("a", "Buffer", size=[0] * 100_000)]),
    "a wrong choice": plain([node("a", "Calculator", operation=LONG, operand=1)]),
    "a wrong value": plain([node("a", "Filter", key="k", op="in", value=10**4000)]),
    "an unknown key": plain([{"id": "a", "node_type": "Echo", LONG: 1}]),
    "an id twice": plain([node(LONG, "Echo"), node(LONG, "Echo")]),
    "an unknown end": plain([node("a", "Echo")], [("a", LONG)]),
    "scopes": plain(
        [node("in", "Echo"), node(LONG, "Expander"), node("j", "Echo", fan_in="join")],
        [("in", LONG), (LONG, "j"), ("in", "j")],
    ),
    "many branches": plain(
        [node("in", "Expander"), node("other", "Echo"), *(node(f"b{i}", "Echo") for i in range(2000)),
         node("j", "Echo", fan_in="join")],
        [*(("in", f"b{i}") for i in range(2000)), *((f"b{i}", "j") for i in range(2000)), ("other", "j")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("manifest", PIPELINES.values(), ids=PIPELINES)
def test_r33_a_message_does_not_grow_with_what_it_names(direct, manifest):
    error = error_of(direct, manifest)
    assert len(str(error)) < 2500
    if error.__cause__ is not None:
        assert len(str(error.__cause__)) < 1000


def test_r33_an_instance_in_two_runs_is_named_briefly(direct):
    instance = function_node(lambda item: item)()
    executor = rm.Executor.with_instances({LONG: instance, "b": instance}, engine=direct.engine)
    with pytest.raises(rm.SessionBusyError) as caught:
        executor.execute_with_input(plain([node("b", "X"), node(LONG, "X")]), [1])
    assert len(str(caught.value)) < 1000


def test_r33_params_of_a_shared_node_are_named_briefly(direct):
    direct.registry.register("Shared", rm.NodeRegistry().entry("PassThrough").factory, shared=True)
    with direct.executor:
        direct.results(plain([node("a", "Shared", p=LONG)]), [1])
        with pytest.raises(rm.NodeError) as caught:
            direct.results(plain([node(LONG, "Shared", p="b" * 2_000_000)]), [1])
        assert len(str(caught.value)) < 2000
        assert len(str(caught.value.__cause__)) < 2000


def test_r33_a_producer_is_named_briefly(direct):
    class Numbers(rm.NodeExecutor):
        def produce(self):
            yield 1

    direct.register(Numbers=Numbers)
    assert len(str(error_of(direct, plain([node(LONG, "Numbers")])))) < 500
    many = [node(f"s{i}", "Echo") for i in range(3000)]
    fed = plain([*many, node("p", "Numbers")], [(spec["id"], "p") for spec in many])
    assert len(str(error_of(direct, fed))) < 500


def test_the_repr_of_a_manifest_is_bounded():
    source = chain(node("a", "Echo"))
    source["metadata"]["name"] = LONG
    assert len(repr(rm.Manifest.from_dict(source))) < 300
