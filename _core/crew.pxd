# The threads of a run: they make the calls of all of its windows whose nodes ask for threads.


cdef class Crew:
    cdef list windows             # those with threads, in the order of the program
    cdef list threads
    cdef list sleepers            # locks of idle threads
    cdef object context           # that of the run, when the first thread was started
    cdef int ready                # calls that could begin at once
    cdef int awake                # threads that were woken, or started, and have not looked for a call yet
    cdef int most                 # calls at the same time
    cdef int left                 # threads that were left behind in a call
    cdef bint closed              # no call is begun any more

    cdef int staff(self) except -1
    cdef int hire(self) except -1
    cdef int recount(self) except -1
    cdef int close(self) except -1
    cdef int join(self) except -1
    cdef bint is_busy(self) noexcept
