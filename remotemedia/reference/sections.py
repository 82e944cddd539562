"""Where passes wait for a 1-to-1 batch: the sections that it divides a scope into. Read `batches` first."""

from __future__ import annotations

from collections import deque
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from remotemedia.batching import Failed
from remotemedia.reference.graph import RUN
from remotemedia.reference.steps import Queue

if TYPE_CHECKING:
    from remotemedia.reference.steps import Inlet, Line, Program, Step
    from remotemedia.reference.travel import Emission


class Pass:
    """A pass over a scope with batches.

    Attributes
    ----------
    index : int or None
        Of its input item.
    item : object
        What the node at which it waits is to be called with; None for nothing.
    left : list of (Inlet, object)
        What it left for the steps behind.
    posts : list of Emission
        What it emitted before the last section.
    outer : list of Emission or None
        Where what it emits from then on goes; None to whoever drives.
    """

    __slots__ = ("index", "item", "left", "outer", "posts")

    def __init__(self, index: Any, item: Any, outer: list[Emission] | None) -> None:
        self.index = index
        self.item = item
        self.left: list[tuple[Inlet, Any]] = []
        self.posts: list[Emission] = []
        self.outer = outer


class Place:
    """Where the passes over a scope wait for a node with 1-to-1 batches.

    Attributes
    ----------
    step : Step
        The node.
    behind : list of Inlet
        Of the steps of the scope behind it.
    waiting, called : list of Pass
        Before the call, and after it.
    """

    def __init__(self, step: Step, behind: list[Inlet]) -> None:
        self.step = step
        self.behind = behind
        self.waiting: list[Pass] = []
        self._since_ns = 0  # when the first of them came
        self.called: deque[tuple[Pass, Any]] = deque()

    @property
    def is_full(self) -> bool:
        """Whether as many passes wait as the batch has items, or the first of them has waited as long as it may."""
        batching = self.step.batching
        assert batching is not None
        if len(self.waiting) >= batching.size or batching.wait_ms is None or not self.waiting:
            return len(self.waiting) >= batching.size
        return perf_counter_ns() - self._since_ns >= batching.wait_ms * 1e6

    def leave(self, travelling: Pass) -> None:
        """Let a pass wait, if it has anything left to do; not if it waits for nothing."""
        for inlet in self.behind:
            if isinstance(inlet, Queue):
                content: Any = inlet.waiting or None
                inlet.waiting = deque()
            else:
                content = inlet.take()
            if content is not None:
                travelling.left.append((inlet, content))
        if travelling.item is None and not self.waiting and (travelling.left or travelling.posts):
            self.called.append((travelling, None))
        elif travelling.item is not None or travelling.left or travelling.posts:
            if not self.waiting:
                self._since_ns = perf_counter_ns()
            self.waiting.append(travelling)

    def call(self, waiting: list[Pass], outputs: list[Any]) -> None:
        """Note what came of the call for the passes that have an item."""
        outcomes = iter(outputs)
        for travelling in waiting:
            self.called.append((travelling, None if travelling.item is None else next(outcomes)))

    def failures(self) -> list[tuple[Pass, Failed]]:
        """Return what failed of the passes that did not go on yet."""
        return [(travelling, outcome) for travelling, outcome in self.called if isinstance(outcome, Failed)]

    def drop_items(self) -> None:
        """Forget the passes; what was on its way into the node, or out of it, comes to nothing (R14)."""
        for travelling, outcome in [*self.called, *((waiting, None) for waiting in self.waiting)]:
            if travelling.item is not None:
                self.step.failed += isinstance(outcome, Failed)
                self.step.filtered += not isinstance(outcome, Failed)
        self.waiting = []
        self.called.clear()


def resume(travelling: Pass) -> None:
    """Put back what a pass had left for the steps behind."""
    for inlet, content in travelling.left:
        if isinstance(inlet, Queue):
            inlet.waiting = content
        else:
            inlet.put(content)
    travelling.left = []


class Section:
    """A part of a scope: its lines, and the place at its end; None for the last."""

    def __init__(self, lines: list[Line], place: Place | None) -> None:
        self.lines = lines
        self.place = place


def sections_of(program: Program) -> dict[int, list[Section]]:
    """Return the sections of each scope that has 1-to-1 batches."""
    found: dict[int, list[Section]] = {}
    for scope, lines in program.scopes.items():
        opener = None if scope == RUN else program.in_manifest_order[scope]
        steps = [step for _, line in lines for step in line]
        places: list[tuple[int, Step]] = []
        if opener is not None and pairs(opener) and is_merge(opener):
            places.append((-1, opener))
        places += [(i, line[0]) for i, (_, line) in enumerate(lines) if pairs(line[0]) and not is_merge(line[0])]
        if not places:
            continue
        sections, at = [], 0
        for i, step in places:
            behind = [inlet for later in steps[steps.index(step) + 1 if i >= 0 else 0 :] for inlet in later.inlets]
            sections.append(Section(lines[at : max(i, 0)], Place(step, behind)))
            at = i + 1
        found[scope] = [*sections, Section(lines[at:], None)]
    return found


def pairs(step: Step) -> bool:
    """Whether a step is a node with 1-to-1 batches, and no outlet of one."""
    return step.batching is not None and not step.batching.many and step.node is not None


def is_merge(step: Step) -> bool:
    """Whether a node is called once for each item that several connections bring."""
    return len(step.inlets) > 1 and not step.joins
