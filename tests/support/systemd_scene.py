"""What happens to the real units under a real systemd: run inside `Machine`, one scene a call.

``python -m tests.support.systemd_scene FOLDER SCENE``
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.lockdown.lease import lease_path
from flopgate_proto.values import LaneState
from tests.support.gate_host import GateHost, until
from tests.support.resting import longest_rest_ms

ROOT: Final = Path(__file__).parents[2]
UNITS: Final = ROOT / "packaging" / "systemd"
RUNTIME: Final = Path("/run/systemd/system")
GATE, LOCKDOWN = "flopgate-gate.service", "flopgate-lockdown.service"


def systemctl(*arguments: str) -> str:
    """It has to succeed."""
    ended = subprocess.run(
        ["systemctl", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, (arguments, ended.stderr)
    return ended.stdout.strip()


def main_pid(unit: str) -> int:
    """0 where none runs."""
    return int(systemctl("show", "--property=MainPID", "--value", unit))


class UnitHost(GateHost):
    """A host whose gate and lock-down are the units of packaging/systemd."""

    def install(self) -> None:
        """The units as they are, but for where program, configuration and log lie."""
        for name in (GATE, LOCKDOWN):
            text = (UNITS / name).read_text()
            for old, new in (
                ("/usr/bin/flopgate-agent", f"{sys.executable} -m flopgate_agent.cli"),
                ("/etc/flopgate/gate.toml", str(self.config)),
                ("/run/flopgate/gate.lease", str(lease_path(self.door))),
            ):
                text = text.replace(old, new)
            (RUNTIME / name).write_text(text)
            extra = RUNTIME / f"{name}.d"
            extra.mkdir(exist_ok=True)
            log = self.log if name == GATE else self.folder / "lockdown.log"
            (extra / "test.conf").write_text(
                "[Service]\n"
                # The Python of the tests may lie under /home or /root, their folder under /tmp.
                "ProtectHome=no\n"
                f"BindPaths={self.folder}\nBindReadOnlyPaths={ROOT}\n"
                f"Environment=LD_LIBRARY_PATH={self.driver.env()['LD_LIBRARY_PATH']}\n"
                f"StandardError=append:{log}\n"
            )
        systemctl("daemon-reload")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the unit; there is no process of ours."""
        systemctl("start", GATE)
        return subprocess.Popen(["true"])

    def kill_gate(self) -> None:
        """What the end of the scene needs; scenes themselves use `systemctl`."""
        systemctl("stop", GATE, LOCKDOWN)
        self._leave()

    def kill_lockdown(self) -> None:
        """With the gate."""

    def again(self, mode: str) -> None:
        """A courier comes to the gate that systemd started anew."""
        self._leave()
        until(self._is_up, "the gate to come up again")
        self.reach(mode)


def busy(host: UnitHost) -> subprocess.Popen[bytes]:
    """A job that computes with permission."""
    host.authority.policy = replace(host.authority.policy, lifetime_ms=60_000)
    host.install()
    host.start()
    host.until_state("run-7", LaneState.RUNNING)
    assert main_pid(LOCKDOWN), "the gate wants its lock-down"
    job = host.driver.start_workload(gpus=[0], fmt="fp16", persistent=True)
    until(lambda: host.driver.running(0), "the job to compute")
    time.sleep(1.5)
    return job


def restarted(host: UnitHost) -> None:
    """Restart, upgrade and crash under a running job: it never stops."""
    job = busy(host)
    rests: list[float] = []
    watch = threading.Thread(target=lambda: rests.append(longest_rest_ms(host.driver, 15.0)))
    watch.start()
    for act in (("restart", GATE), ("kill", "--signal=KILL", GATE), ("restart", GATE)):
        before = main_pid(GATE)
        host.log.write_text("")
        systemctl(*act)
        until(lambda old=before: main_pid(GATE) not in (0, old), f"another gate after {act}")  # type: ignore[misc]
        # The courier carries nothing: only what was kept permits the job.
        host.again("cut")
        host.until_state("run-7", LaneState.RUNNING)
    watch.join()
    assert job.poll() is None
    assert rests[0] < 500, rests


def gone(host: UnitHost) -> None:
    """The gate is stopped and not started again, the lock-down killed meanwhile: all stops."""
    job = busy(host)
    gone_ms = elapsed_ms()
    systemctl("stop", GATE)
    assert job.poll() is None, "it had its time to come back"
    systemctl("kill", "--signal=KILL", LOCKDOWN)
    assert job.wait(60) < 0
    host.driver.wait_idle(0)
    stopped_ms = host.last_math_ms(0) - gone_ms
    assert stopped_ms <= 4_000 + 2_000, stopped_ms


SCENES: Final[dict[str, Callable[[UnitHost], None]]] = {"restarted": restarted, "gone": gone}


def main() -> None:
    """Play one scene."""
    folder, scene = sys.argv[1:]
    with UnitHost(Path(folder), {"run-7": [0]}, gpus=1) as host:
        try:
            SCENES[scene](host)
        except BaseException:
            sys.stderr.write(host.logged()[-3000:])
            raise


if __name__ == "__main__":
    main()
