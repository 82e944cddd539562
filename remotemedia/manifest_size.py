"""How large a tree of dicts and lists would be as JSON text, found out before anything unfolds it.

A dict may hold one list in many places, and that another one in many: a few lines of Python that are more text than
there is memory. So each container is looked at once, however often it occurs, and nothing recurses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remotemedia.manifest_walk import pairs_of

if TYPE_CHECKING:
    from collections.abc import Iterable


def json_size(tree: Any, most: int) -> int:
    """Return the bytes of the JSON text of `tree`, or fewer; if they are more than `most`, some number above it.

    Parameters
    ----------
    tree : object
        Anything; what contains itself is counted once.
    most : int
        Where counting may end.
    """
    sizes: dict[int, int] = {}  # by id of the container; 0 while it is on the way
    way = [_Part((tree,), 0)]
    while True:
        part = way[-1]
        for value in part.rest:
            if isinstance(value, str):
                part.size += len(value) + 2
            elif isinstance(value, (dict, list, tuple)):
                known = sizes.get(id(value))
                if known is None:
                    sizes[id(value)] = 0
                    way.append(_opened(value))
                    break
                part.size += known
            else:
                part.size += 1
        else:
            way.pop()
            if not way or part.size > most:
                return part.size
            sizes[part.owner] = part.size
            way[-1].size += part.size


class _Part:
    """A container that is being counted: the values still to come, and the size so far."""

    __slots__ = ("owner", "rest", "size")

    def __init__(self, values: Iterable[Any], size: int, owner: int = 0) -> None:
        self.rest = iter(values)
        self.size = size
        self.owner = owner


def _opened(value: Any) -> _Part:
    """Return a container with its brackets, commas and keys counted."""
    size = 2 + max(len(value) - 1, 0)
    if not isinstance(value, dict):
        return _Part(value, size, id(value))
    pairs = pairs_of(value)
    size += sum(len(key) + 3 for key, _ in pairs if isinstance(key, str))
    return _Part((item for _, item in pairs), size, id(value))
