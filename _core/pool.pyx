"""Sessions that stay warm, handed out to threads one at a time each (R38). Made by `Executor.pool`.

The session that was used last is handed out first, for its memory is in the processor's caches; who waits is served in
the order of coming. Everything that looks at `idle`, `missing` and `waiters` and acts on it is done under the GIL, with
nothing between that gives it away.
"""

import _thread
import warnings
from collections import deque

from remotemedia._core.session cimport Session

from remotemedia.errors import PoolTimeoutError, SessionBusyError, SessionClosedError, settle


cdef class Waiter:
    """A thread that waits for a session."""


cdef class SessionPool:
    """Warm sessions of one manifest. Made by `Executor.pool`; use it as a context manager.

    ``__enter__`` initializes all of its sessions, leaving the ``with`` cleans them up.

    Attributes
    ----------
    size : int
        How many sessions there are.
    """

    def __init__(self, open_session, int size):
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        self.open_session = open_session
        self.size = size
        self.idle = []
        self.waiters = deque()

    def __enter__(self):
        if self.closed:
            raise SessionClosedError("the pool is closed; make a new one")
        if self.opened:
            raise SessionBusyError("the pool is entered already")
        self.opened = True
        try:
            for _ in range(self.size):
                self.give(self.make())  # somebody may wait for it already
                if self.closed:
                    raise SessionClosedError("the pool was closed while it was entered")
        except BaseException as error:
            self.end(error)
            raise
        return self

    def __exit__(self, kind, error, traceback):
        self.end(error)

    def __del__(self):
        if self.opened and not self.closed:
            warnings.warn(f"{self!r} was dropped while open; use it in a with statement", ResourceWarning, 1, self)
            self.end(None)

    def acquire(self, timeout=None):
        """Return a session of the caller's own until it is given back by `release`.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for one; without it as long as it takes.

        Raises
        ------
        PoolTimeoutError
            All sessions were in use for so long.
        SessionClosedError
            The pool is closed, or not entered yet.
        NodeError
            A session that broke was to be replaced, and an ``initialize`` failed. The next caller tries again.
        """
        cdef Session session
        if self.idle:
            session = self.idle.pop()
            if session.closed:  # by somebody who kept it
                session = self.replace()
        else:
            session = self.wait(timeout)
        session.lent = True
        return session

    def release(self, Session session not None):
        """Give a session back; one that is closed, by an error or by hand, is replaced when next one is asked for.

        One that is in a call still, or has an unfinished stream, is closed: nobody else may come into the middle of it.

        Raises
        ------
        ValueError
            It is none of this pool, or was given back already.
        """
        if session.pool != <void*> self or not session.lent:
            raise ValueError("the session is not one that this pool has lent out")
        session.lent = False
        if session.inside or session.streaming:
            try:
                session.close()
            finally:
                self.give(None)
        else:
            self.give(session)

    def session(self, timeout=None):
        """Return a context manager that acquires a session, and gives it back."""
        cdef Lease lease = Lease.__new__(Lease)
        lease.pool = self
        lease.timeout = timeout
        return lease

    def close(self):
        """Clean up the sessions that nobody has, the others when they are given back; legal at any time.

        Who waits for a session gets a `SessionClosedError`.
        """
        self.end(None)

    def __repr__(self):
        state = "closed" if self.closed else "open" if self.opened else "new"
        return f"<SessionPool of {self.size}: {state}>"

    cdef Session make(self):
        """A new session, initialized."""
        cdef Session session = self.open_session()
        session.__enter__()
        session.pool = <void*> self
        return session

    cdef Session replace(self):
        """Return a session in place of one that broke."""
        try:
            return self.make()
        except BaseException:
            self.give(None)
            raise

    cdef Session wait(self, object timeout):
        """A session, when there is one."""
        cdef Waiter waiter
        cdef Session session
        lock = _thread.allocate_lock()
        lock.acquire()
        waiter = Waiter.__new__(Waiter)
        waiter.lock = lock
        if self.closed or not self.opened:
            raise SessionClosedError("the pool is closed" if self.closed else "the pool is not open: use it in a with")
        if self.idle:
            session = self.idle.pop()
            return self.replace() if session.closed else session
        if self.missing:
            self.missing -= 1
            return self.replace()
        self.waiters.append(waiter)
        try:
            lock.acquire(True, -1 if timeout is None or timeout > _thread.TIMEOUT_MAX else max(timeout, 0))
        except BaseException:
            if not waiter.served:
                self.waiters.remove(waiter)
            else:  # handed over at the last moment: it is the next one's, or to be closed
                self.give(waiter.session)
            raise
        if not waiter.served:
            self.waiters.remove(waiter)
            raise PoolTimeoutError(f"all {self.size} sessions of the pool were in use for {timeout:g} s")
        if self.closed and waiter.session is None:
            raise SessionClosedError("the pool was closed")
        session = waiter.session
        waiter.session = None
        return self.replace() if session is None else session

    cdef int give(self, Session session) except -1:
        """Hand over a session, or (None, or a closed one) the task to make one."""
        cdef Waiter waiter
        if session is not None and session.closed:
            session = None
        if self.closed:
            if session is not None:
                session.close()
        elif self.waiters:
            waiter = self.waiters.popleft()
            waiter.session = session
            waiter.served = True
            waiter.lock.release()
        elif session is None:
            self.missing += 1
        else:
            self.idle.append(session)
        return 0

    cdef int end(self, object error) except -1:
        """Close what nobody has, and let nobody wait; `error` is what is leaving the ``with``."""
        cdef Waiter waiter
        cdef list idle
        self.closed = True
        idle, self.idle = self.idle, []
        while self.waiters:
            waiter = self.waiters.popleft()
            waiter.served = True
            waiter.lock.release()
        failures = []
        for session in reversed(idle):
            try:
                session.close()
            except BaseException as failure:
                failures.append(failure)
        final = settle(error, failures)
        if final is not None and final is not error:
            raise final
        return 0


cdef class Lease:
    """A session of a pool for the length of a ``with``."""

    def __enter__(self):
        self.session = self.pool.acquire(self.timeout)
        return self.session

    def __exit__(self, kind, error, traceback):
        session, self.session = self.session, None
        try:
            self.pool.release(session)
        except BaseException as failure:
            if settle(error, [failure]) is not error:
                raise
