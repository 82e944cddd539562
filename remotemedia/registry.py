"""Node types by name: built-in, registered by the program, or installed as plug-ins."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from remotemedia._core.node import NodeInfo
from remotemedia._core.nodes import BUILTINS
from remotemedia.errors import RegistryError, bounded_repr, bounded_text
from remotemedia.plugins import double_of, find_plugins, load_plugin, named
from remotemedia.traits import what_else

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

LIBRARY_MODULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "audio": (
        "audio",
        (
            "FormatConvert",
            "Frames",
            "Gain",
            "Level",
            "Peak",
            "Segments",
            "ToMono",
            "VoiceActivity",
            "WavSource",
            "ZeroCrossingRate",
        ),
    ),
    "channels": ("audio", ("ChannelMap", "ChannelSplitter")),
    "chunker": ("audio", ("Chunker",)),
    "clipping": ("audio", ("ClippingDetector",)),
    "energy_vad": ("audio", ("EnergyVAD",)),
    "mel": ("audio", ("LogMelSpectrogram",)),
    "normalize": ("audio", ("Normalize",)),
    "pcm": ("audio", ("PcmReader", "PcmWriter")),
    "reader": ("media", ("MediaReader",)),
    "resample": ("media", ("Resample",)),
    "scenes": ("media", ("SceneChange",)),
    "segmenter": ("audio", ("SpeechSegmenter",)),
    "silence": ("audio", ("SilenceDetector",)),
    "silero_vad": ("vad", ("SileroVAD",)),
    "subtitles": ("audio", ("SrtWriter",)),
    "text": ("audio", ("TextCollector", "TextProcessor")),
    "thumbnail": ("media", ("Thumbnail",)),
    "video": ("media", ("Crop", "Flip", "FrameSampler", "Grayscale", "Resize")),
    "wav_nodes": ("audio", ("WavReader", "WavWriter")),
    "webrtc_vad": ("media", ("WebRtcVAD",)),
    "writer": ("media", ("MediaWriter",)),
}
"""Node types of this package that need more than the core, by module of `remotemedia.nodes`: the extra that they
need, and their names. A module is imported when one of its types is first needed."""

LIBRARY = {name: module for module, (_, names) in LIBRARY_MODULES.items() for name in names}
"""The module of each."""

Factory = Callable[[], Any]
F = TypeVar("F", bound=Factory)


class Entry(NamedTuple):
    """A registered node type."""

    node_type: str
    factory: Factory
    shared: bool = False


class NodeRegistry:
    """Maps node types to factories; thread-safe. The built-in nodes are there from the start.

    Types that packages install under the entry point group ``remotemedia.nodes`` (name: the node type; value: the
    node class) are found when a type is asked for that is not registered. A name is, in this order: what the program
    registered under it, a node of this package, a plug-in.

    Examples
    --------
    >>> from remotemedia import NodeExecutor, NodeRegistry
    >>> registry = NodeRegistry()
    >>> @registry.register("Negate")
    ... class Negate(NodeExecutor):
    ...     def process(self, item):
    ...         return -item
    >>> registry.create("Negate").process(3)
    -3
    """

    def __init__(self) -> None:
        self._lock = RLock()  # guards what is written below; nothing is imported or called under it
        self._entries = {name: Entry(name, node_class) for name, node_class in BUILTINS.items()}
        self._loaded: dict[
            str, Entry
        ] = {}  # of this package's library and of plug-ins; anything registered outranks it
        self._plugins: dict[str, list[EntryPoint]] | None = None  # by node type, once they were looked for
        self._version = 0

    @property
    def version(self) -> int:
        """Grows whenever a type is registered: plans made before are made anew."""
        return self._version

    @overload
    def register(self, node_type: str, *, replace: bool = False, shared: bool = False) -> Callable[[F], F]: ...

    @overload
    def register(self, node_type: str, factory: F, *, replace: bool = False, shared: bool = False) -> F: ...

    @overload
    def register(self, node_type: F, *, replace: bool = False, shared: bool = False) -> F: ...

    def register(
        self, node_type: str | F, factory: F | None = None, *, replace: bool = False, shared: bool = False
    ) -> F | Callable[[F], F]:
        """Register a node type; with a name alone, return a decorator that does.

        Parameters
        ----------
        node_type : str or type
            The name that manifests use; or, without `factory`, a class that tells it as its ``node_type``.
        factory : callable
            Called without arguments, gives a node; a node class is one.
        replace : bool
            Take the place of a type of this name. Not needed to take that of a plug-in.
        shared : bool
            One instance serves all runs of an executor: initialized at first use, its calls serialized, cleaned
            up by `Executor.close`.

        Returns
        -------
        callable
            `factory`.

        Raises
        ------
        RegistryError
            If the name is taken and `replace` is not set.
        TypeError
            If the name is no string, or the factory cannot be called.
        """
        if factory is None and isinstance(node_type, type):
            named_class = node_type
            node_type = getattr(named_class, "node_type", None)  # type: ignore[assignment]
            if not isinstance(node_type, str) or not node_type:
                what = f"{named_class.__name__} has no node_type, which would be its name in manifests"
                raise TypeError(f"{what}; give it one, or register('…', {named_class.__name__})")
            factory = named_class
        if not isinstance(node_type, str) or not node_type:
            raise TypeError(f"a node type is a non-empty string, not {bounded_repr(node_type)}")
        if factory is None:

            def decorate(decorated: F) -> F:
                return self.register(node_type, decorated, replace=replace, shared=shared)

            return decorate
        if not callable(factory):
            raise TypeError(
                f"the factory of node type {bounded_repr(node_type)} must be callable without arguments "
                f"(a node class is); a {type(factory).__name__} is not"
            )
        with self._lock:
            if not replace and (node_type in self._entries or node_type in LIBRARY):
                name = bounded_repr(node_type)
                raise RegistryError(f"node type {name} is taken; pass replace=True to take its place")
            self._entries = {**self._entries, node_type: Entry(node_type, factory, shared)}
            self._version += 1
        return factory

    def entry(self, node_type: str) -> Entry:
        """Return the entry of a node type, loading its module or plug-in at first need.

        Raises
        ------
        RegistryError
            If the type is unknown (close matches are named), or its plug-in cannot be loaded.
        """
        return self._entries.get(node_type) or self._loaded.get(node_type) or self._load(node_type)

    def create(self, node_type: str) -> Any:
        """Return a new node of a type; its methods can be called by hand.

        Raises
        ------
        RegistryError
            If the type is unknown, or its factory fails or gives something else than a node.
        """
        entry = self.entry(node_type)
        try:
            node = entry.factory()
        except Exception as error:
            raise factory_error(node_type, error) from error
        other = what_else(node)
        if other is not None:
            raise RegistryError(f"the factory of node type {bounded_repr(node_type)} gave {other}")
        return node

    def has_node_type(self, node_type: str) -> bool:
        """Whether a type can be asked for; plug-ins are looked up, not loaded."""
        return node_type in self._entries or node_type in LIBRARY or node_type in self._find_plugins()

    def node_types(self) -> list[str]:
        """Return the names of all types, sorted; plug-ins are looked up, not loaded."""
        return sorted({*self._entries, *LIBRARY, *self._find_plugins()})

    def info(self, node_type: str) -> NodeInfo:
        """Return the `NodeInfo` of a type, from a node made for it.

        Raises
        ------
        RegistryError
            If the type is unknown or its factory fails.
        """
        node = self.create(node_type)
        if not hasattr(node, "info"):
            doc = (type(node).__doc__ or "").strip().partition("\n")[0]
            return NodeInfo(type(node).__name__, "0.0.0", doc or None)
        info: NodeInfo = node.info()
        return info

    def plugin_faults(self) -> dict[str, str]:
        """Load every plug-in that is used.

        Returns
        -------
        dict of str to str
            By node type: plug-ins that cannot be loaded, those whose name another package's plug-in has too, and
            those that are not used because the name is taken.
        """
        faults = {}
        for name, points in self._find_plugins().items():
            found = [double_of(points)] if len(points) > 1 else []
            if name in self._entries or name in LIBRARY:
                ours = name in BUILTINS or name in LIBRARY
                holder = "this package has a node of that name" if ours else "the program registered that name"
                found = [f"{named(point)} is not used: {holder}" for point in points]
            else:
                try:
                    self.entry(name)
                except RegistryError as error:
                    found.append(str(error))
            if found:
                faults[name] = "; ".join(found)
        return faults

    def _load(self, node_type: str) -> Entry:
        if node_type in LIBRARY:
            factory = _load_library(node_type)
        elif node_type in self._find_plugins():
            factory = load_plugin(self._find_plugins()[node_type][0])
        else:
            raise self._unknown(node_type)
        with self._lock:
            loaded = self._loaded.setdefault(node_type, Entry(node_type, factory))
            return self._entries.get(node_type, loaded)

    def _find_plugins(self) -> dict[str, list[EntryPoint]]:
        if self._plugins is None:
            found = find_plugins()
            with self._lock:
                self._plugins = found if self._plugins is None else self._plugins
        return self._plugins

    def _unknown(self, node_type: str) -> RegistryError:
        return RegistryError(f"node type {bounded_repr(node_type)} is unknown; {self.suggest(node_type)}")

    def suggest(self, node_type: str) -> str:
        """Return a hint at what an unknown type may have been meant to be."""
        from remotemedia.bounded import close_matches

        names = self.node_types()
        close = close_matches(node_type, names, 3)
        folded = [name for name in names if name.lower() == node_type.lower() and name not in close]
        if close or folded:
            return f"did you mean {' or '.join(map(repr, [*folded, *close][:3]))}?"
        return f"register it, or use one of: {', '.join(names[:20])}{', …' if len(names) > 20 else ''}"


def factory_error(node_type: str, error: Exception, node_id: str | None = None) -> RegistryError:
    """Return the error for a factory that raised."""
    where = "" if node_id is None else f" (node {bounded_repr(node_id)})"
    what = f"the factory of node type {bounded_repr(node_type)}{where}"
    return RegistryError(f"{what} raised {type(error).__name__}: {bounded_text(error)}")


def _load_library(node_type: str) -> Factory:
    module = LIBRARY[node_type]
    try:
        factory: Factory = getattr(importlib.import_module(f"remotemedia.nodes.{module}"), node_type)
    except ImportError as error:
        raise RegistryError(
            f"node type {node_type!r} needs packages that are not installed ({error}); "
            f"run: pip install 'remotemedia[{LIBRARY_MODULES[module][0]}]'"
        ) from error
    return factory


def unknown_types(registry: NodeRegistry, node_types: Iterable[tuple[int, str, str]]) -> RegistryError | None:
    """Return one error for all unknown or broken types of ``(position, node id, node type)``, or None."""
    faults = []
    for position, node_id, node_type in node_types:
        try:
            registry.entry(node_type)
        except RegistryError as error:
            faults.append(f"$.nodes[{position}].node_type: node {bounded_repr(node_id)}: {error}")
    if not faults:
        return None
    shown = faults[:20]
    if len(faults) > 20:
        shown.append(f"and {len(faults) - 20} more")
    return RegistryError("\n".join(shown))
