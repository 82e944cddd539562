"""Sessions and streams: when nodes are initialized and cleaned up, and who may call when; the same for both engines.

An engine's run (`remotemedia._core.engine.Run`, `remotemedia.reference.engine.Run`) executes and raises; here is
decided what an exception ends, and that one call at a time goes into a run. Every way out leads through `end`.

Threads: the flags below are read and written between two Python instructions, under the GIL. `close` may come from
any thread, or from inside a node; it cleans up at once if nobody is inside, else asks who is to end.
Interrupts: Python looks for signals between its own instructions only. Nothing here is one, so Ctrl-C comes out of a
call into the run or the input, and never between such a call and what must follow it.
"""

import warnings

from remotemedia._core.engine cimport Run

from remotemedia.errors import RemoteMediaError, SessionBusyError, SessionClosedError
from remotemedia.items import check_feed, check_input
from remotemedia.result import ExecutionStatus

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() noexcept

cdef object FAILED = ExecutionStatus.FAILED


cdef object end(object run, object error):
    """End a run because of `error` (or None); return what is to be raised, None for nothing.

    The reference engine can be interrupted between two lines of its `end`, which then goes on at the next call.
    """
    while True:
        try:
            return run.end(error)
        except Exception:
            raise
        except BaseException as interrupt:
            if error is None or isinstance(error, Exception):
                error = interrupt


cpdef object whole(object run, object items):
    """Initialize a new run, execute it over `items` (None: the producers), and end it; return its result."""
    try:
        run.initialize()
        result = run.execute(items)
    except BaseException as error:
        raise end(run, error)
    failure = end(run, None)
    if failure is not None:
        if isinstance(failure, RemoteMediaError):
            result.status = FAILED
            failure.partial = result
        raise failure
    return result


