"""Hostile and broken manifests: each is refused, with the path and the reason of every fault."""

import enum
import json
import math
import re
import sys
import threading
import time

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remotemedia import Connection, Manifest, ManifestError, ManifestLimits, NodeSpec
from remotemedia.manifest import RunOptions, Timeouts
from remotemedia.manifest_faults import shape_of
from remotemedia.manifest_parts import Part
from remotemedia.manifest_size import json_size
from remotemedia.manifest_support import FEATURES, FOREIGN_KEYS, WATCHED_DEPTH, WATCHED_KEYS

UNSET = object()
UNSUPPORTED = "not supported by this version"


def tree(**changes):
    """A sound manifest of two nodes, with other top-level values; UNSET takes one out."""
    whole = {
        "version": "v1",
        "metadata": {"name": "demo"},
        "nodes": [{"id": "a", "node_type": "Echo"}, {"id": "b", "node_type": "Echo"}],
        "connections": [{"from": "a", "to": "b"}],
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not UNSET}


def with_node(**keys):
    node = {"id": "a", "node_type": "Echo", **keys}
    return tree(nodes=[{key: value for key, value in node.items() if value is not UNSET}], connections=[])


def with_connection(**keys):
    connection = {"from": "a", "to": "b", **keys}
    return tree(connections=[{key: value for key, value in connection.items() if value is not UNSET}])


def faults(source, **options):
    """The faults as (path, message), from JSON text, or from a dict and from its text alike."""
    if isinstance(source, dict):
        with pytest.raises(ManifestError) as caught:
            Manifest.from_dict(source, **options)
        found = [tuple(issue) for issue in caught.value.errors]
        with pytest.raises(ManifestError) as caught:
            Manifest.from_json(json.dumps(source), **options)
        assert [tuple(issue) for issue in caught.value.errors] == found
        return found
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(source, **options)
    return [tuple(issue) for issue in caught.value.errors]


def only_fault(source, **options):
    (fault,) = faults(source, **options)
    return fault


