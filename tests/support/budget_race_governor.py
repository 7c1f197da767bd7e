"""Governors for the race: each line on standard input starts one, which serves until it is killed.

A forked process has everything imported already: a thousand starts cost no thousand imports. It
serves the production writer over a local socket; what is left out is gRPC and TLS.
"""

import asyncio
import os
import sys
from pathlib import Path

from flopgate_governor.clocks import Clocks
from flopgate_governor.commit import Committer, Reply
from flopgate_governor.receive import Submission
from flopgate_governor.state import State, open_state
from flopgate_governor.store.database import Store
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_sim.planted import BUGS, planted
from tests.support.governor import LOG, PERMIT

HEAD_BYTES = 4


async def _serve(path: Path, socket: Path, unix_ms: int) -> None:
    clocks = Clocks(boot_id=bytes(16), unix_ms=lambda: unix_ms, boot_ms=lambda: unix_ms)

    def opened() -> State:
        return open_state(Store(path), PERMIT, LOG, clocks)

    committer = Committer(opened)
    await committer.start()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            size = int.from_bytes(await reader.readexactly(HEAD_BYTES))
            up = pb.LinkUp.FromString(await reader.readexactly(size))
            done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            submission = Submission(reports=tuple(up.reports), host_id=None)
            await committer.submit(submission, size, done.set_result, writer)
            reply = await done
            if isinstance(reply, BaseException):
                # As a broken stream: nothing of it was committed.
                os._exit(3)
            data = reply.down.SerializeToString()
            writer.write(len(data).to_bytes(HEAD_BYTES) + data)

    server = await asyncio.start_unix_server(talk, socket)
    await server.serve_forever()


def _tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main() -> None:
    """Start a governor for each line; tell its process id, and when it is gone."""
    bug = next((bug for bug in BUGS if bug.name == sys.argv[1]), None) if sys.argv[1:] else None
    for line in sys.stdin:
        path, socket, unix_ms = line.rstrip("\n").split("\t")
        pid = os.fork()
        if pid == 0:
            if bug is None:
                asyncio.run(_serve(Path(path), Path(socket), int(unix_ms)))
            else:
                with planted(bug):
                    asyncio.run(_serve(Path(path), Path(socket), int(unix_ms)))
            os._exit(0)
        _tell(pid)
        _, status = os.waitpid(pid, 0)
        _tell(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0)


if __name__ == "__main__":
    main()
