"""YAML read as another spelling of JSON: to the same tree that `remotemedia.manifest_text` gives, with lines.

The tree is built from parser events, with a stack of its own, so no constructor of PyYAML runs and nothing recurses.
The only module that imports PyYAML (extra ``remotemedia[yaml]``), and it does so at the first use.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from remotemedia.errors import ManifestError, ManifestIssue, bounded_repr
from remotemedia.manifest_text import Unfit, constant_of, float_of, int_of, too_deep
from remotemedia.manifest_walk import ENOUGH, ISSUES_LIMIT, describe

if TYPE_CHECKING:
    from collections.abc import Iterator

_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(
    r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?"
)  # for YAML 1.1 there is none without point and sign
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# What YAML 1.1, YAML 1.2 and JSON do not read alike, beside dates, which are strings here: nobody should have to guess.
_AMBIGUOUS = re.compile(
    r"""(?:y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF|=
    |[-+]?0[xX][0-9a-fA-F_]+ |[-+]?0o[0-7_]+ |[-+]?0b[01_]+
    |[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)? |[-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?)""",
    re.VERBOSE,
)
_ADVICE = "put a string in quotes, write a number like 12, 1.5 or 1.0e+5, a truth value as true or false"
_NO_KEY: Any = object()


def parse_yaml(text: str, max_depth: int) -> tuple[Any, list[ManifestIssue]]:
    """Return the tree of a YAML text, and the faults found on the way.

    Raises
    ------
    ManifestError
        If no tree can be made of it.
    ImportError
        If PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        message = f"YAML manifests need PyYAML ({error}); pip install 'remotemedia[yaml]', or write JSON"
        raise ImportError(message) from error

    builder = _Builder(yaml, max_depth)
    try:
        for event in _events(yaml, text.removeprefix("\ufeff")):
            builder.take(event)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        builder.fault(f"line {line}", "a character that YAML does not allow; write it as an escape in quotes")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "line 1" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
        builder.fault(where, f"not YAML: {', '.join(filter(None, (error.context, error.problem)))}")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        builder.fault(f"line {line}", "a lone surrogate, which no UTF-8 text can hold")
    except _StopError:
        pass
    else:
        if builder.has_root:
            return builder.root, builder.issues
        builder.fault("line 1", "the text is empty")
    raise ManifestError(builder.issues)


class _StopError(Exception):
    """What follows cannot be read; the reason is in the builder's issues."""


def _events(yaml: Any, text: str) -> Iterator[Any]:
    """Yield the parser's events, from libyaml where PyYAML has it."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


class _Builder:
    """A tree in the making: containers that are still open, and for mappings the key that waits for its value."""

    def __init__(self, yaml: Any, max_depth: int) -> None:
        self.issues: list[ManifestIssue] = []
        self.root: Any = None
        self.has_root = False
        self._yaml = yaml
        self._max_depth = max_depth
        self._open: list[_Mapping | list[Any]] = []

    def fault(self, where: str, message: str) -> None:
        """Note a fault."""
        self.issues.append(ManifestIssue(where, message))

    def take(self, event: Any) -> None:
        """Take the next event."""
        if len(self.issues) > ISSUES_LIMIT:
            self.issues[ISSUES_LIMIT:] = [ENOUGH]
            raise _StopError
        yaml = self._yaml
        where = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.NodeEvent):
            self._refuse_decorations(event, where)
        if isinstance(event, yaml.DocumentStartEvent) and self.has_root:
            self.fault(where, "a second document; a manifest is one")
            raise _StopError
        if isinstance(event, yaml.AliasEvent):
            alias = bounded_repr("*" + event.anchor, 60)
            self._put(Unfit(f"alias {alias} ({where}): aliases are not read, write the value out"), where)
        elif isinstance(event, yaml.ScalarEvent):
            self._put(self._scalar(event, where), where)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._begin([] if isinstance(event, yaml.SequenceStartEvent) else _Mapping(), where)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()

    def _refuse_decorations(self, event: Any, where: str) -> None:
        if event.anchor is not None and not isinstance(event, self._yaml.AliasEvent):
            anchor = bounded_repr("&" + event.anchor, 60)
            self.fault(where, f"anchor {anchor}: anchors and aliases are not read, write the value out")
        if getattr(event, "tag", None) is not None:
            self.fault(where, f"tag {bounded_repr(event.tag, 60)}: tags are not read, write the plain value")

    def _scalar(self, event: Any, where: str) -> Any:
        """Return what a scalar stands for."""
        value: str = event.value
        if not event.implicit[0]:  # in quotes, or a block
            return value
        if value in _WORDS:
            return _WORDS[value]
        if _INT.fullmatch(value):
            return int_of(value)
        if _FLOAT.fullmatch(value):
            return float_of(value)
        if _NOT_FINITE.fullmatch(value):
            return constant_of(f"{value} ({where})")
        if value == "<<":
            return Unfit(f"merge key '<<' ({where}): merge keys are not read, write the keys out")
        if _AMBIGUOUS.fullmatch(value):
            return Unfit(f"{bounded_repr(value, 60)} ({where}) means one thing or another by YAML version; {_ADVICE}")
        return value

    def _begin(self, container: _Mapping | list[Any], where: str) -> None:
        if len(self._open) == self._max_depth:
            self.fault(where, too_deep(self._max_depth))
            raise _StopError
        if self._open and isinstance(self._open[-1], _Mapping) and self._open[-1].key is _NO_KEY:
            self.fault(where, "a mapping or a sequence as a key; keys are strings")
            raise _StopError
        self._open.append(container)

    def _end(self) -> None:
        container = self._open.pop()
        self._put(container.tree() if isinstance(container, _Mapping) else container, "")

    def _put(self, value: Any, where: str) -> None:
        """Put a value, or a key, where it belongs."""
        if not self._open:
            self.root = value
            self.has_root = True
            return
        container = self._open[-1]
        if isinstance(container, list):
            container.append(value)
        elif container.key is not _NO_KEY:
            container.pairs.append((container.key, value))
            container.key = _NO_KEY
        else:
            container.key = self._key(container, value, where)

    def _key(self, mapping: _Mapping, key: Any, where: str) -> str:
        if not isinstance(key, str):
            wrong = f"the key {describe(key)} is no string; put it in quotes"
            self.fault(where, key.reason if isinstance(key, Unfit) else wrong)
            return f"({where})"
        if key in mapping.lines:
            self.fault(where, f"duplicate key {bounded_repr(key, 60)}, given already on {mapping.lines[key]}; keep one")
        mapping.lines.setdefault(key, where)
        return key


class _Mapping:
    """A mapping that is still open."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, Any]] = []
        self.lines: dict[str, str] = {}
        self.key: Any = _NO_KEY

    def tree(self) -> dict[str, Any]:
        """Return it as an object; a repeated key is already a fault by its line, the walk need not say it again."""
        return dict(self.pairs)