# key, bad value, where below the object that has it, part of the message
NODE_FAULTS = [
    ("id", UNSET, ".id", "missing; expected an id"),
    ("id", None, ".id", "got null"),
    ("id", "", ".id", "letters, digits, '_' and '-', got ''"),
    ("id", "a b", ".id", "got 'a b'"),
    ("id", "a\n", ".id", r"got 'a\n'"),
    ("id", "ä", ".id", "got 'ä'"),
    ("id", "../x", ".id", "got '../x'"),
    ("id", 7, ".id", "got 7"),
    ("node_type", UNSET, ".node_type", "missing; expected a non-empty string"),
    ("node_type", "", ".node_type", "non-empty"),
    ("node_type", ["Echo"], ".node_type", "got an array"),
    ("params", [], ".params", "expected an object, got an array"),
    ("params", "x", ".params", "expected an object, got 'x'"),
    ("capabilities", "gpu", ".capabilities", "expected an object"),
    ("capabilities", {"gpus": {}}, ".capabilities.gpus", "did you mean 'gpu'?"),
    ("capabilities", {"gpu": {}}, ".capabilities.gpu.type", "missing; expected one of"),
    ("capabilities", {"gpu": {"type": "nvidia"}}, ".capabilities.gpu.type", "'vulkan', got 'nvidia'"),
    ("capabilities", {"gpu": {"type": "any", "min_memory_gb": -1}}, ".capabilities.gpu.min_memory_gb", "at least 0"),
    ("capabilities", {"gpu": {"type": "any", "min_memory_gb": "8"}}, ".capabilities.gpu.min_memory_gb", "got '8'"),
    ("capabilities", {"gpu": {"type": "any", "required": 1}}, ".capabilities.gpu.required", "true or false, got 1"),
    ("capabilities", {"gpu": {"type": "any", "required": "no"}}, ".capabilities.gpu.required", "got 'no'"),
    ("capabilities", {"cpu": 4}, ".capabilities.cpu", "expected an object, got 4"),
    ("capabilities", {"cpu": {"cores": 0}}, ".capabilities.cpu.cores", "an integer from 1"),
    ("capabilities", {"cpu": {"cores": 1.5}}, ".capabilities.cpu.cores", "got 1.5"),
    ("capabilities", {"cpu": {"cores": True}}, ".capabilities.cpu.cores", "got true"),
    ("capabilities", {"cpu": {"arch": 64}}, ".capabilities.cpu.arch", "string, got 64"),
    ("capabilities", {"cpu": {"arch": ""}}, ".capabilities.cpu.arch", "non-empty string"),
    ("capabilities", {"memory_gb": True}, ".capabilities.memory_gb", "a number of at least 0, got true"),
    ("capabilities", {"memory_gb": -0.5}, ".capabilities.memory_gb", "got -0.5"),
    ("host", "gpu-box", ".host", "a host and port like 'gpu-box:7000', got 'gpu-box'"),
    ("host", "gpu-box:0", ".host", "got 'gpu-box:0'"),
    ("host", "gpu-box:65536", ".host", "got 'gpu-box:65536'"),
    ("host", "gpu-box:99999", ".host", "got 'gpu-box:99999'"),
    ("host", "gpu-box:7000\n", ".host", r"got 'gpu-box:7000\n'"),
    ("host", "gpu-box:123456", ".host", "host and port"),
    ("host", "http://gpu-box:80", ".host", "host and port"),
    ("host", "a b:80", ".host", "host and port"),
    ("host", 80, ".host", "got 80"),
    ("runtime_hint", "", ".runtime_hint", "non-empty"),
    ("runtime_hint", {}, ".runtime_hint", "got an object"),
    ("execution", {}, ".execution.placement", "missing"),
    ("execution", {"placement": 1}, ".execution.placement", "non-empty string, got 1"),
    ("execution", {"placement": "local", "reason": 1}, ".execution.reason", "expected a string, got 1"),
    ("execution", {"placement": "local", "fallback": []}, ".execution.fallback", "expected a string, got an array"),
    ("execution", "local", ".execution", "expected an object"),
    ("is_streaming", "yes", ".is_streaming", "true or false, got 'yes'"),
    ("is_streaming", 1, ".is_streaming", "got 1"),
    ("is_output_node", 0, ".is_output_node", "true or false, got 0"),
    ("is_output_node", "true", ".is_output_node", "got 'true'"),
    ("fan_in", "zip", ".fan_in", "one of 'join', 'merge' (default 'merge'), got 'zip'"),
    ("fan_in", True, ".fan_in", "got true"),
    ("join_missing", "skip", ".join_missing", 'add "fan_in": "join"'),
    ("join_missing", "wait", ".join_missing", "(default 'skip'), got 'wait'"),
    ("copy", "deep", ".copy", "true or false"),
    ("copy", 1, ".copy", "true or false"),
    ("batch_size", 0, ".batch_size", "an integer from 1"),
    ("batch_size", 2.0, ".batch_size", "got 2.0"),
    ("batch_size", 2**31, ".batch_size", "to 2147483647"),
    ("max_batch_wait_ms", -1, ".max_batch_wait_ms", "of at least 0"),
    ("max_batch_wait_ms", "5", ".max_batch_wait_ms", "got '5'"),
    ("max_concurrency", 0, ".max_concurrency", "an integer from 1"),
    ("max_concurrency", True, ".max_concurrency", "got true"),
    ("parallelism", -1, ".parallelism", "got -1"),
    ("parallelism", "all", ".parallelism", "got 'all'"),
    ("timeout_ms", 0, ".timeout_ms", "a number above 0, or an object, got 0"),
    ("timeout_ms", True, ".timeout_ms", "got true"),
    ("timeout_ms", {"proces": 1}, ".timeout_ms.proces", "did you mean 'process'?"),
    ("timeout_ms", {"process": -5}, ".timeout_ms.process", "above 0, got -5"),
    pytest.param("timeout_ms", 10**400, ".timeout_ms", "a number above 0, or an object", id="huge"),
    ("retry", 3, ".retry", "expected an object, got 3"),
    ("retry", {"max_attempts": 0}, ".retry.max_attempts", "an integer from 1"),
    ("retry", {"max_attempts": 1, "jitter": 2}, ".retry.jitter", "from 0 to 1, got 2"),
    ("retry", {"max_attempts": 1, "multiplier": 0.5}, ".retry.multiplier", "of at least 1"),
    ("retry", {}, ".retry.max_attempts", "missing; expected an integer from 1"),
    ("retry", {"max_attempts": -1}, ".retry.max_attempts", "an integer from 1"),
    ("retry", {"max_attempts": 1.5}, ".retry.max_attempts", "an integer from 1"),
    ("retry", {"max_attempts": True}, ".retry.max_attempts", "got true"),
    ("retry", {"max_attempts": 2**31}, ".retry.max_attempts", "an integer from 1"),
    ("retry", {"max_attempts": 1, "backoff_ms": -1}, ".retry.backoff_ms", "of at least 0"),
    ("retry", {"max_attempts": 1, "max_backoff_ms": "5"}, ".retry.max_backoff_ms", "got '5'"),
    ("retry", {"max_attempts": 1, "jitter": -0.1}, ".retry.jitter", "from 0 to 1"),
    ("retry", {"max_attempts": 1, "attempts": 2}, ".retry.attempts", "did you mean 'max_attempts'?"),
    ("retry", {"max_attempts": 1, "retry_on": "OSError"}, ".retry.retry_on", "expected an array, got 'OSError'"),
    ("retry", {"max_attempts": 1, "retry_on": []}, ".retry.retry_on", "an array of at least 1"),
    ("retry", {"max_attempts": 1, "retry_on": ["OSError", ""]}, ".retry.retry_on[1]", "a non-empty string"),
    ("retry", {"max_attempts": 1, "retry_on": [5]}, ".retry.retry_on[0]", "a non-empty string"),
    ("circuit_breaker", True, ".circuit_breaker", "got true"),
    ("circuit_breaker", {"failure_threshold": 0, "reset_ms": 1}, ".circuit_breaker.failure_threshold", "from 1"),
    ("circuit_breaker", {"failure_threshold": 1, "reset_ms": 0}, ".circuit_breaker.reset_ms", "above 0"),
    ("circuit_breaker", {"failure_threshold": 1}, ".circuit_breaker.reset_ms", "missing"),
    ("isolation", "docker", ".isolation", "(default 'none'), got 'docker'"),
    ("isolation", False, ".isolation", "got false"),
    ("nodetype", "Echo", ".nodetype", "unknown key; did you mean 'node_type'?"),
    ("ID", "Echo", ".ID", "did you mean 'id'?"),
    ("zzz", 1, ".zzz", "unknown key; free keys begin with x-"),
    ("X-note", 1, ".X-note", "unknown key"),
    ("odd one", 1, "['odd one']", "unknown key"),
    ("import", "os.system", ".import", "unknown key"),
    ("x", 1, ".x", "unknown key"),
    ("extra", {"a": 1}, ".extra", "unknown key"),
    ("from_", 1, ".from_", "unknown key"),
    ("nodeType", "Echo", ".nodeType", "duplicate key, another spelling of 'node_type'; keep one"),
    ("fanIn", "zip", ".fanIn", "got 'zip'"),
]


@pytest.mark.parametrize(("key", "value", "where", "message"), NODE_FAULTS)
def test_a_faulty_node(key, value, where, message):
    found = [fault for fault in faults(with_node(**{key: value})) if UNSUPPORTED not in fault[1]]
    assert [path for path, _ in found] == [f"$.nodes[0]{where}"]
    assert message in found[0][1]


CONNECTION_FAULTS = [
    ("from", UNSET, ".from", "missing; expected a string"),
    ("from", None, ".from", "got null"),
    ("from", 1, ".from", "expected a string, got 1"),
    ("to", UNSET, ".to", "missing; expected a string"),
    ("to", ["b"], ".to", "expected a string, got an array"),
    ("capacity", 0, ".capacity", "an integer from 1"),
    ("capacity", True, ".capacity", "got true"),
    ("capacity", "8", ".capacity", "got '8'"),
    ("overflow", "drop", ".overflow", "'drop_newest', 'drop_oldest', 'error', got 'drop'"),
    ("overflow", 1, ".overflow", "got 1"),
    ("fron", "a", ".fron", "did you mean 'from'?"),
    ("from_", "a", ".from_", "did you mean 'from'?"),
    ("fromPort", "left", ".fromPort", "duplicate key, another spelling of 'from_port'"),
]


