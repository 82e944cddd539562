"""Threads that make calls, wherever there are any: no window has threads of its own.

Only one thread at a time runs Python code, so to hand an item to the thread of its next node costs two changes of
threads and brings the item to another core, for nothing, if that node does not wait. So who made a call goes on with the
item, at the next window that may have one more call: the item stays where it is, and the later nodes come first, which
keeps queues short. Another thread is woken only if there is a call that could begin and nobody who is awake and without
one: whoever is awake waits for the GIL, gets it as soon as the call under way lets it go or has run for a switch
interval, and takes what was left. So calls that wait do so beside each other, as many of each node as it may have.

All of this is done under the GIL, and none of it gives the GIL away between a look at a number and what follows from it.
"""

import _thread
import contextvars
import threading

from libc.stdint cimport int64_t

from remotemedia._core.window cimport Frame, Window


cdef class Crew:
    """The threads of a run. Made by the run."""

    def __init__(self):
        raise TypeError("made by a run")

    cdef int staff(self) except -1:
        """See that somebody begins a call that could begin."""
        if self.ready <= 0 or self.awake or self.closed:
            return 0
        if self.sleepers:
            self.awake += 1
            self.sleepers.pop().release()
        elif len(self.threads) - self.left < self.most:
            try:
                self.hire()
            except RuntimeError:  # the system has no more
                if len(self.threads) == self.left:
                    raise
        return 0

    cdef int hire(self) except -1:
        """Start a thread."""
        if self.context is None:
            self.context = contextvars.copy_context()
        worker = threading.Thread(target=self.context.copy().run, args=(self.serve,), name="remotemedia", daemon=True)
        self.awake += 1
        self.threads.append(worker)
        try:
            worker.start()
        except RuntimeError:
            self.awake -= 1
            self.threads.pop()
            raise
        return 0

    cdef int recount(self) except -1:
        """Count the calls that could begin."""
        cdef Window window
        self.ready = 0
        for window in self.windows:
            self.ready += min(window.queued, window.calls - window.running)
        return 0

    cdef int close(self) except -1:
        """Begin no more calls; idle threads come to their end."""
        self.closed = True
        for sleeper in self.sleepers:
            sleeper.release()
        self.sleepers.clear()
        return 0

    cdef int join(self) except -1:
        """Wait for the end of all threads, if no call is under way."""
        if self.left == 0 and not self.is_busy():
            for worker in self.threads:
                if worker.is_alive():  # its start may have been interrupted
                    worker.join()
        self.windows = []  # which hold the crew
        return 0

    cdef bint is_busy(self) noexcept:
        """Whether a call is under way, or has not been given up."""
        cdef Window window
        for window in self.windows:
            if window.running:
                return True
        return False

    def serve(self):
        """Make calls, in a thread, until the crew is closed."""
        cdef Window window = None
        cdef Frame frame
        cdef int64_t attempt
        lock = _thread.allocate_lock()
        lock.acquire()
        self.awake -= 1
        while True:
            window = next_window(self, window)
            if window is not None:
                frame = window.take_frame()
                attempt = frame.attempt  # before others run: who starts a thread lets them
                if self.ready and not self.awake:
                    self.staff()
                if not window.make_call(frame, attempt):
                    return
                window.settle_frame(frame, True)
                frame = None
            elif self.closed:
                return
            else:
                self.sleepers.append(lock)
                lock.acquire()
                self.awake -= 1


cdef Window next_window(Crew crew, Window last):
    """Where a call can begin, after one at `last`; None if there is none."""
    cdef Py_ssize_t i
    cdef Window window
    if crew.ready <= 0 or crew.closed:
        return None
    if last is not None:
        if last.onward is not None and last.onward.can_begin():
            return last.onward
        if last.can_begin():
            return last
    for i in range(len(crew.windows) - 1, -1, -1):
        window = crew.windows[i]
        if window.can_begin():
            return window
    return None
