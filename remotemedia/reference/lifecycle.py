"""Beginnings and ends of the nodes of a run: who is initialized, cleaned up, claimed (R01-R07, R11, R13)."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from remotemedia.errors import NodeError, settle
from remotemedia.parallel_init import Call, initialize, initialize_async
from remotemedia.reference.awaiting import wait_for
from remotemedia.reference.nodes import TWINS
from remotemedia.returns import refuse_lazy
from remotemedia.workers import to_await

if TYPE_CHECKING:
    from collections.abc import Callable

    from remotemedia._core.node import Claims, NodeContext
    from remotemedia.reference.awaiting import Part
    from remotemedia.reference.steps import Step

logger = logging.getLogger("remotemedia")


class Lifecycle:
    """What is to be undone at the end of a run.

    Attributes
    ----------
    failures : list of BaseException
        What cleanups raised, and generators that were closed.
    """

    def __init__(self, steps: list[Step], claims: Claims) -> None:
        self._steps = steps  # in topological order
        self._started = 0  # how many of them were initialized and not cleaned up
        self._claims = claims
        self._begun: set[Step] | None = None  # with parallel_init: those of them whose initialize was called
        self._debug = logger.isEnabledFor(logging.DEBUG)
        self.failures: list[BaseException] = []

    def initialize(self, step: Step, context: NodeContext) -> Part[None]:
        """Initialize the node that comes next."""
        self.log("initialize", step)
        self._started += 1  # before the call: one that failed half-way is cleaned up too
        yield from self._call(step, "initialize", context)

    def calls(self, steps: list[Step], context: Callable[[int], NodeContext]) -> list[Call]:
        """Return the ``initialize`` of every step, to be called beside others; what was begun is cleaned up."""
        self._begun = set()
        self._started = len(steps)
        return [
            Call(
                step.rank,
                partial(self._begin, step, context),
                partial(self._finish, step),
                "initialize" in step.traits.awaits,
                type(step.node) in TWINS.values(),
            )
            for step in steps
        ]

    def initialize_levels(self, by_level: list[list[Call]], check: Callable[[], None], awaits: bool) -> Part[None]:
        """Initialize all nodes of a level at once."""
        if awaits:
            yield from wait_for(None, "initialize", initialize_async(by_level, check))
        else:
            initialize(by_level, check)

    def _begin(self, step: Step, context: Callable[[int], NodeContext]) -> Any:
        assert self._begun is not None
        self.log("initialize", step)
        self._begun.add(step)
        try:
            method = getattr(step.node, "initialize", None)
            if method is None:
                return None
            given = step.bounded("initialize", method)(context(step.position))
            if "initialize" in step.traits.awaits:
                return to_await(step.node, given, "initialize")
            refuse_lazy(step.node, "initialize", given)
        except Exception as error:
            raise NodeError.of(error, node_id=step.id, node_type=step.type, phase="initialize") from error

    def _finish(self, step: Step, outcome: Any, error: Exception | None) -> None:
        try:
            if error is not None:
                raise error
            refuse_lazy(step.node, "initialize", outcome)
        except Exception as failure:
            raise NodeError.of(failure, node_id=step.id, node_type=step.type, phase="initialize") from failure

    def bind(self) -> None:
        """Look up what is called per item, once all nodes are initialized."""
        for step in self._steps:
            try:
                step.bind()
            except Exception as error:
                raise NodeError.of(error, node_id=step.id, node_type=step.type, phase="initialize") from error

    def clean_up(self) -> Part[None]:
        """Clean up what was initialized, in reverse."""
        while self._started:
            self._started -= 1  # before anything can raise: never twice
            step = self._steps[self._started]
            if self._begun is not None and step not in self._begun:
                continue
            try:
                self.log("cleanup", step)
            finally:
                yield from self._call(step, "cleanup")

    def release(self) -> Part[None]:
        """Let go of all nodes and items."""
        self._claims.release()
        for step in self._steps:
            step.release()
        yield from ()

    def persist(self, *actions: Callable[[], Part[None]]) -> Part[None]:
        """Run `actions` to their end, whatever is raised meanwhile, be it a second Ctrl-C between two lines (R07).

        An action that is begun again goes on where it was interrupted.
        """
        while True:
            try:
                for action in actions:
                    yield from action()
                return
            except BaseException as failure:
                self.failures.append(failure)

    def settle(self, error: BaseException | None) -> BaseException | None:
        """Return what is to be raised: `error`, or what came after it (R05)."""
        failures, self.failures = self.failures, []
        return settle(error, failures)

    def log(self, phase: str, step: Step) -> None:
        """Tell that a node enters a phase."""
        if self._debug:
            logger.debug("%s node %r (%s)", phase, step.id, step.type)

    def _call(self, step: Step, phase: str, *args: Any) -> Part[None]:
        """Call a method that a node need not have, and that returns nothing."""
        try:
            method = getattr(step.node, phase, None)
            if method is not None:
                given = step.bounded(phase, method)(*args)
                if phase in step.traits.awaits:
                    given = yield from wait_for(step.node, phase, given)
                refuse_lazy(step.node, phase, given)
        except Exception as error:
            raise NodeError.of(error, node_id=step.id, node_type=step.type, phase=phase) from error


def raise_any(error: BaseException | None, but: BaseException | None = None) -> None:
    """Raise `error`, unless it is None or `but`; this frame, which is in its traceback then, does not hold it."""
    try:
        if error is not None and error is not but:
            raise error
    finally:
        del error, but