@pytest.mark.parametrize(("key", "value", "where", "message"), CONNECTION_FAULTS)
def test_a_faulty_connection(key, value, where, message):
    changes = {key: value, **({"from_port": "x"} if key == "fromPort" else {})}
    source = with_connection(**changes)
    if key == "fromPort":
        source["connections"][0] = {"from": "a", "to": "b", "from_port": "x", "fromPort": "left"}
    path, text = only_fault(source)
    assert path == f"$.connections[0]{where}"
    assert message in text


TOP_FAULTS = [
    ("version", UNSET, "$.version", "missing; expected 'v1'"),
    ("version", "v2", "$.version", "expected 'v1', got 'v2'"),
    ("version", 1, "$.version", "got 1"),
    ("metadata", UNSET, "$.metadata", "missing; expected an object"),
    ("metadata", None, "$.metadata", "got null"),
    ("metadata", {}, "$.metadata.name", "missing; expected a non-empty string"),
    ("metadata", {"name": ""}, "$.metadata.name", "non-empty string, got ''"),
    ("metadata", {"name": 1}, "$.metadata.name", "non-empty string, got 1"),
    ("metadata", {"name": None}, "$.metadata.name", "got null"),
    ("metadata", "demo", "$.metadata", "expected an object, got 'demo'"),
    ("run", [], "$.run", "expected an object"),
    ("run", {"parallel": True}, "$.run.parallel", "did you mean 'parallel_init'?"),
    ("run", {"parallel_init": 1}, "$.run.parallel_init", "true or false, got 1"),
    ("run", {"parallel_init": "true"}, "$.run.parallel_init", "got 'true'"),
    ("run", {"deadline_ms": 0}, "$.run.deadline_ms", "above 0"),
    ("run", {"deadline_ms": "1s"}, "$.run.deadline_ms", "got '1s'"),
    ("nodes", [], "$.nodes", "at least 1, got 0"),
    ("confg", {}, "$.confg", "did you mean 'config'?"),
    ("plugins", ["./evil.so"], "$.plugins", "unknown key"),
    ("pythonEnv", {}, "$.pythonEnv", "duplicate key, another spelling of 'python_env'"),
]


@pytest.mark.parametrize(("key", "value", "path", "message"), TOP_FAULTS)
def test_a_faulty_manifest(key, value, path, message):
    changes = {"connections": []} if key == "nodes" else {"python_env": {}} if key == "pythonEnv" else {}
    found = only_fault(tree(**changes, **{key: value}))
    assert found[0] == path
    assert message in found[1]


@pytest.mark.parametrize("key", ["nodes", "connections"])
@pytest.mark.parametrize("value", [UNSET, None, {}, "x", 5, [5], [None], [[]]])
def test_nodes_and_connections_are_arrays_of_objects(key, value):
    found = faults(tree(**{key: value}))
    where = f"$.{key}[0]" if isinstance(value, list) else f"$.{key}"
    assert found[0][0] == where
    assert f"expected {'an object' if isinstance(value, list) else 'an array'}" in found[0][1]


@pytest.mark.parametrize("source", ["[]", "5", '"v1"', "null", "true"])
def test_a_manifest_is_an_object(source):
    path, message = only_fault(source)
    assert path == "$"
    assert message.startswith("expected an object, got ")


UNSUPPORTED_KEYS = [
    ("isolation", "process"),
    ("isolation", "wasm"),
]


