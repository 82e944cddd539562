"""The sdist has sources and no generated C; a wheel builds from it without build isolation, with the `.pxd` files."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_sdist_and_wheel(tmp_path):
    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(copy)], check=True)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, "--sdist", str(copy)], check=True, capture_output=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tmp_path / "sdist", filter="data")
    assert {"_core/engine.pyx", "_core/engine.pxd", "setup.py", "remotemedia/py.typed", "LICENSE"} <= names
    assert not [name for name in names if name.endswith((".c", ".so", ".html"))]

    (unpacked,) = (tmp_path / "sdist").iterdir()
    subprocess.run([*build, "--wheel", str(unpacked)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    files = set(zipfile.ZipFile(wheel).namelist())
    assert {"remotemedia/_core/node.pxd", "remotemedia/_core/node.pyi", "remotemedia/py.typed"} <= files
    assert any(name.startswith("remotemedia/_core/engine.") and name.endswith((".so", ".pyd")) for name in files)
