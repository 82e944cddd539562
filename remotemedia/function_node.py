"""A node class out of one function: `node`."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from remotemedia._core.node import NodeContext, NodeExecutor, NodeInfo
from remotemedia.errors import bounded_repr
from remotemedia.nodes.params import Params

if TYPE_CHECKING:
    from remotemedia.compiled_node import CompiledNode

REQUIRED = inspect.Parameter.empty
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class FunctionNode(NodeExecutor):
    """A node whose ``process`` is a function, with its params as keyword arguments. Subclasses are made by `node`.

    Attributes
    ----------
    node_type : str
        The name that manifests use; what ``registry.register(cls)`` takes.
    function : callable
        The function itself.
    PARAMS : dict of str to str
        What params there are.
    """

    node_type: ClassVar[str]
    function: ClassVar[Callable[..., Any]]
    version: ClassVar[str]
    PARAMS: ClassVar[dict[str, str]]
    parameters: ClassVar[Mapping[str, inspect.Parameter]]
    kinds: ClassVar[Mapping[str, Any]]

    def initialize(self, context: NodeContext) -> None:
        """Read the params.

        Raises
        ------
        ValueError
            One is unknown, missing, or of another type than the function says.
        """
        params = Params(context, self.PARAMS)
        given = {
            name: params.value(name, self.kinds.get(name), required=parameter.default is REQUIRED)
            for name, parameter in self.parameters.items()
        }
        given = {name: value for name, value in given.items() if value is not None}
        if given:
            self.process = functools.partial(self.function, **given)  # type: ignore[method-assign]

    def info(self) -> NodeInfo:
        """Return the name of the function, and the first line of its docstring."""
        return info_of(self)


@overload
def node(function: Callable[..., Any], /) -> type[FunctionNode]: ...


@overload
def node(
    *,
    name: str | None = None,
    version: str = "0.0.0",
    idempotent: bool = False,
    retryable: tuple[type[Exception], ...] | None = None,
    max_concurrency: int | None = None,
) -> Callable[[Callable[..., Any]], type[FunctionNode]]: ...


@overload
def node(
    *, compile: Literal["numba"], name: str | None = None, version: str = "0.0.0"
) -> Callable[[Callable[..., Any]], type[CompiledNode]]: ...


def node(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    version: str = "0.0.0",
    idempotent: bool = False,
    retryable: tuple[type[Exception], ...] | None = None,
    max_concurrency: int | None = None,
    compile: str | None = None,
) -> type[NodeExecutor] | Callable[[Callable[..., Any]], type[NodeExecutor]]:
    """Make a node class out of a function: it is called with each item, and what it returns goes on.

    Its first argument is the item; all others are the node's params, those without a default required. Params that are
    annotated as `float`, `int`, `str` or `bool` are checked. It may be ``async def``, a generator (0..n items) or both.

    Parameters
    ----------
    function : callable
        Without it, a decorator is returned.
    name : str, optional
        The node type; without it the name of the function.
    version : str
        What ``info()`` says.
    idempotent, retryable, max_concurrency
        Attributes of the class: it may be called again for an item, after these errors; and how many items at a time.
    compile : {"numba"}, optional
        Compile it to a C function, as `c_function` takes: from numbers to floats, at C speed, also in lanes. Needs the
        extra ``numba``, and annotations: see `remotemedia.compiled_node`.

    Returns
    -------
    type
        A subclass of `NodeExecutor`, for ``registry.register(cls)``. The function is its attribute ``function``.

    Raises
    ------
    TypeError
        `function` is none, or cannot be called with one item and named params; or it cannot be compiled as asked.
    RegistryError
        Numba is not installed.

    Examples
    --------
    >>> import remotemedia as rm
    >>> @rm.node
    ... def clip(x: float, *, most: float = 1.0) -> float:
    ...     return min(x, most)
    >>> registry = rm.NodeRegistry()
    >>> _ = registry.register(clip)
    >>> manifest = rm.Pipeline("loud").add("clip", params={"most": 0.5}).to_manifest()
    >>> rm.Executor(registry).execute_with_input(manifest, [0.2, 0.7]).results
    [0.2, 0.5]
    """
    if compile is not None:
        others = (function, retryable, max_concurrency)
        if compile != "numba" or idempotent or any(given is not None for given in others):
            raise TypeError("node(compile='numba', name=…, version=…) is all there is to say of a compiled function")
        from remotemedia.compiled_node import compiled_class

        return functools.partial(compiled_class, name=name, version=version)
    if function is None:
        options = {"idempotent": idempotent, "retryable": retryable, "max_concurrency": max_concurrency}

        def decorate(decorated: Callable[..., Any]) -> type[FunctionNode]:
            return node_class(decorated, name, version, options)

        return decorate
    return node_class(function, None, version, {})


def node_class(
    function: Callable[..., Any], name: str | None, version: str, options: Mapping[str, Any]
) -> type[FunctionNode]:
    """Return the class of `node`."""
    own_name, name = names_of(function, name)
    parameters = named_params(function, name)
    kinds = annotations_of(function)
    attributes = {
        "__doc__": function.__doc__,
        "__module__": getattr(function, "__module__", __name__),
        "__qualname__": getattr(function, "__qualname__", own_name),
        "node_type": name,
        "function": staticmethod(function),
        "process": staticmethod(function),
        "version": version,
        "parameters": parameters,
        "kinds": kinds,
        "PARAMS": {key: described(parameter, kinds.get(key)) for key, parameter in parameters.items()},
    }
    attributes |= {key: value for key, value in options.items() if value not in (None, False)}
    return type(own_name, (FunctionNode,), attributes)


def info_of(node: Any) -> NodeInfo:
    """Return what a node that was made of a function says of itself."""
    first = (inspect.getdoc(node.function) or "").partition("\n")[0]
    return NodeInfo(node.node_type, node.version, first or None)


def names_of(function: Callable[..., Any], name: str | None) -> tuple[str, str]:
    """Return the name of a function, and the node type that it gets."""
    if isinstance(function, type) or not callable(function):
        raise TypeError(f"node makes a node out of a function; {bounded_repr(function)} is none")
    own_name = getattr(function, "__name__", type(function).__name__)
    name = own_name if name is None else name
    if not isinstance(name, str) or not name or name == "<lambda>":
        raise TypeError(f"a node type is a non-empty string; give {own_name!r} one: node(name=…)")
    return own_name, name


def named_params(function: Callable[..., Any], name: str) -> dict[str, inspect.Parameter]:
    """Return the parameters behind the first, which takes the item."""
    try:
        item, *others = inspect.signature(function).parameters.values()
    except ValueError as error:  # there is no first, or a builtin does not tell
        raise TypeError(f"node {name!r}: the function must take an item as its first argument") from error
    if item.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
        raise TypeError(f"node {name!r}: the function must take an item as its first argument")
    if item.kind is inspect.Parameter.VAR_POSITIONAL:
        raise TypeError(f"node {name!r}: the function is called with one item; name it, in place of *{item.name}")
    for parameter in others:
        if parameter.kind not in NAMED:
            raise TypeError(f"node {name!r}: params are given by name; {parameter} cannot be")
    return {parameter.name: parameter for parameter in others}


def annotations_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return what the parameters are said to be; nothing where that names what is not there."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:
        return {}
    return {name: kind for name, hint in hints.items() if (kind := plain_type(hint)) is not None}


def plain_type(hint: Any) -> type | None:
    """Return the type of `hint` if it is one that is checked; ``| None`` counts for nothing, as None is absent."""
    members = [member for member in typing.get_args(hint) if member is not type(None)]
    if len(members) == 1 and type(None) in typing.get_args(hint):
        hint = members[0]
    return hint if hint in (float, int, str, bool) else None


def described(parameter: inspect.Parameter, kind: type | None) -> str:
    """Return what `remotemedia nodes` shows of a param."""
    what = "any" if kind is None else kind.__name__
    return f"{what}; {'required' if parameter.default is REQUIRED else f'default {bounded_repr(parameter.default)}'}"