@pytest.mark.parametrize("key", ["backoff_ms", "multiplier", "max_backoff_ms", "jitter"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_wait_is_nan_or_infinite(key, value):
    with pytest.raises(ManifestError) as caught:
        Manifest.from_dict(with_node(retry={"max_attempts": 1, key: value}))
    assert [issue.path for issue in caught.value.errors] == [f"$.nodes[0].retry.{key}"]


@pytest.mark.parametrize(("key", "value"), UNSUPPORTED_KEYS)
def test_what_promises_protection_or_meaning_is_refused(key, value):
    path, message = only_fault(with_node(**{key: value}))
    assert path == f"$.nodes[0].{key}"
    assert message.startswith(UNSUPPORTED)
    assert "leave it out" in message


@pytest.mark.parametrize(
    "source",
    [
        with_node(isolation="thread"),
        with_node(timeout_ms=5),
        with_node(timeout_ms={"initialize": 1, "process": 2.5, "cleanup": 3}),
        with_node(timeout_ms={}),
        with_node(max_concurrency=2),
        with_node(batch_size=1),
        with_node(parallelism=64),
        with_node(batch_size=32, max_batch_wait_ms=5.5),
        with_node(retry={"max_attempts": 2}),
        with_node(
            retry={
                "max_attempts": 1,
                "backoff_ms": 0,
                "multiplier": 1,
                "max_backoff_ms": 0,
                "jitter": 1,
                "retry_on": ["OSError", "any"],
            }
        ),
        with_node(circuit_breaker={"failure_threshold": 1, "reset_ms": 0.5}),
        with_connection(capacity=100),
        with_connection(overflow="drop_oldest"),
    ],
)
def test_what_is_for_live_pipelines_is_taken(source):
    assert Manifest.from_dict(source) == Manifest.from_json(json.dumps(source))


def test_options_of_the_run_are_taken():
    source = tree(run={"parallel_init": True, "deadline_ms": 5})
    assert Manifest.from_dict(source) == Manifest.from_json(json.dumps(source))


def test_what_asks_for_nothing_is_taken():
    harmless = {"isolation": "none", "max_concurrency": 1, "parallelism": 1, "timeout_ms": None, "retry": None}
    source = {**with_node(**harmless), "run": {"parallel_init": False, "deadline_ms": None}}
    assert Manifest.from_dict(source) == Manifest.from_json(json.dumps(source))


def test_the_table_of_support_names_keys_of_the_format():
    parts = {part.__name__: part for part in _parts(Part)}
    for feature in FEATURES:
        assert feature.key in shape_of(parts[feature.owner]).checkers
        assert feature.remedy or feature.treatment == "inert"
    for owner, keys in FOREIGN_KEYS.items():
        assert not shape_of(parts[owner]).checkers.keys() & set(keys)
    assert {feature.key for feature in FEATURES} <= set(WATCHED_KEYS)
    assert {feature.owner for feature in FEATURES} <= {"RunOptions", "NodeSpec", "Connection"}
    assert WATCHED_DEPTH == 3


def _parts(part):
    return [part, *(below for child in part.__subclasses__() for below in _parts(child))]


def test_every_feature_is_refused_as_often_as_it_is_used():
    source = with_node(isolation="process")
    assert [path.rpartition(".")[2] for path, _ in faults(source)] == ["isolation"]


GRAPH_FAULTS = [
    ("aab", "", ["$.nodes[1].id: duplicate id 'a': $.nodes[0] has it; ids are unique"]),
    ("abab", "", ["$.nodes[2].id: duplicate id 'a'", "$.nodes[3].id: duplicate id 'b': $.nodes[1]"]),
    ("ab", "ax", ["$.connections[0].to: no node has the id 'x'"]),
    ("ab", "xb yb", ["$.connections[0].from: no node has the id 'x'", "$.connections[1].from: no node has the id 'y'"]),
    ("ab", "xx", ["$.connections[0].from:", "$.connections[0].to:", "$.connections[0]: a node cannot feed itself"]),
    ("ab", "ab ab", ["$.connections[1]: a -> b duplicates $.connections[0]; leave one out"]),
    ("abc", "ab bc ab ab", ["$.connections[2]: a -> b duplicates $.connections[0]", "$.connections[3]: a -> b"]),
    ("ab", "aa", ["$.connections[0]: a node cannot feed itself: a -> a"]),
    ("ab", "ab bb", ["$.connections[1]: a node cannot feed itself: b -> b"]),
    ("ab", "ab ba", ["$.connections[1]: cycle a -> b -> a: take one of its connections out"]),
    ("abcd", "ab bc cd da", ["$.connections[3]: cycle a -> b -> c -> d -> a"]),
    ("abcd", "ab ba cd dc", ["$.connections[1]: cycle a -> b -> a", "$.connections[3]: cycle c -> d -> c"]),
    ("xabcy", "xa ab bc ca cy", ["$.connections[3]: cycle a -> b -> c -> a"]),
    ("abc", "ab bc cb ca", ["$.connections[3]: cycle a -> b -> c -> a"]),
]


@pytest.mark.parametrize(("ids", "pairs", "expected"), GRAPH_FAULTS)
def test_a_faulty_graph(ids, pairs, expected):
    nodes = [{"id": node_id, "node_type": "Echo"} for node_id in ids]
    source = tree(nodes=nodes, connections=[{"from": a, "to": b} for a, b in pairs.split()])
    found = [f"{path}: {message}" for path, message in faults(source)]
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))


def test_the_closest_id_is_named():
    nodes = [{"id": "resampler", "node_type": "Echo"}, {"id": "detector", "node_type": "Echo"}]
    _, message = only_fault(tree(nodes=nodes, connections=[{"from": "resampeler", "to": "detector"}]))
    assert message == "no node has the id 'resampeler'; did you mean 'resampler'?"


def test_a_long_cycle_is_named_by_its_ends():
    n = 50_000
    nodes = [{"id": f"n{i}", "node_type": "Echo"} for i in range(n)]
    path, message = only_fault(
        tree(nodes=nodes, connections=[{"from": f"n{i}", "to": f"n{(i + 1) % n}"} for i in range(n)])
    )
    assert path == f"$.connections[{n - 1}]"
    assert message.startswith("cycle n0 -> n1 -> n2")
    assert message.endswith("-> n49999 -> n0: take one of its connections out")
    assert len(message) < 300


def test_every_fault_is_named_at_once():
    source = tree(
        version="v0",
        metadata={},
        nodes=[
            {"id": "a b", "node_type": "Echo"},
            {"id": "c", "param": {}},
            {"id": "c", "node_type": "Echo", "isolation": "wasm"},
            7,
        ],
        connections=[{"from": "c", "to": "d"}, {"from": "c", "to": "c"}, {"to": "c"}, {"from": "a b", "to": "c"}],
        confg={},
    )
    assert [path for path, _ in faults(source)] == [
        "$.version",
        "$.nodes[0].id",
        "$.nodes[1].param",
        "$.nodes[1].node_type",
        "$.nodes[2].isolation",
        "$.nodes[3]",
        "$.connections[2].from",
        "$.confg",
        "$.metadata.name",
        "$.nodes[2].id",
        "$.connections[0].to",
        "$.connections[1]",
    ]


def test_faults_are_in_the_order_of_the_text_the_graphs_after_them():
    source = tree(
        zz=1,
        metadata={"createdAt": 1, "name": 5, "created_at": 2},
        nodes=[{"id": "a", "isolation": "wasm", "copy": 1}, {"copy": 0, "id": "a", "node_type": "Echo"}],
    )
    assert [path for path, _ in faults(source)] == [
        "$.nodes[0].isolation",
        "$.nodes[0].copy",
        "$.nodes[0].node_type",  # missing: an object's keys, then what it lacks
        "$.nodes[1].copy",
        "$.zz",
        "$.metadata.created_at",  # then rules about the whole of it
        "$.metadata.name",
        "$.nodes[1].id",  # the graph
        "$.connections[0].to",
    ]


def test_an_error_shows_the_first_faults_and_counts_the_rest():
    source = tree(nodes=[{"id": f"n {i}", "node_type": "Echo"} for i in range(500)], connections=[])
    with pytest.raises(ManifestError) as caught:
        Manifest.from_dict(source)
    assert len(caught.value.errors) == 500
    assert str(caught.value).splitlines()[0].startswith("$.nodes[0].id: expected an id")
    assert str(caught.value).splitlines()[-1] == "and 480 more"


