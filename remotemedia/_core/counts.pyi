from typing import Any

class Counts:
    items_in: int
    refused: int
    duration_ns: int
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def to_dict(self) -> dict[str, Any]: ...
