from collections.abc import Iterable, Mapping
from typing import Any

class NodeInfo:
    name: str
    version: str
    description: str | None
    def __init__(self, name: str, version: str, description: str | None = None) -> None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

class NodeContext:
    node_id: str
    node_type: str
    params: dict[str, Any]
    session_id: str | None
    metadata: Mapping[str, Any]
    def __init__(
        self,
        node_id: str,
        node_type: str = "",
        params: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None: ...

class NodeExecutor:
    def initialize(self, context: NodeContext) -> None: ...
    def process(self, item: Any) -> Any: ...
    def flush(self) -> Iterable[Any] | None: ...
    def cleanup(self) -> None: ...
    def info(self) -> NodeInfo: ...

class NativeNode(NodeExecutor): ...
