"""A node that says that it keeps state from item to item never has two calls at once: who asks for it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from support import node

import remotemedia as rm

STATEFUL = {
    "Resample": {"sample_rate": 8000}, "Chunker": {"samples": 5}, "Frames": {}, "WebRtcVAD": {}, "SileroVAD": {},
    "EnergyVAD": {}, "VoiceActivity": {}, "SpeechSegmenter": {}, "Segments": {}, "SilenceDetector": {},
    "ClippingDetector": {}, "LogMelSpectrogram": {}, "MediaWriter": {"path": "a.flac"}, "WavWriter": {"path": "a.wav"},
    "PcmWriter": {"path": "a.raw"}, "SrtWriter": {"path": "a.srt"}, "FrameSampler": {"fps": 1}, "SceneChange": {},
    "TextCollector": {},
}  # fmt: skip


def manifest(node_type: str, params: dict[str, Any], **keys: Any) -> dict[str, Any]:
    nodes = [node("n", node_type, **params) | keys]
    return {"version": "v1", "metadata": {"name": "m"}, "nodes": nodes, "connections": []}


@pytest.mark.parametrize("node_type", STATEFUL)
def test_nodes_of_this_package_that_keep_state_are_called_one_at_a_time(engine: str, node_type: str) -> None:
    executor = rm.Executor(engine=engine)
    tree = manifest(node_type, STATEFUL[node_type], isolation="thread", max_concurrency=2)
    with pytest.raises(rm.ManifestError, match=r"\$\.nodes\[0\]\.max_concurrency: .* keeps state"):
        executor.execute_with_input(tree, [])
    executor.check(manifest(node_type, STATEFUL[node_type], isolation="thread"))
    executor.check(manifest(node_type, STATEFUL[node_type], isolation="thread", max_concurrency=1))


def test_those_that_keep_none_may_overlap(engine: str) -> None:
    for node_type, params in (("Gain", {}), ("ToMono", {}), ("Resize", {"width": 4}), ("Level", {})):
        rm.Executor(engine=engine).check(manifest(node_type, params, isolation="thread", max_concurrency=4))


@pytest.mark.parametrize("asks", ["manifest", "class"])
def test_a_node_of_one_s_own_can_say_so(engine: str, asks: str) -> None:
    class Sum(rm.NodeExecutor):
        keeps_state = True
        max_concurrency = 4 if asks == "class" else 1

        async def process(self, item: int) -> int:
            return item

    registry = rm.NodeRegistry()
    registry.register("Sum", Sum)
    keys = {"max_concurrency": 4} if asks == "manifest" else {}
    with pytest.raises(rm.ManifestError, match=r"keeps_state.*cannot overlap; leave it out"):
        rm.Executor(registry, engine=engine).check(manifest("Sum", {}, **keys))
