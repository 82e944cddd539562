"""Paths with a number in them, for nodes that write a file for each item: ``clips/{index:03d}.wav``.

Called by all nodes that write such files. The template is data of a manifest, so nothing of `str.format` is there but
the number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from remotemedia.nodes.params import Params

FIELD = re.compile(r"\{index(?::0?(\d{1,2})d?)?\}")


class PathTemplate:
    """A path, in which ``{index}``, or ``{index:03d}`` for a least width, stands for the number of the item.

    Parameters
    ----------
    params : Params
        Of the node.
    name : str
        The param that holds the path.

    Raises
    ------
    ValueError
        It is missing, or has braces that are no such field; the message names node and param.
    """

    def __init__(self, params: Params, name: str) -> None:
        text = params.text(name)
        if "\0" in text:
            raise params.error(name, "must not hold a NUL")
        if set(FIELD.sub("", text)) & {"{", "}"}:
            raise params.error(name, "may hold {index} or {index:03d}, and no other braces")
        self.text = text
        self.many = FIELD.search(text) is not None

    def path(self, index: int) -> str:
        """Return the path of the item of this number."""
        return FIELD.sub(lambda field: str(index).zfill(int(field[1] or 0)), self.text)
