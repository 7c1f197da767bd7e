"""Cables that can be cut: ``python -m flopgate_sim.live.forwarder LISTEN=TARGET[,...] ...``.

One argument a cable, with all ports of loopback that go through it. Lines on standard input: the
number of a cable and ``cut``, ``up``, ``down`` or ``heal``. The first drops every byte and takes no
new connections, as a dead network does; ``up`` and ``down`` drop what hosts or governor send; the
last ends that. Each line is repeated once it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from functools import partial

from flopgate_sim.live.processes import LOOPBACK

CHUNK_BYTES = 65536
UP, DOWN = "up", "down"
LOST = {"cut": {UP, DOWN}, UP: {UP}, DOWN: {DOWN}}


class Cable:
    """One state for all ports of a cable."""

    def __init__(self) -> None:
        self._lost: set[str] = set()
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def lose(self, directions: set[str]) -> None:
        """From now on nothing passes in these directions, and nobody gets a new connection."""
        self._lost = directions
        self._whole.clear()

    def heal(self) -> None:
        """Old connections are gone, new ones pass."""
        self._lost = set()
        self._whole.set()
        for writer in list(self._writers):
            writer.close()

    async def carry(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection to a port of the other side."""
        self._writers.add(writer)
        try:
            await self._whole.wait()
            out_reader, out_writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            self._writers.discard(writer)
            writer.close()
            return
        self._writers.add(out_writer)
        await asyncio.gather(
            self._pump(UP, reader, out_writer), self._pump(DOWN, out_reader, writer)
        )

    async def _pump(
        self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while chunk := await reader.read(CHUNK_BYTES):
                if direction not in self._lost:
                    writer.write(chunk)
                    await writer.drain()
        self._writers.discard(writer)
        writer.close()


async def _serve(wires: list[list[tuple[int, int]]]) -> None:
    cables = [Cable() for _ in wires]
    servers = [
        await asyncio.start_server(partial(cable.carry, target), LOOPBACK, listen)
        for cable, pairs in zip(cables, wires, strict=True)
        for listen, target in pairs
    ]
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        number, what = line.split()
        if what in LOST:
            cables[int(number)].lose(LOST[what])
        else:
            cables[int(number)].heal()
        print(line.strip(), flush=True)
    for server in servers:
        server.close()


def _wire(argument: str) -> list[tuple[int, int]]:
    pairs = (pair.split("=", 1) for pair in argument.split(","))
    return [(int(listen), int(target)) for listen, target in pairs]


def main() -> int:
    """Forward until standard input ends."""
    asyncio.run(_serve([_wire(argument) for argument in sys.argv[1:]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
