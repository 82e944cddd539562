from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, final

from remotemedia._core.node import NativeNode, NodeContext, NodeExecutor
from remotemedia._core.numeric import Abs as Abs
from remotemedia._core.numeric import Add as Add
from remotemedia._core.numeric import Calculator as Calculator
from remotemedia._core.numeric import Clamp as Clamp
from remotemedia._core.numeric import Multiply as Multiply
from remotemedia._core.numeric import Round as Round
from remotemedia._core.numeric import Threshold as Threshold
from remotemedia._core.running import MovingAverage as MovingAverage
from remotemedia._core.running import RunningStats as RunningStats

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
