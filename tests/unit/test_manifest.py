"""`Manifest`: reading and writing, equality, what of the SDK's files is kept, and the fast way against the slow."""

import copy
import gc
import io
import json
import pickle
import tracemalloc
import warnings
import weakref
from collections import UserList, deque
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remotemedia import Capabilities, Connection, Manifest, ManifestError, ManifestLimits, ManifestWarning, NodeSpec
from remotemedia._core.spelling import KeySpeller
from remotemedia.manifest import DEFAULT_LIMITS, Cpu, Execution, Gpu

DEMO = {
    "version": "v1",
    "metadata": {"name": "demo", "author": {"name": "Ada"}},
    "nodes": [
        {"id": "in", "node_type": "PassThrough"},
        {"id": "m-1_X", "node_type": "Multiply", "params": {"multiplier": 2.5, "note": [None, True, {"a": "ü"}]}},
    ],
    "connections": [{"from": "in", "to": "m-1_X"}],
}
TEXT = json.dumps(DEMO)


def quiet(call, *args, **options):
    """Call with no eye on keys that nothing acts on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ManifestWarning)
        return call(*args, **options)


def test_the_parts_of_a_manifest():
    manifest = Manifest.from_json(TEXT)
    assert (manifest.version, manifest.metadata) == ("v1", DEMO["metadata"])
    first, second = manifest.nodes
    assert (first.id, first.node_type, first.params) == ("in", "PassThrough", {})
    assert second.params == DEMO["nodes"][1]["params"]
    assert (second.fan_in, second.join_missing, second.copy, second.is_output_node) == ("merge", None, False, False)
    assert (second.max_concurrency, second.parallelism, second.isolation) == (None, 1, "none")
    assert (second.capabilities, second.host, second.timeout_ms, second.retry) == (None, None, None, None)
    assert manifest.connections == (Connection("in", "m-1_X"),)
    assert manifest.run is None
    assert manifest.graph is manifest.graph
    assert manifest.graph.execution_order == ["in", "m-1_X"]
    assert repr(manifest) == "<Manifest 'demo': 2 nodes, 1 connections>"
    odd = Manifest(version="v1", metadata=None, nodes=(first,), connections=5)
    assert repr(odd) == "<Manifest None: 1 nodes, ? connections>"
    assert repr(first) == "NodeSpec(id='in', node_type='PassThrough')"


def test_all_ways_to_read_give_the_same(tmp_path):
    file = tmp_path / "demo.json"
    file.write_text(TEXT)
    ways = [
        Manifest.from_json(TEXT),
        Manifest.from_json(TEXT.encode()),
        Manifest.from_json(bytearray(TEXT.encode())),
        Manifest.from_dict(DEMO),
        Manifest.from_file(file),
        Manifest.from_file(str(file)),
        Manifest.coerce(TEXT),
        Manifest.coerce(DEMO),
        Manifest.coerce(file),
        Manifest.coerce(Manifest.from_json(TEXT)),
    ]
    assert all(manifest == ways[0] for manifest in ways)


def test_a_manifest_stays_itself():
    manifest = Manifest.from_json(TEXT)
    assert Manifest.coerce(manifest) is manifest


def test_a_str_is_never_a_path(tmp_path, monkeypatch):
    (tmp_path / "demo.json").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ManifestError, match="not JSON"):
        Manifest.coerce("demo.json")


@pytest.mark.parametrize("value", [None, 5, [DEMO], b"{}", io.StringIO(TEXT), NodeSpec("a", "Echo")])
def test_anything_else_is_no_manifest(value):
    with pytest.raises(TypeError, match=r"a Manifest, a dict, a str of JSON or a pathlib.Path, not "):
        Manifest.coerce(value)


@pytest.mark.parametrize("value", [None, 5, DEMO, Path("x.json"), memoryview(b"{}")])
@pytest.mark.parametrize("read", [Manifest.from_json, Manifest.from_yaml])
def test_text_is_str_or_bytes(read, value):
    with pytest.raises(TypeError, match="str or bytes, not"):
        read(value)


@pytest.mark.parametrize("value", [None, TEXT, [], list(DEMO.items())])
def test_from_dict_takes_a_dict(value):
    with pytest.raises(TypeError, match="takes a dict, not"):
        Manifest.from_dict(value)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        Manifest.from_file("not/there.json")


@pytest.mark.parametrize("name", ["demo.json", "demo.manifest", "demo"])
def test_a_broken_file_is_named(tmp_path, name):
    file = tmp_path / name
    file.write_text("{")
    with pytest.raises(ManifestError) as caught:
        Manifest.from_file(file)
    assert caught.value.__notes__ == [f"in {file}"]


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path):
    file = tmp_path / "demo.json"
    file.write_text(TEXT + " " * 1000)
    assert Manifest.from_file(file, limits=ManifestLimits(max_bytes=len(TEXT) + 1000))
    with pytest.raises(ManifestError, match=f"has {len(TEXT) + 11} bytes or more; at most {len(TEXT) + 10} are"):
        Manifest.from_file(file, limits=ManifestLimits(max_bytes=len(TEXT) + 10))


def test_what_a_dict_held_is_copied():
    source = copy.deepcopy(DEMO)
    manifest = Manifest.from_dict(source)
    source["nodes"][1]["params"]["note"].append("changed")
    source["metadata"]["author"]["name"] = "changed"
    source["nodes"].clear()
    assert manifest == Manifest.from_json(TEXT)


def test_what_to_dict_gives_is_a_copy():
    manifest = Manifest.from_json(TEXT)
    tree = manifest.to_dict()
    tree["nodes"][1]["params"]["note"].append("changed")
    tree["metadata"].clear()
    assert manifest.to_dict() == DEMO


def test_what_a_hand_built_manifest_held_is_copied_when_it_is_checked():
    params = {"multiplier": 2, "deep": (1, [2])}
    manifest = Manifest(version="v1", metadata={"name": "m"}, nodes=[NodeSpec("a", "Multiply", params)], connections=[])
    assert manifest.graph.execution_order == ["a"]
    params["deep"][1].append(3)
    assert manifest.nodes == (NodeSpec("a", "Multiply", {"multiplier": 2, "deep": [1, [2]]}),)
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_hand_built_manifest_equals_the_one_read():
    manifest = Manifest(
        version="v1",
        metadata=DEMO["metadata"],
        nodes=(
            NodeSpec("in", "PassThrough"),
            NodeSpec(id="m-1_X", node_type="Multiply", params=DEMO["nodes"][1]["params"]),
        ),
        connections=(Connection(from_="in", to="m-1_X"),),
    )
    assert manifest == Manifest.from_json(TEXT)
    assert manifest.to_json() == Manifest.from_json(TEXT).to_json()


@pytest.mark.parametrize("kind", [list, tuple, deque, UserList])
def test_a_manifest_is_built_of_any_sequence_and_keeps_a_tuple(kind):
    manifest = Manifest(
        version="v1",
        metadata={"name": "m"},
        nodes=kind([NodeSpec("a", "Echo"), NodeSpec("b", "Echo")]),
        connections=kind([Connection("a", "b")]),
    )
    for _ in range(2):
        assert manifest.nodes == (NodeSpec("a", "Echo"), NodeSpec("b", "Echo"))
        assert manifest.connections == (Connection("a", "b"),)
        assert manifest.graph.execution_order == ["a", "b"]
    assert type(Manifest.from_json(TEXT).nodes) is tuple
    assert type(Manifest.from_json(TEXT).connections) is tuple


def test_the_types_say_so_too():
    api = pytest.importorskip("mypy.api")
    program = """
