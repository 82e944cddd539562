"""The objects that a manifest is made of, as frozen typed structs, and the limits on it (contract §3).

The annotations are the one description of the format: the decoder obeys them (the fast way), the slow walk that
collects every fault is compiled from them (`remotemedia.manifest_faults`), and so is the JSON Schema
(`remotemedia.manifest_schema`). What is said in `Meta(extra=…)` is checked by the slow walk alone.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

DEPTH_CEILING = 256
"""No `ManifestLimits.max_depth` beyond it: the decoders and the walk recurse once a level."""

INT_MAX = 2**31 - 1
ID_PATTERN = "^[A-Za-z0-9_-]+$"
PORT = "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
HOST = rf"(\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\]]+):{PORT}"
METADATA_ALIASES = {"createdAt": "created_at"}

Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1, le=INT_MAX)]
Amount = Annotated[float, Meta(ge=0)]
Duration = Annotated[float, Meta(gt=0)]
# Ids are checked by `link` on the fast way, where a regular expression per node would cost more than the decoding.
NodeId = Annotated[
    str,
    Meta(
        extra={"pattern": ID_PATTERN, "expected": "an id of letters, digits, '_' and '-'"},
        extra_json_schema={"pattern": ID_PATTERN},
    ),
]
Host = Annotated[
    str,
    Meta(
        pattern=rf"^{HOST}\Z",  # Python's `$` lets a line feed pass, JSON Schema's does not and has no `\Z`
        extra={"expected": "a host and port like 'gpu-box:7000'"},
        extra_json_schema={"pattern": f"^{HOST}$"},
    ),
]


class ManifestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How large a manifest may be; set by the host program, never by a manifest. What is beyond is refused.

    Parameters
    ----------
    max_bytes : int
        Bytes of UTF-8 text; for a dict: of the JSON text that it would be.
    max_nodes, max_connections : int
        How many of them.
    max_depth : int
        Levels of objects and arrays, the manifest itself counted; at most 256.
    """

    max_bytes: int = 16 * 1024 * 1024
    max_nodes: int = 100_000
    max_connections: int = 1_000_000
    max_depth: int = 64

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"ManifestLimits.{name} must be an int of at least 1, not {value!r}")
        if self.max_depth > DEPTH_CEILING:
            raise ValueError(f"ManifestLimits.max_depth must be at most {DEPTH_CEILING}, not {self.max_depth}")


class Extra(dict[str, Any]):
    """Keys that the runtime does not act on: those beginning with ``x-``, and the SDK's.

    A type of its own, so that the typed decoder refuses a key by the name of the field and leaves it to the walk.
    """


# The decoder is told `Extra` alone: it would take a null for the field's default, but null is a value of a free key.
if TYPE_CHECKING:
    _ExtraOrNone = Extra | None
else:
    _ExtraOrNone = Extra

EXTRA_KEY = "x-"
"""The JSON name of `Part.extra`. As a key of a manifest it is free like any other ``x-`` key."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True):
    """Base of every object of the format, with the keys that are free on each.

    Attributes
    ----------
    description, comment : object
        Any JSON value; for people.
    extra : dict or None
        Keys that begin with ``x-``, and those of the SDK that this version does not act on.
    """

    description: Any = None
    comment: Any = None
    extra: _ExtraOrNone = msgspec.field(default=None, name=EXTRA_KEY)


class Gpu(Part, frozen=True, kw_only=True):
    """What a node wants of a GPU."""

    type: Literal["cuda", "rocm", "metal", "vulkan", "any"]
    min_memory_gb: Amount | None = None
    required: bool = True


class Cpu(Part, frozen=True, kw_only=True):
    """What a node wants of the processor."""

    cores: Count | None = None
    arch: Text | None = None


class Capabilities(Part, frozen=True, kw_only=True):
    """What a node wants of the machine that it runs on."""

    gpu: Gpu | None = None
    cpu: Cpu | None = None
    memory_gb: Amount | None = None


class Execution(Part, frozen=True, kw_only=True):
    """Where a node would rather run."""

    placement: Text
    reason: str | None = None
    fallback: str | None = None


class Timeouts(Part, frozen=True, kw_only=True):
    """Time limits of a node's calls, in milliseconds."""

    initialize: Duration | None = None
    process: Duration | None = None
    cleanup: Duration | None = None


class Retry(Part, frozen=True, kw_only=True):
    """How a failed call of an idempotent node is tried again.

    Parameters
    ----------
    max_attempts : int
        Most calls, the first one counted.
    backoff_ms : float
        The wait before the second call, in milliseconds.
    multiplier : float
        By how much each further wait is longer than the one before it.
    max_backoff_ms : float, optional
        No wait is longer.
    jitter : float
        How much of a wait is left to chance: 0 for none of it, 1 for all.
    retry_on : list of str, optional
        Names of the exception types after which it is tried again; see `remotemedia.retries`.
    """

    max_attempts: Count
    backoff_ms: Amount = 100.0
    multiplier: Annotated[float, Meta(ge=1)] = 2.0
    max_backoff_ms: Amount | None = None
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.5
    retry_on: Annotated[list[Text], Meta(min_length=1)] | None = None


