"""What the documentation shows is true: doctests, and the Python blocks of README and docs."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import remotemedia

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(remotemedia.__path__, "remotemedia.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0


def test_there_are_doctests():
    counts = [doctest.testmod(importlib.import_module(name)).attempted for name in MODULES]
    assert sum(counts) >= 10


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/writing-nodes.md",
        "docs/arrays.md",
        "docs/audio.md",
        "docs/live.md",
        "docs/media.md",
        "docs/metrics.md",
        "docs/report.md",
        "docs/video-and-text.md",
        "docs/speech.md",
    ],
)
def test_python_blocks_run(page, tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    for number, block in enumerate(blocks):
        script = tmp_path / f"block{number}.py"
        script.write_text(block)
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        # a comment behind a print says what it prints
        expected = [
            line.split("  # ", 1)[1] for line in block.splitlines() if line.startswith("print(") and "  # " in line
        ]
        assert done.stdout.splitlines()[: len(expected)] == expected
