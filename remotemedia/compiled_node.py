"""Nodes out of functions that Numba compiles: ``node(compile="numba")``.

The function takes a float and its params and gives a float, all said by annotations::

    @rm.node(compile="numba")
    def soften(x: float, drive: float = 1.0) -> float:
        return math.tanh(x * drive)

It is compiled when the class is made, and once more for each set of params, as constants, into a C function as
`c_function` takes. Items may be any numbers; the function gets them as floats. ``-> float | None`` lets it filter.
Arithmetic is that of NumPy: a division by zero gives inf or NaN. What the function itself raises fails the item, with
another message than in Python. A function that plainly raises nothing (it computes with numbers, and calls none but
`math`'s and NumPy's) and does not filter has a place in lanes.
"""

from __future__ import annotations

import builtins
import dis
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from remotemedia._core.cfunction import SIGNATURES, CFunction, CPointer
from remotemedia._core.node import NodeContext, NodeInfo
from remotemedia.errors import RegistryError, bounded_repr, bounded_text
from remotemedia.function_node import REQUIRED, annotations_of, described, info_of, named_params, names_of
from remotemedia.nodes.params import Params

NUMBA_NAMES = {float: "float64", int: "int64", bool: "boolean"}
HARMLESS = (abs, min, max, float, int, bool, range, round)
HARMFUL = (
    "RAISE",
    "LOAD_ASSERTION",
    "BINARY_SUBSCR",
    "STORE_SUBSCR",
    "DELETE",
    "BUILD_",
    "LIST_",
    "MAKE_FUNCTION",
    "UNPACK",
    "IMPORT",
    "LOAD_DEREF",
    "LOAD_CLOSURE",
    "STORE_GLOBAL",
    "SETUP",
    "BEFORE_WITH",
    "YIELD",
    "PUSH_EXC",
    "CALL_INTRINSIC",
)


class CompiledNode(CFunction):
    """A node whose ``process`` is a compiled function. Subclasses are made by `node`.

    Attributes
    ----------
    node_type : str
        The name that manifests use.
    function : callable
        The function as it was written.
    PARAMS : dict of str to str
        What params there are.
    """

    node_type: ClassVar[str]
    function: ClassVar[Callable[..., Any]]
    version: ClassVar[str]
    PARAMS: ClassVar[dict[str, str]]
    parameters: ClassVar[Mapping[str, inspect.Parameter]]
    kinds: ClassVar[Mapping[str, Any]]
    compiled: ClassVar[Any]
    selects: ClassVar[bool]
    pointers: ClassVar[dict[str, CPointer]]
    c_pointer = None

    def initialize(self, context: NodeContext) -> None:
        """Read the params, and compile the function with them.

        Raises
        ------
        ValueError
            One is unknown, missing, or of another type than the function says.
        """
        params = Params(context, self.PARAMS)
        given = []
        for name, parameter in self.parameters.items():
            value = params.value(name, self.kinds[name], required=parameter.default is REQUIRED)
            given.append(constant(name, self.kinds[name], parameter.default if value is None else value))
        key = repr(given)  # where 0.0 is not -0.0, and True not 1
        if key not in self.pointers:
            self.pointers[key] = pointer_of(self.compiled, tuple(given), self.selects)
        self.point_to(self.pointers[key])

    def info(self) -> NodeInfo:
        """Return the name of the function, and the first line of its docstring."""
        return info_of(self)


def compiled_class(function: Callable[..., Any], *, name: str | None, version: str) -> type[CompiledNode]:
    """Return the class of ``node(compile="numba")``.

    Raises
    ------
    TypeError
        The function is none, its annotations say something else than from float to float, or Numba cannot compile it.
    RegistryError
        Numba is not installed.
    """
    own_name, node_type = names_of(function, name)
    if (
        not inspect.isfunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.iscoroutinefunction(function)
    ):
        raise TypeError(f"node {node_type!r}: what is compiled is a plain function, and this is none")
    parameters = named_params(function, node_type)
    kinds = annotations_of(function)
    item, result = signature_of(function, node_type)
    for key, parameter in parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            what = f"node {node_type!r}: Numba takes no keyword-only arguments"
            raise TypeError(f"{what}; leave out the * before {key!r}")
        if kinds.get(key) not in NUMBA_NAMES:
            raise TypeError(f"node {node_type!r}: annotate the param {key!r} as float, int or bool, to compile it")
        if parameter.default is not REQUIRED:
            try:
                constant(key, kinds[key], parameter.default)
            except ValueError as error:
                raise TypeError(f"node {node_type!r}: its default: {error}") from error
    selects = result != "float64" or not is_harmless(function)
    arguments = ", ".join([item, *(NUMBA_NAMES[kinds[key]] for key in parameters)])
    attributes = {
        "__doc__": function.__doc__,
        "__module__": getattr(function, "__module__", __name__),
        "node_type": node_type,
        "function": staticmethod(function),
        "version": version,
        "parameters": parameters,
        "kinds": kinds,
        "compiled": staticmethod(compiled(function, node_type, f"{result}({arguments})")),
        "selects": selects,
        "has_lane": not selects,
        "pointers": {},
        "PARAMS": {key: described(parameter, kinds[key]) for key, parameter in parameters.items()},
    }
    return type(own_name, (CompiledNode,), attributes)


