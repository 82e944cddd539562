"""SoftClip as a plug-in: found by its name, the same on both engines."""

import math

import pytest

import remotemedia as rm


def run(items, engine="cython", **params):
    manifest = rm.Pipeline("loud").add("SoftClip", params=params).to_manifest()
    return rm.Executor(engine=engine).execute_with_input(manifest, items)


@pytest.mark.parametrize("engine", ["cython", "reference"])
@pytest.mark.parametrize("params", [{}, {"drive": 3}])
def test_what_it_gives(engine, params):
    items = [0.0, 0.5, -2.0, 1, True]
    assert run(items, engine, **params).results == [math.tanh(params.get("drive", 1.0) * item) for item in items]


def test_an_item_that_is_no_number_is_an_error_of_the_node():
    with pytest.raises(rm.NodeError, match=r"\(SoftClip\).* at item 1: TypeError"):
        run([0.5, "a"])


def test_a_wrong_param_is_refused():
    with pytest.raises(rm.NodeError, match="must be a number above 0, not -1"):
        run([0.5], drive=-1)
