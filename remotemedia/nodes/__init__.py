"""Node classes: the built-in ones here, those of a domain in a module each (`remotemedia.nodes.audio`)."""

from remotemedia._core.nodes import (
    BUILTINS,
    Abs,
    Add,
    Batcher,
    Buffer,
    Calculator,
    Clamp,
    Counter,
    Echo,
    Expander,
    Filter,
    Multiply,
    PassThrough,
    Round,
    Threshold,
)

__all__ = [
    "BUILTINS",
    "Abs",
    "Add",
    "Batcher",
    "Buffer",
    "Calculator",
    "Clamp",
    "Counter",
    "Echo",
    "Expander",
    "Filter",
    "Multiply",
    "PassThrough",
    "Round",
    "Threshold",
]
