from collections.abc import Iterable

REPEATED: int
DEEP: int
WATCHED: int
BROKEN: int

class KeyScanner:
    """A scan for repeated keys, deep nesting and a given set of watched keys."""

    def __new__(cls, watched: Iterable[str], deepest: int) -> KeyScanner: ...
    def scan(self, text: bytes, max_depth: int) -> int:
        """Return 0 if `text` has nothing to look at, else REPEATED, DEEP, WATCHED and BROKEN or-ed together."""
