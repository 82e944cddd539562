"""The whole engine in plain Python: the specification that the compiled one is held against, and chosen by name.

Read `engine` first: it executes. `steps` is what it executes, `graph` orders the nodes and finds their scopes,
`returns` says what a node may give, `nodes` are the built-ins. Nothing compiled is used but the base classes of nodes.
"""

from remotemedia.reference.engine import Run, open_run
from remotemedia.reference.nodes import TWINS

__all__ = ["TWINS", "Run", "open_run"]
