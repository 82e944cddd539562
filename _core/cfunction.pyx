"""Nodes whose `process` is a C function: a pointer with a stated signature, called without a way through Python.

`remotemedia.native_functions` finds out what it is handed and checks the signature; here it is called. A function that maps
a double to a double has a place in lanes, where it is called without the GIL if an array goes through.
"""

from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_AsDouble, PyFloat_CheckExact, PyFloat_FromDouble
from cpython.pycapsule cimport PyCapsule_CheckExact, PyCapsule_GetContext, PyCapsule_GetName, PyCapsule_GetPointer
from libc.stdint cimport uintptr_t

from remotemedia._core.node cimport NativeNode

SIGNATURES = ("double (double)", "double (double, void *)", "int (double, double *)", "int (double, double *, void *)")


cdef class CPointer:
    """A C function that a program handed in.

    Parameters
    ----------
    address : int
        Where it is.
    signature : int
        Which of ``SIGNATURES`` it has.
    owner : object
        Kept alive as long as this is.
    data : int
        What the function gets as its last argument, where its signature has a ``void *``.
    data_owner : object
        Kept alive likewise.
    """

    def __init__(self, uintptr_t address, int signature, owner, uintptr_t data=0, data_owner=None):
        if address == 0:
            raise ValueError("the address of the function is NULL")
        if not 0 <= signature < len(SIGNATURES):
            raise ValueError(f"there are {len(SIGNATURES)} signatures")
        self.address = <void*> address
        self.signature = <Signature> signature
        self.owner = owner
        self.data = <void*> data
        self.data_owner = data_owner


def capsule_parts(capsule):
    """Return the name of a PyCapsule (None if it has none), the address in it, and its context.

    Raises
    ------
    TypeError
        It is no PyCapsule.
    """
    cdef const char* name
    if not PyCapsule_CheckExact(capsule):
        raise TypeError(f"a {type(capsule).__name__} is no PyCapsule")
    name = PyCapsule_GetName(capsule)
    address = <uintptr_t> PyCapsule_GetPointer(capsule, name)
    context = <uintptr_t> PyCapsule_GetContext(capsule)
    return None if name is NULL else (<bytes> name).decode("utf-8", "replace"), address, context


cdef class CFunction(NativeNode):
    """A node that calls a C function with each item, a number; `c_function` makes subclasses, with a `pointer` each."""

    has_lane = False  # whether its functions are maps of a double

    def __cinit__(self):
        self.pointer = type(self).c_pointer

    def point_to(self, CPointer pointer not None):
        """Call this function from now on; for classes whose functions depend on params. Only before `process`."""
        self.pointer = pointer

    cdef object process_item(self, object item):
        cdef CPointer pointer = self.pointer
        cdef double x = PyFloat_AS_DOUBLE(item) if PyFloat_CheckExact(item) else PyFloat_AsDouble(item)
        cdef double out = 0
        cdef int status
        if pointer is None:
            raise RuntimeError("the node was not initialized: which function it calls depends on its params")
        if pointer.signature == MAP:
            return PyFloat_FromDouble((<map_t> pointer.address)(x))
        if pointer.signature == MAP_WITH:
            return PyFloat_FromDouble((<map_with_t> pointer.address)(x, pointer.data))
        if pointer.signature == SELECT:
            status = (<select_t> pointer.address)(x, &out)
        else:
            status = (<select_with_t> pointer.address)(x, &out, pointer.data)
        if status == 0:
            return None
        if status != 1:
            raise RuntimeError(f"the C function returned {status}; 1 gives an item, 0 filters, anything else is an error")
        return PyFloat_FromDouble(out)
