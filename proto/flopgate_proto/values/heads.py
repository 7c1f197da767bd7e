"""Where the chains of an authority's hosts stand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest report of one host on record, and both books of all lanes by it."""

    host_id: bytes
    sequence: int
    head: bytes
    allotted_tflop: int
    unaccounted_tflop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """Some heads of one authority at one time of its own."""

    authority: str
    governor_unix_ms: int
    heads: tuple[Head, ...]
