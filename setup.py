"""Build of the compiled core: the table of Cython directives and its switches, nothing else.

Switches (environment): ``REMOTEMEDIA_DEBUG=1`` turns every check on, ``-O0 -g``, and annotates;
``REMOTEMEDIA_COVERAGE=1`` traces lines. Each mode has a build directory of its own, because cythonize
looks at times and not at directives.
"""

import os
import shutil
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

MODULES = (
    "node",
    "params",
    "media",
    "numeric",
    "cfunction",
    "running",
    "nodes",
    "graph",
    "jsonscan",
    "spelling",
    "plan",
    "cuts",
    "clock",
    "histogram",
    "counts",
    "run",
    "window",
    "crew",
    "lanes",
    "int_lanes",
    "overlap",
    "batches",
    "engine",
    "session",
    "pool",
    "aio",
)
DEBUG = os.environ.get("REMOTEMEDIA_DEBUG") == "1"
COVERAGE = os.environ.get("REMOTEMEDIA_COVERAGE") == "1"
EXACT = ["-ffp-contract=off"]  # floats as in Python: GCC on ARM would round a * b + c once, not twice
MODE = "debug" if DEBUG else "coverage" if COVERAGE else "release"

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": DEBUG,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
    "cdivision": True,
    "auto_pickle": False,
    "binding": False,  # a method of an extension type called on something else is a TypeError, not a crash
    "embedsignature": True,
    **({"linetrace": True} if COVERAGE else {}),
}

os.chdir(Path(__file__).parent)
SOURCES = Path("_core")
BUILD = Path("build") / MODE


def include_root() -> Path:
    """Return a folder in which ``_core/`` is found as ``remotemedia/_core``, so that absolute cimports work."""
    root = Path("build") / "cimport"
    package = root / "remotemedia"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.pxd").touch()
    link = package / "_core"
    if link.is_symlink() or link.exists():
        link.unlink() if link.is_symlink() else shutil.rmtree(link)
    try:
        link.symlink_to(SOURCES.resolve(), target_is_directory=True)
    except OSError:  # a file system, or an account, without symbolic links
        shutil.copytree(SOURCES, link)
    return root


class BuildWithPxd(build_py):
    """Install the ``.pxd`` files beside the extensions: they are the C-level interface of the package."""

    def run(self) -> None:  # noqa: D102
        super().run()
        package = Path("" if self.editable_mode else self.build_lib, "remotemedia", "_core")
        for source in sorted(SOURCES.glob("*.pxd")):
            self.copy_file(str(source), str(package / source.name))


class BuildAside(build_ext):
    """Put a new extension in place of the old file, not into it: a process that has it loaded would crash."""

    def copy_extensions_to_source(self) -> None:  # noqa: D102
        for extension in self.extensions:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        super().copy_extensions_to_source()


extensions = [
    Extension(
        f"remotemedia._core.{name}",
        [str(SOURCES / f"{name}.pyx")],
        depends=[str(p) for p in sorted(SOURCES.glob("*.pxd"))],
        extra_compile_args=[] if sys.platform == "win32" else [*EXACT, "-O0", "-g"] if DEBUG else [*EXACT, "-O2"],
        define_macros=[("CYTHON_TRACE", "1")] if COVERAGE else [],
    )
    for name in MODULES
]

setup(
    ext_modules=cythonize(
        extensions,
        include_path=[str(include_root())],
        build_dir=None if COVERAGE else str(BUILD),
        compiler_directives=DIRECTIVES,
        annotate=DEBUG,
        force=os.environ.get("REMOTEMEDIA_FORCE") == "1",
        nthreads=0,
        quiet=True,
    ),
    options={"build": {"build_base": str(BUILD)}},  # what one mode built is not for another
    cmdclass={"build_py": BuildWithPxd, "build_ext": BuildAside},
)
