"""``remotemedia run``: items from a file through a pipeline into a file, in constant memory.

The plan is made before the output file is opened, so a manifest that cannot be run costs no earlier output. From then
on every way out hands on what was finished, cleans the nodes up, and tells on standard error.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

from remotemedia.cli.encode import encode_json, encode_repr
from remotemedia.cli.failures import DONE, OutputError, UsageError
from remotemedia.cli.lines import Blocks, Feed, JsonLines
from remotemedia.cli.manifests import load_manifest, read_param
from remotemedia.cli.metrics import tell_failures, tell_metrics
from remotemedia.cli.progress import Progress
from remotemedia.cli.writer import BUFFER_BYTES, LineWriter
from remotemedia.errors import InputError, NodeError, RemoteMediaError
from remotemedia.executor import Executor
from remotemedia.registry import NodeRegistry

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from remotemedia._core.session import Stream


def run(options: argparse.Namespace) -> int:
    """Run a manifest; see the options in `remotemedia.cli.parser`."""
    manifest = load_manifest(options.manifest, [read_param(text) for text in options.param])
    with ExitStack() as stack:
        executor = stack.enter_context(make_executor(options.engine))
        producers = executor.check(manifest)  # whatever is wrong with it is known before a file is touched
        feed = open_feed(options, producers, stack)
        writer = open_writer(options, feed, stack)
        stream = executor.stream(
            manifest,
            _with_progress(feed, options, stack),
            with_node=True,
            error_policy=options.on_error,
            metrics="time" if options.metrics else "counts",
        )
        try:
            pump(stream, writer, feed)
        except RemoteMediaError as error:
            _add_place(error, feed)
            if options.metrics and error.partial is not None:
                tell_metrics(error.partial)
            raise
        stack.pop_all().close()  # the progress bar is gone before anything is told
    result = stream.result
    tell_failures(result, feed, options)
    if options.metrics:
        tell_metrics(result, written=writer.count)
    return DONE


def make_executor(engine: str | None) -> Executor:
    """Return an executor; a UsageError if REMOTEMEDIA_ENGINE names none."""
    try:
        return Executor(NodeRegistry(), engine=engine)
    except ValueError as error:
        raise UsageError(str(error)) from error


def pump(stream: Stream, writer: LineWriter, feed: Feed | None) -> None:
    """Write all that comes out of a stream; what was finished is handed on however it ends."""
    try:
        with stream:
            for sink, item in stream:
                writer.write(sink, item, feed)
        writer.flush()
    except BrokenPipeError:
        raise
    except BaseException as error:
        try:
            writer.flush()
        except (OSError, OutputError) as failure:  # the first error is the one to tell
            if failure is not error:
                error.add_note(str(failure))
        raise


def open_feed(options: argparse.Namespace, producers: list[str], stack: ExitStack) -> Feed | None:
    """Return the input, None for a pipeline of producers.

    Raises
    ------
    UsageError
        If the input cannot be opened, or producers are given one.
    """
    if producers:
        if options.input is not None:
            raise UsageError(
                f"-i {options.input}: node {producers[0]!r} is a producer: the pipeline makes its own items"
            )
        return None
    remember = options.on_error == "collect"  # errors of items long gone are told at the end
    if options.input in (None, "-"):
        if sys.stdin is None:
            raise UsageError("standard input is closed; name a file: -i FILE")
        return JsonLines(sys.stdin.buffer, "<stdin>", remember=remember)
    try:
        file = stack.enter_context(open(options.input, "rb"))  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise UsageError(f"-i {options.input}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if options.input.lower().endswith(".wav"):
        return Blocks(options.input)
    return JsonLines(file, options.input, remember=remember)


def open_writer(options: argparse.Namespace, feed: Feed | None, stack: ExitStack) -> LineWriter:
    """Return the output, a file emptied; a UsageError if it cannot be opened."""
    encode = encode_json if options.format == "json" else encode_repr
    live = isinstance(feed, JsonLines) and not _is_regular_input(options)
    if options.output == "-":
        return LineWriter(_stdout(stack), "<stdout>", encode, live=live or sys.stdout.isatty())
    for other in (options.manifest, options.input):
        if other not in (None, "-") and os.path.exists(options.output) and os.path.samefile(other, options.output):
            raise UsageError(f"-o {options.output}: it is read by this run; write to another file")
    try:
        file: IO[bytes] = stack.enter_context(open(options.output, "wb", buffering=BUFFER_BYTES))  # noqa: SIM115
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"-o {options.output}: cannot be written: {reason}") from error
    return LineWriter(file, options.output, encode, live=live, regular=_is_regular(file))


def _stdout(stack: ExitStack) -> IO[bytes]:
    """Return standard output with a buffer of its own; where it is no real file, as it is."""
    if sys.stdout is None:
        raise UsageError("standard output is closed; name a file: -o FILE")
    sys.stdout.flush()
    try:
        return stack.enter_context(open(sys.stdout.fileno(), "wb", buffering=BUFFER_BYTES, closefd=False))
    except (OSError, ValueError):
        return sys.stdout.buffer


def _is_regular_input(options: argparse.Namespace) -> bool:
    """Whether all lines are there already; from a pipe or terminal each is answered when it comes."""
    if options.input in (None, "-"):
        return _is_regular(sys.stdin)
    return os.path.isfile(options.input)


def _is_regular(file: IO[Any]) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False


def _with_progress(feed: Feed | None, options: argparse.Namespace, stack: ExitStack) -> Iterable[Any] | None:
    """Return what the stream is given: the feed, under a progress bar if there is someone to see it."""
    if feed is None or not sys.stderr.isatty() or (options.output == "-" and sys.stdout.isatty()):
        return feed
    bar = Progress.of(_size(options) if isinstance(feed, JsonLines) else None)
    return feed if bar is None else _watched(feed, stack.enter_context(bar))


def _watched(feed: Feed, bar: Progress) -> Iterator[Any]:
    for item in feed:
        bar.show(feed.index, feed.position)
        yield item


def _size(options: argparse.Namespace) -> int | None:
    """Return the bytes of the input, if all of them are there."""
    if not _is_regular_input(options):
        return None
    return os.fstat(sys.stdin.fileno()).st_size if options.input in (None, "-") else os.path.getsize(options.input)


def _add_place(error: RemoteMediaError, feed: Feed | None) -> None:
    """Note on an error of a run which line it is about, and what the node was given."""
    if not isinstance(error, (NodeError, InputError)):
        return
    place = feed.place(error.item_index) if feed is not None and error.item_index is not None else None
    if place is not None:
        error.add_note(f"at {place}")
    if isinstance(error, NodeError) and error.input_repr is not None:
        error.add_note(f"the node was given ({error.input_type}): {error.input_repr}")
