from remotemedia._core.run import RunState

class OverlapState(RunState):
    def is_running(self) -> bool: ...
