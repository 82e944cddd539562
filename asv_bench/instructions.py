"""Machine instructions per item of S1, counted by valgrind: `python instructions.py ENGINE ITEMS` is what it runs.

The count of a short run is subtracted from that of a long one, so that start-up drops out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import remotemedia

SHORT, LONG = 1_000, 6_000


def valgrind_is_there() -> bool:
    return shutil.which("valgrind") is not None


def instructions_per_item(engine: str) -> float:
    """Return the instructions that one more item of S1 costs."""
    return (_count(engine, LONG) - _count(engine, SHORT)) / (LONG - SHORT)


def _count(engine: str, items: int) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, __file__, engine]
    path = str(Path(remotemedia.__file__).parent.parent)
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": path}
    done = subprocess.run([*command, str(items)], capture_output=True, text=True, env=environment, check=True)
    found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if found is None:
        raise RuntimeError(f"valgrind gave no count: {done.stderr[-500:]}")
    return int(found.group(1))


def main(engine: str, items: int) -> None:
    from scenarios import S1, integers, prepare

    prepare(S1, integers(items), engine)  # which runs it once


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
