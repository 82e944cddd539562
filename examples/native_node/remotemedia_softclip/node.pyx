# cython: language_level=3, boundscheck=False
"""A node at C speed: what the engine calls for each item is `process_item`, through the C virtual table."""

cimport cython
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from libc.math cimport tanh

from remotemedia._core.node cimport API_VERSION, NativeNode, check_api

check_api(API_VERSION)  # ImportError if the remotemedia that is installed has another interface than the one built against


@cython.final
cdef class SoftClip(NativeNode):
    """Limit a sample to -1..1: ``tanh(drive * x)``."""

    PARAMS = {"drive": "number above 0; default 1.0"}

    cdef double drive

    def initialize(self, context):
        drive = context.params.get("drive", 1.0)
        if isinstance(drive, bool) or not isinstance(drive, int | float) or not drive > 0:
            raise ValueError(f"node {context.node_id!r}: param 'drive' must be a number above 0, not {drive!r}")
        self.drive = drive

    cdef object process_item(self, object item):
        if PyFloat_CheckExact(item):
            return tanh(self.drive * PyFloat_AS_DOUBLE(item))
        return tanh(self.drive * <double> item)  # an int, a NumPy scalar; or a TypeError, of this node and item
