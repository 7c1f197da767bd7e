"""The lock-down's process: looks at the lease twice a second, and acts when it has run out.

Killed and started anew it goes on by what it reads.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from flopgate_agent.clocks import elapsed_ms, read_boot_id
from flopgate_agent.enforcement.processes import ProcFs
from flopgate_agent.enforcement.signals import Signaller, pidfd_works
from flopgate_agent.gate_process.service_manager import ServiceManager
from flopgate_agent.lockdown.deciding import Due, due
from flopgate_agent.lockdown.lease import Lease, acting_lock, watching_lock
from flopgate_agent.lockdown.reading import Reading
from flopgate_agent.logs import FIELDS, log_json

if TYPE_CHECKING:
    from flopgate_agent.lockdown.stopping import Stopper

TICK_S: Final = 0.5
DEATH_S: Final = 0.5
"""For the kernel to end a gate that was killed, before its lanes are stopped without its lock."""
_LOG: Final = logging.getLogger("flopgate.lockdown")


class Lockdown:
    """Everything that a running lock-down holds open."""

    def __init__(self, path: Path, boot_path: Path, boot_id: str) -> None:
        self._path = path
        self._boot_id = boot_id
        self._reading = Reading(path, boot_path, boot_id)
        self._lock = acting_lock(path)
        self._watching = watching_lock(path)
        self._manager = ServiceManager(os.environ, os.getpid())
        self._ready = self._stopping = False
        self._stopper: Stopper | None = None
        self._stopper_of: Lease | None = None

    def run(self) -> int:
        """Watch until a signal says stop; exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if not self._watching.take():
            _LOG.warning("somebody else watches %s, or asks just now", self._path)
        _LOG.info("lock-down watches %s", self._path)
        while not self._stopping:
            # Again and again: a gate that asked whether anybody watches was in the way then.
            self._watching.take()
            self._turn()
            # Not before the first look: what starts after this unit finds what is denied.
            if not self._ready:
                self._ready = True
                self._manager.ready()
            self._manager.alive(elapsed_ms())
            time.sleep(TICK_S)
        self._manager.stopping()
        self._rest()
        return 0

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _turn(self) -> None:
        # The lock first: a lease that was read before could be one that a gate renewed since.
        free = self._lock.take()
        try:
            lease = self._reading.look(int(time.monotonic() * 1000), gate_lives=not free)
            if lease is None:
                self._rest()
                return
            wanted = due(
                lease.terms,
                elapsed_ms(),
                gate_lives=not free,
                unchanged_ms=self._reading.unchanged_ms,
            )
            if wanted.gate:
                free = self._end_gate(lease)
            if wanted.freeze or wanted.kill:
                self._act(lease, wanted)
            else:
                self._rest()
        finally:
            # What a child sets after a gate has opened the chips would keep its jobs out.
            if free and not (self._stopper is not None and self._stopper.at_work):
                self._lock.release()

    def _end_gate(self, lease: Lease) -> bool:
        """A gate that says nothing must not wake up later and do what was right long ago."""
        fields = {"pid": lease.gate.pid}
        _LOG.error("the gate is silent for too long: killed", extra={FIELDS: fields})
        Signaller(ProcFs(), pidfd=pidfd_works()).send(lease.gate, signal.SIGKILL)
        end = time.monotonic() + DEATH_S
        while not (taken := self._lock.take()) and time.monotonic() < end:
            time.sleep(0.01)
        return taken

    def _act(self, lease: Lease, wanted: Due) -> None:
        if self._stopper is None or self._stopper_of != lease:
            # Not before: a lock-down that only watches is small.
            from flopgate_agent.lockdown.stopping import Stopper  # noqa: PLC0415

            self._rest()
            self._stopper, self._stopper_of = Stopper(lease, self._boot_id), lease
        self._stopper.act(wanted, elapsed_ms(), lambda: self._reading.renewed)

    def _rest(self) -> None:
        if self._stopper is not None:
            _LOG.info("the gate is back, or nothing is due any more")
            self._stopper.close()
        self._stopper = self._stopper_of = None


def run(path: Path, boot_path: Path) -> int:
    """Run the lock-down of the gate with these leases; exit status."""
    log_json()
    return Lockdown(path, boot_path, read_boot_id().hex()).run()
