"""The builder, results as people see them, logging, the top of the package."""

import copy
import json
import logging
import pickle
import subprocess
import sys
import threading

import pytest
from support import ENGINES, function_node, node, plain

import remotemedia as rm


def test_a_pipeline_connects_each_node_behind_the_one_before(engine):
    pipeline = rm.Pipeline("demo").add("PassThrough").add("Multiply", params={"multiplier": 3}).add("Echo", id="e")
    result = pipeline.run([1, 2], engine=engine)
    assert [r["input"] for r in result.results] == [3, 6]
    assert result.graph_info["execution_order"] == ["passthrough_1", "multiply_1", "e"]


def test_a_pipeline_of_instances_and_branches(engine):
    instance = function_node(lambda x: x + 1)()
    pipeline = (
        rm.Pipeline("demo").add("PassThrough", id="in").add(instance, id="a").add("PassThrough", id="b", after="in")
        .add("PassThrough", id="j", after=["a"], fan_in="join").connect("b", "j")
    )  # fmt: skip
    assert pipeline.run([1], engine=engine).results == [{"a": 2, "b": 1}]
    assert pipeline.run([5], engine=engine).results == [{"a": 6, "b": 5}]
    assert json.loads(pipeline.to_manifest().to_json())["metadata"]["name"] == "demo"


def test_wrong_steps_of_the_builder_are_named():
    with pytest.raises(ValueError, match="no node 'x'"):
        rm.Pipeline("p").add("Echo", id="a").connect("a", "x")
    with pytest.raises(ValueError, match="has a node 'a' already"):
        rm.Pipeline("p").add("Echo", id="a").add("Echo", id="a")
    with pytest.raises(TypeError, match="is a class"):
        rm.Pipeline("p").add(function_node(lambda x: x))


@pytest.mark.parametrize("params", [[], "", 0, False, ()])
def test_params_of_a_wrong_type_are_not_dropped(params):
    pipeline = rm.Pipeline("demo").add("PassThrough", params=params)
    with pytest.raises(rm.ManifestError, match=r"\$\.nodes\[0\]\.params: expected an object"):
        pipeline.to_manifest()


def test_what_the_builder_was_given_may_be_changed_afterwards():
    params, needs = {"multiplier": 2, "deep": [1]}, {"cpu": {"cores": 2}}
    pipeline = rm.Pipeline("demo").add("Multiply", params=params, capabilities=needs)
    params["multiplier"] = 3
    params["deep"].append(2)
    needs["cpu"]["cores"] = 0
    with pytest.warns(rm.ManifestWarning):
        manifest = pipeline.to_manifest()
    assert manifest.nodes[0].params == {"multiplier": 2, "deep": [1]}
    assert manifest.nodes[0].capabilities.cpu.cores == 2


def test_a_param_that_cannot_be_copied_is_named():
    pipeline = rm.Pipeline("demo").add("PassThrough", params={"lock": threading.Lock()})
    with pytest.raises(rm.ManifestError, match=r"\$\.nodes\[0\]\.params\.lock: expected a JSON value"):
        pipeline.to_manifest()


def test_a_result_can_be_read_by_a_person(engine):
    result = rm.Executor(engine=engine).execute_with_input(plain([node("a<b", "Echo")] and [node("a", "Echo")]), [1])
    assert repr(result).startswith("<ExecutionResult: completed, 1 items in, 1 out, 1 nodes, ")
    html = result._repr_html_()
    assert ">a</th>" in html
    assert "engine" in html
    assert "<script" not in html


def test_the_table_of_a_timed_result_has_percentiles_and_no_buckets(engine):
    result = rm.Executor(engine=engine).execute_with_input(plain([node("a", "Echo")]), [1, 2], metrics="time")
    html = result._repr_html_()
    assert all(f">{name}</th>" in html for name in ("flushed", "time", "p50", "p95", "p99", "longest"))
    assert "buckets" not in html


def test_graph_info(engine):
    result = rm.Executor(engine=engine).execute_with_input(
        plain([node("b", "Echo"), node("a", "Echo"), node("c", "Echo")], "a b, a c"), []
    )
    assert result.graph_info == {
        "node_count": 3, "connection_count": 2, "sources": ["a"], "sinks": ["b", "c"],
        "execution_order": ["a", "b", "c"],
    }  # fmt: skip


CLONES = [copy.copy, copy.deepcopy, lambda result: pickle.loads(pickle.dumps(result))]


@pytest.mark.parametrize("clone", CLONES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("looked_at", [False, True])
def test_a_result_can_be_copied_and_pickled(engine, clone, looked_at):
    manifest = plain([node("a", "Add", operand=1), node("e", "Echo")], "a e")
    executor = rm.Executor(engine=engine)
    result = executor.execute_with_input(manifest, [1, "x", None], error_policy="collect", metrics="time")
    if looked_at:
        repr(result)
    twin = clone(result)
    assert (twin.status, twin.results, twin.outputs, twin.engine) == (
        result.status, result.results, result.outputs, engine,
    )  # fmt: skip
    assert twin.outputs["e"] is twin.results
    assert twin.metrics == result.metrics
    assert twin.graph_info == result.graph_info
    assert [(type(error), str(error), error.item_index) for error in twin.errors] == [
        (rm.NodeError, "node 'a' (Add) failed in process at item 1: TypeError: takes a number, not str", 1),
        (rm.InputError, str(result.errors[1]), 2),
    ]
    assert twin.errors[0].traceback_text == result.errors[0].traceback_text
    assert repr(twin) == repr(result)


def test_what_was_finished_before_an_error_can_be_pickled(engine):
    manifest = plain([node("a", "Add", operand=1)])
    with pytest.raises(rm.NodeError) as caught:
        rm.Executor(engine=engine).execute_with_input(manifest, [1, "x"])
    partial = pickle.loads(pickle.dumps(caught.value.partial))
    assert (partial.results, partial.status) == ([2], rm.ExecutionStatus.FAILED)
    assert partial.metrics["nodes"]["a"]["failed"] == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_lifecycle_phases_are_logged_with_the_node_id_and_nothing_per_item(engine, caplog):
    caplog.set_level(logging.DEBUG, "remotemedia")
    manifest = plain([node("e", "Echo"), node("b", "Buffer", size=1)], "e b")
    rm.Executor(engine=engine).execute_with_input(manifest, [1] * 9)
    messages = [r.getMessage() for r in caplog.records]
    assert messages == [
        "initialize node 'e' (Echo)", "initialize node 'b' (Buffer)", "flush node 'b' (Buffer)",
        "cleanup node 'b' (Buffer)", "cleanup node 'e' (Echo)", "Echo saw 9 items",
    ]  # fmt: skip


def test_the_logger_is_silent_by_default():
    script = "import remotemedia as rm; rm.Executor(); import logging; print(logging.getLogger('remotemedia').handlers)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "NullHandler" in done.stdout


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("numpy", "msgspec", "inspect", "typing", "yaml", "rich")
    script = f"import remotemedia; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {script}"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in rm.__all__:
        assert getattr(rm, name) is not None
    with pytest.raises(AttributeError):
        rm.no_such_name


@pytest.mark.parametrize("make", [rm.PipelineGraph, lambda: __import__("remotemedia._core.engine").Run])
def test_what_users_must_not_make_says_which_door_to_take(make):
    if make is rm.PipelineGraph:
        with pytest.raises(TypeError, match="from_manifest"):
            make()
    else:
        from remotemedia._core.engine import Run

        with pytest.raises(TypeError, match="Executor"):
            Run()
