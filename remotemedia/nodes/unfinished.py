"""Files that come to be under another name: what ends early leaves nothing half-written, and the old file as it was.

Called by all nodes that write files.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any


class UnfinishedFile:
    """A file that takes its name when it is finished.

    Parameters
    ----------
    path : path-like
        The name that it will have; a file of that name stays until then. Its folder is made if it is not there.

    Raises
    ------
    OSError
        The folder cannot be written to; the message names the path that was asked for.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            if self.path.is_dir():
                raise IsADirectoryError(21, "it is a folder")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.", suffix=".part")
        except OSError as error:
            raise self.failure(error) from error
        self.temporary = Path(name)
        self.file: IO[bytes] = os.fdopen(number, "wb")

    def write(self, data: Any) -> None:
        """Write bytes; if the disk is full the error says which file it was."""
        try:
            self.file.write(data)
        except OSError as error:
            self.discard()
            raise self.failure(error) from error

    def finish(self) -> None:
        """Put the file in place."""
        try:
            self.file.close()
            self.temporary.chmod(0o666 & ~_umask())  # mkstemp made it private
            self.temporary.replace(self.path)
        except OSError as error:
            self.discard()
            raise self.failure(error) from error

    def discard(self) -> None:
        """Remove it; more than once is as once."""
        with suppress(OSError):
            self.file.close()
        with suppress(OSError):
            self.temporary.unlink(missing_ok=True)

    def failure(self, error: OSError) -> OSError:
        """Return the error that says of the file's own name what could not be done."""
        return OSError(error.errno, f"cannot be written: {error.strerror or error}", str(self.path))


def _umask() -> int:
    """Return the mask of new files; Linux tells it without a moment in which it is another."""
    with suppress(OSError, ValueError, StopIteration):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022
