"""Cython from outside the package, compiled when it is asked for: a node that counts its calls, and a loop that times.

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

TICK = """\
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

UPDATES = """\
# cython: language_level=3
from libc.stdint cimport int64_t, uint64_t
from remotemedia._core.clock cimport clock_scale, read_clock
from remotemedia._core.histogram cimport BUCKETS, Times, count_call


cdef Times times


def read(int count):
    \"\"\"Read the clock so many times, as a run does that counts what lies between.\"\"\"
    cdef uint64_t clock = clock_scale()
    cdef int64_t now, then = read_clock(clock)
    for _ in range(count):
        now = read_clock(clock)
        times.call_ns += now - then
        then = now


def update(int count):
    \"\"\"The same, and update a histogram.\"\"\"
    cdef uint64_t clock = clock_scale()
    cdef int64_t now, then = read_clock(clock)
    for _ in range(count):
        now = read_clock(clock)
        times.call_ns += now - then
        count_call(&times)
        then = now


def counted():
    \"\"\"How many updates there were.\"\"\"
    return sum([times.processing.buckets[i] for i in range(BUCKETS)])
"""

SETUP = """\
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
setup(ext_modules=cythonize([Extension("made", ["made.pyx"])], include_path=[sys.argv.pop()], quiet=True))
"""


class CannotCompile(Exception):
    """Says why there is no node."""


def tick_class() -> Any:
    """Return the class `Tick`; raises what `compile_source` does."""
    return compile_source(TICK).Tick


def compile_source(source: str) -> Any:
    """Return the module of a source, compiled in a folder of its own that is gone when this returns.

    Raises
    ------
    CannotCompile
        Without Cython, setuptools or a C compiler.
    """
    for needed in ("Cython", "setuptools"):
        if importlib.util.find_spec(needed) is None:
            raise CannotCompile(f"{needed} is not installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder, "made.pyx").write_text(source)
        Path(folder, "setup.py").write_text(SETUP)
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", remotemedia.get_include()]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        built = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
        if built.returncode:
            raise CannotCompile(f"the compiler said: {(built.stderr or built.stdout).strip()[-300:]}")
        extension = next(path for path in Path(folder).glob("made.*") if path.suffix in (".so", ".pyd"))
        spec = importlib.util.spec_from_file_location("made", extension)
        if spec is None or spec.loader is None:
            raise CannotCompile(f"{extension.name} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module
