"""Nodes that take batches, where the passes of a run are made one after the other. Read `travel` first.

A 1-to-1 batch divides the scope that its node is in into *sections*. A pass runs the first of them, and then waits at
the node (`Place`), with what it left for the steps behind; the next pass begins. When there are enough, the node is
called for all, and each pass goes on with the next section, in order. What a pass emits before the last section
waits with it, so everything comes out as if one pass had been made after the other. At the end of the input, or of
the call that opened the scope, what waits is called as it is.

An error that ends the run does so when the passes before it are at their end. An n-to-m batch is an opener, which is
called when it has enough items, and with the rest before it is flushed.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from remotemedia.batching import Failed, outputs_of
from remotemedia.errors import NodeError, SessionClosedError, set_traceback
from remotemedia.reference.awaiting import Await, as_scopes
from remotemedia.reference.graph import RUN
from remotemedia.reference.lifecycle import raise_any
from remotemedia.reference.sections import Pass, Place, is_merge, resume, sections_of
from remotemedia.reference.travel import Call, Travel
from remotemedia.returns import refuse_lazy

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from remotemedia.reference.awaiting import Part
    from remotemedia.reference.lifecycle import Lifecycle
    from remotemedia.reference.steps import Line, Program, Step
    from remotemedia.reference.travel import Emission, OnError

NOW = object()
"""In place of an index: that of the item that was pulled last."""


class Posted(Await):
    """Stands among the lines for what is to be emitted now."""

    def __init__(self, posts: list[Emission]) -> None:
        self.posts = posts


def travel_of(program: Program, policy: str, lifecycle: Lifecycle, on_error: OnError | None) -> Travel:
    """Return what drives the passes of a run."""
    batches = any(step.batching is not None for step in program.steps)
    return (BatchTravel if batches else Travel)(program, policy, lifecycle, on_error)


class BatchTravel(Travel):
    """The passes of a run with nodes that take batches."""

    def __init__(self, program: Program, policy: str, lifecycle: Lifecycle, on_error: OnError | None) -> None:
        super().__init__(program, policy, lifecycle, on_error)
        self._sections = sections_of(program)
        self._gathered: dict[int, list[tuple[int | None, Any]]] = {
            step.position: [] for step in program.steps if step.batching is not None and step.batching.many
        }
        self._posts: list[Emission] | None = None  # of the pass under way; None: who drives gets them
        self._at: Any = NOW
        self._under_way: list[tuple[int, int, Pass]] = []  # scope and section of each pass that is in one
        self._others: list[NodeError] = []
        self._final: BaseException | None = None

    # --- driving ---

    def drive(self, passes: Iterator[Iterable[Line]]) -> Iterator[Emission]:
        """Make the passes; what ends the run does so after the passes before it."""
        self._posts, self._at, self._final = None, NOW, None
        self._under_way.clear()
        self._others = []
        while True:
            try:
                for emission in super().drive(passes):
                    for posted in emission[1].posts if isinstance(emission[1], Posted) else (emission,):
                        if self._posts is None or posted[0] is None:
                            yield posted
                        else:
                            self._posts.append(posted)
                return
            except Exception as error:
                if error is self._final or (self.stopping and isinstance(error, SessionClosedError)):
                    self._final = None
                    if isinstance(error, NodeError):
                        error.others += self._others
                    self._others = []
                    raise
                passes = iter((self._end(error),))

    def _end(self, error: BaseException) -> Iterator[Line]:
        """Give the lines of the passes before the one that failed, then raise its error."""
        try:
            if isinstance(self._final, NodeError):  # of a pass behind this one
                self._others.append(self._final)
            self._final = error
            for step in self._program.steps + self._program.outlets:
                step.drop_items()  # of the pass that failed, and those around it
            while self._under_way:
                scope, k, travelling = self._under_way.pop()
                self._posts, self._at = travelling.outer, NOW
                yield from self._drain(scope, k)
                if travelling.posts:
                    yield None, Posted(travelling.posts)
            self._posts, self._at = None, NOW
            yield from self._drain(RUN)
            raise error
        finally:
            del error

    def inputs(self, items: Any, first: int = 0) -> Iterator[Iterable[Line]]:
        """Do the same; what waits at the end is called."""
        yield from super().inputs(items, first)
        yield self._drain(RUN)

    def flushes(self) -> Iterator[Iterable[Line]]:
        """Do the same; a node with n-to-m batches is called with the rest before it is flushed."""
        self._flushing = True
        for step in self._program.steps:
            if self._gathered.get(step.position):
                yield self._rest(step)
            if step.traits.flushes:
                self._lifecycle.log("flush", step)
                yield from self._below(Call(step, "flush"))

    def close_calls(self) -> Part[None]:
        """Do the same; what waits comes to nothing."""
        for sections in self._sections.values():
            for section in sections[:-1]:
                assert section.place is not None
                section.place.drop_items()
        for step in self._program.steps:
            held = self._gathered.get(step.position, [])
            step.filtered += len(held)
            held.clear()
        return super().close_calls()

    # --- passes ---

    def _lines(self, scope: int) -> Iterable[Line]:
        if scope not in self._sections:
            return super()._lines(scope)
        return self._section(scope, 0, Pass(self._index(), None, self._posts))

    def _section(self, scope: int, k: int, travelling: Pass, opened: int | None = None) -> Iterator[Line]:
        """Give the lines of a section, before them those of the scope that was `opened`; then let the pass wait."""
        section = self._sections[scope][k]
        place = section.place
        posts, at = self._posts, self._at
        self._at = travelling.index
        if place is not None:
            self._posts = travelling.posts
        elif travelling.posts:
            yield None, Posted(travelling.posts)
            travelling.posts = []
        self._under_way.append((scope, k, travelling))
        if opened is not None:
            yield from self._lines(opened)
            yield from self._drain(opened)
        yield from section.lines
        if place is not None:
            if travelling.item is None:
                travelling.item = self._arrived(place.step, next(place.step.arrivals(), None))
            place.leave(travelling)
        self._under_way.pop()
        self._posts, self._at = posts, at
        if place is not None and (place.is_full or place.called):
            yield from self._call(scope, k, place)

    def _drain(self, scope: int, first: int = 0) -> Iterator[Line]:
        """Give the lines of all passes that wait in a scope, from a section on."""
        for k, section in enumerate(self._sections.get(scope, ())):
            while k >= first and section.place is not None and section.place.waiting:
                yield from self._call(scope, k, section.place)

    def _call(self, scope: int, k: int, place: Place) -> Iterator[Line]:
        """Call a node for the passes that wait at it, and let each go on."""
        step, waiting, place.waiting = place.step, place.waiting, []
        items = [travelling.item for travelling in waiting if travelling.item is not None]
        outputs = (yield from self._outputs(step, items)) if items else []
        place.call(waiting, outputs)
        del waiting, items, outputs  # this frame may be below one in the traceback of what failed
        while place.called:
            travelling = place.called[0][0]
            resume(travelling)
            item, travelling.item = travelling.item, None
            opened = None
            output = self._checked(scope, k, place, item)
            if output is not None:
                step.passed += 1
                for target in step.targets:
                    target.put(output)
                if not is_merge(step):  # it has an outlet if it is a sink, and opens a scope if it has a flush
                    opened = step.position
            del output, item
            yield from self._section(scope, k + 1, travelling, opened)

    def _outputs(self, step: Step, items: list[Any]) -> Generator[Line, None, list[Any]]:
        """Call a node with a batch; return an output for each item, `Failed` where there is none."""
        if step.clock is not None:
            step.clock.start()
        try:
            given = step.process(items.copy())
            if "process" in step.traits.awaits:
                waiting = Await(step.node, "process_batch", given)
                yield None, waiting
                given = waiting.outcome()
                del waiting
            try:
                return outputs_of(step.node, len(items), given)
            finally:
                del given  # this frame may be below one in the traceback of what is in it
        except Exception as error:
            return [Failed(error) for _ in items]
        except BaseException:
            step.failed += len(items)
            raise
        finally:
            for _ in items if step.clock is not None else ():
                assert step.clock is not None
                step.clock.end()

    def _checked(self, scope: int, k: int, place: Place, item: Any) -> Any:
        """Return the output of the pass that goes on next; None if it has none: filtered, failed, or no item."""
        step = place.step
        travelling, output = place.called.popleft()
        if item is None:
            return None
        try:
            if isinstance(output, Failed):
                failure = output.error
                set_traceback(failure, output.trace)
                del output  # it has the error, and would be in its traceback
                try:
                    raise failure
                finally:
                    del failure
            refuse_lazy(step.node, "process_batch", output)
        except Exception as error:
            at, self._at = self._at, travelling.index
            verdict = self._verdict(step, "process", error, item)
            self._at = at
            if verdict is not None:
                self._under_way.append((scope, k + 1, travelling))
                self._others += [error_of(step, *failure) for failure in place.failures()]
            try:
                raise_any(verdict)
            finally:
                del verdict  # this frame is in its traceback
            return None
        step.filtered += output is None
        return output

    def _arrived(self, step: Step, item: Any) -> Any:
        """Return what a node with batches gets of an item; None if there is none, or copying it failed."""
        if item is None or not step.copies:
            return item
        try:
            copied = copy.deepcopy(item)
            if copied is None:
                raise TypeError("copying the item gave None")
        except BaseException as error:
            raise_any(self._verdict(step, "copy", error, item))
            return None
        return copied

    # --- openers ---

    def _visit(self, step: Step) -> Iterator[Line]:
        self._open(step.position)
        if step.batching is None:
            yield from super()._visit(step)
        batching = step.batching
        for item in step.arrivals() if batching is not None else ():
            assert batching is not None
            arrived = self._arrived(step, item)
            if arrived is None:
                continue
            if not batching.many:  # it is a merge, too
                travelling = Pass(self._index(), arrived, self._posts)
                yield from self._section(step.position, 0, travelling)
                continue
            held = self._gathered[step.position]
            held.append((self._index(), arrived))
            if len(held) >= batching.size:
                yield from self._called(self._batch(step))
            elif step.clock is not None:
                step.clock.start()
                step.clock.end()
        yield from self._drain(step.position)
        self._under_way.pop()

    def _open(self, scope: int) -> None:
        """Note that passes over a scope are made, some of which may wait: to the `_under_way`."""
        self._under_way.append((scope, 0, Pass(NOW, None, self._posts)))

    def _batch(self, step: Step) -> Call:
        """Return the call of a node with n-to-m batches for what it has."""
        held = self._gathered[step.position]
        call = Call(step, "process", [item for _, item in held])
        call.members = held.copy()
        held.clear()
        return call

    def _rest(self, step: Step) -> Iterator[Line]:
        """Give the pass of the last, short batch of a node: it begins with the call."""
        scopes = self._scopes_around(step.position)
        yield from self._called(self._batch(step))
        for scope in scopes:
            if scope != step.position:
                yield from self._lines(scope)
            yield from self._drain(scope)
        del self._under_way[-len(scopes) :]

    def _scopes_around(self, scope: int) -> list[int]:
        """Return a scope and those around it, all of which are opened."""
        scopes = [scope]
        while (around := self._program.outer[scopes[-1]]) is not None:
            scopes.append(around)
        for opened in reversed(scopes):
            self._open(opened)
        return scopes

    def _below(self, call: Call) -> Iterator[Iterable[Line]]:
        step = call.step
        scopes = self._scopes_around(step.position)
        alone = not any(self._program.scopes[scope] for scope in scopes[1:])  # nothing there waits for what comes out
        while (output := (yield from as_scopes(self._next(call)))) is not None:
            for target in step.targets:
                target.put(output)
            for scope in scopes:
                yield self._lines(scope)
                if not alone:
                    yield self._drain(scope)
        yield self._drain(step.position)
        del self._under_way[-len(scopes) :]

    # --- errors ---

    def _index(self) -> int | None:
        index: int | None = super()._index() if self._at is NOW else self._at
        return index

    def _verdict_of(self, call: Call, error: BaseException) -> BaseException | None:
        if call.members is None:
            return super()._verdict_of(call, error)
        at, trace, first = self._at, error.__traceback__, None
        for self._at, item in call.members:
            set_traceback(error, trace)  # which is taken where an error is kept
            verdict = self._verdict(call.step, "process", error, item)
            if first is None:
                first = verdict
            elif isinstance(verdict, NodeError):
                self._others.append(verdict)
        self._at = at
        return first


def error_of(step: Step, travelling: Pass, failed: Failed) -> NodeError:
    """Return the error of an item of a batch that failed behind the one that ends the run."""
    return NodeError.of(
        failed.error,
        node_id=step.id,
        node_type=step.type,
        phase="process",
        item_index=travelling.index,
        item=travelling.item,
    )