cdef class Session:
    """Nodes that stay alive over many runs. Made by `Executor.open`; use it as a context manager.

    ``__enter__`` initializes the nodes, leaving the ``with`` cleans them up, and nothing is flushed then. One call
    at a time; `close` may come from any thread.

    Attributes
    ----------
    errors : list of NodeError or InputError
        What failed in `process` and `flush` under ``error_policy="collect"``.
    """

    def __init__(self, open_run):
        self.open_run = open_run
        self.errors = []
        self.final_metrics = {}

    def __enter__(self):
        if self.closed:
            raise SessionClosedError("the session is closed; open a new one")
        if self.current is not None:
            raise SessionBusyError("the session is entered already")
        self.enter()
        return self

    def __exit__(self, kind, error, traceback):
        if self.closed or self.ask_to_stop():
            return
        final = self.finish(error)
        if final is not None and final is not error:
            raise final

    def __del__(self):
        if self.current is not None and not self.inside:
            warnings.warn(f"{self!r} was dropped while open; use it in a with statement", ResourceWarning, 1, self)
            self.close()

    def run(self, items=None):
        """Drive items through and flush every node; the session stays open.

        Parameters
        ----------
        items : iterable, optional
            The input; without it, the pipeline's producers are pulled (a run on empty input if there are none).

        Returns
        -------
        ExecutionResult
            Of these items; ``metrics`` too are those of this run.

        Raises
        ------
        NodeError, InputError
            Under ``error_policy="stop"``; the session is closed then. An `items` that is no input at all is refused
            before anything is called, and the session stays open.
        SessionClosedError, SessionBusyError
            The session is closed, or in a call.
        """
        run = self.opened()
        check_feed(run.producers, items)
        self.begin()
        try:
            result = run.execute(items)
        except BaseException as error:
            raise self.fail(error)
        return self.leave(result)

    def process(self, item):
        """Drive one item through, without a flush; return what the sinks emitted, ``[]`` if it was filtered.

        Raises
        ------
        NodeError, InputError
            Under ``error_policy="stop"``; the session is closed then. Under ``"collect"`` see `errors`.
        """
        cdef Run native = self.native
        run = self.opened() if native is None else native
        producers = run.producers if native is None else native.producers
        if producers:
            check_feed(producers, ())
        self.begin()
        try:
            if native is None:
                outputs = run.process(item)
            else:
                native.begin_process(item)
                outputs = native.outputs_of_call()
        except BaseException as error:
            raise self.fail(error)
        return self.leave(outputs)

    def flush(self):
        """Flush every node in topological order; return what came out."""
        run = self.opened()
        self.begin()
        try:
            outputs = run.flush()
        except BaseException as error:
            raise self.fail(error)
        return self.leave(outputs)

    def stream(self, items=None, *, with_node=False):
        """Return a `Stream` of these items; from its first item until it ends or is closed, the session is busy."""
        return Stream(self, items, with_node=with_node, owns_session=False)

    def metrics(self):
        """Return the counts of R14 over the whole session; legal from any thread, at any time."""
        run = self.current
        return self.final_metrics if run is None else run.metrics()

    def close(self, timeout=None):
        """Clean up; legal from any thread at any time, and more than once.

        If a call is running in another thread, or the caller is inside one, that call ends with
        `SessionClosedError` at its next item and cleans up.

        Parameters
        ----------
        timeout : float, optional
            Seconds until what the call, or a cleanup, still awaits is cancelled; this method then waits for the end,
            as long again at most, for a plain call cannot be cancelled. Without it, what is awaited is waited for, and
            this method does not wait for a call of another thread.
        """
        if self.ask_to_stop():
            if timeout is not None and self.caller != PyThread_get_thread_ident():
                self.end_within(timeout)
            return
        if self.closed:
            return
        if timeout is None or self.current is None:
            final = self.finish(None)
        else:
            from remotemedia.stopping import AGAIN, Timer, abort_of

            self.closed = self.inside = True  # before others run: who starts a thread lets them
            with Timer(max(timeout, AGAIN), abort_of(self.current)):
                final = self.finish(None)
        if final is not None:
            raise final

    def interrupt(self, node_id=None):
        """Drop what is on its way, and go on with the next input item; the nodes stay as they are.

        Parameters
        ----------
        node_id : str, optional
            Only what this node is called with, and what waits for it.

        Raises
        ------
        SessionClosedError
            The session is not open.
        ValueError
            There is no such node.

        Notes
        -----
        Legal from any thread. What is awaited is cancelled; a plain call comes to its end, and what it gives is thrown
        away where its node has a thread of its own. What was dropped counts as filtered.
        """
        self.opened().interrupt(node_id)

    def abort(self):
        """Do what `close` does, and cancel what is awaited: a call at once, a cleanup after 50 ms.

        What cannot be cancelled is not waited for.
        """
        self.close(0)

    def __repr__(self):
        return f"<Session: {'closed' if self.closed else 'new' if self.current is None else 'open'}>"

    cdef object opened(self):
        if self.closed:
            raise SessionClosedError("the session is closed; open a new one")
        if self.current is None:
            raise SessionClosedError("the session is not open yet; enter it: with executor.open(manifest) as session")
        return self.current

    cdef int enter(self) except -1:
        """Make the run and initialize its nodes."""
        self.begin()
        try:
            run = self.open_run()
        except BaseException:
            self.inside = False
            self.closed = self.closing
            raise
        self.errors = run.errors
        self.current = run
        self.native = run if isinstance(run, Run) else None
        try:
            if self.closing:
                raise SessionClosedError("the session was closed while it was opened")
            run.initialize()
        except BaseException as error:
            raise self.fail(error)
        self.leave(None)
        return 0

    cdef int begin(self) except -1:
        """Mark that a call is under way."""
        if self.inside or self.streaming:
            raise SessionBusyError("the session is in a call (or has an unfinished stream); one at a time")
        self.inside = True
        self.caller = PyThread_get_thread_ident()
        return 0

    cdef object leave(self, object result):
        """The call came to its end."""
        self.inside = False
        if self.closing:
            final = self.finish(None)
            if final is not None:
                raise final
        return result

    cdef object fail(self, object error):
        """The call raised `error`: end the session; return what is to be raised."""
        self.inside = False
        return self.finish(error)

    cdef object finish(self, object error):
        """End the run, if there is one; return what is to be raised, None for nothing."""
        run = self.current
        self.closed = True
        self.streaming = False
        if run is None:
            return error
        self.inside = True  # of its cleanups: one may come back here
        error = end(run, error)
        self.inside = False
        self.final_metrics = run.metrics()
        self.current = None
        self.native = None
        if self.over is not None:
            self.over.set()
        return error

    cdef bint ask_to_stop(self) except -1:
        """Ask the call that is under way to end, if there is one."""
        if not self.inside:
            return False
        self.closing = True
        if self.current is not None:
            self.current.stop()
        return True

    cdef int end_within(self, object timeout) except -1:
        """Wait for the end of the call under way; after `timeout` abort it, and wait as long again."""
        from threading import Event

        from remotemedia.stopping import abort_of

        if self.over is None:
            self.over = Event()
        run = self.current
        if run is None or self.over.wait(timeout):
            return 0
        abort_of(run)()
        self.over.wait(timeout)
        return 0