TEXT = json.dumps(tree())
BROKEN_TEXTS = [
    ("", "line 1, column 1", "the text is empty"),
    (" \n ", "line 2, column 2", "the text is empty"),
    ("{", "line 1, column 2", "not JSON: expecting property name"),
    ('{"a": 1,\n "b" 2}', "line 2, column 6", "not JSON: expecting ':' delimiter"),
    ('{"a": [1, 2,]}', None, "not JSON: "),
    ("{'a': 1}", "line 1, column 2", "not JSON"),
    (TEXT + "x", f"line 1, column {len(TEXT) + 1}", "not JSON: extra data"),
    (TEXT[:-1], f"line 1, column {len(TEXT)}", "not JSON: expecting ',' delimiter"),
    ('{"version": "v1", // no comments\n}', "line 1, column 19", "not JSON"),
    ('{"a": "b\nc"}', "line 1, column 9", "not JSON: invalid control character"),
    ('{"a": 01}', "line 1, column 8", "not JSON"),
    ('{"a": "\\x"}', "line 1, column 8", "not JSON: invalid \\escape"),
    ("nodes: []", "line 1, column 1", "not JSON"),
    (b'{"a": "\xff"}', "line 1", "byte 7 (0xff) is not UTF-8"),
    (b'{\n"a": "\xc3("}', "line 2", "byte 8 (0xc3) is not UTF-8"),
    (TEXT.encode("utf-16"), "line 1", "is not UTF-8"),
    (TEXT.encode("utf-16-le"), "line 1, column 2", "not JSON"),
    (b'{"a": "\xed\xa0\x80"}', "line 1", "is not UTF-8"),
]


@pytest.mark.parametrize(("text", "path", "message"), BROKEN_TEXTS)
def test_broken_text(text, path, message):
    found, reason = only_fault(text)
    assert message in reason
    if path is not None:
        assert found == path


