"""``remotemedia run``: items from a file through a pipeline into a file, in constant memory.

The plan is made before the output file is opened, and the file is emptied when the nodes are initialized and the first
item is there, so what cannot be run costs no earlier output. From then on every way out hands on what was finished,
cleans the nodes up, and tells on standard error.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from remotemedia.cli.dropped import Dropped
from remotemedia.cli.failures import DONE, OutputError, UsageError
from remotemedia.cli.files import Source, begun_by_first, open_source, open_writer
from remotemedia.cli.lines import Feed
from remotemedia.cli.manifests import load_manifest, read_param
from remotemedia.cli.metrics import tell_metrics
from remotemedia.cli.page import Page
from remotemedia.cli.progress import Progress
from remotemedia.cli.standard import tell
from remotemedia.cli.writer import LineWriter
from remotemedia.errors import InputError, NodeError, RemoteMediaError
from remotemedia.executor import Executor, OnError
from remotemedia.registry import NodeRegistry
from remotemedia.result import ExecutionStatus

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from remotemedia._core.session import Session


def run(options: argparse.Namespace) -> int:
    """Run a manifest; see the options in `remotemedia.cli.parser`."""
    manifest = load_manifest(options.manifest, [read_param(text) for text in options.param])
    with ExitStack() as stack:
        executor = stack.enter_context(make_executor(options.engine))
        producers = executor.check(manifest)  # whatever is wrong with it is known before a file is touched
        source = open_source(options, producers, stack)
        writer = open_writer(options, manifest, source, stack)
        page = None if options.report is None else Page(options, manifest, source, writer)
        feed = source.feed if source is not None else None
        dropped = Dropped(options.on_error, feed, with_traceback=options.traceback)
        takers: list[OnError] = []
        if options.on_error == "collect":
            takers.append(dropped.add)
        if page is not None:
            takers.append(page.add_error)
        collects = options.on_error != "stop" and bool(takers)
        session = executor.open(
            manifest,
            error_policy="collect" if collects else options.on_error,  # only then errors are given to anyone
            on_error=_to_all(takers) if collects else None,
            metrics="time" if options.metrics or page is not None else "counts",
        )
        items = None if source is None else begun_by_first(_with_progress(source, options, stack), writer.begin)
        if page is not None and items is not None:
            items = page.watched(items)
        status = ExecutionStatus.FAILED
        try:
            status = pump(session, items, writer, feed, page)
        except RemoteMediaError as error:
            _add_place(error, feed)
            raise
        finally:
            failure = sys.exception()
            stack.close()  # the progress bar is gone before anything is told
            dropped.tell(session.metrics())
            tell_corrupt(feed)
            if options.metrics:
                tell_metrics(session.metrics(), status, executor.engine, writer.count)
            if page is not None:
                page.write(session.metrics(), status, executor.engine, failure)
    return DONE


def _to_all(takers: list[OnError]) -> OnError:
    """Return what gives an error to each of `takers`."""

    def take(error: NodeError | InputError) -> None:
        for taker in takers:
            taker(error)

    return take


def make_executor(engine: str | None) -> Executor:
    """Return an executor; a UsageError if REMOTEMEDIA_ENGINE names none."""
    try:
        return Executor(NodeRegistry(), engine=engine)
    except ValueError as error:
        raise UsageError(str(error)) from error


def pump(
    session: Session, items: Iterable[Any] | None, writer: LineWriter, feed: Feed | None, page: Page | None = None
) -> ExecutionStatus:
    """Write all that comes out; what was finished is handed on however it ends. Return the status of the run."""
    try:
        # the session is left first: it ends with the error that leaves it, those of cleanups attached
        with session.stream(items, with_node=True) as stream, session:
            for sink, item in stream:
                writer.write(sink, item, feed)
                if page is not None:
                    page.add(sink, item)
        writer.begin()
        writer.flush()
        return stream.result.status
    except BrokenPipeError:
        raise
    except BaseException as error:
        try:
            writer.flush()
        except (OSError, OutputError) as failure:  # the first error is the one to tell
            if failure is not error:
                error.add_note(str(failure))
        except KeyboardInterrupt:  # one more: whoever should read it does not
            writer.give_up()
            raise
        raise


def tell_corrupt(feed: Feed | None) -> None:
    """Tell how much of a media file was passed over, if any."""
    count = getattr(feed, "corrupt_packets", 0)
    if count:
        tell(f"remotemedia: {count} corrupt packet{'s' if count > 1 else ''} of the input skipped")


def _with_progress(source: Source, options: argparse.Namespace, stack: ExitStack) -> Iterator[Any]:
    """Return the items, under a progress bar if there is someone to see it."""
    feed = source.feed
    if not sys.stderr.isatty() or (options.output == "-" and sys.stdout.isatty()):
        return iter(feed)
    bar = Progress.of_media(feed.media_ns) if feed.is_media else Progress.of(source.size)
    return iter(feed) if bar is None else _watched(feed, stack.enter_context(bar))


def _watched(feed: Feed, bar: Progress) -> Iterator[Any]:
    for item in feed:
        bar.show(feed.index, feed.position)
        yield item


def _add_place(error: RemoteMediaError, feed: Feed | None) -> None:
    """Note on an error of a run which line it is about, and what the node was given."""
    if not isinstance(error, (NodeError, InputError)):
        return
    place = feed.place(error.item_index) if feed is not None and error.item_index is not None else None
    if place is not None:
        error.add_note(f"at {place}")
    if isinstance(error, NodeError) and error.input_repr is not None:
        error.add_note(f"the node was given ({error.input_type}): {error.input_repr}")
