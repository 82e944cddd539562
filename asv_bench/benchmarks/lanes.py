"""Numbers at C speed: lanes over lists and arrays, batches, functions over arrays."""

import arrays
import numpy as np
from scenarios import BOUND, SEED, chain, executor, floats

import remotemedia as rm


class Lists:
    """Built-ins over 100 000 floats: S3, and ten Multiply."""

    params = ["filtering", "multiplying"]
    param_names = ["chain"]

    def setup(self, name):
        self.items = floats(100_000)
        self.tree = getattr(arrays, name)()
        self.execute = executor("cython").execute_with_input

    def time_execute(self, name):
        self.execute(self.tree, self.items)


class Arrays(Lists):
    """The same over an array of 10⁶."""

    def setup(self, name):
        super().setup(name)
        self.items = np.random.default_rng(SEED).random(1_000_000) * BOUND


class Roots(rm.NodeExecutor):
    batch_size = 256

    def process_batch(self, items):
        return np.sqrt(np.array(items)).tolist()


class Batches:
    """A node that takes batches, alone and behind another node, 100 000 floats."""

    params = [[["Roots"], ["PassThrough", "Roots"]], ["cython", "reference"]]
    param_names = ["chain", "engine"]

    def setup(self, kinds, engine):
        self.items = floats(100_000)
        self.tree = rm.Manifest.from_dict(chain(*kinds))
        self.execute = executor(engine, Roots=Roots).execute_with_input

    def time_execute(self, kinds, engine):
        self.execute(self.tree, self.items)


class FunctionsOverArrays:
    """np.tanh as a node, an array of 10⁶."""

    def setup(self):
        self.items = np.random.default_rng(SEED).random(1_000_000)
        self.tree = rm.Manifest.from_dict(chain("tanh"))
        self.execute = executor("cython", tanh=rm.array_function(np.tanh)).execute_with_input

    def time_execute(self):
        self.execute(self.tree, self.items)
