"""What the tests of guards share: a world whose time is counted, and nodes that fail as they are told."""

from __future__ import annotations

import asyncio

from support import chain, node

import remotemedia as rm
from remotemedia.pauses import World


class FakeWorld(World):
    """Waits take no time, but are counted; `now` moves by them."""

    def __init__(self):
        self.time = 0.0
        self.waits = []  # milliseconds
        self.luck = 0.0

    def now(self):
        return self.time

    def chance(self):
        return self.luck

    def wait(self, halted, seconds):
        self._pass(seconds)
        return halted.is_set()

    async def sleep(self, seconds):
        self._pass(seconds)
        await asyncio.sleep(0)

    def _pass(self, seconds):
        self.time += seconds
        self.waits.append(round(seconds * 1000, 6))


class Script(rm.NodeExecutor):
    """Fails as `failures` says: for each item, how often before it is well."""

    idempotent = True
    failures: dict = {}
    calls: list = []
    error: type = ConnectionError
    cleaned = 0

    def cleanup(self):
        type(self).cleaned += 1

    def act(self, item):
        cls = type(self)
        cls.calls.append(item)
        if cls.calls.count(item) <= cls.failures.get(item, 0):
            raise cls.error(f"attempt {cls.calls.count(item)} at {item}")
        return item


class Plain(Script):
    def process(self, item):
        return self.act(item)


class Async(Script):
    async def process(self, item):
        await asyncio.sleep(0)
        return self.act(item)


class Many(Script):
    def process(self, item):
        yield None
        yield self.act(item)


class AsyncMany(Script):
    async def process(self, item):
        await asyncio.sleep(0)
        yield None
        yield self.act(item)


class Listed(Script):
    emits = "many"

    def process(self, item):
        return [self.act(item)]


class AsyncListed(Script):
    emits = "many"

    async def process(self, item):
        await asyncio.sleep(0)
        return [self.act(item)]


KINDS = (Plain, Async, Many, AsyncMany, Listed, AsyncListed)


def scripted(kind, failures=None, **attributes):
    """A node class that fails as told, with a record of its own."""
    return type(kind.__name__, (kind,), {"failures": failures or {}, "calls": [], "cleaned": 0, **attributes})


def guarded_node(kind, **keys):
    """A chain with a guarded node ``n`` in the middle."""
    manifest = chain(node("a", "PassThrough"), node("n", kind), node("z", "PassThrough"))
    manifest["nodes"][2].update(keys)
    return manifest
