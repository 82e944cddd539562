from collections.abc import Mapping
from typing import ClassVar, final

from remotemedia._core.node import NativeNode, NodeContext

@final
class MovingAverage(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]
    def initialize(self, context: NodeContext) -> None: ...

@final
class RunningStats(NativeNode):
    PARAMS: ClassVar[Mapping[str, str]]
    def initialize(self, context: NodeContext) -> None: ...
