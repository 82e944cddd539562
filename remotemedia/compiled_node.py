"""Nodes out of functions that Numba compiles: ``node(compile="numba")``.

The function takes a float and its params and gives a float, all said by annotations::

    @rm.node(compile="numba")
    def soften(x: float, drive: float = 1.0) -> float:
        return math.tanh(x * drive)

It is compiled when the class is made, and once more for each set of params, as constants, into a C function as
`c_function` takes. Items may be any numbers; the function gets them as floats. ``-> float | None`` lets it filter.
Arithmetic is that of NumPy: a division by zero gives inf or NaN. What the function itself raises fails the item, with
another message than in Python; a function without ``raise`` and ``assert`` that does not filter has a place in lanes.
"""

from __future__ import annotations

import dis
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from remotemedia._core.cfunction import SIGNATURES, CFunction, CPointer
from remotemedia._core.node import NodeContext, NodeInfo
from remotemedia.errors import RegistryError, bounded_text
from remotemedia.function_node import REQUIRED, annotations_of, described, named_params, names_of
from remotemedia.nodes.params import Params

NUMBA_NAMES = {float: "float64", int: "int64", bool: "boolean"}
RAISES = ("RAISE_VARARGS", "LOAD_ASSERTION_ERROR")


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
    pointers: ClassVar[dict[tuple[Any, ...], CPointer]]
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
            given.append(self.kinds[name](parameter.default if value is None else value))
        key = tuple(given)
        if key not in self.pointers:
            self.pointers[key] = pointer_of(self.compiled, key, self.selects)
        self.point_to(self.pointers[key])

    def info(self) -> NodeInfo:
        """Return the name of the function, and the first line of its docstring."""
        first = (inspect.getdoc(self.function) or "").partition("\n")[0]
        return NodeInfo(self.node_type, self.version, first or None)


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
    parameters = named_params(function, node_type)
    kinds = annotations_of(function)
    item, result = signature_of(function, node_type)
    for key, parameter in parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            what = f"node {node_type!r}: Numba takes no keyword-only arguments"
            raise TypeError(f"{what}; leave out the * before {key!r}")
        if kinds.get(key) not in NUMBA_NAMES:
            raise TypeError(f"node {node_type!r}: annotate the param {key!r} as float, int or bool, to compile it")
    selects = result != "float64" or any(step.opname in RAISES for step in dis.get_instructions(function))
    types = ", ".join([item, *(NUMBA_NAMES[kinds[key]] for key in parameters)])
    attributes = {
        "__doc__": function.__doc__,
        "__module__": getattr(function, "__module__", __name__),
        "node_type": node_type,
        "function": staticmethod(function),
        "version": version,
        "parameters": parameters,
        "kinds": kinds,
        "compiled": staticmethod(compiled(function, node_type, f"({types},)")),
        "selects": selects,
        "pointers": {},
        "PARAMS": {key: described(parameter, kinds[key]) for key, parameter in parameters.items()},
    }
    return type(own_name, (CompiledNode,), attributes)


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


def compiled(function: Callable[..., Any], node_type: str, types: str) -> Any:
    """Return the function, compiled for arguments of these types; TypeError if that cannot be done."""
    numba = numba_module()
    try:
        return numba.njit(types, error_model="numpy")(function)
    except numba.core.errors.NumbaError as error:
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