from remotemedia import Connection, Manifest, NodeSpec
Manifest(version="v1", metadata={"name": "m"}, nodes=[NodeSpec("a", "E")], connections=[])
Manifest(version="v1", metadata={"name": "m"}, nodes=(NodeSpec("a", "E"),), connections=(Connection("a", "b"),))
first: NodeSpec = Manifest.from_json("{}").nodes[0]
Manifest(version="v1", metadata={"name": "m"}, nodes=7, connections=[])
"""
    out, _, status = api.run(["--config-file=", "--strict", "--no-incremental", "-c", program])
    assert status == 1
    assert out.count("error:") == 1
    assert out.startswith('<string>:6: error: Argument "nodes"')


def test_a_manifest_cannot_be_changed():
    manifest = Manifest.from_json(TEXT)
    with pytest.raises(AttributeError):
        manifest.version = "v2"
    with pytest.raises(AttributeError):
        manifest.nodes[0].id = "x"
    with pytest.raises(AttributeError):
        manifest.graph = None


def test_a_manifest_can_be_referred_to_weakly():
    manifest = Manifest.from_json(TEXT)
    reference = weakref.ref(manifest)
    assert reference() is manifest
    del manifest
    assert reference() is None


@pytest.mark.parametrize("broken", [False, True])
def test_nothing_of_a_manifest_leaks_without_the_collector(broken):
    nodes = [{"id": f"n{i}", "node_type": "Echo", "params": {"p": [{"q": [i]}]}, "x-a": {}} for i in range(50)]
    text = json.dumps({**DEMO, "nodes": nodes + nodes * broken, "connections": [{"from": "n0", "to": "n1", "x-a": []}]})

    def load():
        for _ in range(20):
            if broken:
                with pytest.raises(ManifestError):
                    Manifest.from_json(text)
            else:
                assert Manifest.from_json(text).to_dict()

    load()
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        load()
        before = tracemalloc.get_traced_memory()[0]
        load()
        assert tracemalloc.get_traced_memory()[0] - before < 50_000  # one manifest is larger
    finally:
        tracemalloc.stop()
        gc.enable()


CLONES = pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "deepcopy", "pickle"]
)


@CLONES
def test_a_clone_is_equal(clone):
    manifest = Manifest.from_json(TEXT)
    twin = clone(manifest)
    assert twin is not manifest
    assert twin == manifest
    assert twin.graph.execution_order == ["in", "m-1_X"]
    assert (twin.nodes[1].params is manifest.nodes[1].params) == (clone is copy.copy)


@CLONES
def test_a_clone_is_as_checked_as_the_manifest_it_is_of(clone, monkeypatch):
    deep: object = 1
    for _ in range(100):
        deep = [deep]
    source = {**DEMO, "nodes": [{"id": "a", "nodeType": "E", "params": {"p": deep}, "docker": 1}], "connections": []}
    manifest = quiet(Manifest.from_json, json.dumps(source), limits=ManifestLimits(max_depth=200))
    monkeypatch.setattr(Manifest, "_walk", lambda *_: pytest.fail("checked again"))
    twin = clone(clone(manifest))
    assert twin.graph.execution_order == ["a"]
    assert twin.to_json() == manifest.to_json()
    assert twin.nodes[0].extra == {"docker": 1}


@CLONES
def test_a_clone_of_a_manifest_that_was_not_checked_is_checked_at_its_first_use(clone):
    manifest = Manifest(version="v1", metadata={"name": "m"}, nodes=(NodeSpec("a", "E", host="h:1"),), connections=())
    twin = clone(manifest)
    with pytest.warns(ManifestWarning, match="'host'"):
        assert twin.graph.execution_order == ["a"]
    broken = clone(Manifest(version="v1", metadata={}, nodes=(NodeSpec("a", "E"),), connections=()))
    with pytest.raises(ManifestError, match="name"):
        broken.graph


def test_what_is_changed_in_a_copy_is_checked_again():
    manifest = msgspec.structs.replace(Manifest.from_json(TEXT), connections=(Connection("in", "x"),))
    with pytest.raises(ManifestError, match="no node has the id 'x'"):
        manifest.graph


@pytest.mark.parametrize("indent", [None, 2])
def test_json_text(indent):
    manifest = Manifest.from_json(TEXT)
    text = manifest.to_json(indent=indent)
    assert text == json.dumps(DEMO, indent=indent, ensure_ascii=False)
    assert Manifest.from_json(text) == manifest


OPTIONS = {
    "id": "j",
    "node_type": "Echo",
    "params": {"host": "x", "timeout_ms": 5, "type": "y", "x-": 1, "isolation": "process"},
    "capabilities": {
        "gpu": {"type": "cuda", "min_memory_gb": 8, "required": False},
        "cpu": {"cores": 4, "arch": "x86_64"},
        "memory_gb": 16.5,
    },
    "host": "gpu-box:7000",
    "runtime_hint": "cpython",
    "execution": {"placement": "prefer_remote", "reason": "large", "fallback": "local"},
    "is_streaming": False,
    "is_output_node": True,
    "fan_in": "join",
    "join_missing": "partial",
    "copy": True,
}


def test_every_option_of_a_node():
    source = {"version": "v1", "metadata": {"name": "m"}, "nodes": [OPTIONS], "connections": []}
    with pytest.warns(ManifestWarning) as caught:
        manifest = Manifest.from_dict(source)
    assert len(caught) == 1
    (node,) = manifest.nodes
    assert node == NodeSpec(
        "j",
        "Echo",
        OPTIONS["params"],
        capabilities=Capabilities(
            gpu=Gpu(type="cuda", min_memory_gb=8, required=False), cpu=Cpu(cores=4, arch="x86_64"), memory_gb=16.5
        ),
        host="gpu-box:7000",
        runtime_hint="cpython",
        execution=Execution(placement="prefer_remote", reason="large", fallback="local"),
        is_streaming=False,
        is_output_node=True,
        fan_in="join",
        join_missing="partial",
        copy=True,
    )
    assert manifest.to_dict() == source
    assert quiet(Manifest.from_json, manifest.to_json()) == manifest


@pytest.mark.parametrize("host", ["localhost:1", "10.0.0.7:65535", "[::1]:7000", "gpu-box.example.org:7000"])
def test_hosts(host):
    source = {**DEMO, "nodes": [{"id": "a", "node_type": "E", "host": host}], "connections": []}
    assert quiet(Manifest.from_dict, source).nodes[0].host == host


def test_null_stands_for_the_absence_of_an_optional_key():
    nulls = dict.fromkeys(OPTIONS.keys() - {"id", "node_type"}) | dict.fromkeys(
        ["batch_size", "timeout_ms", "retry", "isolation", "docker", "description", "comment"]
    )
    source = {**DEMO, "run": None, "config": None, "description": None}
    source["nodes"] = [{**DEMO["nodes"][0], **nulls}, DEMO["nodes"][1]]
    source["connections"] = [{**DEMO["connections"][0], "capacity": None, "type": None, "overflow": None}]
    assert Manifest.from_dict(source) == Manifest.from_json(json.dumps(source)) == Manifest.from_json(TEXT)


SDK_FILE = {
    "version": "v1",
    "metadata": {"name": "sdk", "createdAt": "2025-01-01T00:00:00Z", "auto_negotiate": True, "description": "d"},
    "config": {"buffer": 3},
    "defaults": {"sample_rate": 16000},
    "pythonEnv": {"python_version": "3.11"},
    "nodes": [
        {
            "id": "vad",
            "nodeType": "SileroVAD",
            "params": None,
            "isStreaming": True,
            "isOutputNode": True,
            "capabilities": None,
            "runtimeHint": "cpython_wasm",
            "docker": {"image": "vad:1"},
            "pythonDeps": ["silero-vad"],
            "media_capabilities": {"inputs": {}},
            "fastPath": True,
            "description": "finds speech",
        },
        {"id": "out", "node_type": "Sink", "is_streaming": False, "x-colour": "red"},
    ],
    "connections": [
        {"from": "vad", "to": "out", "type": "stream", "fromPort": "audio", "to_port": "in", "params": {}, "x-w": None}
    ],
    "comment": ["kept", 1],
}
SDK_METADATA = {"name": "sdk", "created_at": "2025-01-01T00:00:00Z", "auto_negotiate": True, "description": "d"}


def test_a_file_of_the_sdk_loads_with_one_warning():
    with pytest.warns(ManifestWarning) as caught:
        manifest = Manifest.from_json(json.dumps(SDK_FILE))
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message) == (
        "loaded, but not acted on by this version (first use in brackets): 'config' ($.config), "
        "'defaults' ($.defaults), 'python_env' ($.pythonEnv), 'is_streaming' ($.nodes[0].isStreaming), "
        "'runtime_hint' ($.nodes[0].runtimeHint), 'docker' ($.nodes[0].docker), "
        "'python_deps' ($.nodes[0].pythonDeps), 'media_capabilities' ($.nodes[0].media_capabilities), "
        "'fast_path' ($.nodes[0].fastPath), 'type' ($.connections[0].type), "
        "'from_port' ($.connections[0].fromPort), 'to_port' ($.connections[0].to_port), "
        "'params' ($.connections[0].params)"
    )
    assert manifest.nodes[0].node_type == "SileroVAD"
    assert manifest.nodes[0].is_output_node is True
    assert manifest.metadata == SDK_METADATA
    assert manifest.extra == {
        "config": {"buffer": 3},
        "defaults": {"sample_rate": 16000},
        "python_env": {"python_version": "3.11"},
    }


def test_what_the_sdk_wrote_survives_in_snake_case():
    manifest = quiet(Manifest.from_dict, SDK_FILE)
    tree = json.loads(manifest.to_json())
    assert tree == {
        "version": "v1",
        "metadata": SDK_METADATA,
        "nodes": [
            {
                "id": "vad",
                "node_type": "SileroVAD",
                "runtime_hint": "cpython_wasm",
                "is_streaming": True,
                "is_output_node": True,
                "description": "finds speech",
                "docker": {"image": "vad:1"},
                "python_deps": ["silero-vad"],
                "media_capabilities": {"inputs": {}},
                "fast_path": True,
            },
            {"id": "out", "node_type": "Sink", "is_streaming": False, "x-colour": "red"},
        ],
        "connections": [
            {
                "from": "vad",
                "to": "out",
                "type": "stream",
                "from_port": "audio",
                "to_port": "in",
                "params": {},
                "x-w": None,
            }
        ],
        "comment": ["kept", 1],
        "config": {"buffer": 3},
        "defaults": {"sample_rate": 16000},
        "python_env": {"python_version": "3.11"},
    }
    assert quiet(Manifest.from_dict, tree) == manifest


INERT = {
    "nodes": [
        *("host", "capabilities", "execution", "runtime_hint", "is_streaming"),
        *("docker", "python_deps", "media_capabilities", "fast_path"),
    ],
    "connections": ["type", "from_port", "to_port", "params"],
    "top": ["config", "defaults", "python_env"],
}


@pytest.mark.parametrize(("place", "key"), [(place, key) for place, keys in INERT.items() for key in keys])
def test_each_key_that_nothing_acts_on_warns(place, key):
    source = copy.deepcopy(DEMO)
    where = source if place == "top" else source[place][0]
    where[key] = OPTIONS.get(key, {"any": ["value"]}) if key != "params" else {}
    path = f"$.{key}" if place == "top" else f"$.{place}[0].{key}"
    for read in (Manifest.from_dict, lambda tree: Manifest.from_json(json.dumps(tree))):
        with pytest.warns(
            ManifestWarning,
            match=f"not acted on by this version .*: '{key}' \\({path}\\)".replace("$", "\\$").replace(
                "[0]", "\\[0\\]"
            ),
        ) as caught:
            manifest = read(source)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert manifest.to_dict() == source


def test_a_hand_built_manifest_warns_at_its_first_check():
    manifest = Manifest(
        version="v1", metadata={"name": "m"}, nodes=[NodeSpec("a", "Echo", host="box:1")], connections=[]
    )
    with pytest.warns(ManifestWarning, match="'host'") as caught:
        manifest.graph
    assert caught[0].filename == __file__
    assert manifest.graph is manifest.graph


def by_the_fast_way(text):
    """The manifest of a text by the fast way alone, or None; and what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        manifest = Manifest._decode(text if isinstance(text, bytes) else text.encode(), DEFAULT_LIMITS)
    return manifest, [str(warning.message) for warning in caught]


