import asyncio

from remotemedia._core.run import RunState

class OverlapState(RunState):
    def listen(self) -> asyncio.Future[None] | None: ...