class CircuitBreaker(Part, frozen=True, kw_only=True):
    """When a node that keeps failing is no longer called.

    Parameters
    ----------
    failure_threshold : int
        Failures in a row that open it.
    reset_ms : float
        Milliseconds until one call is let through again.
    """

    failure_threshold: Count
    reset_ms: Duration


class RunOptions(Part, frozen=True, kw_only=True):
    """Options of a whole run."""

    parallel_init: bool = False
    deadline_ms: Duration | None = None


class _NodeOptions(Part, frozen=True, kw_only=True):
    capabilities: Capabilities | None = None
    host: Host | None = None
    runtime_hint: Text | None = None
    execution: Execution | None = None
    is_streaming: bool | None = None
    is_output_node: bool = False
    fan_in: Literal["merge", "join"] = "merge"
    join_missing: Annotated[Literal["skip", "partial"], Meta(extra={"default": "skip"})] | None = None
    copy: bool = False
    batch_size: Count | None = None
    max_batch_wait_ms: Amount | None = None
    max_concurrency: Annotated[Count, Meta(extra={"default": 1})] | None = None
    parallelism: Count = 1
    timeout_ms: Duration | Timeouts | None = None
    retry: Retry | None = None
    circuit_breaker: CircuitBreaker | None = None
    isolation: Literal["none", "thread", "process", "wasm"] = "none"


# The collector need not look at nodes and connections (`gc=False`): they hold JSON values, which have no cycles, and
# not being tracked by it halves the time to read a large manifest (a test watches that nothing leaks).
class NodeSpec(_NodeOptions, frozen=True, gc=False):
    """One node of a manifest.

    Parameters
    ----------
    id : str
        Its name in the manifest: letters, digits, ``_`` and ``-``.
    node_type : str
        A type of the registry.
    params : dict, optional
        What ``initialize`` gets as ``context.params``; JSON values.
    fan_in : {"merge", "join"}
        How it takes items from several connections.
    join_missing : {"skip", "partial"}, optional
        What a join does without one of its branches; skips by default. Only with ``fan_in="join"``.
    copy : bool
        Give it a deep copy of each item.
    is_output_node : bool
        List what it emits in ``result.outputs``.
    capabilities, host, runtime_hint, execution, is_streaming : optional
        Read and kept; this version does not act on them.
    batch_size, max_batch_wait_ms, max_concurrency, parallelism : optional
        How many items it takes at once; ``docs/contract.md`` has which version supports which.
    timeout_ms, retry, circuit_breaker, isolation : optional
        What guards its calls; likewise.
    """

    id: NodeId
    node_type: Text
    params: dict[str, Any] = {}


class _ConnectionOptions(Part, frozen=True, kw_only=True):
    capacity: Count | None = None
    overflow: Literal["block", "drop_oldest", "drop_newest", "error"] | None = None


class Connection(_ConnectionOptions, frozen=True, gc=False):
    """One connection of a manifest.

    Parameters
    ----------
    from_ : str
        Id of the node whose items go through it (JSON key ``from``).
    to : str
        Id of the node that gets them.
    capacity : int, optional
        Most items that wait in it.
    overflow : {"block", "drop_oldest", "drop_newest", "error"}, optional
        What happens when it is full; blocks by default.
    """

    from_: str = msgspec.field(name="from")
    to: str


def spell_metadata(metadata: dict[str, Any]) -> bool:
    """Put the keys of metadata that have another spelling into the one; return whether none is there in both."""
    if METADATA_ALIASES.keys().isdisjoint(metadata):
        return True
    spelled = {METADATA_ALIASES.get(key, key): value for key, value in metadata.items()}
    sound = len(spelled) == len(metadata)
    metadata.clear()
    metadata.update(spelled)
    return sound


def joins_where_it_says(node: dict[str, Any]) -> bool:
    """Whether a node's ``join_missing`` is only where there is a join."""
    return "join_missing" not in node or node.get("fan_in") == "join"


def plain(part: Part) -> dict[str, Any]:
    """Return a part as the object that it is in JSON: unset keys left out, free values by reference."""
    tree: dict[str, Any] = {}
    for name, key, default in _fields(type(part)):
        value = getattr(part, name)
        if value is default or (type(value) is type(default) and value == default):
            continue
        if isinstance(value, Part):
            value = plain(value)
        elif isinstance(value, (list, tuple)) and key in ("nodes", "connections"):
            value = [plain(item) if isinstance(item, Part) else item for item in value]
        tree[key] = value
    extra = tree.pop(EXTRA_KEY, None)
    if isinstance(extra, dict):
        tree.update({f"extra.{key}" if key in tree else key: value for key, value in extra.items()})
    elif extra is not None:
        tree["extra"] = extra  # a field filled by hand with something else; the walk refuses it
    return tree


@cache
def _fields(part: type[Part]) -> list[tuple[str, str, Any]]:
    """Return attribute, JSON key and default of each field of `part`, the free ones last."""
    fields = [
        (field.name, field.encode_name, {} if field.default_factory is dict else field.default)
        for field in msgspec.structs.fields(part)
    ]
    return sorted(fields, key=lambda field: field[1] in ("description", "comment", EXTRA_KEY))
