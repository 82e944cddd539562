"""The whole engine in plain Python: the specification that the compiled one is held against, and chosen by name.

Read it in this order: `travel`, how items go from node to node; `steps`, what they go through; `graph` and `plan`, in
which order and scope; `lifecycle`, how nodes begin and end; `returns`, what a node may give; `engine`, what callers
see of it. `nodes` are the built-ins. Nothing compiled is used but the base classes of nodes.
"""

from remotemedia.reference.engine import Run, open_run
from remotemedia.reference.nodes import TWINS

__all__ = ["TWINS", "Run", "open_run"]
