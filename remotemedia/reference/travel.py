"""How items travel: passes over scopes, under the error policy (contract §2). Read `Travel.drive` first.

A pass runs the steps of a scope in topological order. A step takes the item that waits in its inlet, calls its node,
and puts the output into the inlets of the steps behind; along a line of steps it is handed straight on. At an opener
the scope is left for a while: for each of its outputs the steps of the scope that it opens are run (`Travel._visit`),
and there may be openers among them; what is to go on later stands on a list, never on the C stack. All of it is lazy:
what a sink emits leaves the generator before anything else happens, so a list of results, a session's `process` and a
stream are the same passes, consumed differently.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from remotemedia.errors import InputError, NodeError, SessionClosedError, detach
from remotemedia.items import refusal
from remotemedia.reference.awaiting import Await, as_lines, as_scopes, wait_for
from remotemedia.reference.graph import RUN
from remotemedia.reference.lifecycle import raise_any
from remotemedia.returns import NO_ITEM, async_series, emitted_many, refuse_lazy, series

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from remotemedia.reference.awaiting import Part
    from remotemedia.reference.lifecycle import Lifecycle
    from remotemedia.reference.steps import Line, Program, Step

END = object()
Emission = tuple[str | None, Any]  # sink id and item; None and an `Await`
OnError = Callable[[NodeError | InputError], object]


class Call:
    """One call of ``process``, ``flush`` or ``produce`` that may give many items; in flight until it gave the last."""

    def __init__(self, step: Step, phase: str, item: Any = None) -> None:
        self.step = step
        self.phase = phase
        self.item = item
        self.emitted = False
        self.members: list[tuple[int | None, Any]] | None = None  # of a batch: indexes and items
        self.timed = False  # the call of ``process`` is in the node's times
        self.iterator: Any = None  # None until the node has been called
        self._streams = phase in step.traits.streams

    @property
    def weight(self) -> int:
        """How many items it is for."""
        return 1 if self.members is None else len(self.members)

    def start(self) -> Any:
        """Call the node; return what it gives, or the `Await` for it."""
        step = self.step
        if self.phase == "process":
            if step.copies and self.members is None:  # those are copied when they arrive
                self.item = self._copy()
            given = step.process(self.item)
        else:
            given = getattr(step.node, self.phase)()
        return Await(step.node, self.phase, given) if self.phase in step.traits.awaits else given

    def open(self, given: Any) -> None:
        """Take what the node gave as the items that come from `pull`."""
        step = self.step
        if self._streams:
            self.iterator = async_series(step.node, self.phase, given)
            return
        if self.phase == "process":
            if step.traits.many and given is not None:
                given = emitted_many(step.node, given)
            elif not step.traits.many:
                given = (given,)
        elif given is not None or self.phase == "produce":
            given = series(step.node, self.phase, given)
        self.iterator = iter(() if given is None else given)
        self._pull = partial(next, self.iterator, END)

    def pull(self) -> Any:
        """Return the next item or `END`, or the `Await` for it."""
        return Await(self.iterator, "__anext__", self.iterator.__anext__()) if self._streams else self._pull()

    def time(self, item: Any = None) -> None:
        """Count the time of what came to its end: a call of ``process``, or the making of an `item` by another."""
        clock, processing = self.step.clock, self.phase in ("process", "copy")
        if clock is not None and not self.timed:
            clock.end(is_call=processing or (self.phase == "produce" and item is not END))
            self.timed = processing

    def close(self) -> Part[None]:
        """Close what the node gave, if it can be closed."""
        if hasattr(self.iterator, "close"):
            self.iterator.close()
        elif hasattr(self.iterator, "aclose"):
            yield from wait_for(self.step.node, "aclose", self.iterator.aclose())

    def _copy(self) -> Any:
        self.phase = "copy"
        copied = copy.deepcopy(self.item)
        if copied is None:
            raise TypeError("copying the item gave None")
        self.phase = "process"
        return copied


class Travel:
    """The passes of one run or session, and what became of its items.

    Attributes
    ----------
    items_in, refused : int
        Input items pulled (or produced), and those among them that are no items.
    failures : list of (key, error)
        Under ``"collect"``, what failed in the call that is running; the keys give the order of R34.
    outer : BaseException or None
        What the caller was handling when the call began.
    stopping : bool
        Set by any thread: let the running call end at its next item.
    """

    def __init__(self, program: Program, policy: str, lifecycle: Lifecycle, on_error: OnError | None) -> None:
        self._program = program
        self._policy = policy
        self._on_error = on_error
        self._lifecycle = lifecycle
        self._calls: list[Call] = []  # in flight, the innermost last
        self._origin = 0  # what `items_in` was when the item with index 0 was, or would have been, the next
        self._flushing = False
        self.items_in = self.refused = 0
        self.failures: list[tuple[tuple[bool, int, int], NodeError | InputError]] = []
        self.outer: BaseException | None = None
        self.stopping = False

    def drive(self, passes: Iterator[Iterable[Line]]) -> Iterator[Emission]:
        """Make one pass after the other; give what the sinks emit, and what is to be awaited.

        While a scope inside a scope is run, the rest of the outer one waits on `suspended`.
        """
        suspended: list[Iterator[Line]] = []
        for scope in passes:
            lines = iter(scope)
            while True:
                for inlet, line in lines:
                    if inlet is None:  # not plain
                        if isinstance(line, Await):
                            yield None, line
                            continue
                        suspended.append(lines)
                        lines = self._visit(line[0])
                        break
                    item = inlet.item
                    if item is None:
                        continue
                    inlet.item = None
                    try:
                        for step in line:
                            process = step.process
                            output = process(item)
                            if type(output) in NO_ITEM:
                                refuse_lazy(step.node, "process", output)
                                step.filtered += 1
                                break
                            step.passed += 1
                            item = output
                    except BaseException as error:
                        raise_any(self._verdict(step, "process", error, item))
                        continue
                    if output is None:
                        continue
                    if step.sink:
                        yield step.id, output
                    else:
                        for target in step.targets:
                            target.item = output
                else:  # the scope is through
                    if not suspended:
                        break
                    lines = suspended.pop()
            item = output = None  # nothing of this pass is held while the next item is made

    def _visit(self, step: Step) -> Iterator[Line]:
        """Call a node that is not plain; for each of its outputs give the lines of the scope that it opens."""
        for item in step.arrivals():
            yield from self._called(Call(step, "process", item))

    def _called(self, call: Call) -> Iterator[Line]:
        """Call a node; for each of its outputs give the lines of the scope that it opens."""
        step = call.step
        while (output := (yield from as_lines(self._next(call)))) is not None:
            for target in step.targets:
                target.put(output)
            yield from self._lines(step.position)

    def _lines(self, scope: int) -> Iterable[Line]:
        """Return the lines of a pass over a scope."""
        return self._program.scopes[scope]

    def inputs(self, items: Any, first: int = 0) -> Iterator[Iterable[Line]]:
        """Give a pass over the run for each input item, put into every source; `first` is the index of the first."""
        sources = self._program.inputs
        self._origin = self.items_in - first
        self._flushing = False
        for item in items if hasattr(items, "__next__") else awaited_items(items):
            if type(item) is Await:
                yield [(None, item)]
                continue
            self.items_in += 1
            if type(item) in NO_ITEM:
                raise_any(self._refusal(item))
            else:
                for inlet in sources:
                    inlet.item = item
                del item
                yield self._lines(RUN)
            if self.stopping:
                raise closed()

    def produced(self) -> Iterator[Iterable[Line]]:
        """Give the passes of what the producers make, one producer after the other, each to its end."""
        self._origin = self.items_in
        self._flushing = False
        for step in self._program.producers:
            self._lifecycle.log("produce", step)
            yield from self._below(Call(step, "produce"))

    def flushes(self) -> Iterator[Iterable[Line]]:
        """Give the passes of what the nodes held back, in topological order."""
        self._flushing = True
        for step in self._program.flushers:
            self._lifecycle.log("flush", step)
            yield from self._below(Call(step, "flush"))

    def close_calls(self) -> Part[None]:
        """Close all calls in flight, innermost first."""
        while self._calls:
            if self._calls[-1].phase == "process":
                self._calls[-1].time()
            yield from self._close_innermost()

    def _below(self, call: Call) -> Iterator[Iterable[Line]]:
        """For each item of `call` give the passes below its node: the scope that it opens, then those around it."""
        step, program = call.step, self._program
        while (output := (yield from as_scopes(self._next(call)))) is not None:
            for target in step.targets:
                target.put(output)
            scope: int | None = step.position
            while scope is not None:
                yield self._lines(scope)
                scope = program.outer[scope]

    def _next(self, call: Call) -> Part[Any]:
        """Return the next item of `call`; None at its end, or if it failed and the run goes on."""
        step, item = call.step, None
        clock = step.clock
        while item is None:
            if self.stopping and (call.iterator is not None or call.phase != "process" or step.repeats):
                raise closed()
            if clock is not None:
                clock.start()
            try:
                if call.iterator is None:
                    self._calls.append(call)
                    given = call.start()
                    if isinstance(given, Await):
                        yield given
                        given = given.outcome()
                    call.open(given)
                    del given
                item = call.pull()
                if isinstance(item, Await):
                    yield item
                    item = item.outcome(END)
                if item is not END:
                    refuse_lazy(step.node, call.phase, item)
            except BaseException as error:
                call.time()
                self._count_failure(call)
                raise_any(self._verdict_of(call, error))
                yield from self._close_innermost()
                return None
            if clock is not None:
                clock.stop()  # what is below has its own time
        if item is END or call.phase != "process":
            call.time(item)
        if item is END:
            del self._calls[-1]
            if call.phase == "process" and not call.emitted:
                step.filtered += call.weight
            return None
        self._count_output(call)
        return item

    def _close_innermost(self) -> Part[None]:
        """Close the iterator of the innermost call in flight; what it raises counts as a cleanup error (R11)."""
        call = self._calls[-1]
        del self._calls[-1]
        try:
            yield from call.close()
        except Exception as error:
            failure = NodeError.of(error, node_id=call.step.id, node_type=call.step.type, phase="cleanup")
            self._lifecycle.failures.append(failure)

    # --- counts ---

    def _count_output(self, call: Call) -> None:
        """Count an item that `call` gave. A call passes with its first one, so the counts add up at any moment."""
        step = call.step
        if call.phase == "flush":
            step.flushed += 1
        elif call.phase == "produce":
            step.passed += 1
            self.items_in += 1
        else:
            step.out += 1
            step.passed += 0 if call.emitted else call.weight
        call.emitted = True

    def _count_failure(self, call: Call) -> None:
        """Take back that `call` passed. A producer fails in place of an item, whose index that takes."""
        if call.phase == "produce":
            self.items_in += 1
        elif call.phase != "flush":
            call.step.passed -= call.weight if call.emitted else 0

    # --- errors ---

    def _index(self) -> int | None:
        """Return the index of the input item under way; None in a flush."""
        return None if self._flushing else self.items_in - self._origin - 1

    def _verdict_of(self, call: Call, error: BaseException) -> BaseException | None:
        """Return what to raise for what a call raised."""
        return self._verdict(call.step, call.phase, error, call.item)

    def _verdict(self, step: Step, phase: str, error: BaseException, item: Any) -> BaseException | None:
        """Return what to raise for what a node raised, None if the policy lets the run go on."""
        ends_run = phase == "flush"
        step.failed += not ends_run
        if not isinstance(error, Exception) or (self.stopping and isinstance(error, SessionClosedError)):
            return error
        if self._policy == "skip" and not ends_run:
            return None
        failure = NodeError.of(
            error, node_id=step.id, node_type=step.type, phase=phase, item_index=self._index(), item=item
        )
        if self._policy == "stop" or ends_run:
            return failure
        self._keep(failure, step.rank)
        return None

    def _refusal(self, item: Any) -> BaseException | None:
        """Return what to raise for an input that is no item, None if the policy lets the run go on."""
        self.refused += 1
        error = refusal(item, self.items_in - self._origin - 1)
        if self._policy == "stop":
            return error
        if self._policy == "collect" and error is not None:
            self._keep(error, -1)
        return None

    def _keep(self, error: NodeError | InputError, rank: int) -> None:
        detach(error, self.outer)
        if self._on_error is not None:
            self._on_error(error)
            return
        index = error.item_index
        self.failures.append(((index is None, index or 0, rank), error))


def awaited_items(items: Any) -> Iterator[Any]:
    """Give the items of an async iterator, before each the `Await` for it."""
    while True:
        waiting = Await(items, "__anext__", items.__anext__())
        yield waiting
        item = waiting.outcome(END)
        if item is END:
            return
        yield item
        del item, waiting


def closed() -> SessionClosedError:
    """Return what ends a run that was asked to stop."""
    return SessionClosedError("closed while it was running")
