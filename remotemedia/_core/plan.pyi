from typing import Any

from remotemedia._core.graph import PipelineGraph

class Plan:
    is_async: bool
    graph: PipelineGraph
    flushers: list[int]
    producers: list[int]
    output_ids: list[str]
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __len__(self) -> int: ...

def make_plan(graph: PipelineGraph, blueprint: Any, nodes: list[Any]) -> Plan: ...
