"""An `@final` node in Cython from outside the package, compiled when it is asked for: `Tick`, which counts its calls.

It is what a user's own extension would be: it sees the package's `.pxd` files and nothing else of it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import remotemedia

SOURCE = """\
# cython: language_level=3
cimport cython
from remotemedia._core.node cimport NativeNode


@cython.final
cdef class Tick(NativeNode):
    cdef readonly long long count

    cdef object process_item(self, object item):
        self.count += 1
        return item
"""

SETUP = """\
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
setup(ext_modules=cythonize([Extension("tick", ["tick.pyx"])], include_path=[sys.argv.pop()], quiet=True))
"""


class CannotCompile(Exception):
    """Says why there is no node."""


def include_root() -> Path:
    """Return where ``remotemedia/_core/node.pxd`` is: the installed package, or the checkout's link to ``_core/``."""
    package = Path(remotemedia.__file__).resolve().parent
    for root in (package.parent, package.parent / "build" / "cimport"):
        if (root / "remotemedia" / "_core" / "node.pxd").exists():
            return root
    raise CannotCompile("remotemedia/_core/node.pxd is not found")


def tick_class() -> Any:
    """Return the class `Tick`, compiled in a folder of its own that is gone when this returns.

    Raises
    ------
    CannotCompile
        Without Cython, setuptools or a C compiler.
    """
    for needed in ("Cython", "setuptools"):
        if importlib.util.find_spec(needed) is None:
            raise CannotCompile(f"{needed} is not installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder, "tick.pyx").write_text(SOURCE)
        Path(folder, "setup.py").write_text(SETUP)
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", str(include_root())]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        built = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
        if built.returncode:
            raise CannotCompile(f"the compiler said: {(built.stderr or built.stdout).strip()[-300:]}")
        extension = next(path for path in Path(folder).glob("tick.*") if path.suffix in (".so", ".pyd"))
        spec = importlib.util.spec_from_file_location("tick", extension)
        if spec is None or spec.loader is None:
            raise CannotCompile(f"{extension.name} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.Tick
