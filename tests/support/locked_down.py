"""A host with a lock-down beside its gate: what both halves of its tests do to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from flopgate_agent.lockdown.lease import lease_path
from flopgate_proto.values import LaneState
from tests.support.gate_host import GateHost
from tests.support.waiting import until

WORKLOAD: Final = "run-7"
BOUND_MS: Final = 2_000
"""From the kill until the last process is gone (DESIGN section 3, law 1)."""


@contextmanager
def watched_host(folder: Path) -> Iterator[GateHost]:
    """One chip, a lock-down that watches, and no gate yet."""
    with GateHost(folder, {WORKLOAD: [0]}, gpus=1) as host:
        host.watch()
        yield host


def running(host: GateHost) -> None:
    """Start the gate; its lane gets its permission."""
    host.start()
    host.until_state(WORKLOAD, LaneState.RUNNING)


def setter_of(host: GateHost) -> int:
    """The child that sets chips for the lock-down, as soon as there is one."""
    assert host.lockdown is not None
    pid, found = host.lockdown.pid, list[int]()

    def is_there() -> bool:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with suppress(OSError):
                if b"chips.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        return bool(found)

    until(is_there, "the lock-down to set chips")
    return found[0]


def reboot(host: GateHost) -> None:
    """What a boot leaves: no process, nothing on a tmpfs, a driver as it was loaded."""
    host.kill_gate()
    host.kill_lockdown()
    for path in (lease_path(host.door), lease_path(host.door).with_suffix(".lock")):
        path.unlink()
    host.driver.set_compute_mode(0, 0)
    (host.driver.device_dir / "nvidia0").chmod(0o644)
