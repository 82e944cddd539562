"""Calls beside each other: a window holds the frames of one node, in order, from before their call to after it.

A frame is a pass that was left at a cut of the program (`cuts`). The run appends it, goes on with something else, and
takes it up again when it is first in the window and its call is at an end (`overlap`). So calls end in any order, and
passes go on in theirs. Calls are made by workers: tasks of the event loop that the window has, or the threads of the run
(`crew`). They take the next frame themselves, so a busy worker is never woken.

Owner of a window: its run; workers hold the window, never the run. Threads: everything here is done under the GIL,
and none of it gives the GIL away between a look at a flag and what follows from it.
"""

import _thread

from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.time cimport perf_counter_ns

from remotemedia._core.capi cimport (
    PY_VECTORCALL_ARGUMENTS_OFFSET, PyCoro_CheckExact, PyObject_Vectorcall, is_lazy, raise_again, steal,
)

from remotemedia.limits import left_behind
from remotemedia.pauses import SLICE_S as _SLICE_S
from remotemedia.returns import lazy_error

# What needs asyncio is imported where it is used: most runs have no window.

cdef int64_t SLICE_NS = <int64_t> (_SLICE_S * 1e9)


cdef class Frame:
    """A pass that was left at a cut. Made by a run."""

    def __init__(self):
        raise TypeError("frames are made by a run")


cdef class Bell:
    """What a run waits at until one of its windows can go on. Made by a run."""

    def __init__(self):
        raise TypeError("made by a run")

    cdef int arm(self) except -1:
        """Begin to wait: from now on `ring` wakes. The run looks once more at its windows before it does wait."""
        if self.loop is not None:
            self.future = self.loop.create_future()
        else:
            if self.lock is None:
                self.lock = _thread.allocate_lock()
            self.lock.acquire(False)
        self.waiting = True
        return 0

    cdef int arm_timer(self, int64_t wait_ns) except -1:
        """Let an async run look again after a while."""
        self.timer = self.loop.call_later(max(wait_ns, 0) / 1e9, self.look)
        return 0

    cdef int wait(self, int64_t wait_ns) except -1:
        """Let a plain run sleep until somebody rings, or for `wait_ns`, or a while, after which it is to look around.

        A signal that comes just before a sleep does not break it off (R42).
        """
        PyErr_CheckSignals()
        self.lock.acquire(True, (wait_ns if 0 <= wait_ns < SLICE_NS else SLICE_NS) / 1e9)
        return 0

    cdef int disarm(self) except -1:
        self.waiting = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.future = None
        return 0

    cdef int ring(self, bint elsewhere) except -1:
        """Wake the run if it waits; `elsewhere` is another thread than the event loop's."""
        if not self.waiting:
            return 0
        self.waiting = False
        if self.loop is None:
            self.lock.release()
        elif elsewhere:
            try:
                self.loop.call_soon_threadsafe(self.wake, self.future)
            except RuntimeError:  # the loop is closed, and nobody waits
                return 0
        else:
            self.wake(self.future)
        return 0

    def wake(self, future):
        """Let the run that awaits `future` go on."""
        if not future.done():
            future.set_result(None)

    def look(self, _=None):
        """Let the run look at its windows again; called by the event loop."""
        self.ring(False)


