# What a run does where calls overlap: passes that are left, and what goes on next.

from libc.stdint cimport int64_t

from remotemedia._core.crew cimport Crew
from remotemedia._core.plan cimport Cut, Step
from remotemedia._core.run cimport RunState
from remotemedia._core.window cimport Frame, Window


cdef enum Choice:
    CHOICE_GO_ON = 4     # with the step at `pc`, and `carried`
    CHOICE_LAND          # with the call at `pc` that came to its end: `landed`
    CHOICE_FEED          # with FETCH, or with what is flushed or produced next
    CHOICE_OVER          # nothing is left


cdef class OverlapState(RunState):
    cdef object spool             # deque of what is emitted, in order: (node, output list, item), and frames
    cdef Frame landed             # whose call is at its end
    cdef Frame feeding            # the pass of the feed, where it waits for room further on
    cdef bint fed_out             # the feed is at its end
    cdef bint draining            # nothing more is to be fed until everything went through
    cdef int climb                # head of the loop at which a pass is to follow; -1 for none
    cdef int64_t passes           # that were fed

    # the pass under way
    cdef int part                 # cut behind which it is, -1 for before all
    cdef Frame frame              # it was in before, or None
    cdef int64_t serial           # of the pass over the run
    cdef tuple path               # where it stands among the passes of its opener; None over the run
    cdef int64_t made             # passes that it opened
    cdef object posts             # where what it emits waits; None as long as there is nothing

    # the error that ends the run, as soon as no pass before it is left
    cdef object held
    cdef tuple held_at            # the pass that failed
    cdef object held_posts        # what it had emitted

    # what the input awaits, while passes go on
    cdef object feeder            # the task that awaits it; None if nothing was
    cdef object aside
    cdef object aside_for         # the future that it waits for
    cdef Crew crew                # threads that make calls; None if no node has any
    cdef bint has_limits          # a threaded node has a time limit
    cdef bint threads_left        # the end waited for threads
    cdef bint has_batches         # a node takes 1-to-1 batches: see `batches`
    cdef int batch_of             # cut whose batch is awaited, -1 for none

    cdef int open_windows(self) except -1
    cdef int link_windows(self) except -1
    cdef int forget_pass(self) except -1
    cdef int count_left(self, int k) except -1
    cdef int offload(self, Step* step, object item) except -1
    cdef int drop_for(self, Step* step, Window window) except -1
    cdef bint leads_to_end(self, int pc) noexcept
    cdef int leave(self, int k, int pc) except -1
    cdef bint is_in_loop(self, int head) noexcept
    cdef Frame leave_at(self, int k)
    cdef int owner_goes_on(self, int k) except -1
    cdef int wait_at_barrier(self, Step* step) except -1
    cdef int pause(self, int needs, int pc) except -1
    cdef int end_pass(self) except -1
    cdef int post(self, Step* step, object item) except -1
    cdef list take_items(self, Cut* cut)
    cdef int put_items(self, Cut* cut, list moved) except -1
    cdef int enter(self, Frame frame, int part) except -1
    cdef int begin_pass(self) except -1
    cdef int enter_program(self, int u, int pc, int loop, int k) except -1
    cdef int full_batch(self) except -2
    cdef int partial_batch(self) except -2
    cdef int64_t batch_wait(self) except -2
    cdef int call_batch(self, int k) except -1
    cdef int finish_batch(self) except -1
    cdef bint feed_batch(self) except -1
    cdef int forget_batch(self) except -1
    cdef int goes_through_first(self, bint begins) except -1
    cdef int schedule(self) except -1
    cdef int choose(self) except -1
    cdef int64_t expire_calls(self) except -2
    cdef int64_t arm_for_threads(self) except -3
    cdef int may_feed(self) except -1
    cdef int is_free(self, int needs) except -1
    cdef int in_flight(self) except -1
    cdef int hand_out(self) except -1
    cdef tuple place_of(self, Frame frame)
    cdef int is_later(self, Frame frame) except -1
    cdef int holds(self, object error) except -1
    cdef int hold(self, object error, bint of_feed) except -1
    cdef int open_owner(self, Frame frame) except -1
    cdef int raise_held(self) except -1
    cdef list other_failures(self)
    cdef int set_aside(self) except -1
    cdef int take_back(self) except -1
