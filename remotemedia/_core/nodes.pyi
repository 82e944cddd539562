from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, final

from remotemedia._core.node import NativeNode, NodeContext, NodeExecutor

BUILTINS: Mapping[str, type[NodeExecutor]]

@final
class PassThrough(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]

@final
class Echo(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]
    counter: int
    def initialize(self, context: NodeContext) -> None: ...
    def cleanup(self) -> None: ...

@final
class Counter(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]
    count: int
    def initialize(self, context: NodeContext) -> None: ...

class Arithmetic(NativeNode): ...

@final
class Multiply(Arithmetic):
    PARAMS: ClassVar[Mapping[str, str]]
    def initialize(self, context: NodeContext) -> None: ...

@final
class Add(Arithmetic):
    PARAMS: ClassVar[Mapping[str, str]]
    def initialize(self, context: NodeContext) -> None: ...

@final
class Calculator(Arithmetic):
    PARAMS: ClassVar[Mapping[str, str]]
    def initialize(self, context: NodeContext) -> None: ...

@final
class Threshold(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]
    def initialize(self, context: NodeContext) -> None: ...

@final
class Filter(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]
    def initialize(self, context: NodeContext) -> None: ...

@final
class Batcher(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]
    def initialize(self, context: NodeContext) -> None: ...
    def flush(self) -> list[list[Any]] | None: ...

@final
class Expander(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]
    emits: ClassVar[str]

@final
class Buffer(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]
    def initialize(self, context: NodeContext) -> None: ...
    def flush(self) -> Iterator[Any]: ...
