"""Node classes out of C functions and functions over arrays: `c_function`, `array_function`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from remotemedia._core.cfunction import SIGNATURES, CFunction, CPointer, capsule_parts
from remotemedia._core.node import NodeExecutor, NodeInfo
from remotemedia.errors import RegistryError, bounded_repr

C_WORDS = frozenset(
    (
        *("auto", "break", "case", "char", "complex", "const", "continue", "default", "do", "double", "else", "enum"),
        *("extern", "float", "for", "goto", "if", "imaginary", "inline", "int", "long", "register", "restrict"),
        *("return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned"),
        *("void", "volatile", "while", "bool", "_Bool", "_Complex", "_Imaginary", "_Atomic"),
    )
)
"""What cannot be the name of an argument: it is part of another type."""

PYTHON_API = 4  # ctypes: FUNCFLAG_PYTHONAPI, a function that needs the GIL

ARRAY_BATCH = 8192
"""Items that a function over arrays gets at a time: what stays in the first-level cache, and makes its call cheap."""


class Found(NamedTuple):
    """What `c_function` was handed: where the function is, its signature as written, and its user data."""

    address: int
    signature: str
    data: int = 0
    data_owner: object = None


class CFunctionNode(CFunction):
    """A node that calls a C function. Subclasses are made by `c_function`.

    Attributes
    ----------
    node_type : str
        The name that manifests use; what ``registry.register(cls)`` takes.
    signature : str
        That of the function.
    """

    node_type: ClassVar[str]
    signature: ClassVar[str]
    version: ClassVar[str]

    def info(self) -> NodeInfo:
        """Return the node type, and the signature as the description."""
        return NodeInfo(self.node_type, self.version, f"the C function {self.signature}")


class ArrayFunctionNode(NodeExecutor):
    """A node that calls a function with arrays of items. Subclasses are made by `array_function`.

    Attributes
    ----------
    node_type : str
        The name that manifests use; what ``registry.register(cls)`` takes.
    function : callable
        The function itself.
    """

    node_type: ClassVar[str]
    function: ClassVar[Callable[[Any], Any]]
    version: ClassVar[str]
    batch_type: ClassVar[str] = "array"
    batch_size: ClassVar[int]

    def process_batch(self, items: Any) -> Any:
        """Return what the function gives for an array of items."""
        return type(self).function(items)

    def info(self) -> NodeInfo:
        """Return the node type, and what the function is."""
        return NodeInfo(self.node_type, self.version, f"over arrays: {bounded_repr(self.function)}")


def c_function(
    function: Any, name: str | None = None, *, user_data: Any = None, version: str = "0.0.0"
) -> type[CFunctionNode]:
    """Make a node class out of a C function: it is called with each item, a number, at C speed.

    Parameters
    ----------
    function : object
        A PyCapsule whose name is the signature and whose context is the user data (as in ``scipy.LowLevelCallable``,
        which is taken, too); a ``ctypes`` function with ``restype`` and ``argtypes``; a ``cffi`` function pointer or
        callback; what ``numba.cfunc`` makes.
    name : str, optional
        The node type; without it that of the function, if it tells one.
    user_data : object, optional
        What the function gets where its signature has a ``void *``: an address, or a ctypes object, which is kept
        alive. A capsule has its own.
    version : str
        What ``info()`` says.

    Returns
    -------
    type
        A subclass of `NodeExecutor`, for ``registry.register(cls)``.

    Raises
    ------
    RegistryError
        It is no C function, or one of another signature than these: ``double (double)``,
        ``double (double, void *)``, ``int (double, double *)``, ``int (double, double *, void *)``. The latter two
        return 1 for an item, which they write; 0 to filter; anything else is an error.

    Notes
    -----
    The function must not touch Python objects, unless it takes the GIL itself (as ctypes callbacks do), and must be
    safe to call from several threads if runs are: it is called with the GIL from chains over lists, and without it
    where arrays go through. What a ctypes callback raises is lost: the caller is C.

    Examples
    --------
    >>> import ctypes, remotemedia as rm
    >>> @ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    ... def halve(x):
    ...     return x / 2
    >>> registry = rm.NodeRegistry()
    >>> _ = registry.register(rm.c_function(halve, "Halve"))
    >>> manifest = rm.Pipeline("halves").add("Halve").to_manifest()
    >>> rm.Executor(registry).execute_with_input(manifest, [1.0, 5]).results
    [0.5, 2.5]
    """
    found = find_function(function)
    node_type = name_of(function, name)
    spelling = normalized(found.signature)
    if spelling not in SIGNATURES:
        raise RegistryError(
            f"the C function {node_type!r} has the signature {spelling!r}, which no node calls; "
            f"these are called: {', '.join(SIGNATURES)}"
        )
    data, data_owner = found.data, found.data_owner
    if user_data is not None:
        data, data_owner = address_of_data(user_data), user_data
    if "void *" in spelling and not data:
        raise RegistryError(f"the C function {node_type!r} takes user data (void *): give it as user_data")
    if "void *" not in spelling and data:
        raise RegistryError(f"the C function {node_type!r} takes no user data; leave user_data out")
    if not found.address:
        raise RegistryError(f"the C function {node_type!r} is at NULL")
    pointer = CPointer(found.address, SIGNATURES.index(spelling), function, data, data_owner)
    attributes = {"node_type": node_type, "signature": spelling, "version": version, "c_pointer": pointer}
    attributes["has_lane"] = spelling.startswith("double")
    return type(node_type, (CFunctionNode,), attributes)


def array_function(
    function: Callable[[Any], Any], name: str | None = None, *, batch_size: int = ARRAY_BATCH, version: str = "0.0.0"
) -> type[ArrayFunctionNode]:
    """Make a node class out of a NumPy ufunc, or of a function over arrays: it is called with batches of items.

    Parameters
    ----------
    function : callable
        Takes an array of items, of shape (n,) for numbers and (n, …) for arrays of one shape; gives as many outputs,
        as an array, or as a list with None for each item that is filtered.
    name : str, optional
        The node type; without it the name of the function.
    batch_size : int
        Most items at a time; a manifest's ``batch_size`` outranks it.
    version : str
        What ``info()`` says.

    Returns
    -------
    type
        A subclass of `NodeExecutor`, for ``registry.register(cls)``.

    Raises
    ------
    RegistryError
        It cannot be called with one array, or gives several; or the size is none.

    Examples
    --------
    >>> import numpy as np, remotemedia as rm
    >>> registry = rm.NodeRegistry()
    >>> _ = registry.register(rm.array_function(np.sqrt))
    >>> manifest = rm.Pipeline("roots").add("sqrt").to_manifest()
    >>> rm.Executor(registry).execute_with_input(manifest, [4.0, 9.0]).results
    [2.0, 3.0]
    """
    if not callable(function) or isinstance(function, type):
        raise RegistryError(f"array_function makes a node out of a function; {bounded_repr(function)} is none")
    node_type = name_of(function, name)
    takes, gives = getattr(function, "nin", 1), getattr(function, "nout", 1)  # of a ufunc
    if (takes, gives) != (1, 1):
        raise RegistryError(
            f"the ufunc {node_type!r} takes {takes} arrays and gives {gives}; a node takes and gives one"
        )
    if type(batch_size) is not int or not 1 <= batch_size < 2**31:
        raise RegistryError(f"batch_size is {bounded_repr(batch_size)}; an integer from 1 is due")
    attributes = {"node_type": node_type, "function": staticmethod(function), "version": version}
    return type(node_type, (ArrayFunctionNode,), attributes | {"batch_size": batch_size})


def name_of(function: Any, name: str | None) -> str:
    """Return the node type of a function."""
    found = getattr(function, "__name__", None) if name is None else name
    if not isinstance(found, str) or not found or found == "<lambda>":
        raise RegistryError(f"{bounded_repr(function, 80)} tells no name for a node type: give one as name")
    return found


def normalized(signature: str) -> str:
    """Return a signature as `SIGNATURES` spell it: with their blanks, without names of arguments.

    What is no signature of `double`, `int`, `void` and pointers to them comes back as it is, but for blanks: it is none
    of those that are called, and so it is shown.
    """
    plain = " ".join(signature.split())
    parts = re.fullmatch(r"(\w+)\s*\(([^()]*)\)", plain)
    if parts is None:
        return plain
    arguments = [argument_type(text) for text in parts[2].split(",")]
    if None in arguments:
        return plain
    return f"{parts[1]} ({', '.join(map(str, arguments))})"


def argument_type(text: str) -> str | None:
    """Return the type of an argument, None if it is not one of a few; its name may be any that C has no meaning for."""
    found = re.fullmatch(r"(double|int|void)(?:(\s*\*\s*)|\s+|$)([A-Za-z_]\w*)?", text.strip())
    if found is None or found[3] in C_WORDS:
        return None
    return f"{found[1]} *" if found[2] else found[1]


def find_function(function: Any) -> Found:
    """Return where a C function is, and the signature that it says it has."""
    if isinstance(function, tuple) and hasattr(function, "signature") and function:  # scipy.LowLevelCallable
        return replace_data(find_function(tuple.__getitem__(function, 0)), function)
    if type(function).__name__ == "PyCapsule":
        name, address, context = capsule_parts(function)
        if name is None:
            raise RegistryError("the PyCapsule has no name; its name is to be the signature, as in 'double (double)'")
        return Found(address, name, context, function if context else None)
    if hasattr(function, "address") and hasattr(function, "ctypes"):  # numba.cfunc
        return replace_data(of_ctypes(function.ctypes), function)
    if hasattr(function, "argtypes") and hasattr(function, "restype"):
        return of_ctypes(function)
    backend = sys.modules.get("_cffi_backend")
    if backend is not None and isinstance(function, backend._CDataBase):
        return of_cffi(backend.FFI(), function)
    raise RegistryError(
        f"a {type(function).__name__} is no C function; give a PyCapsule named by its signature, a ctypes function, a "
        "cffi function pointer, or what numba.cfunc makes"
    )


def replace_data(found: Found, owner: object) -> Found:
    """Return the same, its data kept alive by `owner`."""
    return found._replace(data_owner=owner if found.data else None)


def of_ctypes(function: Any) -> Found:
    """Return what a ctypes function is."""
    import ctypes

    if function.argtypes is None:
        raise RegistryError("the ctypes function does not say what it takes: set its restype and argtypes")
    if getattr(function, "_flags_", 0) & PYTHON_API:
        raise RegistryError("the ctypes function needs the GIL (PyDLL, PYFUNCTYPE), and is called without it; use CDLL")
    types = [ctypes_name(kind) for kind in (function.restype, *function.argtypes)]
    address = ctypes.cast(function, ctypes.c_void_p).value
    return Found(address or 0, f"{types[0]} ({', '.join(types[1:])})")


def ctypes_name(kind: Any) -> str:
    """Return how C spells a ctypes type."""
    import ctypes

    known = {
        ctypes.c_double: "double",
        ctypes.c_int: "int",
        ctypes.c_void_p: "void *",
        ctypes.POINTER(ctypes.c_double): "double *",
    }
    return "void" if kind is None else known.get(kind, getattr(kind, "__name__", bounded_repr(kind)))


def of_cffi(ffi: Any, function: Any) -> Found:
    """Return what a cffi function pointer is."""
    kind = ffi.typeof(function)
    if kind.kind != "function":
        raise RegistryError(f"the cffi object is a {kind.cname}, no function pointer; use ffi.addressof(lib, 'name')")
    types = [kind.result.cname, *(argument.cname for argument in kind.args), *(["..."] if kind.ellipsis else [])]
    return Found(int(ffi.cast("uintptr_t", function)), f"{types[0]} ({', '.join(types[1:])})")


def address_of_data(data: Any) -> int:
    """Return the address of user data."""
    if isinstance(data, int) and not isinstance(data, bool) and 0 < data < 1 << 64:
        return data
    import ctypes

    try:
        if isinstance(data, (ctypes._Pointer, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_wchar_p)):
            return ctypes.cast(data, ctypes.c_void_p).value or 0
        return ctypes.addressof(data)
    except TypeError:
        raise RegistryError(
            f"user_data is a {type(data).__name__}; give an address, or a ctypes object, whose address is taken"
        ) from None
