"""Nodes for random pipelines: what they give depends on all of an item; they fail where told to."""

import asyncio
import time

import remotemedia as rm


def weigh(item):
    """A small number that depends on all of an item."""
    if isinstance(item, int):
        return item
    return 1 + sum(weigh(i) for i in (item.values() if isinstance(item, dict) else item))


class Kind(rm.NodeExecutor):
    """Base: fails where told to, and takes its time."""

    def initialize(self, context):
        self.fail = context.params.get("fail")
        self.held = []

    def check(self, item):
        if self.fail is not None and weigh(item) % 5 == self.fail:
            raise ValueError(f"cannot take {weigh(item)}")
        return weigh(item)


class Plus(Kind):
    def process(self, item):
        return (self.check(item) + 1) % 97


class Odd(Kind):
    def process(self, item):
        return item if self.check(item) % 2 else None


class Burst(Kind):
    def process(self, item):
        for i in range(weigh(item) % 4):
            if i == 2 and self.fail is not None:
                raise ValueError("cannot go on")
            yield weigh(item) + i


class Late(Kind):
    def process(self, item):
        self.check(item)
        self.held.append(item)
        return self.held.pop(0) if len(self.held) > 1 else None

    def flush(self):
        while self.held:
            yield self.held.pop(0)
        if self.fail == 4:
            raise ValueError("cannot flush")


class Source(Kind):
    def produce(self):
        for i in range(6):
            if i == 4 and self.fail is not None:
                raise ValueError("ran dry")
            yield i


async def some_turns(item):
    for _ in range(weigh(item) * 7 % 4):
        await asyncio.sleep(0)


class AsyncPlus(Kind):
    async def process(self, item):
        await some_turns(item)
        return (self.check(item) + 1) % 97


class AsyncOdd(Kind):
    async def process(self, item):
        await some_turns(item)
        return item if self.check(item) % 2 else None


class AsyncBurst(Kind):
    async def process(self, item):
        for i in range(weigh(item) % 4):
            await some_turns(item)
            if i == 2 and self.fail is not None:
                raise ValueError("cannot go on")
            yield weigh(item) + i


class AsyncList(Kind):
    emits = "many"

    async def process(self, item):
        await some_turns(item)
        return [self.check(item), None, 2] if weigh(item) % 3 else None


class SlowPlus(Plus):
    def process(self, item):
        time.sleep((weigh(item) * 7 % 3) / 5000)  # gives the GIL away; nothing waits for it
        return super().process(item)


class AsyncSource(Kind):
    async def produce(self):
        for i in range(6):
            await asyncio.sleep(0)
            if i == 4 and self.fail is not None:
                raise ValueError("ran dry")
            yield i


PLAIN = {cls.__name__: cls for cls in (Plus, Odd, Burst, Late, SlowPlus)}
ASYNC = {cls.__name__: cls for cls in (AsyncPlus, AsyncOdd, AsyncBurst, AsyncList)}
SOURCES = {cls.__name__: cls for cls in (Source, AsyncSource)}


def describe(error):
    if error is None:
        return None
    fields = ("node_id", "node_type", "phase", "item_index", "input_type", "input_repr", "errors")
    return (type(error).__name__, str(error), *(getattr(error, f, None) for f in fields), repr(error.__cause__))