def by_the_walk(source):
    """The manifest of a dict, which always takes the walk, or None; and what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            manifest = Manifest.from_dict(source)
        except ManifestError:
            manifest = None
    return manifest, [str(warning.message) for warning in caught]


def test_a_param_named_like_a_key_does_not_warn():
    source = copy.deepcopy(DEMO)
    source["nodes"][0]["params"] = {"host": 1, "capabilities": {}, "join_missing": 1, "retry": 0, "config": 1}
    manifest = Manifest.from_json(json.dumps(source))
    assert by_the_fast_way(json.dumps(source)) == (manifest, [])
    assert by_the_walk(source) == (manifest, [])


def test_created_at_has_two_spellings():
    for spelling in ("createdAt", "created_at"):
        source = {**DEMO, "metadata": {"x": 1, spelling: "2025", "name": "m", "updatedAt": 2}}
        for manifest in (Manifest.from_dict(source), Manifest.from_json(json.dumps(source))):
            assert list(manifest.metadata.items()) == [
                ("x", 1),
                ("created_at", "2025"),
                ("name", "m"),
                ("updatedAt", 2),
            ]
        assert by_the_fast_way(json.dumps(source))[0] == manifest
        assert source["metadata"][spelling] == "2025"


@pytest.mark.parametrize("spellings", [("createdAt", "created_at"), ("created_at", "createdAt")])
def test_created_at_in_both_spellings_is_refused(spellings):
    source = {**DEMO, "metadata": {**dict.fromkeys(spellings, "2025"), "name": "m"}}
    for read in (Manifest.from_dict, lambda tree: Manifest.from_json(json.dumps(tree))):
        with pytest.raises(ManifestError) as caught:
            read(source)
        assert [tuple(issue) for issue in caught.value.errors] == [
            (f"$.metadata.{spellings[1]}", f"duplicate key, another spelling of '{spellings[0]}'; keep one")
        ]


def test_free_keys_are_free_on_every_object():
    free = {"description": {"any": [1]}, "comment": "c", "x-": {"deep": [None]}, "x-y": None, "x-Z z": 1}
    source = {
        "version": "v1",
        "metadata": {"name": "m", **free},
        "run": free,
        "nodes": [
            {
                "id": "a",
                "node_type": "Echo",
                "capabilities": {"gpu": {"type": "any", **free}, "cpu": free, **free},
                "execution": {"placement": "local", **free},
                **free,
            },
            {"id": "b", "node_type": "Echo"},
        ],
        "connections": [{"from": "a", "to": "b", **free}],
        **free,
    }
    manifest = quiet(Manifest.from_json, json.dumps(source))
    assert manifest.to_dict() == source
    assert manifest.extra == {"x-": {"deep": [None]}, "x-y": None, "x-Z z": 1}
    assert quiet(Manifest.from_json, manifest.to_json()) == manifest


def test_each_camel_case_spelling_is_an_alias():
    source = {
        "version": "v1",
        "metadata": {"name": "m"},
        "run": {"parallelInit": False},
        "pythonEnv": 1,
        "nodes": [
            {
                "id": "a",
                "nodeType": "Echo",
                "fanIn": "join",
                "joinMissing": "skip",
                "isStreaming": True,
                "isOutputNode": True,
                "runtimeHint": "auto",
                "maxConcurrency": 1,
                "capabilities": {"memoryGb": 1, "gpu": {"type": "any", "minMemoryGb": 2}},
                "mediaCapabilities": 1,
                "pythonDeps": 1,
                "fastPath": 1,
            },
            {"id": "b", "nodeType": "Echo"},
        ],
        "connections": [{"from": "a", "to": "b", "fromPort": 1, "toPort": 1}],
    }
    manifest = quiet(Manifest.from_dict, source)
    text = manifest.to_json()
    assert not [word for word in text.split('"') if word != word.lower() and word != "Echo"]
    assert quiet(Manifest.from_json, text) == manifest
    assert manifest.nodes[0].capabilities.gpu.min_memory_gb == 2
    assert manifest.nodes[0].join_missing == "skip"


# Any sound manifest: both ways give the same, and what is written is read back.

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.just("host"), inner, max_size=3)
    ),
    max_leaves=6,
)
FREE = st.dictionaries(st.sampled_from(["description", "comment", "x-a", "x-", "x-\n"]), VALUES, max_size=2)
NODE_KEYS = st.fixed_dictionaries(
    {},
    optional={
        "params": st.dictionaries(st.text(max_size=4), VALUES, max_size=3),
        "is_output_node": st.booleans(),
        "copy": st.booleans(),
        "isolation": st.just("none"),
        "max_concurrency": st.just(1),
        "host": st.just("box:1"),
        "is_streaming": st.booleans(),
        # dictionaries built anew each time: a test changes them
        "capabilities": st.builds(lambda: {"memory_gb": 2, "gpu": {"type": "cuda", "x-g": 1}}),
        "execution": st.builds(lambda: {"placement": "local"}),
        "docker": VALUES,
        "fast_path": VALUES,
    },
)
JOINS = st.sampled_from(
    [{}, {}, {"fan_in": "merge"}, {"fan_in": "join"}, {"fan_in": "join", "join_missing": "partial"}]
)


@st.composite
def manifests(draw):
    n = draw(st.integers(1, 4))
    ids = draw(st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,4}", fullmatch=True), min_size=n, max_size=n, unique=True))
    pairs = draw(
        st.lists(st.sampled_from([(a, b) for b in range(n) for a in range(b)] or [None]), unique=True, max_size=4)
    )
    return {
        "version": "v1",
        "metadata": {
            **draw(st.dictionaries(st.text(max_size=4), VALUES, max_size=2)),
            "name": draw(st.text(min_size=1)),
        },
        "nodes": [{"id": i, "node_type": "T", **draw(NODE_KEYS), **draw(JOINS), **draw(FREE)} for i in ids],
        "connections": [{"from": ids[p[0]], "to": ids[p[1]], **draw(FREE)} for p in pairs if p],
        **draw(FREE),
        **draw(st.fixed_dictionaries({}, optional={"config": VALUES, "run": FREE})),
    }


@settings(max_examples=150)
@given(manifests())
def test_what_is_written_is_read_back(tree):
    manifest = quiet(Manifest.from_dict, tree)
    assert quiet(Manifest.from_json, json.dumps(tree)) == manifest
    assert quiet(Manifest.from_json, manifest.to_json()) == manifest
    assert quiet(Manifest.from_json, manifest.to_json(indent=1).encode()) == manifest
    assert quiet(Manifest.from_dict, manifest.to_dict()) == manifest
    assert quiet(lambda: pickle.loads(pickle.dumps(manifest)).graph.execution_order) == manifest.graph.execution_order


ODD_VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -1,
        1.0,
        2**31,
        10**25,
        "",
        "a",
        "b",
        "v1",
        "join",
        "skip",
        "none",
        "box:1",
        [],
        {},
        [[]],
        {"name": "m"},
    ]
).map(copy.deepcopy)
PLAIN_KEYS = ("params", "from", "to", "capacity", "overflow", "run", "type", "retry", "created_at", "description")
FREE_KEYS = (
    "docker",
    "pythonDeps",
    "python_deps",
    "fastPath",
    "fromPort",
    "pythonEnv",
    "config",
    "x-",
    "x-a",
    "createdAt",
)
CAMEL_KEYS = ("nodeType", "isStreaming", "runtimeHint", "fanIn", "joinMissing", "maxConcurrency", "isOutputNode")
NO_KEYS = ("X-a", "extra", "from_", "zzz", "memoryGb", "minMemoryGb", "timeoutMs", "batchSize")
ODD_KEYS = st.sampled_from([*OPTIONS, *PLAIN_KEYS, *FREE_KEYS, *CAMEL_KEYS, *NO_KEYS])
CAMEL = {"node_type": "nodeType", "fan_in": "fanIn", "join_missing": "joinMissing", "is_streaming": "isStreaming"}


def respelled(tree, draw):
    """The tree with some of its nodes' keys in camelCase, or in another order."""
    for node in tree["nodes"]:
        pairs = [(CAMEL.get(key, key) if draw(st.booleans()) else key, value) for key, value in node.items()]
        node.clear()
        node.update(draw(st.permutations(pairs)) if draw(st.booleans()) else pairs)
    return tree


