"""The attempts that a guarded node makes for one item (`remotemedia.guards`), the same for all kinds of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from remotemedia.errors import AfterAttemptsError, CircuitOpenError, SessionClosedError
from remotemedia.retries import is_refusal
from remotemedia.returns import emitted_many

if TYPE_CHECKING:
    from remotemedia.guards import Guard
    from remotemedia.pauses import World


class Attempts:
    """What a run and a guard have in common: how often the node was called, and whether waits are of any use.

    Attributes
    ----------
    count : int or None
        Calls of the node; None where it has no ``retry``, and each item is one call.
    halted : threading.Event
        Nobody waits for the outcome of a call: waits come to their end.
    closed : bool
        And it was who closed the run.
    """

    def __init__(self, counts: bool, in_threads: bool) -> None:
        self._lock = Lock()
        self._in_threads = in_threads  # such calls are left behind when they are interrupted
        self._waits = 0
        self._interrupted = False
        self.count = 0 if counts else None
        self.halted = Event()
        self.closed = False

    def halt(self, *, closed: bool) -> None:
        """Let waits come to their end, in whichever thread they are."""
        self.closed = self.closed or closed
        self.halted.set()

    def resume(self) -> None:
        """Let waits be waits again."""
        self.closed = False
        self.halted.clear()

    def interrupt(self) -> None:
        """Break off a wait of the run's own thread, if it is in one."""
        with self._lock:
            if self._waits and not self._in_threads:
                self._interrupted = True
                self.halted.set()

    def wait(self, world: World, seconds: float) -> bool:
        """Wait; return whether the run comes to its end. `Interrupted` if what the node is called with is dropped."""
        with self._lock:
            self._waits += 1
        try:
            halted = world.wait(self.halted, seconds)
        finally:
            with self._lock:
                self._waits -= 1
                interrupted, self._interrupted = self._interrupted, False
        if interrupted and not self.closed:
            from remotemedia._core.run import Interrupted  # only such a run interrupts

            self.halted.clear()
            raise Interrupted
        return halted

    def begin_count(self) -> None:
        """Count calls, also without a ``retry``: the node may be called more than once for an item."""
        if self.count is None:
            self.count = 0

    def add(self) -> None:
        """Count a call."""
        if self.count is not None:
            with self._lock:
                self.count += 1


class Trial:
    """One item at a guard, and the attempts that are made for it."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._attempts = 0
        self._era = 0
        self._failure: BaseException | None = None  # of the attempt before; `end` lets go of it

    def begin(self) -> None:
        """Begin an attempt. If the breaker is open, raise that; or the failure before it, if there was one."""
        guard = self._guard
        if guard.breaker is not None:
            try:
                self._era = guard.breaker.enter(guard.spec.id, guard.spec.node_type)
            except CircuitOpenError:
                if self._failure is None:
                    raise
                raise AfterAttemptsError(self._failure, self._attempts) from None
        self._attempts += 1
        guard.attempts.add()

    def succeeds(self) -> None:
        """Note that the attempt came to a good end."""
        if self._guard.breaker is not None:
            self._guard.breaker.succeeded(self._era)

    def fails(self, failure: BaseException, *, ours: bool = False, emitted: bool = False) -> bool:
        """Note what the attempt raised; return whether it was the last, or raise that if there were others before it.

        Parameters
        ----------
        failure : BaseException
            What it raised.
        ours : bool
            It is the refusal of what the node returned, which no further attempt mends.
        emitted : bool
            Items of it are on their way.
        """
        again, breaker = self._guard.again, self._guard.breaker
        if breaker is not None:
            if isinstance(failure, Exception) and not ours and not is_refusal(failure):
                breaker.failed(self._era)
            else:
                breaker.left(self._era)
        may_repeat = not ours and not emitted and (breaker is None or not breaker.is_open)
        if may_repeat and again is not None and again.is_due(failure, self._attempts):
            self._failure = failure
            return False
        if self._attempts > 1 and isinstance(failure, Exception):
            raise AfterAttemptsError(failure, self._attempts)
        return True

    def leaves(self) -> None:
        """Note that nobody wants the outcome of the attempt."""
        if self._guard.breaker is not None:
            self._guard.breaker.left(self._era)

    def wait(self) -> None:
        """Wait, in this thread, for the next attempt; if the run comes to its end meanwhile there is none."""
        guard = self._guard
        assert guard.again is not None
        if guard.attempts.wait(guard.world, guard.again.wait_s(self._attempts)):
            if guard.attempts.closed:
                raise SessionClosedError("closed while it was running")
            assert self._failure is not None
            raise AfterAttemptsError(self._failure, self._attempts)

    async def sleep(self) -> None:
        """Wait in this task."""
        guard = self._guard
        assert guard.again is not None
        await guard.world.sleep(guard.again.wait_s(self._attempts))

    def end(self) -> None:
        """Let go of what failed: its traceback leads back here."""
        self._failure = None


class Outputs:
    """What is left of an attempt of a many-node that has given its first item."""

    def __init__(self, trial: Trial, iterator: Iterator[Any], first: Any) -> None:
        self._trial = trial
        self._iterator = iterator
        self._first = first

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            return next(self._iterator)
        except StopIteration:
            self._trial.succeeds()
            raise
        except BaseException as error:
            self._trial.fails(error, emitted=True)
            raise

    def close(self) -> None:
        """Close the iterator, if it can be closed."""
        self._first = None
        self._trial.leaves()
        close(self._iterator)


def drawn(node: Any, given: Any) -> Iterator[Any] | None:
    """Return the iterator of what ``process`` of a many-node gave; None for None."""
    return None if given is None else iter(emitted_many(node, given))


def begun(trial: Trial, iterator: Iterator[Any] | None) -> Outputs | None:
    """Return the items of an attempt, the first of them drawn; None if there are none."""
    try:
        for item in iterator or ():
            if item is not None:
                assert iterator is not None
                return Outputs(trial, iterator, item)
    except BaseException:
        close(iterator)
        raise
    trial.succeeds()
    return None


def close(iterator: Any) -> None:
    """Close an iterator, if it can be closed."""
    if hasattr(iterator, "close"):
        iterator.close()
