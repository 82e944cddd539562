from typing import Any

class KeySpeller:
    """What the keys of one kind of object turn into."""

    def __new__(
        cls, usual: frozenset[str], required: frozenset[str], odd: dict[str, tuple[Any, ...]]
    ) -> KeySpeller: ...
    def spell(self, value: Any, path: str, inert: dict[str, str]) -> bool:
        """Put the keys of an object into their one spelling; return whether that could be done."""
    def spell_each(self, values: Any, path: str, inert: dict[str, str]) -> bool:
        """Do the same to each object of an array."""
