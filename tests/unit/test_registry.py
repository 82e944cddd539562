"""The registry: names, factories, plug-ins, threads."""

import importlib
import sys
import threading
import time
from importlib.metadata import EntryPoint

import pytest
from support import function_node, node, plain

import remotemedia as rm


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


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with plug-ins: their values by node type."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(package, **values):
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in values.items())
        (folder / "entry_points.txt").write_text(f"[remotemedia.nodes]\n{lines}")

    return install


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module, which is forgotten afterwards."""

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


def test_plugins_are_loaded_when_first_asked_for_and_a_broken_one_breaks_nothing(install):
    install("oddities", Plug="remotemedia.nodes:Echo", Broken="no_such_module:Node")
    registry = rm.NodeRegistry()
    assert {"Plug", "Broken"} <= set(registry.node_types())
    assert registry.has_node_type("Broken")
    assert registry.create("Plug").process(1)["counter"] == 1
    with pytest.raises(rm.RegistryError, match=r"plug-in of node type 'Broken' \(no_such_module:Node, from oddities\)"):
        registry.create("Broken")
    assert list(registry.plugin_faults()) == ["Broken"]


def test_a_plugin_whose_module_exits_is_a_broken_one(install, module):
    module("quits", "import sys\nsys.exit('no licence')\n")
    install("oddities", Quits="quits:Node", Plug="remotemedia.nodes:Echo")
    registry = rm.NodeRegistry()
    with pytest.raises(rm.RegistryError, match=r"'Quits' .* cannot be loaded: SystemExit: no licence") as caught:
        registry.create("Quits")
    assert isinstance(caught.value.__cause__, SystemExit)
    assert list(registry.plugin_faults()) == ["Quits"]
    assert registry.has_node_type("Plug")


@pytest.mark.parametrize("loaded", [False, True])
def test_what_the_program_registers_outranks_a_plugin_loaded_or_not(install, engine, loaded):
    install("oddities", Good="remotemedia.nodes:Echo")
    registry = rm.NodeRegistry()
    executor = rm.Executor(registry, engine=engine)
    manifest = rm.Manifest.from_dict(plain([node("g", "Good")]))
    if loaded:
        assert executor.execute_with_input(manifest, [1]).results == [{"input": 1, "counter": 1, "node": "Echo"}]
    registry.register("Good", function_node(lambda x: "mine"))
    assert executor.execute_with_input(manifest, [1]).results == ["mine"]
    with pytest.raises(rm.RegistryError, match="taken"):
        registry.register("Good", function_node(lambda x: "again"))
    assert registry.plugin_faults() == {
        "Good": "the plug-in of node type 'Good' (remotemedia.nodes:Echo, from oddities) is not used: "
        "the program registered that name"
    }


def test_to_register_looks_for_no_plugins(monkeypatch):
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: pytest.fail("looked for plug-ins"))
    registry = rm.NodeRegistry()
    registry.register("Mine", function_node(lambda x: x))
    assert registry.create("Mine").process(1) == 1


@pytest.mark.parametrize("name", ["Echo", "Frames"])
def test_a_plugin_named_like_a_node_of_this_package_is_told_of(install, name):
    install("oddities", **{name: "remotemedia.nodes:Counter"})
    registry = rm.NodeRegistry()
    assert type(registry.create(name)).__name__ == name
    assert registry.plugin_faults() == {
        name: f"the plug-in of node type '{name}' (remotemedia.nodes:Counter, from oddities) is not used: "
        "this package has a node of that name"
    }


def test_of_two_plugins_with_one_name_the_first_by_package_is_used_and_both_are_named(install):
    install("zebra", Twin="remotemedia.nodes:Counter")
    install("aardvark", Twin="remotemedia.nodes:Echo")
    install("middle", Twin="no_such_module:Node")
    registry = rm.NodeRegistry()
    assert registry.create("Twin").process(1)["node"] == "Echo"
    assert registry.plugin_faults() == {
        "Twin": "node type 'Twin' is installed by aardvark (remotemedia.nodes:Echo), which is used, and "
        "middle (no_such_module:Node), zebra (remotemedia.nodes:Counter), which are not; keep one"
    }


def test_a_plugin_is_loaded_while_another_thread_imports_a_module_that_registers(install, module, monkeypatch):
    """Loading waits for the lock of the module that the other thread holds, which waits to register."""
    registry = rm.NodeRegistry()
    importing, loading = threading.Event(), threading.Event()
    monkeypatch.setattr("remotemedia.registry_under_test", (registry, importing, loading), raising=False)
    install("oddities", Plug="registers_at_import:Plug")
    module(
        "registers_at_import",
        "import remotemedia as rm\n"
        "registry, importing, loading = rm.registry_under_test\n"
        "importing.set()\n"
        "assert loading.wait(10)\n"
        "registry.register('Other', rm.NodeExecutor)\n"
        "Plug = rm.NodeExecutor\n",
    )
    load_point, found = EntryPoint.load, []

    def announced(point):
        loading.set()
        return load_point(point)

    def load():
        assert importing.wait(10)
        found.append(registry.entry("Plug").factory)

    monkeypatch.setattr(EntryPoint, "load", announced)
    threads = [
        threading.Thread(target=work, daemon=True)
        for work in (load, lambda: importlib.import_module("registers_at_import"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert found == [rm.NodeExecutor]
    assert registry.has_node_type("Other")


def test_two_threads_that_load_one_plugin_get_the_same_entry(install, module):
    module("slow_to_import", "import remotemedia as rm\ndef Plug():\n    return rm.NodeExecutor()\n")
    install("oddities", Plug="slow_to_import:Plug")
    registry = rm.NodeRegistry()
    barrier = threading.Barrier(4)
    found = []

    def load():
        barrier.wait()
        found.append(registry.entry("Plug"))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(entry) for entry in found}) == 1


def test_an_unknown_name_of_any_length_costs_little(engine):
    long = "Echo" * 1_000_000
    began = time.process_time()
    with pytest.raises(rm.RegistryError) as caught:
        rm.NodeRegistry().create(long)
    assert len(str(caught.value)) < 1000
    with pytest.raises(rm.RegistryError) as caught:
        rm.Executor(engine=engine).execute_with_input(plain([node(long, long)]), [])
    assert len(str(caught.value)) < 1000
    assert "$.nodes[0].node_type: node 'EchoEcho" in str(caught.value)
    assert time.process_time() - began < 1


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


class Scale(rm.NodeExecutor):
    """Notes that any method of it was called."""

    called: list[str] = []

    def initialize(self, context):
        Scale.called.append("initialize")

    def process(self, item):
        Scale.called.append("process")
        return item


class Wrapper:
    """A node around whatever it is given."""

    def __init__(self, inner):
        self.__wrapped__ = inner

    def process(self, item):
        return self.__wrapped__.process(item)


NO_NODES = [
    (lambda: None, "None, not a node; a node has process(item), process_batch(items) or produce()"),
    (lambda: 5, "5, not a node; a node has"),
    (lambda: {"process": 1}, "{'process': 1}, not a node"),
    (lambda: "Scale", "'Scale', not a node"),
    (lambda: Scale, "the class Scale, not a node; return Scale(), or register the class itself"),
    (lambda: object, "the class object, not a node"),
    (lambda: lambda item: item, "<function "),
    (lambda: Wrapper(None), "None, not a node"),
    (lambda: Wrapper(Scale), "the class Scale, not a node"),
    (lambda: "x" * 10**7, "'xxx"),
]
NO_NODE_IDS = ["None", "int", "dict", "str", "class", "object", "function", "wrapped", "wrapped class", "long"]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("factory", "given"), NO_NODES, ids=NO_NODE_IDS)
def test_a_factory_that_gives_no_node_is_named_before_any_method_is_called(driver, factory, given, shared):
    driver.register(Scale=Scale)
    driver.registry.register("Odd", factory, shared=shared)
    error = driver.run(plain([node("s", "Scale"), node("a", "Odd")], "s a"), [1]).error
    assert type(error) is rm.RegistryError
    assert str(error).startswith(f"the factory of node type 'Odd' (node 'a') gave {given}")
    assert len(str(error)) < 300
    assert Scale.called == []
    with pytest.raises(rm.RegistryError) as caught:
        driver.registry.create("Odd")
    assert str(caught.value).startswith(f"the factory of node type 'Odd' gave {given}")


def test_every_factory_that_gives_no_node_is_named_at_once(direct):
    direct.register(Odd=lambda: None)
    error = direct.run(plain([node("a", "Odd"), node("b", "Echo"), node("c", "Odd")]), [1]).error
    assert [line[:47] for line in str(error).splitlines()] == [
        "the factory of node type 'Odd' (node 'a') gave ",
        "the factory of node type 'Odd' (node 'c') gave ",
    ]
    error = direct.run(plain([node(f"n{i}", "Odd") for i in range(50)]), [1]).error
    assert str(error).splitlines()[20:] == ["and 30 more"]


def test_a_factory_that_gives_a_node_once_is_looked_at_each_time(direct):
    given = [Scale(), None]
    direct.register(Odd=lambda: given.pop(0))
    manifest = rm.Manifest.from_dict(plain([node("a", "Odd")]))
    assert direct.run(manifest, []).error is None
    assert "gave None, not a node" in str(direct.run(manifest, []).error)
    Scale.called.clear()
