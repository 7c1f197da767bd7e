"""A cable that can be cut: ``python -m flopgate_sim.demo.forwarder LISTEN=TARGET ...`` (ports).

Lines on standard input: ``cut`` drops every connection's bytes and takes no new ones, as a dead
network does; ``heal`` ends that.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from functools import partial

CHUNK_BYTES = 65536
HOST = "127.0.0.1"


class Cable:
    """One state for all forwarded ports."""

    def __init__(self) -> None:
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """From now on nothing passes."""
        self._whole.clear()

    def heal(self) -> None:
        """Old connections are gone, new ones pass."""
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
            out_reader, out_writer = await asyncio.open_connection(HOST, port)
        except OSError:
            self._writers.discard(writer)
            writer.close()
            return
        self._writers.add(out_writer)
        await asyncio.gather(self._pump(reader, out_writer), self._pump(out_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while chunk := await reader.read(CHUNK_BYTES):
                if self._whole.is_set():
                    writer.write(chunk)
                    await writer.drain()
        self._writers.discard(writer)
        writer.close()


async def _serve(pairs: list[tuple[int, int]]) -> None:
    cable = Cable()
    servers = [
        await asyncio.start_server(partial(cable.carry, target), HOST, listen)
        for listen, target in pairs
    ]
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        (cable.cut if line.strip() == "cut" else cable.heal)()
        print(line.strip(), flush=True)
    for server in servers:
        server.close()


def main() -> int:
    """Forward until standard input ends."""
    pairs = [tuple(map(int, argument.split("=", 1))) for argument in sys.argv[1:]]
    asyncio.run(_serve([(listen, target) for listen, target in pairs]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
