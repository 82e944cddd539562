"""The command line ``remotemedia``: run, validate, nodes, graph.

Exit status: 0 done; 1 the run failed; 2 bad usage or manifest (or a file that cannot be read, or a package that is
not installed); 128 + n after signal n (130 Ctrl-C, 143 SIGTERM, 129 SIGHUP); 141 when whoever read the output went
away. A failure is one block on standard error. Every command is a module of this folder with a function
``(options) -> exit status``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from remotemedia.cli.failures import BROKEN_PIPE, FAILED, SIGNALLED, USAGE, UsageError, report
from remotemedia.cli.parser import Exit, build_parser
from remotemedia.cli.signals import number_of, orderly_end, told
from remotemedia.cli.standard import settle, silence, standard_streams
from remotemedia.cli.tables import flush_output
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
        with standard_streams(), orderly_end():
            return _main(argv)
    except KeyboardInterrupt as error:  # one more, while the first was being told
        return SIGNALLED + number_of(error)


def _main(argv: Sequence[str] | None) -> int:
    with_traceback = False
    try:
        options = build_parser().parse_args(argv)
        with_traceback = options.traceback
        status: int = options.command(options)
        flush_output()
        return status
    except BrokenPipeError:
        silence(sys.stdout)
        return BROKEN_PIPE
    except KeyboardInterrupt as error:
        report(error, told(error), with_traceback=with_traceback)
        return SIGNALLED + number_of(error)
    except (UsageError, ManifestError, RegistryError, ImportError) as error:
        report(error, with_traceback=with_traceback)
        return USAGE
    except Exit as end:
        return end.status
    except SystemExit as error:  # of a node: whatever its code, the run did not come to its end
        report(error, f"a node ended the run by SystemExit({error.code!r})", with_traceback=with_traceback)
        return FAILED
    except Exception as error:
        report(error, with_traceback=with_traceback)
        return FAILED
    finally:
        settle(sys.stdout)