cdef class Stream:
    """An iterator over what a pipeline emits, in the order of ``results``. Made by `Executor.stream`, `Session.stream`.

    Nothing is initialized before the first item is asked for. Use it as a context manager where it may be left
    early: leaving closes it, and cleanup is done then.
    """

    def __init__(self, Session session not None, items, *, with_node=False, owns_session=True):
        if items is not None:
            check_input(items)
        self.session = session
        self.items = items
        self.with_node = with_node
        self.owns = owns_session

    def __iter__(self):
        return self

    def __next__(self):
        cdef Session session = self.session
        cdef Run run
        if self.ended:
            raise StopIteration
        if not self.begun:
            self.begin()
        elif session.closed:  # by its own `close`
            self.finish()
            raise SessionClosedError("the session of the stream is closed")
        if session.inside:
            raise SessionBusyError("the stream is being iterated; one caller at a time")
        session.inside = True
        session.caller = PyThread_get_thread_ident()
        output = None
        try:
            run = session.native
            if run is None:
                output = self.next_of_reference()
            elif run.advance():
                output = run.out_item
                run.out_item = None
                if self.with_node:
                    output = (run.plan.graph.ids[run.out_node], output)
            if output is None:
                self.end_result = session.current.result()
            elif self.closing:
                raise SessionClosedError("the stream was closed while an item was on its way")
        except BaseException as error:
            raise self.fail(error)
        session.inside = False
        if output is not None:
            return output
        self.finish()
        if self.owns:
            session.close()
        else:
            session.leave(None)
        raise StopIteration

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.close_with(error)

    def __del__(self):
        if self.begun and not self.ended and not self.session.inside:
            warnings.warn(f"{self!r} was dropped before its end; use it in a with statement", ResourceWarning, 1, self)
            self.close_with(None)

    def close(self):
        """End the stream; nothing is flushed. Legal from any thread at any time, and more than once.

        A stream of an executor cleans its nodes up, before this returns unless someone is inside the stream (then
        that call ends with `SessionClosedError` and cleans up). A stream of a session leaves that open.
        """
        self.close_with(None)

    @property
    def result(self):
        """The `ExecutionResult` of a finished stream; its ``results`` and ``outputs`` are empty.

        Raises
        ------
        SessionBusyError
            The stream is not at its end.
        """
        if self.end_result is None:
            raise SessionBusyError("the stream has no result: it is not at its end, or did not come to it")
        return self.end_result

    def __repr__(self):
        return f"<Stream: {'ended' if self.ended else 'running' if self.begun else 'new'}>"

    cdef int begin(self) except -1:
        """Open the session if it is the stream's own, and start the input."""
        cdef Session session = self.session
        if self.owns:
            self.begun = True
            try:
                session.__enter__()
            except BaseException:
                self.ended = True
                raise
        try:
            run = session.opened()
            check_feed(run.producers, self.items)
        except BaseException as error:
            self.ended = True
            raise session.finish(error) if self.owns else error
        session.begin()
        self.begun = True
        session.streaming = True
        try:
            run.begin_stream(self.items)
        except BaseException as error:
            self.ended = True
            raise session.fail(error)
        self.items = None
        session.inside = False
        return 0

    cdef object next_of_reference(self):
        output = self.session.opened().next_output()
        return output if output is None or self.with_node else output[1]

    cdef object fail(self, object error):
        """The call raised `error`: end what the stream is to end; return what is to be raised."""
        cdef Session session = self.session
        if self.closing and not self.owns and not session.closing and isinstance(error, SessionClosedError):
            try:
                session.current.abandon()
            except BaseException as failure:
                error = failure
            session.inside = False
            self.finish()
            return error
        self.finish()
        return session.fail(error)

    cdef int finish(self) except -1:
        """Give the session back."""
        self.ended = True
        self.items = None
        self.session.streaming = False
        return 0

    cdef int close_with(self, object error) except -1:
        """Close the stream; `error` is what is leaving its ``with``, if anything."""
        cdef Session session = self.session
        if self.ended:
            return 0
        if session.inside and self.begun:
            self.closing = True
            if self.owns:
                session.closing = True
            if session.current is not None:
                session.current.stop()
            return 0
        if not self.begun or session.closed:
            self.ended = True
            session.closed |= self.owns
            return 0
        self.finish()
        if self.owns:
            final = session.finish(error)
            if final is not None and final is not error:
                raise final
            return 0
        session.inside = True
        try:
            session.current.abandon()
        finally:
            session.inside = False
        return 0
