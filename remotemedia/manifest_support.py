"""What of the format this version supports: the one table, which later versions shorten (contract §3).

Read by the manifest's checks, which warn of what has no effect, and by the test that holds ``docs/contract.md`` to it.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any, Literal, NamedTuple

from remotemedia.errors import ManifestWarning


class Feature(NamedTuple):
    """A key of the format that this version does not act on.

    Attributes
    ----------
    owner : str
        Class name of the part that has it.
    key : str
        The key.
    treatment : {"refused", "inert"}
        Refused where it promises protection or meaning; inert where a run without it is still right: then it
        loads with one `ManifestWarning`, and survives ``to_json``.
    remedy : str
        What to do about a refusal.
    harmless : tuple
        Values that ask for nothing, which are taken.
    """

    owner: str
    key: str
    treatment: Literal["refused", "inert"]
    remedy: str = ""
    harmless: tuple[Any, ...] = ()


FEATURES = (
    Feature("NodeSpec", "isolation", "refused", "use 'thread', or leave it out", ("none", "thread")),
    Feature("NodeSpec", "capabilities", "inert"),
    Feature("NodeSpec", "host", "inert"),
    Feature("NodeSpec", "runtime_hint", "inert"),
    Feature("NodeSpec", "execution", "inert"),
    Feature("NodeSpec", "is_streaming", "inert"),
)
"""Keys with a field in the structs of `remotemedia.manifest_parts`."""

FOREIGN_KEYS: dict[str, tuple[str, ...]] = {
    "Manifest": ("config", "defaults", "python_env"),
    "NodeSpec": ("docker", "python_deps", "media_capabilities", "fast_path"),
    "Connection": ("type", "from_port", "to_port", "params"),
}
"""Keys of the SDK that this format comes from: inert, any JSON value, kept in ``extra``."""


WATCHED_KEYS = ("join_missing", *(feature.key for feature in FEATURES))
"""Keys that the typed decoder takes, but that are not to be taken as they stand."""

WATCHED_DEPTH = 3
"""Levels of objects and arrays down to the nodes and connections that have them: a param of the same name is none."""


def warn_of(inert: dict[str, str]) -> None:
    """Warn once of the keys that nothing acts on, at the line outside this package that asked for the manifest."""
    listed = ", ".join(f"{key!r} ({path})" for key, path in inert.items())
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "remotemedia":
        frame = frame.f_back
        level += 1
    message = f"loaded, but not acted on by this version (first use in brackets): {listed}"
    warnings.warn(message, ManifestWarning, stacklevel=level)
