"""Nodes behind guards: ``retry`` and ``circuit_breaker``, as wrappers around the instance (R12).

Put on by `remotemedia.blueprint` where the manifest asks, so both engines meet the same, and only those nodes pay.
A guard hands every method on to the node but ``process``. Each attempt is one call of the node: its ``timeout_ms``
bounds the attempt, the breaker counts it, and an open breaker ends the attempts. Where there were several, the last
failure leaves in an `AfterAttemptsError`, of which the engine makes the `NodeError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from remotemedia.breaker import Breaker
from remotemedia.errors import ManifestIssue, bounded_repr
from remotemedia.limits import attempt_limit_of, bounded
from remotemedia.pauses import WORLD, World
from remotemedia.retries import Again, retried_types
from remotemedia.returns import async_series
from remotemedia.shared import SharedNode, call
from remotemedia.traits import innermost, read_traits, what_else
from remotemedia.trials import Attempts, Trial, begun, drawn

if TYPE_CHECKING:
    from remotemedia._core.node import NodeContext, NodeInfo


class Guard:
    """The base of all guards: everything but ``process``. Made by a `GuardedFactory`.

    Attributes
    ----------
    attempts : Attempts
        What the run looks at.
    fault : ManifestIssue or None
        Why the node cannot be guarded as asked.
    spec : NodeSpec
        The node in the manifest.
    breaker, again : Breaker or None, Again or None
        What the manifest asks for.
    world : World
        Where its waits are.
    """

    def __init__(self, node: Any, position: int, spec: Any, world: World) -> None:
        self.__wrapped__ = node
        self.attempts = Attempts(spec.retry is not None, spec.isolation == "thread")
        self.spec = spec
        self.world = world
        self._traits = read_traits(node)
        self.breaker = breaker_of(node, spec, world)
        self.again: Again | None = None
        self._call: Callable[[Any], Any] | None = None
        found = guarded_as_asked(node, position, spec)
        self.fault = found if isinstance(found, ManifestIssue) else None
        if not isinstance(found, ManifestIssue) and spec.retry is not None:
            self.again = Again(spec.retry, found, world)

    def initialize(self, context: NodeContext) -> Any:
        """Forward."""
        return call(self.__wrapped__, "initialize", context)

    def process(self, item: Any) -> Any:
        """Call the node, or try to; `item` is what its ``process`` or ``process_batch`` takes."""
        raise AssertionError("every kind of guard has its own")

    def process_batch(self, items: list[Any]) -> Any:
        """Do the same where the node takes batches: one is tried as a whole."""
        return self.process(items)

    def flush(self) -> Any:
        """Forward."""
        return call(self.__wrapped__, "flush")

    def produce(self) -> Any:
        """Forward."""
        return self.__wrapped__.produce()

    def cleanup(self) -> Any:
        """Forward."""
        return call(self.__wrapped__, "cleanup")

    def info(self) -> NodeInfo:
        """Forward."""
        info: NodeInfo = self.__wrapped__.info()
        return info

    def _method(self) -> Callable[[Any], Any]:
        """Return the node's ``process`` with its time limit; looked up at the first call, when it is initialized."""
        if self._call is None:
            method = getattr(self.__wrapped__, self._traits.entry)
            limit, traits = attempt_limit_of(self.spec), self._traits
            if limit is not None:
                awaits, streams = "process" in traits.awaits, "process" in traits.streams
                method = bounded(method, limit, "process", awaits, streams, traits.many)
            self._call = method if self.again is None or not traits.batches else on_a_copy(method)
        return self._call


