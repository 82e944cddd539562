from typing import Any

from remotemedia._core.plan import Plan
from remotemedia.errors import InputError, NodeError

class RunState:
    plan: Plan
    session_id: str | None
    ended: bool
    is_async: bool
    errors: list[NodeError | InputError]
    producers: list[str]
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def initialize(self) -> None: ...
    def metrics(self) -> dict[str, Any]: ...
    def stop(self) -> None: ...
    def end(self, error: BaseException | None) -> BaseException | None: ...
