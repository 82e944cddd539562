"""The JSON Schema takes and refuses what the manifest's own check does, as far as a schema can say it."""

import json
import warnings

import jsonschema
import pytest

from remotemedia import Manifest, ManifestError, ManifestWarning

SCHEMA = Manifest.json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_it_is_a_schema_and_plain_json():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "camelCase" in SCHEMA["description"]


def test_it_is_the_callers_own():
    Manifest.json_schema()["$defs"].clear()
    assert Manifest.json_schema() == SCHEMA


DEMO = {
    "version": "v1",
    "metadata": {"name": "demo", "author": ["any"]},
    "nodes": [{"id": "a", "node_type": "Echo"}],
    "connections": [],
}
FULL = {
    **DEMO,
    "run": {"parallel_init": True, "deadline_ms": 5, "x-r": 1},
    "nodes": [
        {
            "id": "j",
            "node_type": "Echo",
            "params": {"p": [1]},
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
            "batch_size": 8,
            "max_batch_wait_ms": 0,
            "max_concurrency": 4,
            "parallelism": 2,
            "timeout_ms": {"initialize": 1, "process": 0.5, "cleanup": 3},
            "retry": {
                "max_attempts": 3,
                "backoff_ms": 1,
                "multiplier": 2,
                "max_backoff_ms": 5,
                "retry_on": ["OSError"],
            },
            "circuit_breaker": {"failure_threshold": 5, "reset_ms": 100},
            "isolation": "process",
            "description": 1,
            "comment": None,
            "x-n": {},
            "docker": {},
        },
        {"id": "b", "node_type": "E", "timeout_ms": 5, "host": None, "params": None, "fan_in": None, "isolation": None},
    ],
    "connections": [
        {"from": "j", "to": "b", "capacity": 8, "overflow": "drop_oldest", "from_port": "x", "description": "d"}
    ],
    "config": [],
    "x-top": None,
}


@pytest.mark.parametrize("manifest", [DEMO, FULL], ids=["demo", "full"])
def test_sound_manifests_are_valid(manifest):
    VALIDATOR.validate(manifest)


def test_camel_case_is_read_but_not_in_the_schema():
    alias = {**DEMO, "nodes": [{"id": "a", "nodeType": "Echo"}]}
    assert not VALIDATOR.is_valid(alias)
    VALIDATOR.validate(Manifest.from_dict(alias).to_dict())


def node_of(**keys):
    return {**DEMO, "nodes": [{"id": "a", "node_type": "Echo", **keys}]}


HOSTS = ("a:1", "a:65535", "a:00080", "[::1]:7000", "a:0", "a:00", "a:65536", "a:99999", "a:123456", "a", "a:-1")
SAME = [
    *(node_of(host=host) for host in HOSTS),
    node_of(join_missing="skip"),
    node_of(join_missing="partial", fan_in="merge"),
    node_of(join_missing="partial", fan_in=None),
    node_of(join_missing="partial", fan_in="join"),
    node_of(join_missing=None),
    node_of(join_missing=None, fan_in="merge"),
]


@pytest.mark.parametrize("manifest", SAME, ids=lambda manifest: json.dumps(manifest["nodes"][0])[30:])
def test_schema_and_decoder_take_the_same(manifest):
    def taken(read, given):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ManifestWarning)
            try:
                return read(given) is not None
            except ManifestError:
                return False

    assert VALIDATOR.is_valid(manifest) == taken(Manifest.from_dict, manifest)
    assert VALIDATOR.is_valid(manifest) == taken(Manifest.from_json, json.dumps(manifest))


def test_what_it_cannot_say_is_in_its_note():
    note = SCHEMA["description"]
    assert "nodeType" in note
    assert "createdAt" in note
    assert "1.0" in note
