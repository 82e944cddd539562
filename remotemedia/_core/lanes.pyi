from typing import Any

class Lanes:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
