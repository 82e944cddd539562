# How long calls take: histograms with 16 buckets to each power of two, so that a time is known to 1/32 of itself.
#
# A time of 0 to 31 ns has a bucket of its own; above, bucket i holds the times that agree in their first five bits. The
# last bucket holds all from 2**40 ns (18 minutes) on as well. The same in plain Python: `remotemedia.reference.histogram`.

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #ifndef REMOTEMEDIA_HISTOGRAM
    #define REMOTEMEDIA_HISTOGRAM
    #ifdef _MSC_VER
    #include <intrin.h>
    static CYTHON_INLINE int remotemedia_highest_bit(uint64_t value) {
        unsigned long bit;
        _BitScanReverse64(&bit, value);
        return (int) bit;
    }
    #else
    #define remotemedia_highest_bit(value) (63 - __builtin_clzll(value))
    #endif
    #endif
    """
    int highest_bit "remotemedia_highest_bit"(uint64_t value) noexcept nogil  # of a value that is not 0


cdef enum:
    SUB_BITS = 4
    SUBS = 16                     # buckets of an octave, 1 << SUB_BITS
    OCTAVES = 37
    BUCKETS = 592                 # SUBS * OCTAVES


cdef struct Histogram:
    int64_t total_ns
    int64_t max_ns
    uint64_t octaves              # bit k: a bucket of octave k is not 0
    int64_t buckets[BUCKETS]


cdef struct Times:
    # of a node; the time spent in it is call_ns + other_ns + processing.total_ns
    int64_t call_ns               # spent in the call under way so far
    int64_t other_ns              # spent in what is no call: flush, the end of a producer
    Histogram processing          # of the calls that came to their end


cdef class Timings:
    cdef int64_t* packed          # per node: its time_ns, total_ns, max_ns, octaves, and the counts of these octaves
    cdef int count

    cdef list to_list(self)


cdef Timings make_timings(Times* now, Times* earlier, int count)
cdef void fold(Times* now, Times* earlier) noexcept nogil


cdef inline void add(Histogram* histogram, int64_t ns) noexcept nogil:
    """Count a time: no branch but for what is longer than all before."""
    cdef uint64_t value = <uint64_t> ns
    cdef int shift
    cdef uint64_t index
    if value >> 40:
        value = (<uint64_t> 1 << 40) - 1
        if ns < 0:  # the clock was set back while the machine slept
            ns = value = 0
    shift = highest_bit(value | SUBS) - SUB_BITS
    index = (<uint64_t> shift << SUB_BITS) + (value >> shift)
    histogram.buckets[index] += 1
    histogram.octaves |= <uint64_t> 1 << (index >> SUB_BITS)
    histogram.total_ns += ns
    if ns > histogram.max_ns:
        histogram.max_ns = ns


cdef inline void count_call(Times* times) noexcept nogil:
    """The call under way came to its end."""
    add(&times.processing, times.call_ns)
    times.call_ns = 0
