"""The options of every command. The modules of the commands are imported when one is called."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from remotemedia import __version__
from remotemedia.cli.standard import tell
from remotemedia.cli.tables import flush_output, say

if TYPE_CHECKING:
    from collections.abc import Callable

ENGINES = ("cython", "reference")  # as in remotemedia.executor, which is not imported for --help
POLICIES = ("stop", "skip", "collect")
STATUSES = "exit status: 0 done, 1 the run failed, 2 bad usage or manifest, 141 output closed, 128 + n after signal n"


class Exit(Exception):
    """The command line was about itself alone, or wrong; all is said."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Parser(argparse.ArgumentParser):
    """Raises `Exit`, no SystemExit that a node could have raised; and says so when help cannot be written."""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Tell the message, if there is one."""
        if message:
            tell(message)
        raise Exit(status)

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stderr:
            tell(message)
        else:
            say([message.removesuffix("\n")])
            flush_output()


def build_parser() -> Parser:
    """Return the parser; ``options.command`` is the function to call."""
    parser = Parser(
        prog="remotemedia", description="Run pipelines of nodes that a manifest describes.", epilog=STATUSES
    )
    parser.add_argument("--version", action="version", version=f"remotemedia {__version__}")
    common = Parser(add_help=False)
    common.add_argument("--traceback", action="store_true", help="show the Python traceback of an error too")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser("run", parents=[common], help="run a manifest over JSON Lines, or an audio or video file")
    run.set_defaults(command=_command("run"))
    run.add_argument("manifest", metavar="MANIFEST", help="a JSON or YAML file")
    run.add_argument(
        "-i", "--input", metavar="FILE", help="JSON Lines, or an audio or video file (by its name); '-' (the default) "
        "is standard input"
    )  # fmt: skip
    run.add_argument(
        "--input-format", choices=("auto", "jsonl", "media", "pcm"), default="auto", help="what the input is, whatever "
        "its name says"
    )  # fmt: skip
    run.add_argument(
        "--stream", choices=("auto", "audio", "video", "both"), default="auto", help="what of a media file is decoded; "
        "auto: its audio or, if it has none, its video"
    )  # fmt: skip
    run.add_argument(
        "--pcm", metavar="RATE[:CHANNELS[:FORMAT]]", help="the input is raw samples, s16le (the default) or f32le"
    )
    run.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="where the lines go; '-' (the default) is standard output"
    )
    run.add_argument(
        "--param",
        metavar="NODE.KEY=JSON",
        action="append",
        default=[],
        help="set a param of a node, over the manifest's; may be given again",
    )
    run.add_argument(
        "--on-error", choices=POLICIES, default="stop", help="what a failed item does: end the run (the default), be "
        "dropped, be dropped and told of"
    )  # fmt: skip
    run.add_argument("--metrics", action="store_true", help="tell counts and time of every node on standard error")
    run.add_argument("--report", metavar="FILE", help="write a page about the run: one HTML file, for any browser")
    run.add_argument("--engine", choices=ENGINES, help="default: REMOTEMEDIA_ENGINE, or else cython")
    run.add_argument(
        "--format", choices=("json", "repr", "srt", "pcm"), help="default: by the name of the output, else json; repr "
        "writes what JSON cannot hold, srt segments as subtitles, pcm the samples of audio"
    )  # fmt: skip
    run.add_argument(
        "--with-node", action="store_true", help='write {"node": "<sink id>", "item": ...}, to tell several sinks apart'
    )

    validate = commands.add_parser("validate", parents=[common], help="tell every fault of manifests")
    validate.set_defaults(command=_command("validate"))
    validate.add_argument("manifests", metavar="MANIFEST", nargs="+", help="a JSON or YAML file")
    validate.add_argument("--format", choices=("text", "json"), default="text")

    nodes = commands.add_parser("nodes", parents=[common], help="list the node types, or describe one")
    nodes.set_defaults(command=_command("nodes"))
    nodes.add_argument("name", metavar="NAME", nargs="?", help="a node type")
    nodes.add_argument("--format", choices=("text", "json", "table"), default="text")

    graph = commands.add_parser("graph", parents=[common], help="draw the graph of a manifest")
    graph.set_defaults(command=_command("graph"))
    graph.add_argument("manifest", metavar="MANIFEST", help="a JSON or YAML file")
    graph.add_argument("--format", choices=("mermaid", "dot", "text"), default="text")
    return parser


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    def call(options: argparse.Namespace) -> int:
        status: int = getattr(import_module(f"remotemedia.cli.{name}"), name)(options)
        return status

    return call
