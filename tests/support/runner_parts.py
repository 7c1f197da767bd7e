"""What a gate's runner drives, for tests that look at the runner alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from flopgate_agent.gate.actions import Move
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Finding


class NoDoor:
    """No courier comes."""

    @property
    def clients(self) -> Mapping[int, int]:
        return {}

    def send(self, client_id: int, message: pb.FromGate) -> bool:
        raise AssertionError(client_id, message)

    def broadcast(self, message: pb.FromGate) -> None:
        """To nobody."""


class Hand:
    """Notes what was asked for."""

    def __init__(self) -> None:
        self.done: list[Move] = []

    @property
    def closed(self) -> Collection[str]:
        return ()

    def carry_out(self, action: Move) -> Sequence[Finding]:
        self.done.append(action)
        return ()

    def turn(self, now_ms: int) -> Sequence[Finding]:
        raise AssertionError(now_ms)

    def close(self, now_ms: int) -> None:
        """Nothing is under way."""

    def protect(self, pids: Sequence[int]) -> None:
        """Nobody is touched."""
