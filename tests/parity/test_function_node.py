"""`rm.node`: a function as a node behaves as the class that one would write around it."""

import asyncio

import pytest
from support import node, plain

import remotemedia as rm


@rm.node
def scale(x: float, *, factor: float = 2.0, least: float | None = None) -> float | None:
    """Multiply, and drop what is small.

    More words.
    """
    y = x * factor
    return None if least is not None and y < least else y


@rm.node
def repeat(x, times: int):
    for _ in range(times):
        yield x


@rm.node(name="Later", version="1.2", max_concurrency=3)
async def later(x):
    await asyncio.sleep(0)
    return x + 1


@rm.node
async def twice(x, *, gap: "str" = "-"):
    yield f"{x}{gap}1"
    await asyncio.sleep(0)
    yield f"{x}{gap}2"


def run(driver, cls, items, **params):
    driver.registry.register(cls, replace=True)
    return driver.run(plain([node("n", cls.node_type, **params)]), items)


@pytest.mark.parametrize(
    ("cls", "params", "items", "results"),
    [
        (scale, {}, [1, 2], [2.0, 4.0]),
        (scale, {"factor": 3}, [1, 2], [3.0, 6.0]),
        (scale, {"factor": 3, "least": 4, }, [1, 2], [6.0]),
        (repeat, {"times": 2.0}, "ab", ["a", "a", "b", "b"]),
        (repeat, {"times": 0}, "ab", []),
        (later, {}, [1, 2, 3], [2, 3, 4]),
        (twice, {}, [1], ["1-1", "1-2"]),
        (twice, {"gap": "/"}, [1, 2], ["1/1", "1/2", "2/1", "2/2"]),
    ],
)  # fmt: skip
def test_what_a_function_gives_goes_on(driver, cls, params, items, results):
    outcome = run(driver, cls, list(items), **params)
    assert outcome.error is None
    assert outcome.results == results


@pytest.mark.parametrize(
    ("cls", "params", "message"),
    [
        (repeat, {}, "'times' is missing"),
        (repeat, {"times": None}, "'times' is missing"),
        (repeat, {"times": 1.5}, "'times' must be a whole number, not 1.5"),
        (repeat, {"times": True}, "'times' must be a whole number, not True"),
        (repeat, {"times": "2"}, "'times' must be a whole number, not '2'"),
        (scale, {"factor": "2"}, "'factor' must be a number, not '2'"),
        (scale, {"factor": 10**400}, "'factor' must be a number, not 1000"),
        (scale, {"facter": 2}, "'facter' is unknown; did you mean 'factor'?"),
        (later, {"x": 1}, "'x' is unknown; it takes none"),
        (twice, {"gap": 1}, "'gap' must be a string, not 1"),
    ],
)
def test_wrong_params_are_refused_at_initialize(direct, cls, params, message):
    outcome = run(direct, cls, [1], **params)
    assert isinstance(outcome.error, rm.NodeError)
    assert (outcome.error.node_id, outcome.error.phase) == ("n", "initialize")
    assert message in str(outcome.error)


def test_an_error_of_the_function_is_one_of_the_node(direct):
    outcome = run(direct, scale, [1.0, "a", 2.0], factor=2)
    assert (outcome.error.node_id, outcome.error.item_index) == ("n", 1)
    assert isinstance(outcome.error.__cause__, TypeError)


def test_the_class_tells_what_it_is():
    assert issubclass(scale, rm.NodeExecutor)
    assert (scale.__name__, scale.node_type, scale.__module__) == ("scale", "scale", __name__)
    assert scale().info() == rm.NodeInfo("scale", "0.0.0", "Multiply, and drop what is small.")
    assert later().info() == rm.NodeInfo("Later", "1.2", None)
    assert later.max_concurrency == 3
    assert scale.PARAMS == {"factor": "float; default 2.0", "least": "float; default None"}
    assert repeat.PARAMS == {"times": "int; required"}
    assert scale.function(3.0) == 6.0
    assert scale().process(3.0) == 6.0


def test_a_function_of_another_kind():
    assert rm.node(len).function("abc") == 3

    class Callable:
        def __call__(self, item, *, by: int = 1):
            return item + by

    made = rm.node(name="Call")(Callable())
    assert made.node_type == "Call"
    registry = rm.NodeRegistry()
    registry.register(made)
    manifest = rm.Pipeline("p").add("Call", params={"by": 2}).to_manifest()
    assert rm.Executor(registry).execute_with_input(manifest, [1]).results == [3]


def starred(*items):
    return items


def named(*, x):
    return x


def nothing():
    return None


def open_ended(x, **params):
    return params


def only(x, y, /):
    return x, y


@pytest.mark.parametrize("function", [starred, named, nothing, open_ended, only, int, 3, None, lambda x: x])
def test_what_is_no_function_of_an_item_is_refused_at_once(function):
    with pytest.raises(TypeError, match=r"node"):
        rm.node()(function)


def test_a_class_without_a_node_type_needs_a_name():
    class Bare(rm.NodeExecutor):
        def process(self, item):
            return item

    registry = rm.NodeRegistry()
    with pytest.raises(TypeError, match=r"Bare has no node_type.*register\('…', Bare\)"):
        registry.register(Bare)
    with pytest.raises(rm.RegistryError, match="taken"):
        registry.register(rm.node(name="Echo")(nothing_but))


def nothing_but(item):
    return item
