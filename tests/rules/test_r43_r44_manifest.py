"""R43: a manifest is checked whole before the first `initialize`. R44: limits refuse, they do not degrade."""

import json

import pytest
from support import Outcome, node, plain

import remotemedia as rm


class Witness(rm.NodeExecutor):
    """Notes that it was made or called at all."""

    touched: list[str] = []

    def __init__(self):
        Witness.touched.append("made")

    def initialize(self, context):
        Witness.touched.append("initialize")

    def process(self, item):
        Witness.touched.append("process")
        return item


@pytest.fixture(autouse=True)
def no_witness():
    Witness.touched.clear()


def witnessed(*more, connections=""):
    return plain([node("w", "Witness"), *more], connections)


FAULTY = {
    "the last node": witnessed(node("z z", "Witness")),
    "the last connection": witnessed(node("z", "Witness"), connections="w z, z x"),
    "a cycle": witnessed(node("y", "Witness"), node("z", "Witness"), connections="w y, y z, z y"),
    "an unknown key": witnessed({"id": "z", "node_type": "Witness", "parms": {}}),
    "a value that is no JSON": witnessed(node("z", "Witness", p=object())),
    "what this version has not": witnessed({"id": "z", "node_type": "Witness", "isolation": "process"}),
}


@pytest.mark.parametrize("manifest", FAULTY.values(), ids=FAULTY)
@pytest.mark.parametrize("as_text", [False, True])
def test_r43_no_node_is_made_of_a_faulty_manifest(driver, manifest, as_text):
    driver.register(Witness=Witness)
    if as_text:
        manifest = json.dumps(manifest, default=lambda value: float("nan"))
    with pytest.raises(rm.ManifestError):
        driver._run(manifest, [1], Outcome(), {})
    assert Witness.touched == []


def test_r43_a_manifest_built_by_hand_is_checked_too(driver):
    driver.register(Witness=Witness)
    manifest = rm.Manifest(
        version="v1",
        metadata={"name": "m"},
        nodes=(rm.NodeSpec("w", "Witness"), rm.NodeSpec("z", "Witness")),
        connections=(rm.Connection("w", "z"), rm.Connection("w", "z")),
    )
    error = driver.run(manifest, [1]).error
    assert isinstance(error, rm.ManifestError)
    assert str(error) == "$.connections[1]: w -> z duplicates $.connections[0]; leave one out"
    assert Witness.touched == []


def test_r43_a_sound_manifest_runs(driver):
    driver.register(Witness=Witness)
    assert driver.results(witnessed(), [1]) == [1]
    assert Witness.touched == ["made", "initialize", "process"]


SMALL = rm.ManifestLimits(max_bytes=200, max_nodes=3, max_connections=2, max_depth=6)
AT_THE_LIMIT = {
    "max_bytes": json.dumps(plain([node("a", "PassThrough")])).ljust(200),
    "max_nodes": plain([node(i, "PassThrough") for i in "abc"]),
    "max_connections": plain([node(i, "PassThrough") for i in "abc"], "a b, a c"),
    "max_depth": plain([node("a", "PassThrough", p=[[]])]),
}
ONE_PAST = {
    "max_bytes": json.dumps(plain([node("a", "PassThrough")])).ljust(201),
    "max_nodes": plain([node(i, "PassThrough") for i in "abcd"]),
    "max_connections": plain([node(i, "PassThrough") for i in "abc"], "a b, a c, b c"),
    "max_depth": plain([node("a", "PassThrough", p=[[[]]])]),
}


@pytest.mark.parametrize("limit", AT_THE_LIMIT)
def test_r44_at_the_limit_a_manifest_runs(driver, limit):
    limits = rm.ManifestLimits(**{limit: getattr(SMALL, limit)})
    source = AT_THE_LIMIT[limit]
    text = source if isinstance(source, str) else json.dumps(source)
    assert driver.run(rm.Manifest.from_json(text, limits=limits), [1]).error is None


@pytest.mark.parametrize("limit", ONE_PAST)
def test_r44_one_past_it_is_refused(limit):
    limits = rm.ManifestLimits(**{limit: getattr(SMALL, limit)})
    source = ONE_PAST[limit]
    text = source if isinstance(source, str) else json.dumps(source)
    with pytest.raises(rm.ManifestError, match=f"ManifestLimits.{limit}"):
        rm.Manifest.from_json(text, limits=limits)
    if isinstance(source, dict):
        with pytest.raises(rm.ManifestError, match=f"ManifestLimits.{limit}"):
            rm.Manifest.from_dict(source, limits=limits)


@pytest.mark.parametrize("as_text", [False, True])
def test_r44_the_executor_keeps_the_default_limits(driver, as_text):
    deep: object = 1
    for _ in range(61):
        deep = [deep]
    source = plain([node("a", "PassThrough", p=deep)])
    with pytest.raises(rm.ManifestError, match="nested deeper than 64 levels"):
        driver._run(json.dumps(source) if as_text else source, [1], Outcome(), {})
