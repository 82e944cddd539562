"""Streams of S1, plain and async, read to their end; and async nodes that never suspend."""

import asyncio

import live
from scenarios import ENGINES, S1, executor, integers

ITEMS = 1000


class Stream:
    """S1, 1 000 items, one output at a time."""

    params = [ENGINES]
    param_names = ["engine"]

    def setup(self, engine):
        self.executor = executor(engine)
        self.items = integers(ITEMS)

    def time_read(self, engine):
        with self.executor.stream(S1, self.items) as stream:
            for _ in stream:
                pass


class AsyncStream(Stream):
    """The same by `async for`."""

    def time_read(self, engine):
        asyncio.run(self.read())

    async def read(self):
        async with self.executor.stream_async(S1, self.items) as stream:
            async for _ in stream:
                pass


class AsyncNodes:
    """Three async nodes that never suspend, 1 000 items."""

    params = [ENGINES]
    param_names = ["engine"]

    def setup(self, engine):
        self.run = executor(engine, Awaited=live.Awaited).execute_with_input_async
        self.manifest = live.chain_of("Awaited", 3)
        self.items = integers(ITEMS)

    def time_execute(self, engine):
        asyncio.run(self.run(self.manifest, self.items))
