"""The registry: names, factories, plug-ins, threads."""

import threading
from importlib.metadata import EntryPoint

import pytest
from support import function_node

import remotemedia as rm
from remotemedia import registry as registry_module


def test_register_as_a_decorator_gives_the_class_back():
    registry = rm.NodeRegistry()

    @registry.register("Twice")
    class Twice(rm.NodeExecutor):
        def process(self, item):
            return item * 2

    assert Twice.__name__ == "Twice"
    assert registry.create("Twice").process(4) == 8


def test_a_taken_name_needs_replace():
    registry = rm.NodeRegistry()
    with pytest.raises(rm.RegistryError, match="taken; pass replace=True"):
        registry.register("Echo", function_node(lambda x: x))
    registry.register("Echo", function_node(lambda x: "mine"), replace=True)
    assert registry.create("Echo").process(1) == "mine"


@pytest.mark.parametrize(("name", "factory"), [("", dict), (5, dict), ("X", 5)])
def test_wrong_arguments_are_type_errors(name, factory):
    with pytest.raises(TypeError):
        rm.NodeRegistry().register(name, factory)


def test_info_is_the_nodes_own():
    registry = rm.NodeRegistry()
    assert registry.info("PassThrough") == rm.NodeInfo("PassThrough", "0.0.0", "Hand every item on as it is.")


def test_a_factory_that_raises_is_a_registry_error_with_its_cause():
    registry = rm.NodeRegistry()
    registry.register("Bad", lambda: 1 // 0)
    with pytest.raises(rm.RegistryError, match="factory of node type 'Bad' raised ZeroDivisionError") as caught:
        registry.create("Bad")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_every_unknown_type_of_a_manifest_is_named_at_once(engine):
    manifest = {
        "version": "v1", "metadata": {"name": "x"}, "connections": [],
        "nodes": [{"id": "a", "node_type": "Ecco"}, {"id": "b", "node_type": "echo"}, {"id": "c", "node_type": "Echo"}],
    }  # fmt: skip
    with pytest.raises(rm.RegistryError) as caught:
        rm.Executor(engine=engine).execute_with_input(manifest, [1])
    assert "$.nodes[0].node_type" in str(caught.value)
    assert "$.nodes[1].node_type" in str(caught.value)
    assert "$.nodes[2]" not in str(caught.value)


def plugins(monkeypatch, **values):
    points = [EntryPoint(name, value, registry_module.PLUGIN_GROUP) for name, value in values.items()]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)


def test_plugins_are_loaded_when_first_asked_for_and_a_broken_one_breaks_nothing(monkeypatch):
    plugins(monkeypatch, Plug="remotemedia.nodes:Echo", Broken="no_such_module:Node")
    registry = rm.NodeRegistry()
    assert {"Plug", "Broken"} <= set(registry.node_types())
    assert registry.has_node_type("Broken")
    assert registry.create("Plug").process(1)["counter"] == 1
    with pytest.raises(rm.RegistryError, match=r"plug-in of node type 'Broken' \(no_such_module:Node"):
        registry.create("Broken")
    assert list(registry.plugin_faults()) == ["Broken"]


def test_registering_from_many_threads_loses_nothing():
    registry = rm.NodeRegistry()

    def work(k):
        for i in range(50):
            registry.register(f"T{k}_{i}", function_node(lambda x: x))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(name.startswith("T") and "_" in name for name in registry.node_types()) == 400
