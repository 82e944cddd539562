"""What guards of calls take from the world: the time, chance, and waits that can be broken off. Tests give another."""

from __future__ import annotations

import sys
import time
from threading import Event
from typing import Any

SLICE_S = 0.05
"""How long a wait goes on before it looks around: a signal that comes just before a wait does not break it off."""


class World:
    """The real one."""

    def now(self) -> float:
        """Return seconds from some point in the past."""
        return time.monotonic()

    def chance(self) -> float:
        """Return a number from 0 to 1, not 1."""
        import random

        return random.random()

    def wait(self, halted: Event, seconds: float) -> bool:
        """Wait in the thread that calls, no longer than until `halted` is set; return whether it is.

        Ctrl-C breaks it off. In the thread of an event loop, where Ctrl-C cancels a task, it ends when the task that
        waits is cancelled.
        """
        task = task_of_thread()
        asked = 0 if task is None else task.cancelling()
        end = self.now() + seconds
        while not halted.wait(max(0.0, min(SLICE_S, end - self.now()))):
            if task is not None and task.cancelling() > asked:
                from asyncio import CancelledError

                raise CancelledError
            if self.now() >= end:
                return False
        return True

    async def sleep(self, seconds: float) -> None:
        """Wait in the task that calls; others go on."""
        from asyncio import sleep

        await sleep(seconds)


WORLD = World()


def task_of_thread() -> Any:
    """Return the task that runs in this thread, None outside of an event loop."""
    asyncio = sys.modules.get("asyncio")  # where nobody imported it there is no loop
    return None if asyncio is None or asyncio._get_running_loop() is None else asyncio.current_task()
