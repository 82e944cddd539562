"""The command line ``remotemedia``: run, validate, nodes, graph.

Exit status: 0 done; 1 the run failed; 2 bad usage or manifest (or a file that cannot be read, or a package that is
not installed); 130 after Ctrl-C; 141 when whoever read standard output went away. A failure is one block on
standard error. Every command is a module of this folder with a function ``(options) -> exit status``.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from remotemedia.cli.failures import (
    BROKEN_PIPE,
    FAILED,
    INTERRUPTED,
    USAGE,
    UsageError,
    report,
)
from remotemedia.cli.parser import build_parser
from remotemedia.errors import ManifestError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, without the name of the program; by default those of the process.

    Returns
    -------
    int
        The exit status.
    """
    try:
        options = build_parser().parse_args(argv)
    except SystemExit as end:  # argparse: after --help and --version, or a message about the usage
        return end.code if isinstance(end.code, int) else USAGE
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except KeyboardInterrupt as error:
        report(error, "interrupted", with_traceback=options.traceback)
        return INTERRUPTED
    except (UsageError, ManifestError, RegistryError, ImportError) as error:
        report(error, with_traceback=options.traceback)
        return USAGE
    except SystemExit as error:  # of a node: whatever its code, the run did not come to its end
        report(error, f"a node ended the run by SystemExit({error.code!r})", with_traceback=options.traceback)
        return FAILED
    except Exception as error:
        report(error, with_traceback=options.traceback)
        return FAILED
    return status


def _silence_stdout() -> None:
    """Send what is left in the buffer of standard output nowhere, or the interpreter complains at its exit."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
