# Who may call into a run, and when it ends. In C, so that no interrupt comes between two steps of it.

from remotemedia._core.engine cimport Run


cdef class Session:
    cdef object __weakref__
    cdef object open_run          # makes the run
    cdef object current           # the run, of either engine; None before `__enter__` and after the end
    cdef Run native               # the same if it is a compiled one, else None
    cdef readonly list errors
    cdef dict final_metrics
    cdef bint inside              # a call into the run is under way
    cdef bint streaming           # a stream has the session, between its items too
    cdef bint closing             # the call under way is to be the last one
    cdef readonly bint closed     # at its end
    cdef unsigned long caller     # thread that is inside
    cdef void* pool               # the pool that it is of, to tell it from others; never looked into
    cdef bint lent                # it was handed out by the pool
    cdef object over              # set at the end, where somebody waits for it

    cdef object opened(self)
    cdef int enter(self) except -1
    cdef int begin(self) except -1
    cdef object leave(self, object result)
    cdef object fail(self, object error)
    cdef object finish(self, object error)
    cdef bint ask_to_stop(self) except -1
    cdef int end_within(self, object timeout) except -1


cdef class Stream:
    cdef object __weakref__
    cdef Session session
    cdef object items
    cdef bint with_node
    cdef bint owns                # the session is the stream's own
    cdef bint begun
    cdef bint ended
    cdef bint closing             # the call under way is to be the last one
    cdef object end_result

    cdef int begin(self) except -1
    cdef object next_of_reference(self)
    cdef object fail(self, object error)
    cdef int finish(self) except -1
    cdef int close_with(self, object error) except -1


cpdef object whole(object run, object items)
