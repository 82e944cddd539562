"""Machine instructions per item of S1, counted by valgrind: `python instructions.py ENGINE RUNS` is what it runs.

The count of a process with few runs is subtracted from that of one with many, so that start-up drops out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import remotemedia

ITEMS = 1_000
FEW, MANY = 1, 6


def valgrind_is_there() -> bool:
    return shutil.which("valgrind") is not None


def instructions_per_item(engine: str) -> float:
    """Return the instructions that an item of S1 costs in a run of 1000."""
    return (_count(engine, MANY) - _count(engine, FEW)) / ((MANY - FEW) * ITEMS)


def _count(engine: str, runs: int) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, __file__, engine]
    path = str(Path(remotemedia.__file__).parent.parent)
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": path}
    done = subprocess.run([*command, str(runs)], capture_output=True, text=True, env=environment, check=True)
    found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if found is None:
        raise RuntimeError(f"valgrind gave no count: {done.stderr[-500:]}")
    return int(found.group(1))


def main(engine: str, runs: int) -> None:
    from scenarios import S1, integers, prepare

    run = prepare(S1, integers(ITEMS), engine)
    for _ in range(runs):
        run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
