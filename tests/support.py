"""Pipelines for tests: built in a line, with a node in each that watches the order of its own calls."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from typing import Any, TypeVar

import remotemedia as rm

T = TypeVar("T")

ENGINES = ("cython", "reference")
SYNC_MODES = ("execute", "session", "stream", "session stream")
LOOPS = ("asyncio",) if sys.platform == "win32" else ("asyncio", "uvloop")
ASYNC_MODES = tuple(f"async {mode} on {loop}" for mode in SYNC_MODES for loop in LOOPS)
MODES = SYNC_MODES + ASYNC_MODES


class Guard(rm.NodeExecutor):
    """Hands items on, and notes every call that comes at the wrong time."""

    alive = 0
    wrong: list[str] = []

    def __init__(self) -> None:
        self.state = "made"

    def _expect(self, call: str, *states: str) -> None:
        if self.state not in states:
            Guard.wrong.append(f"{call} while {self.state}")

    def initialize(self, context):
        self._expect("initialize", "made")
        self.state = "ready"
        Guard.alive += 1

    def process(self, item):
        self._expect("process", "ready")
        return item

    def cleanup(self):
        self._expect("cleanup", "ready")
        self.state = "cleaned"
        Guard.alive -= 1


def node(node_id: str, node_type: str, /, **keys: Any) -> dict[str, Any]:
    """A node; keys that are no keys of a manifest node are its params."""
    known = {"fan_in", "join_missing", "copy", "is_output_node"}
    spec: dict[str, Any] = {"id": node_id, "node_type": node_type}
    spec |= {k: v for k, v in keys.items() if k in known}
    params = {k: v for k, v in keys.items() if k not in known}
    if params:
        spec["params"] = params
    return spec


def edges(text: str) -> list[tuple[str, str]]:
    """``"a b, a c"`` as pairs."""
    return [tuple(pair.split()) for pair in text.split(",") if pair.strip()]  # type: ignore[misc]


def plain(nodes: list[dict[str, Any]], connections: str | list[tuple[str, str]] = "") -> dict[str, Any]:
    """The manifest as a dict, without a guard."""
    pairs = edges(connections) if isinstance(connections, str) else connections
    return {
        "version": "v1",
        "metadata": {"name": "test"},
        "nodes": nodes,
        "connections": [{"from": a, "to": b} for a, b in pairs],
    }


def guarded(nodes: list[dict[str, Any]], connections: str | list[tuple[str, str]] = "", producers: Iterable[str] = ()):
    """The manifest with a guard before its sources (beside them, if they are producers)."""
    pairs = edges(connections) if isinstance(connections, str) else list(connections)
    targets = {b for _, b in pairs} | set(producers)
    sources = [n["id"] for n in nodes if n["id"] not in targets]
    return plain([{"id": "guard", "node_type": "Guard"}, *nodes], [*(("guard", s) for s in sources), *pairs])


def chain(*nodes: dict[str, Any]) -> dict[str, Any]:
    ids = [n["id"] for n in nodes]
    return guarded(list(nodes), list(pairwise(ids)))


@dataclass
class Outcome:
    """What a run in any mode came to."""

    results: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    result: rm.ExecutionResult | None = None

    @property
    def metrics(self) -> dict[str, Any]:
        result = self.result if self.result is not None else self.error.partial
        return result.metrics

    def counts(self, node_id: str) -> dict[str, int]:
        return self.metrics["nodes"][node_id]


class Driver:
    """Runs pipelines on one engine, in one mode."""

    def __init__(self, engine: str, mode: str = "execute") -> None:
        self.engine = engine
        self.mode = mode
        self.registry = rm.NodeRegistry()
        self.registry.register("Guard", Guard)
        self.executor = rm.Executor(self.registry, engine=engine)

    def register(self, **classes: Callable[[], Any]) -> None:
        for name, factory in classes.items():
            self.registry.register(name, factory, replace=True)

    def run(self, manifest: Any, items: Iterable[Any] | None = None, **options: Any) -> Outcome:
        """Run and return what came out; raise nothing but what is not an Exception of a run."""
        outcome = Outcome()
        manifest = rm.Manifest.from_dict(manifest) if isinstance(manifest, dict) else manifest
        try:
            self._run(manifest, items, outcome, options)
        except BaseException as error:
            outcome.error = error
            partial = getattr(error, "partial", None)
            if partial is not None and "stream" not in self.mode:
                outcome.results = partial.results
        return outcome

    def results(self, manifest: Any, items: Iterable[Any] | None = None, **options: Any) -> list[Any]:
        outcome = self.run(manifest, items, **options)
        if outcome.error is not None:
            raise outcome.error
        return outcome.results

    def _run(self, manifest: Any, items: Any, outcome: Outcome, options: dict[str, Any]) -> None:
        if self.mode.startswith("async"):
            await_on(self.mode.rpartition(" ")[2], self._run_async(manifest, items, outcome, options))
        elif self.mode == "execute":
            if items is None:
                outcome.result = self.executor.execute(manifest, **options)
            else:
                outcome.result = self.executor.execute_with_input(manifest, items, **options)
            outcome.results = outcome.result.results
        elif self.mode == "session":
            with self.executor.open(manifest, **options) as session:
                outcome.result = session.run(items)
                outcome.results = outcome.result.results
        elif self.mode == "stream":
            with self.executor.stream(manifest, items, **options) as stream:
                outcome.results.extend(stream)
                outcome.result = stream.result
        else:
            with self.executor.open(manifest, **options) as session, session.stream(items) as stream:
                outcome.results.extend(stream)
                outcome.result = stream.result

    async def _run_async(self, manifest: Any, items: Any, outcome: Outcome, options: dict[str, Any]) -> None:
        mode = self.mode.partition(" on ")[0].removeprefix("async ")
        if mode == "execute":
            if items is None:
                outcome.result = await self.executor.execute_async(manifest, **options)
            else:
                outcome.result = await self.executor.execute_with_input_async(manifest, items, **options)
            outcome.results = outcome.result.results
        elif mode == "session":
            async with self.executor.open_async(manifest, **options) as session:
                outcome.result = await session.run(items)
                outcome.results = outcome.result.results
        elif mode == "stream":
            async with self.executor.stream_async(manifest, items, **options) as stream:
                async for item in stream:
                    outcome.results.append(item)
                outcome.result = stream.result
        else:
            async with self.executor.open_async(manifest, **options) as session, session.stream(items) as stream:
                async for item in stream:
                    outcome.results.append(item)
                outcome.result = stream.result


def await_on(loop: str, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine on a new event loop; no task is left behind."""
    factory = import_module("uvloop").new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        result = runner.run(coroutine)
        left = asyncio.all_tasks(runner.get_loop())
        assert left == set(), left
        return result


def function_node(function: Callable[[Any], Any], **attributes: Any) -> type:
    """A node class around one function."""
    return type("FunctionNode", (rm.NodeExecutor,), {"process": lambda self, item: function(item), **attributes})
