"""Graph construction from decoded nodes and connections, and from JSON text."""

import sys

from scenarios import ENGINES, long_chain_text

import remotemedia as rm
from remotemedia._core.graph import link
from remotemedia.reference.graph import Graph

BUILDERS = {"cython": link, "reference": Graph}


def home(builder):
    """Return the file that a function or class comes from."""
    return sys.modules[builder.__module__].__file__


class Construction:
    """A chain of PassThrough and Echo: nodes and connections → graph in topological order."""

    params = [[10, 100, 1000, 10_000], ENGINES]
    param_names = ["nodes", "engine"]

    def setup(self, nodes, engine):
        self.manifest = rm.Manifest.from_json(long_chain_text(nodes))
        self.build = BUILDERS[engine]
        if not home(self.build).endswith(".py" if engine == "reference" else (".so", ".pyd")):
            raise RuntimeError(f"{home(self.build)} is not the engine {engine!r}")

    def time_construct(self, nodes, engine):
        self.build(self.manifest.nodes, self.manifest.connections)


class FromText:
    """JSON text → decoded, checked manifest with its graph; one way, whatever the engine."""

    params = [[10, 100, 1000, 10_000]]
    param_names = ["nodes"]

    def setup(self, nodes):
        self.text = long_chain_text(nodes)

    def time_from_json(self, nodes):
        rm.Manifest.from_json(self.text).graph  # noqa: B018

    def peakmem_from_json(self, nodes):
        return rm.Manifest.from_json(self.text).graph
