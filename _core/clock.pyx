"""Which clock timed runs (and those with limits) read, and how long a tick of it is. Asked by the first, the same for all.

``REMOTEMEDIA_CLOCK=system`` in the environment is for machines whose counter is not to be trusted, whatever Linux says.
"""

import os

from cpython.time cimport perf_counter_ns
from libc.stdint cimport int64_t, uint64_t

cdef int64_t LONG_ENOUGH_NS = 2_000_000  # to compare two clocks whose readings are known to 1 µs
cdef uint64_t TOGETHER_TICKS = 2_000     # two readings are of one moment

cdef uint64_t first_ticks = 0
cdef int64_t first_ns = 0
cdef bint is_known = False
cdef uint64_t scale = 0


cdef bint read_both(uint64_t* ticks, int64_t* ns) noexcept nogil:
    """Read both clocks at one moment; whether that was possible."""
    cdef uint64_t before
    for _ in range(1000):
        before = counter()
        ns[0] = perf_counter_ns()
        ticks[0] = counter()
        if ticks[0] - before < TOGETHER_TICKS:
            return True
    return False


cdef bint is_trusted() except -1:
    """Whether the kernel keeps time by the counter: it ticks evenly, and alike on all processors."""
    if not HAS_COUNTER or os.environ.get("REMOTEMEDIA_CLOCK") == "system":
        return False
    try:
        with open("/sys/devices/system/clocksource/clocksource0/current_clocksource") as file:
            return file.read().strip() == "tsc"
    except OSError:
        return False


cdef uint64_t clock_scale() except? 1:
    """Return what `read_clock` is to be called with."""
    cdef object passed_ns, passed_ticks
    global is_known, scale
    cdef uint64_t ticks = 0
    cdef int64_t ns = 0
    if is_known:
        return scale
    if first_ticks and is_trusted():
        while perf_counter_ns() - first_ns < LONG_ENOUGH_NS:
            pass
        if read_both(&ticks, &ns):
            passed_ns = ns - first_ns  # as Python integers: after four seconds the product takes more than 64 bits
            passed_ticks = ticks - first_ticks
            scale = (passed_ns << 32) // passed_ticks
    is_known = True
    return scale


def read_ns():
    """Return the time by the clock of timed runs."""
    return read_clock(clock_scale())


def source():
    """Return ``"tsc"`` or ``"system"``."""
    return "tsc" if clock_scale() else "system"


if not HAS_COUNTER or not read_both(&first_ticks, &first_ns):
    first_ticks = 0
