"""Pools of warm sessions: one item through one, by a thread and by a task."""

import asyncio

from scenarios import ENGINES, Same, chain, executor

ITEMS = range(1000)


class Pool:
    """acquire, `process` of one item, release, 1 000 times; nobody waits."""

    params = [ENGINES]
    param_names = ["engine"]

    def setup(self, engine):
        self.pool = executor(engine, Same=Same).pool(chain("Same"), 2).__enter__()

    def teardown(self, engine):
        self.pool.close()

    def time_process(self, engine):
        acquire, release = self.pool.acquire, self.pool.release
        for item in ITEMS:
            session = acquire()
            session.process(item)
            release(session)


class AsyncPool:
    """The same by a task, on asyncio; the pool is entered and left within."""

    params = [ENGINES]
    param_names = ["engine"]

    def setup(self, engine):
        self.executor = executor(engine, Same=Same)
        self.manifest = chain("Same")

    def time_process(self, engine):
        asyncio.run(self.serve())

    async def serve(self):
        async with self.executor.pool_async(self.manifest, 2) as pool:
            for item in ITEMS:
                session = await pool.acquire()
                await session.process(item)
                await pool.release(session)