def constant(name: str, kind: type, value: Any) -> Any:
    """Return the value of a param as a constant of its kind; ValueError if it is none."""
    sound = type(value) is kind or (kind is float and type(value) is int)
    if not sound or (kind is int and not -(2**63) <= value < 2**63):
        wanted = "an integer of 64 bits" if kind is int else f"a {kind.__name__}"
        raise ValueError(f"param {name!r} must be {wanted}, not {bounded_repr(value)}")
    return kind(value)


def is_harmless(function: Any) -> bool:
    """Whether it is plain that a function raises nothing: it computes with numbers, and calls what gives numbers."""
    if function.__closure__:
        return False
    before = None
    for step in dis.get_instructions(function):
        name = step.opname
        if name.startswith(HARMFUL):
            return False
        if name == "LOAD_GLOBAL":
            found = function.__globals__.get(step.argval, getattr(builtins, str(step.argval), None))
            if (
                not any(found is one for one in HARMLESS)
                and not is_module(found)
                and type(found) not in (int, float, bool)
            ):
                return False
        if name in ("LOAD_ATTR", "LOAD_METHOD"):
            if before is None or before.opname != "LOAD_GLOBAL":
                return False
            if not is_module(function.__globals__.get(before.argval)):
                return False
        if name not in ("PUSH_NULL", "CACHE", "PRECALL"):
            before = step
    return True


def is_module(found: Any) -> bool:
    """Whether something is `math` or NumPy: their functions give NaN where they have nothing to give."""
    return isinstance(found, types.ModuleType) and found.__name__ in ("math", "numpy")


def signature_of(function: Callable[..., Any], node_type: str) -> tuple[str, str]:
    """Return what Numba calls the types of the item and the result; TypeError if they are no floats."""
    try:
        hints = typing.get_type_hints(function)
    except Exception as error:
        raise TypeError(f"node {node_type!r}: its annotations name what is not there: {error}") from error
    first = next(iter(inspect.signature(function).parameters))
    result = hints.get("return")
    if hints.get(first) is not float or result not in (float, float | None):
        what = f"node {node_type!r}: a compiled function takes a float and gives one"
        raise TypeError(f"{what}; annotate it: ({first}: float, …) -> float, or -> float | None if it filters")
    return "float64", "float64" if result is float else "optional(float64)"


def numba_module() -> Any:
    """Return Numba; RegistryError if it is not installed."""
    try:
        import numba
    except ImportError as error:
        raise RegistryError("compile='numba' needs Numba; run: pip install 'remotemedia[numba]'") from error
    return numba


def compiled(function: Callable[..., Any], node_type: str, signature: str) -> Any:
    """Return the function, compiled with this signature; TypeError if that cannot be done."""
    numba = numba_module()
    try:
        return numba.njit(signature, error_model="numpy")(function)
    except Exception as error:  # not all that it raises has a base of its own
        raise TypeError(f"node {node_type!r}: Numba cannot compile it: {bounded_text(error, 600)}") from error


def pointer_of(function: Any, params: tuple[Any, ...], selects: bool) -> CPointer:
    """Return a C function that calls a compiled one with these params."""
    numba = numba_module()
    if selects:

        def write(x: float, out: Any) -> int:
            y = function(x, *params)
            if y is None:
                return 0
            numba.carray(out, 1)[0] = y
            return 1

        written = numba.njit(write)

        def select(x: float, out: Any) -> int:
            try:
                return written(x, out)  # type: ignore[no-any-return]
            except Exception:
                return -1

        made = numba.cfunc("int32(float64, CPointer(float64))")(select)
        return CPointer(made.address, SIGNATURES.index("int (double, double *)"), made)

    def call(x: float) -> float:
        return function(x, *params)  # type: ignore[no-any-return]

    made = numba.cfunc("float64(float64)")(call)
    return CPointer(made.address, SIGNATURES.index("double (double)"), made)
