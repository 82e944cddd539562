"""``remotemedia validate``: every fault of manifests, up to what only their nodes can show; nothing is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from remotemedia.cli.failures import DONE, USAGE, UsageError
from remotemedia.cli.manifests import read_manifest
from remotemedia.cli.run import make_executor
from remotemedia.cli.tables import say, say_json
from remotemedia.errors import ManifestError, RegistryError

if TYPE_CHECKING:
    import argparse

    from remotemedia.executor import Executor


def validate(options: argparse.Namespace) -> int:
    """Check manifests; see the options in `remotemedia.cli.parser`. The findings are the output."""
    with make_executor(None) as executor:
        reports = [check(path, executor) for path in options.manifests]
    if options.format == "json":
        say_json(reports)
    else:
        for report in reports:
            say(as_text(report))
    return DONE if all(report["valid"] for report in reports) else USAGE


def check(path: str, executor: Executor) -> dict[str, Any]:
    """Return what there is to say of the manifest in a file.

    Notes
    -----
    A manifest without faults is planned: its nodes are made (not initialized), since only they show whether a join
    can be or a producer is fed.
    """
    found: dict[str, Any] = {"file": path, "valid": False, "errors": [], "warnings": []}
    try:
        manifest, found["warnings"] = read_manifest(path)
        found["nodes"], found["connections"] = len(manifest.nodes), len(manifest.connections)
        executor.check(manifest)
        found["valid"] = True
    except ManifestError as error:
        found["errors"] = [{"path": issue.path, "message": issue.message} for issue in error.errors]
    except RegistryError as error:
        found["errors"] = [_split(line) for line in str(error).splitlines()]
    except (UsageError, ImportError) as error:
        found["errors"] = [{"path": "", "message": str(error).removeprefix(f"{path}: ")}]
    return found


def as_text(report: dict[str, Any]) -> list[str]:
    """Return the lines of a report."""
    path = report["file"]
    lines = [f"{path}: {e['path']}{': ' if e['path'] else ''}{e['message']}" for e in report["errors"]]
    lines += [f"{path}: warning: {text}" for text in report["warnings"]]
    if report["valid"]:
        lines.append(f"{path}: valid, {report['nodes']} nodes, {report['connections']} connections")
    return lines


def _split(line: str) -> dict[str, str]:
    """Return path and message of a line of a `RegistryError`."""
    path, colon, message = line.partition(": ")
    return {"path": path, "message": message} if colon and path.startswith("$") else {"path": "", "message": line}