@settings(max_examples=400)
@given(manifests(), st.data())
def test_the_fast_way_takes_just_what_the_walk_takes(tree, data):
    tree = respelled(tree, data.draw)
    places = [tree, tree["metadata"], *tree["nodes"], *tree["connections"]]
    places += [node["capabilities"] for node in tree["nodes"] if "capabilities" in node]
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.sampled_from(places))
        place[data.draw(ODD_KEYS | st.sampled_from(list(place) or ["id"]))] = data.draw(ODD_VALUES)
    slow, warned = by_the_walk(tree)
    text = json.dumps(tree, ensure_ascii=data.draw(st.booleans())).encode()
    fast, warned_too = by_the_fast_way(text)
    assert fast == slow
    if slow is None:
        with pytest.raises(ManifestError) as from_dict:
            Manifest.from_dict(tree)
        with pytest.raises(ManifestError) as from_text:
            Manifest.from_json(text)
        assert from_text.value.errors == from_dict.value.errors
    else:
        assert warned_too == warned
        assert len(warned) <= 1
        assert fast.to_json() == slow.to_json()
        assert fast.graph.execution_order == slow.graph.execution_order


@pytest.mark.parametrize(
    "nodes",
    [
        [{"runtime_hint": None, "runtimeHint": "x"}, {"runtimeHint": None, "runtime_hint": "x"}],
        [{"python_deps": 1, "pythonDeps": 1}, {"pythonDeps": None, "python_deps": 1}],
        [{"nodeType": "Echo"}, {"nodeType": None}],
        [{"joinMissing": "skip"}, {"join_missing": "skip"}, {"join_missing": "skip", "fan_in": "merge"}],
        [{"zzz": None}, {"X-a": 1}, {"ID": None}, {"isolation": "wasm"}, {"batchSize": 0}, {"params": [None]}],
    ],
)
def test_what_the_walk_refuses_is_not_taken_by_the_fast_way(nodes):
    for node in nodes:
        source = {**DEMO, "nodes": [{"id": "a", "node_type": "Echo", **node}], "connections": []}
        assert by_the_walk(source)[0] is None
        assert by_the_fast_way(json.dumps(source))[0] is None


