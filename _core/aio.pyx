"""Calls into a run as awaitables: driven by whoever awaits them, inside his own task.

A call runs until a node, or the input, really waits for something; only then does the event loop hear of it. So a
node that never suspends costs no turn of the loop, and `asyncio.current_task`, `asyncio.timeout`, cancellation and
context variables are for a node what they are for any function that is awaited. How the run awaits is in
`RunState.go_on`; here is the other side, what the event loop holds.

Every object here has the methods of a coroutine (send, throw, close) and the C slot behind them (``am_send``), by
which a task drives it without a Python call.
"""

from asyncio import current_task

from cpython.object cimport PyObject

from remotemedia._core.capi cimport PyIter_Send, PySendResult, PYGEN_NEXT, PYGEN_RETURN, raise_again, steal
from remotemedia._core.engine cimport Run
from remotemedia._core.run cimport SUSPENDED

from remotemedia.errors import SessionBusyError, SessionClosedError

cdef extern from *:
    """
    /* Cython fills in am_await, but has no name for am_send. */
    #define REMOTEMEDIA_SET_SEND(type, function) (((PyTypeObject *) (type))->tp_as_async->am_send = (sendfunc) (function))
    """
    void set_send "REMOTEMEDIA_SET_SEND"(object type, void* function) noexcept
    void Py_INCREF(object value) noexcept

cdef dict PROCEDURES = {
    "initialize": INITIALIZE, "execute": EXECUTE, "process": PROCESS, "flush": FLUSH, "next_output": NEXT_OUTPUT,
    "abandon": ABANDON, "end": END,
}


cdef class Awaitable:
    """The methods of a coroutine over `resume`, which comes to a `value` (1), or to something to wait for (SUSPENDED)."""

    cdef int resume(self, object sent, object thrown) except -1:
        raise TypeError("not to be awaited by itself")

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """Go on; return what is to be waited for, or raise StopIteration with the outcome."""
        cdef PyObject* result = NULL
        if send(self, value, &result) == PYGEN_NEXT:
            return steal(result)
        raise StopIteration(steal(result))

    def throw(self, kind, error=None, traceback=None):
        """Go on with an exception, raised where the run waits."""
        if not isinstance(kind, type):
            error = kind
        elif not isinstance(error, BaseException):
            error = kind() if error is None else kind(error)
        if self.done or not self.begun:
            self.done = True
            raise error
        self.done = True  # unless it suspends
        if self.resume(None, error) == SUSPENDED:
            self.done = False
            yielded = self.yielded
            self.yielded = None
            return yielded
        raise StopIteration(self.value)

    def close(self):
        """Interrupt what is awaited; what is left to be done is done without waiting."""
        if not self.begun or self.done:
            self.done = True
            return
        try:
            self.throw(GeneratorExit())
        except (GeneratorExit, StopIteration):
            return
        raise RuntimeError("the run ignored GeneratorExit")


cdef int send(Awaitable self, object value, PyObject** result) except -1:
    """``am_send``: PYGEN_NEXT with what is to be waited for, or PYGEN_RETURN with the outcome; -1 is PYGEN_ERROR."""
    if self.done:
        raise RuntimeError("cannot reuse a call that was awaited")
    self.begun = True
    self.done = True  # unless it suspends
    if self.resume(value, None) == SUSPENDED:
        self.done = False
        found = self.yielded
        self.yielded = None
        Py_INCREF(found)
        result[0] = <PyObject*> found
        return PYGEN_NEXT
    found = self.value
    self.value = None
    Py_INCREF(found)
    result[0] = <PyObject*> found
    return PYGEN_RETURN


cdef int wait_in(Run run, object task) except -1:
    """Let the run know the task that waits, and how often that was cancelled before."""
    if run.waiter is not task:
        run.waiter = task
        run.cancelling = task.cancelling()
    return 0