@pytest.mark.parametrize("bom", ["\ufeff", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_is_skipped(bom):
    text = TEXT if isinstance(bom, str) else TEXT.encode()
    assert Manifest.from_json(bom + text) == Manifest.from_json(TEXT)


NUMBERS = [
    ("NaN", "NaN is no JSON number; leave the key out or write null"),
    ("Infinity", "Infinity is no JSON number"),
    ("-Infinity", "-Infinity is no JSON number"),
    ("1e999", "1e999 is beyond the range of a 64-bit float"),
    ("-1.5e400", "-1.5e400 is beyond"),
    ("1" + "0" * 500 + ".5", "… is beyond the range"),
    ("9" * 4301, "an integer of 4301 digits; at most 4300"),
    ("-" + "9" * 100_000, "an integer of 100000 digits"),
]


@pytest.mark.parametrize(("literal", "message"), NUMBERS)
@pytest.mark.parametrize(
    ("marked", "path"),
    [
        (with_node(params={"p": ["@"]}), "$.nodes[0].params.p[0]"),
        (with_node(timeout_ms="@"), "$.nodes[0].timeout_ms"),
        (with_node(id="@"), "$.nodes[0].id"),
        (tree(**{"x-free": {"y": "@"}}), "$.x-free.y"),
        (tree(metadata={"name": "@"}), "$.metadata.name"),
        (tree(config="@"), "$.config"),
    ],
)
def test_numbers_that_json_has_not(marked, path, literal, message):
    text = json.dumps(marked).replace('"@"', literal)
    found = [fault for fault in faults(text) if fault[0] == path]
    assert len(found) == 1
    assert message in found[0][1]


def test_numbers_at_the_edge_are_taken():
    literals = ["1e308", "-0.0", "1e-400", "9" * 4300, "-" + "9" * 4300, "123456789012345678901234567890"]
    text = json.dumps(with_node(params={"p": "@"})).replace('"@"', f"[{', '.join(literals)}]")
    manifest = Manifest.from_json(text)
    assert manifest.nodes[0].params["p"] == [json.loads(literal) for literal in literals]
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert Manifest.from_dict(json.loads(text)) == manifest


DUPLICATES = [
    ('"version": "v1", "version": "v1"', '"version": "v1"', "$.version"),
    ('"id": "a", "node_type": "Echo", "id": "a"', '"id": "a", "node_type": "Echo"', "$.nodes[0].id"),
    ('"id": "a", "\\u0069d": "a"', '"id": "a"', "$.nodes[0].id"),
    ('"name": "demo", "name": "x"', '"name": "demo"', "$.metadata.name"),
    ('"from": "a", "from": "b"', '"from": "a"', "$.connections[0].from"),
    ('"id": "b", "params": {"k": {"z": 1, "z": 1}}', '"id": "b"', "$.nodes[1].params.k.z"),
    ('"id": "b", "params": null, "params": {}', '"id": "b"', "$.nodes[1].params"),
    ('"id": "b", "x-a": 1, "x-a": 1', '"id": "b"', "$.nodes[1].x-a"),
    ('"id": "b", "docker": 1, "docker": 1', '"id": "b"', "$.nodes[1].docker"),
]


@pytest.mark.parametrize(("repeated", "once", "path"), DUPLICATES)
def test_a_duplicate_key(repeated, once, path):
    assert once in TEXT
    assert only_fault(TEXT.replace(once, repeated, 1)) == (path, "duplicate key; keep one")


def test_faults_under_an_unknown_or_repeated_key_are_named_too():
    text = TEXT.replace('"id": "a"', '"id": "a", "parms": {"p": NaN}, "id": 7', 1)
    assert [path for path, _ in faults(text)] == [
        "$.nodes[0].parms",
        "$.nodes[0].parms.p",
        "$.nodes[0].id",
        "$.nodes[0].id",
    ]


def test_faults_inside_a_value_of_the_wrong_type_are_named_too():
    text = TEXT.replace('"Echo"', '{"a": 1, "a": NaN}', 1)
    assert [path for path, _ in faults(text)] == [
        "$.nodes[0].node_type",
        "$.nodes[0].node_type.a",
        "$.nodes[0].node_type.a",
    ]


@pytest.mark.parametrize("source", [r'"\ud800"', r'"a\udfffb"', r'{"\ud800": 1}', r'["x", "\udc00\ud800"]'])
def test_lone_surrogates_are_refused(source):
    text = json.dumps(with_node(params={"p": "@"})).replace('"@"', source)
    path, message = only_fault(text)
    assert path.startswith("$.nodes[0].params.p")
    assert "a lone surrogate" in message
    assert only_fault(json.dumps(with_node(params={"p": "@"}), ensure_ascii=False).replace("@", "\ud800"))[
        1
    ] == message.replace(message[18:24], "\\ud800")


# Limits: one past each is refused, at the limit it passes.


def nested(levels: int, kind: str):
    value = 1
    for _ in range(levels):
        value = {"k": value} if kind == "object" else [value]
    return value


@pytest.mark.parametrize("kind", ["object", "array"])
def test_nesting_has_a_limit(kind):
    # the manifest, its nodes, the node and its params are four levels
    assert Manifest.from_dict(with_node(params={"p": nested(60, kind)})).graph
    assert Manifest.from_json(json.dumps(with_node(params={"p": nested(60, kind)}))).graph
    path, message = only_fault(with_node(params={"p": nested(61, kind)}))
    assert path == "$.nodes[0].params.p" + (".k" * 60 if kind == "object" else "[0]" * 60)
    assert message == "nested deeper than 64 levels (ManifestLimits.max_depth)"


@pytest.mark.parametrize("place", ["x-deep", "description", "metadata", "config"])
def test_nesting_has_a_limit_everywhere(place):
    value = nested(63, "object") | ({"name": "demo"} if place == "metadata" else {})
    limits = ManifestLimits(max_depth=63)
    assert "nested deeper than 63 levels" in only_fault(tree(**{place: value}), limits=limits)[1]


@pytest.mark.parametrize(
    ("levels", "path"), [(1, "$.nodes"), (2, "$.nodes[0]"), (3, "$.nodes[0].params"), (4, "$.nodes[0].params.p")]
)
def test_the_format_itself_has_four_levels(levels, path):
    found = faults(with_node(params={"p": {}}), limits=ManifestLimits(max_depth=levels))
    assert (path, f"nested deeper than {levels} levels (ManifestLimits.max_depth)") in found


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_very_deep_text_is_refused_without_recursion(text):
    path, message = only_fault(text)
    assert path.startswith("line 1, column ")
    assert message == "nested deeper than 64 levels (ManifestLimits.max_depth)"


def test_a_very_deep_dict_is_refused_without_recursion():
    with pytest.raises(ManifestError, match="nested deeper than 64 levels"):
        Manifest.from_dict(with_node(params=nested(100_000, "object")))


def test_the_deepest_limit_works_in_a_thread():
    limits = ManifestLimits(max_depth=256)
    source = with_node(params={"p": nested(252, "array")})
    found = []
    thread = threading.Thread(target=lambda: found.append(Manifest.from_dict(source, limits=limits)))
    thread.start()
    thread.join()
    assert Manifest.from_json(found[0].to_json(), limits=limits) == found[0]
    assert only_fault(with_node(params={"p": nested(253, "array")}), limits=limits)[1].startswith("nested deeper")


def test_without_stack_a_manifest_is_refused():
    def sink(depth):
        return sink(depth - 1) if depth else Manifest.from_dict(with_node(params={"p": nested(60, "array")}))

    frame, used = sys._getframe(), 0
    while frame is not None:
        frame, used = frame.f_back, used + 1
    with pytest.raises(ManifestError, match="stack leaves no room"):
        sink(sys.getrecursionlimit() - used - 60)


def test_the_size_has_a_limit():
    size = len(TEXT)
    assert Manifest.from_json(TEXT, limits=ManifestLimits(max_bytes=size))
    message = f"at most {size - 1} are allowed (ManifestLimits.max_bytes)"
    assert message in only_fault(TEXT, limits=ManifestLimits(max_bytes=size - 1))[1]
    assert message in only_fault(TEXT.encode(), limits=ManifestLimits(max_bytes=size - 1))[1]


def test_the_size_is_in_bytes():
    text = TEXT.replace("demo", "ä" * 10)
    limits = ManifestLimits(max_bytes=len(text) + 10)
    assert Manifest.from_json(text, limits=limits)
    assert only_fault(text, limits=ManifestLimits(max_bytes=len(text) + 9))[0] == "$"


def test_the_default_size_is_16_mib():
    space = 16 * 1024 * 1024 - len(TEXT)
    assert Manifest.from_json(TEXT + " " * space)
    assert "at most 16777216" in only_fault(TEXT + " " * (space + 1))[1]


def test_a_dict_that_unfolds_to_a_large_text_is_refused():
    laugh = ["ha"] * 10
    for _ in range(12):
        laugh = [laugh] * 10
    with pytest.raises(ManifestError, match="larger than 1000000 bytes of JSON"):
        Manifest.from_dict(with_node(params={"p": laugh}), limits=ManifestLimits(max_bytes=1_000_000))


@pytest.mark.parametrize("place", ["params", "metadata", "nodes", "config"])
@pytest.mark.parametrize("kind", ["object", "array"])
def test_laughs_are_refused_before_they_are_unfolded(place, kind):
    laugh: object = "ha"
    for _ in range(58):
        laugh = {"a": laugh, "b": laugh} if kind == "object" else [laugh, laugh]
    source = with_node(params={"p": laugh}) if place == "params" else tree(**{place: {"name": "n", "p": laugh}})
    began = time.process_time()
    with pytest.raises(ManifestError, match=r"\$: larger than 16777216 bytes of JSON") as caught:
        Manifest.from_dict(source)
    assert len(caught.value.errors) == 1
    assert time.process_time() - began < 1


SHARED = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet="abc", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: items * 2)
        | st.dictionaries(st.text(alphabet="abc", max_size=3), inner, max_size=3)
        | inner.map(lambda value: {"x": value, "y": [value]})
    ),
    max_leaves=8,
)


@given(SHARED, st.integers(0, 300))
def test_the_size_of_a_tree_is_that_of_its_text(value, most):
    text = json.dumps(value, separators=(",", ":"))
    shortest = len(re.sub(r"(?<![\w\"])(null|true|false|-\d)(?![\w\"])", "1", text))
    assert json_size(value, 10**9) == shortest
    assert (json_size(value, most) > most) == (shortest > most)


