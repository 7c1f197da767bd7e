"""Who is told how this host's gate and links stand."""

from __future__ import annotations

from typing import Protocol

from flopgate_agent.courier.core import State
from flopgate_proto.v1 import flopgate_pb2 as pb


class Watcher(Protocol):
    """Is told by every carrier, in the event loop."""

    def saw(self, snapshot: pb.Snapshot) -> None:
        """The gate showed itself."""

    def linked(
        self, authority: str, state: State, expires_unix_ms: int | None, held_ms: int
    ) -> None:
        """How an authority's link stands; when the certificate for it ends, if there is one.

        ``held_ms``: how long the authority held the host back so far.
        """
