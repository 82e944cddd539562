"""Nodes registered with ``shared=True``: one instance for all runs of an executor (R13).

A run sees a `SharedNode` of its own, which forwards to the one instance under a lock, so the engines need to know
nothing of sharing. Owner of the instances: the executor, which cleans them up in `SharedNodes.close`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from threading import RLock
from typing import TYPE_CHECKING, Any

from remotemedia._core.node import NodeContext, NodeInfo
from remotemedia.errors import NodeError, RegistryError, SessionClosedError, bounded_repr, note, settle
from remotemedia.traits import Traits, read_traits, what_else

if TYPE_CHECKING:
    from remotemedia.breaker import Breaker
    from remotemedia.shared_async import Gate


class _Instance:
    """The one instance of a type, and what is known of it."""

    def __init__(self, factory: Callable[[], Any], node_type: str) -> None:
        self.factory = factory  # kept, so that its address is no other's
        self.node: Any = None  # made at the first use, outside any lock but this one's
        self.node_type = node_type
        self.lock = RLock()  # reentrant: a shared node may run a pipeline that uses it
        self.context: NodeContext | None = None  # set by the first initialize
        self.ended = False  # cleaned up: nothing of the node is called any more
        self.traits: Traits | None = None  # of the node
        self._gate: Gate | None = None
        self.breakers: dict[tuple[int, float], Breaker] = {}  # by what the manifests ask for

    @property
    def gate(self) -> Gate:
        """What serializes its async methods."""
        with self.lock:
            if self._gate is None:
                from remotemedia.shared_async import Gate

                self._gate = Gate()
            return self._gate


class SharedNodes:
    """The shared instances of one executor."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._instances: dict[tuple[str, int], _Instance] = {}  # by node type, and address of the factory
        self._started: list[_Instance] = []
        self._closed = False

    @property
    def alive(self) -> bool:
        """Whether an instance is initialized and not yet cleaned up."""
        return bool(self._started)

    def get(self, node_type: str, factory: Callable[[], Any]) -> SharedNode:
        """Return a run's own handle on the instance of `node_type`, made at the first call."""
        with self._lock:
            if self._closed:
                raise SessionClosedError("the executor is closed; its shared nodes are gone")
            instance = self._instances.get((node_type, id(factory)))
            if instance is None:
                instance = self._instances[node_type, id(factory)] = _Instance(factory, node_type)
        with instance.lock:
            if instance.node is None:
                node = factory()
                if what_else(node) is not None:  # no node: the next run asks again
                    return node  # type: ignore[no-any-return]  # the plan refuses it by name
                instance.node = node
        return SharedNode(instance, self)

    def start(self, instance: _Instance, context: NodeContext) -> None:
        """Initialize `instance` if it is not yet; all its users must give the same params."""
        with instance.lock:
            if not self._begin(instance, context):
                return
            try:
                call(instance.node, "initialize", context)
            except BaseException as error:
                self._forget(instance)
                try:
                    call(instance.node, "cleanup")  # half-built state is tolerated (R03)
                except Exception as failure:
                    note(error, f"while cleaning up: {type(failure).__name__}: {failure}")
                raise

    async def start_async(self, instance: _Instance, context: NodeContext) -> None:
        """Do the same where `initialize` or `cleanup` is async."""
        async with instance.gate:
            if not self._begin(instance, context):
                return
            try:
                await outcome(instance.node, "initialize", context)
            except BaseException as error:
                self._forget(instance)
                try:
                    await outcome(instance.node, "cleanup")
                except Exception as failure:
                    note(error, f"while cleaning up: {type(failure).__name__}: {failure}")
                raise

    def _begin(self, instance: _Instance, context: NodeContext) -> bool:
        """Return whether `instance` is to be initialized, which is noted."""
        if instance.context is not None:
            if instance.context.params != context.params:
                raise RegistryError(
                    f"shared node type {instance.node_type!r} runs with params "
                    f"{bounded_repr(instance.context.params)} (node {bounded_repr(instance.context.node_id)}); "
                    f"node {bounded_repr(context.node_id)} asks for {bounded_repr(context.params)}"
                )
            return False
        with self._lock:
            if self._closed:
                raise SessionClosedError("the executor is closed; its shared nodes are gone")
            self._started.append(instance)
            instance.context = context
        return True

    def _forget(self, instance: _Instance) -> None:
        """Take back what `_begin` noted: the next run makes a new instance."""
        with self._lock:
            self._started.remove(instance)
            self._instances = {key: kept for key, kept in self._instances.items() if kept is not instance}

    def close(self) -> None:
        """Clean up every instance, the last initialized first; errors as for a run (R05)."""
        with self._lock:
            self._closed = True
            started, self._started = self._started[::-1], []
            self._instances.clear()
        failures: list[BaseException] = []
        for instance in started:
            assert instance.context is not None
            try:
                with instance.lock:
                    instance.ended = True
                    if instance.traits is not None and "cleanup" in instance.traits.awaits:
                        run_now(outcome(instance.node, "cleanup"))
                    else:
                        call(instance.node, "cleanup")
            except Exception as error:
                where = instance.context
                failures.append(NodeError.of(error, node_id=where.node_id, node_type=where.node_type, phase="cleanup"))
            except BaseException as error:
                failures.append(error)
        final = settle(None, failures)
        del failures
        if final is not None:
            try:
                raise final
            finally:
                del final


