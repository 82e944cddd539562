"""Everything but the extension is in `pyproject.toml`."""

from Cython.Build import cythonize
from setuptools import Extension, setup

import remotemedia

extension = Extension("remotemedia_softclip.node", ["remotemedia_softclip/node.pyx"])
setup(ext_modules=cythonize([extension], include_path=[remotemedia.get_include()]))
