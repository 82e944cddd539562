"""A pipeline runtime for media and AI work.

A manifest (JSON) names nodes and connections; an `Executor` makes the nodes from a `NodeRegistry`, drives every item
through them in topological order, and cleans up. The names below are loaded when first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; importing typing would be half of this import's cost

__version__ = "0.1.0"

_HOMES = {
    "remotemedia._core.graph": ("PipelineGraph",),
    "remotemedia._core.media": ("AudioFrame", "Text", "VideoFrame"),
    "remotemedia._core.node": ("NodeContext", "NodeExecutor", "NodeInfo"),
    "remotemedia._core.pool": ("SessionPool",),
    "remotemedia._core.session": ("Session", "Stream"),
    "remotemedia.native_functions": ("array_function", "c_function"),
    "remotemedia.aio": ("AsyncSession", "AsyncStream"),
    "remotemedia.aio_pool": ("AsyncSessionPool",),
    "remotemedia.errors": (
        "DeadlineError",
        "EventLoopError",
        "QueueFullError",
        "CircuitOpenError",
        "InputError",
        "ManifestError",
        "ManifestIssue",
        "ManifestWarning",
        "NodeError",
        "NodeTimeoutError",
        "PoolTimeoutError",
        "RegistryError",
        "RemoteMediaError",
        "ResultArrayError",
        "SessionBusyError",
        "SessionClosedError",
    ),
    "remotemedia.executor": ("Executor",),
    "remotemedia.function_node": ("FunctionNode", "node"),
    "remotemedia.include": ("get_include",),
    "remotemedia.manifest": ("Capabilities", "Connection", "Manifest", "ManifestLimits", "NodeSpec"),
    "remotemedia.pipeline": ("Pipeline",),
    "remotemedia.registry": ("NodeRegistry",),
    "remotemedia.result": ("ExecutionResult", "ExecutionStatus"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AsyncSession",
    "AsyncSessionPool",
    "AsyncStream",
    "AudioFrame",
    "Capabilities",
    "CircuitOpenError",
    "Connection",
    "DeadlineError",
    "EventLoopError",
    "ExecutionResult",
    "ExecutionStatus",
    "Executor",
    "FunctionNode",
    "InputError",
    "Manifest",
    "ManifestError",
    "ManifestIssue",
    "ManifestLimits",
    "ManifestWarning",
    "NodeContext",
    "NodeError",
    "NodeExecutor",
    "NodeInfo",
    "NodeRegistry",
    "NodeSpec",
    "NodeTimeoutError",
    "Pipeline",
    "PipelineGraph",
    "PoolTimeoutError",
    "QueueFullError",
    "RegistryError",
    "RemoteMediaError",
    "ResultArrayError",
    "Session",
    "SessionBusyError",
    "SessionClosedError",
    "SessionPool",
    "Stream",
    "Text",
    "VideoFrame",
    "__version__",
    "array_function",
    "c_function",
    "get_include",
    "node",
]

if TYPE_CHECKING:
    from remotemedia._core.graph import PipelineGraph
    from remotemedia._core.media import AudioFrame, Text, VideoFrame
    from remotemedia._core.node import NodeContext, NodeExecutor, NodeInfo
    from remotemedia._core.pool import SessionPool
    from remotemedia._core.session import Session, Stream
    from remotemedia.aio import AsyncSession, AsyncStream
    from remotemedia.aio_pool import AsyncSessionPool
    from remotemedia.errors import (
        CircuitOpenError,
        DeadlineError,
        EventLoopError,
        InputError,
        ManifestError,
        ManifestIssue,
        ManifestWarning,
        NodeError,
        NodeTimeoutError,
        PoolTimeoutError,
        QueueFullError,
        RegistryError,
        RemoteMediaError,
        ResultArrayError,
        SessionBusyError,
        SessionClosedError,
    )
    from remotemedia.executor import Executor
    from remotemedia.function_node import FunctionNode, node
    from remotemedia.include import get_include
    from remotemedia.manifest import Capabilities, Connection, Manifest, ManifestLimits, NodeSpec
    from remotemedia.native_functions import array_function, c_function
    from remotemedia.pipeline import Pipeline
    from remotemedia.registry import NodeRegistry
    from remotemedia.result import ExecutionResult, ExecutionStatus


if not TYPE_CHECKING:  # a type checker would take any name for one that is here

    def __getattr__(name: str) -> object:
        module = _HOME_OF.get(name)
        if module is None:
            raise AttributeError(f"module 'remotemedia' has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(module), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
