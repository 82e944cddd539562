"""The per-item loop: whole runs of ready manifests, on both engines.

Slope = per node, intercept = per item: `Chain` against `LongChain` at 100 items, and `ChainByItems` over its counts.
"""

from instructions import instructions_per_item, valgrind_is_there
from scenarios import ENGINES, S1, S2, S3, floats, integers, prepare


class Chain:
    """S1: PassThrough → Echo → PassThrough, 100 items."""

    params = [ENGINES]
    param_names = ["engine"]
    tree = S1

    def setup(self, engine):
        self.run = prepare(self.tree, integers(100), engine)

    def time_execute(self, engine):
        self.run()


class LongChain(Chain):
    """S2: ten nodes, PassThrough and Echo in turn, 100 items."""

    tree = S2


class ChainByItems:
    """S1 at three counts of items."""

    params = [[10, 100, 1000], ENGINES]
    param_names = ["items", "engine"]

    def setup(self, items, engine):
        self.run = prepare(S1, integers(items), engine)

    def time_execute(self, items, engine):
        self.run()


class PythonNodes:
    """S3: three user classes in Python, 100 000 items, half of them dropped."""

    params = [ENGINES]
    param_names = ["engine"]

    def setup(self, engine):
        self.run = prepare(S3, floats(100_000), engine)

    def time_execute(self, engine):
        self.run()


class Timed:
    """S1 and S3 with the times of all calls, 1 000 items."""

    params = [["S1", "S3"], ENGINES]
    param_names = ["scenario", "engine"]

    def setup(self, scenario, engine):
        tree, items = {"S1": (S1, integers(1000)), "S3": (S3, floats(1000))}[scenario]
        self.run = prepare(tree, items, engine, metrics="time")

    def time_execute(self, scenario, engine):
        self.run()


class ChainMemory:
    """S1 with its results held: the process's peak."""

    params = [[1000, 100_000], ENGINES]
    param_names = ["items", "engine"]

    def setup(self, items, engine):
        self.run = prepare(S1, integers(items), engine)

    def peakmem_execute(self, items, engine):
        return self.run()


class ChainInstructions:
    """S1: machine instructions per item, which no noisy neighbour changes. Only where valgrind is."""

    params = [ENGINES]
    param_names = ["engine"]
    timeout = 300
    unit = "instructions"

    def setup(self, engine):
        if not valgrind_is_there():
            raise NotImplementedError("valgrind is not installed")

    def track_instructions_per_item(self, engine):
        return instructions_per_item(engine)

    track_instructions_per_item.unit = "instructions"
