"""How loud are the files of a folder: level, peak, silence and clipping, a line for each.

    python examples/loudness/run.py [FOLDER] [--jsonl]

Takes whatever FFmpeg decodes, audio of videos too. Without a folder it makes a few recordings of known levels and
reports on those. The level is the RMS of the whole file, 0 dBFS for a full-scale sine; it is not weighted as LUFS are.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

from make_media import make_media

import remotemedia as rm
from remotemedia.nodes.reader import read_media

Row = dict[str, Any]
FLOOR_DBFS = -120.0


class Summary(rm.NodeExecutor):
    """Sum the frames of a recording up, and give its level, peak and duration at its end."""

    def initialize(self, context: rm.NodeContext) -> None:
        """Begin with nothing."""
        self._power = self._peak = self._duration_s = 0.0

    def process(self, item: rm.AudioFrame) -> None:
        """Take a frame that `Level` and `Peak` measured."""
        self._power += 10 ** (item.metadata["level_dbfs"] / 10) * item.duration_s
        self._peak = max(self._peak, item.metadata["peak"])
        self._duration_s += item.duration_s

    def flush(self) -> list[Row]:
        """Return the one line."""
        if not self._duration_s:
            return []
        level_dbfs = 10 * math.log10(self._power / self._duration_s)
        peak_dbfs = 20 * math.log10(self._peak) if self._peak else FLOOR_DBFS
        return [{"duration_s": self._duration_s, "level_dbfs": level_dbfs, "peak_dbfs": peak_dbfs}]


def executor_and_manifest() -> tuple[rm.Executor, rm.Manifest]:
    """Return what measures a recording: three branches, of which each gives dicts of its own."""
    registry = rm.NodeRegistry()
    registry.register("Summary", Summary)
    nodes = [("level", "Level"), ("peak", "Peak"), ("summary", "Summary"), ("silence", "SilenceDetector")]
    pairs = [("level", "peak"), ("peak", "summary"), ("level", "silence"), ("level", "clipping")]
    manifest = rm.Manifest.from_dict(
        {
            "version": "v1",
            "metadata": {"name": "loudness"},
            "nodes": [{"id": id_, "node_type": type_} for id_, type_ in [*nodes, ("clipping", "ClippingDetector")]],
            "connections": [{"from": source, "to": target} for source, target in pairs],
        }
    )
    return rm.Executor(registry), manifest


def report(folder: Path) -> list[Row]:
    """Return a row for each file; one that cannot be read has an `error`."""
    executor, manifest = executor_and_manifest()
    rows = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        try:
            with read_media(path) as media:
                found = executor.execute_with_input(manifest, media).results
            rows.append({"file": name, **summed_up(found)})
        except rm.RemoteMediaError as error:
            rows.append({"file": name, "error": str(error).partition("\n")[0]})
    return rows


def summed_up(found: list[Row]) -> Row:
    """Return one row of what the three branches gave."""
    summary = next(row for row in found if "level_dbfs" in row)
    clips = [row for row in found if "count" in row]
    silent_s = sum(row["end"] - row["start"] for row in found if "start" in row and "count" not in row)
    return {
        "duration_s": round(summary["duration_s"], 3),
        "level_dbfs": round(summary["level_dbfs"], 1) + 0.0,  # never -0.0
        "peak_dbfs": round(summary["peak_dbfs"], 1) + 0.0,
        "silent_s": round(silent_s, 3),
        "clipped_runs": len(clips),
    }


def table(rows: list[Row]) -> str:
    """Return the rows as a table."""
    width = max(len("file"), *(len(row["file"]) for row in rows))
    lines = [f"{'file':<{width}}{'length':>10}{'level':>12}{'peak':>12}{'silent':>10}{'clipped':>9}"]
    for row in rows:
        if "error" in row:
            lines.append(f"{row['file']:<{width}}  {row['error']}")
            continue
        measures = f"{row['level_dbfs']:>7.1f} dBFS{row['peak_dbfs']:>7.1f} dBFS{row['silent_s']:>8.2f} s"
        lines.append(f"{row['file']:<{width}}{row['duration_s']:>8.2f} s{measures}{row['clipped_runs']:>9}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the example; return the exit status, 1 if a file could not be read."""
    parser = argparse.ArgumentParser(description="How loud are the files of a folder?")
    parser.add_argument("folder", nargs="?", type=Path, help="with audio files, also in folders of its own")
    parser.add_argument("--jsonl", action="store_true", help="print JSON Lines")
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a file's name may be no text
    with tempfile.TemporaryDirectory() as made:
        if options.folder is None:
            make_media(Path(made))
        elif not options.folder.is_dir():
            parser.error(f"{options.folder} is no folder")
        rows = report(options.folder or Path(made))
    if not rows:
        print("no files", file=sys.stderr)
        return 1
    print("\n".join(map(json.dumps, rows)) if options.jsonl else table(rows))
    return 1 if any("error" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