def on_a_copy(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `method` for a batch that may be tried again: the node may change what it gets."""
    return lambda items: method(items.copy())


class PlainGuard(Guard):
    """Of a node whose ``process`` is a plain method that gives one item."""

    def process(self, item: Any) -> Any:
        """Call the node until an attempt is well, or the last one failed."""
        method = self._method()
        trial = Trial(self)
        try:
            while True:
                trial.begin()
                try:
                    given = method(item)
                except BaseException as error:
                    if trial.fails(error):
                        raise
                else:
                    trial.succeeds()
                    return given
                trial.wait()
        finally:
            trial.end()


class ManyGuard(Guard):
    """Of a plain many-node: an attempt that has emitted something is the last."""

    def process(self, item: Any) -> Any:
        """Call the node until an attempt gives its first item, or the last one failed."""
        method = self._method()
        trial = Trial(self)
        ours = False
        try:
            while True:
                trial.begin()
                try:
                    given = method(item)
                    ours = True
                    iterator = drawn(self.__wrapped__, given)
                    ours = False
                    return begun(trial, iterator)
                except BaseException as error:
                    if trial.fails(error, ours=ours):
                        raise
                trial.wait()
        finally:
            trial.end()


class AwaitedGuard(Guard):
    """Of a node with ``async def process``, be it one that gives an iterable of items."""

    async def process(self, item: Any) -> Any:
        """Await the node until an attempt is well, or the last one failed."""
        from remotemedia.workers import to_await

        method = self._method()
        trial = Trial(self)
        ours = False
        try:
            while True:
                trial.begin()
                try:
                    given = method(item)
                    ours = True
                    given = to_await(self.__wrapped__, given)
                    ours = False
                    given = await given
                    if self._traits.many:
                        ours = True
                        iterator = drawn(self.__wrapped__, given)
                        ours = False
                        return begun(trial, iterator)
                except BaseException as error:
                    if trial.fails(error, ours=ours):
                        raise
                else:
                    trial.succeeds()
                    return given
                await trial.sleep()
        finally:
            trial.end()


class StreamGuard(Guard):
    """Of a node whose ``process`` is an async generator: an attempt that has emitted something is the last."""

    async def process(self, item: Any) -> AsyncIterator[Any]:
        """Draw from the node until an attempt comes to its end, or the last one failed."""
        method = self._method()
        trial = Trial(self)
        ours = emitted = False
        try:
            while True:
                trial.begin()
                stream: Any = None
                try:
                    given = method(item)
                    ours = True
                    stream = async_series(self.__wrapped__, "process", given)
                    ours = False
                    while True:
                        try:
                            output = await stream.__anext__()
                        except StopAsyncIteration:
                            break
                        if output is not None:
                            emitted = True
                            yield output
                        del output
                except BaseException as error:
                    if trial.fails(error, ours=ours, emitted=emitted):
                        raise
                else:
                    trial.succeeds()
                    return
                finally:
                    if hasattr(stream, "aclose"):
                        await stream.aclose()
                await trial.sleep()
        finally:
            trial.end()


class GuardedFactory:
    """Makes a node, and puts its guard on.

    Attributes
    ----------
    factory : callable
        Makes the node alone.
    """

    def __init__(self, factory: Callable[[], Any], position: int, spec: Any) -> None:
        self.factory = factory
        self._position = position
        self._spec = spec

    def __call__(self) -> Any:
        """Make a node behind its guard."""
        return self.guard(self.factory())

    def guard(self, node: Any) -> Any:
        """Return a node behind its guard; what is no node as it is, since the plan refuses it."""
        if what_else(node) is not None:
            return node
        traits = read_traits(node)
        if "process" in traits.streams:
            kind: type[Guard] = StreamGuard
        elif "process" in traits.awaits:
            kind = AwaitedGuard
        else:
            kind = ManyGuard if traits.many else PlainGuard
        return kind(node, self._position, self._spec, WORLD)


def is_guarded(spec: Any) -> bool:
    """Whether the manifest asks for a guard."""
    return spec.retry is not None or spec.circuit_breaker is not None


def guarded_as_asked(node: Any, position: int, spec: Any) -> Any:
    """Return the errors after which a node is called again (None without ``retry``), or why it cannot be guarded."""
    name = f"node {bounded_repr(spec.id)} ({spec.node_type})"
    path = f"$.nodes[{position}]"
    if callable(getattr(innermost(node), "produce", None)):
        key = "retry" if spec.retry is not None else "circuit_breaker"
        return ManifestIssue(f"{path}.{key}", f"{name} is a producer, which is called once; leave it out")
    if spec.retry is None:
        return None
    return retried_types(spec.retry, innermost(node), f"{path}.retry", name)


def breaker_of(node: Any, spec: Any, world: World) -> Breaker | None:
    """Return the breaker of a node, None if it has none; a shared instance has one for all its users."""
    asked = spec.circuit_breaker
    if asked is None:
        return None
    breaker = Breaker(asked.failure_threshold, asked.reset_ms, world)
    if isinstance(node, SharedNode):
        return node.kept((asked.failure_threshold, asked.reset_ms), breaker)
    return breaker
