"""The commands of docs/operators.md as an operator gives them: run inside `Machine`.

``python -m tests.support.operators_scene FOLDER``. What is made up: the driver, the way to other
nodes (`ssh` leads here), and where Python lies. systemd, units and processes are real.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from flopgate_sim.nvml import FakeDriver
from tests.support.governor_cli import cli
from tests.support.governor_process import GovernorProcess
from tests.support.page import blocks
from tests.support.waiting import WAIT_S

ROOT: Final = Path(__file__).parents[2]
STATE: Final = "/var/lib/flopgate-gate"
UNITS: Final = ("flopgate-gate", "flopgate-lockdown", "flopgate-courier")


def run(block: str, folder: Path) -> str:
    """Paste a block; what it printed."""
    done = subprocess.run(
        ["timeout", str(WAIT_S), "bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        for unit in UNITS:
            log = subprocess.run(
                ["journalctl", "--no-pager", "-n", "20", "-u", unit],
                capture_output=True,
                text=True,
                check=False,
            ).stdout
            sys.stderr.write(log)
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def program(name: str, text: str) -> None:
    path = Path("/usr/bin") / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def prepare(folder: Path, driver: FakeDriver) -> None:
    """What a packager and a machine room would have done."""
    program("flopgate-agent", f'exec {sys.executable} -m flopgate_agent.cli "$@"')
    program("ssh", 'shift; exec "$@"')
    env = "".join(f"Environment={name}={value}\n" for name, value in driver.env().items())
    for unit in UNITS:
        more = Path(f"/etc/systemd/system/{unit}.service.d/where.conf")
        more.parent.mkdir(parents=True)
        text = f"[Service]\nProtectHome=no\nBindPaths={folder}\nBindReadOnlyPaths={ROOT}\n{env}"
        if unit == "flopgate-courier":
            # Python may lie where its user must not look.
            text += "PrivateUsers=no\nAmbientCapabilities=CAP_DAC_READ_SEARCH\n"
            text += "CapabilityBoundingSet=CAP_DAC_READ_SEARCH\n"
        more.write_text(text)
    # A container has a boot id of its own, which units with a /proc of their own do not see.
    subprocess.run(["umount", "/proc/sys/kernel/random/boot_id"], check=True)
    os.environ.update(driver.env())
    (folder / "state").mkdir(mode=0o700)
    Path(STATE).mkdir(mode=0o700)
    # A container's own files do not stay, and the doctor would say so.
    subprocess.run(["mount", "--bind", folder / "state", STATE], check=True)


def hosts(governor: GovernorProcess) -> list[dict[str, object]]:
    told: list[dict[str, object]] = json.loads(
        cli("status", "--dir", governor.root, "--json").stdout
    ).get("hosts", [])
    return told


def observed(governor: GovernorProcess) -> None:
    """As a fleet begins."""
    form = governor.root.with_suffix(".toml")
    rule = '\n[[phases]]\nscope = "everything"\nphase = "observe"\nfrom_unix_ms = 0\n'
    form.write_text(form.read_text() + rule)
    done = governor.order("policy", "apply", str(form), officers=2)
    assert done.returncode == 0, done.stderr


def play(folder: Path) -> None:
    """From the first install to the last host that leaves."""
    governor = GovernorProcess.make(folder / "agency")
    governor.start()
    observed(governor)
    with FakeDriver(folder / "driver", gpus=1) as driver:
        prepare(folder, driver)
        (folder / "token.txt").touch(mode=0o600)
        (folder / "token.txt").write_text(governor.token().text())
        (folder / "nodes.txt").write_text("node-1\n")
        (install,) = blocks("systemd.md", "Install")[:1]
        run(install, ROOT)
        (one, fleet, phase, strict, loose, upgrade, explain, status, doctor, outbox, retire) = (
            blocks("operators.md")
        )
        assert "\nphase observe" in run(one, folder), "no check is open before the admission"
        run(fleet, folder)
        assert len(hosts(governor)) == 1, "whoever joins twice is one host"
        assert run(phase, folder).startswith("phase observe")
        assert "phase enforce" in run(strict, folder)
        run(loose, folder)
        run(upgrade, folder)
        assert run(phase, folder).startswith("phase observe")
        assert "may compute" in run(explain, folder)
        assert json.loads(run(status, folder))["host_state"] == "enrolled"
        assert "MEND" not in run(doctor, folder)
        assert "Report" not in run(outbox, folder)
        assert "retired" in run(retire, folder)
        (gone,) = hosts(governor)
        assert gone["refused_reason"] == "host.retired"
        job = driver.start_workload(gpus=[0], fmt="fp16", share=0.5)
        assert job.poll() is None
    governor.stop()


if __name__ == "__main__":
    play(Path(sys.argv[1]))
