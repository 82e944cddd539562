# Nodes whose `process` is a C function that a program hands in by its address.

from remotemedia._core.node cimport NativeNode

# The signatures; `data` is what the function was given with, or NULL.
ctypedef double (*map_t)(double x) noexcept nogil
ctypedef double (*map_with_t)(double x, void* data) noexcept nogil
ctypedef int (*select_t)(double x, double* out) noexcept nogil
ctypedef int (*select_with_t)(double x, double* out, void* data) noexcept nogil


cdef enum Signature:
    MAP, MAP_WITH, SELECT, SELECT_WITH


cdef class CPointer:
    cdef void* address
    cdef void* data
    cdef Signature signature
    cdef object owner             # keeps the function alive
    cdef object data_owner


cdef class CFunction(NativeNode):
    cdef CPointer pointer