cdef class Pending(Awaitable):
    """One of the calls that the session layer makes, named as the methods of the run are."""

    cdef int resume(self, object sent, object thrown) except -1:
        cdef Run run = self.run
        cdef int status
        run.sent = sent
        run.thrown = thrown
        status = self.finish_now() if isinstance(thrown, GeneratorExit) else self.go_on()
        if status == SUSPENDED:
            wait_in(run, current_task())
            self.yielded = run.yielded
            run.yielded = None
        return status

    cdef int go_on(self) except -1:
        """Begin the procedure, or go on with it."""
        cdef Run run = self.run
        cdef bint begun = self.under_way
        cdef int status
        argument = self.argument
        self.argument = None
        self.under_way = True
        if self.procedure == INITIALIZE:
            if run.initialize_all() == SUSPENDED:
                return SUSPENDED
        elif self.procedure == EXECUTE:
            if not begun:
                run.begin(argument, False)
            if run.advance() == SUSPENDED:
                return SUSPENDED
            self.value = run.take_result()
        elif self.procedure == PROCESS or self.procedure == FLUSH:
            if not begun and self.procedure == PROCESS:
                run.begin_process(argument)
            elif not begun:
                run.begin_flush()
            try:
                if run.advance() == SUSPENDED:
                    return SUSPENDED
            except BaseException:
                run.keep_errors()
                raise
            run.keep_errors()
            self.value = run.take_results()
        elif self.procedure == NEXT_OUTPUT:
            status = run.advance()
            if status == SUSPENDED:
                return SUSPENDED
            self.value = run.take_output() if status == 1 else None
        elif self.procedure == ABANDON:
            run.stop_asked = False
            if run.persist(False) == SUSPENDED:
                return SUSPENDED
            run.abandoned()
        elif run.ended:
            self.value = argument
        else:
            if not begun:
                run.ended_by = argument
                if isinstance(argument, GeneratorExit):
                    return self.finish_now()
            if run.finish() == SUSPENDED:
                return SUSPENDED
            self.value = run.ended_by
            run.ended_by = None
        return 1

    cdef int finish_now(self) except -1:
        """Go on without waiting: whatever suspends is interrupted (GeneratorExit), once, then dropped."""
        cdef Run run = self.run
        interrupted = None
        while True:
            if self.go_on() != SUSPENDED:
                return 1
            run.yielded = None
            if run.pending is not None and run.pending is interrupted:
                run.pending = None
                run.closing = False
                run.failures.append(RuntimeError("a node ignored GeneratorExit"))
            else:
                interrupted = run.pending
                run.thrown = GeneratorExit()


cdef class AsyncStreamBase:
    """What `AsyncStream` does in C: to ask a compiled run for the next item.

    Parameters
    ----------
    with_node : bool
        Give pairs ``(node id, item)``.

    Notes
    -----
    The other parts are its coroutines ``_next`` (the first item, and any of the reference engine), ``_ended`` and
    ``_failed``.
    """

    def __init__(self, bint with_node):
        self.with_node = with_node

    def __aiter__(self):
        return self

    def __anext__(self):
        cdef Next following = Next.__new__(Next)
        following.stream = self
        return following


cdef class Next(Awaitable):
    """The next item of a stream, as an awaitable."""

    cdef int resume(self, object sent, object thrown) except -1:
        cdef AsyncStreamBase stream = self.stream
        cdef Run run = stream.native
        if self.slow is not None:
            return self.delegate(sent, thrown)
        if not self.inside:
            if stream.busy:
                raise SessionBusyError("the stream is being iterated; one caller at a time")
            if run is None:
                self.slow = stream._next()
                return self.delegate(sent, thrown)
            stream.busy = True
            self.inside = True
        run.sent = sent
        run.thrown = thrown
        return self.go_on()

    cdef int go_on(self) except -1:
        """Ask the run; leave to the coroutines of the stream what is no item."""
        cdef AsyncStreamBase stream = self.stream
        cdef Run run = stream.native
        cdef int status
        try:
            status = run.advance()
            if status == SUSPENDED:
                stream.waiting = current_task()
                wait_in(run, stream.waiting)
                self.yielded = run.yielded
                run.yielded = None
                return SUSPENDED
            stream.waiting = None
            if status == 1 and stream.closing:
                raise SessionClosedError("the stream was closed while an item was on its way")
        except BaseException as error:
            stream.waiting = None
            self.slow = stream._failed(error)
            return self.delegate(None, None)
        if status == 0:
            self.slow = stream._ended()
            return self.delegate(None, None)
        stream.busy = False
        self.value = run.out_item
        run.out_item = None
        if stream.with_node:
            self.value = (run.plan.graph.ids[run.out_node], self.value)
        return 1

    cdef int delegate(self, object sent, object thrown) except -1:
        """Drive the coroutine that took over."""
        cdef PyObject* result = NULL
        cdef PySendResult status
        if thrown is not None:
            try:
                self.yielded = self.slow.throw(thrown)
            except StopIteration as stop:
                self.value = stop.value
                return 1
            return SUSPENDED
        status = PyIter_Send(<PyObject*> self.slow, <PyObject*> sent, &result)
        if status == PYGEN_NEXT:
            self.yielded = steal(result)
            return SUSPENDED
        if status == PYGEN_RETURN:
            self.value = steal(result)
            return 1
        return raise_again()


def awaitable(run, str procedure, argument=None):
    """Return the call of the method named `procedure` of a run, of either engine, as an awaitable."""
    cdef Pending pending
    if not isinstance(run, Run):
        return run.awaitable(procedure, argument)
    pending = Pending.__new__(Pending)
    pending.run = run
    pending.run.on_loop = True
    pending.procedure = PROCEDURES[procedure]
    pending.argument = argument
    return pending


set_send(Awaitable, <void*> send)
set_send(Pending, <void*> send)
set_send(Next, <void*> send)