def test_the_table_of_a_speller_is_checked_and_odd_values_are_left_alone():
    with pytest.raises(TypeError, match="a tuple of five"):
        KeySpeller(frozenset(), frozenset(), {"a": ("a", False)})
    speller = KeySpeller(frozenset({"a"}), frozenset({"a"}), {})
    for value in (None, 5, [], "a", {"a": 1}, [{"a": None}]):
        assert speller.spell(value, "$", {})
    assert not speller.spell({"a": None}, "$", {})
    assert not speller.spell_each([{"a": 1}, {"b": 1}], "$", {})


@pytest.mark.parametrize("place", ["the file of the SDK", "aliases", "free keys"])
def test_a_sound_text_takes_the_fast_way_whatever_its_keys(place):
    source = {
        "the file of the SDK": SDK_FILE,
        "aliases": {
            **DEMO,
            "nodes": [{"id": "a", "nodeType": "Echo", "params": None, "fanIn": "merge"}],
            "connections": [],
        },
        "free keys": {**DEMO, "x-top": None, "nodes": [{"id": "a", "node_type": "Echo", "x-": {}}], "connections": []},
    }[place]
    fast, warned = by_the_fast_way(json.dumps(source))
    assert fast is not None
    assert (fast, warned) == by_the_walk(source)
    assert fast.to_json() == quiet(Manifest.from_dict, source).to_json()
