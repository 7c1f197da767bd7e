"""A small recorded cluster in the openb format, and files made from text."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flopgate_sim.traces import Trace, load_trace

DATA: Final = Path(__file__).parents[1] / "data"
NODES: Final = DATA / "openb_nodes.csv"
PODS: Final = DATA / "openb_pods.csv"


def small_trace() -> Trace:
    """Five nodes, ten pods."""
    return load_trace(NODES, PODS)


def trace_of(folder: Path, nodes: str | bytes, pods: str | bytes) -> Trace:
    """What files of this content say."""
    paths = folder / "nodes.csv", folder / "pods.csv"
    for path, content in zip(paths, (nodes, pods), strict=True):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_trace(*paths)
