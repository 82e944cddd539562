"""Files that come to be under another name: what ends early leaves nothing half-written, and the old file as it was.

Called by all nodes that write files.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any


class UnfinishedFile:
    """A file that takes its name when it is finished.

    Parameters
    ----------
    path : path-like
        The name that it will have; a regular file of that name stays until then, and lends its mode. A link is
        followed. Pipes and devices are refused: they cannot be put in place.
    make_folders : bool
        Make the folder that it is in, if that is not there.

    Raises
    ------
    OSError
        It cannot be made there; the message names the path that was asked for.
    """

    def __init__(self, path: str | os.PathLike[str], *, make_folders: bool = True) -> None:
        self.path = Path(path)
        self._target = Path(os.path.realpath(self.path))
        self._failed: OSError | None = None
        try:
            self._mode = _mode_of(self._target)
            if make_folders:
                self._target.parent.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(dir=self._target.parent, prefix=f".{self._target.name}.", suffix=".part")
        except OSError as error:
            raise self.failure(error) from error
        self.temporary = Path(name)
        self.file: IO[bytes] = os.fdopen(number, "wb")

    def write(self, data: Any) -> None:
        """Write bytes; if the disk is full the error says which file it was, at this call and at every later one."""
        self.check()
        try:
            self.file.write(data)
        except OSError as error:
            raise self.fail(error) from error

    def finish(self) -> None:
        """Put the file in place."""
        self.check()
        try:
            self.file.close()
            self.temporary.chmod(0o666 & ~_umask() if self._mode is None else self._mode)  # mkstemp made it private
            self.temporary.replace(self._target)
        except OSError as error:
            raise self.fail(error) from error

    def check(self) -> None:
        """Raise what went wrong before: a file that lacks a piece is never put in place."""
        if self._failed is not None:
            raise self._failed

    def fail(self, error: OSError) -> OSError:
        """Give the file up, and return the error to raise."""
        self.discard()
        self._failed = self.failure(error)
        return self._failed

    def discard(self) -> None:
        """Remove it; more than once is as once."""
        with suppress(OSError):
            self.file.close()
        with suppress(OSError):
            self.temporary.unlink(missing_ok=True)

    def failure(self, error: OSError) -> OSError:
        """Return the error that says of the file's own name what could not be done."""
        return OSError(error.errno, f"cannot be written: {error.strerror or error}", str(self.path))


def _mode_of(target: Path) -> int | None:
    """Return the mode of a regular file, None if there is nothing of that name."""
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, and no file")
    return stat.S_IMODE(status.st_mode)


def _umask() -> int:
    """Return the mask of new files; Linux tells it without a moment in which it is another."""
    with suppress(OSError, ValueError, StopIteration):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022
