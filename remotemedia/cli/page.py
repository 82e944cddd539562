"""``--report``: what is kept of a run, and the page that is written when it is over, however it ended."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from remotemedia.cli.failures import OutputError, UsageError
from remotemedia.cli.files import param_that_names, reader_of
from remotemedia.cli.standard import tell
from remotemedia.errors import bounded_text
from remotemedia.nodes.unfinished import UnfinishedFile

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from remotemedia.cli.files import Source
    from remotemedia.cli.writer import LineWriter
    from remotemedia.errors import InputError, NodeError
    from remotemedia.manifest import Manifest
    from remotemedia.result import ExecutionStatus

READERS = ("MediaReader", "WavReader", "WavSource")


class Page:
    """The page about a run.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command; ``options.report`` is the file.
    manifest : Manifest
        What is run.
    source : Source or None
        The input.
    writer : LineWriter
        The output.

    Raises
    ------
    UsageError
        The file is a folder, or one that this run reads or writes.
    """

    def __init__(
        self, options: argparse.Namespace, manifest: Manifest, source: Source | None, writer: LineWriter
    ) -> None:
        from remotemedia.report.recorder import Recorder

        self._path = options.report
        self._manifest = manifest
        self._source = source
        self._check(options, writer)
        given = {
            "error policy": options.on_error,
            "manifest": options.manifest,
            "input": None if source is None else source.name.removeprefix("-i "),
            "params set": ", ".join(options.param) or None,
            "raw input": options.pcm,
        }
        self._recorder = Recorder(manifest, {name: value for name, value in given.items() if value is not None})

    def watched(self, items: Iterable[Any]) -> Iterator[Any]:
        """Give the items of the input, and see what they are."""
        return self._recorder.watched(items)

    def add(self, sink: str, item: Any) -> None:
        """Take what a sink emitted."""
        self._recorder.add(sink, item)

    def add_error(self, error: NodeError | InputError) -> None:
        """Take what failed and was dropped."""
        self._recorder.add_error(error)

    def write(
        self, metrics: dict[str, Any], status: ExecutionStatus, engine: str, failure: BaseException | None
    ) -> None:
        """Write the page and tell where it is.

        Raises
        ------
        OutputError
            It cannot be written, and nothing else went wrong.
        """
        from remotemedia.report import report_html

        try:
            if failure is None or isinstance(failure, Exception):  # who interrupts does not wait for a picture
                self._hear_source()
            page = report_html(self._recorder.story(metrics, status.value, engine, failure))
            file = UnfinishedFile(self._path, make_folders=False)
            file.write(page.encode("utf-8", "backslashreplace"))
            file.finish()
        except Exception as error:  # whatever it is: what ended the run is not to be hidden by it
            reason = error.strerror if isinstance(error, OSError) else f"cannot be made: {bounded_text(error)}"
            told = f"--report {self._path}: {reason}"
            if failure is not None:
                failure.add_note(told)
                return
            raise OutputError(told) from error
        tell(f"remotemedia: report: {self._path}\n")

    def _check(self, options: argparse.Namespace, writer: LineWriter) -> None:
        if self._path in ("", "-"):
            raise UsageError("--report: name a file")
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            if not os.path.isdir(os.path.dirname(self._path) or "."):
                raise UsageError(f"--report {self._path}: there is no such folder") from None
            taker = param_that_names(self._manifest, lambda path: _is_same(path, self._path))
            if taker is not None:  # a file to be, of a node that writes
                raise UsageError(
                    f"--report {self._path}: it is a file of this run ({taker}); write to another"
                ) from None
            return
        except (OSError, ValueError) as error:
            raise UsageError(f"--report {self._path}: {getattr(error, 'strerror', None) or error}") from error
        if stat.S_ISDIR(status.st_mode):
            raise UsageError(f"--report {self._path}: it is a folder; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"--report {self._path}: it is a pipe or a device; name a file")
        reader = reader_of(status, options, self._manifest, self._source)
        if reader is not None:
            raise UsageError(f"--report {self._path}: it is read by this run ({reader}); write to another file")
        if writer.is_file(status):
            raise UsageError(f"--report {self._path}: the results go there; write to another file")

    def _hear_source(self) -> None:
        """Read what a producer read once more, for the waveform: what it emits is seen by nodes alone."""
        reader = next((spec for spec in self._manifest.nodes if spec.node_type in READERS), None)
        if self._recorder.waveform is not None or reader is None:
            return
        params = reader.params or {}
        path = params.get("path")
        # what was read from a pipe is gone, and one who opens it again waits for ever
        if not isinstance(path, str) or not os.path.isfile(path):
            return
        part = {name: params[name] for name in ("start_s", "duration_s") if params.get(name)}
        with suppress(Exception):  # whatever cannot be drawn: the page is there without it
            from remotemedia.report.audio import waveform_of

            self._recorder.waveform = waveform_of(path, **part if reader.node_type == "MediaReader" else {})


def _is_same(one: str, other: str) -> bool:
    """Whether two names are of the same file to be; False of what is no name at all."""
    try:
        return os.path.realpath(one) == os.path.realpath(other)
    except (OSError, ValueError):
        return False
