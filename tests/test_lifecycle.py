"""The five classic tests."""

import pytest

import remotemedia as rm
from remotemedia.nodes import Echo, PassThrough


def test_passthrough_node():
    node = PassThrough()
    node.initialize(rm.NodeContext("p", "PassThrough"))
    assert node.process("hello") == "hello"
    assert node.process(0) == 0
    node.cleanup()


def test_echo_node():
    node = Echo()
    node.initialize(rm.NodeContext("e", "Echo"))
    assert node.process("a") == {"input": "a", "counter": 1, "node": "Echo"}
    assert node.process("b") == {"input": "b", "counter": 2, "node": "Echo"}
    node.cleanup()


def test_node_registry():
    registry = rm.NodeRegistry()
    assert registry.has_node_type("PassThrough")
    assert registry.has_node_type("Echo")
    assert not registry.has_node_type("Nonexistent")
    assert {"PassThrough", "PassThroughNode", "Echo"} <= set(registry.node_types())
    assert isinstance(registry.create("Echo"), Echo)


def test_registry_create_unknown():
    with pytest.raises(rm.RegistryError, match=r"node type 'Ecco' is unknown; did you mean 'Echo'\?"):
        rm.NodeRegistry().create("Ecco")


def test_execute_with_simple_pipeline(engine):
    manifest = {
        "version": "v1",
        "metadata": {"name": "simple"},
        "nodes": [
            {"id": "in", "node_type": "PassThrough"},
            {"id": "echo", "node_type": "Echo"},
            {"id": "out", "node_type": "PassThrough"},
        ],
        "connections": [{"from": "in", "to": "echo"}, {"from": "echo", "to": "out"}],
    }
    result = rm.Executor(engine=engine).execute_with_input(manifest, list("abcde"))
    assert result.status is rm.ExecutionStatus.COMPLETED
    assert [r["counter"] for r in result.results] == [1, 2, 3, 4, 5]
    assert [r["input"] for r in result.results] == list("abcde")
    assert result.engine == engine
