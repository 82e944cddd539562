"""The JSON Schema takes and refuses what the manifest's own check does, as far as a schema can say it."""

import json

import jsonschema
import pytest
from test_manifest import DEMO, OPTIONS, SDK_FILE, quiet
from test_manifest_faults import CONNECTION_FAULTS, NODE_FAULTS, TOP_FAULTS, UNSET, tree, with_connection, with_node

from remotemedia import Manifest

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


FULL = {
    **DEMO,
    "run": {"parallel_init": True, "deadline_ms": 5, "x-r": 1},
    "nodes": [
        {
            **OPTIONS,
            "batch_size": 8,
            "max_batch_wait_ms": 0,
            "max_concurrency": 4,
            "parallelism": 2,
            "timeout_ms": {"initialize": 1, "process": 0.5, "cleanup": 3},
            "retry": {"max_attempts": 3, "backoff_ms": 1, "multiplier": 2, "max_backoff_ms": 5, "jitter": 0.5},
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


def test_what_the_sdk_wrote_is_valid_in_snake_case():
    assert not VALIDATOR.is_valid(SDK_FILE)
    VALIDATOR.validate(quiet(Manifest.from_dict, SDK_FILE).to_dict())


BEYOND_A_SCHEMA = {
    ("join_missing", "skip"),
    ("id", "a\n"),
    ("host", "gpu-box:0"),
    ("host", "gpu-box:65536"),
    ("batch_size", 2.0),
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
