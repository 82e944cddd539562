# The clock of timed runs and of limits, in nanoseconds from any beginning: where Linux itself keeps time by the processor's counter
# (x86-64, clock source "tsc"), that counter, which takes half as long to read; else the clock of `time.perf_counter_ns`.

from cpython.time cimport perf_counter_ns
from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #ifndef REMOTEMEDIA_CLOCK
    #define REMOTEMEDIA_CLOCK
    #if defined(__linux__) && defined(__x86_64__) && defined(__SIZEOF_INT128__)
    #include <x86intrin.h>
    #define REMOTEMEDIA_HAS_COUNTER 1
    #define remotemedia_counter() ((uint64_t) __rdtsc())
    #define remotemedia_scaled(ticks, scale) ((int64_t) (((unsigned __int128) (ticks) * (scale)) >> 32))
    #else
    #define REMOTEMEDIA_HAS_COUNTER 0
    #define remotemedia_counter() 0
    #define remotemedia_scaled(ticks, scale) 0
    #endif
    #endif
    """
    const bint HAS_COUNTER "REMOTEMEDIA_HAS_COUNTER"
    uint64_t counter "remotemedia_counter"() noexcept nogil
    int64_t scaled "remotemedia_scaled"(uint64_t ticks, uint64_t scale) noexcept nogil


cdef uint64_t clock_scale() except? 1  # nanoseconds of a tick of the counter, times 2**32; 0: it is not used


cdef inline int64_t read_clock(uint64_t scale) noexcept nogil:
    return scaled(counter(), scale) if scale else perf_counter_ns()
