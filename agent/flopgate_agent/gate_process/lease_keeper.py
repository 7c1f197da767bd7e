"""The gate's side of the lease: takes over from a lock-down, and renews while it lives."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from flopgate_agent.enforcement import EnforcerConfig
from flopgate_agent.enforcement.processes import ProcessId, ProcFs
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.leasing import Leasing
from flopgate_agent.lockdown.lease import (
    ANY_BOOT,
    Lease,
    LeaseError,
    Reach,
    acting_lock,
    from_boot_on,
    read_lease,
    write_lease,
)
from flopgate_proto.values import LaneState, Severity

TAKE_S_MAX: Final = 3.0
"""A lock-down at work offers the lock each second. One that hangs must not keep the gate out."""
_POLL_S: Final = 0.02
_LOG: Final = logging.getLogger("flopgate.gate")


class LeaseKeeper:
    """The lease of one run of the gate. Made before anything is done to processes.

    Args:
        path: of the lease, on a tmpfs.
        boot_path: of what is denied from the next boot on, on a disk.
        boot_id: hexadecimal.
        now_ms: host elapsed time.

    Attributes:
        ran_ms: gate running time as the gate before wrote it down last, in this boot; else 0.
    """

    def __init__(self, path: Path, boot_path: Path, boot_id: str, now_ms: int) -> None:
        self._path = path
        self._boot_path = boot_path
        self._boot_id = boot_id
        self._lock = acting_lock(path)
        self._take()
        self._gate = _own_id()
        self._reach: tuple[Reach, ...] = ()
        self._config = EnforcerConfig()
        self._standing: tuple[bool, list[LaneState]] | None = None
        # One that is there and not understood is replaced, or removed, like any other.
        self._boot_known = self._read(boot_path, ANY_BOOT) is not None or not boot_path.exists()
        self._at_boot = self._read(boot_path, ANY_BOOT)
        self._found = self._read(path, boot_id)
        self.ran_ms = 0 if self._found is None else self._found.terms.running_ms
        self._before = () if self._found is None else self._found.terms.lanes
        self._leasing = Leasing(self._before)
        self._show_life(now_ms)

    def reach(self, config: EnforcerConfig, lanes: Sequence[Reach]) -> None:
        """How a lock-down reaches what this gate would stop."""
        self._config, self._reach = config, tuple(lanes)

    def in_time(self, workload: str, now_ms: int) -> bool:
        """Whether this gate came before anybody else was to stop the lane."""
        return any(
            term.workload == workload and now_ms < term.freeze_at_ms for term in self._before
        )

    def renew(self, core: GateCore, now_ms: int) -> None:
        """Write down what holds after the core's last step."""
        # Again and again: a lock-down that hung when this gate started may have let go since.
        self._lock.take()
        terms = self._leasing.terms(core)
        if terms is None:
            self._show_life(now_ms)
            return
        self._standing = _standing(core)
        lease = Lease(
            boot_id=self._boot_id,
            gate=self._gate,
            terms=terms,
            records=str(self._config.state_dir),
            cgroup_base=self._config.cgroup_base,
            use_cgroups=self._config.use_cgroups,
            device_filter=self._config.device_filter,
            nodes=self._config.nodes,
            reach=self._reach,
        )
        if not (self._write(lease) and self._write_boot(lease)):
            core.findings.add("lockdown.lease.unwritable", Severity.ALERT)

    def outdated(self, core: GateCore) -> bool:
        """Whether rules bite, or a lane stands, otherwise than it was written down last."""
        return self._standing != _standing(core)

    def close(self) -> None:
        """The gate ends: whoever watches may act from now on."""
        self._lock.close()

    def _show_life(self, now_ms: int) -> None:
        """Prolongs nothing: the lanes' moments stay."""
        if self._found is not None:
            terms = replace(self._found.terms, renewed_ms=now_ms)
            self._write(replace(self._found, gate=self._gate, terms=terms))

    def _take(self) -> None:
        end = time.monotonic() + TAKE_S_MAX
        while not self._lock.take():
            if time.monotonic() > end:
                _LOG.error("somebody keeps %s; going on without it", self._path)
                return
            time.sleep(_POLL_S)

    def _read(self, path: Path, boot_id: str) -> Lease | None:
        try:
            return read_lease(path, boot_id)
        except LeaseError as error:
            _LOG.warning("%s cannot be used: %s", path, error)
            return None

    def _write_boot(self, lease: Lease) -> bool:
        """Where something would be stopped now, nothing may begin after a boot without a gate."""
        wanted = from_boot_on(lease) if lease.terms.lanes else None
        if wanted == self._at_boot and self._boot_known:
            return True
        try:
            if wanted is None:
                self._boot_path.unlink(missing_ok=True)
            else:
                write_lease(self._boot_path, wanted, durable=True)
        except OSError as error:
            _LOG.error("cannot write %s: %s", self._boot_path, error.strerror)
            return False
        self._at_boot, self._boot_known = wanted, True
        return True

    def _write(self, lease: Lease) -> bool:
        try:
            write_lease(self._path, lease)
        except OSError as error:
            _LOG.error("cannot renew the lease in %s: %s", self._path, error.strerror)
            return False
        return True


def _standing(core: GateCore) -> tuple[bool, list[LaneState]]:
    bites = core.enrolled and core.in_force.bites
    return bites, [lane.state for lane in core.lanes.values()]


def _own_id() -> ProcessId:
    found = ProcFs().process(os.getpid())
    return ProcessId(pid=os.getpid(), start_ticks=0) if found is None else found.id
