# Warm sessions, handed out to threads.

from remotemedia._core.session cimport Session


cdef class Waiter:
    cdef object lock              # released when there is something
    cdef Session session          # what was handed over; None: make one, or see that the pool is closed
    cdef bint served


cdef class SessionPool:
    cdef object __weakref__
    cdef object open_session      # makes a session
    cdef readonly int size
    cdef list idle                # sessions, the one used last at the end
    cdef object waiters           # deque of Waiter, the first come first
    cdef int missing              # sessions that broke and were not replaced yet
    cdef bint opened
    cdef bint closed

    cdef Session make(self)
    cdef Session replace(self)
    cdef Session wait(self, object timeout)
    cdef int give(self, Session session) except -1
    cdef int end(self, object error) except -1


cdef class Lease:
    cdef SessionPool pool
    cdef object timeout
    cdef Session session
