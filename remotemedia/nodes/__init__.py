"""Node classes: the built-in ones here, those of a domain in a module each (`remotemedia.nodes.audio`)."""

from remotemedia._core.nodes import (
    BUILTINS,
    Add,
    Batcher,
    Buffer,
    Calculator,
    Counter,
    Echo,
    Expander,
    Filter,
    Multiply,
    PassThrough,
    Threshold,
)

__all__ = [
    "BUILTINS",
    "Add",
    "Batcher",
    "Buffer",
    "Calculator",
    "Counter",
    "Echo",
    "Expander",
    "Filter",
    "Multiply",
    "PassThrough",
    "Threshold",
]
