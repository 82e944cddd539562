"""The example of a native node builds against what is installed, is found as a plug-in, and passes its own tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import remotemedia as rm

EXAMPLE = Path(__file__).parents[2] / "examples" / "native_node"
pytestmark = pytest.mark.slow


def build(folder, **changes):
    """Build a copy of the example; return where it is installed."""
    source, target = folder / "source", folder / "site"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "*.c", "*.so", "__pycache__"))
    for name, (old, new) in changes.items():
        path = source / name.replace("__", "/")
        text = path.with_suffix(".py").read_text(encoding="utf-8")
        assert old in text
        path.with_suffix(".py").write_text(text.replace(old, new), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index"]
    done = subprocess.run([*command, "--target", target, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def python(target, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(target)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return build(tmp_path_factory.mktemp("native"))


def test_it_passes_its_own_tests(installed, tmp_path):
    shutil.copy(EXAMPLE / "test_softclip.py", tmp_path)
    done = python(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_the_command_line_knows_it(installed):
    done = python(installed, "-m", "remotemedia", "nodes", "SoftClip")
    assert "drive" in done.stdout, done.stderr


def test_one_that_was_built_against_another_interface_is_refused(tmp_path):
    other = tmp_path / "include" / "remotemedia"
    shutil.copytree(
        Path(rm.get_include()) / "remotemedia" / "_core", other / "_core", ignore=shutil.ignore_patterns("*.so")
    )
    shutil.copy(Path(rm.get_include()) / "remotemedia" / "__init__.py", other)
    declared = other / "_core" / "node.pxd"
    text = declared.read_text(encoding="utf-8")
    assert "    API_VERSION = 1\n" in text
    declared.write_text(text.replace("    API_VERSION = 1\n", "    API_VERSION = 99\n"), encoding="utf-8")
    target = build(tmp_path, setup=("remotemedia.get_include()", repr(str(other.parent))))
    done = python(target, "-c", "import remotemedia_softclip")
    assert "ImportError: built against version 99" in done.stderr
    done = python(target, "-c", "import remotemedia; remotemedia.NodeRegistry().create('SoftClip')")
    assert "RegistryError" in done.stderr
    assert "built against version 99" in done.stderr