class SharedNode:
    """One run's view of a shared instance. ``__wrapped__`` is the instance, from which the plan reads its traits."""

    def __init__(self, instance: _Instance, owner: SharedNodes) -> None:
        self.__wrapped__ = instance.node
        self._instance = instance
        self._owner = owner
        if instance.traits is None:
            instance.traits = read_traits(instance.node)
        self._traits = instance.traits

    def initialize(self, context: NodeContext) -> Any:
        """Initialize the instance at its first use."""
        if "initialize" in self._traits.awaits:
            return self._owner.start_async(self._instance, context)
        return self._owner.start(self._instance, context)

    def process(self, item: Any) -> Any:
        """Forward, serialized with all other users."""
        return self._forward("process", item)

    def process_batch(self, items: list[Any]) -> Any:
        """Forward, serialized with all other users."""
        return self._forward("process", items)

    def produce(self) -> Any:
        """Forward, serialized with all other users."""
        return self._forward("produce")

    def flush(self) -> Any:
        """Forward, serialized with all other users."""
        return self._forward("flush")

    def cleanup(self) -> Any:
        """Do nothing: the instance lives until the executor is closed."""
        return nothing() if "cleanup" in self._traits.awaits else None

    def info(self) -> NodeInfo:
        """Forward."""
        info: NodeInfo = self.__wrapped__.info()
        return info

    def kept(self, key: tuple[int, float], breaker: Breaker) -> Breaker:
        """Return the instance's own breaker for `key`: `breaker`, if it has none yet."""
        return self._instance.breakers.setdefault(key, breaker)

    def _forward(self, method: str, *args: Any) -> Any:
        name = self._traits.entry if method == "process" else method
        if method in self._traits.streams:
            from remotemedia.shared_async import GatedIterator

            return GatedIterator(getattr(self._alive(), name)(*args), self._instance.gate)
        if method in self._traits.awaits:
            return self._awaited(method, name, *args)
        with self._instance.lock:
            return self._serialized(method, call(self._alive(), name, *args))

    async def _awaited(self, method: str, name: str, *args: Any) -> Any:
        async with self._instance.gate:
            return self._serialized(method, await getattr(self._alive(), name)(*args))

    def _alive(self) -> Any:
        if self._instance.ended:
            raise SessionClosedError("the executor is closed; its shared nodes are gone")
        return self.__wrapped__

    def _serialized(self, method: str, value: Any) -> Any:
        many = method != "process" or self._traits.many
        return _Serialized(value, self._instance.lock) if many and hasattr(value, "__next__") else value


class _Serialized:
    """An iterator whose every step holds the lock of the node that it came from."""

    def __init__(self, iterator: Iterator[Any], lock: Any) -> None:
        self._iterator = iterator
        self._lock = lock

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._lock:
            return next(self._iterator)

    def close(self) -> None:
        """Close the iterator, if it can be closed."""
        with self._lock:
            call(self._iterator, "close")


def call(node: Any, method: str, *args: Any) -> Iterable[Any] | None:
    """Call a lifecycle method that a node without the base class need not have."""
    found = getattr(node, method, None)
    return found(*args) if found is not None else None


async def outcome(node: Any, method: str, *args: Any) -> None:
    """Call a lifecycle method, and await it if that is due."""
    given: Any = call(node, method, *args)
    if hasattr(given, "__await__"):
        await given


async def nothing() -> None:
    """Do nothing."""


def run_now(coroutine: Coroutine[Any, Any, None]) -> None:
    """Await a coroutine on an event loop of its own; EventLoopError inside a running one."""
    import asyncio

    from remotemedia.own_loop import check_no_loop

    try:
        check_no_loop("a shared node has an async cleanup", "asyncio.to_thread(executor.close)")
    except BaseException:
        coroutine.close()
        raise
    asyncio.run(coroutine)
