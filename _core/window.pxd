# The calls of one node that go on beside the rest of the run: frames in the order in which they came.

from libc.stdint cimport int64_t

from remotemedia._core.crew cimport Crew


cdef enum Overflow:
    OVERFLOW_BLOCK, OVERFLOW_DROP_OLDEST, OVERFLOW_DROP_NEWEST, OVERFLOW_ERROR


cdef class Frame:
    # A pass that was left for a while, and where it goes on.
    # What who makes calls looks at comes first: it is on another core, to which each line of memory has to be brought.
    cdef Frame behind             # the next one in its window
    cdef unsigned char calls      # it waits for a call, whose node is that of the window; else for its turn only
    cdef unsigned char started    # the call was begun
    cdef unsigned char done       # its call came to an end, or it has none
    cdef unsigned char ended      # the pass is at its end
    cdef unsigned char failed     # by an error that ends the run
    cdef object given             # what the call got
    cdef object item              # what it is to be called with, then what it gave
    cdef object error             # what it raised, or None
    cdef int64_t attempt          # who makes the call gives its outcome only if this is what it was
    cdef int pc                   # step to go on with
    cdef int needs                # a paused pass: cut that must have room, or -1 - barrier
    cdef int64_t elapsed_ns       # of the call
    cdef int64_t copied_ns        # before it
    cdef int64_t waited_ns        # between: when it began, until the call does
    cdef int64_t began_ns         # when it began, where there is a limit; of a batch, when it came here
    cdef object worker            # task that makes the call
    cdef object trace             # of a batch: the traceback of `error`, which is taken where that is kept
    cdef int64_t index            # of the input item
    cdef int64_t serial           # of the pass over the run
    cdef tuple path               # where it stands among the passes of its opener; None over the run
    cdef int64_t made             # passes that it opened
    cdef object input_item        # what several sources share
    cdef list moved               # what waited on connections that lead over the cut
    cdef object posts             # what it emitted, and frames that are to emit in their place


cdef class Bell:
    # Wakes the run that waits for its windows.
    cdef bint waiting             # the run waits
    cdef int part                 # cut behind which the run has a pass under way, -1 for none
    cdef bint batches             # the run has batches, which it calls when nothing else is under way
    cdef bint halted              # passes are left where they are: an error is to end the run, or they are dropped
    cdef object lock              # what a plain run waits at
    cdef object loop              # event loop, or None
    cdef object future            # what an async run waits for
    cdef int arm(self) except -1
    cdef object timer             # looks at the windows when a call has taken too long
    cdef int arm_timer(self, int64_t wait_ns) except -1
    cdef int wait(self, int64_t wait_ns) except -1
    cdef int disarm(self) except -1
    cdef int ring(self, bint elsewhere) except -1


cdef class Window:
    cdef Frame head
    cdef Frame tail
    cdef Frame unstarted          # the first frame whose call was not begun
    cdef int count                # frames in all
    cdef int queued               # calls not begun
    cdef readonly int running     # calls under way
    cdef int capacity             # most that wait for a call
    cdef int calls                # most calls at the same time
    cdef Overflow overflow
    cdef bint many
    cdef bint streams             # process is an async generator
    cdef bint batch               # the run makes the calls itself, for `calls` frames at a time (`batches`)
    cdef int64_t wait_ns          # that its first frame waits for the others of its batch, -1 for as long as it takes
    cdef bint timed
    cdef int64_t limit_ns         # most that a call in a thread may take, 0 for no limit
    cdef bint closed              # no call is begun any more
    cdef object node
    cdef object function          # its process
    cdef Bell bell
    cdef Crew crew                # whose threads make the calls; None if tasks do
    cdef list sleepers            # futures of idle tasks
    cdef list workers             # tasks
    cdef Frame paused             # a pass behind this cut that waits for room further on
    cdef int number               # of the cut
    cdef Window onward            # where passes go on to, if nothing is to be done in between; else None
    cdef int64_t relayed          # passes that went on to it without the run

    cdef bint has_room(self) noexcept
    cdef int append(self, Frame frame) except -1
    cdef Frame leave(self)
    cdef int drop(self, Frame frame) except -1
    cdef Frame oldest(self)
    cdef int wake_task(self) except -1
    cdef bint can_begin(self) noexcept
    cdef int free_call(self) noexcept
    cdef Frame take_frame(self) noexcept
    cdef int relay(self, bint elsewhere) except -1
    cdef int settle_frame(self, Frame frame, bint elsewhere) except -1
    cdef bint make_call(self, Frame frame, int64_t attempt) except -1
    cdef int64_t next_expiry(self, int64_t now) except -1
    cdef int interrupt(self) except -1
    cdef int expire(self, int64_t now) except -1
    cdef int unlink(self, Frame frame) except -1
    cdef int close(self) except -1
    cdef int forget(self) except -1
