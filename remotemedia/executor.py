"""The front door: a registry, an engine, and the cache of what was planned before."""

from __future__ import annotations

import logging
import os
import warnings
import weakref
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from remotemedia._core.session import Session, Stream, whole
from remotemedia.blueprint import Blueprint
from remotemedia.errors import InputError, NodeError, SessionClosedError
from remotemedia.items import check_async_feed, check_async_input, check_feed, check_input
from remotemedia.manifest import Manifest
from remotemedia.registry import NodeRegistry
from remotemedia.result import ExecutionResult
from remotemedia.shared import SharedNodes

if TYPE_CHECKING:
    from remotemedia._core.pool import SessionPool
    from remotemedia.aio import AsyncSession, AsyncStream
    from remotemedia.aio_pool import AsyncSessionPool
    from remotemedia.run_protocol import Run

logging.getLogger("remotemedia").addHandler(logging.NullHandler())

ENGINES = ("cython", "reference")
POLICIES = ("stop", "skip", "collect")
METRICS = ("counts", "time")

ManifestLike = Manifest | dict[str, Any] | str | Path
ErrorPolicy = Literal["stop", "skip", "collect"]
MetricsLevel = Literal["counts", "time"]
OnError = Callable[[NodeError | InputError], object]


class Executor:
    """Runs manifests.

    Parameters
    ----------
    registry : NodeRegistry, optional
        Where node types are looked up; by default a new one, with the built-in nodes.
    engine : {"cython", "reference"}, optional
        What runs them: the compiled engine, or its twin in plain Python. Without it the environment variable
        ``REMOTEMEDIA_ENGINE`` is asked, then ``"cython"`` taken.

    Raises
    ------
    ValueError
        If the engine is none of these.

    Notes
    -----
    An executor serves many threads. What it keeps: the plans of `Manifest` objects that are alive, and shared nodes
    (`NodeRegistry.register` with ``shared=True``), which `close` cleans up.

    Examples
    --------
    >>> import remotemedia as rm
    >>> manifest = rm.Manifest.from_dict({
    ...     "version": "v1", "metadata": {"name": "echo"},
    ...     "nodes": [{"id": "e", "node_type": "Echo"}], "connections": [],
    ... })
    >>> rm.Executor().execute_with_input(manifest, ["hello"]).results
    [{'input': 'hello', 'counter': 1, 'node': 'Echo'}]
    """

    def __init__(self, registry: NodeRegistry | None = None, *, engine: str | None = None) -> None:
        name = engine if engine is not None else os.environ.get("REMOTEMEDIA_ENGINE") or "cython"
        if name not in ENGINES:
            origin = "engine" if engine is not None else "the environment variable REMOTEMEDIA_ENGINE"
            raise ValueError(f"{origin} must be one of {', '.join(ENGINES)}, not {name!r}")
        module = "remotemedia._core.engine" if name == "cython" else "remotemedia.reference"
        self._engine = name
        self._open_run: Callable[..., Run] = import_module(module).open_run
        self._registry = NodeRegistry() if registry is None else registry
        self._blueprints: dict[int, tuple[weakref.ref[Manifest], int, Blueprint]] = {}
        self._shared = SharedNodes()
        self._instances: Mapping[str, Any] = {}
        self._closed = False

    @classmethod
    def with_registry(cls, registry: NodeRegistry, *, engine: str | None = None) -> Self:
        """Return an executor that looks node types up in `registry`."""
        return cls(registry, engine=engine)

    @classmethod
    def with_instances(
        cls, instances: Mapping[str, Any], registry: NodeRegistry | None = None, *, engine: str | None = None
    ) -> Self:
        """Return an executor that runs given node instances, by node id, in place of making those nodes anew.

        Each instance runs in one run at a time; another at the same time is a `SessionBusyError`.
        """
        executor = cls(registry, engine=engine)
        executor._instances = dict(instances)
        return executor

    @property
    def engine(self) -> str:
        """Name of the engine that runs."""
        return self._engine

    @property
    def registry(self) -> NodeRegistry:
        """The registry."""
        return self._registry

    def execute_with_input(
        self,
        manifest: ManifestLike,
        items: Iterable[Any],
        *,
        error_policy: ErrorPolicy = "stop",
        session_id: str | None = None,
        metrics: MetricsLevel = "counts",
    ) -> ExecutionResult:
        """Run a manifest over items: initialize, drive each item through, flush, clean up.

        Parameters
        ----------
        manifest : Manifest, dict, str or pathlib.Path
            A dict or JSON text is checked at each call; a `Manifest` was, and its plan is kept. A str is never a
            path.
        items : iterable
            Any objects but `None`; pulled one by one. Of a 1-D NumPy array the elements as Python scalars, of a 2-D
            one the rows as read-only views.
        error_policy : {"stop", "skip", "collect"}
            What the failure of a node, or a refused item, does: end the run; drop the item; drop it and keep the
            error in ``result.errors``.
        session_id : str, optional
            Handed to the nodes in their `NodeContext`.
        metrics : {"counts", "time"}
            Whether nodes are timed too.

        Returns
        -------
        ExecutionResult

        Raises
        ------
        ManifestError, RegistryError
            Before any node is initialized.
        NodeError
            A node failed; ``__cause__`` is its exception, ``partial`` what was finished.
        InputError
            An item is `None` (or a coroutine or generator), or `items` is no input at all.
        """
        if type(items) is not list:
            check_input(items)
        run = self._run(manifest, error_policy, session_id, metrics, None, True)
        if run.producers:
            check_feed(run.producers, items)
        return whole(run, items)

    async def execute_with_input_async(
        self,
        manifest: ManifestLike,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        error_policy: ErrorPolicy = "stop",
        session_id: str | None = None,
        metrics: MetricsLevel = "counts",
    ) -> ExecutionResult:
        """Do what `execute_with_input` does inside a running event loop; async nodes are awaited by the caller's task.

        Parameters
        ----------
        items : iterable or async iterable
            The input.

        Notes
        -----
        The other parameters, and what is raised, are those of `execute_with_input`. A node that never suspends costs
        no turn of the loop; the other tasks get one about every 2 ms all the same, between two items. If the task is
        cancelled, so is the call of the node that waits; all nodes are cleaned up before the cancellation is raised.
        """
        from remotemedia import aio

        check_async_input(items)
        run = self._run(manifest, error_policy, session_id, metrics, None, False)
        check_async_feed(run.producers, items)
        return await aio.whole(run, items)

    async def execute_async(
        self,
        manifest: ManifestLike,
        *,
        error_policy: ErrorPolicy = "stop",
        session_id: str | None = None,
        metrics: MetricsLevel = "counts",
    ) -> ExecutionResult:
        """Run a manifest on what its producers give, awaited. See `execute` and `execute_with_input_async`."""
        from remotemedia import aio

        return await aio.whole(self._run(manifest, error_policy, session_id, metrics, None, False), None)

    def execute(
        self,
        manifest: ManifestLike,
        *,
        error_policy: ErrorPolicy = "stop",
        session_id: str | None = None,
        metrics: MetricsLevel = "counts",
    ) -> ExecutionResult:
        """Run a manifest on what its producers give; without any, on empty input. See `execute_with_input`."""
        return whole(self._run(manifest, error_policy, session_id, metrics, None, True), None)

    def check(self, manifest: ManifestLike) -> list[str]:
        """Find out, without a run, whether a manifest can be run: its nodes are made and planned, then dropped.

        Parameters
        ----------
        manifest : Manifest, dict, str or pathlib.Path
            As for `execute_with_input`.

        Returns
        -------
        list of str
            Ids of the nodes that are sources of their own; if there are any, the pipeline takes no input.

        Raises
        ------
        ManifestError, RegistryError
            As a run would. No method of a node is called.
        """
        return list(self._run(manifest, "stop", None, "counts", None, False).producers)

    def open(
        self,
        manifest: ManifestLike,
        *,
        error_policy: ErrorPolicy = "stop",
        session_id: str | None = None,
        metrics: MetricsLevel = "counts",
        on_error: OnError | None = None,
    ) -> Session:
        """Return a session, for use in a ``with`` statement; nothing is done yet.

        Parameters
        ----------
        on_error : callable, optional
            Under ``error_policy="collect"``: called with each error, as soon as its item is dropped, in place of
            keeping it. So a session or stream without end needs no memory for what fails. What it raises ends the
            run.

        Notes
        -----
        The other parameters are those of `execute_with_input`.
        """
        check_options(error_policy, metrics)
        return Session(lambda: self._run(manifest, error_policy, session_id, metrics, on_error, True, False))

    def stream(
        self,
        manifest: ManifestLike,
        items: Iterable[Any] | None = None,
        *,
        with_node: bool = False,
        error_policy: ErrorPolicy = "stop",
        session_id: str | None = None,
        metrics: MetricsLevel = "counts",
        on_error: OnError | None = None,
    ) -> Stream:
        """Return an iterator over what comes out, item by item; nothing is done before the first is asked for.

        Parameters
        ----------
        items : iterable, optional
            The input; without it, the producers are pulled.
        with_node : bool
            Give pairs ``(node id, item)``.

        Notes
        -----
        The other parameters are those of `open`.
        """
        session = self.open(
            manifest, error_policy=error_policy, session_id=session_id, metrics=metrics, on_error=on_error
        )
        return Stream(session, items, with_node=with_node)

    def open_async(
        self,
        manifest: ManifestLike,
        *,
        error_policy: ErrorPolicy = "stop",
        session_id: str | None = None,
        metrics: MetricsLevel = "counts",
        on_error: OnError | None = None,
    ) -> AsyncSession:
        """Return a session for use in an ``async with``; nothing is done yet.

        Notes
        -----
        The parameters are those of `open`.
        """
        from remotemedia.aio import AsyncSession

        check_options(error_policy, metrics)
        return AsyncSession(lambda: self._run(manifest, error_policy, session_id, metrics, on_error, False, False))

    def stream_async(
        self,
        manifest: ManifestLike,
        items: Iterable[Any] | AsyncIterable[Any] | None = None,
        *,
        with_node: bool = False,
        error_policy: ErrorPolicy = "stop",
        session_id: str | None = None,
        metrics: MetricsLevel = "counts",
        on_error: OnError | None = None,
    ) -> AsyncStream:
        """Return an async iterator over what comes out; nothing is done before the first item is asked for.

        Notes
        -----
        The parameters are those of `stream`; `items` may be an async iterable. Use it in an ``async with``, which
        cleans the nodes up when it is left early.
        """
        from remotemedia.aio import AsyncStream

        session = self.open_async(
            manifest, error_policy=error_policy, session_id=session_id, metrics=metrics, on_error=on_error
        )
        return AsyncStream(session, items, with_node=with_node)

    def pool(
        self,
        manifest: ManifestLike,
        size: int,
        *,
        error_policy: ErrorPolicy = "stop",
        session_id: str | None = None,
        metrics: MetricsLevel = "counts",
        on_error: OnError | None = None,
    ) -> SessionPool:
        """Return a pool of warm sessions, for use in a ``with`` statement; nothing is done yet.

        Parameters
        ----------
        size : int
            How many sessions: how many threads can be served at once.

        Notes
        -----
        The other parameters are those of `open`, for each of the sessions.
        """
        from remotemedia._core.pool import SessionPool

        def open_session() -> Session:
            return self.open(
                manifest, error_policy=error_policy, session_id=session_id, metrics=metrics, on_error=on_error
            )

        check_options(error_policy, metrics)
        return SessionPool(open_session, size)

    def pool_async(
        self,
        manifest: ManifestLike,
        size: int,
        *,
        error_policy: ErrorPolicy = "stop",
        session_id: str | None = None,
        metrics: MetricsLevel = "counts",
        on_error: OnError | None = None,
    ) -> AsyncSessionPool:
        """Return a pool of warm sessions for the tasks of an event loop, for use in an ``async with``.

        Notes
        -----
        The parameters are those of `pool`.
        """
        from remotemedia.aio_pool import AsyncSessionPool

        def open_session() -> AsyncSession:
            return self.open_async(
                manifest, error_policy=error_policy, session_id=session_id, metrics=metrics, on_error=on_error
            )

        check_options(error_policy, metrics)
        return AsyncSessionPool(open_session, size)

    def close(self) -> None:
        """Clean up the shared nodes, the last initialized first; idempotent. No run can be started after it."""
        self._closed = True
        self._shared.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        shared = getattr(self, "_shared", None)
        if shared is not None and shared.alive:
            warnings.warn(f"{self!r} was dropped with shared nodes alive; close it", ResourceWarning, 2, self)
            self.close()

    def __repr__(self) -> str:
        return f"<Executor: engine {self._engine}>"

    def _run(
        self,
        manifest: ManifestLike,
        policy: str,
        session_id: str | None,
        metrics: str,
        on_error: OnError | None,
        plain: bool,
        once: bool = True,
    ) -> Run:
        """Return a new run; `plain` if nobody awaits its calls, `once` if it is executed once."""
        if self._closed:
            raise SessionClosedError("the executor is closed; make a new one")
        if metrics != "counts" or policy not in POLICIES:
            check_options(policy, metrics)
        cached = self._blueprints.get(id(manifest))
        if cached is not None and cached[0]() is manifest and cached[1] == self._registry.version:
            blueprint = cached[2]
        else:
            blueprint = self._blueprint(manifest)
        run = self._open_run(blueprint, policy, session_id, metrics == "time", on_error)
        if plain and run.is_async:
            run = with_own_loop(run)
        return run if blueprint.deadline_ms is None else with_deadline(run, blueprint.deadline_ms, once)

    def _blueprint(self, given: ManifestLike) -> Blueprint:
        version = self._registry.version  # before the look-ups: a type registered meanwhile makes the entry stale
        manifest = Manifest.coerce(given)
        blueprint = Blueprint(manifest, self._registry, self._shared, self._instances)
        if manifest is given:
            key = id(manifest)
            blueprints = self._blueprints

            def forget(reference: weakref.ref[Manifest]) -> None:
                entry = blueprints.get(key)
                if entry is not None and entry[0] is reference:  # not a newer manifest at the same address
                    del blueprints[key]

            blueprints[key] = (weakref.ref(manifest, forget), version, blueprint)
        return blueprint


def with_own_loop(run: Run) -> Run:
    """Return `run`, whose nodes are async, with an event loop of its own; EventLoopError inside a running one."""
    from remotemedia.own_loop import OwnLoop

    return OwnLoop(run)


def with_deadline(run: Run, deadline_ms: float, once: bool) -> Run:
    """Return `run`, its calls bounded in time."""
    from remotemedia.deadline import DeadlineRun

    return DeadlineRun(run, deadline_ms, once)


def check_options(error_policy: str, metrics: str) -> None:
    """Raise ValueError for an option that no run has."""
    if error_policy not in POLICIES:
        raise ValueError(f"error_policy must be one of {', '.join(POLICIES)}, not {error_policy!r}")
    if metrics not in METRICS:
        raise ValueError(f"metrics must be one of {', '.join(METRICS)}, not {metrics!r}")
