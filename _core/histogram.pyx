"""Histograms of how long calls take: numbers while a run goes on, percentiles in a plain dict when someone looks.

A run that is timed owns one `Times` for each node, as one block, and counts into it from its loop (`histogram.pxd`). A
session folds them into a second block when a call begins: so the first is of that call alone, and both are of all.
"""

from cpython.mem cimport PyMem_Malloc, PyMem_Free
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset


cdef void fold(Times* now, Times* earlier) noexcept nogil:
    """Move what was counted in `now` to `earlier`; what was not touched is not looked at."""
    cdef Histogram* source = &now.processing
    cdef Histogram* target = &earlier.processing
    cdef int octave, i
    for octave in range(OCTAVES):
        if source.octaves >> octave & 1:
            for i in range(octave * SUBS, (octave + 1) * SUBS):
                target.buckets[i] += source.buckets[i]
                source.buckets[i] = 0
    target.octaves |= source.octaves
    target.total_ns += source.total_ns
    target.max_ns = max(target.max_ns, source.max_ns)
    earlier.other_ns += now.other_ns
    source.octaves = 0
    source.total_ns = source.max_ns = now.other_ns = 0


cdef int octaves_in(uint64_t octaves) noexcept nogil:
    cdef int found = 0
    while octaves:
        octaves &= octaves - 1
        found += 1
    return found


cdef Timings make_timings(Times* now, Times* earlier, int count):
    """Return a copy of the times of `count` nodes, those of `earlier` (NULL for none) added; only what is not 0 is kept."""
    cdef Timings timings = Timings.__new__(Timings)
    cdef Histogram* of_now
    cdef Histogram* of_earlier
    cdef Py_ssize_t size = 0
    cdef int64_t* at
    cdef uint64_t octaves
    cdef int u, octave, i
    for u in range(count):
        octaves = now[u].processing.octaves | (0 if earlier is NULL else earlier[u].processing.octaves)
        size += 4 + SUBS * octaves_in(octaves)
    at = timings.packed = <int64_t*> PyMem_Malloc(size * sizeof(int64_t))
    if at is NULL:
        raise MemoryError
    timings.count = count
    for u in range(count):
        of_now = &now[u].processing
        of_earlier = NULL if earlier is NULL else &earlier[u].processing
        octaves = of_now.octaves
        at[0] = now[u].call_ns + now[u].other_ns + of_now.total_ns
        at[1] = of_now.total_ns
        at[2] = of_now.max_ns
        if of_earlier is not NULL:
            octaves |= of_earlier.octaves
            at[0] += earlier[u].call_ns + earlier[u].other_ns + of_earlier.total_ns
            at[1] += of_earlier.total_ns
            at[2] = max(at[2], of_earlier.max_ns)
        at[3] = <int64_t> octaves
        at += 4
        for octave in range(OCTAVES):
            if octaves >> octave & 1:
                for i in range(octave * SUBS, (octave + 1) * SUBS):
                    at[0] = of_now.buckets[i]
                    if of_earlier is not NULL:
                        at[0] += of_earlier.buckets[i]
                    at += 1
    return timings


cdef class Timings:
    """The times of the nodes of a run, or of a call into it, at one moment."""

    def __init__(self):
        raise TypeError("timings are made by a run")

    def __dealloc__(self):
        PyMem_Free(self.packed)

    cdef list to_list(self):
        """Return for each node ``(time_ns, processing)`` as `Counts.to_dict` has them."""
        cdef list found = []
        cdef int64_t* at = self.packed
        for _ in range(self.count):
            found.append((at[0], processing_of(at)))
            at += 4 + SUBS * octaves_in(<uint64_t> at[3])
        return found


cdef dict processing_of(int64_t* at):
    """The percentiles of one node, of its part of `Timings.packed`."""
    cdef int64_t total_ns = at[1]
    cdef int64_t max_ns = at[2]
    cdef uint64_t octaves = <uint64_t> at[3]
    cdef int64_t count = 0
    cdef int64_t before = 0
    cdef int64_t* counts = at + 4
    cdef int64_t ranks[3]
    cdef int64_t found[3]
    cdef int64_t lowest, width
    cdef int i, k = 0, octave
    cdef list buckets = []
    for i in range(SUBS * octaves_in(octaves)):
        count += counts[i]
    ranks[0], ranks[1], ranks[2] = (50 * count + 99) // 100, (95 * count + 99) // 100, (99 * count + 99) // 100
    memset(found, 0, sizeof(found))
    for octave in range(OCTAVES):
        if not octaves >> octave & 1:
            continue
        width = 1 if octave == 0 else <int64_t> 1 << (octave - 1)
        for i in range(SUBS):
            if counts[i] == 0:
                continue
            lowest = i if octave == 0 else (i + SUBS) * width
            before += counts[i]
            buckets.append([lowest + width - 1, counts[i]])
            while k < 3 and before >= ranks[k]:
                if octave == OCTAVES - 1 and i == SUBS - 1:
                    found[k] = max_ns  # this bucket has no end
                else:
                    found[k] = min(max_ns, lowest + (width - 1) // 2)
                k += 1
        counts += SUBS
    return {
        "count": count, "total_ns": total_ns, "p50_ns": found[0], "p95_ns": found[1], "p99_ns": found[2],
        "max_ns": max_ns, "buckets": buckets,
    }


cdef class Recorder:
    """A histogram by itself, for tests and for what is measured outside a run.

    Examples
    --------
    >>> recorder = Recorder()
    >>> for ns in (10, 20, 30, 1000):
    ...     recorder.add(ns)
    >>> recorder.to_dict()["p50_ns"], recorder.to_dict()["max_ns"]
    (20, 1000)
    """

    cdef Times now
    cdef Times earlier

    def add(self, int64_t ns):
        """Count a time in nanoseconds."""
        self.now.call_ns = ns
        count_call(&self.now)

    def fold(self):
        """Begin anew what `latest` is of."""
        fold(&self.now, &self.earlier)

    def latest(self):
        """Return ``processing`` of what was added since `fold`."""
        return make_timings(&self.now, NULL, 1).to_list()[0][1]

    def to_dict(self):
        """Return ``processing`` of all that was added."""
        return make_timings(&self.now, &self.earlier, 1).to_list()[0][1]
