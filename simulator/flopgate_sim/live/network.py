"""The network between racks and governor, and what can be done to it.

``Forwarded`` runs anywhere: TCP over loopback through a forwarder. ``namespaces.Namespaces`` is
real: links that go down, packets that get lost. Both take the same troubles, as far as they can.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from flopgate_proto.errors import MisuseError
from flopgate_proto.joining import JoinToken
from flopgate_sim.live.processes import LOOPBACK, Child, RehearsalError, free_ports


class Trouble(enum.Enum):
    """What can happen to the cable of one rack."""

    CUT = "cut"
    """Nothing passes."""
    UP = "up"
    """What hosts send is lost; what they are sent arrives."""
    DOWN = "down"
    """What hosts are sent is lost; what they send arrives."""
    LOSS = "loss"
    """Of 100 packets ``LOSS_PERCENT`` are lost, each way, at random."""


LOSS_PERCENT = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a governor listens, or is reached, as ``host:port``: daily life and first contact."""

    link: str
    enroll: str

    @classmethod
    def on(cls, host: str, ports: Sequence[int]) -> Addresses:
        """Two ports of one host."""
        link, enroll = ports
        return cls(link=f"{host}:{link}", enroll=f"{host}:{enroll}")

    def on_token(self, token: JoinToken) -> JoinToken:
        """The token of a host that reaches the governor here."""
        return replace(token, link_address=self.link, enroll_address=self.enroll)


class Network(Protocol):
    """Racks on one side, the governor on the other."""

    @property
    def words(self) -> str:
        """What it is made of, for people."""

    @property
    def troubles(self) -> frozenset[Trouble]:
        """What it can do."""

    @property
    def governor(self) -> Addresses:
        """Where the governor shall listen."""

    @property
    def governor_prefix(self) -> Sequence[str]:
        """Command that starts the governor within the network."""

    def reached(self, rack: int) -> Addresses:
        """Under which addresses a rack reaches the governor."""

    def prefix(self, rack: int) -> Sequence[str]:
        """Command that starts a rack's process within the network."""

    def trouble(self, rack: int, trouble: Trouble) -> None:
        """From now on, until ``heal``."""

    def heal(self, rack: int) -> int:
        """The cable is whole again; packets that it lost, 0 where it counts none."""

    def close(self) -> None:
        """Leave nothing behind."""


class Forwarded:
    """Loopback with a forwarder between: one cable a rack."""

    words = "a TCP forwarder on loopback; it loses bytes of a direction, never single packets"
    troubles = frozenset({Trouble.CUT, Trouble.UP, Trouble.DOWN})
    governor_prefix: Sequence[str] = ()

    def __init__(self, racks: int, log: Path) -> None:
        ports = free_ports(2 + 2 * racks)
        self.governor = Addresses.on(LOOPBACK, ports[:2])
        self._outside = [ports[at : at + 2] for at in range(2, len(ports), 2)]
        wires = [
            ",".join(f"{here}={there}" for here, there in zip(outside, ports[:2], strict=True))
            for outside in self._outside
        ]
        self._child = Child("flopgate_sim.live.forwarder", wires, log, talks=True)

    def reached(self, rack: int) -> Addresses:
        """The rack's own ports of the forwarder."""
        return Addresses.on(LOOPBACK, self._outside[rack])

    def prefix(self, rack: int) -> Sequence[str]:
        """None is needed."""
        del rack
        return ()

    def trouble(self, rack: int, trouble: Trouble) -> None:
        """Returns once it holds.

        Raises:
            MisuseError: a forwarder cannot do this.
            RehearsalError: the forwarder has ended.
        """
        if trouble not in self.troubles:
            raise MisuseError(f"a forwarder has no {trouble.value}", code="sim.network.trouble")
        self._pull(f"{rack} {trouble.value}")

    def heal(self, rack: int) -> int:
        """Old connections are closed, new ones pass."""
        self._pull(f"{rack} heal")
        return 0

    def _pull(self, line: str) -> None:
        self._child.say(line)
        if not self._child.lines.readline():
            self._child.check()
            raise RehearsalError("the forwarder says nothing any more")

    def close(self) -> None:
        """End the forwarder."""
        self._child.stop()
