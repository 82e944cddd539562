# The counts of a run or of a call into it (R14), as numbers.

from libc.stdint cimport int64_t

from remotemedia._core.histogram cimport Timings
from remotemedia._core.plan cimport Plan


cdef enum:
    COLUMNS = 5                   # of `nodes`: passed, filtered, failed, out, flushed


cdef class Counts:
    cdef int64_t* nodes           # [n][COLUMNS]
    cdef int64_t* edges           # [m] delivered, of the connections into joins and merges
    cdef int64_t* lost            # [m] dropped
    cdef readonly int64_t items_in
    cdef readonly int64_t refused
    cdef readonly int64_t duration_ns
    cdef Timings timings          # or None
    cdef Timings waits            # of `queues`
    cdef list queues              # of the nodes whose calls overlap: (node, items that wait, calls under way)
    cdef dict attempts            # position -> calls really made, of the nodes with a retry; or None
    cdef Plan plan                # for names and shape; holds no instances

    cdef int subtract(self, Counts before) except -1


cdef Counts make_counts(Plan plan)
