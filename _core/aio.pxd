# What an event loop sees of a run.

from cpython.object cimport PyObject

from remotemedia._core.engine cimport Run


cdef enum Procedure:
    INITIALIZE, EXECUTE, PROCESS, FLUSH, NEXT_OUTPUT, ABANDON, END


cdef class Awaitable:
    cdef object value             # what it came to
    cdef object yielded           # what the event loop is to wait for
    cdef bint begun
    cdef bint done
    cdef int resume(self, object sent, object thrown) except -1


cdef class Pending(Awaitable):
    cdef Run run
    cdef Procedure procedure
    cdef object argument
    cdef bint under_way
    cdef int go_on(self) except -1
    cdef int finish_now(self) except -1


cdef class AsyncStreamBase:
    cdef object __weakref__
    cdef public Run native               # the run, while items can be asked of it in C
    cdef public bint busy         # a call is under way
    cdef public bint closing      # and is to be the last one
    cdef readonly bint with_node
    cdef readonly object waiting  # task that waits for the next item, or None


cdef class Next(Awaitable):
    cdef AsyncStreamBase stream
    cdef object slow              # the coroutine that does what is not done in C
    cdef bint inside              # the call under way is this one's
    cdef int go_on(self) except -1
    cdef int delegate(self, object sent, object thrown) except -1
