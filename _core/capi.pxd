# What more than one module calls of Python's C interface, beyond what Cython declares.

from cpython.object cimport PyObject, PyTypeObject


cdef extern from "Python.h":
    PyTypeObject PyGen_Type
    ctypedef enum PySendResult:
        PYGEN_RETURN, PYGEN_ERROR, PYGEN_NEXT
    PySendResult PyIter_Send(PyObject* iterator, PyObject* sent, PyObject** result) noexcept
    PyObject* PyIter_Next(PyObject* iterator) noexcept
    bint PyIter_Check(object value) noexcept
    bint PyCoro_CheckExact(object value) noexcept
    void* PyVectorcall_Function(PyObject* callable) noexcept
    PyObject* PyObject_Vectorcall(PyObject* callable, PyObject** args, size_t nargs, PyObject* names) noexcept
    size_t PY_VECTORCALL_ARGUMENTS_OFFSET


cdef extern from *:
    """
    #ifndef REMOTEMEDIA_CAPI
    #define REMOTEMEDIA_CAPI
    #define REMOTEMEDIA_STEAL(reference) (reference)

    /* A generator, coroutine or async generator, Cython's too: never an item (R37). All of them can be sent to. */
    static CYTHON_INLINE int remotemedia_is_lazy(PyObject *value) {
        PyAsyncMethods *methods = Py_TYPE(value)->tp_as_async;
        return methods != NULL && methods->am_send != NULL;
    }
    #endif
    """
    object steal "REMOTEMEDIA_STEAL"(PyObject* reference)  # takes over a new reference
    bint is_lazy "remotemedia_is_lazy"(object value) noexcept


cdef inline int raise_again() except -1:
    return -1  # an exception is set already
