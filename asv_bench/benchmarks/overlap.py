"""Calls beside each other: stages in threads, and async nodes with many items in flight."""

import asyncio

import live
from scenarios import ENGINES, Same, executor, integers


class ThreadStages:
    """A chain of nodes in threads that give back what they get; the reference calls them one after the other."""

    params = [[1, 2, 4], ENGINES]
    param_names = ["stages", "engine"]

    def setup(self, stages, engine):
        self.executor = executor(engine, Same=Same)
        self.manifest = live.chain_of("Same", stages, isolation="thread")
        self.items = integers(20_000)

    def time_execute(self, stages, engine):
        self.executor.execute_with_input(self.manifest, self.items)


class TasksInFlight:
    """A node that sleeps a millisecond, a hundred items at a time."""

    params = [ENGINES]
    param_names = ["engine"]

    def setup(self, engine):
        self.executor = executor(engine, Sleeping=live.Sleeping)
        self.manifest = live.chain_of("Sleeping", 1, max_concurrency=live.CALLS)
        self.items = integers(300)

    def time_execute(self, engine):
        asyncio.run(self.executor.execute_with_input_async(self.manifest, self.items))
