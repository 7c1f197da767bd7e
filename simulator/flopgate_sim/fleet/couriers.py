"""Hosts with couriers: production code on both sides of each door, many doors on one event loop.

A door belongs to a selector. So does every door of the process, and the event loop watches that
selector: an epoll descriptor is readable while one of its own is ready (epoll(7)).
"""

from __future__ import annotations

import asyncio
import os
import random
import selectors
from pathlib import Path

from flopgate_agent.config import AuthorityConfig, CourierConfig
from flopgate_agent.courier.carrier import Carrier
from flopgate_agent.courier.identity import Identity
from flopgate_agent.gate_process.gate_door import GateDoor
from flopgate_agent.gate_process.host import read_clocks
from flopgate_proto.joining import JoinToken
from flopgate_sim.fleet.host import SimulatedHost

BACKOFF_MS_MAX = 1000
KEEPALIVE_MS = 5000
"""As often as a governor permits pings: a cut network is noticed within twice this."""


class Doors:
    """The doors of one process's hosts."""

    def __init__(self) -> None:
        self._selector = selectors.EpollSelector()
        self._hosts: dict[GateDoor, SimulatedHost] = {}

    def open(self, path: Path) -> GateDoor:
        """A door for this process's own user; one that a killed gate left is replaced."""
        door = GateDoor(path, [os.getuid()])
        door.register(self._selector)
        return door

    def attach(self, door: GateDoor, host: SimulatedHost) -> None:
        """What comes through the door is for this host."""
        self._hosts[door] = host

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve every door from now on."""
        loop.add_reader(self._selector.fileno(), self._serve)

    def _serve(self) -> None:
        for key, _ in self._selector.select(0):
            for client_id, message in key.data.on_ready(key):
                self._hosts[key.data].from_courier(client_id, message, read_clocks())


def make_carrier(
    token: JoinToken, directory: Path, door: Path, *, answer_timeout_ms: int
) -> Carrier:
    """A host's courier: key and certificates in ``directory``, one authority."""
    directory.mkdir(mode=0o700, exist_ok=True)
    config = CourierConfig(
        state_dir=directory,
        door_path=door,
        backoff_ms_max=BACKOFF_MS_MAX,
        keepalive_ms=KEEPALIVE_MS,
        answer_timeout_ms=answer_timeout_ms,
    )
    authority = AuthorityConfig(
        name=token.authority,
        address=token.link_address,
        enroll_address=token.enroll_address,
        ca_pem=token.tls_ca_pem.encode(),
    )
    return Carrier(config, authority, Identity(directory), random.SystemRandom())