def test_the_size_of_a_tree_that_contains_itself_or_is_very_deep_is_found():
    loop: list = []
    loop.append(loop)
    assert json_size(loop, 1000) == 2
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert json_size(deep, 10**9) == 200_002


def test_the_number_of_nodes_has_a_limit():
    limits = ManifestLimits(max_nodes=2)
    assert Manifest.from_dict(tree(), limits=limits)
    assert Manifest.from_json(TEXT, limits=limits)
    path, message = only_fault(tree(), limits=ManifestLimits(max_nodes=1))
    assert (path, message) == ("$.nodes", "2 nodes; at most 1 are allowed (ManifestLimits.max_nodes)")


def test_the_number_of_connections_has_a_limit():
    source = tree(
        nodes=[{"id": i, "node_type": "Echo"} for i in "abc"], connections=[{"from": "a", "to": i} for i in "bc"]
    )
    assert Manifest.from_json(json.dumps(source), limits=ManifestLimits(max_connections=2))
    path, message = only_fault(source, limits=ManifestLimits(max_connections=1))
    assert (path, message) == (
        "$.connections",
        "2 connections; at most 1 are allowed (ManifestLimits.max_connections)",
    )


def test_the_default_numbers_are_a_hundred_thousand_and_a_million():
    assert ManifestLimits() == ManifestLimits(
        max_bytes=16 * 1024 * 1024, max_nodes=100_000, max_connections=1_000_000, max_depth=64
    )
    node = '{"id":"n%d","node_type":"E"}'
    text = '{"version":"v1","metadata":{"name":"m"},"nodes":[%s],"connections":[%s]}'
    assert len(Manifest.from_json(text % (",".join(node % i for i in range(100_000)), "")).nodes) == 100_000
    many = ",".join(node % i for i in range(100_001))
    assert only_fault(text % (many, ""))[1].startswith("100001 nodes; at most 100000")
    # as many connections as fit into 16 MiB would not reach the limit with names, so the text is not sound otherwise
    assert only_fault(text % (node % 0, ",".join(["{}"] * 1_000_001)))[1].startswith("1000001 connections; at most")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"max_depth": 257}, "at most 256"),
        ({"max_depth": 0}, "at least 1"),
        ({"max_nodes": True}, "must be an int"),
        ({"max_bytes": 1.5}, "must be an int"),
    ],
)
def test_limits_have_limits(keys, message):
    with pytest.raises(ValueError, match=message):
        ManifestLimits(**keys)


# Dicts and manifests built by hand hold Python values.


class Colour(enum.StrEnum):
    RED = "red"


class Small(enum.IntEnum):
    ONE = 1


NOT_JSON = [
    (object(), "a JSON value"),
    ({1, 2}, "set"),
    (b"bytes", "bytes"),
    (1 + 2j, "complex"),
    (math.nan, "got nan"),
    (math.inf, "got inf"),
    (lambda: 1, "function"),
    (range(3), "range"),
    pytest.param(10**4300, "<int of", id="huge"),
]


@pytest.mark.parametrize(("value", "message"), NOT_JSON)
@pytest.mark.parametrize("place", ["params", "metadata", "x-free", "comment", "config"])
def test_a_value_that_is_no_json(place, value, message):
    source = (
        with_node(params={"p": {"q": [value]}}) if place == "params" else tree(**{place: {"name": "n", "q": [value]}})
    )
    with pytest.raises(ManifestError) as caught:
        Manifest.from_dict(source)
    (issue,) = caught.value.errors
    assert issue.path == ("$.nodes[0].params.p.q[0]" if place == "params" else f"$.{place}.q[0]")
    assert issue.message.startswith("expected a JSON value")
    assert message in issue.message


@pytest.mark.parametrize("key", [1, None, True, b"a", ("a",)])
@pytest.mark.parametrize("place", ["top", "params"])
def test_a_key_that_is_no_string(place, key):
    source = tree() | {key: 1} if place == "top" else with_node(params={key: 1})
    with pytest.raises(ManifestError) as caught:
        Manifest.from_dict(source)
    (issue,) = caught.value.errors
    assert issue.path == ("$" if place == "top" else "$.nodes[0].params")
    assert "is no string; JSON keys are" in issue.message


def test_subclasses_become_plain_values():
    source = with_node(params={"a": Colour.RED, "b": Small.ONE, "c": (1, 2), Colour.RED: 1}, id=Colour.RED)
    manifest = Manifest.from_dict(source)
    params = manifest.nodes[0].params
    assert params == {"a": "red", "b": 1, "c": [1, 2], "red": 1}
    assert {type(value) for value in params.values()} == {str, int, list}
    assert {type(key) for key in params} == {str}
    assert type(manifest.nodes[0].id) is str
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_value_that_contains_itself():
    loop: dict = {}
    loop["again"] = [loop]
    with pytest.raises(ManifestError, match=r"\$\.nodes\[0\]\.params\.again\[0\]: contains itself"):
        Manifest.from_dict(with_node(params=loop))


@pytest.mark.parametrize("place", ["nodes", "capabilities", "metadata"])
def test_a_manifest_that_contains_itself(place):
    source = tree()
    (source["nodes"][0] if place == "capabilities" else source)[place] = [source] if place == "nodes" else source
    with pytest.raises(ManifestError, match=r"contains itself|unknown key"):
        Manifest.from_dict(source)


def test_the_same_value_in_two_places_is_no_fault():
    shared = {"a": [1]}
    manifest = Manifest.from_dict(with_node(params={"p": shared, "q": [shared, shared]}))
    manifest.nodes[0].params["p"]["a"].append(2)
    assert manifest.nodes[0].params["q"] == [{"a": [1]}, {"a": [1]}]


def by_hand(*nodes, connections=(), **keys):
    return Manifest(**{"version": "v1", "metadata": {"name": "m"}, "nodes": nodes, "connections": connections, **keys})


