"""Who is at the other end of a local connection, if he is still there to speak for himself.

Between his connecting and our looking he can end, his connection in a child's hands, and his pid
can come round to somebody else.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from typing import Final

from flopgate_agent.enforcement.processes import ProcessId, ProcFs

PEER_PIDFD: Final = 77
"""SO_PEERPIDFD (include/uapi/asm-generic/socket.h), of Linux 6.5 and newer."""


def living_peer(
    sock: socket.socket, pid: int, uid: int, proc: ProcFs, *, option: int = PEER_PIDFD
) -> ProcessId | None:
    """The process that connected; ``None`` where it has ended.

    Args:
        sock: the connection.
        pid: of whoever made it (SO_PEERCRED).
        uid: as which user (SO_PEERCRED).
        proc: procfs of this host.
        option: the one that gives a descriptor of the process. Without it a later process of the
            same user is taken for it.
    """
    found = proc.process(pid)
    try:
        handle = sock.getsockopt(socket.SOL_SOCKET, option)
    except OSError as error:
        same = error.errno == errno.ENOPROTOOPT and proc.owner(pid) == uid
        return found.id if same and found is not None else None
    try:
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        # Asked after the look: who has not ended had his pid to himself until now.
        return None if found is None or ended.poll(0) else found.id
    finally:
        os.close(handle)
