"""Where the C-level interface of nodes is."""

from __future__ import annotations

from pathlib import Path


def get_include() -> str:
    """Return the folder that Cython is to look in for ``from remotemedia._core.node cimport NativeNode``.

    It is on ``sys.path`` anyway, unless this package is an editable install: then only the compiler of a package that
    is told finds it (``cythonize(…, include_path=[remotemedia.get_include()])``).

    Raises
    ------
    FileNotFoundError
        This install has no ``.pxd`` files.
    """
    package = Path(__file__).resolve().parent
    for root in (package.parent, package.parent / "build" / "cimport"):
        if (root / "remotemedia" / "_core" / "node.pxd").exists():
            return str(root)
    raise FileNotFoundError(f"{package / '_core' / 'node.pxd'} is missing; install remotemedia anew")
