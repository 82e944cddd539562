"""The files of a run, opened and compared before any is changed.

A run must not write over what it reads, nor read what it writes. Whether two are the same file is asked of the open
descriptors, standard input and output among them: a name may be a link, and the shell may have opened the file. Only
regular files can be harmed; a terminal or ``/dev/null`` may well be both.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from functools import partial
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from remotemedia.cli.encode import encode_json, encode_repr
from remotemedia.cli.failures import UsageError
from remotemedia.cli.lines import Blocks, Feed, JsonLines
from remotemedia.cli.media import MediaFeed, PcmFeed, PcmFormat, SrtEncoder, encode_pcm, is_media_name, read_pcm_format
from remotemedia.cli.writer import BUFFER_BYTES, LineWriter

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack

    from remotemedia.manifest import Manifest

DESCRIPTOR = re.compile(r"/dev/std(?:out|err)|/(?:dev|proc/self)/fd/(\d{1,6})")


class Source(NamedTuple):
    """Where the items of a run come from.

    Attributes
    ----------
    name : str
        What messages call it.
    size : int or None
        Bytes, if all are there already; from a pipe or terminal each line is answered when it comes.
    status : os.stat_result or None
        Of a regular file.
    """

    feed: Feed
    name: str
    size: int | None
    status: os.stat_result | None


def open_source(options: argparse.Namespace, producers: list[str], stack: ExitStack) -> Source | None:
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
    pcm = None if options.pcm is None else read_pcm_format(options.pcm)
    kind = _input_format(options)
    if options.input in (None, "-"):
        if sys.stdin is None:
            raise UsageError("standard input is closed; name a file: -i FILE")
        if kind == "media":
            raise UsageError("media are decoded from a file: -i FILE; from a pipe raw samples are taken: --pcm RATE")
        return _source(_feed(sys.stdin.buffer, "<stdin>", kind, pcm, options), "standard input", sys.stdin)
    try:
        file = stack.enter_context(open(options.input, "rb"))  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise UsageError(f"-i {options.input}: cannot be read: {_reason(error)}") from error
    return _source(_feed(file, options.input, kind, pcm, options), f"-i {options.input}", file)


def _input_format(options: argparse.Namespace) -> str:
    """Return what the input is taken for: jsonl, wav, media or pcm."""
    given: str = options.input_format
    if options.pcm is not None:
        if given not in ("auto", "pcm"):
            raise UsageError(f"--pcm says that the input is raw PCM, --input-format that it is {given}")
        return "pcm"
    if given == "pcm":
        raise UsageError("--input-format pcm: raw samples do not tell what they are: --pcm RATE[:CHANNELS[:FORMAT]]")
    if given != "auto":
        return given
    name = (options.input or "-").lower()
    if name.endswith(".wav") and options.stream in ("auto", "audio"):
        return "wav"
    return "media" if is_media_name(name) else "jsonl"


def _feed(file: IO[bytes], name: str, kind: str, pcm: PcmFormat | None, options: argparse.Namespace) -> Feed:
    if pcm is not None:
        status = regular(file)
        return PcmFeed(file, name, pcm, None if status is None else status.st_size)
    if kind == "wav":
        return Blocks(name)
    if kind == "media":
        return MediaFeed(name, options.stream, skip_corrupt=options.on_error != "stop")
    return JsonLines(file, name)


def open_writer(options: argparse.Namespace, manifest: Manifest, source: Source | None, stack: ExitStack) -> LineWriter:
    """Return the output; what a file holds stays there until `LineWriter.begin`.

    Raises
    ------
    UsageError
        If it cannot be opened, or is read by this run: it is the input, the manifest, or a file that a param names.
    """
    made = output_format(options)
    if options.with_node and made in ("srt", "pcm"):
        raise UsageError(f"--with-node: {made} has no room for the name of a node")
    encoders = {"json": encode_json, "repr": encode_repr, "pcm": encode_pcm}
    make = partial(
        LineWriter,
        encode=encoders[made] if made in encoders else SrtEncoder(),
        with_node=options.with_node,
        end=b"" if made == "pcm" else b"\n",
    )
    live = source is not None and source.size is None and (made == "pcm" or isinstance(source.feed, JsonLines))
    number = _number(options.output)
    if number == 1:
        file = _stdout(stack)
        _refuse_what_is_read(regular(file), "standard output", options, manifest, source)
        return make(file, "<stdout>", live=live or sys.stdout.isatty())
    try:
        raw, existed = _open(options.output) if number is None else (os.dup(number), True)
        file = stack.enter_context(open(raw, "wb", buffering=BUFFER_BYTES))  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise UsageError(f"-o {options.output}: cannot be written: {_reason(error)}") from error
    status = regular(file)
    if existed:
        _refuse_what_is_read(status, f"-o {options.output}", options, manifest, source)
    return make(file, options.output, live=live, regular=status is not None and number is None)


def output_format(options: argparse.Namespace) -> str:
    """Return the format that was asked for, or that the name of the output ends in; else json."""
    if options.format is not None:
        return str(options.format)
    name = options.output.lower()
    return "srt" if name.endswith(".srt") else "pcm" if name.endswith((".pcm", ".raw")) else "json"


def begun_by_first(items: Iterator[Any], begin: Callable[[], None]) -> Iterator[Any]:
    """Give the items; `begin` is called once the first of them, or the end, is there."""
    whole = chain(list(islice(items, 1)), items)
    begin()
    yield from whole


def regular(file: IO[Any]) -> os.stat_result | None:
    """Return the status of an open regular file; None for anything else."""
    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _source(feed: Feed, name: str, file: IO[Any]) -> Source:
    status = regular(file)
    return Source(feed, name, None if status is None else status.st_size, status)


def _number(output: str) -> int | None:
    """Return which open descriptor an output means, None for a file of its own.

    Opened by such a name, a file would be written from its beginning: ``>> log`` would not append.
    """
    if output == "-":
        return 1
    match = DESCRIPTOR.fullmatch(output)
    if match is None:
        return None
    return int(match[1]) if match[1] else 1 if output == "/dev/stdout" else 2


def _open(path: str) -> tuple[int, bool]:
    """Return a descriptor of a file that keeps what it holds, and whether it was there before."""
    flags = os.O_WRONLY | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags), True
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o666), False


def _stdout(stack: ExitStack) -> IO[bytes]:
    """Return standard output with a buffer of its own; where it is no real file, as it is."""
    if sys.stdout is None:
        raise UsageError("standard output is closed; name a file: -o FILE")
    sys.stdout.flush()
    try:
        return stack.enter_context(open(sys.stdout.fileno(), "wb", buffering=BUFFER_BYTES, closefd=False))
    except (OSError, ValueError):
        return sys.stdout.buffer


def _refuse_what_is_read(
    status: os.stat_result | None, output: str, options: argparse.Namespace, manifest: Manifest, source: Source | None
) -> None:
    """Raise a UsageError if a regular output is a file that this run reads."""
    reader = None if status is None else reader_of(status, options, manifest, source)
    if reader is not None:
        raise UsageError(f"{output}: it is read by this run ({reader}); write to another file")


def reader_of(
    status: os.stat_result, options: argparse.Namespace, manifest: Manifest, source: Source | None
) -> str | None:
    """Return what of this run reads a file, None if nothing does."""
    if source is not None and source.status is not None and os.path.samestat(source.status, status):
        return f"the input, {source.name}"
    if is_file(options.manifest, status):
        return f"the manifest, {options.manifest}"
    return param_that_names(manifest, lambda path: is_file(path, status))


def param_that_names(manifest: Manifest, is_it: Callable[[str], bool]) -> str | None:
    """Return which param of which node names a file, None if none does.

    What a node opens is its own affair; that a text which names the very file of the output is read as a path is the
    likeliest thing by far.
    """
    for node in manifest.nodes:
        for key, param in (node.params or {}).items():
            waiting = [param]
            while waiting:
                value = waiting.pop()
                if isinstance(value, dict):
                    waiting += value.values()
                elif isinstance(value, (list, tuple)):
                    waiting += value
                elif isinstance(value, str) and is_it(value):
                    return f"param {key!r} of node {node.id!r}"
    return None


def is_file(path: str, status: os.stat_result) -> bool:
    """Whether a path names the file of a status."""
    try:
        return os.path.samestat(os.stat(path), status)
    except (OSError, ValueError):  # ValueError: no path at all
        return False


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
