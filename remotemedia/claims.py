"""Who uses which node instance: an instance is never in two runs at once (R13)."""

from __future__ import annotations

from threading import Lock

from remotemedia.errors import SessionBusyError

_claimed: set[int] = set()  # ids of instances that a living run holds, so no id is reused while it is in here
_lock = Lock()


def claim(node: object, name: str) -> None:
    """Mark `node` as used by a run, or raise `SessionBusyError`. `name` says in messages which node it is."""
    with _lock:
        if id(node) in _claimed:
            raise SessionBusyError(
                f"{name}: its factory gave an instance that is in use already; give a new one at each call, "
                "or register the type with shared=True"
            )
        _claimed.add(id(node))


def release(node: object) -> None:
    """Take the mark back; legal for a node that has none."""
    with _lock:
        _claimed.discard(id(node))
