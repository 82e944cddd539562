"""Streams of audio frames for tests, and what a node makes of them when it is called by hand."""

from __future__ import annotations

from fractions import Fraction
from inspect import isgenerator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

import remotemedia as rm
from remotemedia._core.node import NodeContext

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

TYPES = (np.float32, np.float64, np.int16)


def made(node_class: type[Any], **params: Any) -> Any:
    """A node that is ready."""
    node = node_class()
    node.initialize(NodeContext("n", node_class.__name__, params))
    return node


def time_ns(count: int, rate: int) -> int:
    """The time of a sample, exact, then rounded half up."""
    return int(Fraction(count * 10**9, rate) + Fraction(1, 2))


def cut(samples: NDArray[Any], rate: int, cuts: Iterable[int], start_ns: int = 0) -> list[rm.AudioFrame]:
    """Samples of shape (channels, n) as frames, cut at these places; the metadata tells where a frame began."""
    count = samples.shape[1]
    borders = [0, *sorted(min(at, count) for at in cuts), count]
    return [
        rm.AudioFrame(samples[:, a:b], rate, start_ns + time_ns(a, rate), {"begin": a}) for a, b in pairwise(borders)
    ]


def given_by(node: Any, frames: Iterable[Any]) -> list[Any]:
    """All that a node gives for items one by one, without the flush; a list is many."""
    found: list[Any] = []
    for frame in frames:
        out = node.process(frame)
        found += out if isgenerator(out) or type(out) is list else [] if out is None else [out]
    return found


def all_of(node: Any, frames: Iterable[Any]) -> list[Any]:
    """All that a node gives for items and a flush."""
    return given_by(node, frames) + (node.flush() or [])


def noise(channels: int, count: int, dtype: Any = np.float32, seed: int = 5) -> NDArray[Any]:
    """Noise of half the full scale, of shape (channels, count)."""
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (channels, count))
    return (samples * 32768).astype(np.int16) if dtype == np.int16 else samples.astype(dtype)


def joined(frames: Iterable[rm.AudioFrame]) -> NDArray[Any]:
    """The samples of frames, one after the other."""
    return np.concatenate([frame.samples for frame in frames], axis=1)
