"""What happens to the real units under a real systemd: run inside `Machine`, one scene a call.

``python -m tests.support.systemd_scene FOLDER SCENE``
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.lockdown.lease import boot_lease_path, lease_path
from flopgate_proto.values import LaneState
from tests.support.gate_host import WATCHDOG_MS, GateHost
from tests.support.resting import rested_ms
from tests.support.waiting import WAIT_S, until

ROOT: Final = Path(__file__).parents[2]
UNITS: Final = ROOT / "packaging" / "systemd"
RUNTIME: Final = Path("/run/systemd/system")
JOBS: Final = "/jobs"
"""Where a job may be: what runs there is no service of the system."""
GATE, LOCKDOWN = "flopgate-gate.service", "flopgate-lockdown.service"


def systemctl(*arguments: str) -> str:
    """It has to succeed."""
    ended = subprocess.run(
        ["systemctl", *arguments], capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert ended.returncode == 0, (arguments, ended.stderr)
    return ended.stdout.strip()


def main_pid(unit: str) -> int:
    """0 where none runs."""
    return int(systemctl("show", "--property=MainPID", "--value", unit))


def unit_file(name: str, folder: Path) -> str:
    """The unit as it is, but for where program, configuration and log of a `GateHost` lie."""
    text = (UNITS / name).read_text()
    for old, new in (
        ("/usr/bin/flopgate-agent", f"{sys.executable} -m flopgate_agent.cli"),
        ("/etc/flopgate/gate.toml", f"{folder}/gate.toml"),
        ("/run/flopgate/gate.lease", str(lease_path(folder / "door"))),
        ("/var/lib/flopgate-gate/boot.lease", str(boot_lease_path(folder / "gate"))),
    ):
        text = text.replace(old, new)
    # The Python of the tests may lie under /home or /root, their folder under /tmp.
    more = "[Service]\nProtectHome=no\n"
    more += f"BindPaths={folder}\nBindReadOnlyPaths={ROOT}\n"
    more += f"Environment=LD_LIBRARY_PATH={folder}/driver\n"
    more += f"StandardError=append:{folder}/{'gate' if name == GATE else 'lockdown'}.log\n"
    return text.replace("[Install]", f"{more}\n[Install]")


OPENABLE: Final = os.makedev(1, 7)
"""`/dev/full`: a device that can be opened, and that nobody misses."""
OPEN: Final = """
import os, sys
folder = "/sys/fs/cgroup" + sys.argv[1]
os.makedirs(folder, exist_ok=True)
with open(folder + "/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
os.open(sys.argv[2], os.O_RDWR)
"""


class UnitHost(GateHost):
    """A host whose gate and lock-down are the units of packaging/systemd."""

    def _write(self) -> None:
        if not self.config.exists():
            super()._write()
        # A real device, by another name: the kernel is asked to close it.
        self.node.unlink()
        os.mknod(self.node, 0o666 | stat.S_IFCHR, OPENABLE)

    @property
    def node(self) -> Path:
        """Of its chip."""
        return Path(self.driver.device_dir) / "nvidia0"

    def opens(self, cgroup: str) -> bool:
        """Whether root, in this cgroup, can open the chip."""
        command = [sys.executable, "-c", OPEN, cgroup, str(self.node)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        assert ended.returncode == 0 or "Operation not permitted" in ended.stderr, ended.stderr
        return ended.returncode == 0

    def install(self) -> None:
        """Put the units where systemd finds them."""
        for name in (GATE, LOCKDOWN):
            (RUNTIME / name).write_text(unit_file(name, self.folder))
        systemctl("daemon-reload")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the unit; there is no process of ours."""
        systemctl("start", GATE)
        return subprocess.Popen(["true"])

    def kill_gate(self) -> None:
        """What the end of the scene needs; scenes themselves use `systemctl`."""
        # One that the scene did not come to is no fault of its own.
        subprocess.run(["systemctl", "stop", GATE, LOCKDOWN], check=False, capture_output=True)
        self._leave()

    def kill_lockdown(self) -> None:
        """With the gate."""

    def again(self, mode: str) -> None:
        """A courier comes to the gate that systemd started anew."""
        self._leave()
        until(self._is_up, "the gate to come up again")
        self.reach(mode)


def busy(host: UnitHost, watchdog_ms: int = 60_000) -> subprocess.Popen[bytes]:
    """A job that computes with permission."""
    host.authority.policy = replace(
        host.authority.policy, lifetime_ms=120_000, watchdog_ms=watchdog_ms
    )
    host.install()
    host.start()
    host.until_state("run-7", LaneState.RUNNING)
    assert main_pid(LOCKDOWN), "the gate wants its lock-down"
    job = host.compute(fmt="fp16", persistent=True)
    host.settle()
    return job


def restarted(host: UnitHost) -> None:
    """Restart, upgrade and crash under a running job: it never stops."""
    job = busy(host)
    begun = host.driver.truth(0)
    for act in (("restart", GATE), ("kill", "--signal=KILL", GATE), ("restart", GATE)):
        before = main_pid(GATE)
        host.log.write_text("")
        systemctl(*act)
        until(lambda old=before: main_pid(GATE) not in (0, old), f"another gate after {act}")  # type: ignore[misc]
        # The courier carries nothing: only what was kept permits the job.
        host.again("cut")
        host.until_state("run-7", LaneState.RUNNING)
    assert job.poll() is None
    assert rested_ms(begun, host.driver.truth(0)) < 500


def gone(host: UnitHost) -> None:
    """The gate is stopped and not started again, the lock-down killed meanwhile: all stops."""
    job = busy(host, watchdog_ms=WATCHDOG_MS)
    gone_ms = elapsed_ms()
    systemctl("stop", GATE)
    assert job.poll() is None, "it had its time to come back"
    systemctl("kill", "--signal=KILL", LOCKDOWN)
    assert job.wait(WAIT_S) < 0
    host.driver.wait_idle(0)
    stopped_ms = host.last_math_ms(0) - gone_ms
    assert stopped_ms <= WATCHDOG_MS + 2_000, stopped_ms
    until(lambda: not host.opens(JOBS), "the chip to be closed for root")
    assert stat.S_IMODE(host.node.stat().st_mode) == 0


def closed(host: UnitHost) -> None:
    """A chip without permission is closed for root, but not for the gate that starts anew."""
    host.install()
    host.start("acknowledge")
    host.until_state("run-7", LaneState.HALTED)
    until(lambda: not host.opens(JOBS), "the chip to be closed for root")
    before = main_pid(GATE)
    host.log.write_text("")
    systemctl("restart", GATE)
    assert main_pid(GATE) != before
    assert host.opens(f"/system.slice/{GATE}"), "the unit's new cgroup is spared"
    assert not host.opens(JOBS)
    host.again("grant")
    host.until_state("run-7", LaneState.RUNNING)
    until(lambda: host.opens(JOBS), "the chip to be open")


def enforced(host: UnitHost) -> None:
    """Before a boot: a gate was there, and rules bit."""
    busy(host)
    until(boot_lease_path(host.state).exists, "the next boot to be written down")


def booted(host: UnitHost) -> None:
    """After it: the lock-down was there first, and nothing begins until a gate permits it."""
    assert main_pid(LOCKDOWN), "it is part of the boot"
    until(lambda: host.driver.compute_mode(0) != 0, "the chip to be closed")
    until(lambda: not host.opens(JOBS), "the chip to be closed for root")
    refused = host.driver.start_workload(gpus=[0], fmt="fp16", drain_ms=100)
    assert refused.wait(WAIT_S) > 0
    # An authority whose batches did not begin anew.
    host.authority.batch_number = 1_000
    host.authority.policy = replace(host.authority.policy, lifetime_ms=60_000)
    (RUNTIME / GATE).write_text(unit_file(GATE, host.folder))
    systemctl("daemon-reload")
    host.log.write_text("")
    host.start()
    host.until_state("run-7", LaneState.RUNNING)
    until(lambda: host.driver.compute_mode(0) == 0, "the chip to be open")
    host.compute(fmt="fp16", drain_ms=100)


SCENES: Final[dict[str, Callable[[UnitHost], None]]] = {
    "restarted": restarted,
    "gone": gone,
    "closed": closed,
    "enforced": enforced,
    "booted": booted,
}


def main() -> None:
    """Play one scene."""
    folder, scene = sys.argv[1:]
    with UnitHost(Path(folder), {"run-7": [0]}, cgroups=True, gpus=1) as host:
        try:
            SCENES[scene](host)
        except BaseException:
            sys.stderr.write(host.logged()[-3000:])
            raise


if __name__ == "__main__":
    main()