cdef class Window:
    """The calls of one node. Made by a run."""

    def __init__(self):
        raise TypeError("windows are made by a run")

    # --- the run's side --------------------------------------------------------------------------------------------------

    cdef bint has_room(self) noexcept:
        """Whether the run may bring one more frame."""
        if self.overflow == OVERFLOW_BLOCK:
            return self.count < self.capacity + self.calls
        return self.count <= 2 * (self.capacity + self.calls)  # of those without a call, which keep their place

    cdef int append(self, Frame frame) except -1:
        frame.behind = None
        if self.tail is None:
            self.head = frame
        else:
            self.tail.behind = frame
        self.tail = frame
        self.count += 1
        frame.done = not frame.calls
        frame.started = False
        if frame.calls:
            if self.timed:
                frame.waited_ns = perf_counter_ns()
            self.queued += 1
            if self.unstarted is None:
                self.unstarted = frame
            if self.batch:
                if self.wait_ns >= 0:
                    frame.began_ns = perf_counter_ns()
            elif self.crew is None:
                self.wake_task()
            elif self.queued <= self.calls - self.running:
                self.crew.ready += 1  # who appends staffs the crew
        return 0

    cdef Frame leave(self):
        """Remove and return the first frame, whose call is at an end."""
        cdef Frame frame = self.head
        self.head = frame.behind
        if self.head is None:
            self.tail = None
        frame.behind = None
        self.count -= 1
        return frame

    cdef Frame oldest(self):
        """Return the first frame whose call was not begun."""
        return self.unstarted

    cdef int drop(self, Frame frame) except -1:
        """Take the call from the oldest frame that waits for one."""
        cdef Frame following = frame.behind
        while following is not None and not following.calls:
            following = following.behind
        self.unstarted = following
        self.queued -= 1
        if self.crew is not None and self.queued < self.calls - self.running:
            self.crew.ready -= 1
        frame.calls = False
        frame.done = True
        return 0

    cdef int unlink(self, Frame frame) except -1:
        """Remove a frame that is nowhere near the end of a long queue: behind the calls under way."""
        cdef Frame before = self.head
        if before is frame:
            self.leave()
            return 0
        while before.behind is not frame:
            before = before.behind
        before.behind = frame.behind
        if self.tail is frame:
            self.tail = before
        frame.behind = None
        self.count -= 1
        return 0

    cdef int close(self) except -1:
        """Begin no more calls."""
        self.closed = True
        return 0

    cdef int forget(self) except -1:
        """Drop all frames; calls under way come to their end in vain."""
        cdef Frame frame = self.head
        cdef Frame behind
        while frame is not None:
            behind = frame.behind
            frame.behind = None  # not a chain that is freed by recursion
            frame = behind
        self.head = self.tail = self.unstarted = self.paused = None
        self.count = self.queued = 0
        self.crew = None
        self.onward = None
        return 0

    cdef int wake_task(self) except -1:
        """See that a task takes the frame that was brought."""
        while self.sleepers:
            sleeper = self.sleepers.pop()
            if not sleeper.done():  # else its task was cancelled, and is at its end soon, see `quit`
                sleeper.set_result(None)
                return 0
        if len(self.workers) < self.calls and self.running + self.queued > len(self.workers):
            from remotemedia.workers import start

            self.workers.append(start(self))
        return 0

    # --- the workers' side -----------------------------------------------------------------------------------------------

    cdef bint can_begin(self) noexcept:
        """Whether one more call can."""
        return self.unstarted is not None and self.running < self.calls

    cdef int free_call(self) noexcept:
        """A call less is under way."""
        self.running -= 1
        if self.crew is not None and self.queued >= self.calls - self.running:
            self.crew.ready += 1
        return 0

    cdef Frame take_frame(self) noexcept:
        """Begin the next call, if there is one."""
        cdef Frame frame = self.unstarted
        if frame is None or self.closed:
            return None
        self.unstarted = frame.behind
        while self.unstarted is not None and not self.unstarted.calls:
            self.unstarted = self.unstarted.behind
        self.queued -= 1
        self.running += 1
        if self.crew is not None:
            self.crew.ready -= 1
        frame.started = True
        if self.timed:
            frame.waited_ns = perf_counter_ns() - frame.waited_ns
        if self.limit_ns:
            frame.began_ns = perf_counter_ns()
        return frame

    cdef int settle_frame(self, Frame frame, bint elsewhere) except -1:
        """A call is at an end."""
        frame.done = True
        self.free_call()
        if self.closed:
            self.bell.ring(elsewhere)
        elif frame is self.head:
            if self.onward is not None:
                self.relay(elsewhere)
            if frame is self.head:
                self.bell.ring(elsewhere)
        elif self.bell.batches and self.running + self.queued == 0:  # a batch may wait for nothing else
            self.bell.ring(elsewhere)
        return 0

    cdef int relay(self, bint elsewhere) except -1:
        """Let the first passes go on to the next window, if nothing but their next call is left to be done.

        Whoever finds them there does it: the worker whose call came to its end, which saves the run a look at each of
        them, or the run. Where there is more to do, they are left to the run: nothing was emitted, an error, a wrong
        return, a task to be started; or one that it has taken from here already, which is not to be overtaken.
        """
        cdef Window onward = self.onward
        cdef Bell bell = self.bell
        cdef int room = (self.capacity + self.calls) >> 1
        cdef bint was_full = self.count > room
        cdef Frame frame
        while (
            self.head is not None and self.head.done and self.head.calls and self.head.item is not None
            and self.head.error is None and not is_lazy(self.head.item)
            and self.paused is None and bell.part != self.number and not bell.halted and not onward.closed
            and onward.count < onward.capacity + onward.calls
            and (onward.crew is not None or onward.sleepers or len(onward.workers) >= onward.calls)
        ):
            frame = self.leave()
            given = frame.given
            frame.given = frame.item
            self.relayed += 1
            onward.append(frame)
            given = None  # which may run anything: all is in order
        if was_full and self.count <= room:  # the run may wait for room; not woken for each frame
            bell.ring(elsewhere)
        if not elsewhere and onward.crew is not None:  # a worker goes on with it
            onward.crew.staff()
        return 0

    cdef bint make_call(self, Frame frame, int64_t attempt) except -1:
        """Make a call; False if nobody waits for its outcome any more: it took too long, or was interrupted."""
        cdef int64_t began = perf_counter_ns() if self.timed else 0
        cdef PyObject* args[2]
        cdef PyObject* found
        if frame.attempt != attempt:
            return False
        item = frame.item  # which an interrupt takes away
        function = self.function  # which the end of the run takes away
        args[1] = <PyObject*> item
        found = PyObject_Vectorcall(<PyObject*> function, args + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL)
        failure = outcome = None
        if found is not NULL and not self.many and not is_lazy(<object> found):
            outcome = steal(found)
        else:
            try:
                if found is NULL:
                    raise_again()
                outcome = steal(found)
                if not self.many:
                    raise lazy_error(self.node, "process", outcome)
                from remotemedia.workers import gathered

                outcome = gathered(self.node, outcome)
            except BaseException as error:
                failure = error
                outcome = None
        if frame.attempt != attempt:
            return False
        frame.item = outcome
        frame.error = failure
        if self.timed:
            frame.elapsed_ns = perf_counter_ns() - began
        return True

    cdef int64_t next_expiry(self, int64_t now) except -1:
        """When the call that began first will have taken too long, or one that is to begin any moment; 0 if none is."""
        cdef Frame frame = self.head
        if self.limit_ns == 0 or self.running + self.queued == 0:
            return 0
        while frame is not None and (frame.done or not frame.started):
            frame = frame.behind
        if frame is not None:
            return frame.began_ns + self.limit_ns
        return now + self.limit_ns if self.queued and not self.closed else 0

    cdef int expire(self, int64_t now) except -1:
        """Give up the calls that have taken too long by `now`, and the threads that are in them."""
        cdef Frame frame = self.head
        while frame is not None:
            if frame.started and not frame.done and now - frame.began_ns > self.limit_ns:
                frame.attempt += 1
                frame.item = None
                frame.error = left_behind(self.limit_ns)
                frame.elapsed_ns = now - frame.began_ns
                frame.done = True
                self.crew.left += 1
                self.free_call()
                self.crew.staff()
            frame = frame.behind
        return 0

    cdef int interrupt(self) except -1:
        """Let all calls, those that wait too, come to nothing; those under way are cancelled, or left behind."""
        cdef Frame frame = self.head
        self.unstarted = None
        while frame is not None:
            if frame.calls and not frame.done:
                frame.attempt += 1
                frame.item = None
                frame.done = True
                if not frame.started:
                    self.queued -= 1
                else:
                    self.running -= 1
                    if self.crew is not None:
                        self.crew.left += 1
                    else:
                        frame.worker.cancel()
            frame = frame.behind
        if self.crew is not None:
            self.crew.recount()
        return 0

    def take(self, worker):
        """Return the next frame for a task, and the number of the attempt; or None."""
        cdef Frame frame = self.take_frame()
        if frame is None:
            return None
        frame.worker = worker
        return frame, frame.attempt

    def wait(self):
        """Return what a task without a frame awaits."""
        future = self.bell.loop.create_future()
        self.sleepers.append(future)
        return future

    def quit(self, worker):
        """Do without a task that somebody else cancelled; another one takes what it was woken for."""
        if not self.closed:
            self.workers.remove(worker)
            if self.queued:
                self.wake_task()

    def call(self, Frame frame not None):
        """Call the node; return what is to be awaited."""
        if self.timed:
            frame.elapsed_ns = perf_counter_ns()
        given = self.function(frame.item)
        if not self.streams and PyCoro_CheckExact(given):
            return given
        from remotemedia.workers import outputs, to_await

        return outputs(self.node, given) if self.streams else to_await(self.node, given)

    def finish(self, Frame frame not None, int64_t attempt, outcome):
        """Take what a call gave, if somebody still waits for it."""
        if frame.attempt != attempt:
            return
        frame.item = outcome
        if self.timed:
            frame.elapsed_ns = perf_counter_ns() - frame.elapsed_ns
        self.settle_frame(frame, False)

    def fail(self, Frame frame not None, int64_t attempt, error):
        """Take what a call raised, likewise."""
        if frame.attempt != attempt:
            return
        frame.item = None
        frame.error = error
        if self.timed:
            frame.elapsed_ns = perf_counter_ns() - frame.elapsed_ns
        self.settle_frame(frame, False)

    def is_closed(self):
        """Whether no more calls are to be made."""
        return self.closed

    def is_interrupted(self, Frame frame not None, int64_t attempt):
        """Whether nobody waits for a call any more, which is why its task was cancelled."""
        return frame.attempt != attempt
