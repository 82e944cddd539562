"""Node types that other packages install, as entry points of the group ``remotemedia.nodes``.

Name of an entry point: the node type; value: a node class or factory. Called by `NodeRegistry` alone, and never while
it holds its lock: what is imported here may register node types itself, from this thread or another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remotemedia.errors import RegistryError, bounded_repr, bounded_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint

PLUGIN_GROUP = "remotemedia.nodes"


def find_plugins() -> dict[str, list[EntryPoint]]:
    """Return the installed plug-ins by node type; of several with one name the first is used, nothing is loaded."""
    from importlib.metadata import entry_points  # slow to import, and most programs need no plug-in

    found: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=PLUGIN_GROUP), key=lambda point: (package_of(point), point.value)):
        found.setdefault(point.name, []).append(point)
    return found


def load_plugin(point: EntryPoint) -> Callable[[], Any]:
    """Return the factory of a plug-in.

    Raises
    ------
    RegistryError
        If it cannot be loaded, or is no factory; a module that exits when imported is no exception to that.
    """
    try:
        factory: Any = point.load()
    except (Exception, SystemExit) as error:
        raise RegistryError(
            f"{named(point)} cannot be loaded: {type(error).__name__}: {bounded_text(error)}"
        ) from error
    if not callable(factory):
        raise RegistryError(f"{named(point)} is a {type(factory).__name__}, not a node class or factory")
    return factory  # type: ignore[no-any-return]


def double_of(points: list[EntryPoint]) -> str:
    """Return what is wrong with a node type that several packages install."""
    first, *others = (f"{package_of(point)} ({point.value})" for point in points)
    unused = f"{', '.join(others)}, which {'is' if len(others) == 1 else 'are'} not"
    return f"node type {bounded_repr(points[0].name)} is installed by {first}, which is used, and {unused}; keep one"


def named(point: EntryPoint) -> str:
    """Return a plug-in as an error message names it."""
    return f"the plug-in of node type {bounded_repr(point.name)} ({point.value}, from {package_of(point)})"


def package_of(point: EntryPoint) -> str:
    """Return the name of the distribution that a plug-in comes with."""
    return point.dist.name if point.dist is not None else "an unknown package"