HAND_BUILT = [
    (by_hand(), "$.nodes: expected an array of at least 1"),
    (by_hand(NodeSpec("a b", "Echo")), "$.nodes[0].id: expected an id"),
    (by_hand(NodeSpec(5, "Echo")), "$.nodes[0].id: expected an id"),
    (by_hand(NodeSpec("a", "Echo"), NodeSpec("a", "Echo")), "$.nodes[1].id: duplicate id 'a'"),
    (by_hand(NodeSpec("a", "Echo", {"p": object()})), "$.nodes[0].params.p: expected a JSON value"),
    (by_hand(NodeSpec("a", "Echo", {"p": math.nan})), "$.nodes[0].params.p: expected a JSON value"),
    (by_hand(NodeSpec("a", "Echo", None)), None),
    (by_hand(NodeSpec("a", "Echo", 7)), "$.nodes[0].params: expected an object"),
    (by_hand(NodeSpec("a", "Echo", join_missing="skip")), "$.nodes[0].join_missing: only a join"),
    (by_hand(NodeSpec("a", "Echo", fan_in="zip")), "$.nodes[0].fan_in: expected one of"),
    (by_hand(NodeSpec("a", "Echo", timeout_ms=Timeouts(process=1.0))), None),
    (by_hand(NodeSpec("a", "Echo", timeout_ms=Timeouts(process=-1.0))), "$.nodes[0].timeout_ms.process: expected"),
    (by_hand(NodeSpec("a", "Echo", isolation="wasm")), f"$.nodes[0].isolation: {UNSUPPORTED}"),
    (by_hand(NodeSpec("a", "Echo", capabilities=NodeSpec("b", "Echo"))), "$.nodes[0].capabilities.id: unknown key"),
    (by_hand(NodeSpec("a", "Echo", extra={"y": 1})), "$.nodes[0].y: unknown key"),
    (by_hand(NodeSpec("a", "Echo", extra={"id": "b"})), "$.nodes[0]['extra.id']: unknown key"),
    (by_hand(NodeSpec("a", "Echo", extra=5)), "$.nodes[0].extra: unknown key"),
    (by_hand(NodeSpec("a", "Echo"), connections=[Connection("a", "x")]), "$.connections[0].to: no node has the id"),
    (by_hand(NodeSpec("a", "Echo"), connections=[Connection("a", "a")]), "$.connections[0]: a node cannot feed itself"),
    (by_hand(NodeSpec("a", "Echo"), connections=5), "$.connections: expected an array"),
    (by_hand(NodeSpec("a", "Echo"), 7), "$.nodes[1]: expected an object, got 7"),
    (by_hand(NodeSpec("a", "Echo"), metadata={}), "$.metadata.name: missing"),
    (by_hand(NodeSpec("a", "Echo"), metadata=None), "$.metadata: expected an object"),
    (by_hand(NodeSpec("a", "Echo"), version="v9"), "$.version: expected 'v1'"),
    (by_hand(NodeSpec("a", "Echo"), run=RunOptions(parallel_init=1)), "$.run.parallel_init: expected true or false"),
]


@pytest.mark.parametrize(("manifest", "expected"), HAND_BUILT)
def test_a_manifest_built_by_hand_is_checked_at_its_first_use(manifest, expected):
    if expected is None:
        assert manifest.graph
        return
    for use in (lambda: manifest.graph, manifest.to_dict, manifest.to_json):
        with pytest.raises(ManifestError) as caught:
            use()
        assert str(caught.value.errors[0]).startswith(expected)


# What costs an attacker little must not cost the host much.


@pytest.mark.parametrize(
    "text",
    [
        '{"nodes": [' + ",".join(["1"] * 100_000) + "]}",
        '{"connections": [' + ",".join(["1"] * 1_000_000) + "]}",
        "{" + ",".join(f'"k{i}": 1' for i in range(300_000)) + "}",
        '{"' + "a" * 10_000_000 + '": "' + "b" * 5_000_000 + '"}',
        '{"x": ' + "9" * 10_000_000 + "}",
        '{"nodes": ['
        + ",".join(f'{{"id": "n{i}"}}' for i in range(50_000))
        + '], "connections": ['
        + ",".join(f'{{"from": "n{i}x", "to": "y{i}"}}' for i in range(50_000))
        + "]}",
        '{"a": ' * 900 + "1" + "}" * 900,
    ],
    ids=["nodes", "connections", "keys", "long key", "long number", "unknown ids", "deep"],
)
def test_a_hostile_text_is_refused_in_bounded_time(text):
    started = time.process_time()
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(text)
    assert time.process_time() - started < 60
    assert len(str(caught.value)) < 20_000
    assert len(caught.value.errors) <= 100_001


def test_after_very_many_faults_the_check_ends_and_says_so():
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json('{"connections": [' + ",".join(["1"] * 200_000) + "]}")
    assert caught.value.errors[-1].message == "more than 100000 faults; the check ended here"


# The schema refuses the same, as far as a schema can say it.

VALIDATOR = jsonschema.Draft202012Validator(Manifest.json_schema())
BEYOND_A_SCHEMA = {
    ("id", "a\n"),  # Python's `$`
    ("batch_size", 2.0),  # a note says so
}


@pytest.mark.parametrize(("key", "value", "where", "message"), NODE_FAULTS)
def test_faulty_nodes_are_not(key, value, where, message):
    whole = (key, value) if isinstance(value, (str, float)) else None
    assert VALIDATOR.is_valid(with_node(**{key: value})) == (whole in BEYOND_A_SCHEMA or value == 10**400)


@pytest.mark.parametrize(("key", "value", "where", "message"), CONNECTION_FAULTS)
def test_faulty_connections_are_not(key, value, where, message):
    assert not VALIDATOR.is_valid(with_connection(**{key: value}))


@pytest.mark.parametrize(("key", "value", "where", "message"), TOP_FAULTS)
def test_faulty_manifests_are_not(key, value, where, message):
    assert not VALIDATOR.is_valid(tree(**{key: value}))


@pytest.mark.parametrize("key", ["version", "metadata", "nodes", "connections"])
def test_required_keys_are_required(key):
    VALIDATOR.validate(tree())
    assert not VALIDATOR.is_valid(tree(**{key: UNSET}))
    assert not VALIDATOR.is_valid(tree(**{key: None}))
