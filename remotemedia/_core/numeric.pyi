from collections.abc import Mapping
from typing import ClassVar, final

from remotemedia._core.node import NativeNode, NodeContext

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
class Abs(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]
    def initialize(self, context: NodeContext) -> None: ...

@final
class Clamp(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]
    def initialize(self, context: NodeContext) -> None: ...

@final
class Round(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]
    def initialize(self, context: NodeContext) -> None: ...
