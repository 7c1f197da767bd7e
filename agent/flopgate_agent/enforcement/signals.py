"""Signals to one exact process: through a pidfd, so that a reused pid is never hit."""

from __future__ import annotations

import enum
import os
import signal

from flopgate_agent.enforcement.processes import ProcessId, ProcFs


class Sent(enum.Enum):
    """What became of a signal."""

    SENT = enum.auto()
    GONE = enum.auto()
    DENIED = enum.auto()


def pidfd_works() -> bool:
    """Whether the kernel, and any filter before it, lets signals through pidfds."""
    try:
        fd = os.pidfd_open(os.getpid())
    except OSError:
        return False
    try:
        signal.pidfd_send_signal(fd, 0)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


class Signaller:
    """Sends signals to processes by identity."""

    def __init__(self, proc: ProcFs, *, pidfd: bool) -> None:
        """Use pidfds if ``pidfd``; else check the identity right before ``kill``."""
        self._proc = proc
        self._pidfd = pidfd

    def send(self, who: ProcessId, signum: signal.Signals) -> Sent:
        """Send ``signum`` to exactly ``who``."""
        try:
            if not self._pidfd:
                return self._send_by_pid(who, signum)
            fd = os.pidfd_open(who.pid)
        except ProcessLookupError:
            return Sent.GONE
        except OSError:
            return Sent.DENIED
        try:
            # Identity after opening: then the descriptor can belong to no later process.
            if not self._proc.alive(who):
                return Sent.GONE
            signal.pidfd_send_signal(fd, signum)
        except ProcessLookupError:
            return Sent.GONE
        except OSError:
            return Sent.DENIED
        finally:
            os.close(fd)
        return Sent.SENT

    def _send_by_pid(self, who: ProcessId, signum: signal.Signals) -> Sent:
        if not self._proc.alive(who):
            return Sent.GONE
        os.kill(who.pid, signum)
        return Sent.SENT
